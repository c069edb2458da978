"""Long answers in slices, so that no client's question holds the loop that votes.

A block of 2,000 operations costs some 40 ms to put into words, a hundred headers of such blocks
more. What makes such an answer is therefore a generator that yields between slices of a few
milliseconds; one slice is run each time the loop comes round, of one answer at a time, in the order
they were asked. Short answers are done in their first slice, at once.

The list of such an answer is packed item by item, and the pieces are joined: packing and ordering
it whole would hold the loop as long as making it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from zmqnode.base.codec import containers_allowed, encode, pack, pack_sorted
from zmqnode.base.query import Told, failed
from zmqnode.errors import Refused, ZmqnodeError
from zmqnode.runtime.waiting import Route

TELLINGS_MAX: Final = 256  # Answers under way, of all clients.
SLICE_ITEMS: Final = 100  # Operations made and packed in one slice: about 2 ms.
_DEPTH: Final = 3  # Containers around an item of a told list; each is one byte around it alone.

Slices = Generator[None, None, bytes]
"""Yields between slices; returns the answer's bytes. May raise what the client is refused with."""

Soon = Callable[[Callable[[], None]], object]
"""Runs a function when the loop comes round: ``loop.call_soon``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Telling:
    route: Route
    slices: Slices


class Tellings:
    """The long answers under way at one node's door.

    Args:
        send: takes a route and the answer's bytes.
        soon: None: every answer is made at once.
    """

    def __init__(self, send: Callable[[Route, bytes], object], soon: Soon | None) -> None:
        self._send = send
        self._soon = soon
        self._waiting: deque[_Telling] = deque()
        self._scheduled = False

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, route: Route, slices: Slices) -> None:
        """Make an answer; its first slice now.

        Raises:
            Refused: ``rate_limited``, too many are under way.
        """
        telling = _Telling(route=route, slices=slices)
        if self._step(telling):
            return
        if len(self._waiting) >= TELLINGS_MAX:
            text = f"{TELLINGS_MAX} long answers are under way already"
            raise Refused("rate_limited", text, hint="ask again in a moment")
        self._waiting.append(telling)
        self._schedule()

    def leave(self, session: object) -> None:
        """A client left: nobody reads its answers."""
        self._waiting = deque(one for one in self._waiting if one.route.session is not session)

    def _schedule(self) -> None:
        if self._soon is None:
            while self._waiting:
                self._next()
        elif self._waiting and not self._scheduled:
            self._scheduled = True
            self._soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        self._next()
        self._schedule()

    def _next(self) -> None:
        if self._waiting and self._step(self._waiting[0]):
            self._waiting.popleft()

    def _step(self, telling: _Telling) -> bool:
        """One slice; whether the answer is done, and sent."""
        try:
            next(telling.slices)
        except StopIteration as done:
            self._send(telling.route, done.value)
            return True
        except ZmqnodeError as error:
            self._send(telling.route, encode(failed(error)))
            return True
        return False


def told_list(
    body: Mapping[str, Any], name: str, items: Iterable[Any], slice_items: int = SLICE_ITEMS
) -> Slices:
    """``encode(told({**body, name: [*items]}))`` in slices.

    Args:
        slice_items: how many items are made and packed in one slice, at least 1.
    Raises:
        Refused: ``query_failed``, as ``told``.
    """
    packed: list[bytes] = []
    count = _DEPTH
    try:
        for number, item in enumerate(items, 1):
            count += _containers(item)
            packed.append(pack_sorted([[[item]]])[_DEPTH:])
            if number % slice_items == 0:
                yield
        rest = {key: value for key, value in body.items() if key != name}
        packer = msgpack.Packer()
        pieces = [encode(Told(body={}))[:-1], packer.pack_map_header(len(rest) + 1)]
        for key in sorted([*rest, name], key=str.encode):
            pieces.append(pack(key))
            if key == name:
                pieces += [packer.pack_array_header(len(packed)), *packed]
            else:
                count += _containers(rest[key])
                pieces.append(pack_sorted([[rest[key]]])[_DEPTH - 1 :])
    except ValueError as error:
        raise _cannot(str(error)) from None
    payload = b"".join(pieces)
    if count > containers_allowed(len(payload)):
        raise _cannot("too many lists and maps")
    return payload


def _containers(value: object) -> int:
    if isinstance(value, (list, tuple)):
        return 1 + sum(_containers(item) for item in value)
    if isinstance(value, dict):
        return 1 + sum(_containers(item) for item in value.values())
    return 0


def _cannot(why: str) -> Refused:
    hint = "ask for less, or for the block as it is stored"
    return Refused("query_failed", f"the answer cannot be told: {why}", hint=hint)
