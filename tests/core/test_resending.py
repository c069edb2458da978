"""R8 and R9 of DESIGN.md section 3: sending again, asking, serving, and what is kept at all."""

from __future__ import annotations

from typing import Any

import pytest

from zmqnode.base.ballot import Ballot, draw_fact, init_fact
from zmqnode.base.exchange import (
    ROUNDS_ASKED_MAX,
    VOTES_ANSWERED_MAX,
    BlocksWanted,
    LastBallotWanted,
    Request,
    RoundHeld,
    SealsAnnounced,
    SealsAnswer,
    SealsWanted,
    VotesAnswer,
    VotesWanted,
)
from zmqnode.base.hashes import sha256
from zmqnode.base.params import Params
from zmqnode.base.point import Point
from zmqnode.base.proposal import Proposal, Value
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.effects import Answer, Ask, Effect, Publish, Record, ServeBlocks
from zmqnode.core.events import Answered, Requested, SealsReceived

from .harness import (
    NONCE,
    Members,
    Node,
    asked,
    commits,
    facts,
    of,
    published,
    recorded,
    words,
)

T_R = 375
QUIET = Params(empty_block_interval_ms=0)


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


def asks(node: Node, source: int, request: Request) -> list[Effect]:
    event = Requested(source=node.members.instance(source), route=("r", source), request=request)
    return node.step(event)


def replies(effects: list[Effect]) -> list[Any]:
    return [effect.reply for effect in of(effects, Answer)]


def wanted(height: int, round_: int = 0, *held: RoundHeld) -> VotesWanted:
    return VotesWanted(height=height, round=round_, rounds=held)


# R8: sending again.


def test_r8_sends_ballots_of_all_rounds_and_the_newest_certificates(
    four: Members, node: Node, value: Value
) -> None:
    init, draw = four.init_vp(1, 0, value, (1, 2, 3)), four.draw_vp(1, 0, (1, 2, 3))
    node.hear(four.proposal(1, 0, value), init)
    node.executes(value)
    node.hear(draw)
    effects = node.wait(T_R)
    assert words(effects) == [
        "publish INIT 1/0",
        "publish ACCEPT 1/0",
        "publish VP INIT 1/0",
        "publish VP DRAW 1/0",
        "ask VotesWanted",
        "ask VotesWanted",
        "ask VotesWanted",
    ]
    assert recorded(effects, object) == []  # Nothing of it is new.
    assert words(node.wait(T_R)) == words(effects)  # And again, every t_r.


def test_r8_sends_the_own_proposal_and_the_parents_accept_vp(four: Members) -> None:
    node = Node(four, me=2)
    chain = four.chain(1)
    node.join(chain)
    (proposal,) = published(node.pool_seals(four.seal()), Proposal)
    effects = node.wait(T_R)
    assert published(effects, Proposal) == [proposal]
    assert published(effects, Voteproof) == [chain[1].accept]


def test_r8_not_the_proposals_of_others(four: Members, node: Node, value: Value) -> None:
    node.hear(four.proposal(1, 0, value))
    assert published(node.wait(T_R), Proposal) == []


def test_r8_asks_all_for_what_is_missing(four: Members, node: Node, value: Value) -> None:
    """The bitmap names proposal, ballots and certificates of every round."""
    node.hear(four.proposal(1, 0, value), four.init(2, 1, 0, value))
    node.hear(four.draw(1, 1, 2), four.draw_vp(1, 1, (1, 2, 3)))
    effects = node.wait(T_R)
    assert asked(effects, VotesWanted) == [
        (
            instance,
            wanted(
                1,
                2,
                RoundHeld(
                    round=0,
                    proposal=True,
                    init_mask=0b0101,
                    accept_mask=0,
                    init_vp=False,
                    draw_vp=False,
                ),
                RoundHeld(
                    round=1,
                    proposal=False,
                    init_mask=0,
                    accept_mask=0,
                    init_vp=False,
                    draw_vp=True,
                ),
                RoundHeld(
                    round=2,
                    proposal=False,
                    init_mask=0,
                    accept_mask=0b0010,
                    init_vp=False,
                    draw_vp=False,
                ),
            ),
        )
        for instance in sorted(four.instance(i) for i in (1, 2, 3))
    ]


