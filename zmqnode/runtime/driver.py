"""Drives the machine: an inbox, one journal write and one sync a turn, then what the core asked
for.

A turn takes every event that is there, steps the machine, and collects. All records of the turn are
synced before the first of its messages leaves: the contract of core.effects, at the price of one
fdatasync for however many votes. Executions run between turns in slices, seal by seal, so that
votes are looked at in between.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from zmqnode.app import Unexecutable
from zmqnode.base.block import Block
from zmqnode.base.hashes import Hash
from zmqnode.core.effects import Break, Commit, Effect, Execute, Record, Stop
from zmqnode.core.events import (
    ClockRead,
    Event,
    ExecutionFailed,
    Faulted,
    SealsReceived,
    Woke,
)
from zmqnode.core.machine import Machine
from zmqnode.errors import Damaged
from zmqnode.runtime.ledger import Ledger, Running
from zmqnode.runtime.notebook import Notebook

TURN_EVENTS_MAX: Final = 256
SLICE_MS: Final = 4  # How long an execution holds the loop before votes are looked at.
CLOCK_CHECK_MS: Final = 1000
EXECUTIONS_MAX: Final = 64  # One height has few rounds; far beyond what a run ever queues.

UNEXECUTABLE_WAY_OUT: Final = (
    "the application cannot execute this block on this machine; "
    "start it with more memory or a version that can"
)


class Outside(Protocol):
    """What the driver hands on: everything but records, executions and commits."""

    def perform(self, effect: Effect) -> None:
        """Send, ask, answer, tell."""

    def committed(self, block: Block) -> None:
        """A block was committed: tell who waits."""

    def turn_over(self) -> None:
        """All effects of a turn were performed."""


class Driver:
    """One machine on one event loop. Not thread-safe but for :meth:`post_threadsafe`."""

    def __init__(
        self,
        machine: Machine,
        notebook: Notebook,
        ledger: Ledger,
        outside: Outside,
        loop: asyncio.AbstractEventLoop,
        crashed: Callable[[BaseException], None],
    ) -> None:
        self.machine = machine
        self.notebook = notebook
        self.ledger = ledger
        self._outside = outside
        self._loop = loop
        self._crashed = crashed
        self._inbox: deque[Event] = deque()
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0
        self._queue: deque[Execute] = deque()
        self._running: Running | None = None
        self._running_since = 0.0
        self._slicing = False
        self._offset_ms: int | None = None
        self._clock_at_ms = 0
        self.stopped = False
        self.turns = 0
        self.syncs = 0
        self.sync_seconds = 0.0
        self.execution_seconds = 0.0

    # Time.

    def now_ms(self) -> int:
        """The machine's time: monotonic."""
        return time.monotonic_ns() // 1_000_000

    def _read_clock(self, now_ms: int) -> None:
        if now_ms < self._clock_at_ms:
            return
        self._clock_at_ms = now_ms + CLOCK_CHECK_MS
        offset_ms = time.time_ns() // 1_000_000 - now_ms
        if self._offset_ms is None or abs(offset_ms - self._offset_ms) > 1:
            self._offset_ms = offset_ms
            self._inbox.append(ClockRead(offset_ms=offset_ms))

    # Turns.

    def post(self, event: Event) -> None:
        """Put an event into the inbox; it is handled in the next turn."""
        self._inbox.append(event)
        self._turn_soon()

    def start(self, first: Event) -> None:
        """The first event: Booted; the second tells the wall clock."""
        self.post(first)
        self._read_clock(self.now_ms())

    def begin_anew(self, machine: Machine, first: Event, carried: SealsReceived) -> None:
        """Go on with another machine on the same chain; clients' seals are carried over.

        Nothing of the old one is left: its executions, its deadlines, what was heard for it.
        """
        waiting = [
            event
            for event in self._inbox
            if isinstance(event, SealsReceived) and event.source is None
        ]
        self._inbox.clear()
        self._queue.clear()
        self._running = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.machine = machine
        self._offset_ms, self._clock_at_ms = None, 0
        self.start(first)
        if carried.seals:
            self.post(carried)
        self._inbox.extend(waiting)

    def _turn(self) -> None:
        self._scheduled = False
        self._guarded_turn()
        if self._queue and self._running is None and not self._queue[0].seals:
            # An empty value is executed sooner than the loop comes round, twice.
            self._scheduled = True  # What comes of it is taken here and now.
            self._slice()
            self._scheduled = False
            self._guarded_turn()
        if self._queue:
            self._slice_soon()
        if self._inbox:
            self._turn_soon()

    def _turn_soon(self) -> None:
        if not self._scheduled and not self.stopped:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _guarded_turn(self) -> None:
        if self.stopped:
            return
        try:
            self._take_turn()
        except Damaged as error:
            self._disk_failed(error)
        except Exception as error:  # noqa: BLE001 - our own faults end here, as BROKEN
            self._crashed(error)

    def _take_turn(self) -> None:
        now_ms = self.now_ms()
        if self.machine.kernel is not None:
            self._read_clock(now_ms)
        effects: list[Effect] = []
        must_sync = False
        for _ in range(min(len(self._inbox), TURN_EVENTS_MAX)):
            for effect in self.machine.step(self._inbox.popleft(), now_ms):
                if isinstance(effect, Record):
                    self.notebook.append(effect.record)
                    must_sync = must_sync or effect.sync
                else:
                    effects.append(effect)
        if must_sync:
            began = time.perf_counter()
            self.notebook.sync()
            self.syncs += 1
            self.sync_seconds += time.perf_counter() - began
        elif any(isinstance(effect, Execute) for effect in effects):
            self.notebook.write()
        for effect in effects:
            self._perform(effect)
        self.turns += 1
        self._outside.turn_over()
        self._arm_timer()

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Execute):
            assert len(self._queue) < EXECUTIONS_MAX
            self._queue.append(effect)
        elif isinstance(effect, Commit):
            self._outside.committed(self.ledger.commit(effect))
        elif isinstance(effect, Stop):
            self.stopped = True
            self._outside.perform(effect)
        else:
            self._outside.perform(effect)

    def break_down(self, cause: str, way_out: str) -> None:
        """Stop voting for good; keep answering."""
        self._inbox.clear()
        self.post(Faulted(cause=cause, way_out=way_out))

    def fail(self, error: Damaged) -> None:
        """The store failed: stop voting, keep answering."""
        self._disk_failed(error)

    def _disk_failed(self, error: Damaged) -> None:
        """Nothing may be sent that rests on what could not be remembered."""
        self._inbox.clear()
        hint = error.hint or "check the disk; then hand the vote over to a copy on another one"
        if self.machine.kernel is not None:
            effects = self.machine.step(
                Faulted(cause=str(error.message), way_out=hint), self.now_ms()
            )
            for effect in effects:
                if isinstance(effect, Break):
                    self._outside.perform(effect)
        self._arm_timer()

    # Waking.

    def _arm_timer(self) -> None:
        """Have the timer fire when the machine wants, or before: every height moves it on."""
        wake_ms = self.machine.wake_at_ms
        if self._timer is not None:
            if wake_ms is None or self._timer_ms <= wake_ms:
                return  # It finds out itself that it came early.
            self._timer.cancel()
            self._timer = None
        if wake_ms is not None and not self.stopped:
            self._timer_ms = wake_ms
            delay = max(0.0, wake_ms / 1000 - time.monotonic())
            self._timer = self._loop.call_later(delay, self._wake)

    def _wake(self) -> None:
        self._timer = None
        wake_ms = self.machine.wake_at_ms
        if wake_ms is not None and wake_ms <= self.now_ms():
            self.post(Woke())
        else:
            self._arm_timer()

    # Executing.

    def _slice_soon(self) -> None:
        if not self._slicing:
            self._slicing = True
            self._loop.call_soon(self._slice)

    def _slice(self) -> None:
        self._slicing = False
        if self.stopped:
            return
        try:
            self._run_slice()
        except Unexecutable as error:
            running, self._running = self._running, None
            assert running is not None
            self.post(
                ExecutionFailed(
                    parent=running.effect.parent,
                    value=running.effect.value.hash,
                    cause=error.message,
                    way_out=error.hint or UNEXECUTABLE_WAY_OUT,
                    seal=Hash(error.seal),
                )
            )
            self._slice_soon()
        except Damaged as error:
            self._running = None
            self._disk_failed(error)
        except Exception as error:  # noqa: BLE001 - as above
            self._crashed(error)

    def _run_slice(self) -> None:
        began = time.perf_counter()
        until = began + SLICE_MS / 1000
        if self._running is None:
            if not self._queue:
                return
            effect = self._queue.popleft()
            if not self.ledger.knows(effect.parent):  # Its height is over.
                self._slice_soon()
                return
            self._running = self.ledger.begin(effect)
            self._running_since = began
        running = self._running
        if not self.ledger.knows(running.effect.parent):
            self._running = None  # Another value of its height was committed meanwhile.
            self._slice_soon()
            return
        done = running.step()
        while not done and time.perf_counter() < until:
            done = running.step()
        if done:
            self._running = None
            now = time.perf_counter()
            elapsed_ms = int((now - self._running_since) * 1000)
            self.post(self.ledger.finish(running, elapsed_ms))
        self.execution_seconds += time.perf_counter() - began
        if self._running is not None or self._queue:
            self._slice_soon()

    def close(self) -> None:
        """No more turns."""
        self.stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
