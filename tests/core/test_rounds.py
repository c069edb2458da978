"""R0 to R7 of DESIGN.md section 3, rule by rule: one machine, the other members by hand."""

from __future__ import annotations

import pytest

from zmqnode.base.ballot import Ballot, accept_fact, draw_fact, init_fact
from zmqnode.base.exchange import NodeState, SealsWanted, VotesWanted
from zmqnode.base.hashes import tagged
from zmqnode.base.point import Point, Stage
from zmqnode.base.proposal import Proposal, Value
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.effects import Commit, Execute, ReportEvidence
from zmqnode.core.events import ExecutionFailed, SealsReceived
from zmqnode.core.records import CertificateHeld, ExecutionBegun, ValueHeld

from .harness import (
    Members,
    Node,
    asked,
    broken,
    commits,
    facts,
    of,
    published,
    recorded,
    words,
)

# With D = 250, build = 50, execution = 250: t_l(0) = 550, t_a(0) = 1050, t_n(0) = 750, t_r = 375.
T_L, T_A, T_N, T_R = 550, 1050, 750, 375


def point(height: int, round_: int = 0) -> Point:
    return Point(height=height, round=round_)


@pytest.fixture
def four() -> Members:
    return Members(4)


@pytest.fixture
def node(four: Members) -> Node:
    """Member 0 at (1, 0), whose leaders are 1, 2, 3, 0."""
    node = Node(four)
    node.join()
    return node


@pytest.fixture
def value(four: Members) -> Value:
    return four.value(four.genesis)


# The height as it should go.


def test_a_height_goes_init_execute_accept_commit(four: Members, node: Node, value: Value) -> None:
    """Goal: R2, R3, R7, D1, D5, D7 in their order. Method: whole lists of effects."""
    assert words(node.hear(four.proposal(1, 0, value))) == [
        "record ValueHeld",
        "record! INIT 1/0",
        "record ExecutionBegun",
        "publish INIT 1/0",
        "execute",
    ]
    assert words(node.hear(four.init(1, 1, 0, value))) == []
    assert words(node.hear(four.init(2, 1, 0, value))) == []
    assert words(node.executes(value)) == [
        "record CertificateHeld",
        "record! ACCEPT 1/0",
        "publish ACCEPT 1/0",
    ]
    assert words(node.hear(four.accept(1, 1, 0, value))) == []
    assert words(node.hear(four.accept(2, 1, 0, value))) == ["record CertificateHeld", "commit 1"]


def test_the_commit_names_block_and_certificates(four: Members, node: Node, value: Value) -> None:
    node.hear(four.proposal(1, 0, value), four.init(1, 1, 0, value), four.init(2, 1, 0, value))
    node.executes(value)
    effects = node.hear(four.accept(1, 1, 0, value), four.accept(3, 1, 0, value))
    (commit,) = of(effects, Commit)
    assert (commit.height, commit.parent, commit.value) == (1, four.genesis.hash, value.hash)
    assert commit.block == four.block(value)
    assert commit.accept == four.accept_vp(1, 0, value, (0, 1, 3))
    assert commit.init == four.init_vp(1, 0, value, (0, 1, 2))


@pytest.mark.parametrize("n", [1, 4, 7])
def test_exactly_q_votes_decide(n: int) -> None:
    """Goal: not q - 1. Method: votes one by one, the machine's own included."""
    members = Members(n)
    node = Node(members)
    effects = node.join()
    if n == 1:
        effects = node.executes(published(effects, Proposal)[0].value)
        assert commits(effects) == [1]
        return
    value = members.value(members.genesis)
    node.hear(members.proposal(1, 0, value))
    node.executes(value)
    for i in range(1, members.q - 1):
        assert facts(node.hear(members.init(i, 1, 0, value))) == []
    last = members.q - 1
    assert facts(node.hear(members.init(last, 1, 0, value))) == [
        accept_fact(point(1), value.hash, members.block(value))
    ]
    for i in range(1, members.q - 1):
        assert commits(node.hear(members.accept(i, 1, 0, value))) == []
    assert commits(node.hear(members.accept(last, 1, 0, value))) == [1]


# R0: entering.


