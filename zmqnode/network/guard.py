"""The connection guard: what libzmq does not bound.

libzmq bounds neither the number of connections, nor the length of a multipart message (MAXMSGSIZE
is per frame, the high-water mark counts whole messages), nor subscriptions. Measured without this:
one endless multipart took a ROUTER from 14 to 1,500 MiB in 2 s.

Each bound socket is monitored. ACCEPTED names a descriptor, of which the guard keeps a duplicate
(see ``tcp``): every tick (50 ms) it asks the kernel how many bytes came in, and compares with the
whole messages read from that connection. Limits on the number of connections, on the time to a
finished hello and on bytes without a message end in ``cut``.

The handshake events of a bound socket name no descriptor, so a connection counts as authenticated
from its first message (which carries user and descriptor): the hello on p+1, the first
subscription on p+2, a ping on the door.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import zmq

from zmqnode.network import tcp
from zmqnode.network.connection import (
    CROWDED,
    DRIPPING,
    ENDED,
    FORGIVEN,
    LATE,
    Connection,
    GuardStats,
    now_ms,
)
from zmqnode.network.curve import Port
from zmqnode.network.gate import Fault, Rate, Strike, TokenBucket
from zmqnode.network.limits import NetworkLimits
from zmqnode.network.sockets import HANDSHAKE_FAILURES, LISTENER_EVENTS, Context, Monitor, Socket


@dataclass(slots=True)
class _Watched:
    """One bound socket under guard."""

    number: int  # TCP port
    monitor: Monitor
    bucket: TokenBucket
    drain: Callable[[], None]  # reads waiting messages, so that they count
    on_gone: Callable[[Connection], None]
    live: dict[int, Connection] = field(default_factory=dict)  # by descriptor


class ConnectionGuard:
    """Watches all connections of one node.

    Args:
        on_cut: told of every connection that is cut for a fault.
    """

    def __init__(
        self,
        context: Context,
        loop: asyncio.AbstractEventLoop,
        limits: NetworkLimits,
        *,
        on_cut: Callable[[Connection, Strike], None] | None = None,
    ) -> None:
        self._context = context
        self._loop = loop
        self._limits = limits
        self._on_cut = on_cut
        self._watched: dict[Port, _Watched] = {}
        self._dialled: dict[Connection, tuple[int, Callable[[], None]]] = {}
        self._penalties: dict[str, int] = {}  # user -> until, ms
        self._ticks: list[Callable[[int], None]] = []
        self.connections_max = limits.connections_max
        self.door_reserve = 0  # connections the door must leave to the peers
        self.stats = GuardStats()
        self._closed = False
        self._timer = loop.call_later(limits.tick_ms / 1000, self._tick)

    # Bound sockets

    def watch(
        self,
        port: Port,
        socket: Socket,
        number: int,
        *,
        drain: Callable[[], None],
        on_gone: Callable[[Connection], None],
    ) -> None:
        """Guard a socket from before its bind on; ``drained`` must be called in every turn."""
        rate = Rate(per_second=self._limits.new_per_second, burst=self._limits.new_per_second)
        monitor = Monitor(self._context, socket, LISTENER_EVENTS)
        self._watched[port] = _Watched(number, monitor, TokenBucket(rate, now_ms()), drain, on_gone)
        fd = int(monitor.socket.getsockopt(zmq.FD))
        self._loop.add_reader(fd, self.drain, port)

    def unwatch(self, port: Port) -> None:
        """Disable the monitor (before its socket closes) and cut what is connected."""
        watched = self._watched.pop(port, None)
        if watched is None:
            return
        self._loop.remove_reader(int(watched.monitor.socket.getsockopt(zmq.FD)))
        watched.monitor.close()
        for connection in list(watched.live.values()):
            self._forget(watched, connection, end=True)

    def drain(self, port: Port) -> None:
        """Read the monitor of one bound socket; called before its messages are read."""
        watched = self._watched.get(port)
        if watched is None:
            return
        for _ in range(self._limits.monitor_events_max):
            event = watched.monitor.read()
            if event is None:
                return
            if event.kind == zmq.EVENT_ACCEPTED:
                self._accepted(port, watched, event.value)
            elif event.kind == zmq.EVENT_DISCONNECTED:
                connection = watched.live.get(event.value)
                if connection is not None:
                    self._count_hangup(connection)
                    self._forget(watched, connection, end=False)
            elif event.kind & HANDSHAKE_FAILURES:
                self.stats.handshakes_failed += 1

    def connection(self, port: Port, descriptor: int) -> Connection | None:
        """The live connection a message came on; None if it is gone by now."""
        watched = self._watched.get(port)
        if watched is None:
            return None
        found = watched.live.get(descriptor)
        if found is None:
            self.drain(port)  # Accepted after the monitor was read, before the message was.
            found = watched.live.get(descriptor)
        return found

    def live(self, port: Port) -> list[Connection]:
        watched = self._watched.get(port)
        return list(watched.live.values()) if watched else []

    def _accepted(self, port: Port, watched: _Watched, descriptor: int) -> None:
        self.stats.accepted += 1
        stale = watched.live.get(descriptor)
        if stale is not None:
            self._forget(watched, stale, end=False)
        ours = tcp.duplicate(descriptor, lambda found: found.getsockname()[1] == watched.number)
        if ours is None:
            return
        try:
            ip = str(ours.getpeername()[0])
        except OSError:  # Gone already.
            ours.close()
            return
        born = now_ms()
        connection = Connection(port, descriptor, ours, ip, born, base_ms=born)
        watched.live[descriptor] = connection
        if self._is_crowd(port, watched, connection):
            self.cut(connection, CROWDED)
            return
        self._make_room(port, watched)

    def _is_crowd(self, port: Port, watched: _Watched, new: Connection) -> bool:
        """Whether a limit on connections refuses the newcomer."""
        limits = self._limits
        loopback = tcp.is_loopback(new.ip)
        if not loopback and not watched.bucket.take(1, new.born_ms):
            return True
        total = sum(len(one.live) for one in self._watched.values())
        if port is not Port.DOOR:
            return total > self.connections_max and not self._shed_door()
        if total > self.connections_max - self.door_reserve:
            return True
        per_ip = limits.door_per_ip_loopback_max if loopback else limits.door_per_ip_max
        return sum(one.ip == new.ip for one in watched.live.values()) > per_ip

    def _shed_door(self) -> bool:
        """A peer's connection comes before a client's: the door's newest goes, if there is one."""
        door = self._watched.get(Port.DOOR)
        for connection in reversed(list(door.live.values()) if door else []):
            if not connection.cut:
                self.cut(connection, CROWDED)
                return True
        return False

    def _make_room(self, port: Port, watched: _Watched) -> None:
        """At most so many unauthenticated on a peer port: the oldest of the busiest IP goes.

        Cutting the newest instead would let a few half-open connections keep everybody out.
        """
        if port is Port.DOOR:
            return
        waiting = [one for one in watched.live.values() if not one.greeted and not one.cut]
        if len(waiting) <= self._limits.unauthenticated_max:
            return
        busiest = Counter(one.ip for one in waiting).most_common(1)[0][0]
        self.cut(next(one for one in waiting if one.ip == busiest), CROWDED)

    def greet(self, connection: Connection, user: str) -> None:
        """Hello is done: the connection belongs to a user, whose others are counted.

        The oldest one over the limit is cut: it is the one most likely dead.
        """
        connection.greeted = True
        connection.user = user
        if connection.port in (Port.PEERS, Port.PUBLISH):
            same = [
                one
                for one in self._watched[connection.port].live.values()
                if one.user == user and one.greeted and not one.cut
            ]
            if len(same) > self._limits.per_address_max:
                self.cut(same[0], CROWDED)

    # Dialled connections

    def track(
        self, descriptor: int, number: int, bytes_max: int, drain: Callable[[], None]
    ) -> Connection | None:
        """Guard a connection of ours, of which libzmq said CONNECTED; number is the far port."""
        ours = tcp.duplicate(descriptor, lambda found: found.getpeername()[1] == number)
        if ours is None:
            return None
        try:
            ip = str(ours.getpeername()[0])
        except OSError:
            ours.close()
            return None
        born = now_ms()
        connection = Connection(None, descriptor, ours, ip, born, base_ms=born, greeted=True)
        self._dialled[connection] = bytes_max, drain
        return connection

    def untrack(self, connection: Connection, *, end: bool = False) -> None:
        if self._dialled.pop(connection, None) is not None:
            if end:
                tcp.end(connection.socket)
            connection.socket.close()

    # Strikes and cuts

    def strike(self, connection: Connection, strike: Strike) -> bool:
        """Count a fault; True if the connection is (now) cut."""
        self.stats.strikes[strike.fault] += 1
        if strike.fault is Fault.RATE:
            connection.rate_strikes += 1
        else:
            connection.strikes += 1
        if (
            strike.cut
            or connection.strikes >= self._limits.strikes_max
            or connection.rate_strikes >= self._limits.rate_strikes_max
        ):
            self.cut(connection, strike)
        return connection.cut

    def cut(self, connection: Connection, strike: Strike) -> None:
        """End a connection; its messages still in flight are ignored by their owners."""
        if connection.cut:
            return
        connection.cut = True
        self.stats.cuts[strike.fault] += 1
        tcp.end(connection.socket)
        if connection.user and strike.fault not in FORGIVEN:
            self._penalties[connection.user] = now_ms() + self._limits.penalty_ms
        if self._on_cut is not None:
            self._on_cut(connection, strike)

    def cut_user(self, user: str, strike: Strike) -> None:
        """Cut every accepted connection of a user: its key left the list."""
        for port, watched in self._watched.items():
            if port is not Port.DOOR:
                for connection in list(watched.live.values()):
                    if connection.user == user:
                        self.cut(connection, strike)

    def is_penalised(self, user: str) -> bool:
        """Whether a key was cut for a fault a moment ago; ZAP then says "later"."""
        until = self._penalties.get(user)
        if until is None:
            return False
        if until > now_ms():
            return True
        del self._penalties[user]
        return False

    def _count_hangup(self, connection: Connection) -> None:
        """libzmq ended a connection by itself, as a frame over MAXMSGSIZE makes it do.

        Our duplicate keeps the TCP connection up, so it shows who closed: not the other side.
        """
        if not connection.cut and connection.greeted:
            with contextlib.suppress(OSError):
                if tcp.tcp_info(connection.socket).established:
                    self.stats.strikes[Fault.PROTOCOL] += 1
                    self.stats.cuts[Fault.PROTOCOL] += 1

    def _forget(self, watched: _Watched, connection: Connection, *, end: bool) -> None:
        if watched.live.get(connection.descriptor) is connection:
            del watched.live[connection.descriptor]
        if end:
            tcp.end(connection.socket)
        connection.cut = True
        connection.socket.close()
        watched.on_gone(connection)

    # The tick

    def every_tick(self, call: Callable[[int], None]) -> None:
        """Call with ``now_ms`` every tick, after the connections were looked at."""
        self._ticks.append(call)

    def no_tick(self, call: Callable[[int], None]) -> None:
        """Undo ``every_tick``; harmless if it was not there."""
        if call in self._ticks:
            self._ticks.remove(call)

    def _tick(self) -> None:
        if self._closed:
            return
        self._timer = self._loop.call_later(self._limits.tick_ms / 1000, self._tick)
        for port in list(self._watched):
            self.drain(port)
            self._inspect(port)
        self._release()
        for connection, (bytes_max, drain) in list(self._dialled.items()):
            self._judge(connection, bytes_max + self._limits.drip_bytes, drain)
        now = now_ms()
        for user in [user for user, until in self._penalties.items() if until <= now]:
            del self._penalties[user]
        for call in list(self._ticks):
            call(now)

    def _inspect(self, port: Port) -> None:
        watched = self._watched[port]
        now = now_ms()
        allowance = self._allowance(port)
        for connection in list(watched.live.values()):
            if connection.cut:
                continue
            if connection.cut_at_ms is not None and now >= connection.cut_at_ms:
                self.cut(connection, ENDED)
            elif not connection.greeted and now - connection.born_ms > self._limits.hello_ms:
                self.cut(connection, LATE)
            else:
                self._judge(connection, allowance, watched.drain)

    def _judge(self, connection: Connection, allowance: int, drain: Callable[[], None]) -> None:
        """Measure; after a long turn of ours whole messages may be waiting, so look twice."""
        if connection.cut or connection.measure(self._limits, allowance, now_ms()) is None:
            return
        drain()
        if not connection.cut:
            strike = connection.measure(self._limits, allowance, now_ms())
            if strike is not None:
                self.strike(connection, strike)

    def _release(self) -> None:
        """All unfinished messages together are bounded: who holds most is cut first."""
        live = [one for port in self._watched for one in self.live(port) if not one.cut]
        held = sum(one.held for one in live)
        if held <= self._limits.held_bytes_max:
            return
        for connection in sorted(live, key=lambda one: one.held, reverse=True):
            if held <= self._limits.held_bytes_max:
                return
            held -= connection.held
            self.strike(connection, DRIPPING)

    def _allowance(self, port: Port) -> int:
        limits = self._limits
        match port:
            case Port.DOOR:
                return limits.door_bytes_max + limits.drip_bytes
            case Port.PEERS:
                return limits.peer_bytes_max + limits.drip_bytes
            case Port.PUBLISH:
                return limits.publish_drip_bytes

    def close(self) -> None:
        self._closed = True
        self._timer.cancel()
        for port in list(self._watched):
            self.unwatch(port)
        for connection in list(self._dialled):
            self.untrack(connection)
