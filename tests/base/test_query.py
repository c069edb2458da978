"""The door protocol's messages, authority over a node, moments as texts."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqnode.base.codec import encode, pack
from zmqnode.base.hashes import sha256
from zmqnode.base.instant import at, rfc3339
from zmqnode.base.keys import PrivateKey, public_text, verify
from zmqnode.base.node_info import NODE_INFO_TAG, node_info_body, node_info_verified
from zmqnode.base.query import (
    RAW_BLOCKS_ASKED_MAX,
    Accepted,
    BlockAsked,
    ChainAsked,
    CutCommand,
    HeadersAsked,
    InfoAsked,
    QueryAsked,
    RawBlocksAsked,
    SealSubmitted,
    StopCommand,
    SuffrageAsked,
    Until,
    failed,
    read_answer,
    read_command,
    read_request,
    sign_control,
    told,
)
from zmqnode.base.signing import Domain
from zmqnode.errors import Malformed, Refused, Unreachable

KEY = PrivateKey(b"\x01" * 32)
INSTANCE = PrivateKey(b"\x02" * 32)
DOMAIN = Domain(network_id="net", genesis=sha256(b"genesis"))
NONCE = sha256(b"nonce")

REQUESTS = [
    ChainAsked(),
    InfoAsked(),
    SuffrageAsked(height=None),
    SuffrageAsked(height=3),
    BlockAsked(height=7),
    BlockAsked(hash=NONCE),
    HeadersAsked(first=1, last=9),
    RawBlocksAsked(first=0, last=RAW_BLOCKS_ASKED_MAX - 1),
    QueryAsked(name="get", arguments=["a", b"b", {"k": [1]}], height=None, proof=True, within_ms=5),
    SealSubmitted(seal=b"\x96", until=Until.COMMITTED, within_ms=1000),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: type(one).__name__)
def test_requests_travel_unchanged(request_: object) -> None:
    assert read_request(encode(request_)) == request_


@given(st.binary(max_size=200) | st.sampled_from([encode(one) for one in REQUESTS]).map(bytes))
def test_bytes_are_one_request_or_malformed(data: bytes) -> None:
    """Goal: no crash, no second encoding. Method: junk and true requests alike."""
    try:
        found = read_request(data)
    except Malformed:
        return
    assert encode(found) == data


def test_an_answer_is_no_request_and_a_request_no_answer() -> None:
    with pytest.raises(Malformed):
        read_request(encode(Accepted(seal=NONCE)))
    with pytest.raises(Malformed):
        read_answer(encode(InfoAsked()))
    with pytest.raises(Malformed):
        read_command(encode(InfoAsked()))


@pytest.mark.parametrize(
    "build",
    [
        lambda: RawBlocksAsked(first=0, last=RAW_BLOCKS_ASKED_MAX),
        lambda: RawBlocksAsked(first=2, last=1),
        lambda: HeadersAsked(first=2, last=1),
        lambda: BlockAsked(height=1, hash=NONCE),
        lambda: SuffrageAsked(height=-1),
        lambda: SealSubmitted(seal=b"", until=Until.ACCEPTED, within_ms=3_600_001),
        lambda: CutCommand(muted_in=("x",) * 513, muted_out=()),
    ],
)
def test_requests_beyond_their_bounds_cannot_be_built(build: object) -> None:
    assert callable(build)
    with pytest.raises(ValueError):  # noqa: PT011 - each has a text of its own
        build()


def test_errors_travel_with_their_kind_and_details() -> None:
    sent = Unreachable("unreachable", "gone", hint="try", connected=False, path="x", odd=object())
    answer = read_answer(encode(failed(sent)))
    error = answer.to_error()
    assert type(error) is Unreachable
    assert (error.code, error.message, error.hint) == ("unreachable", "gone", "try")
    assert error.details == {"connected": False, "path": "x"}
    unknown = replace(answer, exit_code=99).to_error()
    assert type(unknown) is Refused


def test_told_objects_are_put_into_canonical_order() -> None:
    body = {"b": 1, "a": {"z": (1, 2), "y": b"x"}}
    assert read_answer(encode(told(body))).body == {"a": {"y": b"x", "z": [1, 2]}, "b": 1}


def test_control_holds_for_one_instance_one_nonce_one_command() -> None:
    asked = sign_control(
        StopCommand(), nonce=NONCE, instance=INSTANCE.public, domain=DOMAIN, key=KEY
    )
    assert read_command(asked.command) == StopCommand()
    assert asked.verified(DOMAIN, INSTANCE.public, verify)
    assert not asked.verified(DOMAIN, KEY.public, verify)
    assert not asked.verified(Domain(network_id="net"), INSTANCE.public, verify)
    other = encode(CutCommand(muted_in=(), muted_out=()))
    for forged in (
        replace(asked, nonce=sha256(b"older")),
        replace(asked, command=other),
        replace(asked, signer=INSTANCE.public),
    ):
        assert not forged.verified(DOMAIN, INSTANCE.public, verify)


def test_node_info_is_verified_for_the_chain_it_names() -> None:
    info: dict[str, object] = {
        "network_id": "net",
        "genesis_hash": DOMAIN.genesis.hex(),
        "instance": public_text(INSTANCE.public),
        "height": 4,
    }
    data = DOMAIN.message(NODE_INFO_TAG, node_info_body(info))
    signed = {**info, "signature": INSTANCE.sign(data).hex()}
    assert node_info_verified(signed, INSTANCE.public, verify)
    for wrong in (
        {**signed, "height": 5},
        {**signed, "extra": 1},
        {**signed, "genesis_hash": "zz"},
        {**signed, "signature": "00" * 64},
        info,
    ):
        assert not node_info_verified(wrong, INSTANCE.public, verify)
    assert pack(["x"])  # The codec's state is untouched by what was refused.


@given(st.integers(min_value=0, max_value=253_402_300_799_999))
def test_moments_are_those_of_the_standard_library(unix_ms: int) -> None:
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=unix_ms)
    text = moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    assert at("x", unix_ms) == {"x_at": text, "x_at_ms": unix_ms}


def test_the_contracts_moment() -> None:
    assert rfc3339(1_795_435_471_120) == "2026-11-23T12:04:31.120Z"
    assert at("seen", None) == {"seen_at": None, "seen_at_ms": None}
