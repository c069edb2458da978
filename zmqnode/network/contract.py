"""What the network room and its runtime say to each other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from zmqnode.base.keys import PublicKey
from zmqnode.network.envelope import Topic
from zmqnode.network.gate import Strike
from zmqnode.network.guard import ConnectionGuard
from zmqnode.network.limits import NetworkLimits
from zmqnode.network.sockets import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerId:
    """One running copy of an address, as its hello proved it."""

    address: str
    instance: PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where a node listens: one address (or a name for it), three ports (p, p+1, p+2)."""

    ip: str
    door: int
    peers: int
    publish: int

    @classmethod
    def from_port(cls, ip: str, port: int) -> Endpoints:
        return cls(ip=ip, door=port, peers=port + 1, publish=port + 2)


@dataclass(frozen=True, slots=True)
class PeerRoute:
    """Where the answer to a peer's request goes; opaque to the runtime."""

    session: object
    number: int


class PeerHooks(Protocol):
    """What the runtime is told. Called on the loop's thread, never re-entrantly from a call of it
    that sends. A message is what the gate's ``decode`` made of the payload (bytes without one).
    A returned Strike counts against the connection.
    """

    def peer_up(self, peer: PeerId, url: str) -> None:
        """A peer we dialled did its hello: it can be asked, its streams are subscribed to."""

    def peer_down(self, peer: PeerId) -> None:
        """Its last link is gone."""

    def caller_up(self, peer: PeerId, url: str) -> None:
        """A peer dialled us from ``url``; dial it back if it is not linked yet."""

    def caller_down(self, peer: PeerId) -> None: ...

    def published(self, peer: PeerId, topic: Topic, message: object) -> Strike | None: ...

    def pushed(self, peer: PeerId, message: object) -> Strike | None: ...

    def asked(self, peer: PeerId, message: object, route: PeerRoute) -> Strike | None: ...

    def gap(self, peer: PeerId, topic: Topic, missed: int) -> None:
        """So many messages of a stream were lost on the way: pull."""

    def refused(self, address: str, url: str, code: str) -> None:
        """A hello failed, theirs or ours; tried again by itself."""

    def alarm(self, peer: PeerId, text: str) -> None:
        """A second live copy of one instance was seen."""


@dataclass(slots=True)
class PeerStats:
    """Counters of one peer instance, over its links; ``rtt_ms`` of the last hello or answer."""

    address: str
    instance: bytes
    url: str
    linked: bool = False  # we reach it
    calling: bool = False  # it reaches us
    asks: int = 0  # unanswered requests now
    queue: int = 0  # answers waiting for it
    dropped: int = 0  # published messages lost on the way here
    strikes: int = 0
    rtt_ms: float | None = None


@dataclass(slots=True)
class Wiring:
    """What all sockets of one node share."""

    context: Context
    loop: asyncio.AbstractEventLoop
    limits: NetworkLimits
    guard: ConnectionGuard
    ipv6: bool
    muted_in: frozenset[str] = field(default_factory=frozenset)
    muted_out: frozenset[str] = field(default_factory=frozenset)
