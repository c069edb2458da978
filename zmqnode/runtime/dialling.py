"""Whom a node dials: the copies that suffrages name, for as long as it takes.

Other copies (standbys, retired ones) are dialled because they called, and let go when they are
silent for long: the network does that. What a suffrage names is never let go, since its url is the
only way to a member that is not there yet.
"""

from __future__ import annotations

from zmqnode.network import PeerNetwork
from zmqnode.network.sockets import is_place
from zmqnode.runtime.ledger import Ledger


class Dialling:
    """Keeps a network's links in step with the chain. ``url``: the node's own."""

    def __init__(self, network: PeerNetwork, ledger: Ledger, url: str) -> None:
        self._network = network
        self._ledger = ledger
        self._url = url
        self._seen = -1
        self.look()

    def look(self) -> None:
        """At the start and after each block: dial whom a new suffrage names; forget nobody else."""
        first, newest = self._ledger.suffrages[-1]
        if first == self._seen:
            return
        self._seen = first
        in_force = self._ledger.suffrage(self._ledger.height + 1) or newest
        places = {
            (str(member.address), member.url): None
            for suffrage in (in_force, newest)
            for member in suffrage.members
            # A hint that somebody wrote into a block; what cannot be dialled must harm nobody.
            if member.url != self._url and is_place(member.url)
        }
        self._network.keep(places)
        for address, url in places:
            self._network.connect(address, url)
