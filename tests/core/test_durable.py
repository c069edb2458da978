"""D1 to D7 of DESIGN.md section 3: what is durable before what, and what a restart makes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zmqnode.base.ballot import Ballot, accept_fact, draw_fact, init_fact
from zmqnode.base.exchange import LastBallotAnswer, LastBallotWanted, NodeState
from zmqnode.base.hashes import sha256
from zmqnode.base.point import Point
from zmqnode.base.proposal import Proposal, Value
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.effects import Answer, Effect, Execute, Publish, Record
from zmqnode.core.events import Answered, Requested
from zmqnode.core.records import (
    BallotSigned,
    CertificateHeld,
    ExecutionBegun,
    JournalRecord,
    ProposalSigned,
    ValueHeld,
)

from .harness import (
    NONCE,
    Members,
    Node,
    asked,
    broken,
    commits,
    facts,
    forged,
    of,
    published,
    recorded,
    states,
    words,
)


def point(height: int, round_: int = 0) -> Point:
    return Point(height=height, round=round_)


@pytest.fixture
def four() -> Members:
    return Members(4)


@pytest.fixture
def node(four: Members) -> Node:
    node = Node(four)
    node.join()
    return node


@pytest.fixture
def value(four: Members) -> Value:
    return four.value(four.genesis)


def restarted(node: Node, *, durable: bool = True) -> Node:
    """The next life, from the journal of the last one (up to its last sync unless ``durable``)."""
    again = Node(node.members, me=node.me, now_ms=node.now_ms)
    again.join(records=node.journal)
    return again


# D1.


def own(effects: list[Effect], members: Members) -> list[Ballot | Proposal]:
    found = [*published(effects, Ballot), *published(effects, Proposal)]
    return [message for message in found if message.instance == members.instance(0)]


def test_d1_every_ballot_is_recorded_with_a_sync_before_it_is_sent(
    four: Members, value: Value
) -> None:
    """Goal: no list of effects breaks it. Method: a run of member 0, then every effect in order."""
    node = Node(four)
    node.join()
    node.hear(four.proposal(1, 0, value))
    node.wait(1_100)
    node.hear(four.init_vp(1, 0, value), four.draw_vp(1, 0, (1, 2, 3)))
    node.executes(value)
    node.hear(four.draw_vp(1, 2))
    node.hear(four.accept_vp(1, 3, value, (1, 2, 3)))
    node.pool_seals(four.seal())
    node.wait(1_000)
    synced: list[bytes] = []
    waiting: list[bytes] = []
    seen = 0
    for effect in node.effects:
        if isinstance(effect, Record):
            record = effect.record
            if isinstance(record, BallotSigned):
                waiting.append(record.ballot.signature)
            if isinstance(record, ProposalSigned):
                waiting.append(record.proposal.signature)
            if effect.sync:
                synced += waiting
        elif isinstance(effect, Publish) and isinstance(effect.message, Ballot | Proposal):
            if effect.message.instance == four.instance(0):
                seen += 1
                assert effect.message.signature in synced
    assert seen > 4


def test_d1_one_proposal_per_point_and_parent(four: Members) -> None:
    """A leader sends the one it has, never another, also after a restart with more seals."""
    node = Node(four, me=1)
    first = published(node.join(), Proposal)[0]
    node.pool_seals(four.seal())
    again = Node(four, me=1)
    effects = again.boot(records=node.journal)
    again.pool_seals(four.seal())
    effects += again.connect(0, 2, 3)
    effects += again.hear(*(four.status(i, 0) for i in (0, 2, 3)))
    effects += again.answered(0, 2, 3) + again.wait(2_000)
    assert {p.signature for p in published(effects, Proposal)} == {first.signature}
    assert [r.proposal for r in recorded(node.effects, ProposalSigned)] == [first]
    assert recorded(effects, ProposalSigned) == []


# D2.


def test_d2_the_same_fact_gives_the_stored_signature(four: Members, value: Value) -> None:
    node = Node(four)
    node.join()
    (sent,) = published(node.hear(four.proposal(1, 0, value)), Ballot)
    again = Node(four)
    kept = [record for record in node.journal if not isinstance(record, ExecutionBegun)]
    effects = again.join(records=kept)
    assert sent in published(effects, Ballot)
    effects += again.hear(four.proposal(1, 0, value))
    assert recorded(effects, BallotSigned) == []


def test_d2_another_fact_at_a_signed_point_is_refused(four: Members, value: Value) -> None:
    node = Node(four)
    node.join()
    node.hear(four.proposal(1, 0, value))
    again = Node(four)
    again.join(records=node.journal[:0] + [r for r in node.journal if isinstance(r, BallotSigned)])
    other = four.value(four.genesis, time_ms=9)
    effects = again.hear(four.proposal(1, 0, other))
    assert init_fact(point(1), other.hash) not in facts(effects)


def test_d2_never_below_the_last_point(four: Members, value: Value) -> None:
    """The journal was pruned: only the watermark tells of (1, 5)."""
    watermark = four.draw(0, 1, 5)
    node = Node(four)
    effects = node.join(watermark=watermark)
    effects += node.hear(four.proposal(1, 0, value)) + node.wait(3_000)
    assert facts(effects) == []
    node.hear(four.draw_vp(1, 5, (1, 2, 3)))
    assert facts(node.wait(3_000))[0] == draw_fact(point(1, 6))


def test_d2_never_two_blocks_for_one_value(four: Members, node: Node, value: Value) -> None:
    """Goal: in whatever rounds; then BROKEN, and the version that signed is the way out."""
    node.hear(four.proposal(1, 0, value), four.init_vp(1, 0, value))
    node.executes(value)
    again = restarted(node)
    other = four.manifest(four.value(four.genesis, time_ms=9))
    again.step(four.executed(value, other))
    again.hear(four.draw_vp(1, 0, (1, 2, 3)))
    vp = four.init_vp(1, 0, value, (1, 2, 3))
    effects = again.hear(four.proposal(2, 1, value, reasons=[vp], pr=0))
    effects += again.hear(four.init_vp(1, 1, value, (1, 2, 3)))
    (cause,) = broken(effects)
    assert "start the version that signed" in cause.way_out
    assert all(fact.block is None for fact in facts(effects))


# D3, D5.


def test_d5_content_is_durable_on_the_sync_of_the_init(four: Members, node: Node) -> None:
    seals = [four.seal(), four.seal()]
    node.pool_seals(*seals)
    value = four.value(four.genesis, seals=seals)
    effects = node.hear(four.proposal(1, 0, value))
    held = ValueHeld(value=value, seals=tuple(seal.data for seal in seals))
    records = [effect.record for effect in effects if isinstance(effect, Record)]
    assert records[0] == held
    assert isinstance(records[1], BallotSigned)


def test_d5_content_is_durable_on_the_sync_of_an_accept_without_init(
    four: Members, node: Node, value: Value
) -> None:
    """The INIT VP of a later round, entered after the proposal was judged nowhere."""
    node.hear(four.init_vp(1, 2, value, (1, 2, 3)))
    node.hear(four.proposal(1, 0, value))
    effects = node.executes(value)
    assert words(node.effects).index("record ValueHeld") < words(node.effects).index(
        "record! ACCEPT 1/2"
    )
    assert facts(effects) == [accept_fact(point(1, 2), value.hash, four.block(value))]


def test_d3_resumes_at_the_last_signed_point(four: Members, node: Node) -> None:
    node.hear(four.draw_vp(1, 1))
    node.wait(1_100)
    assert draw_fact(point(1, 2)) in facts(node.effects)
    again = restarted(node)
    assert again.machine.consensus.votes.point == point(1, 2)


def test_d3_resumes_at_the_newest_certificate(four: Members, node: Node, value: Value) -> None:
    node.wait(600)
    node.hear(four.draw_vp(1, 4, (1, 2, 3)))
    again = restarted(node)
    assert again.machine.consensus.votes.point == point(1, 5)
    later = Node(four)
    later.join(records=[CertificateHeld(voteproof=four.init_vp(1, 7, value))])
    assert later.machine.consensus.votes.point == point(1, 7)


def test_d3_sends_all_ballots_of_the_height_again(four: Members, node: Node, value: Value) -> None:
    node.hear(four.proposal(1, 0, value), four.init_vp(1, 0, value))
    node.executes(value)
    node.hear(four.draw_vp(1, 0, (1, 2, 3)))
    node.wait(1_000)
    again = Node(four)
    assert facts(again.join(records=node.journal))[:3] == [
        init_fact(point(1), value.hash),
        accept_fact(point(1), value.hash, four.block(value)),
        draw_fact(point(1, 1)),
    ]


def test_d3_rearms_t_a_and_t_n(four: Members, node: Node, value: Value) -> None:
    node.hear(four.proposal(1, 0, value), four.init_vp(1, 0, value))
    again = restarted(node)  # Signed INIT, no ACCEPT: t_a.
    assert draw_fact(point(1)) in facts(again.wait(1_050))
    node.executes(value)
    again = restarted(node)  # Signed ACCEPT on an INIT VP: t_n.
    again.wait(749)
    assert again.machine.consensus.votes.round == 0
    again.wait(1)
    assert again.machine.consensus.votes.round == 1


def test_d3_replays_decided_blocks_from_the_journal(
    four: Members, node: Node, value: Value
) -> None:
    node.hear(four.proposal(1, 0, value), four.accept_vp(1, 0, value, (1, 2, 3)))
    node.executes(value)
    again = Node(four)
    effects = again.boot(records=node.journal)
    assert again.state is NodeState.BOOTING
    assert [e.value for e in of(effects, Execute)] == [value]
    effects = again.executes(value)
    assert commits(effects) == [1]
    assert again.state is not NodeState.BOOTING


def test_d3_blocks_of_a_catch_up_are_in_the_journal_too(four: Members) -> None:
    """The store's commit may lag behind any block, however it came."""
    node = Node(four)
    node.boot()
    node.connect(1, 2, 3)
    node.hear(*(four.status(i, 1) for i in (1, 2, 3)))
    seal = four.seal()
    value = four.value(four.genesis, seals=[seal])
    vp = four.accept_vp(1, 0, value)
    node.serve(1, four.full_block(value, [seal]), vp, first=1)
    node.serve(2, four.full_block(value, [seal]), vp, first=1)
    node.serve(3, four.full_block(value, [seal]), vp, first=1)
    assert commits(node.executes(value)) == [1]
    assert ValueHeld(value=value, seals=(seal.data,)) in node.journal
    assert CertificateHeld(voteproof=vp) in node.journal


