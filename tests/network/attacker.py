"""Attackers, each a process of its own (so that the victim's memory is the victim's alone).

Run as ``python -m tests.network.attacker '{"mode": .., ..}'``; every mode goes on until it is
killed. It speaks ZMTP through libzmq, with the keys it is given, and breaks every other rule.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import zmq

from tests.network.conftest import Fleet, until
from tests.network.zmtp import RawCurve
from zmqnode.base.codec import decode_as, encode
from zmqnode.base.hashes import ZERO, Hash
from zmqnode.base.keys import PrivateKey, PublicKey, curve_public
from zmqnode.network.curve import CurveKeys
from zmqnode.network.envelope import DoorKind, PeerKind, Topic, pack_header, pack_stream_header
from zmqnode.network.hello import DIALLER, Credential, Hello, Introduction, Speaker
from zmqnode.network.peers import PeerNetwork

CHUNK = bytes(64 * 1024)


class Attacker:
    """One attacking socket to ``port``, as ``seed``'s identity or as nobody."""

    def __init__(self, port: int, server: str, seed: str = "", address: str = "", **_: Any) -> None:
        self.context = zmq.Context()
        self.port = port
        self.server = curve_public(PublicKey(bytes.fromhex(server)))
        self.identity = PrivateKey(bytes.fromhex(seed) if seed else os.urandom(32))
        self.address = address
        self.keys = CurveKeys.of_identity(self.identity)

    def socket(self, kind: int, **options: Any) -> zmq.Socket[bytes]:
        socket = self.context.socket(kind)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self.keys.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.keys.secret)
        socket.setsockopt(zmq.CURVE_SERVERKEY, self.server)
        socket.setsockopt(zmq.RECONNECT_IVL, 20)
        for name, value in options.items():
            socket.setsockopt(getattr(zmq, name), value)
        socket.connect(f"tcp://127.0.0.1:{self.port}")
        return socket

    def raw(self, kind: bytes = b"DEALER") -> RawCurve:
        return RawCurve(
            self.port,
            server=self.server,
            public=self.keys.public,
            secret=self.keys.secret,
            kind=kind,
        )

    # The client door

    def flood(self) -> None:
        """Requests as fast as they go, answers read and thrown away."""
        socket = self.socket(zmq.DEALER)
        number = 0
        while True:
            number += 1
            socket.send_multipart([pack_header(DoorKind.REQUEST, number), b"x" * 100])
            if number % 64 == 0:
                while socket.poll(0):
                    socket.recv_multipart()

    def deaf(self) -> None:
        """Asks for large answers and reads none."""
        socket = self.socket(zmq.DEALER, RCVHWM=1, RCVBUF=16384)
        for number in range(1, 1_000_000):
            socket.send_multipart([pack_header(DoorKind.REQUEST, number), b"x"])
            time.sleep(0.002)

    def garbage(self) -> None:
        socket = self.socket(zmq.DEALER)
        while True:
            socket.send_multipart([os.urandom(os.urandom(1)[0] % 9), os.urandom(99)])
            time.sleep(0.001)

    def frames(self) -> None:
        """Five frames, again and again."""
        socket = self.socket(zmq.DEALER)
        while True:
            socket.send_multipart([pack_header(DoorKind.REQUEST, 1)] + [b"x"] * 4)
            time.sleep(0.01)

    def oversize(self) -> None:
        socket = self.socket(zmq.DEALER, SNDHWM=2)
        while True:
            socket.send_multipart([pack_header(DoorKind.PING), b""])
            socket.send_multipart([pack_header(DoorKind.REQUEST, 1), bytes(32 * 1024 * 1024)])
            time.sleep(0.05)

    def multipart(self) -> None:
        """One message that never ends; from a new connection whenever it is cut."""
        while True:
            with contextlib.suppress(OSError):
                raw = self.raw()
                raw.send(pack_header(DoorKind.REQUEST, 1), more=True)
                while True:
                    raw.send(CHUNK, more=True)

    def drip(self) -> None:
        """A message without end, of tiny frames, as many as go."""
        self._drip(b"DEALER")

    def drip_topics(self) -> None:
        self._drip(b"SUB")

    def _drip(self, kind: bytes) -> None:
        while True:
            with contextlib.suppress(OSError):
                raw = self.raw(kind)
                if kind == b"DEALER":  # One honest message, or the hello deadline would end it.
                    raw.send(pack_header(DoorKind.PING), more=True)
                    raw.send(b"")
                while True:
                    raw.send(b"", more=True)

    def claim(self) -> None:
        """A routing id of its own choice."""
        socket = self.socket(zmq.DEALER, ROUTING_ID=b"\0a claimed id")
        while True:
            socket.send_multipart([pack_header(DoorKind.PING), b""])
            time.sleep(0.01)

    def mute(self) -> None:
        """A whole handshake, then not a word."""
        socket = self.socket(zmq.DEALER)
        time.sleep(60)
        del socket

    def subscribe(self) -> None:
        """Endless subscriptions, each to another topic.

        By hand: libzmq keeps each (7 KiB), and sends them all again on every new connection, so
        that it would soon have no time left for a second attack.
        """
        number = 0
        while True:
            with contextlib.suppress(OSError):
                raw = self.raw(b"SUB")
                while True:
                    number += 1
                    raw.send(b"\x01" + b"v%032d" % number * 8)

    def subscribe_often(self) -> None:
        """More honest-looking subscribers than one address may have."""
        sockets = [self.socket(zmq.SUB, SUBSCRIBE=b"v") for _ in range(20)]
        time.sleep(60)
        del sockets

    def sleepy(self) -> None:
        """Subscribes and never reads."""
        socket = self.socket(zmq.SUB, RCVHWM=1, RCVBUF=16384, SUBSCRIBE=b"s")
        time.sleep(60)
        del socket

    # Peer links

    def _hello(self, socket: zmq.Socket[bytes], incarnation: bytes = b"attacker") -> bool:
        instance = PrivateKey(os.urandom(32))
        me = Speaker(
            introduction=Introduction(
                network_id="test",
                genesis=ZERO,
                params=Hash(bytes(32)),
                app="kv",
                app_version=1,
                address=self.address,
                instance=instance.public,
                incarnation=incarnation,
                url="tcp://127.0.0.1:9",
                publish_port=9,
            ),
            identity=self.identity,
            instance=instance,
        )
        nonce = os.urandom(32)
        socket.send_multipart([pack_header(PeerKind.HELLO), encode(Hello(nonce=nonce))])
        said = decode_as(Credential, socket.recv_multipart()[1])
        proof = me.credential(DIALLER, nonce, said.nonce)
        socket.send_multipart([pack_header(PeerKind.PROOF), encode(proof)])
        return socket.recv_multipart()[0][0] == PeerKind.WELCOME

    def peer_flood(self) -> None:
        socket = self.socket(zmq.DEALER)
        assert self._hello(socket)
        while True:
            socket.send_multipart([pack_header(PeerKind.PUSH), b"x" * 100])

    def peer_deaf(self) -> None:
        """Asks for large answers and reads none."""
        socket = self.socket(zmq.DEALER, RCVHWM=1, RCVBUF=16384)
        assert self._hello(socket)
        for number in range(1, 1_000_000):
            socket.send_multipart([pack_header(PeerKind.REQUEST, number), b"x" * 100_000])
            time.sleep(0.001)

    def early(self) -> None:
        """Requests without a hello."""
        socket = self.socket(zmq.DEALER)
        while True:
            socket.send_multipart([pack_header(PeerKind.REQUEST, 1), b"x"])
            time.sleep(0.001)

    def copies(self) -> None:
        """More instances than one address may have."""
        sockets = [self.socket(zmq.DEALER) for _ in range(6)]
        welcomes = [self._hello(socket) for socket in sockets]
        print(json.dumps(welcomes), flush=True)
        time.sleep(60)


