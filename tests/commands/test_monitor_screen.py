"""How often the live screen draws: at once for a person, once an interval for its nodes."""

from __future__ import annotations

import asyncio
import io

import pytest
from rich.console import Console

from tests.commands.monitor_scenes import picture, told
from zmqnode.commands import monitor_screen
from zmqnode.commands.monitor_ink import UNICODE
from zmqnode.commands.monitor_screen import Screen
from zmqnode.commands.monitor_ui import first_ui
from zmqnode.commands.monitor_watch import Watch

AN_HOUR_MS = 3_600_000  # No test lasts so long: what the clock would bring does not come.


def test_news_of_many_nodes_are_one_picture_and_a_key_is_one_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Goal: five nodes cost as much as one. Method: the heights that were on the screen."""
    monkeypatch.setattr(monitor_screen, "AGE_MS", AN_HOUR_MS)
    monkeypatch.setattr(monitor_screen, "FRAME_MS_MIN", 1)
    watch = Watch(["n0"], AN_HOUR_MS)
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True, _environ={})
    screen = Screen(watch, console, UNICODE, first_ui(), interval_ms=AN_HOUR_MS)
    heights: list[int] = []

    def come(height: int) -> None:
        body = told()
        body["node"]["height"] = height
        watch.put(0, picture(body).node)

    draw = screen._draw

    def drawn(live: object) -> None:
        node = watch.node(0).snapshot
        assert node is not None
        heights.append(node.node.height)
        draw(live)  # type: ignore[arg-type]

    async def look() -> None:
        monkeypatch.setattr(Screen, "_draw", lambda _, live: drawn(live))
        come(42)
        running = asyncio.create_task(screen.run())
        while not heights:
            await asyncio.sleep(0.001)
        for height in range(43, 49):
            come(height)
            await asyncio.sleep(0.01)
        assert heights == [42]
        screen._take(["?"])
        while len(heights) < 2:
            await asyncio.sleep(0.001)
        screen._take(["q"])
        await running
        assert heights[:2] == [42, 48]

    asyncio.run(look())
