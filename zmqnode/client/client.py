"""``Client``: one chain, reached through one or several of its nodes.

What a node says of itself is checked against its keys: the transport proves the identity key that
the target names, the signature of NodeInfo proves the instance.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from zmqnode.base.keys import PrivateKey, parse_public, verify
from zmqnode.base.node_info import node_info_verified
from zmqnode.base.query import (
    WAIT_MS_MAX,
    Committed,
    Condition,
    ConditionAwaited,
    HeadersAsked,
    InfoAsked,
    PeersAsked,
    QueryAsked,
    SealAwaited,
    SuffrageAsked,
)
from zmqnode.base.seal import NONCE_BYTES, SEAL_OPERATIONS_MAX, Seal, make_seal, read_seal
from zmqnode.client import feeds, proofs
from zmqnode.client.answers import (
    BlockHeader,
    BlockInfo,
    NodeInfo,
    PeerInfo,
    QueryAnswer,
    Receipt,
    SealInfo,
    Standing,
    SuffrageInfo,
)
from zmqnode.client.feed_answers import Event, Snapshot
from zmqnode.client.node_link import ANSWER_MARGIN_MS, Chain, NodeLink, monotonic_ms
from zmqnode.client.nodes import Nodes
from zmqnode.client.operating import Operating
from zmqnode.client.submitting import Submitter, receipt_of, rounded
from zmqnode.client.walking import SuffrageWalk, followed
from zmqnode.client.wording import (
    block_asked,
    hash_of,
    height_of,
    in_seconds,
    operation_of,
    some_height,
    state_of,
    until_of,
    with_rtt,
)
from zmqnode.config.target import Target, read_target
from zmqnode.errors import (
    Invalid,
    Malformed,
    Refused,
)

TIMEOUT_MS: Final = 5_000
WAIT_TIMEOUT_MS: Final = 30_000
CLOCK_AHEAD_MS: Final = 2_000  # A sender's clock further ahead than this follows the node's.

Operation = tuple[str, Mapping[str, Any]]


class Client(Operating):
    """Asks the nodes of one chain, and submits operations to it.

    Args:
        targets: urls, folders, names, as on the command line; alternatives. None: its default.
        sign: a reference to the key that signs, as ``--sign``.
        copies: how many nodes get each seal. None: f + 1; 1: the first target that answers.
        timeout_ms: of every call that has no other.
    Raises:
        Invalid, Unreachable: a target that cannot be read (``config.target``).

    Use it as ``async with Client(..) as client``; it connects when it is first asked something.
    """

    def __init__(
        self,
        *targets: str | Path | Target,
        sign: str | None = None,
        copies: int | None = None,
        timeout_ms: int = TIMEOUT_MS,
    ) -> None:
        if copies is not None and copies < 1:
            raise Invalid("usage", "copies is at least 1", hint="None means f + 1")
        if timeout_ms < 1:
            raise Invalid("usage", "timeout_ms is at least 1")
        given = targets or (None,)
        self.targets = tuple(
            one
            if isinstance(one, Target)
            else read_target(None if one is None else str(one), sign=sign)
            for one in given
        )
        self.timeout_ms = timeout_ms
        self._sign = sign
        self._copies = copies
        self._nodes = Nodes(self.targets, timeout_ms)
        self._submitter: Submitter | None = None
        self._written: int | None = None  # The height of the newest receipt.
        self._walk: SuffrageWalk | None = None  # Who may sign, as far as proofs led this client.

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; what is still under way is given up. Again is harmless."""
        if self._submitter is not None:
            self._submitter.close()
        self._nodes.close()

    async def chain(self) -> Chain:
        """The chain behind the targets: domain, schema, parameters; asked once, then kept."""
        return await self._nodes.chain()

    # Asking.

    async def ask(self, request: object, *, timeout_ms: int | None = None) -> Any:
        """The answer message to a request of ``base.query``, from the first target there is."""
        await self.chain()
        limit_ms = timeout_ms or self.timeout_ms
        return await self._nodes.any(lambda link: link.ask(request, limit_ms))

    async def info(self, *, timeout_ms: int | None = None) -> NodeInfo:
        """What a node says of itself; its instance's signature is checked.

        Raises:
            Refused: ``bad_signature``, ``genesis_mismatch``, ``network_mismatch``.
        """
        return await self._nodes.any(lambda link: self._info(link, timeout_ms or self.timeout_ms))

    async def _info(self, link: NodeLink, timeout_ms: int) -> NodeInfo:
        return self._checked(link, await link.told(InfoAsked(), timeout_ms))

    def _checked(self, link: NodeLink, body: dict[str, Any]) -> NodeInfo:
        handover = in_seconds(body.get("handover"))
        info = self._nodes.read(NodeInfo, {**body, "handover": handover})
        try:
            signed = parse_public(info.publickey) == link.publickey and node_info_verified(
                body, parse_public(info.instance), verify
            )
        except Invalid:
            signed = False
        if not signed:
            raise Refused(
                "bad_signature",
                f"the NodeInfo of {link.url} is not signed by the instance it names",
                hint="do not trust this node",
                target=link.text,
            )
        self._nodes.pin(link, info.network_id, info.genesis_hash)
        return info

    async def suffrage(self, height: int | None = None) -> SuffrageInfo:
        """Who may vote at a height, at most the tip + 2; None: at the next one."""
        body = await self._nodes.told(SuffrageAsked(height=some_height(height)))
        return self._nodes.read(SuffrageInfo, body)

    async def peers(self) -> tuple[PeerInfo, ...]:
        """A node's links to other instances."""
        rows = (await self._nodes.told(PeersAsked())).get("peers", [])
        return tuple(self._nodes.read(PeerInfo, with_rtt(row)) for row in rows)

    async def block(self, which: int | str = "last") -> BlockInfo:
        """A block by height, by hash (64 hex digits), or the last one.

        Raises:
            Refused: ``not_found``.
            Invalid: ``usage``, neither of these.
        """
        body = await self._nodes.told(block_asked(which))
        return self._nodes.read(BlockInfo, body)

    async def blocks(
        self, first: int | None = None, last: int | None = None
    ) -> tuple[BlockHeader, ...]:
        """Headers of the blocks first to last; ``last`` None: the newest, ``first`` None: 20."""
        first, last = some_height(first), some_height(last)
        if first is not None and last is not None and first > last:
            text = f"from {first} to {last}: heights out of order"
            raise Invalid("usage", text, first=first, last=last)
        found: list[BlockHeader] = []
        at = first
        while True:
            rows = (await self._nodes.told(HeadersAsked(first=at, last=last))).get("blocks", [])
            page = [self._nodes.read(BlockHeader, row) for row in rows]
            if at is not None and page and page[0].height != at:
                raise self._nodes.first()[0].strange("blocks out of order")
            found += page
            if not page or first is None or (last is not None and page[-1].height >= last):
                return tuple(found)
            at = page[-1].height + 1

    async def query(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        height: int | None = None,
        proof: bool = False,
        timeout_ms: int | None = None,
    ) -> QueryAnswer:
        """Ask the application.

        Args:
            arguments: by name; checked against the application's schema.
            height: wait until the node is there; the answer is of its height then, or later. None:
                at least that of the newest receipt this client was given, so that it finds what
                it wrote, whichever nodes answered.
            proof: check the keys the answer rests on against the genesis hash.
        Raises:
            Refused: ``unknown_query``, ``bad_argument``, ``query_failed``, ``proof_invalid``.
            TimedOut: the node was not at ``height`` in time.
        """
        chain = await self.chain()
        limit_ms = timeout_ms or (self.timeout_ms if height is None else WAIT_TIMEOUT_MS)
        height = self._written if height is None else height_of(height)
        asked = QueryAsked(
            name=name,
            arguments=chain.schema.query(name).positional(arguments or {}),
            height=height,
            proof=proof,
            within_ms=min(limit_ms, WAIT_MS_MAX),
        )

        async def ask(one: NodeLink) -> tuple[NodeLink, dict[str, Any]]:
            return one, await one.told(asked, limit_ms + ANSWER_MARGIN_MS)

        link, body = await self._nodes.any(ask)
        given = body.get("proof")
        answer = self._nodes.read(QueryAnswer, {**body, "proof": None})
        if height is not None and answer.height < height:
            raise link.strange("an answer of a lower height than asked for")
        if given is None:
            return answer
        self._walk = await followed(
            self._walk, given, chain.domain, lambda request: link.told(request, limit_ms)
        )
        return proofs.checked(answer, asked, given, chain, self._walk)

    # Following.

    def follow(self, interval_ms: int = 250) -> AsyncGenerator[Snapshot, None]:
        """Pictures of a node: one at once, then every ``interval_ms`` (100 to 10,000).

        A reader that is behind gets the newest alone. The iteration ends by raising; to go on after
        a lost connection, follow again.

        Raises:
            Unreachable: no target is there; Undecided: the connection was lost.
            Refused: ``rate_limited``, the node has too many feeds; ``bad_signature``.
        """
        return feeds.snapshots(self._nodes, interval_ms, self.timeout_ms, self._checked)

    def events(
        self, *, start: int | None = None, kinds: Sequence[str] = (), follow: bool = True
    ) -> AsyncGenerator[Event, None]:
        """What happens on the chain, in order, without a hole or a repetition.

        A lost connection is made again, to any target; the events go on where they were.

        Args:
            start: from this block on (1 is the first with events); None: from the next one on, or,
                without ``follow``, from the first.
            kinds: of ``block operation handover state evidence``; empty: all. The last two are of
                the node asked and not of the chain: they come as they happen.
            follow: go on with new blocks; else it ends with the newest.
        Raises:
            Unreachable: no target is there, or none came back within a minute.
        """
        return feeds.events(
            self._nodes,
            start=some_height(start),
            kinds=kinds,
            follow=follow,
            timeout_ms=self.timeout_ms,
        )

    # Seals.

    async def make(self, *operations: Operation) -> SealInfo:
        """Sign 1 to 1000 operations ``(name, {argument: value})``; sends nothing.

        Raises:
            Refused: ``unknown_operation``, ``bad_argument``.
            Invalid: ``key_invalid``, no key to sign with; ``usage``, too few or too many.
        """
        seal = await self.sign(*operations)
        return SealInfo(hash=seal.hash.hex(), data=seal.data)

    async def sign(self, *operations: Operation) -> Seal:
        """What :meth:`make` makes, decoded."""
        if not 1 <= len(operations) <= SEAL_OPERATIONS_MAX:
            text = f"a seal has 1 to {SEAL_OPERATIONS_MAX} operations, not {len(operations)}"
            raise Invalid("usage", text)
        chain = await self.chain()
        wire = [
            [name, chain.schema.operation(name).positional(arguments)]
            for name, arguments in map(operation_of, operations)
        ]
        now_ms = time.time_ns() // 1_000_000
        if abs(chain.clock_offset_ms) > CLOCK_AHEAD_MS:
            now_ms += chain.clock_offset_ms
        return make_seal(
            wire,
            created_at_ms=now_ms,
            nonce=os.urandom(NONCE_BYTES),
            key=self._seal_key(),
            domain=chain.domain,
        )

    def _seal_key(self) -> PrivateKey:
        return self.targets[0].seal_key(self._sign)

    async def submit(
        self,
        *operations: Operation | SealInfo | Seal,
        wait: str = "committed",
        timeout_ms: int | None = None,
    ) -> Receipt:
        """Have operations executed by the chain, all in one seal; sent again until answered.

        Args:
            operations: 1 to 1000 of ``(name, {argument: value})``, or one Seal of :meth:`make`.
            wait: ``committed``, or ``accepted``: enough members keep it until it is.
        Returns:
            The receipt; its ``ok`` is false if an operation was undone.
        Raises:
            Refused: a node's judgment; nothing is under way.
            Unreachable: nobody was there in all that time; nothing was sent.
            Undecided: sent, and nobody said what became of it; details ``seal``.
        """
        until = until_of(wait)
        limit_ms = timeout_ms or WAIT_TIMEOUT_MS
        chain = await self._nodes.keep_trying(self.chain, limit_ms)
        seal = await self._seal_of(operations)
        if self._submitter is None:
            self._submitter = Submitter()
        copies = chain.suffrage.f + 1 if self._copies is None else self._copies
        first = self._nodes.first()
        receipt = await self._submitter.submit(
            seal,
            first[:1] if copies > 1 else first,
            [*first[1:], *self._nodes.others] if copies > 1 else [],
            copies=copies,
            until=until,
            timeout_ms=limit_ms,
        )
        if receipt.height is not None:
            self._written = max(self._written or 0, receipt.height)
        return receipt

    async def _seal_of(self, operations: Sequence[Operation | SealInfo | Seal]) -> Seal:
        if len(operations) == 1 and isinstance(operations[0], Seal):
            return operations[0]
        if len(operations) == 1 and isinstance(operations[0], SealInfo):
            return read_seal(operations[0].data)
        plain = [one for one in operations if not isinstance(one, Seal | SealInfo)]
        if len(plain) != len(operations):
            raise Invalid("usage", "submit operations, or one seal alone")
        return await self.sign(*plain)

    # Waiting.

    async def wait_height(self, height: int, *, timeout_ms: int | None = None) -> Standing:
        """Wait until a node has a block."""
        return await self._wait(Condition.HEIGHT, height_of(height), "", timeout_ms)

    async def wait_state(self, state: str, *, timeout_ms: int | None = None) -> Standing:
        """Wait until a node is in a state (``CONSENSUS``, ..)."""
        return await self._wait(Condition.STATE, 0, state_of(state), timeout_ms)

    async def wait_synced(self, *, timeout_ms: int | None = None) -> Standing:
        """Wait until a node follows the chain, at most one block behind."""
        return await self._wait(Condition.SYNCED, 0, "", timeout_ms)

    async def wait_seal(self, seal: str | bytes, *, timeout_ms: int | None = None) -> Receipt:
        """Wait until a block holds a seal; its receipt."""
        began_ms = monotonic_ms()
        hash_ = hash_of(seal if isinstance(seal, str) else seal.hex())

        def asked(within_ms: int) -> object:
            return SealAwaited(seal=hash_, within_ms=within_ms)

        what = f"seal {hash_.hex()} in a block"
        answer = await self._nodes.until(asked, timeout_ms or WAIT_TIMEOUT_MS, what)
        if not isinstance(answer, Committed):
            raise self._nodes.first()[0].strange("another answer than asked for")
        block = await self.block(answer.block_hash.hex())
        names = [one.name for one in block.operations if one.seal == hash_.hex()]
        try:
            return receipt_of(hash_, names, answer, rounded(monotonic_ms() - began_ms))
        except Malformed as error:
            raise self._nodes.first()[0].strange(str(error)) from None

    async def _wait(
        self, condition: Condition, height: int, state: str, timeout_ms: int | None
    ) -> Standing:
        began_ms = monotonic_ms()

        def asked(within_ms: int) -> object:
            return ConditionAwaited(
                condition=condition, height=height, state=state, within_ms=within_ms
            )

        what = {
            Condition.HEIGHT: f"height {height}",
            Condition.STATE: f"state {state}",
            Condition.SYNCED: "a synced node",
        }[condition]
        answer = await self._nodes.until(asked, timeout_ms or WAIT_TIMEOUT_MS, what)
        seconds = rounded(monotonic_ms() - began_ms)
        return self._nodes.read(Standing, {**answer.body, "seconds": seconds})
