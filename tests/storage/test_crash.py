"""The LMDB store under SIGKILL: the file always holds whole blocks, and all that were promised."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.storage.blocks import hash_of, seal_of
from tests.storage.crashing import changes
from zmqnode.storage.lmdb import LmdbStore
from zmqnode.storage.pages import StateTree
from zmqnode.storage.store import NO_HEIGHT, StoredVoteproofs

ROOT = Path(__file__).parents[2]
KILLS = 10


def run_and_kill(folder: Path, seed: int) -> int:
    """Let a process put blocks, kill it at a random moment; the last height it promised."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.storage.crashing", str(folder), str(seed)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    first = process.stdout.readline()  # It runs, and one group is through.
    time.sleep(random.Random(seed).random() * 0.25)
    process.kill()
    rest = process.stdout.read()
    process.stdout.close()
    process.wait()
    whole = (first + rest).rsplit(b"\n", 1)[0]
    return int(whole.split(b"\n")[-1])


def check_whole(store: LmdbStore, state: dict[bytes, bytes], checked: int) -> None:
    """Blocks above `checked` are all there, and state, pages and records are of the marker's."""
    for height in range(checked + 1, store.height + 1):
        pair = StoredVoteproofs(accept=b"accept%d" % height, init=b"init%d" % height)
        assert store.block(height) == b"block%d" % height
        assert store.height_of(hash_of(height)) == height
        assert store.voteproofs(height) == pair
        assert (
            store.seal_height(seal_of(height, 0)) == store.seal_height(seal_of(height, 1)) == height
        )
        for key, value in changes(height).items():
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
    above = store.height + 1
    assert store.block(above) is None
    assert store.voteproofs(above) is None
    assert store.height_of(hash_of(above)) is None
    assert store.seal_height(seal_of(above)) is None
    assert list(store.scan(b"")) == sorted(state.items())
    assert store.meta(b"tip") == b"%d" % store.height
    assert StateTree.open(store).root == store.meta(b"root")


@pytest.mark.slow
def test_a_killed_process_leaves_whole_blocks(tmp_path: Path) -> None:
    """Goal: marker and blocks consistent after any kill, and nothing promised is lost.

    Method: the same store is killed again and again, mid-growth of its file included.
    """
    state: dict[bytes, bytes] = {}
    checked = NO_HEIGHT
    for seed in range(KILLS):
        promised = run_and_kill(tmp_path / "store", seed)
        with LmdbStore(tmp_path / "store") as store:
            assert store.height == store.durable_height >= promised
            assert store.height > checked
            check_whole(store, state, checked)
            checked = store.height
