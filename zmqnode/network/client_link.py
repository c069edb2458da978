"""The client's side of the door: one connection, thousands of requests in flight.

``ClientLink`` knows no loop: ``pump`` does all that is possible now, ``wait_for`` and ``deadline``
say what to sleep on; ``client_loops`` has one driver for asyncio and one that blocks.

What a client can know of an unreachable node (measured; DESIGN.md, network):

* CLOSED (about 1 ms on loopback): nobody listens. ``connected`` false.
* connected, then the handshake ended early twice (about 150 ms): another key, or no node at all.
  ``connected`` true, ``reason`` ``other_key``.
* silence: ``connected`` true, ``reason`` ``no_answer``, after min(2 s, timeout).

These are ``Unreachable``: nothing was sent. A request that was sent and not answered, because its
time is over or the connection was lost, is ``Undecided``. The link goes on reconnecting; whoever
wants to try again asks again.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import zmq

from zmqnode.base.keys import PublicKey, curve_public, parse_public
from zmqnode.errors import Invalid, Refused, Undecided, Unreachable, ZmqnodeError
from zmqnode.network.connection import now_ms
from zmqnode.network.curve import CurveKeys
from zmqnode.network.envelope import FRAMES, DoorKind, pack_header, read_header
from zmqnode.network.limits import NetworkLimits
from zmqnode.network.sockets import (
    DIALER_EVENTS,
    Address,
    Context,
    Monitor,
    Place,
    Socket,
    parse_place,
    resolve_now,
    send_pair,
    set_common,
    set_dialer,
)

SILENCE_MS: Final = 2000
EARLY_MS: Final = 1500  # a handshake that fails sooner was refused, not timed out
REFUSALS: Final = 2  # so many in a row mean another key
REQUESTS_MAX: Final = 50_000  # open ones of one link
PUMP_MAX: Final = 256  # messages of one pump
GIVEN_UP_MS: Final = 100  # libzmq says CONNECT_RETRIED right after DISCONNECTED, or never

OnAnswer = Callable[["bytes | ZmqnodeError"], None]
"""Called once: the answer (or a subscription's last word), or why there is none."""
OnEvent = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Target:
    """A node's key and place in one text: ``tcp://PUBLICKEY@HOST:PORT``."""

    publickey: PublicKey
    place: Place
    text: str


def parse_target(text: str) -> Target:
    """Read a full target url.

    Raises:
        Invalid: ``key_invalid`` or ``config_invalid``.
    """
    place = parse_place(text)
    key, at, _ = text.partition("://")[2].rpartition("@")
    if not at:
        raise Invalid(
            "key_invalid", "the target names no key", hint="tcp://PUBLICKEY@HOST:PORT", target=text
        )
    return Target(parse_public(key), place, text)


@dataclass(slots=True)
class _Request:
    number: int
    payload: bytes
    on_answer: OnAnswer
    on_event: OnEvent | None
    deadline_ms: int
    silence_ms: int
    sent: bool = False


class ClientLink:
    """One client's connection to one node's door. Not thread-safe.

    Args:
        context: shared by the links of a client.
        target: whom to reach; its name is resolved here, blocking.
        keys: the client's CURVE keys; fresh ones by default.
    Raises:
        Invalid: ``key_invalid``.
        Unreachable: the host's name is unknown.
    """

    def __init__(
        self,
        context: Context,
        target: Target,
        *,
        keys: CurveKeys | None = None,
        limits: NetworkLimits | None = None,
    ) -> None:
        self.target = target
        self._context = context
        self._keys = keys or CurveKeys.ephemeral()
        self._limits = limits or NetworkLimits()
        self._server = curve_public(target.publickey)
        ip = resolve_now(target.place)
        if ip is None:
            raise Unreachable(
                "unreachable",
                f"no address is known for {target.place.host}",
                hint="check the host name",
                connected=False,
                target=target.text,
            )
        self._address = Address(ip, target.place.port)
        self._next = 0
        self._requests: dict[int, _Request] = {}
        self._unsent: deque[_Request] = deque()
        self._deadlines: list[tuple[int, int]] = []
        self.ready = False
        self._ping_due = False
        self._connected_ms = 0
        self._refusals = 0
        self._given_up_at: int | None = None
        self._closed = False
        self.on_reopened: Callable[[], None] | None = None
        self._open()

    def _open(self) -> None:
        socket = self._context.socket(zmq.DEALER)
        limits = self._limits
        set_common(socket, limits, bytes_max=limits.answer_bytes_max, ipv6=":" in self._address.ip)
        set_dialer(
            socket,
            limits,
            public=self._keys.public,
            secret=self._keys.secret,
            server=self._server,
        )
        self._socket: Socket = socket
        self._monitor = Monitor(self._context, socket, DIALER_EVENTS)
        socket.connect(self._address.endpoint)
        self._given_up_at = None

    def _shut(self) -> None:
        self._monitor.close()
        self._socket.close(0)

    # Asking

    def request(
        self,
        payload: bytes,
        timeout_ms: int,
        on_answer: OnAnswer,
        on_event: OnEvent | None = None,
    ) -> int:
        """Put a request on its way; ``pump`` sends it and calls back.

        With ``on_event`` it is a subscription: the time-out ends with the first event, and
        ``on_answer`` gets the last word or the error that ends it.

        Raises:
            Refused: ``rate_limited``, too many are open on this link.
        """
        if len(self._requests) >= REQUESTS_MAX:
            raise Refused("rate_limited", f"{REQUESTS_MAX} requests are open already")
        self._next += 1
        now = now_ms()
        deadline, silence = now + timeout_ms, now + min(timeout_ms, SILENCE_MS)
        request = _Request(self._next, payload, on_answer, on_event, deadline, silence)
        self._requests[request.number] = request
        self._unsent.append(request)
        heapq.heappush(self._deadlines, (silence, request.number))
        self._flush()
        return request.number

    def cancel(self, number: int) -> None:
        """Forget a request; its callbacks are not called any more."""
        self._requests.pop(number, None)

    def _flush(self) -> bool:
        """Send what fits; False if there was nothing to send."""
        if not self.ready or not (self._ping_due or self._unsent):
            return False
        if self._ping_due:
            # The first word of a connection: the door cuts who says nothing for two seconds.
            self._ping_due = not send_pair(self._socket, pack_header(DoorKind.PING), b"")
        unsent = self._unsent
        while unsent:
            request = unsent[0]
            if request.number in self._requests:
                header = pack_header(DoorKind.REQUEST, request.number)
                if not send_pair(self._socket, header, request.payload):
                    break
                request.sent = True
                heapq.heappush(self._deadlines, (request.deadline_ms, request.number))
            unsent.popleft()
        return True

    # What happened

    def pump(self) -> bool:
        """Do all that is possible now; True if there may be more to read at once."""
        if self._closed:
            return False
        self._read_events()
        self._flush()
        more = self._read_messages()
        if self._flush():
            more = self._is_able() or more
        self._expire()
        return more

    def _is_able(self) -> bool:
        """Whether there is more to read, or room for what waits: sending swallowed the edge."""
        if self._closed:
            return False
        events = int(self._socket.getsockopt(zmq.EVENTS))
        waits = bool(self._unsent) or self._ping_due
        return bool(events & zmq.POLLIN) or (waits and bool(events & zmq.POLLOUT))

    def wait_for(self) -> tuple[Socket, Socket]:
        """The sockets whose descriptors wake a pump."""
        return self._socket, self._monitor.socket

    def deadline(self) -> int | None:
        """Monotonic ms at which to pump even if nothing wakes it."""
        times = [self._deadlines[0][0]] if self._deadlines else []
        if self._given_up_at is not None:
            times.append(self._given_up_at)
        return min(times) if times else None

    def _read_events(self) -> None:
        while (event := self._monitor.read()) is not None:
            if event.kind == zmq.EVENT_CONNECTED:
                self._connected_ms = now_ms()
                self._given_up_at = None
            elif event.kind == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._refusals = 0
                self.ready = True
                self._ping_due = True
            elif event.kind == zmq.EVENT_CLOSED:
                self._fail_unsent(connected=False, reason=None)
            elif event.kind == zmq.EVENT_CONNECT_RETRIED:
                self._given_up_at = None
            elif event.kind == zmq.EVENT_DISCONNECTED:
                self._given_up_at = now_ms() + GIVEN_UP_MS
                if self.ready:
                    self._lost()
                elif now_ms() - self._connected_ms < EARLY_MS:
                    # Not HANDSHAKE_FAILED, which libzmq does not send for what is no ZMTP at all.
                    self._refusals += 1
                    if self._refusals >= REFUSALS:
                        self._fail_unsent(connected=True, reason="other_key")

    def _read_messages(self) -> bool:
        for _ in range(PUMP_MAX):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return False
            header = read_header(frames[0]) if len(frames) == FRAMES else None
            if header is not None:
                self._received(header[0], header[1], frames[1])
            if self._closed:
                return False
        return True

    def _received(self, kind: int, number: int, payload: bytes) -> None:
        request = self._requests.get(number)
        if request is None:
            return
        if kind == DoorKind.EVENT and request.on_event is not None:
            request.deadline_ms = 0  # It lives: no time-out any more.
            request.on_event(payload)
        elif kind in (DoorKind.ANSWER, DoorKind.END):
            self._finish(request, payload)
        elif kind == DoorKind.REFUSED:
            code = payload[:64].decode(errors="replace")
            text = f"the node refused: {code}"
            self._finish(request, Refused(code, text, hint="ask again a little later"))

    def _finish(self, request: _Request, answer: bytes | ZmqnodeError) -> None:
        if self._requests.pop(request.number, None) is not None:
            request.on_answer(answer)

    def _fail_unsent(self, *, connected: bool, reason: str | None) -> None:
        unsent, self._unsent = self._unsent, deque()
        for request in unsent:
            self._finish(request, self.unreachable(connected, reason))

    def unreachable(self, connected: bool, reason: str | None) -> Unreachable:
        """The error of a request that nobody heard, or might as well not have."""
        where = f"{self.target.place.host}:{self.target.place.port}"
        details: dict[str, object] = {"connected": connected, "target": self.target.text}
        if reason is None:
            return Unreachable(
                "unreachable",
                f"nobody listens at {where}",
                hint="is the node running? see node.log in its folder",
                **details,
            )
        if reason == "other_key":
            return Unreachable(
                "unreachable",
                f"{where} is another key, or no node",
                hint="compare the target's PUBLICKEY with the node's",
                reason=reason,
                **details,
            )
        return Unreachable(
            "unreachable",
            f"{where} does not answer",
            hint="it may be paused, overloaded or behind a firewall",
            reason=reason,
            **details,
        )

    def _lost(self) -> None:
        """The connection is gone: what was sent on it has no answer any more."""
        self.ready = self._ping_due = False
        for request in [one for one in self._requests.values() if one.sent]:
            self._finish(request, self.undecided("the connection was lost"))

    def undecided(self, why: str) -> Undecided:
        """The error of a request that was sent and has no answer."""
        return Undecided(
            "undecided",
            f"sent, but {why} before the answer",
            hint="asking again is safe",
            target=self.target.text,
        )

    def _expire(self) -> None:
        now = now_ms()
        heap = self._deadlines
        while heap and heap[0][0] <= now:
            _, number = heapq.heappop(heap)
            request = self._requests.get(number)
            if request is None or request.deadline_ms == 0:
                continue
            if not request.sent:
                self._finish(request, self.unreachable(True, "no_answer"))
            elif request.deadline_ms <= now:
                self._finish(request, self.undecided("its time was over"))
        if self._given_up_at is not None and now >= self._given_up_at:
            self._reopen()

    def _reopen(self) -> None:
        """libzmq gave up on this connection: a fresh socket."""
        self._shut()
        self._open()
        if self.on_reopened is not None:
            self.on_reopened()

    def close(self) -> None:
        """Close; open requests get no callback any more. Again is harmless."""
        if not self._closed:
            self._closed = True
            self._requests.clear()
            self._shut()
