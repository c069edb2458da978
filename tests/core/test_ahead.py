"""What comes for heights beyond the next is kept and heard when its height is near (core/ahead)."""

from __future__ import annotations

import pytest

from tests.core.harness import (
    BORN_MS,
    EPOCH_MS,
    Members,
    Node,
    asked,
    facts,
    states,
)
from tests.core.test_states import execute_all, ranges
from zmqnode.base.ballot import accept_fact, init_fact
from zmqnode.base.exchange import BlocksWanted, NodeState, Published
from zmqnode.base.hashes import ZERO
from zmqnode.base.point import Point
from zmqnode.base.proposal import Value
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.ahead import HEIGHTS_KEPT, PROPOSALS_KEPT, Ahead, point_of

TIP = 6  # Member 0 leads the seventh height.


@pytest.fixture
def seven() -> Members:
    return Members(7)


class Said:
    """What members 1 to 6 said while member 0 stood still: heights 1 to 6, empty ones."""

    def __init__(self, members: Members) -> None:
        self.members = members
        blocks = [members.genesis]
        self.values: list[Value] = []
        self.proofs: list[Voteproof] = []
        for height in range(1, TIP + 1):
            carried = blocks[height - 2].accept if height > 2 else None
            time_ms = EPOCH_MS + BORN_MS - 100 + height
            value = members.value(blocks[-1], time_ms=time_ms, accept=carried)
            self.values.append(value)
            self.proofs.append(members.accept_vp(height, 0, value, range(7)))
            blocks.append(members.summary(value, self.proofs[-1]))

    def by(self, i: int, height: int) -> list[Published]:
        """Of one member about one height, in the order in which it said it."""
        members, value = self.members, self.values[height - 1]
        words: list[Published] = [members.init(i, height, 0, value)]
        words.append(members.accept(i, height, 0, value))
        if height == i:
            reasons = self.proofs[height - 2 : height - 1] if height > 1 else []
            words.insert(0, members.proposal(i, 0, value, reasons=reasons))
        return words

    def served(self, first: int, last: int) -> list[object]:
        """Arguments for Node.serve."""
        found: list[object] = []
        for value, proof in list(zip(self.values, self.proofs, strict=True))[first - 1 : last]:
            found += [self.members.full_block(value), proof]
        return found


def joined(seven: Members) -> Node:
    node = Node(seven)
    node.join()
    return node


def test_who_stood_still_for_some_heights_follows_from_what_it_heard(seven: Members) -> None:
    """Goal: a stall costs no block asked for, no moment outside CONSENSUS, no ballot."""
    said, node = Said(seven), joined(seven)
    for i in range(1, 7):  # As it lies at its sockets: one peer's words after the other's.
        for height in range(1, TIP + 1):
            node.hear(*said.by(i, height))
    assert execute_all(node) == [1, 2, 3, 4, 5, 6]
    assert asked(node.effects, BlocksWanted) == []
    assert states(node.effects)[-1] is NodeState.CONSENSUS
    assert NodeState.SYNCING not in states(node.effects)
    for value in said.values:
        point = Point(height=value.height, round=0)
        own = [fact for fact in facts(node.effects) if fact.height == value.height]
        block = seven.block(value)
        assert own == [init_fact(point, value.hash), accept_fact(point, value.hash, block)]


def test_who_catches_up_goes_on_with_what_it_heard_meanwhile(seven: Members) -> None:
    """Goal: a copy that comes in on a quick chain needs no second catch-up."""
    said, node = Said(seven), Node(seven)
    node.boot()
    node.connect(*node.others)
    for i in range(1, 7):
        for height in range(3, TIP + 1):
            node.hear(*said.by(i, height))
    node.hear(*(seven.status(i, 5) for i in node.others))
    node.answered(*node.others)
    assert node.state is NodeState.SYNCING
    for peer, (first, last) in ranges(node).items():
        assert last <= 5  # Whoever votes at height 6 claims no more.
        node.serve(peer, *said.served(first, last))
    assert execute_all(node) == [1, 2, 3, 4, 5, 6]
    assert node.state is NodeState.CONSENSUS


def test_what_somebody_else_repeats_takes_only_its_own_places(seven: Members) -> None:
    """Goal: who repeats others' words crowds nobody out. Method: member 1 relays all of them."""
    said, node = Said(seven), joined(seven)
    for i in (2, 3, 4, 5, 6):
        node.hear(*said.by(i, TIP), source=1)
    kept = node.machine.parts.kept.due(TIP)
    assert {source for _, source in kept} == {seven.instance(1)}
    assert len(kept) == 3  # A proposal, an INIT, an ACCEPT.


def test_only_members_are_kept(seven: Members) -> None:
    """Goal: a standby's words, or a stranger's, fill nothing. Method: no link says whose it is."""
    said, node = Said(seven), Node(seven)
    node.boot()
    node.hear(*said.by(3, 3))
    assert node.machine.parts.kept.due(TIP) == []


def test_it_is_bounded_by_height_round_speaker_and_kind(seven: Members) -> None:
    """Goal: a member that says everything in all ways fills its own places, and nothing else."""
    kept, who = Ahead(), seven.instance(1)
    carried = seven.accept_vp(1, 0, seven.value(seven.genesis))
    for height in (3, HEIGHTS_KEPT, HEIGHTS_KEPT + 1, 1_000_000):
        for time_ms in range(20):
            value = Value(height=height, parent=ZERO, time_ms=time_ms, seals=(), accept=carried)
            for round_ in range(4):
                kept.keep(seven.init(1, height, round_, value), who, 0)
                kept.keep(seven.accept(1, height, round_, value), who, 0)
                kept.keep(seven.draw(1, height, round_), who, 0)
                kept.keep(seven.init_vp(height, round_, value), who, 0)
                kept.keep(seven.proposal(1, round_, value), who, 0)
    due = kept.due(2_000_000)
    assert {point_of(word).height for word, _ in due} == {3, HEIGHTS_KEPT}
    assert len(due) == 2 * 2 * (4 + PROPOSALS_KEPT)
    assert kept.due(2_000_000) == []


def test_what_was_overtaken_is_forgotten(seven: Members) -> None:
    """Goal: a copy that follows by blocks for days, never level, keeps no more than another."""
    kept, who = Ahead(), seven.instance(1)
    for tip in range(200):
        for height in range(tip + 1, tip + HEIGHTS_KEPT + 1):
            kept.keep(seven.draw(1, height, 0), who, tip)
    assert len(kept.due(1_000)) == HEIGHTS_KEPT


def test_both_proposals_of_a_leader_are_kept(seven: Members) -> None:
    """Goal: R11: an early one on a block that was not decided keeps the right one from nobody."""
    kept, who = Ahead(), seven.instance(2)
    parents = [seven.summary(value, seven.accept_vp(1, 0, value)) for value in two_values(seven)]
    words = [seven.proposal(2, 0, seven.value(parent)) for parent in parents]
    for word in (*words, *words):
        kept.keep(word, who, 0)
    assert kept.due(2) == [(words[0], who), (words[1], who)]


def two_values(seven: Members) -> list[Value]:
    return [seven.value(seven.genesis, time_ms=EPOCH_MS + at) for at in (1, 2)]
