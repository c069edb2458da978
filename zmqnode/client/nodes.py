"""The nodes a client talks to: its targets, the suffrage they name, and the chain they share.

Targets are alternatives: a question goes to the first that can be reached. Whoever is met first
fixes the chain, by its genesis hash; nodes of another one are refused from then on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from zmqnode.base.keys import PublicKey, parse_public, public_text
from zmqnode.client.answers import Answer, read
from zmqnode.client.node_link import ANSWER_MARGIN_MS, Chain, NodeLink, monotonic_ms
from zmqnode.config.contexts import pin_genesis
from zmqnode.config.target import Target
from zmqnode.errors import Malformed, Refused, TimedOut, Unreachable, ZmqnodeError
from zmqnode.network import Context, new_context

WAIT_CHUNK_MS: Final = 10_000  # One wait at a node; then it is asked again.
RETRY_MS: Final = 100  # Between attempts at a node that cannot be reached.
NOT_YET: Final = frozenset({"timeout", "unreachable", "undecided", "rate_limited"})

T = TypeVar("T")
A = TypeVar("A", bound=Answer)


class Nodes:
    """Connections by key and url; made when first needed, on the running loop."""

    def __init__(self, targets: Sequence[Target], timeout_ms: int) -> None:
        self.targets = tuple(targets)
        self.timeout_ms = timeout_ms
        self.others: list[NodeLink] = []  # Members that are no targets, once the chain is known.
        self._context: Context | None = None
        self._links: dict[tuple[PublicKey, str], NodeLink] = {}
        self._first: list[NodeLink] = []
        self._chain: Chain | None = None
        self._meeting: asyncio.Lock | None = None

    def close(self) -> None:
        """Close all connections. Again is harmless."""
        for link in self._links.values():
            link.close()
        self._links.clear()
        self._first.clear()
        self.others.clear()
        self._chain = None
        context, self._context = self._context, None
        if context is not None:
            context.term()

    def link(self, publickey: PublicKey, url: str) -> NodeLink:
        """The connection to a node; raises Unreachable for an unknown host name."""
        if self._context is None:
            self._context = new_context()
        key = (publickey, url)
        if key not in self._links:
            self._links[key] = NodeLink(self._context, publickey, url)
        return self._links[key]

    def first(self) -> list[NodeLink]:
        """The targets' links, those that are up before those that were not a moment ago."""
        if not self._first:
            problem: ZmqnodeError | None = None
            for target in self.targets:
                try:
                    self._first.append(self.link(target.publickey, target.place.url))
                except Unreachable as error:
                    problem = error
            if problem is not None and not self._first:
                raise problem
        return sorted(self._first, key=lambda link: link.down)

    async def any(self, ask: Callable[[NodeLink], Awaitable[T]]) -> T:
        """The answer of the first target that can be reached."""
        problem: Unreachable | None = None
        for link in self.first():
            try:
                return await ask(link)
            except Unreachable as error:
                problem = problem or error
        assert problem is not None
        raise problem

    async def told(self, request: object, timeout_ms: int | None = None) -> dict[str, Any]:
        """What the first target that can be reached tells, once its chain is known."""
        await self.chain()
        return await self.any(lambda link: link.told(request, timeout_ms or self.timeout_ms))

    def read(self, cls: type[A], body: object) -> A:
        """The answer of a told object; raises Refused ``wrong_state`` if it cannot be read."""
        try:
            return read(cls, body)
        except Malformed as error:
            raise self.first()[0].strange(str(error)) from None

    async def chain(self) -> Chain:
        """The chain behind the targets; asked once, then kept."""
        if self._meeting is None:
            self._meeting = asyncio.Lock()
        async with self._meeting:
            if self._chain is None:
                self._chain = await self.any(self._meet)
        return self._chain

    async def _meet(self, link: NodeLink) -> Chain:
        chain = await link.chain(self.timeout_ms)
        self.pin(link, chain.domain.network_id, chain.domain.genesis.hex())
        first = [one.publickey for one in self._first]
        for member in chain.suffrage.members:
            publickey = parse_public(member.publickey)
            if publickey not in first:
                try:
                    self.others.append(self.link(publickey, member.url))
                except Unreachable:
                    continue  # A host name this machine cannot resolve; the others will do.
        return chain

    def pin(self, link: NodeLink, network_id: str, genesis: str) -> None:
        """Refuse a node of another chain than the one this client met first.

        Raises:
            Refused: ``network_mismatch``, ``genesis_mismatch``.
        """
        key = public_text(link.publickey)
        for target in self.targets:
            if target.publickey != link.publickey:
                continue
            if target.config is not None and target.config.network_id != network_id:
                raise Refused(
                    "network_mismatch",
                    f"{link.url} is of network {network_id}, not {target.config.network_id}",
                    hint="compare network-id in its node.yml with the running node's",
                    network_id=network_id,
                )
            pinned = target.genesis.get(key)
            if pinned is not None and pinned != genesis:
                raise _other_genesis(link, pinned, genesis)
            if target.context is not None:
                pin_genesis(target.context, key, genesis)
        known = None if self._chain is None else self._chain.domain.genesis.hex()
        if known is not None and known != genesis:
            raise _other_genesis(link, known, genesis)

    # Patience.

    async def keep_trying(self, ask: Callable[[], Awaitable[T]], limit_ms: int) -> T:
        """The answer of a node that may not be there yet; the last Unreachable after the time."""
        end_ms = monotonic_ms() + limit_ms
        while True:
            try:
                return await ask()
            except Unreachable:
                if monotonic_ms() + RETRY_MS >= end_ms:
                    raise
            await asyncio.sleep(RETRY_MS / 1000)

    async def until(self, request_of: Callable[[int], object], limit_ms: int, what: str) -> Any:
        """The answer to a request that waits, from nodes that come and go.

        Args:
            request_of: the request that waits so many ms.
            what: what is waited for, for the error.
        Raises:
            TimedOut: ``timeout``.
        """
        end_ms = monotonic_ms() + limit_ms
        problem = "timeout"
        while (left_ms := end_ms - monotonic_ms()) > 0:
            within_ms = min(left_ms, WAIT_CHUNK_MS)
            request = request_of(within_ms)
            try:
                return await self._ask_any(request, within_ms + ANSWER_MARGIN_MS)
            except ZmqnodeError as error:
                if error.code not in NOT_YET:
                    raise
                problem = error.code
            if problem != "timeout":
                await asyncio.sleep(min(RETRY_MS, max(1, end_ms - monotonic_ms())) / 1000)
        raise TimedOut(
            "timeout",
            f"{what}: not within {limit_ms / 1000:g} s",
            hint="wait longer with --timeout; zmqnode node info shows where the node stands",
            last_error=problem,
        )

    async def _ask_any(self, request: object, timeout_ms: int) -> Any:
        return await self.any(lambda link: link.ask(request, timeout_ms))


def _other_genesis(link: NodeLink, pinned: str, genesis: str) -> Refused:
    return Refused(
        "genesis_mismatch",
        f"{link.url} is of another chain than the one met before",
        hint="if the network was made anew, use a new context or client",
        expected=pinned,
        found=genesis,
    )
