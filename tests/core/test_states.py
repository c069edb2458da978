"""Node states, the rule "at the tip", and catching up (DESIGN.md section 5; R10)."""

from __future__ import annotations

import pytest

from zmqnode.base.exchange import (
    BlocksWanted,
    LastBallotAnswer,
    LastBallotWanted,
    NodeState,
    Status,
)
from zmqnode.base.proposal import Proposal, Value
from zmqnode.base.seal import Seal
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.effects import Answer, EnterState, Execute, Publish, PublishSeals, Stop
from zmqnode.core.events import Faulted, PeerLost, Requested, SealsReceived, StopAsked
from zmqnode.core.records import BlockSummary

from .harness import (
    EPOCH_MS,
    Members,
    Node,
    asked,
    broken,
    commits,
    facts,
    of,
    published,
    states,
)

BOOTING, JOINING, CONSENSUS = NodeState.BOOTING, NodeState.JOINING, NodeState.CONSENSUS
SYNCING, BROKEN = NodeState.SYNCING, NodeState.BROKEN


@pytest.fixture
def four() -> Members:
    return Members(4)


class Chain:
    """Blocks 1 to ``tip`` that the others have, each with one seal."""

    def __init__(self, members: Members, tip: int) -> None:
        self.members = members
        self.summaries: list[BlockSummary] = [members.genesis]
        self.parts: list[tuple[Value, Seal, Voteproof]] = []
        for height in range(1, tip + 1):
            seal = members.seal(created_at_ms=EPOCH_MS + height)
            carried = self.summaries[height - 2].accept if height > 2 else None
            value = members.value(
                self.summaries[-1], time_ms=EPOCH_MS + height, seals=[seal], accept=carried
            )
            vp = members.accept_vp(height, 0, value, (1, 2, 3))
            self.parts.append((value, seal, vp))
            self.summaries.append(members.summary(value, vp, [seal]))

    def served(self, first: int, last: int) -> list[object]:
        """Arguments for Node.serve."""
        found: list[object] = []
        for value, seal, vp in self.parts[first - 1 : last]:
            found += [self.members.full_block(value, [seal]), vp]
        return found

    def value(self, height: int) -> Value:
        return self.parts[height - 1][0]


def syncing(four: Members, tips: dict[int, int], own_tip: int = 0) -> Node:
    """A node at ``own_tip`` whose peers claim ``tips``."""
    node = Node(four)
    node.boot(four.chain(own_tip) if own_tip else None)
    node.connect(1, 2, 3)
    node.hear(*(four.status(i, tip) for i, tip in tips.items()))
    return node


def execute_all(node: Node) -> list[int]:
    """Executes what is asked for until nothing more is; the heights committed."""
    done: list[int] = []
    asked_for = [e.value for e in of(node.effects, Execute)]
    seen = 0
    while seen < len(asked_for):
        value = asked_for[seen]
        seen += 1
        if value.height == node.tip.height + 1:
            effects = node.executes(value)
            done += commits(effects)
            asked_for += [e.value for e in of(effects, Execute)]
    return done


# Ways between states.


def test_boots_joins_and_takes_part(four: Members) -> None:
    """STOPPED -> BOOTING -> JOINING -> CONSENSUS: entitled and, for all it knows, at the tip."""
    node = Node(four)
    assert node.state is BOOTING
    effects = node.join()
    assert states(effects) == [JOINING, CONSENSUS]
    previous = [effect.previous for effect in of(effects, EnterState)]
    assert previous == [BOOTING, JOINING]


def test_boots_into_syncing_if_behind(four: Members) -> None:
    node = syncing(four, {1: 3, 2: 3})
    assert node.state is SYNCING
    assert states(node.effects)[-1] is SYNCING


