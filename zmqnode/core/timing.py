"""The timers' lengths, learned from what the network really does. Whole milliseconds throughout.

t_l(r) = (2D + build)(1 + r/2), t_a = t_l + D + execution, t_n = 2D(1 + r/2) + execution: linear in
the round, capped at 8 times, never doubling. D follows the p99 of the time from the start of a
round's timers to its q-th INIT, of rounds whose proposal arrived.

Deviation: one sample counts twice the D it finds at most. The q-th INIT also waits for members that
are away, and an outage of 2 s says nothing of the network; yet it held D at 2 s for 100 heights at
whoever saw it, while a member that had just started began with 250 ms: their rounds fell apart for
up to 27 s. Where the network really is that slow, D gets there in three rounds. Simulated, 160
seeds of cuts, partitions, crashes, a dead member and loss, from the last fault to the goal: mean
3.2 to 1.9 s, p90 6.0 to 3.5 s, p99 27 to 10 s; no difference at steady delays of 0.2 to 2 s.
"""

from __future__ import annotations

from collections import deque
from typing import Final

DELAY_START_MS: Final = 250
DELAY_MIN_MS: Final = 10
DELAY_MAX_MS: Final = 2000
ALLOWANCE_MIN_MS: Final = 50
ALLOWANCE_MAX_MS: Final = 2000
RESEND_MIN_MS: Final = 20
RESEND_MAX_MS: Final = 1000
SAMPLES: Final = 100
GROWTH_CAP: Final = 8
GROWTH_MOST: Final = 2  # Times D, that one sample may raise it to.
CAREFUL_ROUND: Final = 2  # From this round of a height on, D is at least its start.


class Estimate:
    """The p99 of the newest 100 samples within bounds; starts as if it had seen ``start``."""

    __slots__ = ("_dirty", "_high", "_low", "_samples", "_value")

    def __init__(self, start: int, low: int, high: int) -> None:
        self._samples: deque[int] = deque([start], maxlen=SAMPLES)
        self._low = low
        self._high = high
        self._value = min(max(start, low), high)
        self._dirty = False

    def add(self, sample_ms: int) -> None:
        """One more observation."""
        self._samples.append(sample_ms)
        self._dirty = True

    @property
    def value(self) -> int:
        """The p99 in ms, within the bounds."""
        if self._dirty:
            ordered = sorted(self._samples)
            at = (len(ordered) * 99 + 99) // 100 - 1
            self._value = min(max(ordered[at], self._low), self._high)
            self._dirty = False
        return self._value


class Timing:
    """The four timers of a node."""

    __slots__ = ("build", "delay", "execution")

    def __init__(self) -> None:
        self.delay = Estimate(DELAY_START_MS, DELAY_MIN_MS, DELAY_MAX_MS)
        self.build = Estimate(ALLOWANCE_MIN_MS, ALLOWANCE_MIN_MS, ALLOWANCE_MAX_MS)
        self.execution = Estimate(DELAY_START_MS, ALLOWANCE_MIN_MS, ALLOWANCE_MAX_MS)

    def sample_delay(self, elapsed_ms: int) -> None:
        """The q-th INIT of a round came that long after its timers began."""
        self.delay.add(min(elapsed_ms, GROWTH_MOST * self.delay.value))

    def delay_ms(self, round_: int) -> int:
        """D at a round."""
        delay = self.delay.value
        return max(delay, DELAY_START_MS) if round_ >= CAREFUL_ROUND else delay

    def leader_ms(self, round_: int) -> int:
        """t_l: how long a round waits for its proposal."""
        return _grown(2 * self.delay_ms(round_) + self.build.value, round_)

    def accept_ms(self, round_: int, *, skipped: bool = False) -> int:
        """t_a: how long it waits for an own ACCEPT; ``skipped``: without t_l."""
        lead = 0 if skipped else self.leader_ms(round_)
        return lead + self.delay_ms(round_) + self.execution.value

    def next_ms(self, round_: int) -> int:
        """t_n: how long an INIT VP with an own ACCEPT waits for the ACCEPT VP."""
        return _grown(2 * self.delay_ms(round_), round_) + self.execution.value

    def resend_ms(self) -> int:
        """t_r: how often what may have been lost is sent again."""
        return min(max(self.delay.value * 3 // 2, RESEND_MIN_MS), RESEND_MAX_MS)


def _grown(base_ms: int, round_: int) -> int:
    return min(base_ms * (2 + round_) // 2, base_ms * GROWTH_CAP)
