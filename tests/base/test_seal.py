"""Seals: what names them, what their signature holds, which shapes they have."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.base.test_codec import values
from tests.base.test_messages import bends
from tests.vectors.samples import DOMAIN, PLAIN_SEAL, SEAL, SENDER, TIME_MS, key
from zmqnode.base.codec import DEPTH_MAX, decode, pack, pack_sorted, unpack
from zmqnode.base.keys import PrivateKey, verify
from zmqnode.base.seal import (
    OPERATION_NAME_MAX_CHARS,
    SEAL_OPERATIONS_MAX,
    TIME_MAX_MS,
    Seal,
    make_seal,
    pack_arguments,
    read_seal,
    seal_hash,
)
from zmqnode.errors import Malformed

NONCE = bytes(16)
PUT = [["put", ["k", b"v"]]]


def made(operations: list[Any], **changes: Any) -> Seal:
    given_: dict[str, Any] = {
        "created_at_ms": TIME_MS,
        "nonce": NONCE,
        "key": SENDER,
        "domain": DOMAIN,
        **changes,
    }
    return make_seal(operations, **given_)


operations_ = st.lists(
    st.tuples(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10),
        st.lists(values, max_size=3),
    ).map(list),
    min_size=1,
    max_size=4,
)


@given(operations_, st.integers(0, TIME_MAX_MS), st.binary(min_size=16, max_size=16))
def test_a_made_seal_is_read_as_it_was_meant(
    operations: list[Any], created_at_ms: int, nonce: bytes
) -> None:
    seal = made(operations, created_at_ms=created_at_ms, nonce=nonce)
    again = read_seal(seal.data)
    assert again == seal
    assert again.hash == seal.hash
    assert (again.sender, again.created_at_ms, again.nonce) == (SENDER.public, created_at_ms, nonce)
    assert again.operations == operations
    assert again.verified(DOMAIN, verify)


def test_the_hash_is_of_the_received_bytes_without_the_signature() -> None:
    """66 bytes at the end are the signature and its header."""
    assert SEAL.data[-66:] == b"\xc4\x40" + SEAL.signature
    assert SEAL.hash == hashlib.sha256(SEAL.data[:-66]).digest() == seal_hash(SEAL.data)
    wire = unpack(SEAL.data)
    assert SEAL.data[:-66] == b"\x96" + pack(wire[:5])[1:]
    other = read_seal(SEAL.data[:-64] + bytes(64))
    assert other.hash == SEAL.hash
    assert other != SEAL
    assert not other.verified(DOMAIN, verify)


def test_every_bent_seal_is_malformed_or_another_whose_signature_fails() -> None:
    """Goal: one name for one content, no second reading. Method: bend every place of two seals."""
    for seal in (SEAL, PLAIN_SEAL):
        for path, other, whole in bends(unpack(seal.data)):
            try:
                found = read_seal(pack(whole))
            except Malformed:
                continue
            assert found.data != seal.data
            assert (found.hash == seal.hash) == (path == (5,)), (path, other)
            assert not found.verified(DOMAIN, verify), (path, other)


@given(st.binary(max_size=300), st.integers(0, 2**16), st.integers(1, 255), st.integers(0, 3))
def test_any_bytes_are_one_seal_or_malformed(junk: bytes, at: int, bits: int, cut: int) -> None:
    bent = bytearray(SEAL.data)
    bent[at % len(bent)] ^= bits
    for data in (junk, SEAL.data + junk, bytes(bent), SEAL.data[: len(SEAL.data) - cut]):
        try:
            seal = read_seal(data)
        except Malformed:
            continue
        assert seal.data == data
        assert data == SEAL.data or not seal.verified(DOMAIN, verify)


def test_a_seal_is_no_message_and_a_block_of_bytes_no_seal() -> None:
    """Goal: what is signed or named as one thing cannot be shown as another."""
    with pytest.raises(Malformed):
        decode(SEAL.data)
    inside = pack(unpack(SEAL.data)[:5])
    with pytest.raises(Malformed):
        read_seal(inside)


def test_the_bytes_of_two_seals_do_not_run_into_each_other() -> None:
    for data in (SEAL.data + PLAIN_SEAL.data, PLAIN_SEAL.data * 2, pack([SEAL.data])):
        with pytest.raises(Malformed):
            read_seal(data)


@pytest.mark.parametrize("count", [1, 15, 16, SEAL_OPERATIONS_MAX])
def test_a_seal_has_1_to_1000_operations(count: int) -> None:
    assert len(made(PUT * count).operations) == count


@pytest.mark.parametrize("count", [0, SEAL_OPERATIONS_MAX + 1])
def test_other_numbers_of_operations_are_malformed(count: int) -> None:
    with pytest.raises(Malformed, match="1 to 1000 operations"):
        made(PUT * count)


@pytest.mark.parametrize(
    "operations",
    [
        None,
        {},
        {"put": []},
        "put",
        [None],
        ["put"],
        [[]],
        [["put"]],
        [["put", [], []]],
        [[b"put", []]],
        [[1, []]],
        [[None, []]],
        [["", []]],
        [["x" * (OPERATION_NAME_MAX_CHARS + 1), []]],
        [["put", None]],
        [["put", {}]],
        [["put", "k"]],
        [["put", b"k"]],
        [*PUT, ["put"]],
    ],
    ids=lambda value: repr(value)[:30],
)
def test_other_operations_are_malformed(operations: object) -> None:
    wire = [1, SENDER.public, TIME_MS, NONCE, operations, bytes(64)]
    with pytest.raises(Malformed):
        read_seal(pack(wire))


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, 0),
        (0, 2),
        (0, True),
        (0, "1"),
        (1, bytes(31)),
        (1, bytes(33)),
        (1, "x" * 32),
        (2, -1),
        (2, TIME_MAX_MS + 1),
        (2, 2**64 - 1),
        (2, True),
        (2, None),
        (3, bytes(15)),
        (3, bytes(17)),
        (3, b""),
        (3, "x" * 16),
        (5, bytes(63)),
        (5, bytes(65)),
        (5, "x" * 64),
        (5, None),
    ],
)
def test_other_fields_are_malformed(at: int, value: object) -> None:
    wire: list[object] = [1, SENDER.public, TIME_MS, NONCE, PUT, bytes(64)]
    assert read_seal(pack(wire))
    wire[at] = value
    with pytest.raises(Malformed):
        read_seal(pack(wire))


@pytest.mark.parametrize("wire", [[], [1] * 5, [1] * 7, {}, "seal", None])
def test_a_seal_has_6_fields(wire: object) -> None:
    with pytest.raises(Malformed, match="6 fields"):
        read_seal(pack(wire))


def test_dicts_in_arguments_are_sorted_by_their_maker() -> None:
    """Goal: one seal for one call, whatever the order its caller wrote; unsorted is refused."""
    one = made([["op", [{"b": 1, "a": {"z": 1, "y": (2, 3)}}]]])
    other = made([["op", [{"a": {"y": [2, 3], "z": 1}, "b": 1}]]])
    assert one.data == other.data
    unsorted = pack([1, SENDER.public, TIME_MS, NONCE, [["op", [{"b": 1, "a": 2}]]], bytes(64)])
    with pytest.raises(Malformed, match="out of order"):
        read_seal(unsorted)


def test_a_maker_leaves_its_callers_arguments_alone() -> None:
    argument = {"b": 1, "a": [(1, 2)]}
    made([["op", [argument]]])
    assert list(argument) == ["b", "a"]
    assert argument["a"] == [(1, 2)]


@pytest.mark.parametrize("argument", [1.0, {1: 2}, object(), {"a": {2}}, bytearray(b"")])
def test_arguments_without_a_wire_form_are_refused(argument: object) -> None:
    with pytest.raises(TypeError):
        made([["op", [argument]]])


@pytest.mark.parametrize("argument", [2**64, -(2**63) - 1])
def test_ints_beyond_64_bits_are_refused(argument: int) -> None:
    with pytest.raises(OverflowError):
        made([["op", [argument]]])


def test_arguments_are_as_deep_as_a_seal_allows() -> None:
    """A seal, its operations, one of them and its arguments take 4 of the codec's levels."""

    def nested(depth: int) -> list[Any]:
        value: list[Any] = []
        for _ in range(depth - 1):
            value = [value]
        return value

    assert made([["op", [nested(DEPTH_MAX - 4)]]]).operations
    for depth in (DEPTH_MAX - 3, DEPTH_MAX, 10_000):
        with pytest.raises(ValueError, match="deep"):
            made([["op", [nested(depth)]]])


