"""Seals given to a copy that does not vote reach those who do, whatever gets lost on the way."""

from __future__ import annotations

import pytest

from tests.core.harness import Members, Node, of, published
from tests.core.test_states import Chain, Standby, execute_all
from zmqnode.base.exchange import NodeState, SealsAnnounced
from zmqnode.base.seal import Seal
from zmqnode.core.effects import Effect, PublishSeals
from zmqnode.core.events import SealsReceived
from zmqnode.core.world import ANNOUNCE_MAX

STEP_MS = 10  # A height, far below t_r.


@pytest.fixture
def four() -> Members:
    return Members(4)


def looking_on(four: Members) -> Node:
    node = Standby(four)
    node.boot()
    node.connect(1, 2, 3)
    node.hear(*(four.status(i, 0, clock_ms=node.clock_ms) for i in (1, 2, 3)))
    assert node.state is NodeState.SYNCING
    return node


def heights(node: Node, chain: Chain, first: int, last: int) -> list[Effect]:
    """The chain goes on, quicker than t_r; what the copy asked for meanwhile."""
    found: list[Effect] = []
    for height in range(first, last + 1):
        value, seal, vp = chain.parts[height - 1]
        found += node.step(SealsReceived(seals=(seal,), source=chain.members.instance(1)))
        found += node.hear(vp)
        found += node.serve(1, chain.members.full_block(value, [seal]), vp)
        execute_all(node)
        assert node.tip.height == height
        found += node.wait(STEP_MS)
    return found


def announced(effects: list[Effect]) -> set[bytes]:
    return {seal for one in published(effects, SealsAnnounced) for seal in one.seals}


def given(node: Node) -> Seal:
    """A client gives it a seal, and what it publishes of it gets lost."""
    seal = node.members.seal(created_at_ms=node.clock_ms)
    effects = node.pool_seals(seal, token="client")
    assert [one.seals for one in of(effects, PublishSeals)] == [(seal,)]
    return seal


def test_a_standby_names_what_waits_at_it_on_a_quick_chain(four: Members) -> None:
    """Goal: heights shorter than t_r do not keep a seal at a copy that never proposes."""
    node, chain = looking_on(four), Chain(four, 60)
    seal = given(node)
    assert seal.hash in announced(heights(node, chain, 1, 60))


def test_it_names_all_that_came_while_its_links_were_made_anew(four: Members) -> None:
    """Goal: clients of a copy that just retired wait for one announcement, not for several."""
    node = looking_on(four)
    seals = [given(node) for _ in range(200)]
    words = published(node.wait(400), SealsAnnounced)  # t_r of a copy that knows no better: 375.
    assert all(len(word.seals) <= ANNOUNCE_MAX for word in words)
    assert {seal for word in words for seal in word.seals} == {seal.hash for seal in seals}


def test_it_ends_when_nothing_waits(four: Members) -> None:
    node, chain = looking_on(four), Chain(four, 60)
    assert announced(heights(node, chain, 1, 60)) == set()


def test_a_voter_leaves_it_to_its_turn_to_lead(four: Members) -> None:
    """Goal: under full load a pool is never empty; members name nothing more than R8 does."""
    node, chain = Node(four), Chain(four, 60)
    node.join()
    given(node)
    assert announced(heights(node, chain, 1, 60)) == set()


@pytest.mark.parametrize("votes", [True, False])
def test_a_seal_sent_again_is_published_again(four: Members, votes: bool) -> None:
    """Goal: the client's patience mends what publishing lost."""
    node = Node(four) if votes else looking_on(four)
    if votes:
        node.join()
    seal = given(node)
    assert of(node.pool_seals(seal, token="client, at once"), PublishSeals) == []
    node.wait(1_000)
    (again,) = of(node.pool_seals(seal, token="client, later"), PublishSeals)
    assert again.seals == (seal,)


def test_what_is_executed_is_not_published_again(four: Members) -> None:
    node, chain = looking_on(four), Chain(four, 1)
    heights(node, chain, 1, 1)
    assert of(node.pool_seals(chain.parts[0][1], token="client"), PublishSeals) == []
