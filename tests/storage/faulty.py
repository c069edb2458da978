"""A disk that forgets: what was not synced may be lost, in any order, and any call may fail."""

from __future__ import annotations

import errno
import random
from pathlib import Path

from zmqnode.storage.files import Files

SECTOR = 512  # Written whole or not at all.


class FaultyFiles(Files):
    """Real files, of which it knows what a power cut would leave.

    Nothing is synced to the machine's own disk: what this one loses is decided here, and a real
    sync would only take its time.

    Attributes:
        calls: names of the calls made, in order.
        fail_on: the call that raises EIO from now on ("write", "sync", ...), once.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fail_on: str | None = None
        self._paths: dict[int, Path] = {}
        self._unsynced: dict[Path, list[tuple[int, bytes]]] = {}

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name == self.fail_on:
            self.fail_on = None
            raise OSError(errno.EIO, "injected")

    def create(self, path: Path, size: int, start: bytes) -> int:
        self._called("create")
        handle = super().create(path, size, start)
        self._paths[handle] = path
        self._unsynced.pop(path, None)
        return handle

    def open(self, path: Path) -> int:
        self._called("open")
        handle = super().open(path)
        self._paths[handle] = path
        return handle

    def close(self, handle: int) -> None:
        super().close(handle)
        self._paths.pop(handle, None)

    def write(self, handle: int, data: bytes, at: int) -> None:
        path = self._paths.get(handle)
        if path is not None:  # None: while `create` fills the file, which it syncs itself.
            self._called("write")
            before = path.read_bytes()[at : at + len(data)].ljust(len(data), b"\0")
            self._unsynced.setdefault(path, []).append((at, before))
        super().write(handle, data, at)

    def sync(self, handle: int) -> None:
        if handle in self._paths:
            self._called("sync")
            self._unsynced.pop(self._paths[handle], None)

    def sync_all(self, handle: int) -> None:
        if handle in self._paths:
            self._called("sync_all")
            self._unsynced.pop(self._paths[handle], None)

    def sync_folder(self, folder: Path) -> None:
        self._called("sync_folder")

    def rename(self, path: Path, new: Path) -> None:
        self._called("rename")
        super().rename(path, new)
        for handle, name in self._paths.items():
            if name == path:
                self._paths[handle] = new
        if path in self._unsynced:
            self._unsynced[new] = self._unsynced.pop(path)

    def unlink(self, path: Path) -> None:
        self._called("unlink")
        super().unlink(path)
        self._unsynced.pop(path, None)

    def cut_power(self, chance: random.Random) -> None:
        """Undo any part of the unsynced writes, sector by sector; close what was open."""
        kept_share = chance.choice([0, 0.5, 0.9, 1])
        for path, writes in self._unsynced.items():
            content = bytearray(path.read_bytes())
            lost: dict[int, bool] = {}
            for at, before in reversed(writes):
                for offset in range(len(before)):
                    sector = (at + offset) // SECTOR
                    if lost.setdefault(sector, chance.random() >= kept_share):
                        content[at + offset] = before[offset]
            path.write_bytes(content)
        self._unsynced.clear()
        for handle in list(self._paths):
            self.close(handle)
