"""Networks of real sockets on loopback that cannot leak: every fixture closes what it made."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.ports import claim_ports, free_ports
from zmqnode.base.hashes import ZERO, Hash
from zmqnode.base.keys import PrivateKey, PublicKey, public_text
from zmqnode.errors import Refused, Undecided, Unreachable
from zmqnode.network import (
    ClientDoor,
    ClientLink,
    DoorRoute,
    Endpoints,
    Introduction,
    NetworkLimits,
    PeerId,
    PeerNetwork,
    PeerRoute,
    Strike,
    Topic,
    new_context,
)

DEADLINE_S = 10.0
ANSWER_MS = 10_000  # for answers that must come: as long as any deadline
POLL_S = 0.002


async def until(
    condition: Callable[[], Any],
    *,
    seconds: float = DEADLINE_S,
    what: str | Callable[[], str] = "",
) -> Any:
    """Poll a condition; the value it ends with. Fails the test after the deadline."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            said = what() if callable(what) else what
            raise AssertionError(f"never happened: {said or condition}")
        await asyncio.sleep(POLL_S)


async def until_pumped(link: ClientLink, condition: Callable[[], Any]) -> None:
    """Pump a link that has no driver until a condition holds."""

    def pumped() -> Any:
        link.pump()
        return condition()

    await until(pumped)


async def until_answered(ask: Callable[[], Awaitable[bytes]]) -> bytes:
    """Ask again until there is an answer: for clients whose node comes, goes or is too busy."""
    end = time.monotonic() + DEADLINE_S
    while True:
        try:
            return await ask()
        except (Refused, Undecided, Unreachable):
            assert time.monotonic() < end, "never answered"


