"""The live screen: rich's Live for the picture, raw keys, one redraw for whatever changed.

A picture is drawn for a key or a new size at once, at most 20 times a second; for snapshots once an
interval, of however many nodes they are; and once a second while it ages. What looks as before is
not written again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.live import Live

from zmqnode.base.instant import rfc3339
from zmqnode.commands import monitor_json, monitor_svg, terminal
from zmqnode.commands.monitor import INTERVAL_MS
from zmqnode.commands.monitor_frame import frame
from zmqnode.commands.monitor_ink import ASCII, UNICODE, Frame, Marks
from zmqnode.commands.monitor_keys import KeyDecoder, raw_keys, read_keys
from zmqnode.commands.monitor_picture import Picture
from zmqnode.commands.monitor_ui import HANDOVER, QUIT, SAVE, Ui, press
from zmqnode.commands.monitor_watch import Watch

FRAME_MS_MIN: Final = 50  # Between two redraws.
AGE_MS: Final = 1_000  # Redraw at least so often: ages grow without news.
NOTE_MS: Final = 6_000  # A note to the person stays so long, or until the next key.
ESCAPE_MS: Final = 50  # An escape alone for so long was the Escape key.
ASCII_TERMINALS: Final = ("dumb", "vt52", "vt100", "vt102", "vt220", "ansi")

HandOver = Callable[[int], Coroutine[Any, Any, str]]  # The node's index; what to tell the person.


def marks_for(encoding: str | None, term: str, *, ascii_only: bool) -> Marks:
    """The marks that a terminal can show."""
    can = (encoding or "").lower().replace("-", "") in ("utf8", "utf8sig")
    return UNICODE if can and not ascii_only and term not in ASCII_TERMINALS else ASCII


@dataclass(slots=True)
class Screen:
    """One monitor on one terminal.

    Attributes:
        ui: where the person is; keys replace it.
        hand_over: begins a handover of a node's copy; None: not offered.
        interval_ms: how often pictures of a node come.
        touched: the person did something, and sees it at once.
    """

    watch: Watch
    console: Console
    marks: Marks
    ui: Ui
    hand_over: HandOver | None = None
    interval_ms: int = INTERVAL_MS
    touched: asyncio.Event = field(default_factory=asyncio.Event)
    held: Picture | None = None
    drawn: Frame | None = None
    task: asyncio.Task[None] | None = None
    over: bool = False

    async def run(self) -> None:
        """Until the person quits, or the terminal is gone."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, self._touch)
        try:
            with (
                Live(
                    Frame(()),
                    console=self.console,
                    screen=True,
                    auto_refresh=False,
                    redirect_stdout=False,
                    redirect_stderr=False,
                ) as live,
                self._keyboard(loop),
            ):
                while not self.over:
                    self.watch.changed.clear()
                    self.touched.clear()
                    self._draw(live)
                    await asyncio.sleep(FRAME_MS_MIN / 1000)
                    paced_ms = min(self.interval_ms, AGE_MS)
                    if not await _within(self.touched, paced_ms - FRAME_MS_MIN):
                        await _within(self.watch.changed, AGE_MS - paced_ms)
        finally:
            loop.remove_signal_handler(signal.SIGWINCH)
            if self.task is not None:
                self.task.cancel()

    @contextmanager
    def _keyboard(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Keys, if stdin is a terminal; without one, Ctrl-C ends the monitor."""
        if not sys.stdin.isatty():
            yield
            return
        descriptor, decoder = sys.stdin.fileno(), KeyDecoder()

        def flush() -> None:
            self._take(decoder.flush())

        def came() -> None:
            keys = read_keys(descriptor, decoder)
            if keys is None:
                loop.remove_reader(descriptor)
                self.over = True
                self._touch()
                return
            self._take(keys)
            if decoder.waits:
                loop.call_later(ESCAPE_MS / 1000, flush)

        with raw_keys(descriptor):
            loop.add_reader(descriptor, came)
            try:
                yield
            finally:
                loop.remove_reader(descriptor)

    def _take(self, keys: list[str]) -> None:
        for key in keys:
            paused = self.ui.paused
            self.ui = press(self.ui, key, self._shown(), self.marks)
            if self.ui.paused and not paused:
                self.held = self.watch.picture()
            elif not self.ui.paused:
                self.held = None
            self._act(self.ui.action)
        if keys:
            self._touch()

    def _touch(self) -> None:
        """Draw at once. Also what waits for news of the nodes wakes up."""
        self.touched.set()
        self.watch.changed.set()

    def _act(self, action: str) -> None:
        match action:
            case "quit":
                self.over = True
            case "save":
                self._note(self._save())
            case "handover":
                self._begin()
        assert action in ("", QUIT, SAVE, HANDOVER)

    def _shown(self) -> Picture:
        """The picture, held or live; a held one ages too."""
        now = self.watch.picture()
        picture = now if self.held is None else replace(self.held, at_ms=now.at_ms)
        return replace(picture, current=min(self.ui.node, len(picture.nodes) - 1))

    def _draw(self, live: Live) -> None:
        size = self.console.size
        drawn = frame(self._shown(), self.ui, size.width, size.height, self.marks)
        if drawn != self.drawn:
            self.drawn = drawn
            live.update(drawn, refresh=True)

    # What keys want done.

    def _begin(self) -> None:
        if self.hand_over is None or (self.task is not None and not self.task.done()):
            self._note("a handover is being begun already")
            return
        self._note("beginning the handover ..")
        self.task = asyncio.create_task(self._begun(self.hand_over(self.ui.node)))

    async def _begun(self, work: Coroutine[Any, Any, str]) -> None:
        self._note(await work)

    def _note(self, text: str) -> None:
        """Tell the person something, for a while."""

        def over() -> None:
            if self.ui.note == text:
                self.ui = replace(self.ui, note="")
                self._touch()

        self.ui = replace(self.ui, note=text)
        self._touch()
        asyncio.get_running_loop().call_later(NOTE_MS / 1000, over)

    def _save(self) -> str:
        """The picture in three files; what to tell the person."""
        picture, size = self._shown(), self.console.size
        drawn = frame(picture, self.ui, size.width, size.height, self.marks, keys=False)
        stem = "zmqnode-monitor-" + rfc3339(picture.at_ms).replace(":", "").replace(".", "-")
        texts = {
            "svg": monitor_svg.svg(drawn, size.width),
            "txt": drawn.text(),
            "json": terminal.json_line(monitor_json.whole(picture)),
        }
        try:
            for ending, text in texts.items():
                with Path(f"{stem}.{ending}").open("x", encoding="utf-8") as file:
                    file.write(text)
        except OSError as error:
            return f"not saved: {error.strerror}"
        return f"saved {stem}.svg .txt .json"


async def _within(event: asyncio.Event, limit_ms: int) -> bool:
    """Whether it was set before the time was over."""
    # Not wait_for: before Python 3.12 it may lose a cancellation that comes together with what it
    # waits for.
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_ms / 1000):
            await event.wait()
    return event.is_set()


def can_draw() -> bool:
    """Whether stdout is a terminal on which pictures can follow one another."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")
