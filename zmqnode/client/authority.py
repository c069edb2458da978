"""By what right a client changes a node: the folder it can read, or the address's key."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from zmqnode.base.keys import PrivateKey, parse_private
from zmqnode.config.secret import read_secret_file
from zmqnode.config.target import Target
from zmqnode.errors import Invalid

ADMIN_KEY_FILE: Final = "admin.key"
PID_FILE: Final = "node.pid"
PROCESS_ENDS_S: Final = 2.0  # After node.pid is gone; that of `node run` takes some ms.


def control_key(target: Target, sign: str | None) -> PrivateKey:
    """The key for a change to a node.

    A folder's admin key, made by its running node; else the key that ``--sign`` names, else, for a
    folder, its identity key.

    Raises:
        Refused: ``not_authorised``, no key for a node that is no folder here.
        Invalid: ``key_invalid``, a key file that cannot be read.
    """
    folder = target.folder
    if folder is None or target.config is None:
        return target.control_key(sign)
    try:
        return parse_private(read_secret_file(folder / ADMIN_KEY_FILE))
    except Invalid:
        if sign is not None:
            return target.control_key(sign)
        return target.config.privatekey.key()


def process_of(target: Target) -> int | None:
    """The process that ends with a folder's running node; None if that is this very one."""
    pid = None if target.folder is None else read_pid(target.folder)
    return None if pid == os.getpid() else pid


def read_pid(folder: Path) -> int | None:
    """What node.pid says; None if there is none."""
    try:
        return int((folder / PID_FILE).read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return None


class Leaving:
    """Whether the process of a node that was told to stop still holds its folder.

    A node may be one of several in a program that lives on: it has left when its node.pid is gone.
    The process of ``node run`` ends moments later, which is waited for.
    """

    def __init__(self, target: Target, pid: int | None) -> None:
        self._folder = target.folder
        self._pid = pid
        self._left: float | None = None

    def is_there(self) -> bool:
        """Asked again and again until it says no."""
        if not is_running(self._pid):
            return False
        if self._folder is None or read_pid(self._folder) == self._pid:
            return True
        self._left = self._left or time.monotonic()
        return time.monotonic() - self._left < PROCESS_ENDS_S


def is_running(pid: int | None) -> bool:
    """Whether a process is there, and no zombie."""
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return not Path("/proc/self").exists()  # No /proc here: the signal was the answer.
    return status.rpartition(")")[2].split()[:1] != ["Z"]
