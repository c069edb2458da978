"""Virtual time: what will happen, in order of its microsecond and then of its planning."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, Final

WAITING_MAX: Final = 1_000_000  # Planned happenings at once; far above any healthy run.


class Timeline:
    """The only clock of a run. ``now_us`` is the time of the happening under way."""

    __slots__ = ("_planned", "_serial", "done", "now_us")

    def __init__(self) -> None:
        self.now_us = 0
        self.done = 0
        self._serial = 0
        self._planned: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []

    @property
    def now_ms(self) -> int:
        """Virtual milliseconds since the run began."""
        return self.now_us // 1000

    def at(self, time_us: int, happen: Callable[..., None], *arguments: Any) -> None:
        """Plan a happening for ``time_us`` (now, if that has passed)."""
        self._serial += 1
        moment = time_us if time_us > self.now_us else self.now_us
        heapq.heappush(self._planned, (moment, self._serial, happen, arguments))
        assert len(self._planned) <= WAITING_MAX, "more happenings planned than any run needs"

    def after(self, delay_us: int, happen: Callable[..., None], *arguments: Any) -> None:
        """Plan a happening ``delay_us`` from now."""
        self.at(self.now_us + delay_us, happen, *arguments)

    def advance(self) -> bool:
        """Let the next planned happening happen; False if there is none."""
        if not self._planned:
            return False
        self.now_us, _, happen, arguments = heapq.heappop(self._planned)
        self.done += 1
        happen(*arguments)
        return True
