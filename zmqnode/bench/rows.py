"""The rows: one figure each, measured on a network of its own that is gone afterwards.

A row knows its unit and its goal; a goal may depend on the floor of the same run. Beside its figure
a row may tell details of the same measurement, some with a bar of their own; a row is met if
figure and bars are. Source of the goals: DESIGN.md section 11.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from zmqnode.bench.cluster import Cluster
from zmqnode.bench.handovers import Handovers, hand_over
from zmqnode.bench.load import Load, Window, targets_of
from zmqnode.client import Client
from zmqnode.errors import TimedOut
from zmqnode.sim.runner import run_seeds

WARM_S: Final = 1.0
WATCH_S: Final = 0.02
CATCH_UP_TIMEOUT_S: Final = 60.0
AFTER_KILL_S: Final = 2.0  # The others learn that it is gone; then they are measured.
BLOCK_STALL_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How long and how much; the defaults are what the goals are about."""

    seconds: float = 4.0  # Of each measured window.
    lone: int = 100  # Lone operations back to back,
    lone_idle: int = 30  # and with a pause before each one,
    idle_ms: int = 100  # so long.
    keys: int = 100_000
    in_flight: Mapping[int, int] = field(default_factory=lambda: {100: 25, 1: 250})
    signed_per_s: Mapping[int, int] = field(default_factory=lambda: {100: 250, 1: 4_000})
    live_blocks: int = 1_000  # Before the newcomer starts.
    memory_blocks: int = 100_000
    seeds: int = 100
    handovers: int = 4  # On an idle network, and as many under load.


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a row is measured."""

    folder: Path  # Does not exist yet; on the disk that is measured.
    nodes: int
    scale: Scale
    shared: dict[str, Handovers] = field(default_factory=dict)  # Of one run, between its rows.


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measurement: the row's figure and its details (None: this system does not tell)."""

    value: float
    details: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A goal; ``floors`` is added as a multiple of the floor's heights per second."""

    at_least: bool
    fixed: float = 0.0
    floors: float = 0.0

    def at(self, floor: float) -> float:
        """The goal on a machine with this floor: the harder of the two."""
        return max(self.fixed, self.floors * floor)

    def met(self, value: float, floor: float) -> bool:
        """Whether a figure reaches it."""
        goal = self.at(floor)
        return value >= goal if self.at_least else value <= goal


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the report."""

    name: str
    unit: str
    bar: Bar
    measure: Callable[[Place], Awaitable[Figure]]
    bars: Mapping[str, Bar] = field(default_factory=dict)  # Of details.
    nodes_min: int = 1
    only_named: bool = False


async def empty_heights(place: Place) -> Figure:
    """Heights without operations, one after the other."""
    params = {"block_interval_ms": 0, "empty_block_interval_ms": 1}
    cluster = Cluster(place.folder, nodes=place.nodes, params=params)
    async with cluster, cluster.client() as client:
        await asyncio.sleep(WARM_S)
        window = await Window.opened(cluster, client)
        await asyncio.sleep(place.scale.seconds)
        window.close()
        taken = await window.committed()
        spent = window.processor_seconds
        busy = None if spent is None else spent * 1e3 / place.nodes / max(1, taken.blocks)
        return Figure(value=taken.blocks_per_s, details={"processor_ms_per_height": busy})


async def finality(place: Place) -> Figure:
    """Submit to committed, one operation at a time: the medians back to back and idle between."""
    async with Cluster(place.folder, nodes=place.nodes) as cluster, cluster.client() as client:
        await _lone(client, 5, 0)
        scale = place.scale
        together = await _lone(client, scale.lone, 0)
        apart = await _lone(client, scale.lone_idle, scale.idle_ms)
        window = await Window.opened(cluster, client)
        await asyncio.sleep(scale.seconds)
        window.close()
        spent = window.processor_seconds
        return Figure(
            value=statistics.median(together),
            details={
                "idle_ms": statistics.median(apart),
                "p99_ms": sorted(together)[math.ceil(len(together) * 0.99) - 1],
                "idle_cores": None if spent is None else spent / window.seconds,
            },
        )


async def _lone(client: Client, count: int, idle_ms: int) -> list[float]:
    """Milliseconds of each."""
    times = []
    for number in range(count):
        await asyncio.sleep(idle_ms / 1000)
        began = time.perf_counter()
        await client.submit(("put", {"key": f"lone-{number}", "value": bytes(100)}))
        times.append((time.perf_counter() - began) * 1000)
    return times


def operations(seal_operations: int) -> Callable[[Place], Awaitable[Figure]]:
    """Committed operations a second at full load, in seals of so many, over all keys."""

    async def measure(place: Place) -> Figure:
        scale = place.scale
        async with Cluster(place.folder, nodes=place.nodes) as cluster, cluster.client() as client:
            domain = (await client.chain()).domain
            targets = await targets_of(client)
            load = Load(domain, targets, in_flight=scale.in_flight[seal_operations])
            try:
                load.prepare_all(scale.keys, min(100, scale.keys))
                await load.run()
                seals = int(scale.signed_per_s[seal_operations] * (scale.seconds + WARM_S))
                load.prepare(seals, seal_operations, scale.keys)
                sending = asyncio.create_task(load.run(scale.seconds + 1.5 * WARM_S))
                await asyncio.sleep(WARM_S)
                window = await Window.opened(cluster, client)
                await asyncio.sleep(scale.seconds)
                window.close()
                await sending
            finally:
                load.close()
            taken = await window.committed()
            spent = window.processor_seconds
            each = max(1, taken.operations) * place.nodes
            return Figure(
                value=taken.operations_per_s,
                details={
                    "processor_us_per_op": None if spent is None else spent * 1e6 / each,
                    "blocks_per_s": taken.blocks_per_s,
                },
            )

    return measure


async def one_down(place: Place) -> Figure:
    """Operations a second after one node is killed under load, divided by those before."""
    scale = place.scale
    async with Cluster(place.folder, nodes=place.nodes) as cluster, cluster.client() as client:
        domain = (await client.chain()).domain
        targets = await targets_of(client)
        last = f"n{place.nodes - 1}"
        # Its own clients left beforehand: what they lose is not the network's throughput.
        load = Load(domain, targets[:-1], in_flight=scale.in_flight[100])
        try:
            seconds = 2 * scale.seconds + AFTER_KILL_S + WARM_S
            load.prepare(int(scale.signed_per_s[100] * seconds), 100, scale.keys)
            sending = asyncio.create_task(load.run(seconds + WARM_S))
            await asyncio.sleep(WARM_S)
            before = await Window.opened(cluster, client)
            await asyncio.sleep(scale.seconds)
            before.close()
            killed_ms = time.time_ns() // 1_000_000
            cluster.kill(last)
            await asyncio.sleep(AFTER_KILL_S)
            after = await Window.opened(cluster, client)
            await asyncio.sleep(scale.seconds)
            after.close()
            await sending
        finally:
            load.close()
        whole, less = await before.committed(), await after.committed()
        gap_ms = await before.longest_gap_ms(killed_ms, killed_ms + int(AFTER_KILL_S * 1000))
        return Figure(
            value=less.operations_per_s / max(1.0, whole.operations_per_s),
            details={"ops_per_s": whole.operations_per_s, "gap_ms": gap_ms},
        )


async def catch_up(place: Place) -> Figure:
    """Blocks a second that a new node replays, divided by those the others made before it came."""
    params = {"block_interval_ms": 10, "empty_block_interval_ms": 10}
    cluster = Cluster(place.folder, nodes=place.nodes, params=params)
    async with cluster, cluster.client() as client:
        domain = (await client.chain()).domain
        load = Load(domain, (await targets_of(client))[:1], in_flight=1)
        sending = asyncio.create_task(load.run(CATCH_UP_TIMEOUT_S * 2))
        try:
            window = await Window.opened(cluster, client)
            await client.wait_height(
                window.first_height + place.scale.live_blocks,
                timeout_ms=int(BLOCK_STALL_S * 1000) + 20 * place.scale.live_blocks,
            )
            window.close()
            live = (await window.committed()).blocks_per_s
            replayed = await _replayed(cluster, client)
        finally:
            load.end()
            await sending
            load.close()
    return Figure(
        value=replayed / live, details={"blocks_per_s": replayed, "live_blocks_per_s": live}
    )


async def _replayed(cluster: Cluster, client: Client) -> float:
    """Start a newcomer; its blocks a second from its first answer until it is at the tip."""
    name = cluster.newcomer()
    cluster.start(name)
    end = time.monotonic() + CATCH_UP_TIMEOUT_S
    first: tuple[float, int] | None = None
    async with cluster.client(name) as newcomer:
        await newcomer.wait_height(0, timeout_ms=int(CATCH_UP_TIMEOUT_S * 1000))
        while time.monotonic() < end:
            height = (await newcomer.info()).height
            now = time.monotonic()
            if first is None:
                first = now, height
            elif height >= (await client.info()).height - 2 and height > first[1]:
                return (height - first[1]) / (now - first[0])
            await asyncio.sleep(WATCH_S)
    raise TimedOut("timeout", f"{name} did not catch up in {CATCH_UP_TIMEOUT_S:g} s")


async def memory(place: Place) -> Figure:
    """Resident memory of the largest node after many empty blocks."""
    async with (
        Cluster(place.folder, nodes=place.nodes, params={"empty_block_interval_ms": 1}) as cluster,
        cluster.client() as client,
    ):
        height = 0
        while height < place.scale.memory_blocks:
            step = min(height + 1_000, place.scale.memory_blocks)
            await client.wait_height(step, timeout_ms=int(BLOCK_STALL_S * 1000))
            height = (await client.info()).height
        size = cluster.memory_bytes()
        if size is None:
            raise TimedOut("timeout", "this system does not tell the memory of a process")
        return Figure(value=float(size), details={"blocks": float(height)})


def handover(
    figure_of: Callable[[Handovers], Figure],
) -> Callable[[Place], Awaitable[Figure]]:
    """A figure of the run's handovers; the first of these rows plays them for all."""

    async def measure(place: Place) -> Figure:
        if "handover" not in place.shared:
            cluster = Cluster(place.folder, nodes=place.nodes)
            place.shared["handover"] = await hand_over(cluster, place.scale.handovers)
        return figure_of(place.shared["handover"])

    return measure


