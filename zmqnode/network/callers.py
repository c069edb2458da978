"""The listening side of peer links (p+1): hello, requests and pushes of those who dialled us.

``GuardedRouter`` says on which connection and from which address a message came; here the hello
says from which instance. An instance has one connection here. A second one is, by its signed
incarnation, either the same process again (its old connection is dead, only nobody told us: the
newest wins) or a second copy of the instance (refused, alarm). A connection that was silent for
longer than its heartbeats allow is no live one and makes room.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from zmqnode.base.codec import decode_as, encode
from zmqnode.base.keys import PublicKey
from zmqnode.errors import Malformed
from zmqnode.network import tcp
from zmqnode.network.connection import ENDED, now_ms
from zmqnode.network.contract import PeerHooks, PeerId, PeerRoute, Wiring
from zmqnode.network.curve import Port
from zmqnode.network.envelope import PeerKind, pack_header
from zmqnode.network.gate import KIND_WRONG, TOO_EARLY, Fault, Gate, Strike, TokenBucket
from zmqnode.network.hello import DIALLER, LISTENER, Credential, Hello, Speaker, Verdict, refusal
from zmqnode.network.router import GuardedRouter, Session
from zmqnode.network.sockets import is_place

LAST_WORD_MS = 200  # how long a refused connection stays open so that the reason arrives
HELLO_WRONG = Strike(fault=Fault.HELLO, cut=True)


@dataclass(slots=True, eq=False)
class Caller:
    """A connection that dialled us."""

    session: Session
    nonce: bytes = b""  # theirs
    my_nonce: bytes = b""
    peer: PeerId | None = None  # set by the hello
    url: str = ""
    incarnation: bytes = b""


class Callers:
    """All who dialled us. It is the ``SessionOwner`` of the router on p+1."""

    def __init__(
        self,
        wiring: Wiring,
        speaker: Speaker,
        hooks: PeerHooks,
        gate: Gate,
        identity_of: Callable[[str], PublicKey | None],
    ) -> None:
        self._wiring = wiring
        self._speaker = speaker
        self._hooks = hooks
        self._gate = gate
        self._identity_of = identity_of
        self._callers: dict[Session, Caller] = {}
        self._live: dict[PublicKey, Caller] = {}  # by instance
        self.router = GuardedRouter(
            wiring.context,
            wiring.loop,
            wiring.guard,
            wiring.limits,
            port=Port.PEERS,
            owner=self,
        )

    def live(self) -> list[Caller]:
        return list(self._live.values())

    def of_instance(self, instance: PublicKey) -> Caller | None:
        return self._live.get(instance)

    def hello_anew(self) -> None:
        """Cut all who dialled: they come back at once, and meet the instance this node is now."""
        for caller in list(self._callers.values()):
            self._unlist(caller)
            self._wiring.guard.cut(caller.session.connection, ENDED)

    # SessionOwner

    def buckets(self, user: str) -> tuple[TokenBucket | None, TokenBucket | None]:
        limits, now = self._wiring.limits, now_ms()
        return (
            TokenBucket(limits.peer_messages_rate, now),
            TokenBucket(limits.peer_bytes_rate, now),
        )

    def opened(self, session: Session) -> None:
        self._callers[session] = Caller(session)

    def closed(self, session: Session) -> None:
        caller = self._callers.pop(session, None)
        if caller is not None:
            self._unlist(caller)

    def limited(self, session: Session, kind: int, number: int) -> None:
        """Peers are not told: an honest one never comes near the rate."""

    def received(self, session: Session, kind: int, number: int, payload: bytes) -> None:
        caller = self._callers[session]
        if session.user in self._wiring.muted_in or caller.url in self._wiring.muted_in:
            return
        peer = caller.peer
        if kind == PeerKind.HELLO or kind == PeerKind.PROOF:
            self._hello(caller, kind, payload)
        elif peer is None:
            self.router.strike(session, TOO_EARLY)
        elif kind == PeerKind.REQUEST or kind == PeerKind.PUSH:
            message = self._gate.judge(payload)
            if isinstance(message, Strike):
                strike: Strike | None = message
            elif kind == PeerKind.REQUEST:
                strike = self._hooks.asked(peer, message, PeerRoute(session, number))
            else:
                strike = self._hooks.pushed(peer, message)
            if strike is not None:
                self.router.strike(session, strike)
        else:
            self.router.strike(session, KIND_WRONG)

    # Hello

    def _hello(self, caller: Caller, kind: int, payload: bytes) -> None:
        session = caller.session
        try:
            if kind == PeerKind.HELLO and not caller.my_nonce:
                caller.nonce = decode_as(Hello, payload).nonce
                caller.my_nonce = os.urandom(32)
                said = self._speaker.credential(LISTENER, caller.my_nonce, caller.nonce)
                self._send(caller, PeerKind.CHALLENGE, encode(said))
                return
            if kind == PeerKind.PROOF and caller.my_nonce and caller.peer is None:
                self._admit(caller, decode_as(Credential, payload))
                return
        except Malformed:
            pass
        self.router.strike(session, HELLO_WRONG)

    def _admit(self, caller: Caller, said: Credential) -> None:
        """Judge the proof; welcome, or refuse with a reason and cut a moment later."""
        address = caller.session.user
        identity = self._identity_of(address)
        code = (
            "not_listed"
            if identity is None
            else refusal(
                said,
                self._speaker.introduction,
                role=DIALLER,
                nonce=caller.nonce,
                other_nonce=caller.my_nonce,
                address=address,
                identity=identity,
            )
        )
        theirs = said.introduction
        peer = PeerId(address=address, instance=theirs.instance)
        if code == "instance_twice":
            self._hooks.alarm(peer, "another copy of this node's own instance dialled")
        if theirs.url in self._wiring.muted_in:
            return
        if not code:
            code = self._crowding(peer, theirs.incarnation) if is_place(theirs.url) else "bad_url"
        if code:
            self._send(caller, PeerKind.REFUSED, encode(Verdict(code=code)))
            caller.session.connection.cut_at_ms = now_ms() + LAST_WORD_MS
            caller.my_nonce = b""
            self._hooks.refused(address, theirs.url, code)
            return
        caller.peer, caller.url, caller.incarnation = peer, theirs.url, theirs.incarnation
        self._live[peer.instance] = caller
        self.router.greet(caller.session)
        self._send(caller, PeerKind.WELCOME, encode(Verdict(code="")))
        self._hooks.caller_up(peer, theirs.url)

    def _crowding(self, peer: PeerId, incarnation: bytes) -> str:
        """Whether another connection or too many instances stand in the way; may make room."""
        older = self._live.get(peer.instance)
        if older is not None:
            if older.incarnation != incarnation and not self._is_silent(older):
                self._hooks.alarm(peer, "a second live copy of one instance dialled")
                return "instance_twice"
            self._unlist(older)
            older.session.connection.cut_at_ms = now_ms()
        same = sum(1 for one in self._live.values() if one.session.user == peer.address)
        return "instances_max" if same >= self._wiring.limits.instances_max else ""

    def _is_silent(self, caller: Caller) -> bool:
        try:
            info = tcp.tcp_info(caller.session.connection.socket)
        except OSError:
            return True
        return info.silent_ms > self._wiring.limits.silent_ms

    def _unlist(self, caller: Caller) -> None:
        peer = caller.peer
        if peer is not None and self._live.get(peer.instance) is caller:
            del self._live[peer.instance]
            self._hooks.caller_down(peer)

    # Sending

    def _send(self, caller: Caller, kind: PeerKind, payload: bytes, number: int = 0) -> bool:
        muted = self._wiring.muted_out
        if caller.session.user in muted or caller.url in muted:
            return True
        return self.router.send(caller.session, pack_header(kind, number), payload)

    def answer(self, route: PeerRoute, payload: bytes) -> bool:
        """Answer a request; False if its connection is gone."""
        session = route.session
        assert isinstance(session, Session)
        caller = self._callers.get(session)
        if caller is None:
            return False
        return self._send(caller, PeerKind.ANSWER, payload, route.number)

    def push(self, caller: Caller, payload: bytes) -> bool:
        """Push to a peer that we have no link to."""
        return self._send(caller, PeerKind.PUSH, payload)
