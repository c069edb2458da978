"""What ``zmqnode debug dump`` collects: everything that helps to find a fault, and no secret.

Asked of the node, if it answers: NodeInfo, peers, newest headers, a picture, metrics. Read from the
folder, if there is one: the config without its key, the genesis, the end of the log, which files
there are. What cannot be had is named with its reason, for that is often the fault. Key files are
never copied, and every text is scrubbed of the keys they hold.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import platform
import shutil
import stat
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from zmqnode import __version__
from zmqnode.base.instant import at
from zmqnode.client import SyncClient
from zmqnode.commands.scrub import Scrub, keys_of
from zmqnode.config import Config
from zmqnode.config.target import Target
from zmqnode.errors import TimedOut, Unreachable, ZmqnodeError
from zmqnode.runtime.folder import JOURNAL_FOLDER, STORE_FOLDER

LOG_FILE: Final = "node.log"
LOG_BYTES_MAX: Final = 256 << 10
METRICS_BYTES_MAX: Final = 1 << 20
GENESIS_BYTES_MAX: Final = 1 << 20
FILES_MAX: Final = 1_000
HEADERS: Final = 20

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Dump:
    """What was found: files of the archive by name, and what is missing."""

    made_at_ms: int
    scrub: Scrub
    files: dict[str, str] = field(default_factory=dict)
    missing: list[dict[str, str]] = field(default_factory=list)

    def add(self, name: str, text: str) -> None:
        """A file of the archive."""
        self.files[name] = self.scrub.clean(text)

    def lacks(self, what: str, code: str, message: str) -> None:
        """Something that could not be had, and why."""
        self.missing.append(
            {"what": what, "code": code, "message": self.scrub.clean(message)},
        )

    def attempt(self, what: str, work: Callable[[], T]) -> T | None:
        """What the work gives; None, and a word why, if it cannot."""
        try:
            return work()
        except ZmqnodeError as error:
            self.lacks(what, error.code, error.message)
        except (OSError, http.client.HTTPException) as error:
            self.lacks(what, "file_missing", f"{type(error).__name__}: {error}")
        return None


def collect(target: Target, timeout_ms: int) -> Dump:
    """Everything there is to say about a node.

    Raises:
        Unreachable: it does not answer, and there is no folder of it either.
    """
    config = target.config
    dump = Dump(
        made_at_ms=time.time_ns() // 1_000_000,
        scrub=Scrub(() if config is None else keys_of(config)),
    )
    asked = _asked(dump, target, timeout_ms)
    report: dict[str, Any] = {
        "v": 1,
        **at("made", dump.made_at_ms),
        "target": target.place.text,
        "versions": versions(),
        "machine": _machine(),
        **asked,
        "config": None if config is None else config.json(),
        "folder": None if config is None else dump.attempt("folder", lambda: folder_facts(config)),
    }
    if config is not None:
        _read_folder(dump, config)
    report["missing"] = dump.missing
    dump.add("report.json", json.dumps(report, indent=1, default=str) + "\n")
    return dump


def versions() -> dict[str, str]:
    """Of zmqnode and what it stands on."""
    import importlib.metadata

    found = {"zmqnode": __version__, "python": platform.python_version()}
    for name in ("pyzmq", "msgpack", "pynacl", "lmdb", "pyyaml", "typer", "rich"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


def _machine() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "load": [round(one, 2) for one in os.getloadavg()],
    }


# Of the running node.


def _asked(dump: Dump, target: Target, timeout_ms: int) -> dict[str, Any]:
    """Its answers; one that nobody gives is enough to ask no further."""
    answers: dict[str, Any] = dict.fromkeys(("node", "peers", "blocks", "picture"))
    end = time.monotonic() + timeout_ms / 1000

    def picture(client: SyncClient) -> Any:
        with closing(client.follow()) as pictures:
            return next(pictures).json()

    questions: dict[str, Callable[[SyncClient], Any]] = {
        "node": lambda client: client.info().json(),
        "peers": lambda client: [one.json() for one in client.peers()],
        "blocks": lambda client: [one.json() for one in client.blocks()[-HEADERS:]],
        "picture": picture,
    }
    for name, question in questions.items():
        left_ms = int((end - time.monotonic()) * 1000)
        try:
            if left_ms <= 0:
                raise TimedOut("timeout", "the time of the command was over")
            with closing(SyncClient(target, timeout_ms=left_ms)) as client:
                answers[name] = question(client)
        except ZmqnodeError as error:
            if target.config is None and name == "node":
                raise
            dump.lacks(name, error.code, error.message)
            if isinstance(error, Unreachable):
                break
    return answers


# Of its folder.


def folder_facts(config: Config) -> dict[str, Any]:
    """Which files there are, how large, how open; what journal and store take; the disk's room."""
    data = config.data
    files = list(_listed(data))
    usage = shutil.disk_usage(data)
    return {
        "data": str(data),
        "files": files[:FILES_MAX],
        "files_left_out": max(0, len(files) - FILES_MAX),
        "journal": _totals(files, JOURNAL_FOLDER),
        "store": _totals(files, STORE_FOLDER),
        "disk": {"total_bytes": usage.total, "free_bytes": usage.free},
        "pid": _pid(data),
    }


