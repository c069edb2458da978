"""zmqnode: a Byzantine-fault-tolerant node over ZeroMQ, replaceable while it runs.

The public names below are loaded on first use, so that ``import zmqnode`` (and with it
``zmqnode --help``) costs nothing: a client never loads the node, an application neither.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zmqnode.app import App, Reject
    from zmqnode.client import Client, SyncClient
    from zmqnode.config import Config
    from zmqnode.runtime import Node

__version__ = "0.1.0"

__all__ = ["App", "Client", "Config", "Node", "Reject", "SyncClient", "__version__"]

_HOMES = {
    "App": "zmqnode.app",
    "Client": "zmqnode.client",
    "Config": "zmqnode.config",
    "Node": "zmqnode.runtime",
    "Reject": "zmqnode.app",
    "SyncClient": "zmqnode.client",
}


def __getattr__(name: str) -> object:
    """A public name, from the room it lives in (PEP 562); kept, so asked for once only."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
