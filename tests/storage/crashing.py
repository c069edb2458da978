"""A process that puts blocks until it is killed; `test_crash.py` kills it.

Run as `python -m tests.storage.crashing FOLDER SEED`. It prints each height that `on_durable`
named, flushed at once, so that the killer knows what was promised. What a block holds follows from
its height alone, so the killer can tell whether it is all there.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from tests.storage.blocks import record
from zmqnode.storage.lmdb import LmdbStore
from zmqnode.storage.pages import StateTree
from zmqnode.storage.store import BlockRecord

KEYS = 300


def changes(height: int) -> dict[bytes, bytes | None]:
    """Some 40 changed keys, a fifth of them deleted."""
    chance = random.Random(height)
    return {
        b"k%d" % chance.randrange(KEYS): None if chance.random() < 0.2 else b"%d" % height
        for _ in range(40)
    }


def block_at(height: int, tree: StateTree) -> BlockRecord:
    """The block of this height; the tree must be at the height before, and moves on."""
    state = changes(height)
    overlay = tree.fork()
    root = overlay.update(state)
    tree.promote(overlay)
    return record(
        height,
        state=state,
        pages=overlay.page_changes(),
        meta={b"root": root, b"tip": b"%d" % height},
    )


def promise(height: int) -> None:
    os.write(1, b"%d\n" % height)


def main() -> None:
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    group_ms, group_keys = random.Random(seed).choice([(0, 1), (5, 5000), (20, 300)])
    store = LmdbStore(
        folder,
        on_durable=promise,
        group_ms=group_ms,
        group_keys=group_keys,
        map_bytes=256 << 10,
    )
    tree = StateTree.open(store, cache_bytes=4096)
    while True:
        store.put_block(block_at(store.height + 1, tree))


if __name__ == "__main__":
    main()
