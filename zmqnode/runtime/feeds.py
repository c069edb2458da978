"""The node's side of feeds: who follows its state or its events, and what is pushed to whom when.

Nothing is queued here. The state is pictured when it is due, once for all who are due about then; a
reader that still has an older picture on the way is passed over, and told how often. Events
of blocks are read from the store at the reader's own pace, up to ``BACKLOG_MAX`` pushes ahead of
it: the chain is the queue. Only what this node alone knows (state, evidence) is kept for a slow
reader, the newest ``LIVE_KEPT`` of it. Whoever reads nothing at all for some seconds is cut by the
door.

Feeds are bounded per connection, per client key and per node; replays take turns and leave the loop
between slices, as votes come first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, assert_never

from zmqnode.base.codec import encode, pack_sorted
from zmqnode.base.exchange import NodeState
from zmqnode.base.feed import (
    BLOCK_KINDS,
    KINDS,
    EventsFollowed,
    FeedCancelled,
    FeedRequest,
    StateFollowed,
)
from zmqnode.base.query import Told, failed, told
from zmqnode.errors import Refused, ZmqnodeError
from zmqnode.runtime.happenings import (
    FIRST_HEIGHT,
    BlockPushes,
    evidence_event,
    push,
    state_event,
)
from zmqnode.runtime.view import NodeView
from zmqnode.runtime.waiting import Route

FEEDS_MAX: Final = 256  # At one node.
CLIENT_FEEDS_MAX: Final = 32  # Of one CURVE key, over all its connections.
SESSION_FEEDS_MAX: Final = 16  # Of one connection.
BACKLOG_MAX: Final = 16  # Pushes that wait in the door for a reader of events.
LIVE_KEPT: Final = 64
PICTURE_MS: Final = 40  # A picture no older than this serves whoever is due.
SLICE_MS: Final = 3  # How long replays hold the loop; then votes are looked at
PAUSE_MS: Final = 3  # for at least as long.
RETRY_MS: Final = 20  # Before a reader with a full backlog is looked at again.
MARK_BLOCKS: Final = 256  # After so many blocks without an event of its kinds, a feed is told.

Picture = Callable[[], dict[str, Any]]


class Pushes(Protocol):
    """Where pushes go: the door."""

    def event(self, route: Any, payload: bytes) -> bool:
        """One more push of a feed; False if its client is gone."""

    def end(self, route: Any, payload: bytes = b"") -> bool:
        """A feed's last word."""

    def backlog(self, route: Any) -> int:
        """Messages that wait for this client."""


@dataclass(slots=True, eq=False, kw_only=True)
class _Feed:
    route: Route
    client: bytes


@dataclass(slots=True, eq=False, kw_only=True)
class _StateFeed(_Feed):
    interval_s: float
    due_s: float
    skipped: int = 0
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class _EventFeed(_Feed):
    kinds: tuple[str, ...]
    next: int  # The height of the next block to tell.
    last: int | None  # Where it ends; None: it follows.
    pushes: BlockPushes | None = None  # Of that block, once it is begun,
    at: int = 0  # and the next of them.
    marked: int = 0  # Up to where the reader was told that it is.
    live: deque[bytes] = field(default_factory=lambda: deque(maxlen=LIVE_KEPT))


