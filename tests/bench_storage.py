"""Measure the storage room: state tree, store, journal. Prints the tables of docs/storage.md.

    python -m tests.bench_storage [FOLDER]

FOLDER must be on the disk to measure and is removed afterwards; default: a new one beside the
current folder. Takes about a minute. Not a test: nothing here can fail for being slow.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from zmqnode.storage.journal import Journal
from zmqnode.storage.lmdb import LmdbStore
from zmqnode.storage.memory import MemoryStore
from zmqnode.storage.pages import StateTree
from zmqnode.storage.store import BlockRecord, Store

SIZES = (10_000, 100_000, 1_000_000)


def key(number: int) -> bytes:
    return b"akey%d" % number


def block(
    height: int, state: dict[bytes, bytes | None], pages: dict[bytes, bytes | None]
) -> BlockRecord:
    return BlockRecord(
        height=height,
        block_hash=os.urandom(32),
        block=bytes(150 * len(state) + 300),
        accept_vp=bytes(400),
        init_vp=bytes(350),
        seals=[os.urandom(32) for _ in range(len(state) // 100 + 1)],
        state=state,
        pages=pages,
    )


class Chain:
    """A store and its tree, filled with `count` keys of 100 bytes."""

    def __init__(self, store: Store, count: int) -> None:
        self.store, self.count = store, count
        self.tree = StateTree(store)
        self.commit({key(number): bytes(100) for number in range(count)})
        store.flush()

    def commit(self, state: dict[bytes, bytes | None]) -> None:
        overlay = self.tree.fork()
        overlay.update(state)
        self.store.put_block(block(self.store.height + 1, state, overlay.page_changes()))
        self.tree.promote(overlay)

    def some(self, size: int, *, new: bool = False) -> dict[bytes, bytes | None]:
        """A block of changes to random keys, or of keys that were never there."""
        offset = random.randrange(10**12, 10**13) if new else 0
        names = random.sample(range(self.count), min(size, self.count))
        return {key(offset + number): os.urandom(20) for number in names}


def per_key(chain: Chain, size: int, repeats: int, *, new: bool) -> float:
    """Median microseconds a key to fork and update; the version is dropped."""
    took = []
    for _ in range(repeats):
        state = chain.some(size, new=new)
        began = time.perf_counter()
        chain.tree.fork().update(state)
        took.append((time.perf_counter() - began) / size * 1e6)
    return statistics.median(took)


def measure_tree() -> Iterator[str]:
    columns = [f"{size:,} {kind}" for size in (1, 1000, 2000) for kind in ("changed", "new")]
    yield f"| keys in the state | {' | '.join(columns)} | rebuild | proof |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for count in SIZES:
        chain = Chain(MemoryStore(), count)
        cells = [f"{count:,}"]
        for size, repeats in ((1, 1000), (1000, 30), (2000, 15)):
            for new in (False, True):
                took = per_key(chain, size, repeats, new=new)
                cells.append(f"{took:.1f} us")
        began = time.perf_counter()
        again = StateTree.open(chain.store)
        cells.append(f"{(time.perf_counter() - began) * 1000:.0f} ms")
        assert again.root == chain.tree.root
        proof = chain.tree.prove(key(7))
        cells.append(f"{len(proof.page) + sum(map(len, proof.siblings)):,} bytes")
        yield "| " + " | ".join(cells) + " |"
    tree = StateTree(MemoryStore())
    began = time.perf_counter()
    for _ in range(100_000):
        tree.fork().update({})
    yield f"\nAn overlay for an empty block: {(time.perf_counter() - began) * 10:.2f} us."


def measure_store(folder: Path) -> Iterator[str]:
    columns = "put | put and commit, all threads | put a block of 1 key | read | scan"
    yield f"| keys in the state | {columns} |"
    yield "|---|---|---|---|---|---|"
    for count in SIZES:
        with LmdbStore(folder / f"store{count}") as store:
            chain = Chain(store, count)
            cells = [f"{count:,}", *measure_puts(chain)]
            names = [key(number) for number in random.sample(range(count), 5000)]
            began = time.perf_counter()
            for name in names:
                store.get(name)
            cells.append(f"{(time.perf_counter() - began) / len(names) * 1e6:.1f} us")
            began = time.perf_counter()
            found = sum(1 for _ in store.scan(b"a"))
            cells.append(f"{(time.perf_counter() - began) / found * 1e6:.2f} us a key")
            yield "| " + " | ".join(cells) + " |"


def measure_puts(chain: Chain) -> list[str]:
    """Blocks of 1,000 keys at 20,000 keys a second, the tree's work not counted; then lone keys."""
    store, blocks = chain.store, 40
    records, overlays = [], [chain.tree.fork()]
    for height in range(store.height + 1, store.height + 1 + blocks):
        state = chain.some(1000)
        overlays.append(overlays[-1].fork())
        overlays[-1].update(state)
        records.append(block(height, state, overlays[-1].page_changes()))
    all_began, own_began, began = time.process_time(), time.thread_time(), time.perf_counter()
    for number, one in enumerate(records):
        store.put_block(one)
        time.sleep(max(0, began + number * 0.05 - time.perf_counter()))
    own = time.thread_time() - own_began
    store.flush()
    spent = time.process_time() - all_began
    for overlay in overlays:
        chain.tree.promote(overlay)
    began = time.perf_counter()
    for _ in range(1000):
        store.put_block(block(store.height + 1, {key(1): b"v"}, {b"0": bytes(900)}))
    lone = (time.perf_counter() - began) / 1000
    store.flush()
    return [
        f"{own / blocks * 1000:.2f} us a key",
        f"{spent / blocks * 1000:.1f} us a key",
        f"{lone * 1e6:.1f} us",
    ]