def test_r0_a_later_round_logs_and_broadcasts_its_certificate_once(
    four: Members, node: Node
) -> None:
    vp = four.draw_vp(1, 0, (1, 2, 3))
    effects = node.hear(vp)
    assert recorded(effects, CertificateHeld) == [CertificateHeld(voteproof=vp)]
    assert published(effects, Voteproof) == [vp]
    assert node.machine.consensus.votes.point == point(1, 1)
    assert words(node.hear(vp)) == []


def test_r0_any_later_certificate_leads_there(four: Members, node: Node, value: Value) -> None:
    node.hear(four.draw_vp(1, 6))
    assert node.machine.consensus.votes.round == 7
    node.hear(four.init_vp(1, 9, value))
    assert node.machine.consensus.votes.round == 9
    node.hear(four.draw_vp(1, 4))
    assert node.machine.consensus.votes.round == 9


def test_r0_round_timers_start_anew(four: Members, node: Node) -> None:
    node.wait(T_L - 10)
    node.hear(four.draw_vp(1, 0, (1, 2, 3)))
    # t_l(1) = (2 * 250 + 50) * 3/2 = 825.
    assert facts(node.wait(824)) == []
    assert draw_fact(point(1, 1)) in facts(node.wait(1))


# R1: what a leader proposes.


def led(four: Members, me: int = 2) -> Node:
    """The leader of (1, 1)."""
    node = Node(four, me=me)
    node.join()
    return node


def test_r1_a_fresh_value_after_a_drawn_round(four: Members) -> None:
    node = led(four)
    draw = four.draw_vp(1, 0, (0, 1, 3))
    (proposal,) = published(node.hear(draw), Proposal)
    assert (proposal.round, proposal.pr, proposal.justification) == (1, -1, (draw,))


def test_r1_the_highest_certified_value_is_proposed_again(four: Members, value: Value) -> None:
    node = led(four)
    vp = four.init_vp(1, 0, value, (0, 1, 3))
    node.hear(four.proposal(1, 0, value), vp)
    effects = node.hear(four.draw_vp(1, 0, (0, 1, 3)))
    (proposal,) = published(effects, Proposal)
    assert (proposal.value, proposal.pr) == (value, 0)
    # n = 4, f = 1: DRAW VP(1, 0) needs no place in J, only those with pr < k < r do.
    assert proposal.justification[0].fact == vp.fact
    assert len(proposal.justification) == 1


def test_r1_draws_after_pr_are_in_j(four: Members, value: Value) -> None:
    node = led(four, me=3)  # Leads (1, 2).
    node.hear(four.proposal(1, 0, value), four.init_vp(1, 0, value))
    draw = four.draw_vp(1, 1, (0, 1, 2))
    (proposal,) = published(node.hear(draw), Proposal)
    assert (proposal.round, proposal.pr) == (2, 0)
    assert [vp.fact for vp in proposal.justification] == [
        init_fact(point(1, 0), value.hash),
        draw_fact(point(1, 1)),
    ]


def test_r1_what_drew_and_cannot_be_executed_is_dropped_with_its_seals(four: Members) -> None:
    """Goal: a value that stops every node does not stop the chain."""
    node = led(four)
    seal, other = four.seal(), four.seal()
    node.pool_seals(seal, other)
    value = four.value(four.genesis, seals=[seal])
    node.hear(four.proposal(1, 0, value), four.init(0, 1, 0, value), four.init(1, 1, 0, value))
    assert facts(node.wait(T_A))[-1] == draw_fact(point(1, 0))  # t_a: not executed in time.
    (proposal,) = published(node.hear(four.draw_vp(1, 0)), Proposal)
    assert proposal.pr == -1
    assert proposal.value.seals == (other.hash,)


def test_r1_a_drawn_value_that_was_executed_is_proposed_again(four: Members, value: Value) -> None:
    node = led(four)
    node.hear(four.proposal(1, 0, value), four.init_vp(1, 0, value))
    node.executes(value)
    (proposal,) = published(node.hear(four.draw_vp(1, 0, (0, 1, 3))), Proposal)
    assert (proposal.value, proposal.pr) == (value, 0)


