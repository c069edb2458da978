"""Blocks: their one encoding, and what their hash commits to."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.base.test_messages import bends
from tests.vectors.samples import BLOCK_0, BLOCK_1, PLAIN_SEAL, SEAL
from zmqnode.base.block import Block, Manifest, decode_block, encode_block
from zmqnode.base.codec import decode, encode, pack, unpack
from zmqnode.base.hashes import HASH_BYTES, ZERO, Hash, sha256, tagged
from zmqnode.base.point import HEIGHT_MAX
from zmqnode.errors import Malformed


@pytest.mark.parametrize("block", [BLOCK_0, BLOCK_1], ids=["0", "1"])
def test_a_block_survives_its_encoding(block: Block) -> None:
    again = decode_block(encode_block(block))
    assert again == block
    assert again.hash == block.hash == block.manifest.hash
    assert again.height == block.height
    assert encode_block(again) == encode_block(block)


def test_the_hash_is_of_the_manifest_with_a_domain_of_its_own() -> None:
    assert BLOCK_1.hash == tagged(b"block", encode(BLOCK_1.manifest))
    bare = replace(BLOCK_1, seals=(), results=())
    assert bare.hash == BLOCK_1.hash


def test_every_field_of_the_manifest_is_in_the_hash() -> None:
    manifest = BLOCK_1.manifest
    changes: dict[str, Any] = {field.name: sha256(b"other") for field in fields(manifest)}
    changes["height"] = 2
    hashes = {replace(manifest, **{name: value}).hash for name, value in changes.items()}
    assert len(hashes) == len(fields(manifest))
    assert manifest.hash not in hashes


def test_two_fields_cannot_be_exchanged() -> None:
    manifest = BLOCK_1.manifest
    names = [field.name for field in fields(manifest) if field.name != "height"]
    for one in names:
        for other in names:
            a, b = getattr(manifest, one), getattr(manifest, other)
            turned = replace(manifest, **{one: b, other: a})
            assert (turned.hash == manifest.hash) == (a == b)


@pytest.mark.parametrize("height", [-1, HEIGHT_MAX + 1])
def test_a_manifest_has_a_height(height: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        replace(BLOCK_1.manifest, height=height)


@pytest.mark.parametrize("block", [BLOCK_0, BLOCK_1], ids=["0", "1"])
def test_a_bent_block_is_another_block_or_malformed(block: Block) -> None:
    data = encode_block(block)
    for path, other, whole in bends(unpack(data)):
        bent = pack(whole)
        try:
            found = decode_block(bent)
        except Malformed:
            continue
        assert encode_block(found) == bent, (path, other)
        # What the hash does not name itself, the manifest's roots do: seals, value, results.
        assert (found.hash == block.hash) == (path[0] != 0), (path, other)


@given(st.binary(max_size=200), st.integers(0, 2**16), st.integers(1, 255))
def test_any_bytes_are_one_block_or_malformed(junk: bytes, at: int, bits: int) -> None:
    true = encode_block(BLOCK_1)
    bent = bytearray(true)
    bent[at % len(bent)] ^= bits
    for data in (junk, bytes(bent), true + junk, true[: -1 - at % 9]):
        try:
            found = decode_block(data)
        except Malformed:
            continue
        assert encode_block(found) == data


@pytest.mark.parametrize(
    "change",
    [
        {2: None},
        {2: [SEAL.data, "text"]},
        {2: [SEAL.data, None]},
        {2: [b""]},
        {2: [SEAL.data[:-1]]},
        {2: [[SEAL.data]]},
        {3: None},
        {3: ["text"]},
        {3: [[1, []]]},
        {0: None},
        {0: []},
        {1: []},
        {1: b""},
    ],
    ids=repr,
)
def test_other_parts_are_malformed(change: dict[int, object]) -> None:
    wire = unpack(encode_block(BLOCK_1))
    for at, value in change.items():
        wire[at] = value
    with pytest.raises(Malformed):
        decode_block(pack(wire))


def test_a_block_is_no_message_and_no_seal() -> None:
    with pytest.raises(Malformed):
        decode(encode_block(BLOCK_1))
    with pytest.raises(Malformed):
        decode_block(SEAL.data)
    with pytest.raises(Malformed):
        decode_block(encode(BLOCK_1.manifest))


def test_seals_keep_their_order() -> None:
    turned = replace(BLOCK_1, seals=(PLAIN_SEAL, SEAL))
    assert decode_block(encode_block(turned)).seals == (PLAIN_SEAL, SEAL)


# Hashes.


def test_a_tag_and_its_data_do_not_run_into_each_other() -> None:
    assert tagged(b"ab", b"c") != tagged(b"a", b"bc")
    assert tagged(b"ab", b"c") == sha256(b"\x02abc")
    assert tagged(b"x" * 255, b"") == sha256(b"\xff" + b"x" * 255)
    with pytest.raises(ValueError):  # noqa: PT011 - a tag of our own that is too long
        tagged(b"x" * 256, b"")


@given(st.binary(max_size=20), st.binary(max_size=20), st.binary(max_size=20))
def test_tagged_hashes_are_equal_for_equal_pairs_alone(tag: bytes, a: bytes, b: bytes) -> None:
    assert (tagged(tag, a) == tagged(tag, b)) == (a == b)
    if a:
        assert tagged(tag + a[:1], a[1:]) != tagged(tag, a)


def test_known_hashes() -> None:
    """Source: FIPS 180-2, appendix B.1."""
    assert sha256(b"abc").hex() == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    assert Hash(bytes(HASH_BYTES)) == ZERO


def test_no_two_manifests_share_a_hash_by_their_numbers() -> None:
    manifests = [
        Manifest(
            height=height,
            parent=ZERO,
            value=ZERO,
            results_root=ZERO,
            state_root=ZERO,
            suffrage=ZERO,
        )
        for height in (0, 1, 127, 128, 255, 256, 2**16, 2**32, HEIGHT_MAX)
    ]
    assert len({manifest.hash for manifest in manifests}) == len(manifests)
