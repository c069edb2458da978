"""Puts a node's handovers together: who shows them, who commands them, who is asked by a copy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from zmqnode.base.codec import encode
from zmqnode.base.handback import StartWanted
from zmqnode.base.query import Answer, failed
from zmqnode.errors import Refused, ZmqnodeError
from zmqnode.network import PeerId, PeerRoute
from zmqnode.runtime.addresses import AddressBook
from zmqnode.runtime.exchange import Exchange
from zmqnode.runtime.handovers import Handovers
from zmqnode.runtime.orders import Orders
from zmqnode.runtime.queries import Queries
from zmqnode.runtime.standing import Standing
from zmqnode.runtime.waiting import Waiter


def open_handovers(
    standing: Standing,
    queries: Queries,
    exchange: Exchange,
    folder: Path,
    log: Callable[[str, str], None],
) -> Handovers:
    """The node's sessions, shown at its door and commanded from there and by its other copies."""
    shown = Handovers(standing, folder=folder, changed=queries.changed, log=log)
    orders = Orders(standing, shown, exchange, post=standing.driver.post, log=log)
    standing.handovers = queries.handovers = shown
    queries.control.orders = orders

    def start_wanted(peer: PeerId, wanted: StartWanted, route: PeerRoute) -> None:
        later = _ToCopy(queries, exchange, route)
        if peer.address != standing.address:
            later.reply(failed(Refused("not_authorised", "only copies of one's own address may")))
            return
        try:
            answer = orders.start_wanted(wanted, later)
        except ZmqnodeError as error:
            answer = failed(error)
        if answer is not None:
            later.reply(answer)

    exchange.start_wanted = start_wanted
    exchange.addresses = AddressBook(
        standing,
        standing.network,
        folder=folder,
        publish=exchange.publish_record,
        later=asyncio.get_running_loop().call_later,
        log=log,
    )
    return shown


class _ToCopy:
    """Answers another copy of this address (orders.Later)."""

    def __init__(self, queries: Queries, exchange: Exchange, route: PeerRoute) -> None:
        self._queries = queries
        self._exchange = exchange
        self._route = route

    def until(
        self, met: Callable[[], bool], answer: Callable[[], Answer | None], within_ms: int
    ) -> None:
        """As soon as ``met``, or when the time is over; it waits among the clients' requests."""

        def waited() -> None:
            try:
                found = answer()
                if found is not None:
                    self.reply(found)
            except ZmqnodeError as error:
                self.reply(failed(error))

        deadline_ms = self._queries.view.clock_ms() + within_ms
        waiter = Waiter(
            route=_NoClient(), deadline_ms=deadline_ms, met=met, answer=waited, late=True
        )
        self._queries.waiters.add(waiter)

    def reply(self, answer: Answer) -> None:
        """Now."""
        self._exchange.answer_start(self._route, encode(answer))


class _NoClient:
    """The route of a waiter whose answer goes elsewhere."""

    session: object = None
    number: int = 0
