"""Feeds at the client door: a client asks once, and the node pushes until it is told to stop.

A feed is one request whose answer is many: each push is a ``Told`` under the request's number, and
the last word (``Told`` of nothing, or ``Failed``) ends it. It also ends with the connection, and
with :class:`FeedCancelled`. Two kinds:

* the *state*: a picture of the node, every so many milliseconds, for those who watch it. Pictures
  do not add up: who reads slowly gets fewer.
* the *events*: what the blocks from a height on say, one block after the other without hole or
  repetition, and between them what only this node knows (its changes of state, evidence). What is
  in blocks is read from the store, as fast as the reader reads, so nothing is queued for it. A
  reader that lost its connection goes on at the block, and at the event within it, where it was:
  events of a block have the same order everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zmqnode.base.codec import message
from zmqnode.base.point import HEIGHT_MAX

INTERVAL_MS_MIN: Final = 100
INTERVAL_MS_MAX: Final = 10_000

BLOCK_KINDS: Final = ("block", "operation", "handover")  # Told by blocks: they can be replayed.
LIVE_KINDS: Final = ("state", "evidence")  # Told by one node, as it happens.
KINDS: Final = (*BLOCK_KINDS, *LIVE_KINDS)

HANDOVER_STEPS: Final = (
    "committed",
    "pending",
    "vetoed",
    "acting",
    "acknowledged",
    "cancelled",
    "returned",
)
"""What a ``handover`` event's ``step`` may be."""


@message("ask.state_feed", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class StateFollowed:
    """A picture of the node at once, then every ``interval_ms`` (100 to 10,000).

    Each push tells ``picture`` (an object, packed: one encoding serves all who follow) and
    ``skipped``: how many were left out because this reader was behind.
    """

    interval_ms: int

    def __post_init__(self) -> None:
        if not INTERVAL_MS_MIN <= self.interval_ms <= INTERVAL_MS_MAX:
            raise ValueError(f"interval_ms: expected {INTERVAL_MS_MIN} to {INTERVAL_MS_MAX}")


@message("ask.event_feed", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class EventsFollowed:
    """Events of the blocks from ``start`` on (None: the next one), then, with ``follow``, of new
    ones.

    ``kinds`` empty: all. Each push tells ``block`` (its height; None: events of this node alone),
    ``first`` (the index, among this feed's events of that block, of the first one told here),
    ``last`` (whether the block is over) and ``events``. A push without events says how far the
    feed is: the first one does, at once.
    """

    start: int | None
    kinds: tuple[str, ...]
    follow: bool

    def __post_init__(self) -> None:
        if self.start is not None and not 0 <= self.start <= HEIGHT_MAX:
            raise ValueError("start: height out of range")
        if len(self.kinds) > len(KINDS) or any(kind not in KINDS for kind in self.kinds):
            raise ValueError(f"kinds: expected some of {', '.join(KINDS)}")


@message("ask.end_feed", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class FeedCancelled:
    """Push no more for the request of this number, of the same connection. Told: nothing.

    A feed that is over already is no error: its last word may be under way.
    """

    number: int

    def __post_init__(self) -> None:
        if not 0 <= self.number < 1 << 64:
            raise ValueError("number: out of range")


FeedRequest = StateFollowed | EventsFollowed | FeedCancelled
