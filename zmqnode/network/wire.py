"""One dialled socket (DEALER or SUB) to one endpoint, with its monitor, kept connected.

libzmq reconnects by itself, with two exceptions that cost a fresh socket: after DISCONNECTED
without CONNECT_RETRIED it has given up (a 400 or 500 of an older peer), and a listener we cut for a
fault should wait. The far side is no more trusted than a client: its connection is under the same
guard (an endless multipart to a SUB costs as much as one to a ROUTER).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import zmq

from zmqnode.network.connection import Connection, now_ms
from zmqnode.network.contract import Wiring
from zmqnode.network.curve import CurveKeys
from zmqnode.network.envelope import FRAMES, FRAMES_MAX
from zmqnode.network.gate import FRAMES_CUT, FRAMES_WRONG, Strike
from zmqnode.network.sockets import (
    DIALER_EVENTS,
    NOBLOCK,
    Address,
    Monitor,
    Reader,
    Socket,
    send_pair,
    set_common,
    set_dialer,
)

GIVEN_UP_MS: Final = 500  # libzmq says CONNECT_RETRIED within the turn of DISCONNECTED


class Wire:
    """A socket to one endpoint.

    Args:
        topic: what a SUB subscribes to; None makes a DEALER.
        on_up: CURVE handshake done on a new TCP connection.
        on_down: that connection is gone.
        on_message: (header, payload) of a message with the right number of frames.
    """

    def __init__(
        self,
        wiring: Wiring,
        address: Address,
        *,
        keys: CurveKeys,
        server: bytes,
        bytes_max: int,
        messages_max: int,
        topic: bytes | None,
        on_up: Callable[[], None],
        on_down: Callable[[], None],
        on_message: Callable[[bytes, bytes], None],
    ) -> None:
        self._wiring = wiring
        self._address = address
        self._keys = keys
        self._server = server
        self._bytes_max = bytes_max
        self._messages_max = messages_max
        self._topic = topic
        self._on_up = on_up
        self._on_down = on_down
        self._on_message = on_message
        self._socket: Socket | None = None
        self._monitor: Monitor | None = None
        self._readers: tuple[Reader, ...] = ()
        self._connection: Connection | None = None
        self._given_up_at: int | None = None
        self._reopen_at: int | None = None
        self.strikes = 0
        self.open()

    def open(self) -> None:
        wiring, limits = self._wiring, self._wiring.limits
        socket = wiring.context.socket(zmq.DEALER if self._topic is None else zmq.SUB)
        set_common(socket, limits, bytes_max=self._bytes_max, ipv6=":" in self._address.ip)
        set_dialer(
            socket,
            limits,
            public=self._keys.public,
            secret=self._keys.secret,
            server=self._server,
        )
        socket.setsockopt(zmq.RCVHWM, self._messages_max)
        if self._topic is None:
            socket.setsockopt(zmq.SNDHWM, self._messages_max)
        else:
            socket.setsockopt(zmq.SUBSCRIBE, self._topic)
        self._socket = socket
        self._monitor = Monitor(wiring.context, socket, DIALER_EVENTS)
        socket.connect(self._address.endpoint)
        self._readers = (
            Reader(wiring.loop, self._monitor.socket, self._read_event),
            Reader(wiring.loop, socket, self._read_one, burst=limits.drain_max),
        )
        self._given_up_at = self._reopen_at = None

    def close(self) -> None:
        """Monitor first, then the socket; says ``on_down`` to nobody."""
        for reader in self._readers:
            reader.close()
        self._readers = ()
        self._untrack()
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None
        if self._socket is not None:
            self._socket.close(0)
            self._socket = None

    def reopen(self, after_ms: int = 0) -> None:
        """Close now, open after a while."""
        self.close()
        self._reopen_at = now_ms() + after_ms
        self._on_down()

    def tick(self, now: int) -> None:
        if self._reopen_at is not None and now >= self._reopen_at:
            self.open()
        elif self._given_up_at is not None and now >= self._given_up_at:
            self.reopen()

    def send(self, header: bytes, payload: bytes) -> bool:
        """Send without blocking; False on EAGAIN or without a connection."""
        if self._socket is None:
            return False
        self._readers[-1].soon()  # A send that fails swallows the edge, too.
        return send_pair(self._socket, header, payload)

    def strike(self, strike: Strike) -> None:
        """Count a fault of the far side; over the bound its connection is cut, then left alone."""
        self.strikes += 1
        connection = self._connection
        if connection is not None and self._wiring.guard.strike(connection, strike):
            self.reopen(self._wiring.limits.penalty_ms)

    # Events and messages

    def _read_event(self) -> bool:
        event = self._monitor.read() if self._monitor is not None else None
        if event is None:
            return False
        match event.kind:
            case zmq.EVENT_CONNECTED:
                self._given_up_at = None
                self._untrack()
                self._connection = self._wiring.guard.track(
                    event.value, self._address.port, self._bytes_max, self._drain
                )
            case zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._on_up()
            case zmq.EVENT_CONNECT_RETRIED:
                self._given_up_at = None
            case zmq.EVENT_DISCONNECTED:
                self._given_up_at = now_ms() + GIVEN_UP_MS
                self._untrack()
                self._on_down()
            case _:
                pass
        return True

    def _drain(self) -> None:
        if self._readers:
            self._readers[-1].drain()

    def _read_one(self) -> bool:
        socket = self._socket
        assert socket is not None
        try:
            head = socket.recv(NOBLOCK, copy=False)
        except zmq.Again:
            return False
        payload = b""
        frames = 1
        more = head.more
        while more:
            frames += 1
            frame = socket.recv(NOBLOCK, copy=False)
            more = frame.more
            if frames == FRAMES:
                payload = frame.bytes
        connection = self._connection
        if connection is not None:
            if connection.cut:
                return True
            connection.messages += 1
        if frames != FRAMES:
            self.strike(FRAMES_CUT if frames > FRAMES_MAX else FRAMES_WRONG)
            return True
        self._on_message(head.bytes, payload)
        return True

    def _untrack(self) -> None:
        if self._connection is not None:
            self._wiring.guard.untrack(self._connection)
            self._connection = None
