"""Results of operations: the leaf of a seal, the results root of a block, proofs of one leaf.

Theory. Every seal of a block is one leaf: its hash and the canonical bytes of what became of its
operations. The leaves form the Merkle tree of RFC 9162 section 2.1 (that of RFC 6962), with
domains of zmqnode's own; the root also covers the number of leaves, so that a proof speaks for
one position of one tree size only. The results root is part of the manifest: a client that trusts
a block hash can check what became of its seal without the block.

Deviations from RFC 9162: tagged hashes in place of the 0x00 and 0x01 prefixes, the size in the
root (the RFC signs it beside the root), and an empty tree that has a root of the same form.

Most seals hold operations that succeeded and emitted nothing. Such a leaf is the number of
operations and an empty list, three bytes; only other results are spelled out, with their index.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from zmqnode.base.codec import pack, unpack
from zmqnode.base.hashes import ZERO, Hash, tagged
from zmqnode.errors import Malformed

RESULTS_MAX: Final = 1000  # Operations of a seal.
CONTAINERS_MAX: Final = 1 << 20  # Lists and maps in a leaf; 100 events each for 1000 operations.
LEAVES_MAX: Final = 2**20  # Seals of a block; far above what its bytes allow.
PROOF_HASHES_MAX: Final = 20  # log2 of it.

_LEAF: Final = b"results-leaf"
_NODE: Final = b"results-node"
_ROOT: Final = b"results-root"

Event: TypeAlias = tuple[str, dict[str, object]]
# (ok, reason or None, events). A tuple, not a class: one is kept for every operation.
OperationResult: TypeAlias = tuple[bool, str | None, tuple[Event, ...]]

OK: Final[OperationResult] = (True, None, ())


def encode_results(results: Sequence[OperationResult]) -> bytes:
    """The canonical bytes of a seal's results: [count, [[index, reason or nil, events]..]].

    Only results other than "ok without events" are listed. A failed operation has no events: it
    was undone whole. Dicts in events have their keys in order already, as ``ctx.emit`` keeps them.
    """
    listed = [
        [index, reason, [[name, data] for name, data in events]]
        for index, (ok, reason, events) in enumerate(results)
        if not ok or events
    ]
    return pack([len(results), listed]) if listed else _plain(len(results))


@lru_cache(maxsize=RESULTS_MAX)
def _plain(count: int) -> bytes:
    return pack([count, []])


def decode_results(data: bytes) -> tuple[OperationResult, ...]:
    """The results that ``encode_results`` gave these bytes. Raises Malformed for any others."""
    match unpack(data, containers_max=CONTAINERS_MAX):
        case [int(count), list(listed)] if type(count) is int and 0 <= count <= RESULTS_MAX:
            results = [OK] * count
            last = -1
            for entry in listed:
                index, result = _listed(entry)
                if not last < index < count:
                    raise Malformed("results out of order or out of range")
                results[index] = result
                last = index
            return tuple(results)
    raise Malformed("no results of a seal")


def _listed(entry: object) -> tuple[int, OperationResult]:
    match entry:
        case [int(index), None, [_, *_] as events] if type(index) is int:
            return index, (True, None, tuple(_event(one) for one in events))
        case [int(index), str(reason), []] if type(index) is int:
            return index, (False, reason, ())
    raise Malformed("no result of an operation")


def _event(value: object) -> Event:
    match value:
        case [str(name), dict(data)]:
            return name, data
    raise Malformed("no event of an operation")


def results_leaf(seal: Hash, results: bytes) -> Hash:
    """The hash of one leaf.

    Args:
        seal: 32 bytes, the seal's hash.
        results: its results, as ``encode_results`` gives them.
    """
    return tagged(_LEAF, seal + results)


def results_root(leaves: Sequence[Hash]) -> Hash:
    """The root over the leaves of a block's seals in their order; defined for none, too."""
    level = list(leaves)
    while len(level) > 1:
        level = _above(level)
    return _root(len(leaves), level[0] if level else ZERO)


def _above(level: list[Hash]) -> list[Hash]:
    """The next level. Level by level gives RFC 9162's tree: an odd last hash moves up as it is."""
    odd = level[-1:] if len(level) % 2 else []
    pairs = zip(level[::2], level[1::2], strict=False)
    return [tagged(_NODE, left + right) for left, right in pairs] + odd


def _root(size: int, top: Hash) -> Hash:
    return tagged(_ROOT, size.to_bytes(8, "big") + top)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultProof:
    """That one leaf stands at one position of a tree of one size.

    Attributes:
        index: of the seal in its block, 0 to size - 1.
        size: seals of the block, 1 to 2^20.
        path: sibling hashes from the leaf upwards, 0 to 20 of 32 bytes.
    """

    index: int
    size: int
    path: tuple[Hash, ...]


def prove_result(leaves: Sequence[Hash], index: int) -> ResultProof:
    """The proof of ``leaves[index]``; the caller asks for an index that is there."""
    assert 0 <= index < len(leaves)
    path: list[Hash] = []
    level, at = list(leaves), index
    while len(level) > 1:
        sibling = at ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level = _above(level)
        at //= 2
    return ResultProof(index=index, size=len(leaves), path=tuple(path))


def verify_result(root: Hash, leaf: Hash, proof: ResultProof) -> bool:
    """Whether the leaf stands where the proof says, in the tree of this root.

    Strict: a path that is longer or shorter than the position needs, or holds anything but
    32-byte hashes, proves nothing.

    Source:
        RFC 9162, Certificate Transparency Version 2.0, section 2.1.3.2.
    """
    if not (0 <= proof.index < proof.size <= LEAVES_MAX and len(proof.path) <= PROOF_HASHES_MAX):
        return False
    at, last, top = proof.index, proof.size - 1, leaf
    for sibling in proof.path:
        if last == 0 or len(sibling) != 32:
            return False
        if at % 2 or at == last:
            top = tagged(_NODE, sibling + top)
            while at % 2 == 0 and at != 0:
                # The last of an odd level moved up without a sibling.
                at, last = at // 2, last // 2
        else:
            top = tagged(_NODE, top + sibling)
        at, last = at // 2, last // 2
    return last == 0 and _root(proof.size, top) == root