def test_r1_missing_pieces_are_waited_for_half_of_t_l(four: Members, value: Value) -> None:
    """The certified value is not here: pulled, then DRAW at t_l(1) / 2 = 412."""
    node = led(four)
    effects = node.hear(four.init_vp(1, 0, value, (0, 1, 3)), four.draw_vp(1, 0, (0, 1, 3)))
    assert published(effects, Proposal) == []
    assert draw_fact(point(1, 1)) not in facts(node.wait(411))
    assert draw_fact(point(1, 1)) in facts(node.wait(1))


# R2: proposals.


def test_r2_init_leaves_before_execution_starts(four: Members, node: Node, value: Value) -> None:
    effects = node.hear(four.proposal(1, 0, value))
    assert words(effects).index("publish INIT 1/0") < words(effects).index("execute")


def test_r2_only_the_leader_is_heard(four: Members, node: Node, value: Value) -> None:
    assert words(node.hear(four.proposal(2, 0, value))) == []
    assert words(node.hear(four.proposal(1, 0, value, epoch=1))) == []


def test_r2_a_forged_proposal_is_nothing(four: Members, node: Node, value: Value) -> None:
    true = four.proposal(1, 0, value)
    other = four.proposal(1, 0, four.value(four.genesis, time_ms=5))
    fields = {name: getattr(true, name) for name in Proposal.__dataclass_fields__}
    assert words(node.hear(Proposal(**(fields | {"signature": other.signature})))) == []
    assert facts(node.hear(true)) == [init_fact(point(1), value.hash)]


def test_r2_a_second_different_proposal_is_evidence_once(
    four: Members, node: Node, value: Value
) -> None:
    first = four.proposal(1, 0, value)
    second = four.proposal(1, 0, four.value(four.genesis, time_ms=77))
    third = four.proposal(1, 0, four.value(four.genesis, time_ms=78))
    node.hear(first)
    assert node.hear(second, first, third) == [ReportEvidence(first=first, second=second)]


def test_r2_an_invalid_value_gets_a_draw(four: Members, node: Node) -> None:
    value = four.value(four.genesis, time_ms=0)  # Not after its parent.
    assert facts(node.hear(four.proposal(1, 0, value))) == [draw_fact(point(1))]


@pytest.mark.parametrize("case", ["none", "another value", "too few", "gap", "forged", "extra"])
def test_r2_an_unjustified_proposal_gets_a_draw(four: Members, node: Node, case: str) -> None:
    """Goal: J must hold every clause. Method: (1, 2) of leader 3, one thing wrong at a time."""
    value = four.value(four.genesis)
    other = four.value(four.genesis, time_ms=9)
    init, draw = four.init_vp(1, 0, value), four.draw_vp(1, 1, (1, 2, 3))
    false = Voteproof(
        fact=init.fact, signatures=tuple((address, bytes(64)) for address, _ in init.signatures)
    )
    reasons = {
        "none": (),
        "another value": (four.init_vp(1, 0, other), draw),
        "too few": (four.init_vp(1, 0, value, (1, 2)), draw),
        "gap": (init,),
        "forged": (false, draw),
        "extra": (init, draw, four.draw_vp(1, 0)),
    }[case]
    node.hear(draw)
    effects = node.hear(four.proposal(3, 2, value, reasons=reasons, pr=0))
    assert facts(effects) == [draw_fact(point(1, 2))]


def test_r2_a_justified_proposal_of_a_later_round_gets_init(four: Members, node: Node) -> None:
    value = four.value(four.genesis)
    init, draw = four.init_vp(1, 0, value), four.draw_vp(1, 1, (1, 2, 3))
    proposal = four.proposal(3, 2, value, reasons=(init, draw), pr=0)
    # Its own J leads this node to the round.
    assert facts(node.hear(proposal)) == [init_fact(point(1, 2), value.hash)]


def test_r2_a_justification_that_decides_the_height_ends_it(four: Members, node: Node) -> None:
    """A leader may put anything into J; after the first certificate here no height is left."""
    value = four.value(four.genesis)
    node.hear(four.proposal(1, 0, value))
    node.executes(value)
    vp = four.accept_vp(1, 0, value, (1, 2, 3))
    reasons = [vp, four.draw_vp(1, 0), four.accept_vp(1, 0, value)]
    effects = node.hear(four.proposal(2, 1, value, reasons=reasons, pr=0))
    assert commits(effects) == [1]


