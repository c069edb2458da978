"""Planned handovers there and back, idle and under load: what they cost.

Missed ballots and extra rounds are what the copies themselves say of each session; lost operations
are counted here, against the chain: every operation that was acknowledged while votes moved is
looked for in it.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from zmqnode.base.block import decode_block
from zmqnode.base.query import RAW_BLOCKS_ASKED_MAX, RawBlocks, RawBlocksAsked
from zmqnode.bench.cluster import ASK_MS, READY_MS, Cluster
from zmqnode.client import Client, Session
from zmqnode.errors import Refused

LANES: Final = 8  # Clients that each have one operation on its way, all the time.
VALUE_BYTES: Final = 100
PAUSE_S: Final = 0.5  # Between two handovers.


@dataclass(frozen=True, slots=True, kw_only=True)
class Handovers:
    """What some handovers cost; seconds from the command to the acknowledgement."""

    count: int
    missed_ballots: int
    extra_rounds: int
    acknowledged: int  # Operations, while votes moved.
    lost_operations: int
    idle: float  # Seconds, the median.
    loaded: float
    slowest: float


async def hand_over(cluster: Cluster, each: int) -> Handovers:
    """Play ``each`` handovers on an idle network and as many under load.

    Raises:
        Refused: one was refused or did not end as it should, or the old copy could not be asked.
        TimedOut: the network did not come up.
    """
    async with cluster, cluster.client() as client:
        name = cluster.newcomer()
        cluster.start(name)
        async with cluster.client(name) as second:
            height = (await client.info()).height
            await second.wait_height(height, timeout_ms=READY_MS)
            await second.wait_synced(timeout_ms=READY_MS)
            copies = [second, client]
            idle = [await _one(copies[turn % 2]) for turn in range(each)]
            over = asyncio.Event()
            lanes = [asyncio.create_task(_lane(cluster, lane, over)) for lane in range(LANES)]
            try:
                await asyncio.sleep(PAUSE_S)
                # Where the idle ones ended, the loaded ones go on.
                loaded = [await _one(copies[(each + turn) % 2]) for turn in range(each)]
            finally:
                over.set()
                kept = [seal for seals in await asyncio.gather(*lanes) for seal in seals]
            lost = await _missing(client, kept, height)
    sessions = [*idle, *loaded]
    return Handovers(
        count=len(sessions),
        missed_ballots=sum(_known(one.missed_ballots) for one in sessions),
        extra_rounds=sum(_known(one.extra_rounds) for one in sessions),
        acknowledged=len(kept),
        lost_operations=lost,
        idle=statistics.median(one.seconds or 0.0 for one in idle),
        loaded=statistics.median(one.seconds or 0.0 for one in loaded),
        slowest=max(one.seconds or 0.0 for one in sessions),
    )


def _known(count: int | None) -> int:
    if count is None:
        raise Refused("wrong_state", "the old copy could not be asked what it signed")
    return count


async def _one(copy: Client) -> Session:
    session = await copy.handover_start(accept_halt_risk=True)
    await asyncio.sleep(PAUSE_S)
    return session


async def _lane(cluster: Cluster, lane: int, over: asyncio.Event) -> list[str]:
    """Put after put; the seals that were acknowledged."""
    kept = []
    async with cluster.client(*(f"n{index}" for index in range(cluster.nodes))) as client:
        number = 0
        while not over.is_set():
            put = {"key": f"handover-{lane}-{number}", "value": bytes(VALUE_BYTES)}
            receipt = await client.submit(("put", put))
            kept.append(receipt.seal)
            number += 1
    return kept


async def _missing(client: Client, kept: Sequence[str], height: int) -> int:
    """How many of these seals are in no block from ``height`` on."""
    tip = (await client.info()).height
    found: set[str] = set()
    while height <= tip:
        last = min(tip, height + RAW_BLOCKS_ASKED_MAX - 1)
        answer = await client.ask(RawBlocksAsked(first=height, last=last), timeout_ms=ASK_MS)
        assert isinstance(answer, RawBlocks), answer
        for data, _, _ in answer.blocks:
            found.update(seal.hash.hex() for seal in decode_block(data).seals)
        height += len(answer.blocks)
    return sum(1 for seal in kept if seal not in found)