@given(st.lists(values, max_size=4))
def test_packed_arguments_are_canonical(arguments: list[Any]) -> None:
    assert pack(pack_arguments(arguments)) == pack_sorted(arguments)


def test_seals_differ_by_sender_time_nonce_and_operations() -> None:
    seals = [
        made(PUT),
        made(PUT, key=key(7)),
        made(PUT, created_at_ms=TIME_MS + 1),
        made(PUT, nonce=bytes(15) + b"\x01"),
        made([["put", ["k", "v"]]]),
        made(PUT * 2),
    ]
    assert len({seal.hash for seal in seals}) == len(seals)
    assert len(set(seals)) == len(seals)


def test_a_seal_of_another_chain_has_the_same_hash_and_no_valid_signature() -> None:
    other = made(PUT, domain=type(DOMAIN)(network_id="other", genesis=DOMAIN.genesis))
    assert other.hash == made(PUT).hash
    assert not other.verified(DOMAIN, verify)


def test_a_sender_without_a_key_signs_nothing() -> None:
    """A small-order key as sender: nobody holds it, so nobody may send with it."""
    neutral = (1).to_bytes(32, "little")
    wire = [1, neutral, TIME_MS, NONCE, PUT, neutral + bytes(32)]
    assert not read_seal(pack(wire)).verified(DOMAIN, verify)


def test_a_seal_shows_its_name_and_no_content() -> None:
    secret = PrivateKey(bytes(32)).text()
    seal = made([["put", [secret, b""]]])
    assert repr(seal) == f"Seal({seal.hash.hex()[:12]}, 1 operations)"
