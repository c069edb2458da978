"""The effects' contract as the driver keeps it: durable before sent, one sync a turn."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from zmqnode.core.effects import Effect, Publish, Record, Stop
from zmqnode.core.events import StopAsked
from zmqnode.errors import Damaged
from zmqnode.runtime.driver import Driver


class _Machine:
    """Answers each event with two records and a message."""

    kernel = None
    wake_at_ms = None

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.faulted = False

    def step(self, event: object, now_ms: int) -> list[Effect]:
        self.log.append("step")
        record = cast(Any, SimpleNamespace())
        effects: list[Effect] = [
            Record(record=record, sync=False),
            Record(record=record, sync=True),
            Publish(message=cast(Any, "vote")),
        ]
        return effects if len(self.log) <= 2 else [*effects, Stop()]


class _Notebook:
    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.broken = False

    def append(self, record: object) -> None:
        self.log.append("append")

    def write(self) -> None:
        self.log.append("write")

    def sync(self) -> None:
        if self.broken:
            raise Damaged("the disk is full")
        self.log.append("sync")


class _Outside:
    def __init__(self, log: list[str]) -> None:
        self.log = log

    def perform(self, effect: Effect) -> None:
        self.log.append(type(effect).__name__)

    def committed(self, block: object) -> None:
        self.log.append("committed")

    def turn_over(self) -> None:
        self.log.append("over")


async def _drive(broken: bool) -> list[str]:
    log: list[str] = []
    notebook = _Notebook(log)
    notebook.broken = broken
    crashes: list[BaseException] = []
    driver = Driver(
        cast(Any, _Machine(log)),
        cast(Any, notebook),
        cast(Any, None),
        cast(Any, _Outside(log)),
        asyncio.get_running_loop(),
        crashes.append,
    )
    driver.post(StopAsked())
    driver.post(StopAsked())
    for _ in range(5):
        await asyncio.sleep(0)
    driver.close()
    assert not crashes
    return log


def test_one_sync_serves_a_turn_and_comes_before_every_message() -> None:
    """Goal: both events' records are durable, by one sync, before the first message leaves."""
    log = asyncio.run(_drive(broken=False))
    assert log.count("sync") == 1
    assert log.index("sync") < log.index("Publish")
    assert log.index("sync") > max(i for i, what in enumerate(log) if what == "append")
    assert log.count("Publish") == 2


def test_nothing_is_sent_when_the_disk_fails() -> None:
    """Goal: what could not be remembered is never said."""
    log = asyncio.run(_drive(broken=True))
    assert "Publish" not in log