def _listed(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.rglob("*")):
        try:
            status = path.lstat()
        except OSError:
            continue
        if not stat.S_ISDIR(status.st_mode):
            yield {
                "path": str(path.relative_to(folder)),
                "size_bytes": status.st_size,
                "disk_bytes": status.st_blocks * 512,
                "mode": f"{stat.S_IMODE(status.st_mode):03o}",
                **at("modified", status.st_mtime_ns // 1_000_000),
            }


def _totals(files: list[dict[str, Any]], folder: str) -> dict[str, Any]:
    within = [one for one in files if Path(one["path"]).parts[0] == folder]
    return {
        "files": len(within),
        "size_bytes": sum(one["size_bytes"] for one in within),
        "disk_bytes": sum(one["disk_bytes"] for one in within),
        **at("modified", max((one["modified_at_ms"] for one in within), default=None)),
    }


def _pid(data: Path) -> dict[str, Any] | None:
    """The process that node.pid names, and whether it lives."""
    try:
        pid = int((data / "node.pid").read_text())
    except (OSError, ValueError):
        return None
    return {"pid": pid, "alive": Path(f"/proc/{pid}").exists()}


def _read_folder(dump: Dump, config: Config) -> None:
    genesis = dump.attempt("genesis.yml", lambda: _head(config.genesis))
    if genesis is not None:
        dump.add("genesis.yml", genesis)
    log = config.data / LOG_FILE
    if log.exists():
        text = dump.attempt(LOG_FILE, lambda: _tail(log))
        if text is not None:
            dump.add(LOG_FILE, text)
    else:
        message = "the node's log is where its stderr goes, for instance journalctl -u zmqnode-.."
        dump.lacks(LOG_FILE, "file_missing", message)
    if config.metrics is not None:
        metrics = config.metrics
        text = dump.attempt("metrics.txt", lambda: _fetched(metrics.host, metrics.port))
        if text is not None:
            dump.add("metrics.txt", text)


def _head(file: Path) -> str:
    with file.open("rb") as opened:
        return opened.read(GENESIS_BYTES_MAX).decode(errors="replace")


def _tail(file: Path) -> str:
    """The last whole lines."""
    with file.open("rb") as opened:
        size = opened.seek(0, os.SEEK_END)
        start = opened.seek(max(0, size - LOG_BYTES_MAX))
        data = opened.read(LOG_BYTES_MAX)
    if start:
        data = data[data.find(b"\n") + 1 :]
    return data.decode(errors="replace")


def _fetched(host: str, port: int) -> str:
    with closing(http.client.HTTPConnection(host, port, timeout=2)) as connection:
        connection.request("GET", "/metrics")
        return connection.getresponse().read(METRICS_BYTES_MAX).decode(errors="replace")


# The archive.


def write_archive(dump: Dump, file: Path) -> int:
    """Write a new gzipped tar of mode 600; its size in bytes.

    Raises:
        FileExistsError, OSError.
    """
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    folder = file.name.removesuffix(".tar.gz")
    with (
        os.fdopen(descriptor, "wb") as opened,
        tarfile.open(fileobj=opened, mode="w:gz") as archive,
    ):
        for name, text in dump.files.items():
            data = text.encode(errors="replace")
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mode = len(data), 0o600
            member.mtime = dump.made_at_ms // 1000
            archive.addfile(member, io.BytesIO(data))
    return file.stat().st_size