def measure_latency(folder: Path) -> Iterator[str]:
    """How late the loop's thread gets its answers while the worker commits."""
    with LmdbStore(folder / "latency") as store:
        chain = Chain(store, 100_000)
        took = []
        for _ in range(12):
            chain.commit(chain.some(3000))
            until = time.perf_counter() + 0.25
            while (began := time.perf_counter()) < until:
                store.get(key(random.randrange(chain.count)))
                took.append(time.perf_counter() - began)
    yield spread("a read while the worker commits", took)


def measure_journal(folder: Path) -> Iterator[str]:
    yield "| turn | p50 | p99 | slowest |"
    yield "|---|---|---|---|"
    journal = Journal(folder / "journal")
    began = time.perf_counter()
    for number in range(20_000):
        journal.append(1, bytes(200), number)
    append = (time.perf_counter() - began) / 20_000
    journal.sync()
    for sizes in ((250,), (250, 400), (250, 20_000), (200_000,)):
        took = []
        for number in range(1000):
            began = time.perf_counter()
            for size in sizes:
                journal.append(1, bytes(size), 20_000 + number)
            journal.sync()
            took.append(time.perf_counter() - began)
            if number % 50 == 0:
                journal.drop_below(20_000 + number)
        name = " + ".join(f"{size:,}" for size in sizes)
        yield spread(f"append and sync {name} bytes", took)
    records = sum(1 for _ in journal.replay())
    journal.close()
    began = time.perf_counter()
    Journal(folder / "journal").close()
    opened = time.perf_counter() - began
    yield f"\nAn append alone: {append * 1e6:.1f} us."
    yield f"Opening with {records:,} records: {opened * 1000:.0f} ms."


def spread(name: str, took: list[float]) -> str:
    took.sort()
    p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
    return f"| {name} | {p50 * 1e6:,.1f} us | {p99 * 1e6:,.0f} us | {took[-1] * 1e3:.1f} ms |"


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(dir=Path.cwd()))
    try:
        for title, lines in (
            ("State tree", measure_tree()),
            ("Store", measure_store(folder)),
            ("Store, latency", measure_latency(folder)),
            ("Journal", measure_journal(folder)),
        ):
            print(f"\n## {title}\n")
            for line in lines:
                print(line, flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
