"""What ``zmqnode monitor`` does: live panels, text once, JSON, or a picture in a file.

Whatever it shows comes from a :class:`Watch`, filled by nodes or by a recording.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from rich.console import Console

from zmqnode.base.feed import INTERVAL_MS_MAX, INTERVAL_MS_MIN
from zmqnode.client import Client
from zmqnode.client.client import TIMEOUT_MS
from zmqnode.commands import local_network, monitor_json, terminal
from zmqnode.commands.monitor import Asked
from zmqnode.commands.monitor_frame import frame
from zmqnode.commands.monitor_ink import ASCII, Marks
from zmqnode.commands.monitor_layout import NAMES
from zmqnode.commands.monitor_record import Player, Recording, recording
from zmqnode.commands.monitor_screen import Screen, can_draw, marks_for
from zmqnode.commands.monitor_ui import Ui, first_ui
from zmqnode.commands.monitor_watch import Watch, Watched, follow
from zmqnode.errors import Invalid, ZmqnodeError

NAME_CHARS_MAX: Final = 20  # A longer target is no name to show.
SVG_SIZE: Final = (100, 30)
FRAME_BYTES_MAX: Final = 1 << 20  # Far above what a screen of any size takes.


def run(asked: Asked) -> None:
    """The whole command; returns when it is over.

    Raises:
        Invalid: ``usage``, ``file_missing``, and what a target may raise.
        Unreachable, TimedOut: no node gave a picture.
        Refused: ``already_exists``, the file of ``--record``.
    """
    _check(asked)
    if asked.replay is not None:
        asyncio.run(_replayed(asked, Recording(asked.replay)))
    else:
        asyncio.run(_live(asked))


def _check(asked: Asked) -> None:
    unknown = [name for name in asked.panels if name not in NAMES]
    problem, hint = "", "zmqnode monitor --help"
    if unknown:
        problem, hint = f"{unknown[0][:40]!r} is no panel", f"panels: {', '.join(NAMES)}"
    elif not INTERVAL_MS_MIN <= asked.interval_ms <= INTERVAL_MS_MAX:
        problem = f"an interval is {INTERVAL_MS_MIN} ms to {INTERVAL_MS_MAX // 1000} s"
    elif asked.every and (asked.target is not None or asked.replay is not None):
        problem = "--all watches the testnet in use: without --target and --replay"
    elif asked.replay is not None and (asked.target or asked.record or asked.control):
        problem = "--replay asks no node: without --target, --record and --control"
    elif asked.at_ms is not None and (asked.replay is None or not _once(asked)):
        problem = "--at goes with --replay and --once"
    elif asked.svg is not None and (not asked.once or asked.as_json):
        problem = "--svg goes with --once, without --json"
    if problem:
        raise Invalid("usage", problem, hint=hint)


def _once(asked: Asked) -> bool:
    return asked.once or (not asked.as_json and not can_draw())


# The sources.


async def _live(asked: Asked) -> None:
    watched = _watched(asked)
    names = tuple(one.name for one in watched)
    watch = Watch(names, asked.interval_ms)
    timeout_ms = asked.timeout_ms or TIMEOUT_MS

    def client(one: Watched) -> Callable[[], Client]:
        given = () if one.target is None else (one.target,)
        return lambda: Client(*given, sign=asked.sign, timeout_ms=timeout_ms)

    async def hand_over(index: int) -> str:
        try:
            async with client(watched[index])() as asker:
                await asker.handover_start(wait=False)
        except ZmqnodeError as error:
            return f"{error.message} [{error.code}]"
        return "the handover has begun"

    with _recorded(asked, watch, names):
        followers = [
            asyncio.create_task(follow(watch, index, client(one), asked.interval_ms))
            for index, one in enumerate(watched)
        ]
        try:
            await _ending_with(followers, watch.first(timeout_ms))
            await _ending_with(followers, _shown(asked, watch, hand_over))
        finally:
            for task in followers:
                task.cancel()
            await asyncio.gather(*followers, return_exceptions=True)


async def _ending_with(followers: list[asyncio.Task[None]], work: object) -> None:
    """Waits for the work; a follower that fails for good ends it."""
    assert asyncio.iscoroutine(work)
    task = asyncio.create_task(work)
    try:
        await asyncio.wait([task, *followers], return_when=asyncio.FIRST_COMPLETED)
        for one in followers:
            if one.done() and not one.cancelled():
                one.result()
        await task
    finally:
        await _ended(task)


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel and wait. What it raised, the end that a signal means included, went its own way."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()


@contextmanager
def _recorded(asked: Asked, watch: Watch, names: tuple[str, ...]) -> Iterator[None]:
    if asked.record is None:
        yield
        return
    with recording(asked.record, names, asked.interval_ms) as recorder:
        watch.on_heard = recorder.heard
        try:
            yield
        finally:
            watch.on_heard = None
    if recorder.full:
        terminal.warn(f"{asked.record} has its greatest size; the rest was not recorded")


def _watched(asked: Asked) -> list[Watched]:
    if asked.every:
        network = local_network.load(local_network.in_use(None))
        return [Watched(name=node.name, target=str(node.folder)) for node in network.nodes]
    target = asked.target
    is_name = target is not None and "/" not in target and len(target) <= NAME_CHARS_MAX
    return [Watched(name=target or "" if is_name else "", target=target)]


async def _replayed(asked: Asked, source: Recording) -> None:
    watch = Watch(source.names, source.interval_ms)
    player = Player(watch, source, asked.speed)
    if _once(asked):
        player.skip(None if asked.at_ms is None else asked.at_ms / 1000)
        watch.source = ""
        await _shown(asked, watch, None)
        return
    playing = asyncio.create_task(player.play())
    try:
        if asked.as_json:
            await _streamed(watch, asked.interval_ms, ending=playing)
        else:
            await _ending_when_broken(playing, _shown(asked, watch, None))
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)


async def _ending_when_broken(playing: asyncio.Task[None], work: object) -> None:
    """The work, which outlives the recording; a line that cannot be read ends both."""
    assert asyncio.iscoroutine(work)
    task = asyncio.create_task(work)
    try:
        await asyncio.wait([task, playing], return_when=asyncio.FIRST_COMPLETED)
        if playing.done():
            playing.result()
        await task
    finally:
        await _ended(task)


# The forms.


async def _shown(asked: Asked, watch: Watch, hand_over: Callable[[int], object] | None) -> None:
    if asked.as_json:
        if asked.once:
            _print_json(watch)
        else:
            await _streamed(watch, asked.interval_ms, ending=None)
        return
    ui = first_ui(asked.panels or NAMES, control=asked.control)
    if asked.svg is not None:
        _save_svg(asked, watch, ui)
    elif _once(asked):
        _print(asked, watch, ui)
    else:
        marks = marks_for(
            sys.stdout.encoding, os.environ.get("TERM", ""), ascii_only=asked.ascii_only
        )
        # The live screen has the size of its terminal, also when that changes.
        variables = {
            name: text for name, text in os.environ.items() if name not in ("COLUMNS", "LINES")
        }
        with _whole_frames() as file:
            console = Console(
                file=file, highlight=False, markup=False, emoji=False, _environ=variables
            )
            screen = Screen(
                watch,
                console,
                marks,
                ui,
                hand_over=hand_over,  # type: ignore[arg-type]
                interval_ms=asked.interval_ms,
            )
            await screen.run()


@contextmanager
def _whole_frames() -> Iterator[IO[str]]:
    """Stdout with room for a frame, also where Python was told not to buffer.

    An unbuffered text stream drops what a write leaves over when a signal interrupts it (a window
    that changes size, while the terminal is slow), and the picture is broken off inside an escape
    sequence. A buffered one goes on where the write stopped.
    """
    stdout = sys.stdout
    stdout.flush()
    with open(
        stdout.fileno(),
        "w",
        buffering=FRAME_BYTES_MAX,
        encoding=stdout.encoding,
        errors="backslashreplace",
        newline="",
        closefd=False,
    ) as file:
        yield file


def _print_json(watch: Watch) -> None:
    terminal.write(sys.stdout, terminal.json_line(monitor_json.told(watch.picture())))


async def _streamed(watch: Watch, interval_ms: int, *, ending: asyncio.Task[None] | None) -> None:
    """One object for each change, at most one an interval; ends with the recording."""
    while True:
        waiting = asyncio.create_task(watch.changed.wait())
        tasks: list[asyncio.Task[object]] = [waiting]
        if ending is not None:
            tasks.append(ending)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if watch.changed.is_set():
            watch.changed.clear()
            if any(one.snapshot is not None for one in watch.picture().nodes):
                _print_json(watch)
        if ending is not None and ending.done():
            ending.result()
            return
        await asyncio.sleep(interval_ms / 1000)


def _marks(asked: Asked) -> Marks:
    term = os.environ.get("TERM", "") if sys.stdout.isatty() else ""
    return marks_for(sys.stdout.encoding, term, ascii_only=asked.ascii_only)


def _print(asked: Asked, watch: Watch, ui: Ui) -> None:
    """One picture as text, as long as it is; in colour on a terminal that has it."""
    colour = Console(highlight=False, markup=False, emoji=False)
    wide = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    columns = terminal.PLAIN_COLUMNS if wide else colour.width
    lines = None
    if asked.size is not None:
        columns, lines = asked.size
    drawn = frame(watch.picture(), ui, columns, lines, _marks(asked), keys=False)
    if not sys.stdout.isatty() or colour.is_dumb_terminal:
        terminal.write(sys.stdout, drawn.text())
        if sys.stdout.isatty():
            terminal.note("this terminal shows no live panels (TERM); --json streams")
        return
    with colour.capture() as capture:
        colour.print(drawn, crop=False, soft_wrap=True)
    terminal.write(sys.stdout, capture.get())


def _save_svg(asked: Asked, watch: Watch, ui: Ui) -> None:
    from zmqnode.commands.monitor_svg import svg

    columns, lines = asked.size or SVG_SIZE
    marks = ASCII if asked.ascii_only else marks_for("utf-8", "", ascii_only=False)
    drawn = frame(watch.picture(), ui, columns, lines, marks)
    path = Path(asked.svg or "")
    try:
        path.write_text(svg(drawn, columns), encoding="utf-8")
    except OSError as error:
        text = f"cannot write {path}: {error.strerror}"
        raise Invalid("file_missing", text, file=str(path)) from None
    terminal.note(f"wrote {path}")
