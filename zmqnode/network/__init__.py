"""ZeroMQ as it really behaves, and only here.

For the runtime::

    context = new_context()                                   # one per node
    network = PeerNetwork(
        context, loop,
        introduction=Introduction(network_id=.., genesis=.., params=.., app="kv", app_version=1,
                                  address="n0sas", instance=.., incarnation=bytes(8),
                                  url="tcp://HOST:P", publish_port=1),  # last ones are filled in
        identity=PrivateKey, instance=PrivateKey,
        endpoints=Endpoints.from_port("127.0.0.1", P),
        listed={"n0sas": publickey, ..},                      # everybody, itself included
        hooks=PeerHooks, limits=NetworkLimits(..),
        decode=codec.decode,                                  # None: messages are bytes
        check=None,
    )
    network.connect("n1sas", "tcp://10.0.0.2:4000")           # until disconnect(..), or stale
    network.keep([("n1sas", "tcp://10.0.0.2:4000")])          # never stale
    network.publish(Topic.VOTES, payload)                     # Topic.SEALS: all of a turn in one
    number = network.ask(instance, payload, 1000, on_answer)  # None: nothing was sent
    network.answer(route, payload); network.send(instance, payload)
    network.set_listed({..}); network.cut(addresses_in, addresses_out)
    network.peers(); network.stats(); network.guard_stats
    door = network.open_door(DoorHooks, memory_bytes_max=..)
    door.answer(route, payload); door.refuse(route, code); door.event(route, payload)
    network.close(); context.term()

``PeerHooks``: peer_up, peer_down, caller_up, caller_down, published, pushed, asked, gap, refused,
alarm. ``DoorHooks``: client_request, client_gone, door_changed. A handler may return a ``Strike``.

For clients: ``parse_target``, ``AsyncClientLink`` and ``BlockingClientLink`` (``ask``; for more,
``request`` with callbacks).

The names are loaded on first use: a client needs no listening side, a command's help none at all.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zmqnode.network.client_link import ClientLink, Target, parse_target
    from zmqnode.network.client_loops import AsyncClientLink, BlockingClientLink
    from zmqnode.network.contract import Endpoints, PeerHooks, PeerId, PeerRoute, PeerStats
    from zmqnode.network.door import ClientDoor, DoorHooks, DoorRoute
    from zmqnode.network.envelope import Topic
    from zmqnode.network.gate import Fault, Gate, Rate, Strike
    from zmqnode.network.hello import PROTOCOL, Introduction
    from zmqnode.network.limits import NetworkLimits
    from zmqnode.network.peers import PeerNetwork
    from zmqnode.network.sockets import Context, Place, new_context, parse_place

__all__ = [
    "PROTOCOL",
    "AsyncClientLink",
    "BlockingClientLink",
    "ClientDoor",
    "ClientLink",
    "Context",
    "DoorHooks",
    "DoorRoute",
    "Endpoints",
    "Fault",
    "Gate",
    "Introduction",
    "NetworkLimits",
    "PeerHooks",
    "PeerId",
    "PeerNetwork",
    "PeerRoute",
    "PeerStats",
    "Place",
    "Rate",
    "Strike",
    "Target",
    "Topic",
    "new_context",
    "parse_place",
    "parse_target",
]

_HOMES = {
    "client_link": ("ClientLink", "Target", "parse_target"),
    "client_loops": ("AsyncClientLink", "BlockingClientLink"),
    "contract": ("Endpoints", "PeerHooks", "PeerId", "PeerRoute", "PeerStats"),
    "door": ("ClientDoor", "DoorHooks", "DoorRoute"),
    "envelope": ("Topic",),
    "gate": ("Fault", "Gate", "Rate", "Strike"),
    "hello": ("PROTOCOL", "Introduction"),
    "limits": ("NetworkLimits",),
    "peers": ("PeerNetwork",),
    "sockets": ("Context", "Place", "new_context", "parse_place"),
}


def __getattr__(name: str) -> object:
    """A name of the room, from its file (PEP 562); kept, so asked for once only."""
    for home, names in _HOMES.items():
        if name in names:
            found: object = getattr(import_module(f"{__name__}.{home}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