def publish_multipart(seed: str, listed: dict[str, str], address: str, port: int) -> None:
    """A member whose publisher sends one message that never ends to its subscribers."""

    async def run() -> None:
        nodes = Fleet({address: PrivateKey(bytes.fromhex(seed))})
        keys = {name: PublicKey(bytes.fromhex(key)) for name, key in listed.items()}
        node, _ = nodes.start(address, port=port, listed=keys)
        print("ready", flush=True)
        await until(lambda: node.subscribers == 2, seconds=30)
        socket = _publishing_socket(node)
        while True:
            header = pack_stream_header(
                Topic.VOTES, node.introduction.instance, node.incarnation, 1
            )
            socket.send(header, zmq.SNDMORE)
            for _ in range(1000):
                socket.send(CHUNK, zmq.SNDMORE)
            socket.send(b"")
            await asyncio.sleep(0)

    asyncio.run(run())


def _publishing_socket(node: PeerNetwork) -> zmq.Socket[bytes]:
    return node._publisher.socket


def main() -> None:
    said = json.loads(sys.argv[1])
    mode = said.pop("mode")
    if mode == "publish_multipart":
        publish_multipart(**said)
        return
    attack: Callable[[], None] = getattr(Attacker(**said), mode)
    attack()


if __name__ == "__main__":
    main()
