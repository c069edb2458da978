"""The few calls by which the journal touches the disk; tests put a failing disk in their place."""

from __future__ import annotations

import os
from pathlib import Path

FILL_BYTES = 1 << 20  # Zeros written per call when a file is made.


class Files:
    """Files by descriptor. Every method raises OSError as it comes, and tries nothing twice."""

    def create(self, path: Path, size: int, start: bytes) -> int:
        """A new synced file of `size` zeros after `start`; its folder is not synced yet.

        The blocks are reserved first, so that a full disk is noticed before anything is written,
        and then filled: a sync of filled blocks changes no metadata. The zeros are synced piece by
        piece, so that they never hold up somebody else's sync for long.
        """
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, size)
            for at in range(0, size, FILL_BYTES):
                self.write(handle, bytes(min(FILL_BYTES, size - at)), at)
                self.sync(handle)
            self.write(handle, start, 0)
            self.sync_all(handle)
        except OSError:
            os.close(handle)
            raise
        return handle

    def open(self, path: Path) -> int:
        """An existing file, for reading and writing."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def close(self, handle: int) -> None:
        """Let go of a file."""
        os.close(handle)

    def write(self, handle: int, data: bytes, at: int) -> None:
        """Write all of `data` at an offset."""
        done = os.pwrite(handle, data, at)
        while done < len(data):  # The kernel may take less; what is left is written, once.
            done += os.pwrite(handle, data[done:], at + done)

    def sync(self, handle: int) -> None:
        """Return when the file's data is on the disk."""
        os.fdatasync(handle)

    def sync_all(self, handle: int) -> None:
        """Return when the file's data and metadata are on the disk."""
        os.fsync(handle)

    def sync_folder(self, folder: Path) -> None:
        """Return when the names in a folder are on the disk."""
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def rename(self, path: Path, new: Path) -> None:
        """Give a file another name, replacing what had it."""
        path.replace(new)

    def unlink(self, path: Path) -> None:
        """Remove a file's name."""
        path.unlink()
