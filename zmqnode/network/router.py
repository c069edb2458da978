"""A guarded ROUTER: who sent this, may it, and can the answer leave.

Routing ids are left to ROUTER: none is claimed, so every TCP connection is a new id. A message is
read as id + header frame (with its metadata: User-Id and descriptor) + payload; a table keeps what
was seen first for an id, and a message that disagrees cuts the connection. A claimed id
is cut at once: with it a connection could shut another one out, or (one that begins with a zero
byte) make libzmq abort the process.

Sends never block. libzmq's pipe (SNDHWM messages) is only the first bound: messages may be large,
so for each connection the bytes given and not yet acknowledged by its kernel are estimated, and
beyond a limit replies wait in a bounded queue of our own; a client that lets this one fill is cut.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Protocol

import zmq

from zmqnode.network import tcp
from zmqnode.network.connection import STALLED, Connection, now_ms
from zmqnode.network.curve import Port
from zmqnode.network.envelope import FRAMES, FRAMES_MAX, read_header
from zmqnode.network.gate import (
    CLAIMED_ID,
    FOREIGN_SENDER,
    FRAMES_CUT,
    FRAMES_WRONG,
    HEADER_WRONG,
    TOO_FAST,
    Strike,
    TokenBucket,
)
from zmqnode.network.guard import ConnectionGuard
from zmqnode.network.limits import NetworkLimits
from zmqnode.network.sockets import NOBLOCK, NOBLOCK_MORE, Context, Reader, Socket, is_own_id

DRAINED_FRAMES_MAX: Final = 1_000_000  # frames of one message; the guard cut it long before
FLUSH_S: Final = 0.001  # libzmq's I/O thread empties a full pipe of small messages in less


@dataclass(slots=True, eq=False)
class Session:
    """One connection of a ROUTER, from its first message on."""

    routing_id: bytes
    connection: Connection
    user: str
    messages_bucket: TokenBucket | None
    bytes_bucket: TokenBucket | None
    waiting: deque[tuple[bytes, bytes]] = field(default_factory=deque)
    waiting_bytes: int = 0
    sent: int = 0
    received: int = 0
    gone: bool = False


class SessionOwner(Protocol):
    """Who speaks on a ``GuardedRouter``."""

    def opened(self, session: Session) -> None: ...

    def received(self, session: Session, kind: int, number: int, payload: bytes) -> None: ...

    def limited(self, session: Session, kind: int, number: int) -> None:
        """A message was dropped because its rate is over."""

    def closed(self, session: Session) -> None: ...

    def buckets(self, user: str) -> tuple[TokenBucket | None, TokenBucket | None]:
        """Messages and bytes a new session of this user may spend."""


class GuardedRouter:
    """One bound ROUTER under the guard."""

    def __init__(
        self,
        context: Context,
        loop: asyncio.AbstractEventLoop,
        guard: ConnectionGuard,
        limits: NetworkLimits,
        *,
        port: Port,
        owner: SessionOwner,
    ) -> None:
        self._guard = guard
        self._limits = limits
        self._port = port
        self._queue_bytes_max = (
            limits.door_queue_bytes_max if port is Port.DOOR else limits.peer_queue_bytes_max
        )
        self._owner = owner
        self._sessions: dict[bytes, Session] = {}
        self._by_connection: dict[Connection, Session] = {}
        self._blocked: dict[Session, None] = {}
        self.socket: Socket = context.socket(zmq.ROUTER)
        self._context = context
        self._loop = loop
        self._reader: Reader | None = None
        self._flush_timer: asyncio.TimerHandle | None = None
        guard.every_tick(self._tick)

    def bind(self, endpoint: str, number: int) -> None:
        """Bind and start reading; options were set before. Raises ZMQError if it is taken."""
        self._guard.watch(
            self._port, self.socket, number, drain=self._drain_now, on_gone=self._connection_gone
        )
        try:
            self.socket.bind(endpoint)
        except zmq.ZMQError:
            self._guard.unwatch(self._port)
            raise
        self._reader = Reader(self._loop, self.socket, self._read_one, burst=self._limits.drain_max)

    @property
    def sessions(self) -> list[Session]:
        return list(self._sessions.values())

    def _drain_now(self) -> None:
        if self._reader is not None:
            self._reader.drain()

    # Reading

    def _read_one(self) -> bool:
        socket = self.socket
        try:
            routing_id = socket.recv(NOBLOCK)
        except zmq.Again:
            # The monitor is read after the messages too: ids of ended connections are forgotten.
            self._guard.drain(self._port)
            return False
        head = socket.recv(NOBLOCK, copy=False)
        payload = b""
        frames = 1
        more = head.more
        while more and frames < DRAINED_FRAMES_MAX:
            frames += 1
            frame = socket.recv(NOBLOCK, copy=False)
            more = frame.more
            if frames == FRAMES:
                payload = frame.bytes
        session = self._session_of(routing_id, head)
        if session is None:
            return True
        connection = session.connection
        connection.messages += 1
        session.received += 1
        if frames != FRAMES:
            self.strike(session, FRAMES_CUT if frames > FRAMES_MAX else FRAMES_WRONG)
            return True
        header = read_header(head.bytes)
        if header is None:
            self.strike(session, HEADER_WRONG)
            return True
        if not self._within_rate(session, len(payload)):
            self._owner.limited(session, *header)
            self.strike(session, TOO_FAST)
            return True
        self._owner.received(session, header[0], header[1], payload)
        return True

    def _session_of(self, routing_id: bytes, head: zmq.Frame) -> Session | None:
        """The session of a message, made at its first; None if the message is to be dropped."""
        descriptor = int(head.get(zmq.SRCFD))
        user = str(head.get("User-Id"))
        session = self._sessions.get(routing_id)
        if session is not None:
            if session.connection.cut:
                return None
            if session.user != user or session.connection.descriptor != descriptor:
                self.strike(session, FOREIGN_SENDER)
                return None
            return session
        connection = self._guard.connection(self._port, descriptor)
        if connection is None or connection.cut:
            return None
        connection.user = user
        if not is_own_id(routing_id):
            self._guard.strike(connection, CLAIMED_ID)
            return None
        older = self._by_connection.get(connection)
        if older is not None:  # A late message of the descriptor's former owner came first.
            self._drop(older)
        messages, data = self._owner.buckets(user)
        session = Session(routing_id, connection, user, messages, data)
        self._sessions[routing_id] = session
        self._by_connection[connection] = session
        self._owner.opened(session)
        return session

    def _within_rate(self, session: Session, size: int) -> bool:
        now = now_ms()
        messages, data = session.messages_bucket, session.bytes_bucket
        if messages is not None and not messages.take(1, now):
            return False
        return data is None or data.take(size, now)

    def strike(self, session: Session, strike: Strike) -> bool:
        """Count a fault of a session; True if it is cut."""
        return self._guard.strike(session.connection, strike)

    def greet(self, session: Session) -> None:
        """The session did its hello."""
        self._guard.greet(session.connection, session.user)

    # Writing

    def send(self, session: Session, header: bytes, payload: bytes) -> bool:
        """Send, or queue; False if the session is gone or is cut because it does not read."""
        if session.gone or session.connection.cut:
            return False
        if not session.waiting and self._may_give(session) and self._give(session, header, payload):
            return True
        if session.routing_id not in self._sessions:
            return False  # It just turned out to be gone.
        limits = self._limits
        if not session.waiting:
            session.connection.progress_ms = now_ms()  # From now on it has something to read.
        session.waiting_bytes += len(payload)
        session.waiting.append((header, payload))
        self._blocked[session] = None
        self._flush_soon()
        if (
            len(session.waiting) > limits.reply_queue_messages_max
            # One answer may be larger than the bound; it may wait alone.
            or (session.waiting_bytes > self._queue_bytes_max and len(session.waiting) > 1)
        ):
            self._cut_stalled(session)
            return False
        return True

    def _cut_stalled(self, session: Session) -> None:
        self._guard.cut(session.connection, STALLED)
        self._drop(session)

    def _may_give(self, session: Session) -> bool:
        connection = session.connection
        if connection.unread <= self._limits.unread_bytes_max:
            return True
        try:
            connection.refresh_unread(tcp.tcp_info(connection.socket))
        except OSError:
            return False
        return connection.unread <= self._limits.unread_bytes_max

    def _give(self, session: Session, header: bytes, payload: bytes) -> bool:
        """Hand to libzmq; False on EAGAIN, or when the id is not known any more."""
        if self._reader is not None:
            self._reader.soon()  # Whether it succeeds or not, sending may swallow the edge.
        try:
            self.socket.send(session.routing_id, NOBLOCK_MORE)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self._drop(session)
            return False
        self.socket.send(header, NOBLOCK_MORE)
        self.socket.send(payload, NOBLOCK)
        session.sent += 1
        session.connection.given += len(payload)
        session.connection.unread += len(payload)
        return True

    def _tick(self, _: int) -> None:
        self._flush_blocked()

    def _flush_soon(self) -> None:
        if self._flush_timer is None:
            self._flush_timer = self._loop.call_later(FLUSH_S, self._flush_blocked)

    def _flush_blocked(self) -> None:
        """What waits for slow readers: at once while they read, else every tick."""
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        progress = False
        for session in list(self._blocked):
            while session.waiting and not session.gone and self._may_give(session):
                header, payload = session.waiting[0]
                if not self._give(session, header, payload):
                    break
                progress = True
                session.waiting.popleft()
                session.waiting_bytes -= len(payload)
            if not session.waiting or session.gone:
                self._blocked.pop(session, None)
            elif now_ms() - session.connection.progress_ms > self._limits.stalled_ms:
                self._cut_stalled(session)
        if progress and self._blocked:
            self._flush_soon()

    # Ends

    def _connection_gone(self, connection: Connection) -> None:
        session = self._by_connection.get(connection)
        if session is not None:
            self._drop(session)

    def _drop(self, session: Session) -> None:
        if session.gone:
            return
        session.gone = True
        session.waiting.clear()
        self._blocked.pop(session, None)
        self._sessions.pop(session.routing_id, None)
        if self._by_connection.get(session.connection) is session:
            del self._by_connection[session.connection]
        self._owner.closed(session)

    def close(self) -> None:
        """Cut all, close the monitor, then the socket."""
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        self._guard.no_tick(self._tick)
        self._guard.unwatch(self._port)
        for session in self.sessions:
            self._drop(session)
        if self._reader is not None:
            self._reader.close()
        self.socket.close(0)
