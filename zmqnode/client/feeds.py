"""Following a node: its state as it is now, its events without hole or repetition.

A feed ends with its connection. Pictures of the state begin anew then, for whoever wants them. The
events of a chain go on where they were, at any node of it: what was told is known by the height of
a block and the number of its events that were yielded, and every node tells a block's events in the
same order. That is also how a reader that is slower than its node stays within bounds: the feed is
ended here, what came is read, and a new one begins at that place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Any, Final

from zmqnode.base.codec import unpack
from zmqnode.base.feed import INTERVAL_MS_MAX, INTERVAL_MS_MIN, KINDS, EventsFollowed, StateFollowed
from zmqnode.client.answers import NodeInfo, read
from zmqnode.client.feed_answers import EVENT_OF, Event, Snapshot
from zmqnode.client.node_link import NodeLink, Overrun, monotonic_ms
from zmqnode.client.nodes import RETRY_MS, Nodes
from zmqnode.client.wording import with_rtt
from zmqnode.errors import Invalid, Malformed, Undecided, Unreachable

PATIENCE_MS: Final = 60_000  # How long events wait for a node to come back.

Check = Callable[[NodeLink, dict[str, Any]], NodeInfo]


async def snapshots(
    nodes: Nodes, interval_ms: int, timeout_ms: int, checked: Check
) -> AsyncGenerator[Snapshot, None]:
    """Pictures of the first target that can be reached, the newest there is.

    Args:
        interval_ms: 100 to 10,000.
        checked: reads a NodeInfo and checks who signed it.
    """
    if not INTERVAL_MS_MIN <= interval_ms <= INTERVAL_MS_MAX:
        raise Invalid("usage", f"an interval is {INTERVAL_MS_MIN} to {INTERVAL_MS_MAX} ms")
    link = await _met(nodes, timeout_ms)
    stream = link.stream(StateFollowed(interval_ms=interval_ms), timeout_ms, newest=True)
    try:
        async for body in stream:
            yield _snapshot(link, body, checked)
    finally:
        await stream.aclose()


async def _met(nodes: Nodes, timeout_ms: int) -> NodeLink:
    """The first target that answers, and is of the right chain."""

    async def greeted(link: NodeLink) -> NodeLink:
        chain = await link.chain(timeout_ms)
        nodes.pin(link, chain.domain.network_id, chain.domain.genesis.hex())
        return link

    return await nodes.any(greeted)


def _snapshot(link: NodeLink, body: dict[str, Any], checked: Check) -> Snapshot:
    try:
        picture = unpack(body["picture"])
        node = checked(link, picture["node"])
        # Floats do not travel: microseconds and thousandths do.
        blocks, pool = picture["blocks"], picture["pool"]
        shown = {
            **picture,
            "blocks": {
                "interval_p50_ms": blocks["interval_p50_us"] / 1000,
                "interval_p99_ms": blocks["interval_p99_us"] / 1000,
                "per_minute": float(blocks["per_minute"]),
            },
            "peers": [with_rtt(row) for row in picture["peers"]],
            "members": {name: with_rtt(row) for name, row in picture["members"].items()},
            "pool": {
                **pool,
                "in_per_s": pool["in_milli_per_s"] / 1000,
                "out_per_s": pool["out_milli_per_s"] / 1000,
            },
            "skipped": body["skipped"],
        }
        return read(Snapshot, {**shown, "node": node.json()})
    except (KeyError, TypeError, AttributeError, Malformed) as error:
        raise link.strange(f"its picture cannot be read: {error}") from None


# Events.


class _Place:
    """How far a reader of events is: the next height, and how many of its events it has."""

    def __init__(self, start: int | None) -> None:
        self.height = start
        self.told = 0

    def take(self, link: NodeLink, body: dict[str, Any]) -> Iterator[Event]:
        """The events of a push that were not yielded yet; each counts once it is yielded."""
        try:
            block, first, over = body["block"], body["first"], body["last"]
            events = [read(EVENT_OF[one["kind"]], one) for one in body["events"]]
            had = self._had(block, first, len(events))
        except (KeyError, TypeError, Malformed) as error:
            raise link.strange(f"its events cannot be read: {error}") from None
        if block is None:
            yield from events
            return
        if had is None:
            return
        self.height, self.told = block, had
        for event in events[had - first :]:
            self.told += 1
            yield event
        if over:
            self.height, self.told = block + 1, 0

    def _had(self, block: int | None, first: int, count: int) -> int | None:
        """How many events of the block are known already; None if the push says nothing new."""
        if block is None:
            return 0
        if self.height is not None and block < self.height:
            if count:
                raise Malformed("a block that was told before")
            return None  # A feed says where it is: just before what was asked for.
        had = self.told if block == self.height else 0
        if first > had:
            raise Malformed(f"block {block}: event {first} after {had}")
        return had


async def events(
    nodes: Nodes,
    *,
    start: int | None,
    kinds: Sequence[str],
    follow: bool,
    timeout_ms: int,
    patience_ms: int = PATIENCE_MS,
) -> AsyncGenerator[Event, None]:
    """Events from any target, one after the other; see ``Client.events``."""
    strange = [kind for kind in kinds if kind not in KINDS]
    if strange:
        hint = f"one of {', '.join(KINDS)}"
        raise Invalid("usage", f"{strange[0]!r} is no kind of event", hint=hint)
    await nodes.chain()
    place = _Place(start)
    began = False
    while True:
        asked = EventsFollowed(start=place.height, kinds=tuple(dict.fromkeys(kinds)), follow=follow)
        link = await _back(nodes, timeout_ms, patience_ms if began else 0)
        stream = link.stream(asked, timeout_ms)
        try:
            async for body in stream:
                began = True
                for event in place.take(link, body):
                    yield event
            return
        except Overrun:
            continue
        except (Unreachable, Undecided):
            if not began:
                raise
        finally:
            await stream.aclose()


async def _back(nodes: Nodes, timeout_ms: int, patience_ms: int) -> NodeLink:
    """A node that answers; waits so long for one."""
    end_ms = monotonic_ms() + patience_ms
    while True:
        try:
            return await _met(nodes, timeout_ms)
        except (Unreachable, Undecided):
            if monotonic_ms() + RETRY_MS >= end_ms:
                raise
        await asyncio.sleep(RETRY_MS / 1000)