async def seeds(place: Place) -> Figure:
    """Seeds of 20 heights the simulator runs in an hour, on one core."""
    report = run_seeds(0, place.scale.seeds - 1, heights=20, nodes=place.nodes)
    return Figure(value=report.seeds_per_hour, details={"failed": float(len(report.failed))})


ROWS: Final = (
    Row(
        name="empty_heights_per_s",
        unit="heights/s",
        bar=Bar(at_least=True, floors=0.5),
        measure=empty_heights,
    ),
    Row(
        name="finality_p50_ms",
        unit="ms",
        bar=Bar(at_least=False, fixed=12.0),
        measure=finality,
        bars={
            "idle_ms": Bar(at_least=False, fixed=15.0),
            "idle_cores": Bar(at_least=False, fixed=0.1),
        },
    ),
    Row(
        name="ops_per_s_seals_of_100",
        unit="operations/s",
        bar=Bar(at_least=True, fixed=20_000.0),
        measure=operations(100),
        bars={"processor_us_per_op": Bar(at_least=False, fixed=25.0)},
    ),
    Row(
        name="ops_per_s_seals_of_1",
        unit="operations/s",
        bar=Bar(at_least=True, fixed=2_500.0, floors=8.0),
        measure=operations(1),
        bars={"processor_us_per_op": Bar(at_least=False, fixed=180.0)},
    ),
    Row(
        name="handover_missed_ballots",
        unit="ballots",
        bar=Bar(at_least=False),
        measure=handover(
            lambda found: Figure(
                value=float(found.missed_ballots), details={"handovers": float(found.count)}
            )
        ),
    ),
    Row(
        name="handover_extra_rounds",
        unit="rounds",
        bar=Bar(at_least=False),
        measure=handover(lambda found: Figure(value=float(found.extra_rounds))),
    ),
    Row(
        name="handover_lost_operations",
        unit="operations",
        bar=Bar(at_least=False),
        measure=handover(
            lambda found: Figure(
                value=float(found.lost_operations),
                details={"acknowledged": float(found.acknowledged)},
            )
        ),
    ),
    Row(
        name="handover_seconds",
        unit="s",
        bar=Bar(at_least=False, fixed=2.0),
        measure=handover(
            lambda found: Figure(
                value=found.slowest,
                details={"idle": found.idle, "loaded": found.loaded},
            )
        ),
    ),
    Row(
        name="one_down_ratio",
        unit="ratio",
        bar=Bar(at_least=True, fixed=0.7),
        measure=one_down,
        bars={"gap_ms": Bar(at_least=False, fixed=1_000.0)},
        nodes_min=4,
    ),
    Row(
        name="catch_up_ratio",
        unit="ratio",
        bar=Bar(at_least=True, fixed=10.0),
        measure=catch_up,
    ),
    Row(
        name="memory_bytes",
        unit="bytes",
        bar=Bar(at_least=False, fixed=200.0 * (1 << 20)),
        measure=memory,
        only_named=True,
    ),
    Row(
        name="sim_seeds_per_hour",
        unit="seeds/h",
        bar=Bar(at_least=True, fixed=10_000.0),
        measure=seeds,
        only_named=True,
    ),
)