class Feeds:
    """All that follow one node.

    Args:
        picture: the node's state as one object; asked for at most once in ``PICTURE_MS``.
    """

    def __init__(
        self,
        view: NodeView,
        pushes: Pushes,
        picture: Picture,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._view = view
        self._pushes = pushes
        self._picture = picture
        self._loop = loop
        self._by_session: dict[object, dict[int, _Feed]] = {}
        self._events: dict[_EventFeed, None] = {}
        self._count = 0
        self._of_client: dict[bytes, int] = {}
        self._pictured: tuple[float, bytes] | None = None
        self._made: dict[tuple[int, tuple[str, ...]], BlockPushes] = {}  # Of the tip.
        self._pumping: asyncio.TimerHandle | None = None
        self._rest_until_s = 0.0

    def __len__(self) -> int:
        return self._count

    # Beginnings and ends.

    def take(self, client: bytes, route: Route, request: FeedRequest) -> Told | None:
        """Begin or end a feed; raises Refused ``rate_limited``, too many are open."""
        match request:
            case FeedCancelled(number=number):
                feed = self._by_session.get(route.session, {}).get(number)
                if feed is not None:
                    self._drop(feed)
                return told({})
            case StateFollowed(interval_ms=interval_ms):
                interval_s = interval_ms / 1000
                due_s = self._loop.time()
                state = _StateFeed(route=route, client=client, interval_s=interval_s, due_s=due_s)
                self._add(state)
                self._show(state)
            case EventsFollowed():
                self._add(self._event_feed(client, route, request))
                self._pump_if_rested()
            case _:
                assert_never(request)
        return None

    def _event_feed(self, client: bytes, route: Route, asked: EventsFollowed) -> _EventFeed:
        tip = self._view.tip
        first = asked.start
        if first is None:
            first = tip + 1 if asked.follow else FIRST_HEIGHT
        feed = _EventFeed(
            route=route,
            client=client,
            kinds=asked.kinds or KINDS,
            next=max(first, FIRST_HEIGHT),
            last=None if asked.follow else tip,
        )
        feed.marked = feed.next - 1
        feed.live.append(push(feed.marked, 0, [], over=True))
        return feed

    def _add(self, feed: _Feed) -> None:
        own = self._by_session.get(feed.route.session, {})
        of_client = self._of_client.get(feed.client, 0)
        if (
            self._count >= FEEDS_MAX
            or of_client >= CLIENT_FEEDS_MAX
            or len(own) >= SESSION_FEEDS_MAX
        ):
            raise Refused(
                "rate_limited",
                f"a node has {FEEDS_MAX} feeds at most, a client {CLIENT_FEEDS_MAX}, "
                f"a connection {SESSION_FEEDS_MAX}",
                hint="end another feed, or follow another node",
            )
        if feed.route.number in own:
            raise Refused("bad_argument", "this number has a feed already")
        self._by_session.setdefault(feed.route.session, own)[feed.route.number] = feed
        self._count += 1
        self._of_client[feed.client] = of_client + 1
        if isinstance(feed, _EventFeed):
            self._events[feed] = None

    def _drop(self, feed: _Feed) -> None:
        own = self._by_session.get(feed.route.session, {})
        if own.pop(feed.route.number, None) is None:
            return
        if not own:
            self._by_session.pop(feed.route.session, None)
        self._count -= 1
        self._of_client[feed.client] -= 1
        if not self._of_client[feed.client]:
            del self._of_client[feed.client]
        if isinstance(feed, _EventFeed):
            self._events.pop(feed, None)
        elif isinstance(feed, _StateFeed) and feed.timer is not None:
            feed.timer.cancel()

    def leave(self, session: object) -> None:
        """A connection is gone, and its feeds with it."""
        for feed in tuple(self._by_session.get(session, {}).values()):
            self._drop(feed)

    def close(self) -> None:
        """The node ends: no more pushes."""
        for session in tuple(self._by_session):
            self.leave(session)
        if self._pumping is not None:
            self._pumping.cancel()
            self._pumping = None

    # The state.

    def _show(self, feed: _StateFeed) -> None:
        """Push a picture, if the reader has taken the last one, and come back."""
        feed.timer = None
        now_s = self._loop.time()
        if self._pushes.backlog(feed.route):
            feed.skipped += 1
        else:
            body = {"picture": self._picture_now(now_s), "skipped": feed.skipped}
            if not self._pushes.event(feed.route, encode(Told(body=body))):
                self._drop(feed)
                return
        # In step with its first one, whatever was late.
        feed.due_s = max(feed.due_s + feed.interval_s, now_s)
        feed.timer = self._loop.call_at(feed.due_s, self._show, feed)

    def _picture_now(self, now_s: float) -> bytes:
        if self._pictured is None or now_s - self._pictured[0] > PICTURE_MS / 1000:
            self._pictured = (now_s, pack_sorted(self._picture()))
        return self._pictured[1]

    # Events.

    def committed(self) -> None:
        """A block can be read: those who wait for it are told."""
        self._made.clear()
        if self._events:
            self._pump_if_rested()

    def state_changed(self, state: NodeState, previous: NodeState, reason: str) -> None:
        """The node's state is another one."""
        self._tell("state", lambda: state_event(self._view, state, previous, reason))

    def evidence(self, first: object) -> None:
        """An instance signed two things; ``first`` is one of them."""
        self._tell("evidence", lambda: evidence_event(self._view, first))

    def _tell(self, kind: str, event_of: Callable[[], dict[str, Any]]) -> None:
        """What this node alone knows, to those who follow that."""
        wanting = [feed for feed in self._events if kind in feed.kinds and feed.last is None]
        if wanting:
            payload = push(None, 0, [event_of()], over=True)
            for feed in wanting:
                feed.live.append(payload)
            self._pump_if_rested()

    def _pump_if_rested(self) -> None:
        """Tell at once, unless a replay just had its slice: then the timer is set."""
        if self._loop.time() >= self._rest_until_s:
            self._pump()

    def _pump(self) -> None:
        """Tell every reader what it can take, for a slice of time, and come back if there is more.

        Readers take turns push by push, and who was not reached in one slice is first in the
        next.
        """
        if self._pumping is not None:
            self._pumping.cancel()
            self._pumping = None
        until_s = self._loop.time() + SLICE_MS / 1000
        waiting: deque[_EventFeed] = deque(self._events)
        full = False
        while waiting and self._loop.time() < until_s:
            feed = waiting.popleft()
            if feed not in self._events:
                continue  # Its connection turned out to be gone at another feed's push.
            if self._pushes.backlog(feed.route) >= BACKLOG_MAX:
                full = True
            elif self._advance(feed):
                waiting.append(feed)
        ahead = {feed: None for feed in waiting if feed in self._events}
        if ahead:
            self._events = {**ahead, **self._events}
            self._rest_until_s = self._loop.time() + PAUSE_MS / 1000
            self._pump_in(PAUSE_MS)
        elif full:
            self._pump_in(RETRY_MS)

    def _pump_in(self, delay_ms: int) -> None:
        self._pumping = self._loop.call_later(delay_ms / 1000, self._pump)

    def _advance(self, feed: _EventFeed) -> bool:
        """Tell one reader the next push; False if there is nothing for it now."""
        try:
            return self._tell_next(feed)
        except ZmqnodeError as error:  # The store failed.
            self._drop(feed)
            self._pushes.end(feed.route, encode(failed(error)))
            return False

    def _tell_next(self, feed: _EventFeed) -> bool:
        while feed.live:
            if not self._push(feed, feed.live.popleft()):
                return False
        end = self._view.tip if feed.last is None else feed.last
        if feed.next > end:
            if feed.last is not None:
                self._drop(feed)
                self._pushes.end(feed.route, encode(told({})))
            return False
        if feed.pushes is None:
            feed.pushes = self._block(feed.next, feed.kinds)
            feed.at = 0
        payload = None if feed.pushes is None else feed.pushes.at(feed.at)
        if payload is not None:
            feed.marked = feed.next
            feed.at += 1
            return self._push(feed, payload)
        if feed.next - feed.marked >= MARK_BLOCKS:
            feed.marked = feed.next
            feed.live.append(push(feed.next, 0, [], over=True))
        feed.pushes = None
        feed.next += 1
        return True

    def _push(self, feed: _EventFeed, payload: bytes) -> bool:
        told_ = self._pushes.event(feed.route, payload)
        if not told_:
            self._drop(feed)
        return told_

    def _block(self, height: int, kinds: tuple[str, ...]) -> BlockPushes | None:
        """The pushes of a block; those of the newest are made once for all who follow it."""
        wanted = tuple(kind for kind in BLOCK_KINDS if kind in kinds)
        if not wanted:
            return None
        if height != self._view.tip:
            return BlockPushes(self._view, height, wanted)
        if (height, wanted) not in self._made:
            self._made[height, wanted] = BlockPushes(self._view, height, wanted)
        return self._made[height, wanted]
