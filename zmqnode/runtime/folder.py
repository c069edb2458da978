"""The data folder: its lock, its keys, and what binds it to this machine.

An instance key exists in one place only. It is made where the folder has neither key, journal nor
store, and bound to the machine's id and the key file's inode: a copied folder or a moved disk is
noticed at the next start, and the node then signs nothing that could be a second vote.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from zmqnode.base.keys import PrivateKey, parse_private
from zmqnode.config.secret import read_secret_file, write_secret_file
from zmqnode.errors import Invalid, Refused

INSTANCE_FILE: Final = "instance.key"
ADMIN_FILE: Final = "admin.key"
BINDING_FILE: Final = "instance.bound"
LOCK_FILE: Final = "lock"
PID_FILE: Final = "node.pid"
JOURNAL_FOLDER: Final = "journal"
STORE_FOLDER: Final = "store"
MACHINE_ID_FILES: Final = ("/etc/machine-id", "/var/lib/dbus/machine-id")


def machine_id() -> str:
    """What names this machine; its host name where the system keeps no id."""
    for name in MACHINE_ID_FILES:
        try:
            text = Path(name).read_text().strip()
        except OSError:
            continue
        if text:
            return text
    return os.uname().nodename


def make_instance_key(folder: Path) -> PrivateKey:
    """Make and bind the instance key of a fresh folder.

    Raises:
        Refused: ``already_exists``, the folder has one, or holds a journal or a store.
    """
    for name in (INSTANCE_FILE, JOURNAL_FOLDER, STORE_FOLDER):
        if (folder / name).exists():
            raise Refused(
                "already_exists", f"{folder / name} is there already", file=str(folder / name)
            )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = PrivateKey(os.urandom(32))
    write_secret_file(folder / INSTANCE_FILE, key.text())
    bind(folder)
    return key


def bind(folder: Path) -> None:
    """Bind the instance key to this machine and file (``node adopt`` does it again)."""
    inode = (folder / INSTANCE_FILE).stat().st_ino
    temporary = folder / (BINDING_FILE + ".new")
    temporary.write_text(f"{machine_id()}\n{inode}\n")
    temporary.replace(folder / BINDING_FILE)


def is_bound(folder: Path) -> bool:
    """Whether the instance key is where it was made, or adopted."""
    try:
        inode = (folder / INSTANCE_FILE).stat().st_ino
        return (folder / BINDING_FILE).read_text() == f"{machine_id()}\n{inode}\n"
    except OSError:
        return False


class DataFolder:
    """An open, locked data folder.

    Raises:
        Refused: ``folder_in_use``, another process has it open.
        Invalid: ``key_invalid``, there is a journal or a store but no instance key;
            ``file_missing``, the folder cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            message = f"the data folder {path} cannot be made: {error.strerror}"
            raise Invalid("file_missing", message, file=str(path)) from None
        self._wrote_pid = False
        self._lock = self._locked()
        try:
            self.instance = self._instance_key()
            self.admin = self._admin_key()
        except BaseException:
            self.close()
            raise
        self.bound = is_bound(path)

    @property
    def journal(self) -> Path:
        """Where the vote journal lies."""
        return self.path / JOURNAL_FOLDER

    @property
    def store(self) -> Path:
        """Where the store lies."""
        return self.path / STORE_FOLDER

    def _locked(self) -> int:
        handle = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise Refused(
                "folder_in_use",
                f"the data folder {self.path} is in use by another process",
                hint="stop the node that runs there, or give this one a data folder of its own",
                folder=str(self.path),
            ) from None
        return handle

    def _instance_key(self) -> PrivateKey:
        file = self.path / INSTANCE_FILE
        if file.exists():
            return parse_private(read_secret_file(file))
        if self.journal.exists() or self.store.exists():
            raise Invalid(
                "key_invalid",
                f"{file} is missing, but the folder holds a journal or a store",
                hint="restore the file, or start with an empty data folder as a standby",
                file=str(file),
            )
        return make_instance_key(self.path)

    def _admin_key(self) -> PrivateKey:
        file = self.path / ADMIN_FILE
        if not file.exists():
            write_secret_file(file, PrivateKey(os.urandom(32)).text())
        return parse_private(read_secret_file(file))

    def write_pid(self) -> None:
        """node.pid, decimal, beside the data."""
        (self.path / PID_FILE).write_text(f"{os.getpid()}\n")
        self._wrote_pid = True

    def close(self) -> None:
        """Let go of the lock; again is harmless."""
        if self._wrote_pid:
            (self.path / PID_FILE).unlink(missing_ok=True)
            self._wrote_pid = False
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
