"""The publishing socket on p+2: two streams, numbered, never blocking.

It is an XPUB used as a PUB. A PUB cannot say on which connection a subscription came, so neither
the limit of connections per address nor a subscriber of random topics could be dealt with; an XPUB
hands each subscription up with its User-Id and descriptor, and sends exactly as a PUB does:
XPUB_NODROP stays off (with it, one stuck subscriber stops everybody). Every kind that is published
can also be pulled, so a subscriber that lost something asks for it.

An honest subscription is ``v`` or ``s``, once per connection; anything else is a strike and a cut.
A subscriber that reads too slowly loses messages at SNDHWM (libzmq) and its connection at
``publish_lag_bytes_max`` (here), since 2,000 large messages are more memory than one peer is worth.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import zmq

from zmqnode.network.connection import STALLED, UNLISTED, Connection
from zmqnode.network.contract import Wiring
from zmqnode.network.curve import Port
from zmqnode.network.envelope import SUBSCRIPTIONS, Topic, pack_stream_header
from zmqnode.network.gate import FOREIGN_TOPIC, FRAMES_CUT
from zmqnode.network.hello import Introduction
from zmqnode.network.sockets import NOBLOCK, NOBLOCK_MORE, Reader, Socket


class Publisher:
    """Publishes on behalf of one instance."""

    def __init__(
        self,
        wiring: Wiring,
        introduction: Introduction,
        is_listed: Callable[[str], bool],
    ) -> None:
        self._is_listed = is_listed
        self._wiring = wiring
        self._limits = wiring.limits
        self.socket: Socket = wiring.context.socket(zmq.XPUB)
        self._instance = introduction.instance
        self._incarnation = introduction.incarnation
        self._numbers = dict.fromkeys(Topic, 0)
        self._bytes = dict.fromkeys(Topic, 0)
        self._topics: dict[Connection, Topic] = {}
        self._marks: dict[Connection, int] = {}
        self._queue: deque[tuple[Topic, bytes]] = deque()
        self._this_turn = 0
        self._turn_ends = False
        self._reader: Reader | None = None
        self.overflowed = 0  # messages never sent because too many were published at once

    def bind(self, endpoint: str, number: int) -> None:
        guard = self._wiring.guard
        guard.watch(
            Port.PUBLISH,
            self.socket,
            number,
            drain=self._drain_now,
            on_gone=self._connection_gone,
        )
        try:
            self.socket.bind(endpoint)
        except zmq.ZMQError:
            guard.unwatch(Port.PUBLISH)
            raise
        self._reader = Reader(
            self._wiring.loop, self.socket, self._read_one, burst=self._limits.drain_max
        )
        guard.every_tick(lambda _: self._tick())

    def begin_anew(self, introduction: Introduction) -> None:
        """Publish as another instance; numbers start anew, as the incarnation is another one."""
        self._instance = introduction.instance
        self._incarnation = introduction.incarnation
        self._numbers = dict.fromkeys(Topic, 0)
        self._queue.clear()  # What the instance before had to say.

    def publish(self, topic: Topic, payload: bytes) -> None:
        """Send to all subscribers of a topic; beyond ``publishes_max``, in the next turns."""
        limits = self._limits
        assert len(payload) <= (
            limits.votes_bytes_max if topic is Topic.VOTES else limits.seals_bytes_max
        ), "a published message is larger than its subscribers accept"
        if not self._turn_ends and 2 * self._this_turn >= limits.publishes_max:
            # Half of them are gone, in this turn or in many: from the next one on it counts anew.
            # To do so after every turn would send the loop round once more for each vote.
            self._turn_ends = True
            self._wiring.loop.call_soon(self._end_turn)
        if self._queue or self._this_turn >= limits.publishes_max:
            if len(self._queue) >= limits.publish_queue_max:
                self._queue.popleft()  # The oldest is the least worth; it can be pulled.
                self.overflowed += 1
            self._queue.append((topic, payload))
            return
        self._send(topic, payload)

    def skip(self, topic: Topic, count: int) -> None:
        """Fault injection: leave out so many numbers."""
        self._numbers[topic] += count

    def _send(self, topic: Topic, payload: bytes) -> None:
        self._this_turn += 1
        number = self._numbers[topic] = self._numbers[topic] + 1
        header = pack_stream_header(topic, self._instance, self._incarnation, number)
        self.socket.send(header, NOBLOCK_MORE)
        self.socket.send(payload, NOBLOCK)
        self._bytes[topic] += len(payload)

    def _end_turn(self) -> None:
        self._turn_ends = False
        self._this_turn = 0
        while self._queue and self._this_turn < self._limits.publishes_max:
            self._send(*self._queue.popleft())
        if self._queue:
            self._turn_ends = True
            self._wiring.loop.call_soon(self._end_turn)

    # Subscribers

    def _tick(self) -> None:
        # Sending swallows the descriptor's edge. Subscriptions are rare and libzmq obeys them by
        # itself, so they can wait for the next tick; looking after every send cost 3 % of a height.
        self._drain_now()
        self._cut_laggards()

    def _drain_now(self) -> None:
        if self._reader is not None:
            self._reader.drain()

    def _read_one(self) -> bool:
        try:
            frame = self.socket.recv(NOBLOCK, copy=False)
        except zmq.Again:
            self._wiring.guard.drain(Port.PUBLISH)
            return False
        several = frame.more
        more = several
        while more:
            more = self.socket.recv(NOBLOCK, copy=False).more
        guard = self._wiring.guard
        try:
            descriptor, user = int(frame.get(zmq.SRCFD)), str(frame.get("User-Id"))
        except zmq.ZMQError:
            return True  # libzmq's own unsubscription for a pipe that ended carries no metadata.
        connection = guard.connection(Port.PUBLISH, descriptor)
        if connection is None or connection.cut:
            return True
        connection.user = user
        if not self._is_listed(user):  # It left the list between handshake and subscription.
            guard.cut(connection, UNLISTED)
            return True
        data = frame.bytes
        if several:
            guard.strike(connection, FRAMES_CUT)
        elif data[:1] == b"\0":
            pass  # An unsubscription, on the way out.
        elif data not in SUBSCRIPTIONS or connection in self._topics:
            guard.strike(connection, FOREIGN_TOPIC)
        else:
            topic = SUBSCRIPTIONS[data]
            self._topics[connection] = topic
            self._marks[connection] = self._bytes[topic]
            guard.greet(connection, user)
        return True

    def _cut_laggards(self) -> None:
        """Every tick: who has more unread bytes than memory is given to one subscriber."""
        for connection, topic in list(self._topics.items()):
            published = self._bytes[topic]
            connection.unread += published - self._marks[connection]
            self._marks[connection] = published
            if connection.unread > self._limits.publish_lag_bytes_max:
                self._wiring.guard.cut(connection, STALLED)

    def _connection_gone(self, connection: Connection) -> None:
        self._topics.pop(connection, None)
        self._marks.pop(connection, None)

    @property
    def subscribers(self) -> int:
        return len(self._topics)

    def close(self) -> None:
        self._wiring.guard.unwatch(Port.PUBLISH)
        if self._reader is not None:
            self._reader.close()
        self.socket.close(0)
