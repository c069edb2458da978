"""Load on a network, and the audit after it: is every acknowledged operation in the chain, once?

Each client sends puts of 100 bytes to keys of its own. With a rate, sends are paced by the clock
and do not wait for answers (open loop), so that a slow network shows in the latencies; without one,
each client keeps a number of seals in flight. In the end the blocks are read and every seal is
looked for: what was acknowledged and is missing is *lost*, what is there twice is *doubled*.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from zmqnode.base.block import decode_block
from zmqnode.base.hashes import Hash
from zmqnode.base.query import RAW_BLOCKS_ASKED_MAX, RawBlocks, RawBlocksAsked
from zmqnode.base.seal import Seal
from zmqnode.client import Client, Receipt
from zmqnode.errors import Undecided, ZmqnodeError

VALUE_BYTES: Final = 100
IN_FLIGHT: Final = 64  # Seals of one client without a rate.
OPEN_MAX: Final = 20_000  # Seals of one client with a rate; beyond, sends wait.
SETTLE_MS: Final = 10_000  # How long the chain may take to show what was acknowledged.
AUDIT_ASK_MS: Final = 10_000
TELL_S: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to send: ``rate`` operations a second over all clients, 0 for all it takes."""

    rate: int
    seconds: float
    clients: int
    seal_ops: int
    alone: bool  # To the first target only.
    drain_ms: int


