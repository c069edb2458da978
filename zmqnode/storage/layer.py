"""What was put into a store and is not committed yet, in the shape the store keeps it in.

A layer holds one dictionary for each table, key to value, None for deleted. The LMDB store reads
through two of them (one that is being filled, one that is being committed), the memory store *is*
one. Keys and values are exactly those that go into the database, so committing a layer is copying.

    blocks   height (8 bytes, big endian)        block hash (32) || block
    hashes   block hash                          height
    votes    height || b"a" or b"i"              encoded ACCEPT or INIT voteproof
    seals    seal hash                           height
    state    state key                           value
    pages    prefix in hexadecimal               page           (the topmost page has b".")
    meta     b"m" || key of the caller's         value; b"height": the marker; b"format"
"""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import islice

from zmqnode.storage.store import (
    HASH_BYTES,
    META_KEY_BYTES_MAX,
    NO_HEIGHT,
    BlockRecord,
    Store,
    StoredVoteproofs,
)

BLOCKS, HASHES, VOTES, SEALS, STATE, PAGES, META_TABLE = range(7)
TABLES = ("blocks", "hashes", "votes", "seals", "state", "pages", "meta")
ACCEPT = b"a"
INIT = b"i"
TOP_PAGE = b"."  # LMDB has no empty keys; sorts before every digit.
META = b"m"
MARKER = b"height"
FORMAT = b"format"

Table = dict[bytes, bytes | None]


def height_key(height: int) -> bytes:
    """A height as a key: byte order is numeric order."""
    return height.to_bytes(8, "big")


class Layer:
    """Blocks and single records that belong together until they are durable.

    Attributes:
        tables: the seven dictionaries, in the order of `TABLES`.
        began: when the first record came, on the clock of whoever commits the layer.
        height: of the newest block in it; -1: no block.
        keys: how many keys it will write, at most; pages, which follow from them, not counted.
        size: bytes of all values it will write, at most.
    """

    __slots__ = (*TABLES, "_names", "began", "height", "keys", "size", "tables")

    def __init__(self) -> None:
        self.blocks: Table = {}
        self.hashes: Table = {}
        self.votes: Table = {}
        self.seals: Table = {}
        self.state: Table = {}
        self.pages: Table = {}
        self.meta: Table = {}
        self.tables: tuple[Table, ...] = (
            self.blocks,
            self.hashes,
            self.votes,
            self.seals,
            self.state,
            self.pages,
            self.meta,
        )
        self._names: list[list[bytes]] = [[] for _ in TABLES]
        self.began: float | None = None
        self.height = NO_HEIGHT
        self.keys = 0
        self.size = 0

    def put(self, record: BlockRecord) -> None:
        """Take in a whole block."""
        at = height_key(record.height)
        self.blocks[at] = record.block_hash + record.block
        self.hashes[record.block_hash] = at
        self.votes[at + ACCEPT] = record.accept_vp
        size = len(record.block) + len(record.accept_vp)
        if record.init_vp is not None:
            self.votes[at + INIT] = record.init_vp
            size += len(record.init_vp)
        if record.seals:
            self.seals.update(dict.fromkeys(record.seals, at))
        if record.state:
            self.state.update(record.state)
            size += sum([len(value) for value in record.state.values() if value is not None])
        if record.pages:
            self.pages.update(record.pages)
            if b"" in self.pages:
                self.pages[TOP_PAGE] = self.pages.pop(b"")
            size += sum([len(page) for page in record.pages.values() if page is not None])
        for key, value in record.meta.items():
            self.meta[META + key] = value
            size += len(value)
        self.meta[MARKER] = at
        self.height = record.height
        self.keys += 4 + len(record.seals) + len(record.state)
        self.size += size

    def matching(
        self, table: int, prefix: bytes, after: bytes | None
    ) -> list[tuple[bytes, bytes | None]]:
        """Entries with a prefix and greater than `after`, in byte order; None where deleted.

        The order of a table is kept from scan to scan: a dictionary keeps its old keys in place
        and has its new ones at the end, and sorting a sorted list with a tail is nearly free.
        """
        entries, names = self.tables[table], self._names[table]
        if len(names) != len(entries):
            # A new list: another reader may be in the old one.
            names = sorted([*names, *islice(entries, len(names), None)])
            self._names[table] = names
        at = bisect_left(names, prefix)
        if after is not None and after >= prefix:
            at = bisect_right(names, after)
        found = []
        for name in islice(names, at, None):
            if not name.startswith(prefix):
                break
            found.append((name, entries[name]))
        return found

    def put_voteproofs(self, height: int, accept: bytes | None, init: bytes | None) -> None:
        """Replace voteproofs; what is None stays."""
        at = height_key(height)
        for stage, voteproof in ((ACCEPT, accept), (INIT, init)):
            if voteproof is not None:
                self.votes[at + stage] = voteproof
                self.keys += 1
                self.size += len(voteproof)

    def put_meta(self, key: bytes, value: bytes | None) -> None:
        """Take in a small record."""
        assert 0 < len(key) <= META_KEY_BYTES_MAX
        self.meta[META + key] = value
        self.keys += 1
        self.size += len(value or b"")


class TableStore(Store):
    """A store's questions, answered from its tables: one lookup and one scan to implement."""

    @abstractmethod
    def _get(self, table: int, key: bytes) -> bytes | None:
        """The newest value at a key of a table."""

    @abstractmethod
    def _scan(
        self, table: int, prefix: bytes, after: bytes | None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Keys of a table with a prefix and greater than `after`, in byte order."""

    def block(self, height: int) -> bytes | None:
        stored = self._get(BLOCKS, height_key(height)) if height >= 0 else None
        return None if stored is None else stored[HASH_BYTES:]

    def block_hash(self, height: int) -> bytes | None:
        stored = self._get(BLOCKS, height_key(height)) if height >= 0 else None
        return None if stored is None else stored[:HASH_BYTES]

    def height_of(self, block_hash: bytes) -> int | None:
        stored = self._get(HASHES, block_hash)
        return None if stored is None else int.from_bytes(stored, "big")

    def voteproofs(self, height: int) -> StoredVoteproofs | None:
        if height < 0:
            return None
        at = height_key(height)
        accept = self._get(VOTES, at + ACCEPT)
        if accept is None:
            return None
        return StoredVoteproofs(accept=accept, init=self._get(VOTES, at + INIT))

    def seal_height(self, seal_hash: bytes) -> int | None:
        stored = self._get(SEALS, seal_hash)
        return None if stored is None else int.from_bytes(stored, "big")

    def get(self, key: bytes) -> bytes | None:
        return self._get(STATE, key)

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        return self._scan(STATE, prefix, after)

    def page(self, prefix: bytes) -> bytes | None:
        return self._get(PAGES, prefix or TOP_PAGE)

    def pages(self) -> Iterator[tuple[bytes, bytes]]:
        top = self._get(PAGES, TOP_PAGE)
        # The topmost page is alone or not at all: a tree with inner nodes has no page there.
        return iter([(b"", top)]) if top is not None else self._scan(PAGES, b"", None)

    def meta(self, key: bytes) -> bytes | None:
        return self._get(META_TABLE, META + key)
