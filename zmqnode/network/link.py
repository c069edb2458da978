"""The dialling side of one peer: a DEALER, and two SUBs once its hello is done.

Links are keyed by address and url; the instance is what the hello finds there. Two urls of one
address, or two instances, are two links side by side, so any change of url or copy is
make-before-break. Every new TCP connection of the DEALER starts with a hello of its own.

The SUBs count holes in the publisher's numbers. A hole is reported as a gap (and pulled by the
runtime); numbers start anew with each incarnation of the publisher, and a first message counts
nothing, since what was before is unknown.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from zmqnode.base.codec import decode_as, encode
from zmqnode.base.keys import PublicKey, curve_public
from zmqnode.errors import Malformed
from zmqnode.network.connection import now_ms
from zmqnode.network.contract import PeerHooks, PeerId, Wiring
from zmqnode.network.curve import CurveKeys
from zmqnode.network.envelope import (
    TOPIC_BYTES,
    PeerKind,
    Topic,
    pack_header,
    read_header,
    read_stream_header,
)
from zmqnode.network.gate import (
    HEADER_WRONG,
    KIND_WRONG,
    TOO_FAST,
    Fault,
    Gate,
    Strike,
    TokenBucket,
)
from zmqnode.network.hello import DIALLER, LISTENER, Credential, Hello, Speaker, Verdict, refusal
from zmqnode.network.sockets import Address, parse_place, resolve
from zmqnode.network.wire import Wire

OnAnswer = Callable[[object | None], None]
"""Called once with the answer's message, or None: no answer in time, or the link is gone."""

HELLO_WRONG: Final = Strike(fault=Fault.HELLO)
RESOLVE_RETRY_MS: Final = 2000
HELLO_TRIES: Final = 20
HELLO_RETRY_S: Final = 0.005


@dataclass(slots=True)
class _Asked:
    on_answer: OnAnswer
    timer: asyncio.TimerHandle
    sent_ns: int


class LinkOwner(Protocol):
    """What a link tells the network it belongs to."""

    def link_up(self, link: Link, peer: PeerId) -> None: ...

    def link_down(self, link: Link, peer: PeerId) -> None: ...