def test_r2_missing_seals_are_pulled_from_the_leader_and_waited_for(
    four: Members, node: Node
) -> None:
    seal = four.seal()
    value = four.value(four.genesis, seals=[seal])
    effects = node.hear(four.proposal(1, 0, value))
    assert facts(effects) == []
    assert asked(effects, SealsWanted) == [(four.instance(1), SealsWanted(seals=(seal.hash,)))]
    answer = SealsReceived(seals=(seal,), source=four.instance(1), pulled=True)
    assert facts(node.step(answer)) == [init_fact(point(1), value.hash)]


def test_r2_who_cannot_serve_is_passed_over(four: Members, node: Node) -> None:
    """Section 4: from the leader, then from voters."""
    seal = four.seal()
    value = four.value(four.genesis, seals=[seal])
    node.hear(four.proposal(1, 0, value), four.init(3, 1, 0, value))
    unserved = SealsReceived(seals=(), source=four.instance(1), pulled=True, missing=(seal.hash,))
    effects = node.step(unserved)
    assert asked(effects, SealsWanted) == [(four.instance(3), SealsWanted(seals=(seal.hash,)))]


def test_r2_no_init_after_an_accept_of_the_round(four: Members, node: Node, value: Value) -> None:
    assert facts(node.wait(T_L))[-1] == draw_fact(point(1))
    assert facts(node.hear(four.proposal(1, 0, value))) == []


def test_r2_a_result_is_kept_across_rounds(four: Members, node: Node, value: Value) -> None:
    node.hear(four.proposal(1, 0, value), four.init_vp(1, 0, value))
    node.wait(T_A)
    node.hear(four.draw_vp(1, 0, (1, 2, 3)))
    assert facts(node.executes(value)) == []
    again = four.proposal(2, 1, value, reasons=[four.init_vp(1, 0, value)], pr=0)
    effects = node.hear(again, four.init_vp(1, 1, value, (1, 2, 3)))
    assert of(effects, Execute) == []
    assert facts(effects) == [
        init_fact(point(1, 1), value.hash),
        accept_fact(point(1, 1), value.hash, four.block(value)),
    ]


def test_r2_who_was_given_the_other_of_two_proposals_still_accepts_the_certified_one(
    four: Members, node: Node, value: Value
) -> None:
    """R3 asks for the value to be held, from whichever proposal."""
    wrong = four.value(four.genesis, time_ms=77)
    node.hear(four.proposal(1, 0, wrong))
    node.hear(four.init_vp(1, 0, value, (1, 2, 3)))
    effects = node.wait(T_R)
    wanted = [request for _, request in asked(effects, VotesWanted)]
    assert wanted
    assert not wanted[-1].rounds[0].proposal  # It does not hold the proposal that counts.
    effects = node.hear(four.proposal(1, 0, value), source=2)
    assert [e.value.hash for e in of(effects, Execute)] == [value.hash]
    assert facts(node.executes(value)) == [accept_fact(point(1), value.hash, four.block(value))]


# R3: ACCEPT on an INIT VP.


def test_r3_no_accept_without_an_init_vp(four: Members, node: Node, value: Value) -> None:
    node.hear(four.proposal(1, 0, value))
    assert facts(node.executes(value)) == []


def test_r3_the_init_vp_is_on_the_accepts_sync(four: Members, node: Node, value: Value) -> None:
    vp = four.init_vp(1, 0, value, (1, 2, 3))
    node.hear(four.proposal(1, 0, value), vp)
    effects = node.executes(value)
    (held,) = recorded(effects, CertificateHeld)
    assert held.voteproof.fact == vp.fact
    assert words(effects)[:2] == ["record CertificateHeld", "record! ACCEPT 1/0"]


def test_r3_a_later_init_vp_is_entered_without_t_l(four: Members, node: Node, value: Value) -> None:
    node.hear(four.proposal(1, 0, value))
    node.executes(value)
    effects = node.hear(four.init_vp(1, 3, value, (1, 2, 3)))
    assert facts(effects) == [accept_fact(point(1, 3), value.hash, four.block(value))]


