"""The node's side of the door: reads requests, answers them from a view, lets some wait.

:class:`Queries` implements the door's hooks. It owns no socket and no clock: what it sends goes
through :class:`Replies`, time comes with the view or as an argument, so tests need neither. The
node tells it four things: a block was committed, the state changed, a seal was judged by the core,
and, every 100 ms or so, what time it is.

What a stranger can cost is bounded here: a request has one answer, a listing has a page, a proof a
number of keys, a wait a deadline; seals already in a block are known by their hash and not
checked again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final, Protocol, assert_never

from zmqnode.app import Schema
from zmqnode.base.block import Block
from zmqnode.base.codec import encode
from zmqnode.base.exchange import NodeState
from zmqnode.base.feed import EventsFollowed, FeedCancelled, FeedRequest, StateFollowed
from zmqnode.base.handover_query import (
    ChangesAsked,
    HandoversAsked,
    SessionAsked,
)
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import public_text, verify
from zmqnode.base.query import (
    Accepted,
    Answer,
    BlockAsked,
    ChainAsked,
    ChallengeAsked,
    Committed,
    Condition,
    ConditionAwaited,
    ControlAsked,
    HeadersAsked,
    InfoAsked,
    PeersAsked,
    QueryAsked,
    RawBlocksAsked,
    Request,
    SealAwaited,
    SealSubmitted,
    SuffrageAsked,
    Until,
    failed,
    read_request,
    told,
)
from zmqnode.base.seal import read_seal, seal_hash
from zmqnode.errors import Invalid, Malformed, Refused, TimedOut, ZmqnodeError
from zmqnode.network.gate import Fault, Strike
from zmqnode.runtime import showing
from zmqnode.runtime.control import Control
from zmqnode.runtime.feeds import Feeds
from zmqnode.runtime.handovers import Handovers
from zmqnode.runtime.listing import (
    block_told,
    changes_told,
    headers_told,
    raw_blocks,
    stored_block,
)
from zmqnode.runtime.telling import Soon, Tellings
from zmqnode.runtime.view import NodeView, StoredBlock
from zmqnode.runtime.waiting import Route, Waiter, Waiters

PROOF_KEYS_MAX: Final = 256
SYNCED_LAG_MAX: Final = 1


class Replies(Protocol):
    """Where answers go: the door."""

    def answer(self, route: Any, payload: bytes) -> bool:
        """The one answer to a request; False if its client is gone."""


class Queries:
    """Answers one node's clients."""

    def __init__(self, view: NodeView, replies: Replies, soon: Soon | None = None) -> None:
        self.view = view
        self.waiters = Waiters()
        self.feeds: Feeds | None = None  # Of the node that has any; set before the first request.
        self.handovers: Handovers | None = None  # As feeds.
        self._replies = replies
        self.tellings = Tellings(replies.answer, soon)
        self._control = Control(view)

    @cached_property
    def schema(self) -> Schema:
        """The application's, built once."""
        return self.view.app.schema

    # What the door tells.

    def client_request(self, client: bytes, route: Route, payload: bytes) -> Strike | None:
        """Answer a request, or let it wait. ``client`` is the 32-byte CURVE key of its sender."""
        try:
            request: Request = read_request(payload)
        except Malformed as error:
            self._send(route, failed(Refused("bad_argument", f"no request: {error}")))
            return Strike(fault=Fault.MALFORMED, detail=str(error))
        try:
            answer = self._answer(client, route, request)
        except ZmqnodeError as error:
            answer = failed(error)
        if answer is not None:
            self._send(route, answer)
        return None

    def client_gone(self, session: object) -> None:
        """A connection ended: nobody waits for its answers any more."""
        self.waiters.leave(session)
        if self.feeds is not None:
            self.feeds.leave(session)
        self.tellings.leave(session)

    # What the node tells.

    def seal_judged(self, token: object, seal: Hash, code: str | None, message: str = "") -> None:
        """The core took a client's seal into the pool (``code`` None), or why not."""
        assert isinstance(token, Waiter)
        if code is not None:
            if self.waiters.take(token):
                refused = Refused(code, message or f"the seal was refused: {code}", seal=seal.hex())
                self._send(token.route, failed(refused))
        elif token.accepted and self.waiters.take(token):
            self._send(token.route, Accepted(seal=seal))

    def committed(self, block: Block) -> None:
        """A block is committed and can be read."""
        for seal, results in zip(block.seals, block.results, strict=True):
            waiting = self.waiters.take_seal(seal.hash)
            if not waiting:
                continue
            answer = Committed(
                seal=seal.hash, height=block.height, block_hash=block.hash, results=results
            )
            payload = encode(answer)
            for waiter in waiting:
                self._replies.answer(waiter.route, payload)
        self.changed()
        if self.feeds is not None:
            self.feeds.committed()

    def changed(self) -> None:
        """State or height changed: whoever waited for that is answered."""
        for waiter in self.waiters.take_met():
            self._answer_waiter(waiter)

    def tick(self, now_ms: int) -> None:
        """Answer those whose time is over; ``now_ms`` as ``view.clock_ms()``."""
        for waiter in self.waiters.take_expired(now_ms):
            if waiter.late:
                self._answer_waiter(waiter)
            else:
                self._send(waiter.route, failed(_out_of_time(waiter)))

    def _answer_waiter(self, waiter: Waiter) -> None:
        assert waiter.answer is not None
        try:
            answer = waiter.answer()
        except ZmqnodeError as error:
            answer = failed(error)
        if answer is not None:  # Else it went elsewhere.
            self._send(waiter.route, answer)

    def _send(self, route: Route, answer: Any) -> None:
        self._replies.answer(route, encode(answer))

    # One request.

    def _answer(self, client: bytes, route: Route, request: Request) -> Answer | None:
        match request:
            case SealSubmitted():
                return self._submit(route, request)
            case SealAwaited():
                return self._await_seal(route, request)
            case ConditionAwaited():
                return self._await_condition(route, request)
            case QueryAsked():
                return self._query(route, request)
            case ChainAsked():
                return told(self._chain())
            case InfoAsked():
                return told(showing.node_info(self.view))
            case SuffrageAsked():
                return told(self._suffrage(request.height))
            case PeersAsked():
                return told({"peers": [showing.peer_row(one) for one in self.view.peers()]})
            case BlockAsked():
                self.tellings.begin(route, block_told(self.view, self.schema, request))
            case HeadersAsked():
                self.tellings.begin(route, headers_told(self.view, request))
            case RawBlocksAsked():
                return raw_blocks(self.view, request)
            case ChallengeAsked():
                return self._control.challenge(client)
            case ControlAsked():
                return self._control.obey(client, request, _Later(self, route))
            case StateFollowed() | EventsFollowed() | FeedCancelled():
                return self._feed(client, route, request)
            case ChangesAsked():
                self.tellings.begin(route, changes_told(self.view, request))
            case SessionAsked() | HandoversAsked():
                return self._handover(route, request)
            case _:
                assert_never(request)
        return None

    def _feed(self, client: bytes, route: Route, request: FeedRequest) -> Answer | None:
        if self.feeds is None:
            raise Refused("wrong_state", "this node pushes nothing")
        return self.feeds.take(client, route, request)

    @property
    def control(self) -> Control:
        """Who may change this node, and how."""
        return self._control

    def _handover(self, route: Route, request: SessionAsked | HandoversAsked) -> Answer | None:
        shown = self.handovers
        if shown is None:
            raise Refused("wrong_state", "this node shows no handovers")
        if isinstance(request, HandoversAsked):
            return shown.history(request.address)
        after = request.after
        if after is None or shown.serial > after:
            return shown.told()
        met = lambda: shown.serial > after  # noqa: E731
        _Later(self, route).until(met, shown.told, request.within_ms)
        return None

    def _chain(self) -> dict[str, Any]:
        domain = self.view.signer.domain
        return {
            "network_id": domain.network_id,
            "genesis_hash": domain.genesis.hex(),
            "address": self.view.address,
            "instance": public_text(self.view.signer.public),
            "app": self.schema.to_wire(),
            "params": self.view.params.named(),
            "suffrage": showing.suffrage_row(self.view, self.view.tip + 1),
            "height": self.view.tip,
            "clock_ms": self.view.clock_ms(),
        }

    def _suffrage(self, height: int | None) -> dict[str, Any]:
        asked = self.view.tip + 1 if height is None else height
        row = showing.suffrage_row(self.view, asked) if asked else None
        if row is None:
            raise Refused(
                "not_found",
                f"the suffrage of height {asked} is not known here",
                hint=f"ask for a height from 1 to {self.view.tip + 2}",
                height=asked,
            )
        return row

    # Queries of the application.

    def _query(self, route: Route, asked: QueryAsked) -> Answer | None:
        view = self.view
        if asked.height is not None and view.tip < asked.height:
            wanted = asked.height
            self._wait(
                Waiter(
                    route=route,
                    deadline_ms=view.clock_ms() + asked.within_ms,
                    met=lambda: view.tip >= wanted,
                    answer=lambda: self._answer_query(asked),
                )
            )
            return None
        return self._answer_query(asked)

    def _answer_query(self, asked: QueryAsked) -> Answer:
        view = self.view
        found = view.app.answer(asked.name, asked.arguments, view.read, view.scan)
        stored = stored_block(view, view.tip)
        manifest, _, _ = showing.read_outline(stored.block)
        proof = None
        if asked.proof and not found.scanned:
            proof = self._proof(found.keys, stored)
        return told(
            {
                "name": asked.name,
                "result": found.result,
                "type": found.type,
                "height": view.tip,
                "block_hash": manifest.hash.hex(),
                "state_root": manifest.state_root.hex(),
                "proof": proof,
            }
        )

    def _proof(self, keys: Sequence[bytes], stored: StoredBlock) -> dict[str, Any]:
        """What a client needs to check the keys read, from the genesis hash alone it pinned."""
        if len(keys) > PROOF_KEYS_MAX:
            raise Refused(
                "query_failed",
                f"the query reads {len(keys)} keys; a proof covers at most {PROOF_KEYS_MAX}",
                hint="ask without --proof, or for less",
            )
        view = self.view
        manifest, _, _ = showing.read_outline(stored.block)
        genesis, _, _ = showing.read_outline(stored_block(view, 0).block)
        return {
            "manifest": encode(manifest),
            "accept_voteproof": stored.accept_vp,
            "genesis": encode(genesis),
            "suffrage": showing.member_rows(view.suffrage(max(1, view.tip))),
            "keys": [[key, view.read(key), view.prove(key).to_wire()] for key in keys],
        }

    # What waits.

    def _wait(self, waiter: Waiter) -> None:
        self.waiters.add(waiter)

    def _submit(self, route: Route, asked: SealSubmitted) -> Answer | None:
        view = self.view
        size, most = len(asked.seal), view.params.seal_bytes_max
        if size > most:
            raise Refused(
                "seal_too_large",
                f"the seal has {size} bytes; this chain takes {most}",
                hint="put fewer operations into one seal",
                size_bytes=size,
            )
        found = self._receipt(seal_hash(asked.seal))
        if found is not None:
            return found
        try:
            seal = read_seal(asked.seal)
        except Malformed as error:
            raise Refused("seal_malformed", f"this is no seal: {error}") from None
        if not seal.verified(view.signer.domain, verify):
            raise Refused(
                "bad_signature",
                "the seal's signature is not its sender's, for this chain",
                hint="make the seal anew with a target of this network",
                seal=seal.hash.hex(),
            )
        view.app.admit(seal.sender, seal.operations)
        waiter = Waiter(
            route=route,
            deadline_ms=view.clock_ms() + asked.within_ms,
            seal=seal.hash,
            accepted=asked.until is Until.ACCEPTED,
        )
        self._wait(waiter)
        view.take_seal(seal, waiter)
        return None

    def _await_seal(self, route: Route, asked: SealAwaited) -> Answer | None:
        found = self._receipt(asked.seal)
        if found is None:
            deadline_ms = self.view.clock_ms() + asked.within_ms
            self._wait(Waiter(route=route, deadline_ms=deadline_ms, seal=asked.seal))
        return found

    def _receipt(self, seal: Hash) -> Committed | None:
        """What became of a seal, if a block holds it."""
        height = self.view.seal_height(seal)
        block = None if height is None else self.view.block(height)
        if block is None:
            return None
        for one, results in zip(block.seals, block.results, strict=True):
            if one.hash == seal:
                return Committed(
                    seal=seal, height=block.height, block_hash=block.hash, results=results
                )
        raise AssertionError("the index names a block without the seal")

    def _await_condition(self, route: Route, asked: ConditionAwaited) -> Answer | None:
        view = self.view
        if asked.condition is Condition.STATE and asked.state not in NodeState.__members__:
            known = ", ".join(NodeState.__members__)
            raise Invalid("usage", f"{asked.state!r} is no state of a node", hint=f"one of {known}")

        def met() -> bool:
            match asked.condition:
                case Condition.HEIGHT:
                    return view.tip >= asked.height
                case Condition.STATE:
                    return view.state.name == asked.state
                case Condition.SYNCED:
                    following = view.state in (NodeState.CONSENSUS, NodeState.SYNCING)
                    return following and view.tip_known - view.tip <= SYNCED_LAG_MAX
                case _:
                    assert_never(asked.condition)

        if met():
            return self._standing()
        deadline_ms = view.clock_ms() + asked.within_ms
        self._wait(Waiter(route=route, deadline_ms=deadline_ms, met=met, answer=self._standing))
        return None

    def _standing(self) -> Answer:
        role, epoch = showing.role_of(self.view)
        return told(
            {
                "ok": True,
                "state": self.view.state.name,
                "role": role,
                "epoch": epoch,
                "height": self.view.tip,
            }
        )


class _Later:
    """How a command's answer gets to its client later (orders.Later)."""

    def __init__(self, queries: Queries, route: Route) -> None:
        self._queries = queries
        self._route = route

    def until(
        self, met: Callable[[], bool], answer: Callable[[], Answer | None], within_ms: int
    ) -> None:
        deadline_ms = self._queries.view.clock_ms() + within_ms
        waiter = Waiter(
            route=self._route, deadline_ms=deadline_ms, met=met, answer=answer, late=True
        )
        self._queries._wait(waiter)

    def reply(self, answer: Answer) -> None:
        self._queries._send(self._route, answer)


def _out_of_time(waiter: Waiter) -> ZmqnodeError:
    if waiter.seal is not None:
        text = f"seal {waiter.seal.hex()} is in no block yet"
        return TimedOut("timeout", text, hint="ask again", seal=waiter.seal.hex())
    return TimedOut("timeout", "the condition was not met in time", hint="ask again")
