"""The logs of a local network's nodes: their last lines, and what comes."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from zmqnode.commands import local_network
from zmqnode.commands.local_network import Member

FOLLOW_S: Final = 0.2


def lines(
    nodes: Sequence[Member], timeout_ms: int | None, *, follow: bool
) -> Iterator[tuple[Member, str]]:
    """The last lines of each log; with ``follow`` also what comes, for ``timeout_ms`` at most."""
    end = math.inf if timeout_ms is None else time.monotonic() + timeout_ms / 1000
    at = {}
    for node in nodes:
        log = node.folder / local_network.LOG_FILE
        at[node.name] = log.stat().st_size if log.exists() else 0
        yield from ((node, line) for line in local_network.tail(log))
    while follow and time.monotonic() < end:
        time.sleep(FOLLOW_S)
        for node in nodes:
            text, at[node.name] = _read_on(node.folder / local_network.LOG_FILE, at[node.name])
            yield from ((node, line) for line in text)


def _read_on(log: Path, at: int) -> tuple[list[str], int]:
    """Whole lines from an offset on, and where they end."""
    try:
        with log.open("rb") as file:
            file.seek(at)
            data = file.read(local_network.LOG_TAIL_BYTES)
    except OSError:
        return [], at
    whole = data[: data.rfind(b"\n") + 1]
    return whole.decode(errors="replace").splitlines(), at + len(whole)


def parsed(node: Member, line: str) -> dict[str, Any]:
    """A line as an object; one that is none is its message."""
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    return {"name": node.name, **(found if isinstance(found, dict) else {"message": line})}


def plain(line: str) -> str:
    """A line for a person."""
    try:
        found = json.loads(line)
        return f"{found['at']} {found['level']:7} {found['message']}"
    except (ValueError, KeyError, TypeError):
        return line