def test_boots_into_syncing_if_not_entitled(four: Members) -> None:
    """A standby: its instance does not vote for its address."""
    node = Node(four)
    node.machine.config.signer.public  # noqa: B018 - it is member 0's until here.
    standby = Standby(four)
    standby.boot()
    assert standby.state is SYNCING
    standby.connect(1, 2, 3)
    standby.hear(*(four.status(i, 0) for i in (1, 2, 3)))
    standby.answered(1, 2, 3)
    standby.wait(5_000)
    assert standby.state is SYNCING
    assert facts(standby.effects) == []


class Standby(Node):
    """Address 0 with an instance key that votes for nobody."""

    def __post_init__(self) -> None:
        from zmqnode.base.signing import Signer

        from .harness import key

        mine = self.members.signers[0]
        self.members.signers[0] = Signer(key("standby"), self.members.domain)
        super().__post_init__()
        self.members.signers[0] = mine


def test_a_standby_follows_the_chain(four: Members) -> None:
    chain = Chain(four, 3)
    node = Standby(four)
    node.boot()
    node.connect(1, 2, 3)
    node.hear(*(four.status(i, 3) for i in (1, 2, 3)))
    node.serve(1, *chain.served(1, 3))
    assert execute_all(node) == [1, 2, 3]
    assert node.state is SYNCING


def test_a_joining_node_that_turns_out_behind_syncs_first(four: Members) -> None:
    chain = Chain(four, 2)
    node = Node(four)
    node.boot()
    node.connect(1, 2, 3)
    assert node.state is JOINING
    node.hear(four.status(1, 2), four.status(2, 2))
    assert node.state is SYNCING
    node.answered(1, 2, 3)
    node.serve(1, *chain.served(1, 2), first=1)
    node.serve(2, *chain.served(1, 2), first=1)
    assert execute_all(node) == [1, 2]
    assert node.state is CONSENSUS
    assert node.machine.consensus.votes.height == 3


def test_a_node_waits_for_q_minus_1_members_to_say_where_they_are(four: Members) -> None:
    """D6's answers carry no tip: a silent member might be far ahead."""
    node = Node(four)
    node.boot()
    node.connect(1, 2, 3)
    node.answered(1, 2, 3)
    assert node.state is JOINING
    node.hear(four.status(1, 0))
    assert node.state is JOINING
    node.hear(four.status(2, 0))
    assert node.state is CONSENSUS


def test_joining_arms_the_empty_block_wait(four: Members) -> None:
    node = Node(four, me=2)
    node.join(four.chain(1))
    assert published(node.wait(999), Proposal) == []
    assert len(published(node.wait(1), Proposal)) == 1


# At the tip.


def test_one_liar_holds_nobody_in_syncing(four: Members) -> None:
    """Own tip >= the (f+1)-th highest claim: one claims a million."""
    node = Node(four)
    node.boot()
    node.connect(1, 2, 3)
    node.hear(four.status(1, 1_000_000), four.status(2, 0), four.status(3, 0))
    node.answered(1, 2, 3)
    assert node.state is CONSENSUS


def test_f_plus_1_claims_do(four: Members) -> None:
    node = syncing(four, {1: 5, 2: 5, 3: 0})
    node.answered(1, 2, 3)
    assert node.state is SYNCING


def test_claims_not_served_within_2_s_do_not_count(four: Members) -> None:
    """Two claim block 5 and never answer; more than f liars, and still not for ever."""
    node = syncing(four, {1: 5, 2: 5, 3: 0})
    node.answered(1, 2, 3)
    node.wait(1_999)
    assert node.state is SYNCING
    node.wait(1)
    assert node.state is CONSENSUS


