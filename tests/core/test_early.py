"""R11: the leader of the next height proposes on its own result, before this one is decided."""

from __future__ import annotations

import pytest

from zmqnode.base.ballot import draw_fact, init_fact
from zmqnode.base.exchange import SealsWanted
from zmqnode.base.params import Params
from zmqnode.base.point import Point
from zmqnode.base.proposal import Proposal, Value
from zmqnode.base.seal import Seal
from zmqnode.core.effects import Effect, Execute, ReportEvidence
from zmqnode.core.records import ProposalSigned

from .harness import Members, Node, asked, commits, facts, of, published, recorded, words

QUIET = Params(empty_block_interval_ms=0)
NEXT = Point(height=2, round=0)


@pytest.fixture
def four() -> Members:
    return Members(4)


class Leader:
    """Member 2 at (1, 0), who leads (2, 0); its pool holds one seal more than value 1 names."""

    def __init__(self, four: Members, *, params: Params = QUIET, more: int = 1) -> None:
        self.members = four
        self.node = Node(four, me=2, params=params)
        self.node.join()
        self.first = four.seal()
        self.more: list[Seal] = [four.seal() for _ in range(more)]
        self.node.pool_seals(self.first, *self.more)
        self.value = four.value(four.genesis, seals=[self.first])

    def certify(self) -> list[Effect]:
        four = self.members
        return self.node.hear(
            four.proposal(1, 0, self.value),
            four.init(0, 1, 0, self.value),
            four.init(1, 1, 0, self.value),
        )

    def early(self) -> Proposal:
        self.certify()
        (proposal,) = published(self.node.executes(self.value), Proposal)
        return proposal


def test_it_proposes_once_the_value_is_certified_and_executed(four: Members) -> None:
    leader = Leader(four)
    assert published(leader.certify(), Proposal) == []
    effects = leader.node.executes(leader.value)
    (proposal,) = published(effects, Proposal)
    assert proposal.point == NEXT
    assert proposal.value.parent == four.block(leader.value)
    assert proposal.value.seals == (leader.more[0].hash,)
    assert (proposal.pr, proposal.justification) == (-1, ())
    assert proposal.value.time_ms > leader.value.time_ms
    said = words(effects)
    assert said.index("record! ProposalSigned") < said.index("publish PROPOSAL 2/0")
    assert said[said.index("record! ProposalSigned") - 1] == "record ValueHeld"  # D5.


def test_not_on_a_result_alone(four: Members) -> None:
    leader = Leader(four)
    leader.node.hear(four.proposal(1, 0, leader.value))
    assert published(leader.node.executes(leader.value), Proposal) == []


def test_not_without_work(four: Members) -> None:
    leader = Leader(four, more=0)
    leader.certify()
    assert published(leader.node.executes(leader.value), Proposal) == []


def test_not_before_the_block_interval_is_over(four: Members) -> None:
    leader = Leader(four, params=Params(block_interval_ms=10_000, empty_block_interval_ms=0))
    leader.node.wait(10_000)
    leader.certify()
    assert published(leader.node.executes(leader.value), Proposal) != []
    hasty = Leader(four, params=Params(block_interval_ms=10_000, empty_block_interval_ms=0))
    hasty.certify()
    assert published(hasty.node.executes(hasty.value), Proposal) == []


def test_it_is_the_proposal_of_the_next_height_once_this_is_decided(four: Members) -> None:
    leader = Leader(four)
    early = leader.early()
    effects = leader.node.hear(*(four.accept(i, 1, 0, leader.value) for i in (0, 1)))
    assert commits(effects) == [1]
    assert init_fact(NEXT, early.value.hash) in facts(effects)
    assert recorded(effects, ProposalSigned) == []
    assert [e.value.hash for e in of(effects, Execute)] == [early.value.hash]


def test_decided_otherwise_it_proposes_again_on_the_right_parent(four: Members) -> None:
    """D1: one per (height, round, parent)."""
    leader = Leader(four)
    early = leader.early()
    other = four.value(four.genesis, time_ms=77)
    vp = four.accept_vp(1, 1, other, (0, 1, 3))
    leader.node.hear(vp)
    leader.node.serve(1, four.full_block(other), vp)
    effects = leader.node.executes(other)
    assert commits(effects) == [1]
    (proposal,) = published(effects, Proposal)
    assert proposal.value.parent == four.block(other)
    assert set(proposal.value.seals) == {leader.first.hash, leader.more[0].hash}
    assert early.value.parent != proposal.value.parent
    assert init_fact(NEXT, early.value.hash) not in facts(effects)


