"""The client door on p: any CURVE key, everything bounded, and the node never depends on it.

A client says PING first (its connection counts as greeted), then REQUESTs with numbers of its own
choice. Each gets an ANSWER, a REFUSED with a reason code, or EVENTs until an END. What is over the
rate is answered ``rate_limited``; who goes on regardless is cut. Rates hold per connection *and*
per key; who holds many keys still meets the limit of connections per IP.

Under memory or descriptor pressure the door is closed and says so (``closed_because``); it opens
again by itself when the pressure is gone.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Protocol

import zmq

from zmqnode.errors import Refused
from zmqnode.network.connection import now_ms
from zmqnode.network.contract import Endpoints, Wiring
from zmqnode.network.curve import CurveKeys, Port
from zmqnode.network.envelope import DoorKind, pack_header
from zmqnode.network.gate import KIND_WRONG, Strike, TokenBucket
from zmqnode.network.pressure import descriptors_used, held_bytes, raise_descriptor_limit
from zmqnode.network.router import GuardedRouter, Session
from zmqnode.network.sockets import Address, set_common, set_listener

KEYS_MAX: Final = 4096  # key buckets remembered; the longest unused goes
REOPEN_PERCENT: Final = 80  # of the memory bound, to open again


@dataclass(frozen=True, slots=True)
class DoorRoute:
    """Where answers and events of one request go; opaque, usable as a dict key."""

    session: Session
    number: int


class DoorHooks(Protocol):
    """What the runtime is told of clients. A returned Strike counts against the connection."""

    def client_request(self, client: bytes, route: DoorRoute, payload: bytes) -> Strike | None:
        """A request; ``client`` is the 32-byte CURVE key of its sender."""

    def client_gone(self, session: Session) -> None:
        """No route of this session works any more: drop its subscriptions."""

    def door_changed(self, reason: str) -> None:
        """Closed because of ``reason``, or (empty) open again."""


class ClientDoor:
    """The server side of client connections; made by ``PeerNetwork.open_door``.

    Args:
        memory_bytes_max: close the door while the process holds more (mapped files not counted);
            None: no bound.
    """

    def __init__(
        self,
        wiring: Wiring,
        keys: CurveKeys,
        endpoints: Endpoints,
        hooks: DoorHooks,
        *,
        memory_bytes_max: int | None = None,
    ) -> None:
        self._wiring = wiring
        self._keys = keys
        self._address = Address(endpoints.ip, endpoints.door)
        self._hooks = hooks
        self._memory_bytes_max = memory_bytes_max
        self._descriptors_max = raise_descriptor_limit() - wiring.limits.descriptors_reserved // 2
        self._by_key: OrderedDict[str, TokenBucket] = OrderedDict()
        self._key_of: dict[Session, TokenBucket] = {}
        self._router: GuardedRouter | None = None
        self._looked_ms = now_ms()
        self._reopen_at = 0
        self._closed = False
        self.closed_because = ""
        self._open()
        wiring.guard.every_tick(self._tick)

    def _open(self) -> None:
        wiring, limits = self._wiring, self._wiring.limits
        router = GuardedRouter(
            wiring.context, wiring.loop, wiring.guard, limits, port=Port.DOOR, owner=self
        )
        socket = router.socket
        socket.setsockopt(zmq.RCVHWM, limits.door_receive_messages)
        socket.setsockopt(zmq.SNDHWM, limits.door_send_messages)
        set_common(socket, limits, bytes_max=limits.door_bytes_max, ipv6=wiring.ipv6)
        set_listener(socket, limits, secret=self._keys.secret, domain=Port.DOOR)
        try:
            router.bind(self._address.endpoint, self._address.port)
        except zmq.ZMQError as error:
            router.close()
            raise Refused(
                "address_in_use",
                f"cannot listen on {self._address.endpoint}: {error.strerror}",
                hint="stop what listens there, or set another network.url",
                endpoint=self._address.endpoint,
            ) from None
        self._router = router

    # Answers

    def answer(self, route: DoorRoute, payload: bytes) -> bool:
        """The one answer to a request; False if the client is gone."""
        return self._send(route, DoorKind.ANSWER, payload)

    def refuse(self, route: DoorRoute, code: str) -> bool:
        """Refuse a request with a bare reason code."""
        return self._send(route, DoorKind.REFUSED, code.encode())

    def event(self, route: DoorRoute, payload: bytes) -> bool:
        """One more item for a subscription; False if the client is gone (or now cut: too slow)."""
        return self._send(route, DoorKind.EVENT, payload)

    def end(self, route: DoorRoute, payload: bytes = b"") -> bool:
        """A subscription's last word."""
        return self._send(route, DoorKind.END, payload)

    def backlog(self, route: DoorRoute) -> int:
        """Messages waiting for this client; who pushes a lot can pause above some number."""
        return len(route.session.waiting)

    def _send(self, route: DoorRoute, kind: DoorKind, payload: bytes) -> bool:
        router = self._router
        return router is not None and router.send(
            route.session, pack_header(kind, route.number), payload
        )

    # SessionOwner

    def buckets(self, user: str) -> tuple[TokenBucket | None, TokenBucket | None]:
        rate = self._wiring.limits.door_messages_rate
        return (None if rate is None else TokenBucket(rate, now_ms())), None

    def opened(self, session: Session) -> None:
        rate = self._wiring.limits.door_messages_rate
        if rate is None:
            return
        bucket = self._by_key.pop(session.user, None) or TokenBucket(rate, now_ms())
        self._by_key[session.user] = bucket
        self._key_of[session] = bucket
        if len(self._by_key) > KEYS_MAX:
            self._by_key.popitem(last=False)

    def closed(self, session: Session) -> None:
        self._key_of.pop(session, None)
        self._hooks.client_gone(session)

    def limited(self, session: Session, kind: int, number: int) -> None:
        if kind == DoorKind.REQUEST:
            self.refuse(DoorRoute(session, number), "rate_limited")

    def received(self, session: Session, kind: int, number: int, payload: bytes) -> None:
        router = self._router
        assert router is not None
        if not session.connection.greeted:
            router.greet(session)  # Any message of ours will do; PING is the shortest.
        route = DoorRoute(session, number)
        if kind == DoorKind.PING:
            self._send(route, DoorKind.PONG, b"")
        elif kind != DoorKind.REQUEST:
            router.strike(session, KIND_WRONG)
        elif session in self._key_of and not self._key_of[session].take(1, now_ms()):
            self.refuse(route, "rate_limited")
        else:
            strike = self._hooks.client_request(bytes.fromhex(session.user), route, payload)
            if strike is not None:
                router.strike(session, strike)

    # Pressure

    def close_for(self, reason: str) -> None:
        """Close the door, cutting all clients; votes do not depend on it."""
        router, self._router = self._router, None
        if router is None:
            return
        self.closed_because = reason
        self._reopen_at = now_ms() + self._wiring.limits.door_reopen_ms
        router.close()
        self._hooks.door_changed(reason)

    def pressure(self) -> str:
        """Why the door must not be open now, or ""."""
        if descriptors_used() > self._descriptors_max:
            return "descriptors"
        bound = self._memory_bytes_max
        if bound is not None:
            if self._router is None:
                bound = bound * REOPEN_PERCENT // 100
            if held_bytes() > bound:
                return "memory"
        return ""

    def _tick(self, now: int) -> None:
        if self._closed or now - self._looked_ms < self._wiring.limits.pressure_ms:
            return
        self._looked_ms = now
        reason = self.pressure()
        if reason and self._router is not None:
            self.close_for(reason)
        elif not reason and self._router is None and now >= self._reopen_at:
            try:
                self._open()
            except Refused:
                self._reopen_at = (
                    now + self._wiring.limits.door_reopen_ms
                )  # The port is taken: try again later.
                return
            self.closed_because = ""
            self._hooks.door_changed("")

    @property
    def clients(self) -> int:
        return len(self._router.sessions) if self._router is not None else 0

    def close(self) -> None:
        """Close for good. Again is harmless."""
        self._closed = True
        router, self._router = self._router, None
        if router is not None:
            router.close()