def resident() -> int:
    """RSS of this process in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


@dataclass
class Heard:
    """Hooks that write down what they are told."""

    network: PeerNetwork | None = None
    ups: list[tuple[PeerId, str]] = field(default_factory=list)
    downs: list[PeerId] = field(default_factory=list)
    callers: list[tuple[PeerId, str]] = field(default_factory=list)
    callers_down: list[PeerId] = field(default_factory=list)
    messages: list[tuple[PeerId, Topic, object]] = field(default_factory=list)
    pushes: list[tuple[PeerId, object]] = field(default_factory=list)
    requests: list[tuple[PeerId, object]] = field(default_factory=list)
    gaps: list[tuple[PeerId, Topic, int]] = field(default_factory=list)
    refusals: list[tuple[str, str, str]] = field(default_factory=list)
    refused_at: list[float] = field(default_factory=list)  # monotonic seconds
    alarms: list[tuple[PeerId, str]] = field(default_factory=list)
    strike: Strike | None = None
    echo: bool = True
    keep: bool = True

    def peer_up(self, peer: PeerId, url: str) -> None:
        self.ups.append((peer, url))

    def peer_down(self, peer: PeerId) -> None:
        self.downs.append(peer)

    def caller_up(self, peer: PeerId, url: str) -> None:
        self.callers.append((peer, url))

    def caller_down(self, peer: PeerId) -> None:
        self.callers_down.append(peer)

    def published(self, peer: PeerId, topic: Topic, message: object) -> Strike | None:
        self.messages.append((peer, topic, message))
        return self.strike

    def pushed(self, peer: PeerId, message: object) -> Strike | None:
        self.pushes.append((peer, message))
        return self.strike

    def asked(self, peer: PeerId, message: object, route: PeerRoute) -> Strike | None:
        if self.keep:
            self.requests.append((peer, message))
        if self.echo and self.network is not None:
            assert isinstance(message, bytes)
            self.network.answer(route, b"re:" + message)
        return self.strike

    def gap(self, peer: PeerId, topic: Topic, missed: int) -> None:
        self.gaps.append((peer, topic, missed))

    def refused(self, address: str, url: str, code: str) -> None:
        self.refusals.append((address, url, code))
        self.refused_at.append(time.monotonic())

    def alarm(self, peer: PeerId, text: str) -> None:
        self.alarms.append((peer, text))


@dataclass
class Served:
    """Door hooks: echo, subscribe (``sub``), flood (``big``), hold (``hold``)."""

    door: ClientDoor | None = None
    requests: list[tuple[bytes, DoorRoute, bytes]] = field(default_factory=list)
    subscribed: list[DoorRoute] = field(default_factory=list)
    gone: list[object] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    answer_size: int = 0
    keep: bool = True

    def client_request(self, client: bytes, route: DoorRoute, payload: bytes) -> Strike | None:
        if self.keep:
            self.requests.append((client, route, payload))
        assert self.door is not None
        if payload == b"sub":
            self.subscribed.append(route)
        elif payload != b"hold":
            self.door.answer(route, bytes(self.answer_size) or b"re:" + payload)
        return None

    def client_gone(self, session: object) -> None:
        self.gone.append(session)

    def door_changed(self, reason: str) -> None:
        self.changes.append(reason)


@dataclass
class Fleet:
    """Nodes of one network, all in this process, each with a context of its own."""

    keys: dict[str, PrivateKey]
    nodes: list[PeerNetwork] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)

    @property
    def listed(self) -> dict[str, PublicKey]:
        return {address: key.public for address, key in self.keys.items()}

    def start(
        self,
        address: str,
        *,
        instance: PrivateKey | None = None,
        limits: NetworkLimits | None = None,
        port: int | None = None,
        listed: dict[str, PublicKey] | None = None,
        decode: Callable[[bytes], object] | None = None,
        ip: str = "127.0.0.1",
        **said: Any,
    ) -> tuple[PeerNetwork, Heard]:
        """One node, bound and with nobody connected."""
        port = port or free_ports()
        instance = instance or PrivateKey(os.urandom(32))
        heard = Heard()
        facts: dict[str, Any] = {
            "network_id": "test",
            "genesis": ZERO,
            "params": Hash(bytes(32)),
            "app": "kv",
            "app_version": 1,
        }
        facts["url"] = f"tcp://127.0.0.1:{port}"
        introduction = Introduction(
            **(facts | said),
            address=address,
            instance=instance.public,
            incarnation=bytes(8),
            publish_port=port + 2,
        )
        context = new_context()
        self.contexts.append(context)
        network = PeerNetwork(
            context,
            asyncio.get_running_loop(),
            introduction=introduction,
            identity=self.keys[address],
            instance=instance,
            endpoints=Endpoints.from_port(ip, port),
            listed=self.listed if listed is None else listed,
            hooks=heard,
            limits=limits,
            decode=decode,
        )
        heard.network = network
        self.nodes.append(network)
        return network, heard

    def stop(self, node: PeerNetwork) -> None:
        """Close a node; its ports are free when its context has ended, not before."""
        node.close()
        context = node.wiring.context
        assert all(one.closed for one in context._sockets)
        context.term()
        self.contexts.remove(context)

    def close(self) -> None:
        for node in self.nodes:
            node.close()
        open_sockets = [one for context in self.contexts for one in context._sockets]
        open_sockets = [one for one in open_sockets if not one.closed]
        for context in self.contexts:
            context.destroy(linger=0)  # A bare term would hang where the assert can speak.
        assert not open_sockets, f"sockets left open: {open_sockets}"


@asynccontextmanager
async def fleet(*addresses: str) -> AsyncIterator[Fleet]:
    """Keys for some addresses; nodes are started by the test."""
    made = Fleet({address: PrivateKey(os.urandom(32)) for address in addresses or ("asas", "bsas")})
    claim_ports()
    before = set(os.listdir("/proc/self/fd"))
    try:
        yield made
    finally:
        made.close()
    await asyncio.sleep(0)
    left = set(os.listdir("/proc/self/fd")) - before
    assert not left, f"descriptors left open: {left}"


async def joined(one: PeerNetwork, other: PeerNetwork, *heard: Heard) -> None:
    """Connect both ways and wait for hellos and subscriptions."""
    for here, there in ((one, other), (other, one)):
        here.connect(there.introduction.address, there.introduction.url)
    await until(lambda: all(hooks.ups and hooks.callers for hooks in heard), what="hello both ways")
    await until(lambda: one.subscribers >= 2 and other.subscribers >= 2, what="subscriptions")


def target_of(node: PeerNetwork) -> str:
    return f"tcp://{public_text(node.identity_key)}@127.0.0.1:{port_of(node)}"


def port_of(node: PeerNetwork) -> int:
    """The first of its three ports."""
    return int(node.introduction.url.rpartition(":")[2])


@asynccontextmanager
async def raw_tcp(port: int, count: int = 1) -> AsyncIterator[list[socket.socket]]:
    """Plain TCP connections to a port; closed at the end.

    The loop runs meanwhile: with a full backlog a connect takes a second, and it may be the
    victim's own.
    """
    made: list[socket.socket] = []
    try:
        for _ in range(count):
            one = socket.socket()
            made.append(one)
            one.setblocking(False)
            await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", port))
        yield made
    finally:
        for one in made:
            one.close()


@contextmanager
def attack(
    mode: str, victim: PeerNetwork, offset: int, *, key: PrivateKey | None = None, address: str = ""
) -> Iterator[subprocess.Popen[str]]:
    """An attacker process on the victim's port p + offset; killed at the end."""
    said = {
        "mode": mode,
        "port": port_of(victim) + offset,
        "server": victim.identity_key.hex(),
        "seed": seed_of(key) if key else "",
        "address": address,
    }
    with attacking(said) as process:
        yield process


@contextmanager
def attacking(said: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.network.attacker", json.dumps(said)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def seed_of(key: PrivateKey) -> str:
    return key._seed.hex()


class Growth:
    """How far RSS went above where it was, at its peak."""

    def __init__(self) -> None:
        self._start = self._peak = resident()

    def look(self) -> bool:
        self._peak = max(self._peak, resident())
        return False

    @property
    def mib(self) -> float:
        self.look()
        return (self._peak - self._start) / 2**20
