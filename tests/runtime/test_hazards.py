"""The mark of the seal that is executed: it outlives its process, and a start counts the death."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zmqnode.base.codec import pack
from zmqnode.base.hashes import Hash, sha256
from zmqnode.base.params import Params
from zmqnode.errors import Damaged
from zmqnode.runtime.hazards import DEATHS_FILE, DEATHS_MAX, MARK_FILE, SPARE_MS, Hazards

NOW_MS = 1_790_000_000_000
PARAMS = Params()

DYING = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
from zmqnode.base.params import Params
from zmqnode.runtime.hazards import Hazards
folder, created_at_ms, way = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
hazards = Hazards(folder, Params(), created_at_ms)
for name in (b"a", b"b", b"c"):
    hazards.enter(SimpleNamespace(hash=name * 32, created_at_ms=created_at_ms))
    if name == b"b" and way == "exit":
        os._exit(1)
    if name == b"b" and way == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    hazards.leave()
"""


def die(folder: Path, way: str, created_at_ms: int = NOW_MS) -> None:
    """A process that executes seals a, b and c, and dies inside b unless ``way`` is none."""
    words = [sys.executable, "-c", DYING, str(folder), str(created_at_ms), way]
    code = subprocess.run(words, check=False, timeout=60).returncode
    assert (code == 0) is (way == "none")


def seal(name: bytes, created_at_ms: int = NOW_MS) -> Any:
    return SimpleNamespace(hash=sha256(name), created_at_ms=created_at_ms)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Any]:
    """Opens the folder's marks at a time; whatever was opened is closed."""
    found: list[Hazards] = []

    def open_at(clock_ms: int = NOW_MS) -> Hazards:
        found.append(Hazards(tmp_path, PARAMS, clock_ms))
        return found[-1]

    yield open_at
    for one in found:
        one.close()


@pytest.mark.parametrize("way", ["exit", "kill"])
def test_a_death_inside_a_seal_is_counted_once_however_it_came(
    tmp_path: Path, opened: Any, way: str
) -> None:
    die(tmp_path, way)
    assert opened().deaths == ((Hash(b"b" * 32), 1),)
    assert opened().deaths == ((Hash(b"b" * 32), 1),)
    die(tmp_path, way)
    assert opened().deaths == ((Hash(b"b" * 32), 2),)


def test_who_ends_outside_of_a_seal_blames_none(tmp_path: Path, opened: Any) -> None:
    die(tmp_path, "none")
    assert opened().deaths == ()
    assert not (tmp_path / DEATHS_FILE).exists()


def test_a_seal_is_forgotten_once_no_block_can_hold_it(tmp_path: Path, opened: Any) -> None:
    die(tmp_path, "exit")
    lives_ms = PARAMS.seal_ttl_ms + PARAMS.seal_ahead_ms + SPARE_MS
    assert len(opened(NOW_MS + lives_ms).deaths) == 1
    assert opened(NOW_MS + lives_ms + 1).deaths == ()


def test_so_many_are_remembered(tmp_path: Path, opened: Any) -> None:
    """Goal: the file is bounded; the oldest are forgotten. Method: one death more than fit."""
    rows = [[sha256(b"%d" % at), NOW_MS, 1] for at in range(DEATHS_MAX)]
    (tmp_path / DEATHS_FILE).write_bytes(pack(rows))
    opened().enter(seal(b"one more"))
    deaths = dict(opened().deaths)
    assert len(deaths) == DEATHS_MAX
    assert sha256(b"0") not in deaths
    assert sha256(b"1") in deaths
    assert sha256(b"one more") in deaths


@pytest.mark.parametrize("data", [b"", b"junk", b"\x01", b"\x91\x91\xc4\x00"])
def test_a_file_that_cannot_be_read_is_no_reason_to_stay_away(
    tmp_path: Path, opened: Any, data: bytes
) -> None:
    (tmp_path / DEATHS_FILE).write_bytes(data)
    (tmp_path / MARK_FILE).write_bytes(b"\x00" * 7)
    hazards = opened()
    assert hazards.deaths == ()
    hazards.enter(seal(b"x"))
    assert opened().deaths == ((sha256(b"x"), 1),)


def test_a_file_in_the_place_of_the_folder_is_a_failing_disk(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Damaged):
        Hazards(tmp_path / "file", PARAMS, NOW_MS)
