"""Who is who: CURVE keys from identity keys, and the answerer of libzmq's ZAP questions (RFC 27).

CURVE alone admits anybody who knows the server's public key; ZAP decides. libzmq asks over
``inproc://zeromq.zap.01``, once per connection, in the middle of the handshake. Our handler is
bound before any other socket of the context (a second one in one context is "address in use") and
answers from memory in the same turn. Every bound socket sets ZAP_DOMAIN and ZAP_ENFORCE_DOMAIN:
with either alone, libzmq admits everybody.

A key that is not listed gets 300 ("later": dropped in silence, its libzmq tries again), never 400
or 500, after which a libzmq client never reconnects, not even once its key is listed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import zmq
from zmq.utils import z85

from zmqnode.base.keys import PrivateKey, curve_public
from zmqnode.network.sockets import Reader

ZAP_ENDPOINT: Final = "inproc://zeromq.zap.01"
ZAP_FRAMES: Final = 9  # routing id, empty, version, request, domain, address, id, mechanism, key
KEY_BYTES: Final = 32


class Port(StrEnum):
    """The three bound sockets; the value is the ZAP domain."""

    DOOR = "door"  # p: any CURVE key
    PEERS = "peers"  # p+1: listed keys
    PUBLISH = "publish"  # p+2: listed keys


@dataclass(frozen=True, slots=True, repr=False)
class CurveKeys:
    """An X25519 key pair, 32 raw bytes each. No repr: it holds a secret."""

    public: bytes
    secret: bytes

    @classmethod
    def of_identity(cls, identity: PrivateKey) -> CurveKeys:
        """The transport keys that anybody can derive (public part) from an identity key."""
        return cls(public=curve_public(identity.public), secret=identity.curve_secret())

    @classmethod
    def ephemeral(cls) -> CurveKeys:
        """Fresh keys of a client that needs no name."""
        public, secret = zmq.curve_keypair()
        return cls(public=z85.decode(public), secret=z85.decode(secret))


def user_of(port: Port, key: bytes, listed: dict[bytes, str]) -> str | None:
    """The User-Id a CURVE key gets on a port; None refuses it."""
    if port is Port.DOOR:
        return key.hex()
    return listed.get(key)


class ZapHandler:
    """Answers all ZAP questions of one context.

    Args:
        admit: (port, CURVE public key, literal IP) -> User-Id, or None for "later".
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        loop: asyncio.AbstractEventLoop,
        admit: Callable[[Port, bytes, str], str | None],
    ) -> None:
        self._admit = admit
        self.admitted = 0
        self.refused = 0
        self._socket = context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(ZAP_ENDPOINT)
        self._reader = Reader(loop, self._socket, self._answer_one)

    def _answer_one(self) -> bool:
        try:
            frames = self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        if len(frames) != ZAP_FRAMES:
            return True  # Only libzmq itself can write here; it sends nothing else for CURVE.
        route, _, version, request, domain, address, _, mechanism, key = frames
        user = None
        if mechanism == b"CURVE" and len(key) == KEY_BYTES:
            user = self._admit(Port(domain.decode()), key, address.decode())
        if user is None:
            self.refused += 1
            answer = [b"300", b"later", b"", b""]
        else:
            self.admitted += 1
            answer = [b"200", b"", user.encode(), b""]
        try:
            self._socket.send_multipart([route, b"", version, request, *answer], zmq.NOBLOCK)
        except zmq.ZMQError:
            return True  # The connection that asked is gone.
        self._reader.soon()
        return True

    def close(self) -> None:
        self._reader.close()
        self._socket.close(0)