def test_a_restart_sends_the_same_early_proposal(four: Members) -> None:
    leader = Leader(four)
    early = leader.early()
    again = Node(four, me=2, params=QUIET)
    again.join(records=leader.node.journal)
    again.pool_seals(*leader.more, four.seal())
    effects = again.executes(leader.value)
    assert published(effects, Proposal) in ([], [early])
    effects += again.hear(four.accept_vp(1, 0, leader.value, (0, 1, 3)))
    assert {p.signature for p in published(effects, Proposal)} <= {early.signature}
    assert recorded(effects, ProposalSigned) == []


# Those who hear it.


def heard(four: Members, *, seals: tuple[Seal, ...] = ()) -> tuple[Node, Value, Value]:
    """Member 0 at (1, 0) with the early proposal of (2, 0); and both values."""
    node = Node(four, params=QUIET)
    node.join()
    value = four.value(four.genesis)
    following = four.value(four.summary(value, four.accept_vp(1, 0, value)), seals=seals)
    return node, value, following


def test_others_sign_nothing_for_it_before_the_accept_vp(four: Members) -> None:
    node, value, following = heard(four)
    effects = node.hear(four.proposal(2, 0, following))
    effects += node.hear(four.proposal(1, 0, value), four.init_vp(1, 0, value))
    effects += node.executes(value)
    assert {fact.height for fact in facts(effects)} == {1}
    effects = node.hear(four.accept_vp(1, 0, value, (1, 2, 3)))
    assert commits(effects) == [1]
    assert facts(effects)[-1] == init_fact(NEXT, following.hash)


def test_others_prefetch_its_seals_from_the_leader(four: Members) -> None:
    seal = four.seal()
    node, _, following = heard(four, seals=(seal,))
    effects = node.hear(four.proposal(2, 0, following))
    assert asked(effects, SealsWanted) == [(four.instance(2), SealsWanted(seals=(seal.hash,)))]


def test_on_another_parent_it_counts_as_not_sent(four: Members) -> None:
    """No DRAW, no evidence: the leader may have executed what was then not decided."""
    node, value, _ = heard(four)
    other = four.value(four.genesis, time_ms=9)
    early = four.value(four.summary(other, four.accept_vp(1, 0, other)))
    node.hear(four.proposal(2, 0, early))
    node.hear(four.proposal(1, 0, value))
    effects = node.executes(value)
    effects += node.hear(four.accept_vp(1, 0, value, (1, 2, 3)))
    assert commits(effects) == [1]
    following = node.next_value()
    effects += node.hear(four.proposal(2, 0, early))
    effects += node.hear(four.proposal(2, 0, following, reasons=node.parent_vp()))
    assert of(effects, ReportEvidence) == []
    assert draw_fact(NEXT) not in facts(effects)
    assert facts(effects)[-1] == init_fact(NEXT, following.hash)


def test_only_the_leader_may(four: Members) -> None:
    node, value, following = heard(four)
    node.hear(four.proposal(3, 0, following))
    node.hear(four.proposal(1, 0, value))
    node.executes(value)
    effects = node.hear(four.accept_vp(1, 0, value, (1, 2, 3)))
    assert commits(effects) == [1]
    assert init_fact(NEXT, following.hash) not in facts(effects)


def test_what_it_named_is_kept_until_that_height_is_over(four: Members) -> None:
    """Goal: the proposer can judge its own value, whatever the pool drops (seed 140517).

    Method: the seal of the early value leaves the pool before the height it was proposed for.
    """
    leader = Leader(four)
    proposal = leader.early()
    leader.node.kernel.pool.expire(leader.node.clock_ms + QUIET.seal_ttl_ms + 60_000)
    assert not len(leader.node.kernel.pool)
    effects = leader.node.hear(
        four.accept(0, 1, 0, leader.value), four.accept(1, 1, 0, leader.value)
    )
    assert commits(effects) == [1]
    assert init_fact(NEXT, proposal.value.hash) in facts(leader.node.effects)