def test_r3_no_t_l_there(four: Members, node: Node, value: Value) -> None:
    """t_l(4) = 550 * 3; t_a(4) = 1650 + 250 + 250."""
    node.hear(four.init_vp(1, 4, value, (1, 2, 3)))
    assert draw_fact(point(1, 4)) not in facts(node.wait(2149))
    assert draw_fact(point(1, 4)) in facts(node.wait(1))


def test_r3_not_after_a_draw(four: Members, node: Node, value: Value) -> None:
    node.wait(T_L)
    effects = node.hear(four.proposal(1, 0, value), four.init_vp(1, 0, value, (1, 2, 3)))
    assert facts(effects + node.executes(value)) == []


# R4: giving up.


def test_r4_t_l_without_a_proposal(four: Members, node: Node) -> None:
    assert facts(node.wait(T_L - 1)) == []
    effects = node.wait(1)
    assert words(effects) == ["record! DRAW 1/0", "publish DRAW 1/0"]


def test_r4_t_a_without_an_own_accept(four: Members, node: Node, value: Value) -> None:
    node.hear(four.proposal(1, 0, value))
    assert draw_fact(point(1)) not in facts(node.wait(T_A - 1))
    assert draw_fact(point(1)) in facts(node.wait(1))


def test_r4_not_after_an_accept(four: Members, node: Node, value: Value) -> None:
    node.hear(four.proposal(1, 0, value), four.init_vp(1, 0, value))
    node.executes(value)
    assert draw_fact(point(1)) not in facts(node.wait(5000))


def test_r4_a_failed_execution_gives_the_round_up(four: Members, node: Node, value: Value) -> None:
    node.hear(four.proposal(1, 0, value))
    failed = ExecutionFailed(parent=value.parent, value=value.hash, cause="memory", way_out="more")
    effects = node.step(failed)
    assert facts(effects) == [draw_fact(point(1))]
    assert broken(effects) == []


# R5, R6.


def test_r5_a_draw_vp_leads_to_the_next_round(four: Members, node: Node) -> None:
    node.wait(T_L)
    node.hear(four.draw(1, 1, 0))
    effects = node.hear(four.draw(3, 1, 0))
    assert [vp.fact for vp in published(effects, Voteproof)] == [draw_fact(point(1))]
    assert node.machine.consensus.votes.point == point(1, 1)


def test_r5_split_votes_are_no_draw(four: Members, node: Node, value: Value) -> None:
    """DRAW VP is q signed DRAWs, never inferred."""
    node.hear(four.proposal(1, 0, value), four.init_vp(1, 0, value))
    node.executes(value)
    node.hear(four.draw(1, 1, 0), four.draw(2, 1, 0), four.accept(3, 1, 0, value, b"\1" * 32))
    assert node.machine.consensus.votes.point == point(1, 0)


def test_r6_t_n_after_init_vp_and_own_accept(four: Members, node: Node, value: Value) -> None:
    vp = four.init_vp(1, 0, value, (1, 2, 3))
    node.hear(four.proposal(1, 0, value), vp)
    node.executes(value)
    node.wait(T_N - 1)
    assert node.machine.consensus.votes.round == 0
    effects = node.wait(1)
    assert node.machine.consensus.votes.round == 1
    assert [found.fact for found in published(effects, Voteproof)] == [vp.fact]


def test_r6_an_own_draw_counts_as_well(four: Members, node: Node, value: Value) -> None:
    node.wait(T_L)
    node.hear(four.init_vp(1, 0, value, (1, 2, 3)))
    node.wait(T_N - 1)
    assert node.machine.consensus.votes.round == 0
    node.wait(1)
    assert node.machine.consensus.votes.round == 1


def test_r6_not_without_an_init_vp(four: Members, node: Node) -> None:
    node.wait(20_000)
    assert node.machine.consensus.votes.round == 0


# R7: the end of a height.