class Link:
    """One peer at one url."""

    def __init__(
        self,
        wiring: Wiring,
        speaker: Speaker,
        keys: CurveKeys,
        hooks: PeerHooks,
        gate: Gate,
        owner: LinkOwner,
        *,
        address: str,
        identity: PublicKey,
        url: str,
        peers_port: int | None,
    ) -> None:
        self._wiring = wiring
        self._speaker = speaker
        self._keys = keys
        self._hooks = hooks
        self._gate = gate
        self._owner = owner
        self.address = address
        self.identity = identity
        self.url = url
        self._place = parse_place(url)
        self._port = self._place.port + 1 if peers_port is None else peers_port
        self._server = curve_public(identity)
        self._ip = ""
        self._dealer: Wire | None = None
        self._streams: dict[Topic, Wire] = {}
        self._publish_port = 0
        self._nonce = b""
        self._candidate: Credential | None = None
        self._hello_until: int | None = None
        self._hello_ns = 0
        self.peer: PeerId | None = None
        self.named_ms = now_ms()  # When somebody last answered here, or something named this url.
        self._asked: dict[int, _Asked] = {}
        self._next = 0
        self._expected: dict[tuple[Topic, bytes], int] = {}
        self._buckets: dict[Topic, tuple[TokenBucket, TokenBucket]] = {}
        self.dropped = 0
        self.rtt_ms: float | None = None
        self._closed = False
        self._retry_ms = wiring.limits.refused_retry_ms
        self._opening: asyncio.Task[None] | None = None
        self._retry_at: int | None = None
        self._open()

    # The sockets

    def _open(self) -> None:
        self._retry_at = None
        self._opening = self._wiring.loop.create_task(self._resolve_and_dial())

    async def _resolve_and_dial(self) -> None:
        ip = await resolve(self._place, self._wiring.loop)
        self._opening = None
        if self._closed:
            return
        if ip is None:
            self._retry_at = now_ms() + RESOLVE_RETRY_MS
            self._hooks.refused(self.address, self.url, "name_unknown")
            return
        self._ip = ip
        limits = self._wiring.limits
        self._dealer = Wire(
            self._wiring,
            Address(ip, self._port),
            keys=self._keys,
            server=self._server,
            bytes_max=limits.peer_bytes_max,
            messages_max=limits.peer_messages,
            topic=None,
            on_up=self._say_hello,
            on_down=self._down,
            on_message=self._received,
        )

    def _subscribe(self, port: int) -> None:
        """Two SUBs, unless they are there: they reconnect by themselves."""
        if self._streams and port == self._publish_port:
            return
        for wire in self._streams.values():
            wire.close()
        self._publish_port = port
        limits = self._wiring.limits
        sizes = {
            Topic.VOTES: (limits.votes_bytes_max, limits.votes_receive_messages),
            Topic.SEALS: (limits.seals_bytes_max, limits.seals_receive_messages),
        }
        now = now_ms()
        for topic, (bytes_max, messages_max) in sizes.items():
            self._buckets[topic] = (
                TokenBucket(limits.peer_messages_rate, now),
                TokenBucket(limits.peer_bytes_rate, now),
            )
            self._streams[topic] = Wire(
                self._wiring,
                Address(self._ip, port),
                keys=self._keys,
                server=self._server,
                bytes_max=bytes_max,
                messages_max=messages_max,
                topic=TOPIC_BYTES[topic],
                on_up=lambda: None,
                on_down=lambda: None,
                on_message=lambda header, payload, topic=topic: self._published(  # type: ignore[misc]
                    topic, header, payload
                ),
            )

    # Hello

    def hello_anew(self) -> None:
        """On a new connection: this node speaks as another instance now."""
        if self._dealer is not None:
            self._dealer.reopen()

    def _say_hello(self) -> None:
        self._down()
        self._nonce = os.urandom(32)
        self._hello_until = now_ms() + self._wiring.limits.hello_ms
        self._hello_ns = time.monotonic_ns()
        self._send_hello(HELLO_TRIES)

    def _send_hello(self, tries: int) -> None:
        """The monitor may be quicker than the pipe: then again in a moment."""
        if self._closed or self._hello_until is None:
            return
        sent = self._send(PeerKind.HELLO, encode(Hello(nonce=self._nonce)))
        if not sent and tries > 1:
            self._wiring.loop.call_later(HELLO_RETRY_S, self._send_hello, tries - 1)

    def _hello_received(self, kind: int, payload: bytes) -> None:
        if kind == PeerKind.CHALLENGE:
            said = decode_as(Credential, payload)
            code = refusal(
                said,
                self._speaker.introduction,
                role=LISTENER,
                nonce=None,
                other_nonce=self._nonce,
                address=self.address,
                identity=self.identity,
            )
            if code:
                self._refused(said.introduction.instance, code)
                return
            self.rtt_ms = (time.monotonic_ns() - self._hello_ns) / 1e6
            self._candidate = said
            mine = self._speaker.credential(DIALLER, self._nonce, said.nonce)
            self._send(PeerKind.PROOF, encode(mine))
            return
        verdict = decode_as(Verdict, payload)
        if kind == PeerKind.REFUSED:
            instance = self._speaker.introduction.instance
            self._refused(instance, verdict.code or "refused")
            return
        said_before = self._candidate
        if said_before is None:
            self._strike(HELLO_WRONG)
            return
        self._candidate = None
        self._hello_until = None
        self._retry_ms = self._wiring.limits.refused_retry_ms
        theirs = said_before.introduction
        self.peer = PeerId(address=self.address, instance=theirs.instance)
        self._subscribe(theirs.publish_port)
        self._owner.link_up(self, self.peer)

    def _refused(self, instance: PublicKey, code: str) -> None:
        """A hello that failed, here or there; dial again after a while."""
        self._hello_until = None
        self._candidate = None
        if code == "instance_twice":
            peer = PeerId(address=self.address, instance=instance)
            self._hooks.alarm(peer, "a second live copy of one instance was met while dialling")
        self._hooks.refused(self.address, self.url, code)
        self._redial_later()

    def _redial_later(self) -> None:
        """What was refused will be again, most likely: each time after twice as long."""
        limits = self._wiring.limits
        after_ms = self._retry_ms
        self._retry_ms = min(limits.refused_retry_max_ms, after_ms * 2)
        if self._dealer is not None:
            self._dealer.reopen(after_ms)

    def _down(self) -> None:
        """The connection is gone: so are the peer and what it was asked."""
        self._hello_until = None
        self._candidate = None
        peer, self.peer = self.peer, None
        asked, self._asked = self._asked, {}
        if peer is not None:
            self.named_ms = now_ms()
            self._owner.link_down(self, peer)
        for one in asked.values():
            one.timer.cancel()
            one.on_answer(None)

    # Messages

    def _received(self, header: bytes, payload: bytes) -> None:
        read = read_header(header)
        if read is None:
            self._strike(HEADER_WRONG)
            return
        if self._is_muted(self._wiring.muted_in):
            return
        kind, number = read
        if kind in (PeerKind.CHALLENGE, PeerKind.WELCOME, PeerKind.REFUSED):
            if self._hello_until is None:
                return  # Late word of a connection that is gone.
            try:
                self._hello_received(kind, payload)
            except Malformed:
                self._strike(HELLO_WRONG)
        elif self.peer is None:
            return
        elif kind == PeerKind.ANSWER:
            self._answered(number, payload)
        elif kind == PeerKind.PUSH:
            message = self._gate.judge(payload)
            if not isinstance(message, Strike):
                message = self._hooks.pushed(self.peer, message)
            if isinstance(message, Strike):
                self._strike(message)
        else:
            self._strike(KIND_WRONG)

    def _answered(self, number: int, payload: bytes) -> None:
        asked = self._asked.pop(number, None)
        if asked is None:
            return  # Too late, or never asked: harmless, and cheap to drop.
        asked.timer.cancel()
        self.rtt_ms = (time.monotonic_ns() - asked.sent_ns) / 1e6
        message = self._gate.judge(payload)
        if isinstance(message, Strike):
            self._strike(message)
            message = None
        asked.on_answer(message)

    def _published(self, topic: Topic, header: bytes, payload: bytes) -> None:
        read = read_stream_header(header)
        wire = self._streams[topic]
        if read is None or read.topic is not topic:
            wire.strike(HEADER_WRONG)
            return
        peer = self.peer
        if peer is None or peer.instance != read.instance:
            self.dropped += 1  # No hello yet, or the copy before or after the one we know.
            return
        if self._is_muted(self._wiring.muted_in):
            return
        messages, data = self._buckets[topic]
        now = now_ms()
        if not messages.take(1, now) or not data.take(len(payload), now):
            wire.strike(TOO_FAST)
            return
        message = self._gate.judge(payload)
        if isinstance(message, Strike):
            wire.strike(message)
            return
        missed = self._missed(topic, read.incarnation, read.number)
        strike = self._hooks.published(peer, topic, message)
        if strike is not None:
            wire.strike(strike)
        if missed:
            self.dropped += missed
            self._hooks.gap(peer, topic, missed)

    def _missed(self, topic: Topic, incarnation: bytes, number: int) -> int:
        """How many messages are missing before this one; a number that comes again misses none."""
        key = (topic, incarnation)
        expected = self._expected.get(key)
        if expected is None:
            for old in [old for old in self._expected if old[0] is topic]:
                del self._expected[old]
            expected = number
        self._expected[key] = max(expected, number + 1)
        return max(0, number - expected)

    def _is_muted(self, muted: frozenset[str]) -> bool:
        return bool(muted) and (self.address in muted or self.url in muted)

    # Sending

    def _send(self, kind: PeerKind, payload: bytes, number: int = 0) -> bool:
        if self._is_muted(self._wiring.muted_out):
            return True
        return self._dealer is not None and self._dealer.send(pack_header(kind, number), payload)

    def ask(self, payload: bytes, timeout_ms: int, on_answer: OnAnswer) -> int | None:
        """Send a request; its number, or None (nothing was sent, ``on_answer`` is never called)."""
        if self.peer is None or len(self._asked) >= self._wiring.limits.asks_max:
            return None
        self._next += 1
        number = self._next
        if not self._send(PeerKind.REQUEST, payload, number):
            return None
        timer = self._wiring.loop.call_later(timeout_ms / 1000, self._expired, number)
        self._asked[number] = _Asked(on_answer, timer, time.monotonic_ns())
        return number

    def _expired(self, number: int) -> None:
        asked = self._asked.pop(number, None)
        if asked is not None:
            asked.on_answer(None)

    def push(self, payload: bytes) -> bool:
        """Send without expecting an answer; False if it could not be sent."""
        return self.peer is not None and self._send(PeerKind.PUSH, payload)

    def _strike(self, strike: Strike) -> None:
        if self._dealer is not None:
            self._dealer.strike(strike)

    @property
    def asks(self) -> int:
        return len(self._asked)

    @property
    def strikes(self) -> int:
        wires = [*self._streams.values(), *([self._dealer] if self._dealer else [])]
        return sum(wire.strikes for wire in wires)

    def tick(self, now: int) -> None:
        """Deadlines: a hello that does not come, sockets to open anew."""
        if self._retry_at is not None and now >= self._retry_at:
            self._open()
        if self._dealer is not None:
            if self._hello_until is not None and now >= self._hello_until:
                self._hello_until = None
                self._redial_later()
            self._dealer.tick(now)
        for wire in self._streams.values():
            wire.tick(now)

    def close(self) -> None:
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
        for wire in self._streams.values():
            wire.close()
        if self._dealer is not None:
            self._dealer.close()
        self._down()