# D6.


def booted(four: Members, **recovered: object) -> Node:
    """Everybody at tip 0, nobody has answered D6."""
    node = Node(four)
    node.boot(**recovered)  # type: ignore[arg-type]
    node.connect(1, 2, 3)
    node.hear(*(four.status(i, 0) for i in (1, 2, 3)))
    return node


def test_d6_asks_all_members_at_once_and_again(four: Members) -> None:
    node = Node(four)
    node.boot()
    wanted = LastBallotWanted(instance=four.instance(0), nonce=NONCE)
    effects = node.connect(1, 2, 3)
    assert asked(effects, LastBallotWanted) == [(four.instance(i), wanted) for i in (1, 2, 3)]
    node.hear(*(four.status(i, 0) for i in (1, 2, 3)))
    node.answered(2)
    again = asked(node.wait(1_000), LastBallotWanted)
    assert {instance for instance, _ in again} == {four.instance(1), four.instance(3)}


@pytest.mark.parametrize("n", [1, 4, 7])
def test_d6_waits_for_q_minus_1_answers(n: int) -> None:
    members = Members(n)
    node = Node(members)
    effects = node.boot()
    effects += node.connect(*node.others)
    effects += node.hear(*(members.status(i, 0) for i in node.others))
    for i in node.others[: members.q - 1]:
        assert facts(effects) == []
        assert node.state is NodeState.JOINING
        effects = node.answered(i)
    assert node.state is NodeState.CONSENSUS


