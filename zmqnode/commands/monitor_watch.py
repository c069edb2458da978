"""Where the monitor's pictures come from: one subscription for each node that is watched.

A :class:`Watch` holds the newest snapshot of every node; a follower per node fills it and, when
the connection is lost, leaves the last picture and asks again. A screen reads it whenever it draws.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from zmqnode.commands.monitor_picture import STALE_MS, NodePicture, Picture
from zmqnode.errors import Refused, TimedOut, Undecided, Unreachable, ZmqnodeError

if TYPE_CHECKING:
    from zmqnode.client import Client
    from zmqnode.client.feed_answers import Snapshot

RETRY_MS: Final = 500
RETRY_MAX_MS: Final = 2_000
STALE_INTERVALS: Final = 4  # So many pictures may be missing before the last one is old.

OnHeard = Callable[[int, int, NodePicture], None]  # Unix ms, the node's index, its picture.


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A node to watch: what it is called, and the target of a client for it."""

    name: str
    target: str | None


class Watch:
    """The newest picture of every node; lives on one loop.

    Args:
        names: of the nodes, in the order they are shown.
        interval_ms: how often pictures come; older ones than a few of these are old.
    """

    def __init__(self, names: Sequence[str], interval_ms: int) -> None:
        self._nodes = [NodePicture(name=name) for name in names]
        self._stale_ms = max(STALE_MS, STALE_INTERVALS * interval_ms)
        self._first: list[ZmqnodeError | None] = [None] * len(names)
        self.changed = asyncio.Event()
        self.source = ""
        self.clock: Callable[[], int] = wall_ms
        self.on_heard: OnHeard | None = None

    def hear(self, index: int, snapshot: Snapshot) -> None:
        """A snapshot came."""
        before = self._nodes[index]
        session = snapshot.node.handover
        self._put(
            index,
            NodePicture(
                name=before.name,
                snapshot=snapshot,
                heard_ms=self.clock(),
                session=before.session if session is None else dict(session),
            ),
        )

    def tell_session(self, index: int, session: dict[str, Any]) -> None:
        """What became of a handover that is not open any more."""
        self._put(index, replace(self._nodes[index], session=session))

    def lose(self, index: int, problem: str, error: ZmqnodeError | None = None) -> None:
        """No more snapshots, for the time being."""
        self._first[index] = error
        self._put(index, replace(self._nodes[index], problem=problem))

    def put(self, index: int, node: NodePicture) -> None:
        """A picture as it was recorded."""
        self._put(index, node)

    def _put(self, index: int, node: NodePicture) -> None:
        self._nodes[index] = node
        if self.on_heard is not None:
            self.on_heard(self.clock(), index, node)
        self.changed.set()

    def picture(self) -> Picture:
        """All nodes as they are now."""
        return Picture(
            at_ms=self.clock(),
            nodes=tuple(self._nodes),
            source=self.source,
            stale_ms=self._stale_ms,
        )

    def node(self, index: int) -> NodePicture:
        """One node as it is now."""
        return self._nodes[index]

    async def first(self, timeout_ms: int) -> None:
        """Until every node gave a picture, or is known not to.

        Raises:
            ZmqnodeError: no node gave one; the error of the first.
            TimedOut: they neither answered nor refused in time.
        """
        end = time.monotonic() + timeout_ms / 1000
        while any(node.snapshot is None and not node.problem for node in self._nodes):
            left = end - time.monotonic()
            if left <= 0:
                break
            self.changed.clear()
            try:
                async with asyncio.timeout(left):
                    await self.changed.wait()
            except TimeoutError:
                break
        if any(node.snapshot is not None for node in self._nodes):
            return
        for error in self._first:
            if error is not None:
                raise error
        text = f"no picture of the node within {timeout_ms / 1000:g} s"
        raise TimedOut("timeout", text, hint="zmqnode node info tells whether it answers")


def wall_ms() -> int:
    """Unix ms of this machine."""
    return time.time_ns() // 1_000_000


async def follow(
    watch: Watch, index: int, make_client: Callable[[], Client], interval_ms: int
) -> None:
    """Fill one node's place for as long as this runs; a lost connection is made again.

    Raises:
        Invalid: the target cannot be read: trying again would not help.
    """
    wait_ms = RETRY_MS
    while True:
        heard = False
        try:
            async with make_client() as client, aclosing(client.follow(interval_ms)) as feed:
                async for snapshot in feed:
                    fresh, heard, wait_ms = not heard, True, RETRY_MS
                    closed = _closed(watch.node(index), snapshot)
                    watch.hear(index, snapshot)
                    if fresh or closed:
                        await _ask_session(watch, index, client)
            watch.lose(index, "the node ended the feed")
        except (Unreachable, Undecided, Refused, TimedOut) as error:
            watch.lose(index, error.message, error)
        await asyncio.sleep(wait_ms / 1000)
        wait_ms = min(2 * wait_ms, RETRY_MAX_MS)


def _closed(before: NodePicture, snapshot: Snapshot) -> bool:
    """Whether the session that was open is over with this snapshot."""
    was = before.session
    return snapshot.node.handover is None and was is not None and was.get("outcome") is None


async def _ask_session(watch: Watch, index: int, client: Client) -> None:
    """The last session, asked once a handover: snapshots tell of open ones alone."""
    snapshot = watch.node(index).snapshot
    if snapshot is None or snapshot.node.handover is not None:
        return
    try:
        session = await client.handover_status()
    except ZmqnodeError:
        return  # The panel shows what is known.
    if session is not None:
        watch.tell_session(index, session.json())
