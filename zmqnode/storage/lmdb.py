"""The store on LMDB, fully synced, with group commits by one worker thread.

Theory. A synced transaction costs a disk flush, a block must not. So blocks are put into a layer
in memory (`layer.py`) and a worker thread commits the layer when it is about a second old or holds
20,000 keys: it takes the layer over whole, the next blocks go into a fresh one, and until the
commit is through reads look into the fresh layer first, the one being committed second, the
database third. Nothing has to be cleaned up key by key: the committed layer is let go as a whole.
One layer is one transaction, with the height marker in it, so the file always holds a whole
number of blocks. LMDB writes copies of pages and flips one of two roots after a flush; it is used
with full syncing only, because without it a power cut may damage the file.

The order that makes lock-free reading right: the worker commits, lets go of the shared read
transaction, and only then drops the layer. A reader that took the pair of layers before the drop
finds the values there; one that took it after begins a new read transaction and finds them in the
file. The read transaction is let go at every commit, idle or not: an old one would keep LMDB from
using freed space again, and the file would grow.

The file's address range (`map_size`) doubles when it fills. That must not happen under a read
transaction, so reads of the file hold a short lock, and growth waits for open scans up to
`SCAN_WAIT_MS_MAX`, after which it cuts them off.

Between the pieces of its work the worker sleeps for a moment: it would otherwise hold the
interpreter for tens of milliseconds, which the node's loop would feel as a late vote.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb

from zmqnode.errors import Damaged
from zmqnode.storage.layer import (
    FORMAT,
    MARKER,
    META_TABLE,
    TABLES,
    Layer,
    Table,
    TableStore,
)
from zmqnode.storage.snapshot import HINT, Snapshots, damaged
from zmqnode.storage.store import (
    NO_HEIGHT,
    BlockRecord,
    OnDurable,
    OnFailure,
    check_record,
)

# A commit writes nearly every page of the file anew when the keys of a block are scattered, and
# votes wait behind it on the disk: few large ones cost less processor time and less writing.
GROUP_MS = 1_000  # A layer is committed when its first record is this old,
GROUP_KEYS = 20_000  # or when it holds this many keys (pages not counted), whichever is first.
PENDING_KEYS_MAX = 50_000  # In the layer being filled; then `put_block` waits for the worker,
PENDING_BYTES_MAX = 64 << 20  # as it does at this many bytes,
PENDING_WAIT_MS_MAX = 60_000  # and after so long the disk is called broken.
MAP_BYTES_START = 256 << 20
MAP_BYTES_MAX = 1 << 42  # 4 TiB of addresses; on disk the file is as long as it is full.
SLICE_KEYS = 100  # Keys written between two breaks of the worker.
SLICE_BREAK_S = 0.00005
FORMAT_VERSION = b"zmqnode store 1"


def _check_length(path: Path, length: int) -> None:
    """Reading past the end of a mapped file kills the process: say it instead."""
    if path.stat().st_size < length:
        raise OSError(f"{path.name} is cut off: it should have at least {length} bytes")


class LmdbStore(TableStore):
    """The store in a folder of its own; only one process may have it open.

    The lock of the data folder belongs to whoever opens the store, as does the folder's parent.
    """

    def __init__(
        self,
        folder: Path,
        *,
        on_durable: OnDurable | None = None,
        on_failure: OnFailure | None = None,
        group_ms: int = GROUP_MS,
        group_keys: int = GROUP_KEYS,
        pending_keys_max: int = PENDING_KEYS_MAX,
        map_bytes: int = MAP_BYTES_START,
    ) -> None:
        """Open the store, or make an empty one.

        Args:
            folder: holds nothing but the store's files; made if it is not there.
            on_durable: called by the worker thread with the height that just became durable; it
                must only hand the number on and must not raise.
            on_failure: called by the worker thread, once, when the store can write no more.
            group_ms, group_keys, pending_keys_max, map_bytes: see the constants.
        Raises:
            Damaged: there is something here, but it is no whole store of this version.
        """
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._group_s = group_ms / 1000
        self._group_keys = group_keys
        self._pending_keys_max = pending_keys_max
        self._map_bytes = map_bytes
        try:
            self._env = self._opened(folder)
        except (lmdb.Error, OSError) as error:
            raise damaged("opening", error) from error
        try:
            self._check_length(folder)
            self._tables = [self._env.open_db(table.encode()) for table in TABLES]
            self._snapshots = Snapshots(self._env, self._tables)
            self._durable_height = self._height = self._read_marker()
        except (lmdb.Error, OSError) as error:
            self._env.close()
            raise damaged("opening", error) from error
        except Damaged:
            self._env.close()
            raise
        self._layers = (Layer(), Layer())  # The one being filled, the one being committed.
        self._failure: Damaged | None = None
        self._closing = self._flushing = self._closed = False
        self._changed = threading.Condition(threading.Lock())
        self._worker = threading.Thread(target=self._work, name="store", daemon=True)
        self._worker.start()

    def _opened(self, folder: Path) -> lmdb.Environment:
        path = folder / "data.mdb"
        is_new = not path.exists()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not is_new:
            _check_length(path, 2 * mmap.PAGESIZE)  # The two roots.
            self._map_bytes = max(self._map_bytes, 2 * path.stat().st_size)
        env = lmdb.open(
            str(folder),
            map_size=self._map_bytes,
            max_dbs=len(TABLES),
            mode=0o600,
            readahead=False,  # Lookups are scattered; reading ahead would only fill memory.
        )
        if is_new:
            for named in (folder, folder.parent):
                handle = os.open(named, os.O_RDONLY)
                os.fsync(handle)
                os.close(handle)
        return env

    def _check_length(self, folder: Path) -> None:
        used = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
        _check_length(folder / "data.mdb", used)

    def _read_marker(self) -> int:
        version = self._snapshots.get(META_TABLE, FORMAT)
        marker = self._snapshots.get(META_TABLE, MARKER)
        if version is None and marker is None:  # New, or it died right after it was made.
            with self._env.begin(write=True) as transaction:
                transaction.put(FORMAT, FORMAT_VERSION, db=self._tables[META_TABLE])
        elif version != FORMAT_VERSION:
            raise Damaged(f"the store is of another version: {version!r}", hint=HINT)
        return NO_HEIGHT if marker is None else int.from_bytes(marker, "big")

    @property
    def height(self) -> int:
        return self._height

    @property
    def durable_height(self) -> int:
        return self._durable_height

    @property
    def failure(self) -> Damaged | None:
        return self._failure

    def put_block(self, record: BlockRecord) -> None:
        check_record(record, self._height)
        with self._changed:
            front = self._writable()
            front.put(record)
            self._height = record.height
            if front.keys >= self._group_keys or front.began is None:
                self._wake(front)

    def put_voteproofs(
        self, height: int, *, accept: bytes | None = None, init: bytes | None = None
    ) -> None:
        assert NO_HEIGHT < height <= self._height, "voteproofs of a block that is not here"
        with self._changed:
            front = self._writable()
            front.put_voteproofs(height, accept, init)
            if front.began is None:
                self._wake(front)

    def put_meta(self, key: bytes, value: bytes | None) -> None:
        with self._changed:
            front = self._writable()
            front.put_meta(key, value)
            if front.began is None:
                self._wake(front)

    def _wake(self, front: Layer) -> None:
        """Tell the worker that there is something, or enough; under the lock."""
        if front.began is None:
            front.began = time.monotonic()
        self._changed.notify_all()

    def _writable(self) -> Layer:
        """The layer to put into, once it has room; under the lock."""
        assert not self._closing, "put into a closed store"
        deadline: float | None = None
        while self._failure is None:
            front = self._layers[0]
            if front.keys < self._pending_keys_max and front.size < PENDING_BYTES_MAX:
                return front
            now = time.monotonic()
            deadline = deadline or now + PENDING_WAIT_MS_MAX / 1000
            if now >= deadline:
                raise damaged("waiting for the disk", TimeoutError("nothing was written for long"))
            self._changed.wait(deadline - now)
        raise self._failure

    def flush(self) -> int:
        with self._changed:
            self._flushing = True
            self._changed.notify_all()
            while self._failure is None and any(layer.keys for layer in self._layers):
                self._changed.wait()
        if self._failure is not None:
            raise self._failure
        return self._durable_height

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._worker.join()
        self._snapshots.close()
        if self._failure is not None:
            raise self._failure

    def _get(self, table: int, key: bytes) -> bytes | None:
        front, back = self._layers
        layer = front.tables[table]
        if key in layer:
            return layer[key]
        layer = back.tables[table]
        if key in layer:
            return layer[key]
        return self._snapshots.get(table, key)

    def _scan(
        self, table: int, prefix: bytes, after: bytes | None
    ) -> Iterator[tuple[bytes, bytes]]:
        with self._changed:  # Nothing is put or handed to the worker while this is copied.
            front, back = self._layers
            upper = front.matching(table, prefix, after)
            lower = back.matching(table, prefix, after)
        if lower:
            upper = sorted({**dict(lower), **dict(upper)}.items())
        return self._snapshots.scan(table, prefix, after, upper)

    # The worker thread.

    def _work(self) -> None:
        """Commit layer after layer until the store is closed or fails."""
        done = False
        try:
            while (layer := self._next_layer()) is not None:
                self._commit(layer)
                self._snapshots.release()
                with self._changed:
                    self._layers = (self._layers[0], Layer())
                    if layer.height != NO_HEIGHT:
                        self._durable_height = layer.height
                    self._changed.notify_all()
                if layer.height != NO_HEIGHT and self._on_durable is not None:
                    self._on_durable(layer.height)
            done = True
        except (lmdb.Error, OSError, MemoryError) as error:
            self._fail(damaged("writing", error))
            done = True
        finally:
            if not done:  # A bug of ours: the thread's traceback is printed by the interpreter.
                self._fail(damaged("writing", RuntimeError("the worker thread died")))

    def _fail(self, failure: Damaged) -> None:
        with self._changed:
            self._failure = failure
            self._changed.notify_all()
        if self._on_failure is not None:
            self._on_failure(failure)

    def _next_layer(self) -> Layer | None:
        """Wait until a layer is due and take it over; None: closed, and nothing is left."""
        with self._changed:
            while True:
                front = self._layers[0]
                if front.began is None:
                    self._flushing = False
                    if self._closing:
                        return None
                    self._changed.wait()
                    continue
                left = front.began + self._group_s - time.monotonic()
                if left <= 0 or front.keys >= self._group_keys or self._closing or self._flushing:
                    self._layers = (Layer(), front)
                    self._changed.notify_all()
                    return front
                self._changed.wait(left)

    def _commit(self, layer: Layer) -> None:
        """Write a layer in one transaction, growing the file as often as it takes."""
        while True:
            try:
                with self._env.begin(write=True) as transaction:
                    for handle, table in zip(self._tables, layer.tables, strict=True):
                        self._write(transaction, handle, table)
                return
            except lmdb.MapFullError:
                if self._map_bytes >= MAP_BYTES_MAX:
                    raise
                self._map_bytes *= 2
                self._snapshots.grow(self._map_bytes)

    def _write(self, transaction: lmdb.Transaction, handle: Any, table: Table) -> None:
        """Write one table's changes in the order of the keys, in slices."""
        with transaction.cursor(db=handle) as cursor:
            names = sorted(table)
            for start in range(0, len(names), SLICE_KEYS):
                slice_ = [(name, table[name]) for name in names[start : start + SLICE_KEYS]]
                cursor.putmulti([(name, value) for name, value in slice_ if value is not None])
                for name, value in slice_:
                    if value is None and cursor.set_key(name):
                        cursor.delete()
                time.sleep(SLICE_BREAK_S)