def test_d6_nothing_is_signed_before(four: Members, value: Value) -> None:
    node = booted(four)
    node.answered(1)
    effects = node.hear(four.proposal(1, 0, value), four.init_vp(1, 0, value)) + node.wait(10_000)
    assert facts(effects) == published(effects, Proposal) == []
    assert node.state is NodeState.JOINING


@pytest.mark.parametrize("case", ["twice", "nonce", "instance", "signature", "itself", "ballot"])
def test_d6_what_is_no_answer_does_not_count(four: Members, case: str) -> None:
    node = booted(four)
    node.answered(1)
    wrong = {
        "twice": four.answer(1, 0),
        "nonce": four.answer(2, 0, nonce=sha256(b"another start")),
        "instance": four.answer(2, 1),
        "signature": replace(four.answer(2, 0), answerer=four.instance(3)),
        "itself": four.answer(0, 0),
        "ballot": four.answer(2, 0, forged(four.draw(0, 9, 9))),  # A bare claim.
    }[case]
    effects = node.step(Answered(source=four.instance(2), reply=wrong))
    assert broken(effects) == []
    assert node.state is NodeState.JOINING


def test_d6_another_instances_ballot_is_no_answer(four: Members) -> None:
    node = booted(four)
    node.answered(1)
    node.answered(2, ballot=four.draw(3, 5, 0))
    assert node.state is NodeState.JOINING


