"""The LMDB store keeps the contract, across restarts, growth, back-pressure and a failing disk."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import Any

import lmdb
import pytest

from tests.storage.blocks import record
from tests.store_contract import StoreContract
from zmqnode.errors import Damaged, TimedOut
from zmqnode.storage import lmdb as room
from zmqnode.storage import snapshot
from zmqnode.storage.lmdb import LmdbStore
from zmqnode.storage.store import NO_HEIGHT, Store


class TestLmdb(StoreContract):
    def make(self, folder: Path, **options: Any) -> Store:
        return LmdbStore(folder, **options)


class TestLmdbInHaste(StoreContract):
    """The same with every put a group of its own: the worker is always in the way."""

    def make(self, folder: Path, **options: Any) -> Store:
        return LmdbStore(folder, group_ms=0, group_keys=1, **options)


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    with LmdbStore(tmp_path / "store") as store:
        for height in range(30):
            state = {b"k%d" % height: b"v", b"k%d" % (height - 2): None}
            store.put_block(record(height, state=state, pages={b"%x" % height: b"page"}))
        store.put_meta(b"note", b"text")
    with LmdbStore(tmp_path / "store") as store:
        assert store.height == store.durable_height == 29
        assert store.block(17) == b"block17"
        assert list(store.scan(b"")) == [(b"k28", b"v"), (b"k29", b"v")]
        assert len(list(store.pages())) == 30
        assert store.meta(b"note") == b"text"
        store.put_block(record(30))


def test_a_group_is_committed_when_it_is_old_or_full(tmp_path: Path) -> None:
    came = threading.Event()
    heights: list[int] = []

    def note(height: int) -> None:
        heights.append(height)
        came.set()

    with LmdbStore(tmp_path / "old", on_durable=note, group_ms=80) as store:
        began = time.monotonic()
        store.put_block(record(0))
        store.put_block(record(1))
        both_s = time.monotonic() - began
        assert came.wait(10)
        assert time.monotonic() - began >= 0.08
        assert heights[0] == 1 or both_s >= 0.08, "one group, unless this thread was held up"
    came.clear()
    with LmdbStore(tmp_path / "full", on_durable=note, group_ms=60_000) as store:
        store.put_block(record(0, state={b"%d" % n: b"" for n in range(room.GROUP_KEYS)}))
        assert came.wait(10)


def test_the_file_grows_while_it_is_read(tmp_path: Path) -> None:
    """Goal: growth harms no reader. Method: start tiny, put megabytes, read all the time."""
    with LmdbStore(tmp_path / "store", map_bytes=256 << 10, group_ms=1) as store:
        for height in range(60):
            store.put_block(record(height, state={b"%d" % height: bytes(100_000)}))
            assert store.get(b"0") == bytes(100_000)
            assert store.get(b"%d" % (height // 2)) == bytes(100_000)
            assert len(list(store.scan(b""))) == height + 1
        store.flush()
        assert len(list(store.scan(b""))) == 60
    assert (tmp_path / "store" / "data.mdb").stat().st_size > 6_000_000


def wide(number: int) -> dict[bytes, bytes | None]:
    return {b"%05d" % n: b"%d" % number for n in range(2000)}


def test_a_scan_left_open_is_cut_off_when_the_file_must_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "SCAN_WAIT_MS_MAX", 50)
    with LmdbStore(tmp_path / "store", map_bytes=1 << 20) as store:
        store.put_block(record(0, state=wide(0)))
        store.flush()
        scan = store.scan(b"")
        next(scan)
        store.put_block(record(1, state={b"big": bytes(4 << 20)}))
        store.flush()
        with pytest.raises(TimedOut):
            list(scan)
        assert store.get(b"big") == bytes(4 << 20)


def test_a_scan_that_is_forgotten_holds_nothing_up(tmp_path: Path) -> None:
    with LmdbStore(tmp_path / "store", map_bytes=1 << 20) as store:
        store.put_block(record(0, state=wide(0)))
        store.flush()
        next(store.scan(b""))
        began = time.monotonic()
        store.put_block(record(1, state={b"big": bytes(4 << 20)}))
        store.flush()
        assert time.monotonic() - began < 5


def test_the_file_does_not_grow_under_a_reader_who_has_gone_quiet(tmp_path: Path) -> None:
    """Goal: a lookup pins no old version. Method: one read, then many versions of the same keys."""
    with LmdbStore(tmp_path / "store") as store:
        store.put_block(record(0, state=wide(0)))
        store.flush()
        store.get(b"00001")
        sizes = []
        for height in range(1, 25):
            store.put_block(record(height, state=wide(height)))
            store.flush()
            sizes.append((tmp_path / "store" / "data.mdb").stat().st_size)
        assert sizes[-1] <= sizes[5] * 2


class Gate:
    """Stands in a store's way to the disk until it is opened, or fails it."""

    def __init__(self, store: LmdbStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = threading.Event()
        self.error: Exception | None = None
        commit = store._commit

        def gated(layer: Any) -> None:
            assert self.opened.wait(20)
            if self.error is not None:
                raise self.error
            commit(layer)

        monkeypatch.setattr(store, "_commit", gated)


def test_a_slow_disk_holds_the_putter_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the named maximum is a wait, not a loss. Method: a disk that waits for us."""
    with LmdbStore(tmp_path / "store", group_ms=0, pending_keys_max=100) as store:
        gate = Gate(store, monkeypatch)
        put = threading.Event()

        def putter() -> None:
            for height in range(60):
                store.put_block(record(height))
            put.set()

        thread = threading.Thread(target=putter)
        thread.start()
        # One layer on its way to the disk and one filled to the maximum, give or take a block.
        end = time.monotonic() + 10
        while store.height <= 10:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert not put.wait(0.3)
        assert store.height < 40
        assert store.durable_height == NO_HEIGHT
        assert store.block(store.height) is not None
        gate.opened.set()
        assert put.wait(10)
        thread.join()
        assert store.flush() == 59


def test_a_disk_that_never_answers_is_called_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "PENDING_WAIT_MS_MAX", 50)
    store = LmdbStore(tmp_path / "store", group_ms=0, pending_keys_max=10)
    gate = Gate(store, monkeypatch)
    with contextlib.suppress(Damaged):
        for height in range(60):
            store.put_block(record(height))
    with pytest.raises(Damaged, match="waiting for the disk"):
        store.put_block(record(store.height + 1))
    gate.opened.set()
    store.close()


@pytest.mark.parametrize(
    "error", [lmdb.DiskError("no space left"), OSError(28, "no space left"), ValueError("a bug")]
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_failing_disk_is_never_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Goal: told once, refused ever after, still readable, nothing called durable."""
    told: list[Damaged] = []
    durable: list[int] = []
    store = LmdbStore(
        tmp_path / "store", group_ms=0, on_failure=told.append, on_durable=durable.append
    )
    gate = Gate(store, monkeypatch)
    gate.error = error
    store.put_block(record(0))
    gate.opened.set()
    with pytest.raises(Damaged) as caught:
        store.flush()
    assert told == [caught.value] == [store.failure]
    assert caught.value.hint
    for refused in (
        lambda: store.put_block(record(1)),
        lambda: store.put_meta(b"a", b"b"),
        lambda: store.put_voteproofs(0, accept=b""),
        store.flush,
    ):
        with pytest.raises(Damaged):
            refused()
    assert store.block(0) == b"block0"
    assert (durable, store.durable_height) == ([], NO_HEIGHT)
    with pytest.raises(Damaged):
        store.close()


def test_a_full_map_at_its_maximum_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MAP_BYTES_MAX", 1 << 20)
    store = LmdbStore(tmp_path / "store", map_bytes=1 << 20)
    store.put_block(record(0))
    store.flush()
    store.put_block(record(1, state={b"big": bytes(2 << 20)}))
    with pytest.raises(Damaged):
        store.flush()
    assert store.durable_height == 0
    with pytest.raises(Damaged):
        store.close()
    with LmdbStore(tmp_path / "store") as again:
        assert again.height == 0


@pytest.mark.parametrize("harm", ["noise", "empty", "short", "version"])
def test_a_file_that_is_no_store_is_refused(tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "store"
    with LmdbStore(folder) as store:
        store.put_block(record(0, state={b"%d" % n: bytes(500) for n in range(500)}))
    path = folder / "data.mdb"
    content = path.read_bytes()
    if harm == "noise":
        path.write_bytes(b"x" * len(content))
    elif harm == "empty":
        path.write_bytes(b"x")
    elif harm == "short":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(content.replace(room.FORMAT_VERSION, b"zmqnode store 9"))
    with pytest.raises(Damaged) as caught:
        LmdbStore(folder)
    assert caught.value.hint
