"""The state tree: what the 32 bytes called *state root* commit to, and how to prove one key of it.

Theory. Every key has a place, SHA-256(key), read as 64 nibbles. The tree is a 16-ary trie over
those places. A prefix under which at most 32 keys lie is one *page*; a prefix with more is an
*inner node* with 16 children. So the shape follows from the set of keys alone: it does not matter
in which order they came, or what was deleted in between (an inner node that falls to 32 keys folds
back into a page). Two nodes with the same state have the same root, and whoever wants to flood one
page must find SHA-256 prefixes, which only makes that one branch deeper.

    entry  SHA-256(key) || SHA-256(len(key) as 4 bytes big endian || key || value)     64 bytes
    page   H("tree.page",  entries in ascending order of SHA-256(key))             0 to 32 entries
    inner  H("tree.inner", the hashes of the 16 children, in order of the nibble)      512 bytes
    root   H("tree.root",  the hash of the page or inner node at the empty prefix)

with H(tag, data) = SHA-256(len(tag) as one byte || tag || data) (`hashes.tagged`). The three tags
keep a page from being passed off as an inner node, and a subtree's hash from being passed off as a
root. An empty child is the page without entries; it is no special case.

A proof is the one page on the way to the key and, for every inner node above it, the 15 hashes
beside the way. The page shows what is there and what is not, so the same proof serves presence
and absence; about 3 kB at a million keys.

Source: DESIGN.md section 4. The idea of one shape per set of keys is that of hash tries and of the
jellyfish Merkle tree (Gao, Hu and Wu, 2021), with pages instead of single leaves at the bottom.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from zmqnode.base.hashes import Hash
from zmqnode.errors import Malformed

HASH_BYTES = 32
ENTRY_BYTES = 64  # SHA-256(key), then the hash of key and value.
PAGE_ENTRIES_MAX = 32  # One entry more, and the page becomes an inner node.
PAGE_BYTES_MAX = PAGE_ENTRIES_MAX * ENTRY_BYTES
FANOUT = 16
DEPTH_MAX = 63  # Nibbles above the deepest possible page: two places differ in the last one.
KEY_BYTES_MAX = 500  # Of a state key, system prefix included: what the embedded store can order.
SIBLINGS_BYTES = (FANOUT - 1) * HASH_BYTES

# `tagged(tag, data)` written out, because these run once or twice for every changed key.
PAGE_PREFIX = bytes((9,)) + b"tree.page"
INNER_PREFIX = bytes((10,)) + b"tree.inner"
ROOT_PREFIX = bytes((9,)) + b"tree.root"

_sha256 = hashlib.sha256


def place(key: bytes) -> bytes:
    """SHA-256(key): where the key lies in the tree. 32 bytes."""
    return _sha256(key).digest()


def leaf(key: bytes, value: bytes) -> bytes:
    """The commitment to one key and its value, 32 bytes; the length keeps them apart."""
    return _sha256(len(key).to_bytes(4, "big") + key + value).digest()


def page_hash(page: bytes) -> Hash:
    """Hash of a page: 0 to 32 entries of 64 bytes in ascending order (not checked here)."""
    return Hash(_sha256(PAGE_PREFIX + page).digest())


def inner_hash(children: bytes) -> Hash:
    """Hash of an inner node: the 16 hashes of its children, 512 bytes."""
    return Hash(_sha256(INNER_PREFIX + children).digest())


def root_hash(top: bytes) -> Hash:
    """The state root over the hash of the topmost page or inner node."""
    return Hash(_sha256(ROOT_PREFIX + top).digest())


EMPTY_PAGE = page_hash(b"")
EMPTY_ROOT = root_hash(EMPTY_PAGE)


def nibble(where: bytes, depth: int) -> int:
    """The nibble of a place that picks the child below an inner node at `depth` (0 is the top)."""
    byte = where[depth >> 1]
    return byte & 15 if depth & 1 else byte >> 4


def find(page: bytes, where: bytes) -> int:
    """Offset of the entry at this place in a page, or -1."""
    at = page.find(where)
    while at >= 0 and at % ENTRY_BYTES:  # The same 32 bytes across two entries are no entry.
        at = page.find(where, at + 1)
    return at


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What lies at one place of the tree: a key's value, or that there is no such key.

    Attributes:
        page: the page on the way to the key; 0 to 32 entries of 64 bytes, ascending.
        siblings: for each inner node from the top down, the hashes of the 15 children beside the
            way, in order of the nibble, 480 bytes each; 0 to 63 of them.
    """

    page: bytes
    siblings: tuple[bytes, ...] = ()

    def to_wire(self) -> list[object]:
        """The canonical form for msgpack: ``[page, [siblings, ...]]``."""
        return [self.page, list(self.siblings)]

    @classmethod
    def from_wire(cls, wire: object) -> Proof:
        """Read `to_wire`'s form back.

        Raises:
            Malformed: not that form. Sizes are checked here, hashes in `verify_proof`.
        """
        match wire:
            case [bytes() as page, list() as siblings] if len(siblings) <= DEPTH_MAX:
                proof = cls(page=page, siblings=tuple(siblings))
                if _well_formed(proof):
                    return proof
        raise Malformed("a tree proof is [page, [siblings, ...]] with whole entries and hashes")


def _well_formed(proof: Proof) -> bool:
    """Whether the sizes fit; whatever came off a wire may stand in the fields."""
    page: object = proof.page
    siblings: object = proof.siblings
    return (
        isinstance(page, bytes)
        and isinstance(siblings, tuple)
        and len(page) <= PAGE_BYTES_MAX
        and len(page) % ENTRY_BYTES == 0
        and len(siblings) <= DEPTH_MAX
        and all(isinstance(row, bytes) and len(row) == SIBLINGS_BYTES for row in siblings)
    )


def _belongs(page: bytes, where: bytes, depth: int) -> bool:
    """Whether the entries ascend strictly, all under the first `depth` nibbles of `where`."""
    whole, odd = depth >> 1, depth & 1
    last = b""
    for at in range(0, len(page), ENTRY_BYTES):
        entry = page[at : at + HASH_BYTES]
        if entry <= last or entry[:whole] != where[:whole]:
            return False
        if odd and entry[whole] >> 4 != where[whole] >> 4:
            return False
        last = entry
    return True


def verify_proof(root: bytes, key: bytes, value: bytes | None, proof: Proof) -> bool:
    """Whether the state under `root` holds `value` at `key`; None: that it holds no such key.

    Total: any proof whatsoever gives True or False, never an exception. There is at most one
    proof for a root and a key that passes; every other one would be a collision of SHA-256.

    Args:
        root: the 32 bytes of a manifest's state root, from a source the caller trusts.
        key: the whole state key, system prefix included.
        value: the exact bytes of the value (``b""`` is a value), or None for absence.
        proof: from anybody.
    """
    if not _well_formed(proof):
        return False
    where = place(key)
    depth = len(proof.siblings)
    if not _belongs(proof.page, where, depth):
        return False
    digest: bytes = page_hash(proof.page)
    for level in range(depth - 1, -1, -1):
        row = proof.siblings[level]
        cut = nibble(where, level) * HASH_BYTES
        digest = inner_hash(row[:cut] + digest + row[cut:])
    if root_hash(digest) != root:
        return False
    at = find(proof.page, where)
    if value is None:
        return at < 0
    return at >= 0 and proof.page[at + HASH_BYTES : at + ENTRY_BYTES] == leaf(key, value)
