"""The genesis document, its entries and block 0."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zmqnode.base.codec import decode_as, encode
from zmqnode.base.genesis import (
    Genesis,
    check_genesis,
    found,
    genesis_manifest,
    member_entries,
    read_member,
    sign_entry,
)
from zmqnode.base.hashes import ZERO, Hash, sha256
from zmqnode.base.keys import Address, PrivateKey, verify
from zmqnode.base.params import BOUNDS, Params
from zmqnode.errors import Invalid, Malformed

NETWORK = "test-genesis"


def key(number: int) -> PrivateKey:
    return PrivateKey(bytes([number]) * 32)


def genesis(n: int = 4) -> Genesis:
    entries = tuple(
        sign_entry(
            address=Address(f"n{i}sas"),
            instance=key(100 + i).public,
            url=f"tcp://127.0.0.1:{4000 + 3 * i}",
            network_id=NETWORK,
            key=key(1 + i),
        )
        for i in range(n)
    )
    return Genesis(network_id=NETWORK, app="kv", app_version=1, params=Params(), entries=entries)


def test_a_genesis_of_signed_entries_has_no_findings_and_travels_unchanged() -> None:
    made = genesis()
    assert check_genesis(made, verify) == ()
    assert decode_as(Genesis, encode(made)) == made
    assert made.suffrage.q == 3


@pytest.mark.parametrize("change", ["url", "instance", "address"])
def test_an_entry_changed_after_it_was_signed_is_found(change: str) -> None:
    made = genesis()
    values = {"url": "tcp://10.0.0.1:9", "instance": key(77).public, "address": Address("n00sas")}
    forged = replace(made.entries[0], **{change: values[change]})
    findings = check_genesis(replace(made, entries=(forged, *made.entries[1:])), verify)
    assert len(findings) == 1
    assert "signature" in findings[0]


def test_an_entry_for_another_network_is_found() -> None:
    assert len(check_genesis(replace(genesis(), network_id="another"), verify)) == 4


def test_shared_keys_and_urls_are_found() -> None:
    made = genesis()
    twin = sign_entry(
        address=Address("n9sas"),
        instance=made.entries[0].instance,
        url=made.entries[0].url,
        network_id=NETWORK,
        key=key(2),
    )
    findings = " ".join(check_genesis(replace(made, entries=(*made.entries, twin)), verify))
    assert "instance key is also the instance key of n0sas" in findings
    assert "identity key is also the identity key of n1sas" in findings
    assert "is also the url of n0sas" in findings


def test_every_part_of_the_document_changes_the_genesis_hash() -> None:
    made = genesis()
    others = [
        replace(made, network_id="other"),
        replace(made, app="currency"),
        replace(made, app_version=2),
        replace(made, params=Params(block_interval_ms=1)),
        replace(made, data=b"x"),
        replace(made, entries=made.entries[:3]),
    ]
    hashes = [genesis_manifest(one, ZERO).hash for one in [made, *others]]
    assert len(set(hashes)) == len(hashes)


def test_block_zero_commits_to_the_apps_state_and_the_suffrage() -> None:
    made = genesis()
    seen: list[dict[bytes, bytes]] = []

    def root(state: object) -> Hash:
        assert isinstance(state, dict)
        seen.append(state)
        return sha256(b"state")

    founded = found(made, lambda data: {b"akey": data, b"agone": None}, root)
    assert founded.state == {b"akey": b"", **member_entries(made.suffrage)}
    assert seen == [founded.state]
    manifest = founded.block.manifest
    assert (manifest.height, manifest.parent, manifest.value) == (0, ZERO, made.hash)
    assert (manifest.state_root, manifest.suffrage) == (sha256(b"state"), made.suffrage.hash)
    assert founded.hash == manifest.hash


def test_members_are_read_back_from_system_state() -> None:
    suffrage = genesis().suffrage
    entries = member_entries(suffrage)
    assert tuple(read_member(k, v) for k, v in sorted(entries.items())) == suffrage.members
    with pytest.raises(Malformed):
        read_member(b"smember/n0sas", b"\x90")


def test_entries_out_of_order_are_no_genesis() -> None:
    made = genesis()
    with pytest.raises(ValueError, match="in order"):
        replace(made, entries=made.entries[::-1])


def test_params_have_documented_defaults_and_bounds() -> None:
    assert list(Params().named()) == list(BOUNDS)
    assert Params.of({"block_interval_ms": 5}).block_interval_ms == 5
    for bad in (
        {"block_interval": 5},
        {"activation_lag": 3},
        {"block_operations_max": 999},
        {"block_interval_ms": True},
        {"block_interval_ms": "5"},
        {"time_tolerance_ms": 1300},  # More than a quarter of veto_window_ms.
        {"block_bytes_max": 1_000_000},  # Less than seal_bytes_max.
    ):
        with pytest.raises(Invalid) as refused:
            Params.of(bad)
        assert refused.value.code == "config_invalid"
