"""Which seal is being executed, on a page that outlives the process, and inside which it died (D7).

An application may take the whole process with it: ``os._exit``, a fault in native code, a kill for
want of memory. What ran then stands in a mapped file, as the kernel keeps its pages whatever kills
the process; a start finds it there and counts a death of that seal. The core sets such a seal aside
(core/pool). Nothing is synced: a power cut may lose a mark, and with it a suspicion.

One death proves little: somebody may have killed the process just then.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final

from zmqnode.base.codec import pack, unpack
from zmqnode.base.hashes import Hash
from zmqnode.base.params import Params
from zmqnode.base.seal import Seal
from zmqnode.errors import Damaged, Malformed

MARK_FILE: Final = "executing"
DEATHS_FILE: Final = "executing.deaths"  # [[seal, created at, how often]..], packed.
DEATHS_MAX: Final = 1000  # Seals remembered; the oldest are forgotten.
SPARE_MS: Final = 60_000  # A wrong clock forgets none too early.
_TIME_BYTES: Final = 8
_MARK_BYTES: Final = 32 + _TIME_BYTES
_NOTHING: Final = bytes(_MARK_BYTES)


class Hazards:
    """The mark and the deaths of one data folder.

    Args:
        clock_ms: wall clock; seals that no block can hold any more are forgotten.
    Raises:
        Damaged: the folder's disk failed.
    """

    def __init__(self, folder: Path, params: Params, clock_ms: int) -> None:
        self._folder = folder
        self._lives_ms = params.seal_ttl_ms + params.seal_ahead_ms + SPARE_MS
        try:
            self._page = _mapped(folder / MARK_FILE)
            self._deaths = self._counted(clock_ms)
        except OSError as error:
            message = f"{folder / MARK_FILE} cannot be written: {error.strerror}"
            raise Damaged(message, hint="check the disk, then start the node again") from None

    @property
    def deaths(self) -> tuple[tuple[Hash, int], ...]:
        """Seals inside whose execution this folder's process died, and how often."""
        return tuple((seal, count) for seal, (_, count) in self._deaths.items())

    def enter(self, seal: Seal) -> None:
        """This seal is executed now."""
        self._page[:_MARK_BYTES] = seal.hash + seal.created_at_ms.to_bytes(_TIME_BYTES, "big")

    def leave(self) -> None:
        """It is over, and the process still there."""
        self._page[:_MARK_BYTES] = _NOTHING

    def close(self) -> None:
        """Let go of the page; again is harmless."""
        self._page.close()

    def _counted(self, clock_ms: int) -> dict[Hash, tuple[int, int]]:
        """The deaths so far, with the one that the mark tells of."""
        before = _read(self._folder / DEATHS_FILE)
        oldest_ms = clock_ms - self._lives_ms
        found = {seal: one for seal, one in before.items() if one[0] >= oldest_ms}
        mark = self._page[:_MARK_BYTES]
        if mark != _NOTHING:
            seal = Hash(mark[:32])
            _, count = found.pop(seal, (0, 0))
            found[seal] = (int.from_bytes(mark[32:], "big"), count + 1)
        while len(found) > DEATHS_MAX:
            del found[next(iter(found))]
        if found != before:
            _write(self._folder / DEATHS_FILE, found)
        self.leave()  # Only now: a crash in between counts it twice rather than never.
        return found


def _mapped(file: Path) -> mmap.mmap:
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        short = mmap.PAGESIZE - os.fstat(handle).st_size
        if short > 0:  # Written, not only reserved: a full disk is noticed here.
            os.pwrite(handle, bytes(short), mmap.PAGESIZE - short)
        return mmap.mmap(handle, mmap.PAGESIZE)
    finally:
        os.close(handle)


def _read(file: Path) -> dict[Hash, tuple[int, int]]:
    """What is written there; nothing if it cannot be read: it guards, and nothing rests on it."""
    try:
        rows = unpack(file.read_bytes())
        return {Hash(seal): (int(created_at_ms), int(count)) for seal, created_at_ms, count in rows}
    except (FileNotFoundError, Malformed, TypeError, ValueError):
        return {}


def _write(file: Path, deaths: dict[Hash, tuple[int, int]]) -> None:
    new = file.with_name(file.name + ".new")
    new.write_bytes(pack([[seal, *one] for seal, one in deaths.items()]))
    new.replace(file)