def test_r7_a_late_member_signs_what_it_owes_and_commits(
    four: Members, node: Node, value: Value
) -> None:
    """Goal: no ballot missed, one sync. Method: the ACCEPT VP comes before anything else."""
    vp = four.accept_vp(1, 0, value, (1, 2, 3))
    block = four.full_block(value)
    node.hear(vp)
    assert words(node.serve(1, block, vp)) == ["record ExecutionBegun", "execute"]
    effects = node.executes(value)
    assert words(effects) == [
        "record ValueHeld",
        "record CertificateHeld",
        "record! INIT 1/0",
        "record! ACCEPT 1/0",
        "record CertificateHeld",
        "publish INIT 1/0",
        "publish ACCEPT 1/0",
        "commit 1",
    ]


def test_r7_an_owed_accept_never_contradicts_one_signed(
    four: Members, node: Node, value: Value
) -> None:
    """D2 before R7: an earlier version signed another result; this one agrees and just commits."""
    other = four.manifest(four.value(four.genesis, time_ms=9))
    node.hear(four.proposal(1, 0, value), four.init_vp(1, 0, value))
    node.step(four.executed(value, other))
    again = Node(four)
    again.join(records=node.journal)
    again.hear(four.draw_vp(1, 0, (1, 2, 3)))
    effects = again.hear(four.accept_vp(1, 1, value, (1, 2, 3))) + again.executes(value)
    assert commits(effects) == [1]
    assert broken(effects) == facts(effects) == []


def test_r7_nothing_is_owed_after_a_draw(four: Members, node: Node, value: Value) -> None:
    node.wait(T_L)
    node.hear(four.proposal(1, 0, value))
    effects = node.hear(four.accept_vp(1, 0, value, (1, 2, 3)))
    effects += node.executes(value)
    assert facts(effects) == []
    assert commits(effects) == [1]


def test_r7_a_certificate_of_another_round_commits_and_owes_nothing(
    four: Members, node: Node, value: Value
) -> None:
    node.hear(four.proposal(1, 0, value))
    node.hear(four.draw_vp(1, 3))
    node.executes(value)
    effects = node.hear(four.accept_vp(1, 2, value, (1, 2, 3)))
    assert facts(effects) == []
    assert commits(effects) == [1]


@pytest.mark.parametrize("round_", [0, 2])
def test_r7_content_and_certificate_of_what_is_committed_are_in_the_journal(
    four: Members, node: Node, value: Value, round_: int
) -> None:
    """D3: value, seals and ACCEPT VP of every height above the store's marker."""
    node.wait(T_L)
    node.hear(four.proposal(1, 0, value))
    node.hear(four.accept_vp(1, round_, value, (1, 2, 3)))
    assert commits(node.executes(value)) == [1]
    held = [r.value.hash for r in node.journal if isinstance(r, ValueHeld)]
    assert held == [value.hash]
    proofs = [r.voteproof.fact for r in node.journal if isinstance(r, CertificateHeld)]
    assert four.accept_vp(1, round_, value).fact in proofs


def test_r7_another_own_result_breaks_the_node(four: Members, node: Node, value: Value) -> None:
    node.hear(four.proposal(1, 0, value))
    node.executes(value)
    other = tagged(b"t", b"another block")
    vp = four.accept_vp(1, 0, value, (1, 2, 3), block=other)
    effects = node.hear(vp)
    (cause,) = broken(effects)
    assert "agrees" in cause.way_out
    assert node.state is NodeState.BROKEN
    assert commits(effects) == facts(effects) == []
    # It resumes when its re-execution equals: the proof of what was decided must be remembered.
    assert CertificateHeld(voteproof=vp) in node.journal
    assert value.hash in [r.value.hash for r in node.journal if isinstance(r, ValueHeld)]


def test_r7_the_version_that_agrees_resumes(four: Members, node: Node, value: Value) -> None:
    """Also when the version before signed an ACCEPT of its own result (D2 forbids a second one)."""
    other = four.manifest(four.value(four.genesis, time_ms=9))
    node.hear(four.proposal(1, 0, value), four.init_vp(1, 0, value))
    node.step(four.executed(value, other))
    node.hear(four.accept_vp(1, 1, value, (1, 2, 3)))
    assert node.state is NodeState.BROKEN
    again = Node(four)
    effects = again.boot(records=node.journal)
    assert [e.value.hash for e in of(effects, Execute)] == [value.hash]
    effects = again.executes(value)
    assert commits(effects) == [1]
    assert broken(effects) == facts(effects) == []


