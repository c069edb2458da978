"""What a node tells Prometheus: each group of metrics, and the meter that reads and keeps them.

Most values are there anyway and read when somebody scrapes. Three things pass and must be seen as
they happen: blocks (``committed``), stages of a height (looked for after each turn) and the loop's
lag (a timer). A node without ``metrics.url`` has no meter and pays nothing.

Stages, from the timers' start of a round, as far as this node took part: ``proposal`` until the
leader's proposal is here, ``init`` until its INIT voteproof, ``accept`` until the block is
committed. Stages that end within one turn of the driver are told as one, the last of them.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from zmqnode.base.block import Block
from zmqnode.base.signing import Verify
from zmqnode.config import Config
from zmqnode.core.votes import HeightVotes
from zmqnode.metrics import Registry
from zmqnode.network.door import ClientDoor
from zmqnode.runtime.exchange import Exchange
from zmqnode.runtime.gauges import (
    BLOCK_SECONDS,
    ChainGauges,
    MachineGauges,
    NetworkGauges,
    PoolGauges,
    Sources,
    VoteGauges,
)
from zmqnode.runtime.scraping import MetricsPort, bind, health_page, metrics_page
from zmqnode.runtime.standing import Standing

LAG_INTERVAL_S: Final = 0.25
TEXT_KEPT_S: Final = 0.2  # Whoever scrapes faster than this gets the same text again.
STAGE_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SYNC_SECONDS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005),
    *(0.01, 0.025, 0.05, 0.1, 0.25, 1),
)
LAG_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Meter:
    """The metrics of one node. On the loop's thread; made before the node's parts are."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._sources: Sources | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._text = ""
        self._text_until = 0.0
        registry = self.registry = Registry()
        self._chain = ChainGauges(registry)
        self._votes = VoteGauges(registry)
        self._pool = PoolGauges(registry)
        self._network = NetworkGauges(registry)
        self._machine = MachineGauges(registry)
        self._interval = registry.histogram(
            "zmqnode_block_interval_seconds",
            "Time between two blocks as this node committed them, while at the tip.",
            BLOCK_SECONDS,
        )
        self._stage = registry.histogram(
            "zmqnode_stage_seconds",
            "How long the stages of a round took: proposal, init, accept.",
            STAGE_SECONDS,
            ("stage",),
        )
        self._execution = registry.histogram(
            "zmqnode_block_execution_seconds",
            "Time the application and the state tree took between two blocks.",
            BLOCK_SECONDS,
        )
        self._sync = registry.histogram(
            "zmqnode_journal_sync_seconds",
            "One write and fdatasync of the vote journal.",
            SYNC_SECONDS,
        )
        self._lag = registry.histogram(
            "zmqnode_loop_lag_seconds",
            "How late the event loop ran a timer that was due.",
            LAG_SECONDS,
        )
        self._checks = registry.counter(
            "zmqnode_signature_checks_total", "Ed25519 signatures checked.", ("result",)
        )
        self._missed = registry.counter(
            "zmqnode_missed_heights_total",
            "Blocks committed while no ballot of a member was seen for 3 heights and 2 seconds.",
            ("address",),
        )
        self._height: HeightVotes | None = None  # Whose stages are looked at, in which round.
        self._round = 0
        self._proposed_s: float | None = None
        self._certified_s: float | None = None
        self._committed_s: float | None = None
        self._executed_s = 0.0  # The driver's sum when the last block was committed.
        self._syncs = 0
        self._synced_s = 0.0

    def attach(self, sources: Sources) -> None:
        """The node's parts are there: read from them from now on, and watch the loop."""
        self._sources = sources
        self._look(self._loop.time())

    def counting(self, verify: Verify) -> Verify:
        """The same check of signatures, counted."""
        checks = self._checks

        def counted(public: bytes, data: bytes, signature: bytes) -> bool:
            good = verify(public, data, signature)
            checks.add("ok" if good else "bad")
            return good

        return counted

    # What happens.

    def turn_over(self) -> None:
        """After a turn of the driver: a sync, a stage that ended."""
        if self._sources is None:
            return
        driver = self._sources.view.driver
        if driver.syncs != self._syncs:  # One a turn at most.
            self._sync.observe(driver.sync_seconds - self._synced_s)
            self._syncs, self._synced_s = driver.syncs, driver.sync_seconds
        machine = driver.machine
        votes = machine.consensus.votes if machine.kernel is not None else None
        if votes is not self._height or (votes is not None and votes.round != self._round):
            self._height = votes
            self._proposed_s = self._certified_s = None
        if votes is not None:
            self._round = votes.round
            self._look_at(votes)

    def _look_at(self, votes: HeightVotes) -> None:
        here = votes.rounds.get(votes.round)
        if here is None or votes.started_ms is None or self._certified_s is not None:
            return
        if here.init_vp is not None:
            self._certified_s = time.monotonic()
            since_s = self._proposed_s or votes.started_ms / 1000
            self._stage.observe(max(0.0, self._certified_s - since_s), "init")
        elif here.proposal is not None and self._proposed_s is None:
            self._proposed_s = time.monotonic()
            self._stage.observe(max(0.0, self._proposed_s - votes.started_ms / 1000), "proposal")

    def committed(self, block: Block) -> None:
        """A block is the tip now."""
        if self._sources is None:
            return
        now_s = time.monotonic()
        votes = self._height
        driver = self._sources.view.driver
        if votes is not None:
            if self._committed_s is not None:
                self._interval.observe(now_s - self._committed_s)
            if votes.height == block.height and votes.started_ms is not None:
                since_s = self._certified_s or self._proposed_s or votes.started_ms / 1000
                self._stage.observe(max(0.0, now_s - since_s), "accept")
        self._committed_s = now_s
        self._execution.observe(driver.execution_seconds - self._executed_s)
        self._executed_s = driver.execution_seconds
        self._chain.committed(block)
        self._count_absent(block.height)

    def _count_absent(self, height: int) -> None:
        assert self._sources is not None
        view = self._sources.view
        kernel = view.driver.machine.kernel
        suffrage = view.suffrage(height)
        if kernel is None or suffrage is None:
            return
        round_ = kernel.chain.tip.accept.fact.round if kernel.chain.tip.accept is not None else 0
        if kernel.chain.tip.height == height:
            self._votes.extra_rounds.add(by=round_)
        for member in suffrage.members:
            if kernel.members.absent(member.address, height, kernel.now_ms):
                self._missed.add(member.address)

    def _look(self, due_s: float) -> None:
        now_s = self._loop.time()
        self._lag.observe(max(0.0, now_s - due_s))
        next_s = now_s + LAG_INTERVAL_S
        self._timer = self._loop.call_at(next_s, self._look, next_s)

    # Being read.

    def text(self) -> str:
        """The exposition, at most ``TEXT_KEPT_S`` old."""
        now_s = self._loop.time()
        if now_s >= self._text_until:
            if self._sources is not None:
                for group in (
                    *(self._chain, self._votes, self._pool),
                    *(self._network, self._machine),
                ):
                    group.read(self._sources)
            self._text = self.registry.text()
            self._text_until = now_s + TEXT_KEPT_S
        return self._text

    def close(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Metrics:
    """What a node with ``metrics.url`` has more: a meter, and the port it is read at.

    Raises:
        Refused: ``address_in_use``.
        Invalid: ``config_invalid``, the host's name is unknown.
    """

    def __init__(self, config: Config, loop: asyncio.AbstractEventLoop) -> None:
        assert config.metrics is not None
        self._loop = loop
        self._data = config.data
        self._listening = bind(config.metrics)
        self._port: MetricsPort | None = None
        self._opening: asyncio.Task[None] | None = None
        self.meter = Meter(loop)

    def begin(self, view: Standing, exchange: Exchange, door: ClientDoor) -> None:
        """The node's parts are there: measure and answer."""
        self.meter.attach(Sources(view=view, exchange=exchange, door=door, data=self._data))
        pages = {
            "/metrics": metrics_page(self.meter.text),
            "/healthz": lambda: health_page(view),
        }
        self._port = MetricsPort(self._listening, pages)
        self._opening = self._loop.create_task(self._port.open())

    async def close(self) -> None:
        """Neither measure nor answer. Again is harmless."""
        self.meter.close()
        if self._opening is not None:
            await self._opening
        if self._port is not None:
            await self._port.close()
        self._listening.close()