@dataclass(slots=True, kw_only=True)
class Report:
    """What became of it; counts are operations."""

    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    sent: int = 0
    accepted: int = 0
    committed: int = 0
    rejected: int = 0
    refused: int = 0
    undecided: int = 0
    lost: int = 0
    doubled: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    sending_seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing acknowledged is missing, and nothing is there twice."""
        return self.lost == 0 and self.doubled == 0

    def json(self) -> dict[str, Any]:
        """The answer of ``testnet load``."""
        seconds = self.sending_seconds or self.seconds
        return {
            "ok": self.ok,
            "seconds": round(self.seconds, 3),
            "sent": self.sent,
            "accepted": self.accepted,
            "committed": self.committed,
            "rejected": self.rejected,
            "refused": self.refused,
            "undecided": self.undecided,
            "lost": self.lost,
            "doubled": self.doubled,
            "ops_per_s": round(self.committed / seconds, 1) if seconds else 0.0,
            "latency_ms": quantiles(self.latencies_ms),
        }


def quantiles(values: Sequence[float]) -> dict[str, float | None]:
    """p50, p90, p99 and the largest; null without values."""
    ordered = sorted(values)
    names = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    if not ordered:
        return dict.fromkeys(names, None)
    last = len(ordered) - 1
    return {name: round(ordered[round(part * last)], 3) for name, part in names.items()}


class Load:
    """A load that runs; ``report`` grows meanwhile, so that panels can show it."""

    def __init__(self, targets: Sequence[str], plan: Plan) -> None:
        self.plan = plan
        self.report = Report()
        self.stopping = False
        self.label = ""  # Of what is sent from now on; ``lost_of`` counts by it.
        self.lost_of: dict[str, int] = {}
        self._targets = list(targets)
        self._run = os.urandom(4).hex()
        self._acknowledged: dict[Hash, tuple[int, str]] = {}  # Operations and label by seal.
        self._first_height = 0

    async def run(self) -> Report:
        """Send, wait for what is open, audit."""
        report = self.report
        async with Client(*self._targets) as auditor:
            self._first_height = (await auditor.info()).height + 1
            began = time.monotonic()
            await asyncio.gather(*(self._client(number) for number in range(self.plan.clients)))
            report.sending_seconds = time.monotonic() - began
            await self._audit(auditor)
        report.seconds = time.monotonic() - report.began
        return report

    async def _client(self, number: int) -> None:
        plan = self.plan
        turn = number % len(self._targets)
        targets = self._targets[:1] if plan.alone else self._targets[turn:] + self._targets[:turn]
        copies = 1 if plan.alone else None
        async with Client(*targets, copies=copies) as client:
            await client.chain()
            # A first signature and connection cost more than the others: not counted.
            gate = asyncio.Semaphore(OPEN_MAX if plan.rate else IN_FLIGHT)
            tasks: set[asyncio.Task[None]] = set()
            pace = plan.clients * plan.seal_ops / plan.rate if plan.rate else 0.0
            began = time.monotonic() + pace * number / plan.clients
            sent = 0
            while not self.stopping and time.monotonic() - began < plan.seconds:
                await asyncio.sleep(max(0.0, began + sent * pace - time.monotonic()))
                await gate.acquire()
                if time.monotonic() - began >= plan.seconds:
                    break
                seal = await client.sign(*self._operations(number, sent))
                sent += 1
                task = asyncio.create_task(self._submit(client, seal))
                tasks.add(task)
                task.add_done_callback(lambda _: gate.release())
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks)

    def _operations(self, number: int, sent: int) -> list[tuple[str, dict[str, Any]]]:
        stem = f"load/{self._run}/{number}/{sent}"
        value = os.urandom(VALUE_BYTES)
        return [
            ("put", {"key": f"{stem}/{index}", "value": value})
            for index in range(self.plan.seal_ops)
        ]

    async def send_alone(self, target: str, count: int) -> None:
        """Beside all else: so many seals to one node alone, each committed before the next.

        Raises:
            Undecided: one of them was not committed.
        """
        async with Client(target, copies=1) as client:
            for number in range(count):
                seal = await client.sign(*self._operations(-1, number))
                await self._submit(client, seal)
                if seal.hash not in self._acknowledged:
                    text = f"seal {number + 1} of {count} was not committed"
                    raise Undecided("undecided", text, seal=seal.hash.hex())

    async def _submit(self, client: Client, seal: Seal) -> None:
        report, count, label = self.report, len(seal.operations), self.label
        report.sent += count
        began = time.monotonic()
        try:
            receipt: Receipt = await client.submit(seal, timeout_ms=self.plan.drain_ms)
        except Undecided:
            report.undecided += count
            return
        except ZmqnodeError:
            report.refused += count
            return
        report.latencies_ms.append((time.monotonic() - began) * 1000)
        self._acknowledged[seal.hash] = (count, label)
        report.accepted += count
        report.committed += count
        report.rejected += sum(1 for one in receipt.results if not one.ok)

    async def _audit(self, auditor: Client) -> None:
        """Read the chain until all that was acknowledged is found, or it took too long."""
        found: dict[Hash, int] = {}
        height = self._first_height
        end = time.monotonic() + SETTLE_MS / 1000
        while True:
            asked = RawBlocksAsked(first=height, last=height + RAW_BLOCKS_ASKED_MAX - 1)
            answer = await auditor.ask(asked, timeout_ms=AUDIT_ASK_MS)
            blocks = answer.blocks if isinstance(answer, RawBlocks) else ()
            for data, _, _ in blocks:
                block = decode_block(data)
                for seal in block.value.seals if block.value is not None else ():
                    found[seal] = found.get(seal, 0) + 1
            height += len(blocks)
            if not blocks:
                if all(seal in found for seal in self._acknowledged) or time.monotonic() >= end:
                    break
                await asyncio.sleep(0.05)
        for seal, (count, label) in self._acknowledged.items():
            times = found.get(seal, 0)
            if times == 0:
                self.report.lost += count
                self.lost_of[label] = self.lost_of.get(label, 0) + count
            self.report.doubled += count * (times > 1)


async def run(targets: Sequence[str], plan: Plan, say: Callable[[str], None]) -> Report:
    """Put load on the nodes of some targets; the report, audited.

    Args:
        say: told how it goes.
    """
    load = Load(targets, plan)
    telling = asyncio.create_task(_tell(load.report, say))
    try:
        return await load.run()
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(report: Report, say: Callable[[str], None]) -> None:
    while True:
        reading = ", reading the chain" if report.sending_seconds else ""
        say(f"sent {report.sent}, committed {report.committed}{reading}")
        await asyncio.sleep(TELL_S)