def test_claims_that_were_not_served_once_count_again_later(four: Members) -> None:
    """Goal: one lost answer leaves nobody behind for good, where the chain waits for it itself.

    Method: two of three are there, at block 36, and were cut off when they were asked; the node
    joins, and finds itself behind (R10) again and again. Claims do not grow: it is the third of q.
    """
    node = syncing(four, {1: 36, 2: 36})
    node.answered(1, 2, 3)
    node.wait(2_000)
    assert node.state is CONSENSUS
    chain = Chain(four, 36)
    for _ in range(30):
        node.effects.clear()
        node.wait(500)
        node.hear(*(four.status(i, 36, clock_ms=node.clock_ms) for i in (1, 2)))
        node.hear(*(four.init(i, 37, 0, four.value(four.genesis)) for i in (1, 2)))
        for peer, (first, last) in ranges(node).items():
            node.serve(peer, *chain.served(first, last))
            execute_all(node)
    assert node.tip.height == 36


def test_an_empty_answer_ends_a_claim_at_once(four: Members) -> None:
    node = syncing(four, {1: 5, 2: 5, 3: 0})
    node.answered(1, 2, 3)
    node.serve(1, first=1)
    assert node.state is CONSENSUS


def test_claims_of_who_fell_silent_do_not_count(four: Members) -> None:
    """A tip claimed long ago by a member that died since."""
    node = Node(four)
    node.boot()
    node.hear(four.status(1, 5), four.status(2, 5))
    assert node.state is SYNCING
    node.wait(5_000)
    node.connect(1, 2, 3)
    node.answered(1, 2, 3)
    node.hear(four.status(3, 0, clock_ms=node.clock_ms))
    assert node.state is CONSENSUS


def test_a_ballot_claims_the_block_before_it(four: Members) -> None:
    """Statuses alone are half a second old: who syncs to them never reaches a busy network."""
    chain = Chain(four, 9)
    node = syncing(four, {1: 3, 2: 3, 3: 3})
    node.answered(1, 2, 3)
    node.hear(*(four.init(i, 9, 0, chain.value(9)) for i in (1, 2)))
    assert (4, 8) in ranges(node).values()
    (peer,) = (i for i, wanted in ranges(node).items() if wanted == (1, 3))
    node.serve(peer, *chain.served(1, 3))
    execute_all(node)
    assert node.tip.height == 3
    assert node.state is SYNCING


@pytest.mark.parametrize("height", [1, 2, 5])
def test_d6_is_answered_from_what_was_heard_in_any_state(four: Members, height: int) -> None:
    node = syncing(four, {1: 3, 2: 3, 3: 3})
    ballot = four.draw(2, height, 1)
    node.hear(ballot)
    wanted = LastBallotWanted(instance=four.instance(2), nonce=b"n" * 32)  # type: ignore[arg-type]
    event = Requested(source=four.instance(2), route=0, request=wanted)
    (answer,) = of(node.step(event), Answer)
    assert isinstance(answer.reply, LastBallotAnswer)
    assert answer.reply.ballot == ballot


# Catching up.


def test_several_peers_are_asked_for_different_blocks(four: Members) -> None:
    node = syncing(four, {1: 150, 2: 150, 3: 150})
    found = {instance: (r.first, r.last) for instance, r in asked(node.effects, BlocksWanted)}
    assert sorted(found.values()) == [(1, 64), (65, 128), (129, 150)]
    assert set(found) == {four.instance(i) for i in (1, 2, 3)}


def ranges(node: Node) -> dict[int, tuple[int, int]]:
    """The newest request to each member."""
    found = {}
    for instance, request in asked(node.effects, BlocksWanted):
        found[node.members.suffrage.by_instance[instance].address] = (request.first, request.last)
    return {int(address[1]): wanted for address, wanted in found.items()}


def test_blocks_are_applied_in_order_whoever_answers_first(four: Members) -> None:
    chain = Chain(four, 130)
    node = syncing(four, {1: 130, 2: 130, 3: 130})
    node.answered(1, 2, 3)
    for i, (first, last) in sorted(ranges(node).items(), key=lambda item: -item[1][0]):
        assert of(node.effects, Execute) == []
        node.serve(i, *chain.served(first, last), first=first)
    assert execute_all(node) == list(range(1, 131))
    assert node.state is CONSENSUS


