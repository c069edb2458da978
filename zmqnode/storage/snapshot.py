"""Reading the database file: one shared read transaction for lookups, own ones for scans.

Beginning a read transaction costs as much as a lookup, so lookups share one until the next commit
lets go of it. A scan has its own, as it must show one moment however slowly it is used up; short
scans (most) are read at once and leave none open.

All use of the file is under one lock, held for a lookup or for a chunk of a scan. Only so can the
worker move the file's address range, which is fatal under an open read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, cast
from weakref import WeakSet

import lmdb

from zmqnode.errors import Damaged, TimedOut
from zmqnode.storage.layer import TABLES

CHUNK_ENTRIES = 512  # Read under one hold of the lock: about a tenth of a millisecond.
FIRST_CHUNK_ENTRIES = 8  # Most scans are short.
SCAN_WAIT_MS_MAX = 10_000  # Growth waits so long for open scans, then cuts them off.

HINT = (
    "free disk space or replace the disk; if the file itself is damaged, delete the folder "
    "'store' and start again: the node fetches the chain from its peers"
)


def damaged(doing: str, error: BaseException) -> Damaged:
    """What the operator is told of an error of the database or the disk."""
    return Damaged(f"the store failed while {doing}: {error}", hint=HINT)


class Snapshots:
    """All reads of one LMDB environment."""

    def __init__(self, env: lmdb.Environment, tables: Sequence[Any]) -> None:
        self.env = env
        self.tables = tables  # Database handles in the order of `TABLES`.
        self.idle = threading.Condition()
        self._shared: lmdb.Transaction | None = None  # Begun by the first lookup after a commit.
        self.open_scans: WeakSet[OpenScan] = WeakSet()  # One that is forgotten ends itself.

    def get(self, table: int, key: bytes) -> bytes | None:
        """The newest committed value.

        Raises:
            Damaged: the file cannot be read.
        """
        try:
            with self.idle:
                shared = self._shared
                if shared is None:
                    shared = self._shared = self.env.begin(buffers=False)
                return cast("bytes | None", shared.get(key, None, self.tables[table]))
        except lmdb.Error as error:
            raise damaged(f"reading {TABLES[table]}", error) from error

    def release(self) -> None:
        """Let go of the shared snapshot: after a commit, before the committed layer goes."""
        with self.idle:
            self._let_go()

    def _let_go(self) -> None:
        if self._shared is not None:
            self._shared.abort()  # The binding keeps its slot for the next one.
            self._shared = None

    def scan(
        self,
        table: int,
        prefix: bytes,
        after: bytes | None,
        upper: list[tuple[bytes, bytes | None]],
    ) -> Iterator[tuple[bytes, bytes]]:
        """Entries with a prefix, greater than `after`, below those of `upper` (sorted)."""
        try:
            with self.idle:
                scan = OpenScan(self, table, prefix, after)
        except lmdb.Error as error:
            raise damaged(f"reading {TABLES[table]}", error) from error
        return newest(upper, scan.entries())

    def grow(self, size: int) -> None:
        """Widen the address range; open scans are waited for, then cut off."""
        deadline = time.monotonic() + SCAN_WAIT_MS_MAX / 1000
        with self.idle:
            while any(scan.is_open for scan in list(self.open_scans)):
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self.idle.wait(left)
            self._cut_off_scans()
            self._let_go()
            self.env.set_mapsize(size)

    def close(self) -> None:
        """End all reads and close the environment; later reads fail."""
        with self.idle:
            self._cut_off_scans()
            self._let_go()
            self.env.close()

    def _cut_off_scans(self) -> None:
        for scan in list(self.open_scans):
            if scan.is_open:
                scan.cut_off()


class OpenScan:
    """One moment of a table, read in chunks; it ends with the last entry or when it is forgotten.

    Who iterates holds the generator of `entries`, which holds this; nothing here refers back, so
    letting go of the iterator ends the transaction at once.
    """

    def __init__(
        self, snapshots: Snapshots, table: int, prefix: bytes, after: bytes | None
    ) -> None:
        """Called under the snapshots' lock."""
        self._snapshots = snapshots
        self._table = table
        self._prefix = prefix
        self._is_cut_off = False
        self._chunk_entries = FIRST_CHUNK_ENTRIES
        self._transaction: Any = snapshots.env.begin(buffers=False)
        snapshots.open_scans.add(self)
        start = prefix if after is None or after < prefix else after + b"\0"
        cursor = self._transaction.cursor(db=snapshots.tables[table])
        # LMDB takes an empty key for none at all.
        found = cursor.set_range(start) if start else cursor.first()
        self._entries: Iterator[tuple[bytes, bytes]] = cursor.iternext() if found else iter(())
        self._first_chunk = self._chunk()

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        """All entries; to be called once."""
        chunk = self._first_chunk
        while True:
            yield from chunk
            try:
                with self._snapshots.idle:
                    if self._transaction is None and not self._is_cut_off:
                        return
                    chunk = self._chunk()
            except lmdb.Error as error:
                raise damaged(f"reading {TABLES[self._table]}", error) from error

    def _chunk(self) -> list[tuple[bytes, bytes]]:
        """The next entries; under the lock. The transaction ends with the last of them."""
        if self._is_cut_off:
            raise TimedOut("timeout", "a scan of the store was open too long and was cut off")
        wanted = self._chunk_entries
        self._chunk_entries = CHUNK_ENTRIES
        chunk = list(islice(self._entries, wanted))
        if len(chunk) < wanted or not chunk[-1][0].startswith(self._prefix):
            chunk = [entry for entry in chunk if entry[0].startswith(self._prefix)]
            self.end()
        return chunk

    @property
    def is_open(self) -> bool:
        """Whether it reads the file still."""
        return self._transaction is not None

    def cut_off(self) -> None:
        """End the transaction under the reader's feet; under the lock."""
        self._is_cut_off = True
        self.end()

    def end(self) -> None:
        """End the transaction, if it has not ended; under the lock."""
        if self._transaction is not None:
            self._entries = iter(())
            self._transaction.abort()
            self._transaction = None
            self._snapshots.idle.notify_all()

    def __del__(self) -> None:
        if self._transaction is not None:
            with self._snapshots.idle:
                self.end()


def newest(
    upper: list[tuple[bytes, bytes | None]], lower: Iterator[tuple[bytes, bytes]]
) -> Iterator[tuple[bytes, bytes]]:
    """Two ascending runs as one; at equal keys the upper one holds, and None hides the key."""
    at = 0
    for key, value in lower:
        while at < len(upper) and upper[at][0] <= key:
            name, newer = upper[at]
            at += 1
            if newer is not None:
                yield name, newer
        if not at or upper[at - 1][0] != key:
            yield key, value
    for name, newer in upper[at:]:
        if newer is not None:
            yield name, newer
