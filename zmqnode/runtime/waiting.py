"""Requests that wait: for a seal's commit, a height, a state. Bounded in number and in time.

Every waiter has a deadline, at most ``WAIT_MS_MAX`` away, and sits in one bucket of a hundred
milliseconds, so that putting, taking out and expiring are all cheap with tens of thousands of them.
A client that leaves takes its waiters along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from zmqnode.base.hashes import Hash
from zmqnode.errors import Refused

K = TypeVar("K")

WAITERS_MAX: Final = 50_000
BUCKET_MS: Final = 100


class Route(Protocol):
    """Where an answer goes: the connection it came by, and the number of its request there."""

    @property
    def session(self) -> object: ...

    @property
    def number(self) -> int: ...


@dataclass(slots=True, eq=False)
class Waiter:
    """One request that waits.

    Attributes:
        route: where its answer goes.
        seal: waits for this seal, or None: ``met`` is asked at every change of height or state.
        accepted: whether acceptance into the pool already answers it.
        late: whether it is answered as things stand when its time is over, instead of failing.
    """

    route: Route
    deadline_ms: int
    seal: Hash | None = None
    accepted: bool = False
    late: bool = False
    met: Callable[[], bool] | None = None
    answer: Callable[[], object] | None = None
    bucket: int = field(default=0)


class Waiters:
    """All that waits at one node's door."""

    def __init__(self) -> None:
        self._buckets: dict[int, dict[Waiter, None]] = {}
        self._by_seal: dict[Hash, dict[Waiter, None]] = {}
        self._by_session: dict[object, dict[Waiter, None]] = {}
        self._conditions: dict[Waiter, None] = {}
        self._expired_to = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, waiter: Waiter) -> bool:
        return waiter in self._buckets.get(waiter.bucket, ())

    def add(self, waiter: Waiter) -> None:
        """Let a request wait.

        Raises:
            Refused: ``rate_limited``, ``WAITERS_MAX`` wait already.
        """
        if self._count >= WAITERS_MAX:
            raise Refused(
                "rate_limited",
                f"{WAITERS_MAX} requests wait at this node already",
                hint="ask again a little later, or another node",
            )
        # A deadline that is over already belongs to the next bucket that expires.
        waiter.bucket = max(waiter.deadline_ms // BUCKET_MS, self._expired_to)
        self._count += 1
        self._buckets.setdefault(waiter.bucket, {})[waiter] = None
        self._by_session.setdefault(waiter.route.session, {})[waiter] = None
        if waiter.seal is not None:
            self._by_seal.setdefault(waiter.seal, {})[waiter] = None
        else:
            self._conditions[waiter] = None

    def take(self, waiter: Waiter) -> bool:
        """Take a waiter out; False if it waits no more."""
        bucket = self._buckets.get(waiter.bucket)
        if bucket is None or waiter not in bucket:
            return False
        _drop(self._buckets, waiter.bucket, waiter)
        _drop(self._by_session, waiter.route.session, waiter)
        if waiter.seal is not None:
            _drop(self._by_seal, waiter.seal, waiter)
        else:
            self._conditions.pop(waiter, None)
        self._count -= 1
        return True

    def take_seal(self, seal: Hash) -> Iterable[Waiter]:
        """Take out all that wait for a seal."""
        found = self._by_seal.get(seal)
        if not found:
            return ()
        taken = tuple(found)
        for waiter in taken:
            self.take(waiter)
        return taken

    def take_met(self) -> Iterable[Waiter]:
        """Take out all whose condition holds now."""
        if not self._conditions:
            return ()
        taken = tuple(one for one in self._conditions if one.met is not None and one.met())
        for waiter in taken:
            self.take(waiter)
        return taken

    def take_expired(self, now_ms: int) -> Iterable[Waiter]:
        """Take out all whose time is over, to a tenth of a second."""
        upto = now_ms // BUCKET_MS
        due = sorted(bucket for bucket in self._buckets if bucket < upto)
        self._expired_to = max(self._expired_to, upto)
        taken = tuple(waiter for bucket in due for waiter in self._buckets[bucket])
        for waiter in taken:
            self.take(waiter)
        return taken

    def leave(self, session: object) -> None:
        """A connection is gone, and all that waited on it."""
        for waiter in tuple(self._by_session.get(session, ())):
            self.take(waiter)


def _drop(tables: dict[K, dict[Waiter, None]], key: K, waiter: Waiter) -> None:
    table = tables.get(key)
    if table is not None:
        table.pop(waiter, None)
        if not table:
            del tables[key]