def test_r8_a_large_suffrage_is_asked_in_turns() -> None:
    members = Members(20)
    node = Node(members)
    node.join()
    first = [instance for instance, _ in asked(node.wait(T_R), VotesWanted)]
    second = [instance for instance, _ in asked(node.wait(T_R), VotesWanted)]
    third = [instance for instance, _ in asked(node.wait(T_R), VotesWanted)]
    assert len(first) == len(second) == 8
    assert {*first, *second, *third} == {members.instance(i) for i in range(1, 20)}


def test_r8_rests_at_round_0_without_work(four: Members) -> None:
    node = Node(four, params=QUIET)
    node.join(four.chain(1))
    assert words(node.wait(30_000)) == []


def test_r8_who_claims_more_is_asked_once_a_second_while_resting(four: Members) -> None:
    """A claim is no work: no timer starts, no ballot is signed."""
    node = Node(four, params=QUIET)
    node.join(four.chain(1))
    effects = []
    for tick in range(1, 8):
        effects += node.hear(four.status(3, 2, clock_ms=node.clock_ms + tick))
        effects += node.wait(500)
    found = asked(effects, VotesWanted)
    assert [instance for instance, _ in found] == [four.instance(3)] * 4
    assert all(request.height == 2 for _, request in found)
    assert facts(effects) == []


def test_r8_its_answer_is_taken_and_the_block_pulled(four: Members) -> None:
    node = Node(four, params=QUIET)
    node.join(four.chain(1))
    value = node.next_value()
    vp = four.accept_vp(2, 0, value, (1, 2, 3))
    node.hear(four.status(3, 2, clock_ms=node.clock_ms + 1))
    reply = VotesAnswer(proposals=(), ballots=(), voteproofs=(vp,))
    effects = node.step(Answered(source=four.instance(3), reply=reply))
    assert asked(effects, BlocksWanted)[0] == (four.instance(3), BlocksWanted(first=2, last=2))
    node.serve(3, four.full_block(value), vp)
    assert commits(node.executes(value)) == [2]


# R8: serving.


def test_r8_the_missing_and_only_the_missing_is_served(
    four: Members, node: Node, value: Value
) -> None:
    proposal = four.proposal(1, 0, value)
    node.hear(proposal, four.init(2, 1, 0, value), four.draw(3, 1, 0))
    held = RoundHeld(
        round=0,
        proposal=False,
        init_mask=0b0100,
        accept_mask=0,
        init_vp=False,
        draw_vp=False,
    )
    (reply,) = replies(asks(node, 1, wanted(1, 0, held)))
    assert reply == VotesAnswer(
        proposals=(proposal,),
        ballots=(four.init(0, 1, 0, value), four.draw(3, 1, 0)),
        voteproofs=(),
    )


def test_r8_a_certificate_stands_for_its_ballots(four: Members, node: Node, value: Value) -> None:
    node.hear(four.proposal(1, 0, value), four.init_vp(1, 0, value, (1, 2, 3)))
    (reply,) = replies(asks(node, 1, wanted(1)))
    assert [vp.fact for vp in reply.voteproofs] == [init_fact(point(1), value.hash)]
    held = RoundHeld(
        round=0, proposal=True, init_mask=0, accept_mask=0, init_vp=True, draw_vp=False
    )
    assert replies(asks(node, 1, wanted(1, 0, held))) == []  # Nothing missing: no answer.


def test_r8_of_a_committed_height_its_accept_vp(four: Members) -> None:
    node = Node(four)
    chain = four.chain(4)
    node.join(chain)
    for height in (1, 3, 4):
        (reply,) = replies(asks(node, 1, wanted(height)))
        assert reply == VotesAnswer(proposals=(), ballots=(), voteproofs=(chain[height].accept,))


def test_r8_of_a_decided_height_whose_content_is_missing_the_accept_vp(
    four: Members, node: Node, value: Value
) -> None:
    vp = four.accept_vp(1, 0, value, (1, 2, 3))
    node.hear(vp)
    (reply,) = replies(asks(node, 1, wanted(1)))
    assert vp in reply.voteproofs