def test_d6_a_ballot_of_the_journal_is_an_answer(four: Members) -> None:
    last = four.draw(0, 1, 0)
    node = booted(four, records=[BallotSigned(ballot=last)])
    node.answered(1, 2, ballot=last)
    assert node.state is NodeState.CONSENSUS


def test_d6_a_newer_ballot_breaks_with_a_way_out(four: Members) -> None:
    node = booted(four, records=[BallotSigned(ballot=four.draw(0, 1, 0))])
    effects = node.answered(1, ballot=four.draw(0, 1, 1))
    (cause,) = broken(effects)
    assert states(effects) == [NodeState.BROKEN]
    assert four.addresses[1] in cause.cause
    assert "empty data folder" in cause.way_out
    node.answered(2, 3)
    assert node.state is NodeState.BROKEN


def test_d6_another_vote_at_the_same_point_breaks(four: Members, value: Value) -> None:
    """Goal: a second copy that voted otherwise is noticed, not only one that is ahead."""
    node = booted(four, records=[BallotSigned(ballot=four.draw(0, 1, 0))])
    effects = node.answered(1, ballot=four.accept(0, 1, 0, value))
    assert len(broken(effects)) == 1
    assert states(effects) == [NodeState.BROKEN]


def test_d6_a_late_answer_still_stops_a_node_that_votes(four: Members, value: Value) -> None:
    """Goal: BROKEN signs nothing, whatever comes then."""
    node = booted(four)
    node.answered(1, 2)
    assert node.state is NodeState.CONSENSUS
    node.hear(four.proposal(1, 0, value))
    assert len(broken(node.answered(3, ballot=four.draw(0, 4, 1)))) == 1
    effects = node.hear(four.init_vp(1, 0, value, (1, 2, 3)), four.draw_vp(1, 0, (1, 2, 3)))
    effects += node.executes(value) + node.wait(20_000)
    effects += node.hear(four.accept_vp(1, 1, value, (1, 2, 3)))
    assert facts(effects) == published(effects, Proposal) == recorded(effects, BallotSigned) == []


def answer_of(node: Node, of_: int) -> LastBallotAnswer:
    members = node.members
    wanted = LastBallotWanted(instance=members.instance(of_), nonce=NONCE)
    event = Requested(source=members.instance(of_), route="r", request=wanted)
    (answer,) = of(node.step(event), Answer)
    assert answer.route == "r"
    reply = answer.reply
    assert isinstance(reply, LastBallotAnswer)
    assert reply.verified(members.domain, members_verify)
    return reply


def members_verify(public: bytes, data: bytes, signature: bytes) -> bool:
    from zmqnode.base.keys import verify

    return verify(public, data, signature)


def test_d6_is_answered_in_any_state_with_a_signed_none(four: Members) -> None:
    node = Node(four)
    node.boot(bound=False)
    assert node.state is NodeState.BROKEN
    reply = answer_of(node, 1)
    assert (reply.ballot, reply.nonce, reply.instance) == (None, NONCE, four.instance(1))


