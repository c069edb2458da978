"""genesis.yml and entry.yml: there and back, and findings at their lines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from zmqnode.base.genesis import Entry, Genesis, check_genesis, sign_entry
from zmqnode.base.keys import Address, PrivateKey, PublicKey, public_text, verify
from zmqnode.base.params import Params
from zmqnode.config import entry_text, genesis_text, load_entry, load_genesis, parse_param
from zmqnode.errors import Invalid

SAMPLES = Path(__file__).parents[2] / "conf"


def entry(index: int) -> Entry:
    return sign_entry(
        address=Address(f"n{index}sas"),
        instance=PrivateKey(bytes([100 + index]) * 32).public,
        url=f"tcp://127.0.0.1:{41000 + 3 * index}",
        network_id="no",
        key=PrivateKey(bytes([1 + index]) * 32),
    )


GENESIS = Genesis(
    network_id="no",  # A text that YAML 1.1 would call false.
    app="kv",
    app_version=1,
    params=Params(veto_window_ms=8000),
    entries=tuple(entry(index) for index in range(4)),
    data=b"\x00\xffgenesis",
)


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "genesis.yml"
    file.write_text(text)
    return file


def test_a_genesis_comes_back_from_its_file(tmp_path: Path) -> None:
    assert load_genesis(write(tmp_path, genesis_text(GENESIS))) == GENESIS


def test_the_order_of_entries_does_not_matter(tmp_path: Path) -> None:
    """The hash must not depend on who was typed first."""
    lines = genesis_text(GENESIS).split("- address: ")
    shuffled = "- address: ".join([lines[0], lines[2], lines[1], lines[3], lines[4]])
    assert load_genesis(write(tmp_path, shuffled)) == GENESIS


def test_an_entry_comes_back_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "entry.yml"
    file.write_text(entry_text("no", entry(0)))
    assert load_entry(file) == ("no", entry(0))


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("**/genesis*.yml")), ids=str)
def test_every_sample_can_found_a_chain(sample: Path) -> None:
    assert check_genesis(load_genesis(sample), verify) == ()


@pytest.mark.parametrize(
    ("old", "new", "path", "said"),
    [
        ("veto_window_ms: 8000", "veto_window_ms: 5", "params.veto_window_ms", "must be at least"),
        (
            "veto_window_ms: 8000",
            "veto_window_ms: 1000",
            "params.time_tolerance_ms",
            "must be at most a quarter of veto_window_ms",
        ),
        ("activation_lag: 2", "activation_lag: 3", "params.activation_lag", "must be at most 2"),
        ("activation_lag: 2", "activation_leg: 2", "params.activation_leg", "no such key"),
        ("n1sas", "n0sas", "entries[1].address", "is the same as that of entries[0]"),
        ("name: kv", "nam: kv", "app.nam", "no such key"),
        ("data: AP9", "data: *P9", "", ""),
        ("data: AP9", "data: (P9", "data", "is no base64 text"),
        ("signature: ", "signature: 0", "entries[0].signature", "is no signature"),
        ("version: 1", "version: 0", "app.version", "must be at least 1"),
    ],
)
def test_findings_name_the_place(tmp_path: Path, old: str, new: str, path: str, said: str) -> None:
    text = genesis_text(GENESIS)
    assert old in text
    with pytest.raises(Invalid) as caught:
        load_genesis(write(tmp_path, text.replace(old, new, 1)))
    assert caught.value.code == "config_invalid"
    findings = caught.value.details["findings"]
    assert isinstance(findings, list)
    found = {finding["path"]: finding for finding in findings}
    assert said in found[path]["message"]
    line = text[: text.index(old)].count("\n") + 1
    if path != "params.time_tolerance_ms":  # That finding stands at the other parameter.
        assert found[path]["line"] == line


def test_a_key_that_curve_cannot_use_is_refused(tmp_path: Path) -> None:
    weak = replace(GENESIS.entries[0], publickey=PublicKey(bytes(32)))  # Of small order.
    text = genesis_text(replace(GENESIS, entries=(weak, *GENESIS.entries[1:])))
    with pytest.raises(Invalid, match="is no point a key can have"):
        load_genesis(write(tmp_path, text))


def test_a_private_key_in_a_public_place_is_not_echoed(tmp_path: Path) -> None:
    key = PrivateKey(bytes([1]) * 32)
    text = genesis_text(GENESIS).replace(public_text(key.public), key.text())
    with pytest.raises(Invalid) as caught:
        load_genesis(write(tmp_path, text))
    assert key.text()[:12] not in str(caught.value) + repr(caught.value.details)


def test_no_members_or_too_many_are_refused(tmp_path: Path) -> None:
    head = genesis_text(GENESIS).split("entries:")[0]
    for rows in ("entries: []\n", "entries:\n" + "- {}\n" * 101, "entries: 3\n", ""):
        with pytest.raises(Invalid, match="entries"):
            load_genesis(write(tmp_path, head + rows))


def test_parameters_of_the_command_line() -> None:
    assert parse_param("params.block_interval_ms=10") == ("block_interval_ms", 10)
    for text in ("block_interval_ms=10", "params.block_interval_ms", "params.x=1"):
        with pytest.raises(Invalid, match="is no chain parameter"):
            parse_param(text)
    with pytest.raises(Invalid, match="must be an int"):
        parse_param("params.block_interval_ms=x")
    with pytest.raises(Invalid) as caught:
        parse_param("params.block_interval=1")
    assert caught.value.hint == "did you mean params.block_interval_ms=VALUE?"
