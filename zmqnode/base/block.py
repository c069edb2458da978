"""Blocks: a manifest, whose hash is the block's name, and the content it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from zmqnode.base.codec import encode, from_wire, message, pack, to_wire, unpack
from zmqnode.base.hashes import Hash, tagged
from zmqnode.base.point import HEIGHT_MAX
from zmqnode.base.proposal import Value
from zmqnode.base.seal import Seal, read_seal
from zmqnode.errors import Malformed


@message("manifest", version=1)
@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What executing a value gave: the roots of results and state, and suffrage(height + 2)."""

    height: int
    parent: Hash
    value: Hash
    results_root: Hash
    state_root: Hash
    suffrage: Hash

    def __post_init__(self) -> None:
        if not 0 <= self.height <= HEIGHT_MAX:
            raise ValueError("height out of range")

    @cached_property
    def hash(self) -> Hash:
        """The block hash; of block 0, the genesis hash."""
        return tagged(b"block", encode(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A manifest, its value and the value's seals in order; block 0 has neither value nor seals.

    The results are one encoded leaf a seal, as base.results writes them. They follow from executing
    the block; they are stored with it so that readers need not execute.
    """

    manifest: Manifest
    value: Value | None
    seals: tuple[Seal, ...]
    results: tuple[bytes, ...]

    @property
    def height(self) -> int:
        """The manifest's height."""
        return self.manifest.height

    @property
    def hash(self) -> Hash:
        """The manifest's hash."""
        return self.manifest.hash


def encode_block(block: Block) -> bytes:
    """Canonical bytes of a whole block, for the store and for catching up."""
    return pack(
        [
            to_wire(block.manifest),
            None if block.value is None else to_wire(block.value),
            [seal.data for seal in block.seals],
            list(block.results),
        ]
    )


def decode_block(data: bytes) -> Block:
    """The block of :func:`encode_block`'s bytes; raises Malformed. Checks form, not truth."""
    wire = unpack(data)
    if type(wire) is not list or len(wire) != 4:
        raise Malformed("a block has 4 parts")
    manifest, value, seals, results = wire
    if type(seals) is not list or not all(type(item) is bytes for item in seals):
        raise Malformed("seals: expected a list of bytes")
    if type(results) is not list or not all(type(item) is bytes for item in results):
        raise Malformed("results: expected a list of bytes")
    return Block(
        manifest=from_wire(Manifest, manifest),
        value=None if value is None else from_wire(Value, value),
        seals=tuple(read_seal(item) for item in seals),
        results=tuple(results),
    )