def test_d6_is_answered_with_the_newest_ballot_heard(four: Members, node: Node) -> None:
    newest = four.draw(1, 1, 1)
    node.hear(newest, four.draw(1, 1, 0))
    assert answer_of(node, 1).ballot == newest


def test_d6_is_answered_from_a_voteproof_heard(four: Members, node: Node, value: Value) -> None:
    """The ballot itself never came here, but a certificate with it."""
    node.hear(four.init_vp(1, 1, value, (1, 2, 3)))
    assert answer_of(node, 3).ballot == four.init(3, 1, 1, value)


def test_d6_is_answered_from_a_voteproof_of_the_next_height(
    four: Members, node: Node, value: Value
) -> None:
    following = four.value(four.summary(value, four.accept_vp(1, 0, value)))
    node.hear(four.init_vp(2, 0, following, (1, 2, 3)))
    assert answer_of(node, 2).ballot == four.init(2, 2, 0, following)


def test_d6_is_answered_from_stored_voteproofs(four: Members) -> None:
    node = Node(four)
    chain = four.chain(3)
    node.boot(chain)
    ballot = answer_of(node, 2).ballot
    assert ballot is not None
    assert (ballot.fact.height, ballot.fact.block) == (3, chain[3].hash)


def test_d6_is_answered_from_the_journal(four: Members, node: Node, value: Value) -> None:
    """Also from certificates of the height under way, before this start has heard anything."""
    node.hear(four.proposal(1, 0, value), four.init_vp(1, 0, value, (1, 2, 3)))
    node.executes(value)
    again = Node(four)
    again.boot(records=node.journal)
    assert answer_of(again, 3).ballot == four.init(3, 1, 0, value)


def test_d6_is_answered_with_a_late_accept(four: Members, node: Node) -> None:
    """R9: ACCEPTs of h-1 and h-2 that equal the committed fact are kept, for this too."""
    value = node.decided(who=(0, 1, 2))
    late = four.accept(3, 1, 0, value)
    node.hear(late)
    assert answer_of(node, 3).ballot == late
    node.hear(forged(four.accept(3, 1, 0, value)))
    assert answer_of(node, 3).ballot == late


def test_an_unbound_folder_signs_nothing(four: Members, value: Value) -> None:
    """Section 2: NodeInfo (the status) stays signed; the way out is named."""
    node = Node(four)
    (cause,) = broken(node.boot(bound=False))
    assert "node adopt" in cause.way_out
    assert "empty folder" in cause.way_out
    node.connect(1, 2, 3)
    effects = node.hear(*(four.status(i, 0) for i in (1, 2, 3)))
    effects += node.answered(1, 2, 3) + node.hear(four.proposal(1, 0, value)) + node.wait(5_000)
    assert facts(effects) == published(effects, Proposal) == []
    assert node.state is NodeState.BROKEN


# D7.


def died_in(node: Node, value: Value) -> list[JournalRecord]:
    """The journal of a process that died while executing the value proposed at (1, 0)."""
    node.hear(node.members.proposal(1, 0, value))
    assert isinstance(node.journal[-1], ExecutionBegun)
    return node.journal


def test_d7_draws_at_that_round_instead_of_executing(
    four: Members, node: Node, value: Value
) -> None:
    again = Node(four)
    effects = again.join(records=died_in(node, value))
    effects += again.hear(four.proposal(1, 0, value))
    assert draw_fact(point(1)) in facts(effects)
    assert of(effects, Execute) == []


def test_d7_executes_again_in_a_later_round(four: Members, node: Node, value: Value) -> None:
    again = Node(four)
    again.join(records=died_in(node, value))
    vp = four.init_vp(1, 0, value, (1, 2, 3))
    # R6: the others left round 0 by its INIT VP.
    effects = again.hear(four.proposal(1, 0, value), vp, four.init_vp(1, 1, value, (1, 2, 3)))
    effects += again.hear(four.proposal(2, 1, value, reasons=[vp], pr=0))
    assert [e.value for e in of(effects, Execute)] == [value]