def tampered(chain: Chain, case: str) -> list[object]:
    """Blocks 1 to 3, one of them wrong."""
    members = chain.members
    parts = chain.served(1, 3)
    value, seal, vp = chain.parts[0]
    other = members.value(members.genesis, time_ms=EPOCH_MS + 77)
    if case == "unproven":
        parts[0:2] = [members.full_block(other), members.accept_vp(1, 0, other, (1, 2))]
    elif case == "forged":
        signatures = tuple((address, bytes(64)) for address, _ in vp.signatures)
        parts[1] = Voteproof(fact=vp.fact, signatures=signatures)  # type: ignore[arg-type]
    elif case == "another block's proof":
        parts[0:2] = [members.full_block(other), vp]
    elif case == "seals missing":
        parts[0] = members.full_block(value)
    elif case == "seal's signature":
        from zmqnode.base.seal import read_seal

        parts[0] = members.full_block(value, [read_seal(seal.data[:-64] + bytes(64))])
    elif case == "another height":
        parts = chain.served(2, 3)
    elif case == "a draw":
        parts[1] = members.draw_vp(1, 0)
    elif case == "an INIT VP":
        parts[1] = members.init_vp(1, 0, value)
    return parts


CASES = (
    "unproven",
    "forged",
    "another block's proof",
    "seals missing",
    "seal's signature",
    "another height",
    "a draw",
    "an INIT VP",
)


@pytest.mark.parametrize("case", CASES)
def test_a_bad_block_is_not_applied_and_taken_from_another_peer(four: Members, case: str) -> None:
    """Goal: a peer can delay, never mislead. Method: the first answers with something wrong."""
    chain = Chain(four, 3)
    node = syncing(four, {1: 3, 2: 3, 3: 3})
    node.answered(1, 2, 3)
    (liar,) = ranges(node)
    node.serve(liar, *tampered(chain, case), first=1)
    assert commits(node.effects) == []
    assert [e for e in of(node.effects, Execute) if e.value.height == 1] == []
    (other,) = (i for i in ranges(node) if i != liar)
    first, last = ranges(node)[other]
    assert first == 1
    node.serve(other, *chain.served(first, last))
    assert execute_all(node) == [1, 2, 3]
    assert node.state is CONSENSUS


@pytest.mark.parametrize("answer", ["empty", "bad", "other heights"])
def test_who_failed_to_serve_is_not_asked_again_at_once(four: Members, answer: str) -> None:
    """Goal: no storm of question and answer with the only peer. Method: count the questions."""
    chain = Chain(four, 3)
    node = Node(four)
    node.boot()
    node.connect(1)
    node.hear(four.status(1, 3), four.status(2, 3))
    for _ in range(20):
        if answer == "empty":
            node.serve(1, first=1)
        elif answer == "bad":
            node.serve(1, *tampered(chain, "forged"), first=1)
        else:
            node.serve(1, *chain.served(2, 3), first=2)
    assert len(asked(node.effects, BlocksWanted)) <= 2
    # One lost answer must not make it useless for good: it is asked again some time.
    assert len(asked(node.wait(3_000), BlocksWanted)) >= 1
    node.serve(1, *chain.served(1, 3))
    assert execute_all(node) == [1, 2, 3]


def test_silence_passes_to_another_peer_after_2_s(four: Members) -> None:
    chain = Chain(four, 2)
    node = syncing(four, {1: 2, 2: 2, 3: 2})
    (silent,) = ranges(node)
    node.wait(1_999)
    assert set(ranges(node)) == {silent}
    node.wait(1)
    (other,) = (i for i in ranges(node) if i != silent)
    node.serve(other, *chain.served(1, 2))
    assert execute_all(node) == [1, 2]


def test_a_lost_peer_is_not_waited_for(four: Members) -> None:
    node = syncing(four, {1: 2, 2: 2, 3: 2})
    (gone,) = ranges(node)
    node.step(PeerLost(instance=four.instance(gone)))
    assert len(ranges(node)) == 2