def test_r8_of_other_heights_nothing(node: Node) -> None:
    assert replies(asks(node, 1, wanted(2))) == []
    assert replies(asks(node, 1, wanted(9))) == []


def test_r8_answers_go_to_the_asker_alone_and_are_not_answered(
    four: Members, node: Node, value: Value
) -> None:
    """Goal: no storms. Method: every request in every state gives at most one answer, no question;
    an answer that brings nothing new gives nothing at all."""
    node.hear(four.proposal(1, 0, value))
    requests: list[Request] = [
        wanted(1),
        SealsWanted(seals=(sha256(b"x"),)),
        BlocksWanted(first=1, last=3),
        LastBallotWanted(instance=four.instance(2), nonce=NONCE),
    ]
    for request in requests:
        effects = asks(node, 2, request)
        assert len(effects) == 1
        assert isinstance(effects[0], Answer | ServeBlocks)
        assert effects[0].route == ("r", 2)
    reply = replies(asks(node, 2, wanted(1)))[0]
    assert node.step(Answered(source=four.instance(1), reply=reply)) == []
    last = four.answer(1, 0)
    assert node.step(Answered(source=four.instance(1), reply=last)) == []


def test_blocks_are_served_by_the_store(node: Node) -> None:
    effects = asks(node, 2, BlocksWanted(first=3, last=9))
    assert effects == [ServeBlocks(route=("r", 2), first=3, last=9)]


def test_seals_are_served_with_the_names_of_those_that_are_not_here(
    four: Members, node: Node
) -> None:
    seal, unknown = four.seal(), sha256(b"?")
    node.pool_seals(seal)
    (reply,) = replies(asks(node, 1, SealsWanted(seals=(unknown, seal.hash))))
    assert reply == SealsAnswer(seals=(seal.data,), missing=(unknown,))


def test_seals_served_at_once_are_bounded_by_a_blocks_bytes(four: Members) -> None:
    params = Params(block_bytes_max=16_384, seal_bytes_max=16_384)
    node = Node(four, params=params)
    node.join()
    seals = [four.seal(size=6_000) for _ in range(3)]
    node.pool_seals(*seals)
    (reply,) = replies(asks(node, 1, SealsWanted(seals=tuple(seal.hash for seal in seals))))
    assert len(reply.seals) == 2
    assert reply.missing == (seals[2].hash,)


def test_seals_of_committed_blocks_are_served_for_three_more(four: Members, node: Node) -> None:
    seal = four.seal()
    node.pool_seals(seal)
    first = four.value(four.genesis, seals=[seal])
    node.hear(four.proposal(1, 0, first), four.accept_vp(1, 0, first, (1, 2, 3)))
    node.executes(first)
    for _ in range(2):
        node.decided(who=(1, 2, 3))
        assert replies(asks(node, 1, SealsWanted(seals=(seal.hash,))))[0].missing == ()
    node.decided(who=(1, 2, 3))
    assert replies(asks(node, 1, SealsWanted(seals=(seal.hash,))))[0].missing == (seal.hash,)


def test_announced_seals_are_pulled_once_unless_they_are_here_or_executed(
    four: Members, node: Node
) -> None:
    here, done, new = four.seal(), four.seal(), four.seal()
    node.pool_seals(here, done)
    value = four.value(four.genesis, seals=[done])
    node.hear(four.proposal(1, 0, value), four.accept_vp(1, 0, value, (1, 2, 3)))
    node.executes(value)
    announced = SealsAnnounced(seals=(here.hash, done.hash, new.hash))
    effects = node.hear(announced, source=2)
    assert asked(effects, SealsWanted) == [(four.instance(2), SealsWanted(seals=(new.hash,)))]
    assert node.hear(SealsAnnounced(seals=(here.hash,)), source=2) == []


# R9: what is kept.


def kept(node: Node) -> list[int]:
    return sorted(node.machine.consensus.votes.rounds)


def test_r9_ballots_of_rounds_up_to_two_ahead(four: Members, node: Node, value: Value) -> None:
    node.hear(four.draw(1, 1, 1), four.init(1, 1, 2, value), four.draw(2, 1, 3), four.draw(3, 1, 9))
    assert [r for r in kept(node) if node.machine.consensus.votes.rounds[r].accept] == [1]
    assert kept(node)[-1] == 2