def test_d7_a_value_that_was_executed_since_is_voted_for_though_its_round_drew(
    four: Members, node: Node, value: Value
) -> None:
    """Goal: f + 1 members that died by chance (a power cut) do not halt a height (seed 145780).

    Method: it is executed again in round 1; then the DRAW VP of round 0 becomes known.
    """
    again = Node(four)
    again.join(records=died_in(node, value))
    vp = four.init_vp(1, 0, value, (1, 2, 3))
    again.hear(four.proposal(1, 0, value), vp, four.init_vp(1, 1, value, (1, 2, 3)))
    assert [e.value for e in of(again.effects, Execute)] == [value]
    again.executes(value)
    again.hear(four.draw_vp(1, 0, (1, 2, 3)), four.draw_vp(1, 1, (1, 2, 3)))
    effects = again.hear(four.proposal(3, 2, value, reasons=[four.init_vp(1, 1, value)], pr=1))
    assert init_fact(point(1, 2), value.hash) in facts(effects)
    assert draw_fact(point(1, 2)) not in facts(effects)


@pytest.mark.parametrize("certified", [False, True])
def test_d7_draws_where_that_round_is_known_to_have_drawn(
    four: Members, node: Node, value: Value, certified: bool
) -> None:
    """Goal: a value that kills is not run for ever, not even once its next INIT VP is here."""
    again = Node(four)
    again.join(records=died_in(node, value))
    vp = four.init_vp(1, 0, value, (1, 2, 3))
    effects = again.hear(four.proposal(1, 0, value), vp, four.draw_vp(1, 0, (1, 2, 3)))
    effects += again.hear(four.proposal(2, 1, value, reasons=[vp], pr=0))
    if certified:
        effects += again.hear(four.init_vp(1, 1, value, (1, 2, 3)))
    assert of(effects, Execute) == []
    assert facts(effects)[-1] == draw_fact(point(1, 1))


def test_d7_a_draw_of_that_round_does_not_prove_that_it_ended(
    four: Members, node: Node, value: Value
) -> None:
    """It ran beyond t_a, drew, and died inside then."""
    node.hear(four.proposal(1, 0, value), four.init_vp(1, 0, value))
    node.wait(1_100)
    assert draw_fact(point(1)) in facts(node.effects)
    again = Node(four)
    again.join(records=node.journal)
    vp = four.init_vp(1, 0, value, (1, 2, 3))
    effects = again.hear(four.draw_vp(1, 0, (1, 2, 3)))
    effects += again.hear(four.proposal(2, 1, value, reasons=[vp], pr=0))
    assert of(effects, Execute) == []
    assert facts(effects)[-1] == draw_fact(point(1, 1))


def test_d7_an_accept_of_it_proves_that_it_ended(four: Members, node: Node, value: Value) -> None:
    node.hear(four.proposal(1, 0, value), four.init_vp(1, 0, value))
    node.executes(value)
    again = Node(four)
    effects = again.join(records=node.journal)
    assert [e.value for e in of(effects, Execute)] == [value]


def test_d7_r1_drops_the_seals_of_what_killed_this_leader(four: Members) -> None:
    node = Node(four, me=2)
    node.join()
    seal = four.seal()
    node.pool_seals(seal)
    value = four.value(four.genesis, seals=[seal])
    node.hear(four.proposal(1, 0, value), four.init(0, 1, 0, value), four.init(1, 1, 0, value))
    again = Node(four, me=2)
    again.join(records=[*node.journal, CertificateHeld(voteproof=four.init_vp(1, 0, value))])
    (proposal,) = published(again.hear(four.draw_vp(1, 0)), Proposal)
    assert (proposal.pr, proposal.value.seals) == (-1, ())


def test_d7_what_an_accept_vp_names_is_executed_in_any_case(
    four: Members, node: Node, value: Value
) -> None:
    again = Node(four)
    again.join(records=died_in(node, value))
    effects = again.hear(four.accept_vp(1, 0, value, (1, 2, 3)))
    assert [e.value for e in of(effects, Execute)] == [value]


def test_certificates_published_are_those_of_the_base(four: Members, node: Node) -> None:
    """The harness's own check: what it makes is what the core takes."""
    vp = four.draw_vp(1, 0)
    assert isinstance(vp, Voteproof)
    assert node.kernel.check_voteproof(vp, four.suffrage)