def test_blocks_nobody_asked_for_are_not_kept(four: Members) -> None:
    chain = Chain(four, 2)
    node = syncing(four, {1: 2, 2: 2, 3: 2})
    (first,) = ranges(node)
    (uninvited, *_) = (i for i in (1, 2, 3) if i != first)
    node.serve(uninvited, *chain.served(1, 2))
    assert of(node.effects, Execute) == []


def test_another_result_in_a_catch_up_breaks(four: Members) -> None:
    chain = Chain(four, 2)
    node = syncing(four, {1: 2, 2: 2, 3: 2})
    (peer,) = ranges(node)
    node.serve(peer, *chain.served(1, 2))
    wrong = four.manifest(chain.value(2))
    effects = node.step(four.executed(chain.value(1), wrong))
    (cause,) = broken(effects)
    assert "agrees" in cause.way_out
    assert commits(effects) == []
    # Never overwritten, never tried again by itself.
    node.hear(*(four.status(i, 2, clock_ms=node.clock_ms + 1) for i in (1, 2, 3)))
    later = node.wait(10_000)
    assert of(later, Execute) == []
    assert asked(later, BlocksWanted) == []


# R10.


def in_consensus(four: Members) -> Node:
    node = Node(four)
    node.join()
    return node


def beyond(four: Members, height: int) -> Value:
    return Chain(four, height).value(height)


def test_r10_f_plus_1_members_two_heights_ahead_for_longer_than_t_r(four: Members) -> None:
    node = in_consensus(four)
    value = beyond(four, 3)
    node.hear(four.init(1, 3, 0, value))
    node.wait(400)
    assert node.state is CONSENSUS
    node.hear(four.init(2, 3, 0, value))
    node.wait(374)
    assert node.state is CONSENSUS
    node.wait(300)
    assert states(node.effects)[-2:] == [SYNCING, JOINING] or node.state is SYNCING


def left(node: Node) -> bool:
    return SYNCING in states(node.wait(1_000))


def test_r10_a_voteproof_two_heights_ahead(four: Members) -> None:
    node = in_consensus(four)
    node.hear(four.init_vp(3, 0, beyond(four, 3), (1, 2, 3)))
    assert left(node)


def test_r10_one_height_ahead_is_no_reason(four: Members) -> None:
    node = in_consensus(four)
    value = beyond(four, 2)
    node.hear(*(four.init(i, 2, 0, value) for i in (1, 2, 3)), four.init_vp(2, 0, value))
    assert not left(node)


def test_r10_f_members_are_no_reason(four: Members) -> None:
    node = in_consensus(four)
    value = beyond(four, 5)
    node.hear(four.init(1, 3, 0, value), four.init(1, 4, 0, value), four.init(1, 5, 0, value))
    assert not left(node)


def test_r10_forged_ballots_are_no_reason(four: Members) -> None:
    from .harness import forged

    node = in_consensus(four)
    value = beyond(four, 3)
    node.hear(*(forged(four.init(i, 3, 0, value)) for i in (1, 2, 3)))
    assert not left(node)


def test_r10_accept_vp_of_this_height_from_a_peer_two_ahead(four: Members) -> None:
    """It names a block this node cannot get; one peer's claim is enough beside that proof."""
    chain = Chain(four, 1)
    node = in_consensus(four)
    node.hear(four.status(2, 3, clock_ms=node.clock_ms + 1))
    node.hear(chain.parts[0][2], source=2)
    assert left(node)


def test_r10_accept_vp_from_a_peer_one_ahead_is_no_reason(four: Members) -> None:
    chain = Chain(four, 1)
    node = in_consensus(four)
    node.hear(four.status(2, 2, clock_ms=node.clock_ms + 1))
    node.hear(chain.parts[0][2], source=2)
    assert not left(node)


