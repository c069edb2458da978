"""The simulated network: every copy of a message is delayed, lost or doubled by itself."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from zmqnode.sim.plan import Cut, Links
from zmqnode.sim.timeline import Timeline

PER_MILLE = 1000
TAIL_FROM = 0.98  # Two messages of a hundred are late,
TAIL = 10  # by up to ten times the jitter.
HELD_BACK = 50  # A reordered message waits up to this many times delay + jitter.
CALM = Links(delay_us=500, jitter_us=500)  # After the last fault healed.


class SimNetwork:
    """Decides when, how often and whether something sent arrives."""

    def __init__(self, timeline: Timeline, random: Random, links: Links, cuts: tuple[Cut, ...]):
        self._timeline = timeline
        self._random = random
        self._links = links
        self._cuts = cuts
        self.sent = 0

    def heal(self) -> None:
        """All faults end."""
        self._links = CALM
        self._cuts = ()

    def cut_off(self, source: int, target: int) -> bool:
        """Whether nothing gets from one member to another right now."""
        now = self._timeline.now_ms
        return any(
            cut.start_ms <= now < cut.end_ms and source in cut.sources and target in cut.targets
            for cut in self._cuts
        )

    def send(self, source: int, target: int, deliver: Callable[..., None], *arguments: Any) -> None:
        """Perhaps plan ``deliver(*arguments)``, once or twice, after a delay."""
        self.sent += 1
        links, draw = self._links, self._random.random
        if self._cuts and self.cut_off(source, target):
            return
        if links.loss and draw() * PER_MILLE < links.loss:
            return
        # No logarithms: only arithmetic that is the same to the last bit on any machine.
        chance = draw()
        delay = links.delay_us + int(2 * links.jitter_us * chance)
        if chance > TAIL_FROM:
            delay += int(TAIL * links.jitter_us * draw())
        if links.reorder and draw() * PER_MILLE < links.reorder:
            delay += int(draw() * HELD_BACK * (links.delay_us + links.jitter_us))
        self._timeline.after(delay, deliver, *arguments)
        if links.duplicate and draw() * PER_MILLE < links.duplicate:
            again = delay + int(draw() * HELD_BACK * (links.delay_us + links.jitter_us))
            self._timeline.after(again, deliver, *arguments)
