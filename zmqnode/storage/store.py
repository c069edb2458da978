"""The store: blocks, voteproofs, state, indexes. The contract that `lmdb.py` and `memory.py` keep.

Theory. The node puts whole blocks, one after the other, and goes on at once; the store makes them
durable later, several in one transaction. In between they are read like any other: a store
answers from what was put, durable or not. `durable_height` says up to where a power cut takes
nothing; what is above it the journal must still hold (design, D3). After a crash a store holds a
whole number of blocks, never a part of one: `height` then is what `durable_height` was, or more.

Everything is bytes here. The store knows no formats but its own, so it depends on no other room;
heights are integers from 0 (genesis) on, and -1 is the height of a store without blocks.

Threads: one thread puts (the node's loop). Reads may come from any thread.

Errors: a store that can no longer keep its promise (disk full, I/O error, damaged file) says so
once through `on_failure`, from then on refuses every put with that same `Damaged`, and goes on
answering reads as long as it can, so that a broken node can still say what it has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from zmqnode.base.tree import KEY_BYTES_MAX
from zmqnode.errors import Damaged

NO_HEIGHT = -1  # The height of a store that holds no block.
HASH_BYTES = 32
META_KEY_BYTES_MAX = 64

OnDurable = Callable[[int], None]
OnFailure = Callable[[Damaged], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRecord:
    """One whole block as it goes into a store; all or nothing of it becomes durable.

    Attributes:
        height: one more than the store's; 0 for genesis.
        block_hash: 32 bytes.
        block: the encoded block.
        accept_vp: the encoded ACCEPT voteproof; empty for genesis, whose voteproof is implicit.
        init_vp: the encoded INIT voteproof, if the node has one.
        seals: hashes of the block's seals, 32 bytes each, for the index seal -> height.
        state: changed state keys (1 to 500 bytes); None deletes.
        pages: changed pages of the state tree (`Overlay.page_changes()`); None deletes.
        meta: small records of the caller's that belong to this height (keys to 64 bytes).
    """

    height: int
    block_hash: bytes
    block: bytes
    accept_vp: bytes
    init_vp: bytes | None = None
    seals: Sequence[bytes] = ()
    state: Mapping[bytes, bytes | None] = field(default_factory=dict)
    pages: Mapping[bytes, bytes | None] = field(default_factory=dict)
    meta: Mapping[bytes, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVoteproofs:
    """The voteproofs that lie beside a block: any valid ones, no part of its hash."""

    accept: bytes
    init: bytes | None


class Store(ABC):
    """What the node needs of its store; see the module's docstring for the promises."""

    @property
    @abstractmethod
    def height(self) -> int:
        """Height of the newest block put; -1: none."""

    @property
    @abstractmethod
    def durable_height(self) -> int:
        """Height of the newest block that a power cut does not take; -1: none."""

    @property
    @abstractmethod
    def failure(self) -> Damaged | None:
        """Why this store refuses puts, if it does."""

    @abstractmethod
    def put_block(self, record: BlockRecord) -> None:
        """Put the next block. It is readable at once and durable later (`on_durable`).

        Blocks the calling thread while too much waits for the disk (back-pressure; the maxima
        are named where the store is).

        Raises:
            Damaged: the store failed, now or earlier.
        """

    @abstractmethod
    def put_voteproofs(
        self, height: int, *, accept: bytes | None = None, init: bytes | None = None
    ) -> None:
        """Replace one or both voteproofs beside a stored block, for instance by fuller ones."""

    @abstractmethod
    def put_meta(self, key: bytes, value: bytes | None) -> None:
        """Keep a small record that belongs to no block; None deletes. Durable a group later."""

    @abstractmethod
    def flush(self) -> int:
        """Make everything put so far durable, wait for it, and return `durable_height`."""

    @abstractmethod
    def close(self) -> None:
        """Make everything durable and let go of the files. A second call does nothing.

        Raises:
            Damaged: not everything that was put became durable.
        """

    @abstractmethod
    def block(self, height: int) -> bytes | None:
        """The encoded block at a height."""

    @abstractmethod
    def block_hash(self, height: int) -> bytes | None:
        """The hash of the block at a height."""

    @abstractmethod
    def height_of(self, block_hash: bytes) -> int | None:
        """The height of the block with this hash."""

    @abstractmethod
    def voteproofs(self, height: int) -> StoredVoteproofs | None:
        """The voteproofs beside the block at a height."""

    @abstractmethod
    def seal_height(self, seal_hash: bytes) -> int | None:
        """The height of the block that holds this seal."""

    @abstractmethod
    def get(self, key: bytes) -> bytes | None:
        """The value of a state key in the newest block."""

    @abstractmethod
    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """State keys that begin with a prefix and their values, in byte order.

        Shows the state as it is at the call, whatever is put meanwhile. Use it up or close it
        soon: an open scan keeps the store from growing its file, and is cut off (`TimedOut`)
        when that has to wait too long.

        Args:
            prefix: any bytes; empty for all keys.
            after: begin with the first key greater than this one (to go on later).
        """

    @abstractmethod
    def page(self, prefix: bytes) -> bytes | None:
        """The page of the state tree at a prefix (hexadecimal) in the newest block."""

    @abstractmethod
    def pages(self) -> Iterator[tuple[bytes, bytes]]:
        """All pages of the state tree in the order of their prefixes; like `scan`."""

    @abstractmethod
    def meta(self, key: bytes) -> bytes | None:
        """A small record of the caller's."""

    def block_by_hash(self, block_hash: bytes) -> bytes | None:
        """The encoded block with this hash."""
        height = self.height_of(block_hash)
        return None if height is None else self.block(height)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def check_record(record: BlockRecord, height: int) -> None:
    """Assert what a caller owes: the next height, and keys the store can order."""
    assert record.height == height + 1, f"block {record.height} put on height {height}"
    assert len(record.block_hash) == HASH_BYTES
    for key in record.state:
        assert 0 < len(key) <= KEY_BYTES_MAX, "state key of a length the app room must refuse"
    for key in record.meta:
        assert 0 < len(key) <= META_KEY_BYTES_MAX
