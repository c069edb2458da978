"""A run is a function of its plan: not of the process, the hash seed or what ran before."""

from __future__ import annotations

import os
import subprocess
import sys

from zmqnode.sim.runner import run_seeds

SCRIPT = "from zmqnode.sim.runner import run_seeds; print(run_seeds(0, 11, heights=10).digest)"


def digest_in_a_process(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_two_processes_with_other_hash_seeds_write_the_same_transcript() -> None:
    first, second = digest_in_a_process("1"), digest_in_a_process("4242")
    assert len(first) == 64
    assert first == second == run_seeds(0, 11, heights=10).digest


def test_other_seeds_are_other_runs() -> None:
    assert run_seeds(0, 1, heights=5).digest != run_seeds(1, 2, heights=5).digest