def test_r9_proposals_of_rounds_up_to_two_ahead(four: Members, node: Node) -> None:
    first, second = four.value(four.genesis), four.value(four.genesis, time_ms=7)
    node.hear(four.proposal(3, 2, first), four.proposal(0, 3, second))
    held = node.machine.consensus.votes.rounds
    assert held[2].proposal is not None
    assert 3 not in held


def test_r9_certificates_of_any_round(four: Members, node: Node) -> None:
    node.hear(four.draw_vp(1, 99_000))
    assert node.machine.consensus.votes.round == 99_001


def test_r9_the_next_height_is_kept_for_rounds_0_and_1(four: Members) -> None:
    """Goal: all of it counts once this height is over, the rest is gone."""
    node = Node(four)
    node.join()
    value = four.value(four.genesis)
    summary = four.summary(value, four.accept_vp(1, 0, value, (1, 2, 3)))
    following = four.value(summary)
    node.hear(
        four.proposal(2, 0, following, reasons=[four.accept_vp(1, 0, value, (1, 2, 3))]),
        four.init(1, 2, 0, following),
        four.draw(3, 2, 1),
        four.draw(3, 2, 2),
        four.init(1, 3, 0, following),
    )
    assert node.machine.consensus.votes.height == 1
    node.hear(four.proposal(1, 0, value))
    effects = node.executes(value)
    assert commits(effects) == [1]
    assert facts(effects)[-1] == init_fact(point(2), following.hash)
    votes = node.machine.consensus.votes
    assert kept(node) == [0, 1]
    assert sorted(votes.rounds[0].init) == [four.addresses[0], four.addresses[1]]
    assert list(votes.rounds[1].accept) == [four.addresses[3]]


def test_r9_a_proposal_of_the_next_height_on_another_parent_counts_as_not_sent(
    four: Members, node: Node
) -> None:
    """R11: no DRAW for it, no evidence, and the one on the right parent is taken."""
    value = four.value(four.genesis)
    vp = four.accept_vp(1, 0, value, (1, 2, 3))
    other = four.value(four.genesis, time_ms=3)
    early = four.value(four.summary(other, four.accept_vp(1, 0, other)))
    right = four.value(four.summary(value, vp))
    node.hear(four.proposal(2, 0, early), four.proposal(2, 0, right, reasons=[vp]))
    node.hear(four.proposal(1, 0, value))
    effects = node.executes(value)
    assert commits(effects) == [1]
    assert draw_fact(point(2)) not in facts(effects)
    assert init_fact(point(2), right.hash) in facts(effects)


def test_r9_one_ballot_per_signer_point_and_stage(four: Members, node: Node) -> None:
    values = [four.value(four.genesis, time_ms=t) for t in (5, 6, 7)]
    node.hear(*(four.init(1, 1, 0, value) for value in values))
    held = node.machine.consensus.votes.at(0).init
    assert held == {four.addresses[1]: four.init(1, 1, 0, values[0])}


def test_r9_forged_ballots_take_nobodys_place(four: Members, node: Node, value: Value) -> None:
    from .harness import forged

    true = four.init(1, 1, 0, value)
    node.hear(forged(true), true)
    assert node.machine.consensus.votes.at(0).init == {four.addresses[1]: true}


def carried_by(node: Node, members: Members) -> Voteproof:
    """The ACCEPT VP in the value that this node proposes next."""
    seal = members.seal(created_at_ms=node.clock_ms)
    (proposal,) = published(node.pool_seals(seal), Proposal)
    assert proposal.value.accept is not None
    return proposal.value.accept


def test_r9_late_accepts_of_the_last_two_heights_are_carried(four: Members) -> None:
    """Leader 3 of height 3 carries block 1's votes, the late ones too."""
    node = Node(four, me=3, params=QUIET)
    node.join()
    value = node.decided(who=(0, 1, 2))
    node.hear(four.accept(3, 1, 0, value, sha256(b"another block")))
    node.decided(who=(0, 1, 2))
    node.hear(four.accept(3, 1, 0, value))
    assert carried_by(node, four).addresses == tuple(four.addresses)