def test_r10_catching_up_in_time_is_no_reason(four: Members) -> None:
    node = in_consensus(four)
    node.hear(four.init_vp(3, 0, beyond(four, 3), (1, 2, 3)))
    node.wait(200)
    node.decided(who=(1, 2, 3))
    assert not left(node)


def test_who_left_and_comes_back_at_the_same_height_stands_where_it_signed(four: Members) -> None:
    """Goal: it counts its own ballots and is not caught in rounds below (D2, D3)."""
    node = in_consensus(four)
    node.hear(four.draw_vp(1, 1))
    node.wait(1_100)
    value = beyond(four, 3)
    node.hear(four.init(1, 3, 0, value), four.init(2, 3, 0, value))
    node.hear(*(four.status(i, 0, clock_ms=node.clock_ms) for i in (1, 2, 3)))
    effects = node.wait(1_500)
    assert SYNCING in states(effects)
    for _ in range(6):  # What the two claimed by their ballots they do not serve.
        node.wait(500)
        node.hear(*(four.status(i, 0, clock_ms=node.clock_ms) for i in (1, 2, 3)))
    assert node.state is CONSENSUS
    votes = node.machine.consensus.votes
    assert votes.round == 2
    assert list(votes.here.accept) == [four.addresses[0]]


# SYNCING, BROKEN and stopping.


def test_a_syncing_node_signs_nothing(four: Members) -> None:
    node = syncing(four, {1: 5, 2: 5, 3: 5})
    value = four.value(four.genesis)
    effects = node.hear(four.proposal(1, 0, value), four.init_vp(1, 0, value, (1, 2, 3)))
    assert facts(effects) == []


@pytest.mark.parametrize("state", [SYNCING, BROKEN])
def test_seals_of_clients_are_forwarded_in_any_state(four: Members, state: NodeState) -> None:
    if state is SYNCING:
        node = syncing(four, {1: 5, 2: 5, 3: 5})
    else:
        node = Node(four)
        node.boot(bound=False)
    seal = four.seal()
    effects = node.step(SealsReceived(seals=(seal,), token="t"))
    assert [e.seals for e in of(effects, PublishSeals)] == [(seal,)]


def test_a_fault_of_its_own_breaks_a_node_for_good(four: Members) -> None:
    node = in_consensus(four)
    effects = node.step(Faulted(cause="the disk is full", way_out="free some space"))
    assert [(b.cause, b.way_out) for b in broken(effects)] == [
        ("the disk is full", "free some space")
    ]
    assert states(effects) == [BROKEN]
    value = four.value(four.genesis)
    effects = node.hear(four.proposal(1, 0, value), four.init_vp(1, 0, value)) + node.wait(9_000)
    assert facts(effects) == []
    assert broken(node.step(Faulted(cause="again", way_out=""))) == []


def test_a_broken_node_still_says_that_it_is(four: Members) -> None:
    node = in_consensus(four)
    node.step(Faulted(cause="c", way_out="w"))
    statuses = published(node.wait(1_000), Status)
    assert [status.state for status in statuses] == [BROKEN, BROKEN]


@pytest.mark.parametrize("fault", [False, True])
def test_a_stop_is_answered_in_any_state(four: Members, fault: bool) -> None:
    node = in_consensus(four)
    if fault:
        node.step(Faulted(cause="c", way_out="w"))
    assert of(node.step(StopAsked()), Stop) == [Stop()]


def test_a_status_every_500_ms_and_at_each_change(four: Members) -> None:
    node = Node(four)
    effects = node.join()
    said = [(s.state, s.tip, s.height) for s in published(effects, Status)]
    assert said[0] == (JOINING, 0, 1)  # As soon as the clock is read.
    assert said[-1] == (CONSENSUS, 0, 1)
    node.wait(500)
    statuses = published(node.wait(2_000), Status)
    assert len(statuses) == 4
    assert all(status.verified(four.domain, node.machine.config.verify) for status in statuses)
    assert [effect for effect in effects if isinstance(effect, Publish)]
