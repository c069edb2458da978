"""Proofs across handovers: a client follows who may sign, change by change, from genesis on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.fake_node import FakeChain, FakeNode, loopback_ports, served
from zmqnode.base.ballot import sign_ballot
from zmqnode.base.codec import encode
from zmqnode.base.handover_query import CHANGES_ASKED_MAX, ChangesAsked
from zmqnode.base.query import SuffrageAsked
from zmqnode.base.suffrage import Suffrage
from zmqnode.base.voteproof import certify
from zmqnode.client import Client
from zmqnode.client.walking import SuffrageWalk, followed
from zmqnode.errors import Refused
from zmqnode.runtime import queries, showing
from zmqnode.runtime.telling import told_list


def after_handovers(count: int, ports: list[int] | None = None) -> FakeChain:
    """``count`` planned handovers, each acknowledged; one member after the other."""
    chain = FakeChain(ports=ports)
    for number in range(count):
        index = number % 4
        chain.commit([chain.handover(index, chain.new_instance(number))])
        chain.commit()
        chain.commit([chain.ack(index)])
        chain.commit()
        chain.commit()  # The slot is free for another address f + 1 blocks later.
    chain.commit([chain.seal()])
    return chain


class Told:
    """What a node would tell; every request is written down."""

    def __init__(self, chain: FakeChain) -> None:
        self.node = FakeNode(chain)
        self.asked: list[object] = []
        self.hidden = False

    async def __call__(self, request: object) -> dict[str, Any]:
        self.asked.append(request)
        if isinstance(request, SuffrageAsked):
            assert request.height is not None
            row = showing.suffrage_row(self.node, request.height)
            assert row is not None
            return row
        assert isinstance(request, ChangesAsked)
        heights = self.node.suffrage_changes(request.after, CHANGES_ASKED_MAX)
        changes = []
        for height in heights:
            stored = self.node.stored(height)
            assert stored is not None
            changes.append(showing.change(self.node, height, stored))
        return {"changes": [] if self.hidden else changes}

    def proof(self, height: int) -> dict[str, Any]:
        """The part of a query's proof that says who signed."""
        block, genesis = self.node.block(height), self.node.block(0)
        stored = self.node.stored(height)
        assert block is not None and genesis is not None and stored is not None
        return {
            "manifest": encode(block.manifest),
            "accept_voteproof": stored.accept_vp,
            "genesis": encode(genesis.manifest),
            "suffrage": showing.member_rows(self.node.suffrage(max(1, height))),
        }

    def followed(self, height: int, walk: SuffrageWalk | None = None) -> SuffrageWalk:
        domain = self.node.chain.domain
        return asyncio.run(followed(walk, self.proof(height), domain, self))


def test_every_height_gets_its_own_suffrage() -> None:
    chain = after_handovers(3)
    told = Told(chain)
    walk = told.followed(chain.tip)
    for height in range(1, chain.tip + 3):
        assert walk.at(height) == chain.suffrage_at(height), height
    assert walk.last_change == 11


def test_nothing_is_asked_where_nothing_changed() -> None:
    chain = after_handovers(1)
    told = Told(chain)
    walk = told.followed(2)
    assert told.asked == [], "the first suffrage is still in force at 2"
    assert told.followed(chain.tip, walk) is walk
    assert told.asked == [ChangesAsked(after=0)]
    told.followed(chain.tip, walk)
    told.followed(1, walk)
    assert len(told.asked) == 1, "what was followed once is known"


def test_many_changes_come_in_pages() -> None:
    chain = after_handovers(2 * CHANGES_ASKED_MAX + 1)
    told = Told(chain)
    walk = told.followed(chain.tip)
    assert [one.after for one in told.asked if isinstance(one, ChangesAsked)] == [
        0,
        1 + 5 * (CHANGES_ASKED_MAX - 1),
        1 + 5 * (2 * CHANGES_ASKED_MAX - 1),
    ]
    assert walk.at(chain.tip) == chain.suffrage


def test_a_change_that_is_hidden_forged_or_out_of_order_is_not_taken() -> None:
    chain = after_handovers(3)
    told = Told(chain)
    asyncio.run(told(ChangesAsked(after=0)))
    genesis = chain.block(0)
    assert genesis is not None

    def fresh() -> SuffrageWalk:
        return SuffrageWalk(chain.domain, genesis.manifest, chain.genesis.suffrage)

    def parts(height: int) -> tuple[Any, bytes, Suffrage]:
        block, stored = told.node.block(height), told.node.stored(height)
        assert block is not None and stored is not None
        return block.manifest, stored.accept_vp, chain.suffrage_at(height + 2)

    one, two = parts(1), parts(6)
    walk = fresh()
    walk.take(*one)
    for wrong in (one, parts(2), (*two[:2], one[2]), (two[0], one[1], two[2])):
        with pytest.raises(Refused, match="proof_invalid"):
            walk.take(*wrong)
    assert walk.last_change == 1
    with pytest.raises(Refused, match="proof_invalid"):
        fresh().take(*two)  # Its voteproof is of instances that the hidden change brought.
    old = [(one, chain.genesis.suffrage.by_address[one.address]) for one in two[2].members]
    fact = chain.accepts[6].fact
    ballots = [sign_ballot(fact, m.address, m.epoch, chain.signer_of(m.instance)) for _, m in old]
    replayed = encode(certify(fact, {ballot.address: ballot.signature for ballot in ballots}))
    with pytest.raises(Refused, match="proof_invalid"):
        walk.take(two[0], replayed, two[2])
    walk.take(*two)


def test_a_query_is_proven_across_handovers_and_forged_suffrages_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Goal: no suffrage but the one that follows from genesis. Method: a lying node's walks."""
    chain = after_handovers(2, loopback_ports(4))
    lies = {
        "hidden": lambda view, asked: (),
        "from the second": lambda view, asked: view.suffrage_changes(max(1, asked.after), 16),
        "no change": lambda view, asked: (chain.tip,),
    }

    async def scene() -> None:
        async with served(FakeNode(chain)) as node:
            for lie in lies.values():
                monkeypatch.setattr(queries, "changes_told", _lying(lie))
                async with Client(chain.target()) as client:
                    with pytest.raises(Refused) as refused:
                        await client.query("get", {"key": "k"}, proof=True)
                    assert refused.value.code == "proof_invalid"
            monkeypatch.undo()
            async with Client(chain.target()) as client:
                answer = await client.query("get", {"key": "k"}, proof=True)
                assert answer.result == b"v"
                assert answer.proof is not None
                assert (answer.proof.verified, answer.proof.result_checked) == (True, True)
                node.commit()
                node.commit([chain.handover(2, chain.new_instance(9))])
                node.commit()
                node.commit()
                again = await client.query("get", {"key": "k"}, proof=True)
                assert again.proof is not None
                assert again.height == answer.height + 4

    asyncio.run(asyncio.wait_for(scene(), 60))


def _lying(heights: Any) -> Any:
    def changes(view: Any, asked: ChangesAsked) -> Any:
        rows = [
            showing.change(view, height, view.stored(height)) for height in heights(view, asked)
        ]
        return told_list({}, "changes", rows, 1)

    return changes