def test_r9_late_accepts_are_checked_before_they_are_carried(four: Members) -> None:
    from .harness import forged

    node = Node(four, me=3, params=QUIET)
    node.join()
    value = node.decided(who=(0, 1, 3))
    node.decided(who=(0, 1, 3))
    node.hear(forged(four.accept(2, 1, 0, value)))
    assert carried_by(node, four).addresses == tuple(four.addresses[i] for i in (0, 1, 3))


def test_r9_a_forged_late_accept_does_not_keep_the_true_one_out(four: Members) -> None:
    from .harness import forged

    node = Node(four, me=3, params=QUIET)
    node.join()
    value = node.decided(who=(0, 1, 3))
    node.decided(who=(0, 1, 3))
    true = four.accept(2, 1, 0, value)
    node.hear(forged(true), true, forged(true))
    assert carried_by(node, four).addresses == tuple(four.addresses)


def test_r9_late_accepts_count_after_a_restart_as_well(four: Members) -> None:
    node = Node(four, me=3, params=QUIET)
    chain = four.chain(2, voters=lambda height: (0, 1, 2))
    node.join(chain)
    fact = chain[1].accept
    assert fact is not None
    node.hear(four.ballot(3, fact.fact))
    assert carried_by(node, four).addresses == tuple(four.addresses)


# Bounds of what is asked and answered.


def test_at_most_64_rounds_are_asked_for_the_newest(four: Members, node: Node) -> None:
    for round_ in range(80):
        node.hear(four.draw_vp(1, round_, (1, 2, 3)))
    _, request = asked(node.wait(1_000), VotesWanted)[-1]
    assert len(request.rounds) == ROUNDS_ASKED_MAX
    assert request.rounds[-1].round == 80


def test_an_answer_holds_at_most_512_votes() -> None:
    """Goal: the bound is reached. Method: 30 members, 40 rounds of 29 draws each, nothing held."""
    members = Members(30)
    node = Node(members)
    node.join()
    for round_ in range(40):
        draws = [members.draw(i, 1, round_) for i in range(1, members.q)]
        node.hear(*draws)
        node.hear(members.draw_vp(1, round_, range(1, members.q + 1)))
    (reply,) = replies(asks(node, 1, wanted(1)))
    assert len(reply.ballots) + len(reply.voteproofs) + len(reply.proposals) == VOTES_ANSWERED_MAX
    assert len(reply.voteproofs) == 40
    assert max(ballot.fact.round for ballot in reply.ballots) >= 38


def test_at_most_500_seals_are_pulled_at_once(four: Members, node: Node) -> None:
    names = tuple(sha256(b"%d" % i) for i in range(700))
    value = Value(
        height=1,
        parent=four.genesis.hash,
        time_ms=four.value(four.genesis).time_ms,
        seals=names,
        accept=None,
    )
    ((_, request),) = asked(node.hear(four.proposal(1, 0, value)), SealsWanted)
    assert request.seals == names[:500]


def test_a_value_that_names_too_much_is_not_pulled_on(four: Members) -> None:
    """Goal: a leader cannot make others hold more than a block's bytes. Method: seals that exceed
    them arrive in parts; as soon as it shows, the value is invalid."""
    params = Params(block_bytes_max=32_768, seal_bytes_max=16_384)
    node = Node(four, params=params)
    node.join()
    seals = [four.seal(size=12_000) for _ in range(10)]
    value = four.value(four.genesis, seals=seals)
    node.hear(four.proposal(1, 0, value))
    effects: list[Effect] = []
    for seal in seals[:3]:
        effects += node.step(SealsReceived(seals=(seal,), source=four.instance(1), pulled=True))
    assert facts(effects) == [draw_fact(point(1))]
    node.wait(200)
    assert asked(node.wait(2_000), SealsWanted) == []


def test_what_is_sent_again_is_not_recorded_again(four: Members, node: Node, value: Value) -> None:
    node.hear(four.proposal(1, 0, value))
    effects = node.wait(T_R)
    assert published(effects, Ballot) == [four.init(0, 1, 0, value)]
    assert [e for e in effects if isinstance(e, Record)] == []
    assert all(isinstance(e, Publish | Ask) for e in effects)