def test_r7_the_version_that_differs_stays_broken(four: Members, node: Node, value: Value) -> None:
    other = four.manifest(four.value(four.genesis, time_ms=9))
    node.hear(four.proposal(1, 0, value))
    node.step(four.executed(value, other))
    node.hear(four.accept_vp(1, 0, value, (1, 2, 3)))
    again = Node(four)
    again.boot(records=node.journal)
    effects = again.step(four.executed(value, other))
    assert len(broken(effects)) == 1
    assert commits(effects) == []


def test_r7_a_split_waits_and_shows(four: Members, node: Node, value: Value) -> None:
    """No hash reaches q: the height waits; NodeInfo's split names members by hash."""
    node.hear(four.proposal(1, 0, value), four.init_vp(1, 0, value))
    node.executes(value)
    one, two = tagged(b"t", b"1"), tagged(b"t", b"2")
    node.hear(four.accept(1, 1, 0, value, one), four.accept(2, 1, 0, value, two))
    assert node.machine.consensus.votes.split() == {
        four.block(value): ("n0sas",),
        one: ("n1sas",),
        two: ("n2sas",),
    }
    assert node.state is NodeState.CONSENSUS


def test_r7_what_the_network_decided_and_cannot_be_executed_breaks(
    four: Members, node: Node, value: Value
) -> None:
    node.hear(four.proposal(1, 0, value), four.accept_vp(1, 0, value, (1, 2, 3)))
    failed = ExecutionFailed(parent=value.parent, value=value.hash, cause="memory", way_out="more")
    assert [(b.cause, b.way_out) for b in broken(node.step(failed))] == [("memory", "more")]


def test_a_seal_may_expire_while_its_value_is_executed(four: Members, node: Node) -> None:
    """Goal: what a value names is kept until its height is decided, from execution on."""
    node.wait(T_L)  # DRAW: no INIT will hold the content.
    seal = four.seal()
    node.pool_seals(seal)
    value = four.value(four.genesis, seals=[seal])
    node.hear(four.proposal(1, 0, value), four.accept_vp(1, 0, value, (1, 2, 3)))
    node.wait(90_000)  # Beyond seal_ttl_ms.
    assert commits(node.executes(value)) == [1]


def test_a_value_found_valid_is_whole_in_its_next_round(four: Members, node: Node) -> None:
    """A regression (simulator seed 33907). A node died while it executed a value after its own
    DRAW, so nothing of the value was in its journal. Back again, it judged the value and drew (D7),
    its seals expired, and the round that proposed it again found a value with holes.
    """
    node.wait(T_L)
    seal = four.seal()
    value = four.value(four.genesis, seals=[seal])
    node.pool_seals(seal)
    node.hear(four.proposal(1, 0, value))
    assert any(isinstance(record, ExecutionBegun) for record in node.journal)
    assert not any(isinstance(record, ValueHeld) for record in node.journal)
    again = Node(four)
    again.join(records=node.journal)
    again.pool_seals(seal)
    assert of(again.hear(four.proposal(1, 0, value)), Execute) == []
    again.wait(90_000)  # Beyond seal_ttl_ms.
    assert list(again.kernel.pool) == []
    vp = four.init_vp(1, 0, value, (1, 2, 3))
    # R6: the others left round 0 by its INIT VP.
    effects = again.hear(vp, four.init_vp(1, 1, value, (1, 2, 3)))
    effects += again.hear(four.proposal(2, 1, value, reasons=[vp], pr=0))
    assert [one.value for one in of(effects, Execute)] == [value]
    again.hear(four.accept_vp(1, 1, value, (1, 2, 3)))
    assert commits(again.executes(value)) == [1]


# Quarantine.


