"""A process that stands still: it loses nothing, but what came meanwhile is taken all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from zmqnode.core.events import Event
from zmqnode.sim.timeline import Timeline

INBOX_MAX: Final = 20_000  # Beyond it the sockets' queues are full.


class Standstill:
    """Whether one node stands still now, and what waits for it."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._came: list[Event] | None = None
        self._until_us = 0

    def begin(self, ms: int, over: Callable[[int], None], life: int) -> None:
        """From now on for some milliseconds; then ``over(life)``. One within another is none."""
        if self._came is None:
            self._came = []
            self._until_us = self._timeline.now_us + ms * 1000
            self._timeline.at(self._until_us, over, life)

    def takes(self, event: Event) -> bool:
        """Whether an event has to wait."""
        if self._came is None:
            return False
        if len(self._came) < INBOX_MAX:
            self._came.append(event)
        return True

    def delays(self, happen: Callable[..., None], *arguments: Any) -> bool:
        """Whether what the node would do now has to wait; it is planned for the end then."""
        if self._came is None:
            return False
        self._timeline.at(self._until_us, happen, *arguments)
        return True

    def end(self) -> list[Event]:
        """What came, as it is read from sockets: all that one peer sent, then the next."""
        came, self._came = self._came or [], None
        return sorted(came, key=lambda event: bytes(getattr(event, "source", None) or b""))
