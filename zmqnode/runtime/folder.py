"""The data folder: its lock, its keys, and what binds it to this machine.

An instance key exists in one place only. It is made where the folder has neither key, journal nor
store, and bound to the machine's id and the key file's inode: a copied folder or a moved disk is
noticed at the next start, and the node then signs nothing that could be a second vote.

A spent key is replaced in steps, each durable before the next: the new key beside the old one, the
binding it will have, the key's name (which deletes the old one), the binding's name. Wherever a
crash falls there is one key, and its binding is there under one of two names: a start finishes the
replacement if the new key has the name, and forgets it if not.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from zmqnode.base.keys import PrivateKey, parse_private, public_text
from zmqnode.base.params import Params
from zmqnode.config.secret import read_secret_file, write_secret_file
from zmqnode.errors import Damaged, Invalid, Refused
from zmqnode.runtime.hazards import Hazards
from zmqnode.storage.segments import is_blank

INSTANCE_FILE: Final = "instance.key"
ADMIN_FILE: Final = "admin.key"
BINDING_FILE: Final = "instance.bound"
NEXT_INSTANCE_FILE: Final = "instance.key.next"
NEXT_BINDING_FILE: Final = "instance.bound.next"
LOCK_FILE: Final = "lock"
LOST_FILE: Final = "votes.lost"  # The public key of the instance whose journal is gone.
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
    temporary = folder / (BINDING_FILE + ".new")
    _write_binding(temporary, folder / INSTANCE_FILE)
    temporary.replace(folder / BINDING_FILE)
    _sync_folder(folder)


def is_bound(folder: Path) -> bool:
    """Whether the instance key is where it was made, or adopted."""
    return _binds(folder / BINDING_FILE, folder / INSTANCE_FILE)


def _binding(key_file: Path) -> str:
    """Machine, inode and key: a copied file may get the inode that a deleted key had."""
    public = parse_private(read_secret_file(key_file)).public
    return f"{machine_id()}\n{key_file.stat().st_ino}\n{public_text(public)}\n"


def _write_binding(file: Path, key_file: Path) -> None:
    with file.open("w", encoding="utf-8") as binding:
        binding.write(_binding(key_file))
        binding.flush()
        os.fsync(binding.fileno())


def _binds(binding: Path, key_file: Path) -> bool:
    try:
        return binding.read_text(encoding="utf-8") == _binding(key_file)
    except (OSError, UnicodeDecodeError, Invalid):
        return False


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replacing_steps(folder: Path, key: PrivateKey) -> Iterator[None]:
    """Put another instance key in the place of a spent one; each step is durable when it yields.

    The caller goes through all of them; one that dies in between starts again from any.
    """
    next_key, next_binding = folder / NEXT_INSTANCE_FILE, folder / NEXT_BINDING_FILE
    forget_replacement(folder)
    write_secret_file(next_key, key.text())
    _sync_folder(folder)
    yield
    _write_binding(next_binding, next_key)  # Its inode stays its own under the other name.
    _sync_folder(folder)
    yield
    next_key.replace(folder / INSTANCE_FILE)
    _sync_folder(folder)
    yield
    settle_replacement(folder)
    yield


def settle_replacement(folder: Path) -> None:
    """After a crash in the middle: finish, if the new key has the name already; else forget it."""
    if _binds(folder / NEXT_BINDING_FILE, folder / INSTANCE_FILE):
        (folder / NEXT_BINDING_FILE).replace(folder / BINDING_FILE)
        _sync_folder(folder)
    forget_replacement(folder)


def forget_replacement(folder: Path) -> None:
    """Delete what a replacement that did not get far left behind."""
    for name in (NEXT_BINDING_FILE, NEXT_INSTANCE_FILE):
        (folder / name).unlink(missing_ok=True)


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
        self._hazards: Hazards | None = None
        self._lock = self._locked()
        try:
            self.instance = self._instance_key()
            self.admin = self._admin_key()
        except BaseException:
            self.close()
            raise
        self.bound = is_bound(path)
        self.votes_lost = self._votes_lost()

    @property
    def journal(self) -> Path:
        """Where the vote journal lies."""
        return self.path / JOURNAL_FOLDER

    @property
    def store(self) -> Path:
        """Where the store lies."""
        return self.path / STORE_FOLDER

    def _votes_lost(self) -> bool:
        """Whether this instance may have signed what its folder does not remember any more.

        Asked before journal and store are opened. The journal is made before the store, so a store
        without one has lost it. That is written down, since opening makes a new journal; it holds
        for this key alone, and ends when the key is spent and replaced.
        """
        file, text = self.path / LOST_FILE, public_text(self.instance.public)
        if file.exists() and file.read_text(encoding="utf-8").strip() == text:
            return True
        if not self.store.exists() or not is_blank(self.journal):
            return False
        with file.open("w", encoding="utf-8") as lost:
            lost.write(f"{text}\n")
            lost.flush()
            os.fsync(lost.fileno())
        _sync_folder(self.path)
        return True

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
        settle_replacement(self.path)
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

    def replace_instance(self) -> PrivateKey:
        """A new, bound instance key in the place of the one that is spent, which is deleted.

        Raises:
            Damaged: the disk failed; a start goes on from any step.
        """
        key = PrivateKey(os.urandom(32))
        try:
            for _ in replacing_steps(self.path, key):
                pass
        except OSError as error:
            raise Damaged(
                f"the instance key in {self.path} could not be replaced: {error.strerror}",
                hint="free disk space or replace the disk, then start the node again",
            ) from None
        self.instance = key
        return key

    def open_hazards(self, params: Params) -> Hazards:
        """What marks the seal that is executed; closed with the folder. Raises Damaged."""
        self._hazards = Hazards(self.path, params, time.time_ns() // 1_000_000)
        return self._hazards

    def write_pid(self) -> None:
        """node.pid, decimal, beside the data."""
        (self.path / PID_FILE).write_text(f"{os.getpid()}\n")
        self._wrote_pid = True

    def close(self) -> None:
        """Let go of the lock; again is harmless."""
        if self._hazards is not None:
            self._hazards.close()
        if self._wrote_pid:
            (self.path / PID_FILE).unlink(missing_ok=True)
            self._wrote_pid = False
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