@pytest.mark.parametrize("named", [True, False])
def test_what_could_not_be_executed_is_not_proposed_again_until_it_expires(
    four: Members, named: bool
) -> None:
    """Goal: one seal that fails here does not keep every block of this leader empty or failing."""
    node = Node(four, me=2)  # Leads round 1 of height 1.
    node.join()
    bad, good, later = four.seal(), four.seal(), four.seal()
    node.pool_seals(bad, good)
    value = four.value(four.genesis, seals=[bad, good])
    node.hear(four.proposal(1, 0, value))
    failed = ExecutionFailed(
        parent=value.parent,
        value=value.hash,
        cause="memory",
        way_out="more",
        seal=bad.hash if named else None,
    )
    node.step(failed)
    node.pool_seals(later)
    pool, chain = node.kernel.pool, node.kernel.chain
    wanted = [good, later] if named else [later]
    assert list(pool.choose(chain, node.clock_ms)) == wanted
    assert (len(pool), pool.proposable) == (3, len(wanted))
    assert pool.get(bad.hash) is bad, "others may propose it, and ask for it"
    node.wait(90_000)
    assert (len(pool), pool.proposable) == (0, 0)


def test_a_quarantined_seal_that_others_execute_is_a_seal_like_any(
    four: Members, node: Node
) -> None:
    seal = four.seal()
    node.pool_seals(seal)
    pool = node.kernel.pool
    pool.quarantine([seal.hash, four.seal().hash])
    assert (len(pool), pool.proposable) == (1, 0)
    value = four.value(four.genesis, seals=[seal])
    node.hear(four.proposal(1, 0, value), four.accept_vp(1, 0, value, (1, 2, 3)))
    assert commits(node.executes(value)) == [1]
    assert (len(pool), pool.proposable) == (0, 0)


def test_execution_is_recorded_before_it_begins(four: Members, node: Node, value: Value) -> None:
    """D7: an append without a sync of its own."""
    effects = node.hear(four.proposal(1, 0, value))
    assert recorded(effects, ExecutionBegun) == [
        ExecutionBegun(height=1, round=0, value=value.hash)
    ]


# Equivocation.


def test_a_second_ballot_of_one_stage_is_evidence_and_not_counted(
    four: Members, node: Node, value: Value
) -> None:
    other = four.value(four.genesis, time_ms=9)
    node.hear(four.proposal(1, 0, value))
    first, second = four.init(1, 1, 0, value), four.init(1, 1, 0, other)
    node.hear(first)
    assert node.hear(second, second) == [ReportEvidence(first=first, second=second)]
    votes = node.machine.consensus.votes.at(0).init
    assert votes[four.addresses[1]] == first


def test_draw_and_accept_of_one_round_are_evidence(four: Members, node: Node, value: Value) -> None:
    first, second = four.draw(2, 1, 0), four.accept(2, 1, 0, value)
    node.hear(first)
    assert of(node.hear(second), ReportEvidence) == [ReportEvidence(first=first, second=second)]


def test_a_ballot_of_a_stranger_or_under_another_epoch_is_not_counted(
    four: Members, node: Node, value: Value
) -> None:
    from zmqnode.base.ballot import sign_ballot

    fact = init_fact(point(1), value.hash)
    wrong: list[Ballot] = [
        sign_ballot(fact, four.addresses[1], 1, four.signers[1]),
        sign_ballot(fact, four.addresses[1], 0, four.signers[2]),
        Members(7).init(6, 1, 0, value),
    ]
    node.hear(*wrong)
    assert node.machine.consensus.votes.at(0).ballots(Stage.INIT) == {}


def test_r7_a_proposal_that_brings_the_decided_value_later_than_its_seals(four: Members) -> None:
    """Goal: whatever comes last ends the height, in whatever order it comes (seed 107103).

    Method: in round 1, decided in round 0: the seal, the ACCEPT VP, the value at the very last.
    """
    node = Node(four, me=2)
    node.join()
    seal = four.seal()
    value = node.next_value((seal,))
    node.hear(four.draw_vp(value.height, 0, (0, 1, 3)))
    leader = node.kernel.chain.leader(value.height, 0)
    node.pool_seals(seal)
    node.hear(four.accept_vp(value.height, 0, value, (0, 1, 3)))
    effects = node.hear(four.proposal(four.addresses.index(leader.address), 0, value))
    assert [effect.value for effect in of(effects, Execute)] == [value]
    assert commits(node.executes(value)) == [value.height]
