"""``PeerNetwork``: all of a node's peer sockets behind one object.

It owns what the sockets of one node share (ZAP handler, connection guard), the two peer ports, and
the links. The client door is opened from it (``open_door``), can be closed under pressure, and
nothing here waits for it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

import zmq

from zmqnode.base.keys import PrivateKey, PublicKey, curve_public
from zmqnode.errors import Invalid, Refused
from zmqnode.network.callers import Callers
from zmqnode.network.connection import UNLISTED, GuardStats, now_ms
from zmqnode.network.contract import (
    Endpoints,
    PeerHooks,
    PeerId,
    PeerRoute,
    PeerStats,
    Wiring,
)
from zmqnode.network.curve import CurveKeys, Port, ZapHandler, user_of
from zmqnode.network.door import ClientDoor, DoorHooks
from zmqnode.network.envelope import Topic
from zmqnode.network.gate import Gate, Strike
from zmqnode.network.guard import ConnectionGuard
from zmqnode.network.hello import Introduction, Speaker
from zmqnode.network.limits import NetworkLimits
from zmqnode.network.link import Link, OnAnswer
from zmqnode.network.pressure import connections_that_fit, raise_descriptor_limit
from zmqnode.network.publisher import Publisher
from zmqnode.network.sockets import (
    Address,
    Context,
    Place,
    resolve_now,
    set_common,
    set_listener,
)

DOOR_RESERVE_PER_MEMBER: Final = 12  # accepted connections the door leaves free for each address


class PeerNetwork:
    """The peers of one running copy. Everything happens on the thread of ``loop``.

    Args:
        context: one per node (``new_context()``); this object binds its ZAP handler.
        introduction: what hellos say; network, genesis, parameters, app, address, url. Instance,
            incarnation and publish port are filled in here.
        identity: the address's key; its X25519 form is the CURVE key of all sockets.
        instance: this copy's key.
        endpoints: where to listen.
        listed: address -> identity public key of everybody who may connect, itself included.
        hooks: the runtime.
        decode, check: the gate's (see ``Gate``); without ``decode`` messages are bytes.
    Raises:
        Refused: ``address_in_use``; nothing stays open then.
        Invalid: ``key_invalid``, a listed key without an X25519 form; ``config_invalid``, the
            listening host's name is unknown.
    """

    def __init__(
        self,
        context: Context,
        loop: asyncio.AbstractEventLoop,
        *,
        introduction: Introduction,
        identity: PrivateKey,
        instance: PrivateKey,
        endpoints: Endpoints,
        listed: Mapping[str, PublicKey],
        hooks: PeerHooks,
        limits: NetworkLimits | None = None,
        decode: Callable[[bytes], object] | None = None,
        check: Callable[[object], Strike | None] | None = None,
    ) -> None:
        limits = limits or NetworkLimits()
        self._endpoints = endpoints = _literal(endpoints)
        self._hooks = hooks
        self._keys = CurveKeys.of_identity(identity)
        self._listed: dict[str, PublicKey] = {}
        self._address_of_curve: dict[bytes, str] = {}
        self._links: dict[tuple[str, str], Link] = {}
        self._kept: frozenset[tuple[str, str]] = frozenset()
        self._by_instance: dict[PublicKey, list[Link]] = {}
        self._closed = False
        self._door: ClientDoor | None = None
        introduction = replace(
            introduction,
            instance=instance.public,
            incarnation=os.urandom(8),
            publish_port=endpoints.publish,
        )
        self._speaker = Speaker(introduction=introduction, identity=identity, instance=instance)
        self._zap = ZapHandler(context, loop, self._admit)
        self._guard = ConnectionGuard(context, loop, limits)
        self.wiring = Wiring(context, loop, limits, self._guard, ":" in endpoints.ip)
        self._guard.connections_max = connections_that_fit(limits, raise_descriptor_limit())
        self._gate = Gate(bytes_max=limits.peer_bytes_max, decode=decode, check=check)
        self._callers = Callers(
            self.wiring, self._speaker, hooks, self._gate, lambda name: self._listed.get(name)
        )
        self._router = self._callers.router
        self._publisher = Publisher(self.wiring, introduction, lambda name: name in self._listed)
        try:
            self.set_listed(listed)
            self._bind()
        except BaseException:
            self.close()
            raise
        self._guard.every_tick(self._tick)

    def _bind(self) -> None:
        limits = self.wiring.limits
        router, publish_socket = self._router.socket, self._publisher.socket
        router.setsockopt(zmq.RCVHWM, limits.peer_messages)
        router.setsockopt(zmq.SNDHWM, limits.peer_messages)
        publish_socket.setsockopt(zmq.SNDHWM, limits.publish_send_messages)
        publish_socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        sizes = {router: limits.peer_bytes_max, publish_socket: limits.subscription_bytes_max}
        for socket, bytes_max in sizes.items():
            port = Port.PEERS if socket is router else Port.PUBLISH
            set_common(socket, limits, bytes_max=bytes_max, ipv6=self.wiring.ipv6)
            set_listener(socket, limits, secret=self._keys.secret, domain=port)
        peers = Address(self._endpoints.ip, self._endpoints.peers)
        publish = Address(self._endpoints.ip, self._endpoints.publish)
        taken = peers
        try:
            self._router.bind(peers.endpoint, peers.port)
            taken = publish
            self._publisher.bind(publish.endpoint, publish.port)
        except zmq.ZMQError as error:
            raise Refused(
                "address_in_use",
                f"cannot listen on {taken.endpoint}: {error.strerror}",
                hint="stop what listens there, or set another network.url",
                endpoint=taken.endpoint,
            ) from None

    # Who may connect

    def set_listed(self, listed: Mapping[str, PublicKey]) -> None:
        """Replace the list; who left it, or changed its key, is cut and no longer dialled.

        Raises:
            Invalid: ``key_invalid``, a key without an X25519 form; the list stays as it was.
        """
        fresh = {curve_public(key): address for address, key in listed.items()}
        left = [name for name, key in self._listed.items() if listed.get(name) != key]
        self._listed = dict(listed)
        self._address_of_curve = fresh
        for address in left:
            self._guard.cut_user(address, UNLISTED)
        for (address, url), link in list(self._links.items()):
            if self._listed.get(address) != link.identity:
                self.disconnect(address, url)
        self._guard.door_reserve = min(
            self._guard.connections_max // 2, DOOR_RESERVE_PER_MEMBER * len(self._listed)
        )

    def _admit(self, port: Port, key: bytes, ip: str) -> str | None:
        user = user_of(port, key, self._address_of_curve)
        return None if user is None or self._guard.is_penalised(user) else user

    # Links

    def connect(self, address: str, url: str, *, peers_port: int | None = None) -> None:
        """Dial a listed address at a url, until ``disconnect`` or it goes stale. Again: named anew.

        Urls come from hellos too, so their number per address is bounded: beyond it the oldest
        link that is down and not kept (:meth:`keep`) gives way, or else the oldest that is down.
        A link is stale when it was down for ``link_stale_ms``, is not kept and no live caller
        names its url.

        Raises:
            Refused: ``not_authorised``, the address is not listed.
            Invalid: ``config_invalid``, the url is none.
        """
        known = self._links.get((address, url))
        if known is not None:
            known.named_ms = now_ms()
            return
        identity = self._listed.get(address)
        if identity is None:
            raise Refused("not_authorised", f"{address} is not listed", address=address)
        self._make_room(address)
        self._links[address, url] = Link(
            self.wiring,
            self._speaker,
            self._keys,
            self._hooks,
            self._gate,
            self,
            address=address,
            identity=identity,
            url=url,
            peers_port=peers_port,
        )

    def _make_room(self, address: str) -> None:
        same = [(key, link) for key, link in self._links.items() if key[0] == address]
        if len(same) >= self.wiring.limits.links_per_address_max:
            # Up goes last, kept goes late; the sort is stable, so among equals the oldest goes.
            same.sort(key=lambda one: (one[1].peer is not None, one[0] in self._kept))
            self.disconnect(*same[0][0])

    def keep(self, places: Iterable[tuple[str, str]]) -> None:
        """These (address, url) are dialled for as long as it takes; replaces the ones before."""
        self._kept = frozenset(places)

    def _drop_stale(self, now: int) -> None:
        """Disconnect what nobody answers at and nothing names; copies leave such urls behind."""
        before = now - self.wiring.limits.link_stale_ms
        for key, link in list(self._links.items()):
            if link.peer is not None or link.named_ms > before or key in self._kept:
                continue
            calling = [(one.peer.address, one.url) for one in self._callers.live() if one.peer]
            if key in calling:
                link.named_ms = now
            else:
                self.disconnect(*key)

    def disconnect(self, address: str, url: str) -> None:
        """Give up a link, if it is there."""
        link = self._links.pop((address, url), None)
        if link is not None:
            link.close()

    def links(self) -> tuple[tuple[str, str], ...]:
        """(address, url) of every link, up or not."""
        return tuple(self._links)

    def link_up(self, link: Link, peer: PeerId) -> None:
        links = self._by_instance.setdefault(peer.instance, [])
        links.append(link)
        if len(links) == 1:
            self._hooks.peer_up(peer, link.url)

    def link_down(self, link: Link, peer: PeerId) -> None:
        links = self._by_instance.get(peer.instance, [])
        if link in links:
            links.remove(link)
            if not links:
                del self._by_instance[peer.instance]
                self._hooks.peer_down(peer)

    # Another instance

    def replace_instance(self, instance: PrivateKey) -> None:
        """Go on as another instance of the same address, at the same url.

        Every connection between peers ends and says hello anew, both ways; the client door and
        what waits there are not touched.
        """
        self._speaker.become(instance, os.urandom(8))
        self._publisher.begin_anew(self._speaker.introduction)
        self._callers.hello_anew()
        for link in list(self._links.values()):
            link.hello_anew()

    # Sending

    def publish(self, topic: Topic, payload: bytes) -> None:
        """Send to all subscribers of a topic; lost messages are pulled, never waited for."""
        self._publisher.publish(topic, payload)

    def ask(
        self, instance: PublicKey, payload: bytes, timeout_ms: int, on_answer: OnAnswer
    ) -> int | None:
        """Ask one peer.

        Returns:
            A number; ``on_answer`` is then called exactly once, with the message or None (time is
            over, link gone, answer malformed). None: nothing was sent and nothing will be called.
        """
        links = self._by_instance.get(instance)
        return links[-1].ask(payload, timeout_ms, on_answer) if links else None

    def answer(self, route: PeerRoute, payload: bytes) -> bool:
        """Answer a request; False if the asker is gone."""
        return self._callers.answer(route, payload)

    def send(self, instance: PublicKey, payload: bytes) -> bool:
        """Push to one peer, over our link or else the connection it made; False if it has none."""
        links = self._by_instance.get(instance)
        if links:
            return links[-1].push(payload)
        caller = self._callers.of_instance(instance)
        return caller is not None and self._callers.push(caller, payload)

    def cut(self, addresses_in: Iterable[str], addresses_out: Iterable[str]) -> None:
        """Fault injection: drop all peer traffic from and to these; replaces the former cut.

        An entry is an address (all its copies) or a url (the copy that listens there). A publisher
        cannot leave out one subscriber: published messages are dropped where they arrive, so a cut
        is given to both sides. Who calls checks that faults are allowed.
        """
        self.wiring.muted_in = frozenset(addresses_in)
        self.wiring.muted_out = frozenset(addresses_out)

    def skip_numbers(self, topic: Topic, count: int) -> None:
        """Fault injection: to subscribers it looks as if so many messages were lost."""
        self._publisher.skip(topic, count)

    # The client door

    def open_door(self, hooks: DoorHooks, *, memory_bytes_max: int | None = None) -> ClientDoor:
        """Open the client door on port p; closed with this object, or before.

        Raises:
            Refused: ``address_in_use``.
        """
        assert self._door is None
        self._door = ClientDoor(
            self.wiring, self._keys, self._endpoints, hooks, memory_bytes_max=memory_bytes_max
        )
        return self._door

    # What is known

    def peers(self) -> tuple[PeerId, ...]:
        """Every peer with a link that is up."""
        return tuple(links[-1].peer for links in self._by_instance.values() if links[-1].peer)

    def stats(self) -> tuple[PeerStats, ...]:
        """Per instance, linked or calling."""
        found: dict[PublicKey, PeerStats] = {}
        for link in self._links.values():
            peer = link.peer
            if peer is None:
                continue
            one = found.setdefault(peer.instance, PeerStats(peer.address, peer.instance, link.url))
            one.linked = True
            one.rtt_ms = link.rtt_ms
            one.asks += link.asks
            one.dropped += link.dropped
            one.strikes += link.strikes
        for caller in self._callers.live():
            if caller.peer is not None:
                key = caller.peer.instance
                fresh = PeerStats(caller.peer.address, key, caller.url)
                one = found.setdefault(key, fresh)
                one.calling = True
                one.queue += len(caller.session.waiting)
                one.strikes += caller.session.connection.strikes
        return tuple(found.values())

    @property
    def introduction(self) -> Introduction:
        """What this node says in every hello."""
        return self._speaker.introduction

    @property
    def identity_key(self) -> PublicKey:
        return self._speaker.identity.public

    @property
    def guard_stats(self) -> GuardStats:
        return self._guard.stats

    @property
    def overflowed(self) -> int:
        """Messages never published because too many were at once."""
        return self._publisher.overflowed

    @property
    def zap_refused(self) -> int:
        """Handshakes of keys that are not listed (or have a penalty)."""
        return self._zap.refused

    @property
    def connections(self) -> int:
        """Live connections that were made to us, on all three ports."""
        return sum(len(self._guard.live(port)) for port in Port)

    @property
    def subscribers(self) -> int:
        """Live subscriptions at our publishing socket (two a peer)."""
        return self._publisher.subscribers

    @property
    def incarnation(self) -> bytes:
        """8 random bytes of this run."""
        return self.introduction.incarnation

    def _tick(self, now: int) -> None:
        for link in list(self._links.values()):
            link.tick(now)
        self._drop_stale(now)

    def close(self) -> None:
        """Close every socket; the context is its owner's to terminate. Again is harmless."""
        if self._closed:
            return
        self._closed = True
        for link in list(self._links.values()):
            link.close()
        self._links.clear()
        if self._door is not None:
            self._door.close()
        self._router.close()
        self._publisher.close()
        self._guard.close()
        self._zap.close()


def _literal(endpoints: Endpoints) -> Endpoints:
    """The endpoints with the address of their host."""
    ip = resolve_now(Place(endpoints.ip, endpoints.peers))
    if ip is None:
        raise Invalid("config_invalid", f"no address is known for {endpoints.ip}")
    return replace(endpoints, ip=ip)
