"""Recordings of the monitor: what came, when, as JSON lines; and playing them again.

The first line names the nodes. Each line after it has the moment, the node, and of its picture what
changed since the line before: a recording is a stream of differences, and replaying it is adding
them up. Floats, keys and order are those of the snapshots, so a recording replayed is drawn as the
live picture was.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from zmqnode.client.answers import read
from zmqnode.client.feed_answers import Snapshot
from zmqnode.commands.monitor_picture import NodePicture
from zmqnode.commands.monitor_watch import Watch
from zmqnode.errors import Invalid, Malformed, Refused

KIND: Final = "zmqnode-monitor"
VERSION: Final = 1
RECORD_BYTES_MAX: Final = 1024 * 1024 * 1024
LINE_BYTES_MAX: Final = 4 * 1024 * 1024
NODES_MAX: Final = 100
GAP_MAX_MS: Final = 3_600_000  # A longer silence in a recording is played as long as this.


class Recorder:
    """Writes what a watch hears; ends by itself when the file has its greatest size."""

    def __init__(self, file: IO[str], names: tuple[str, ...], interval_ms: int) -> None:
        self._file = file
        self._last: list[dict[str, Any]] = [{} for _ in names]
        self._bytes = 0
        self.full = False
        head = {"v": VERSION, "kind": KIND, "nodes": list(names), "interval_ms": interval_ms}
        self._write(head)

    def heard(self, at_ms: int, index: int, node: NodePicture) -> None:
        """One node's new picture."""
        if self.full:
            return
        snapshot = {} if node.snapshot is None else node.snapshot.json()
        state = {**snapshot, "problem": node.problem, "session": node.session}
        last = self._last[index]
        changed = {
            key: value for key, value in state.items() if key not in last or last[key] != value
        }
        self._last[index] = state
        self._write({"at_ms": at_ms, "node": index, "set": changed})

    def _write(self, line: dict[str, Any]) -> None:
        text = json.dumps(line, separators=(",", ":")) + "\n"
        self._bytes += len(text)
        if self._bytes > RECORD_BYTES_MAX:
            self.full = True
            return
        self._file.write(text)


@contextmanager
def recording(path: Path, names: tuple[str, ...], interval_ms: int) -> Iterator[Recorder]:
    """A recorder into a new file.

    Raises:
        Refused: ``already_exists``.
        Invalid: ``file_missing``, the file cannot be made.
    """
    try:
        file = path.open("x", encoding="utf-8")
    except FileExistsError:
        hint = "a recording never overwrites; take another name"
        raise Refused("already_exists", f"{path} exists", hint=hint, file=str(path)) from None
    except OSError as error:
        text = f"cannot write {path}: {error.strerror}"
        raise Invalid("file_missing", text, file=str(path)) from None
    with file:
        yield Recorder(file, names, interval_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One line of a recording: when, which node, its picture then."""

    at_ms: int
    index: int
    node: NodePicture


class Recording:
    """A file of :class:`Recorder`.

    Raises:
        Invalid: ``file_missing``; ``usage``, it is no recording.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("r", encoding="utf-8") as file:
                head = json.loads(file.readline(LINE_BYTES_MAX))
            names = tuple(str(name) for name in head["nodes"])
            if head["kind"] != KIND or head["v"] != VERSION or not 1 <= len(names) <= NODES_MAX:
                raise ValueError
            self.names = names
            self.interval_ms = int(head["interval_ms"])
        except OSError as error:
            text = f"cannot read {path}: {error.strerror}"
            raise Invalid("file_missing", text, file=str(path)) from None
        except (ValueError, KeyError, TypeError, RecursionError):
            hint = "zmqnode monitor --record FILE makes one"
            text = f"{path} is no recording of the monitor"
            raise Invalid("usage", text, hint=hint, file=str(path)) from None

    def moments(self) -> Generator[Moment, None, None]:
        """All lines, in order. A last line that was cut short ends the recording."""
        states: list[dict[str, Any]] = [{} for _ in self.names]
        number = 1
        with self.path.open("r", encoding="utf-8") as file:
            file.readline(LINE_BYTES_MAX)
            while line := file.readline(LINE_BYTES_MAX):
                number += 1
                if not line.endswith("\n"):
                    return
                try:
                    told = json.loads(line)
                    index, at_ms = int(told["node"]), int(told["at_ms"])
                    if not 0 <= index < len(states):
                        raise ValueError
                    states[index] |= told["set"]
                    node = _node(self.names[index], at_ms, states[index])
                except (ValueError, KeyError, TypeError, Malformed, RecursionError) as error:
                    text = f"{self.path}:{number}: this line cannot be read: {error}"
                    raise Invalid("usage", text, file=str(self.path), line=number) from None
                yield Moment(at_ms=at_ms, index=index, node=node)


def _node(name: str, at_ms: int, state: dict[str, Any]) -> NodePicture:
    session = state.get("session")
    return NodePicture(
        name=name,
        snapshot=read(Snapshot, state) if "node" in state else None,
        heard_ms=at_ms,
        problem=str(state.get("problem", "")),
        session=dict(session) if session is not None else None,
    )


class Player:
    """Plays a recording into a watch, at a speed; its clock is the recording's."""

    def __init__(self, watch: Watch, source: Recording, speed: float) -> None:
        self._watch = watch
        self._source = source
        self._speed = speed
        self._from_ms = 0  # The recording's clock when ..
        self._since = 0.0  # .. this machine's was here.
        self._until_ms = 0
        self.over = False
        watch.clock = self._now_ms
        watch.source = "replay" if speed == 1 else f"replay x{speed:g}"

    def _now_ms(self) -> int:
        passed_ms = (time.monotonic() - self._since) * 1000 * self._speed
        return min(self._until_ms, self._from_ms + round(passed_ms))

    def skip(self, seconds: float | None = None) -> None:
        """Put the picture of a moment there, counted from the begin; None: the last one."""
        first_ms = None
        with closing(self._source.moments()) as moments:
            for moment in moments:
                first_ms = moment.at_ms if first_ms is None else first_ms
                if seconds is not None and moment.at_ms - first_ms > seconds * 1000:
                    break
                self._show(moment)

    async def play(self) -> None:
        """Everything in its time; the last picture stays."""
        with closing(self._source.moments()) as moments:
            for moment in moments:
                if self._from_ms:
                    gap_ms = min(GAP_MAX_MS, max(0, moment.at_ms - self._from_ms))
                    self._until_ms = moment.at_ms
                    await asyncio.sleep(gap_ms / 1000 / self._speed)
                self._show(moment)
        self.over = True
        self._watch.source = "replay, at its end"
        self._watch.changed.set()

    def _show(self, moment: Moment) -> None:
        self._from_ms = self._until_ms = moment.at_ms
        self._since = time.monotonic()
        node = moment.node
        before = self._watch.node(moment.index)
        if node.problem and before.snapshot is not None:
            # No news: the picture is as old as it was.
            node = NodePicture(
                name=node.name,
                snapshot=before.snapshot,
                heard_ms=before.heard_ms,
                problem=node.problem,
                session=node.session,
            )
        self._watch.put(moment.index, node)
