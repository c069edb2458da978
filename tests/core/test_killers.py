"""D7, of seals: one inside which the process died is set aside, one that killed twice is refused.

What the runtime found at its start comes in ``Recovery.deaths``.
"""

from __future__ import annotations

import pytest

from zmqnode.base.ballot import draw_fact, init_fact
from zmqnode.base.params import Params
from zmqnode.base.point import Point
from zmqnode.base.proposal import Proposal
from zmqnode.base.seal import Seal
from zmqnode.core.effects import Execute
from zmqnode.core.events import SealsReceived

from .harness import Members, Node, commits, facts, of, published

QUIET = Params(empty_block_interval_ms=0)


@pytest.fixture
def four() -> Members:
    return Members(4)


def leader(four: Members, deadly: Seal, times: int) -> Node:
    """The leader of height 1, inside whose execution of a seal the process died so often."""
    node = Node(four, me=1, params=QUIET)
    node.boot(deaths=((deadly.hash, times),))
    return node


def joined(node: Node) -> None:
    node.connect(*node.others)
    node.hear(*(node.members.status(i, 0) for i in node.others))
    node.answered(*node.others)


def proposed(node: Node) -> list[tuple[bytes, ...]]:
    """The seals of each value it proposed so far."""
    return list(dict.fromkeys(one.value.seals for one in published(node.effects, Proposal)))


def test_what_killed_once_is_proposed_alone_when_nothing_else_waits(four: Members) -> None:
    """Goal: no other seal shares its fate, and it may still prove innocent."""
    deadly, other = four.seal(), four.seal()
    node = leader(four, deadly, 1)
    node.pool_seals(deadly, other)
    joined(node)
    assert proposed(node) == [(other.hash,)]

    alone = leader(four, deadly, 1)
    alone.pool_seals(deadly)
    joined(alone)
    assert proposed(alone) == [(deadly.hash,)]


def test_what_killed_twice_is_proposed_no_more_and_is_no_work(four: Members) -> None:
    deadly, other = four.seal(), four.seal()
    node = leader(four, deadly, 2)
    node.pool_seals(deadly)
    node.hear(*(four.status(i, 0) for i in node.others))
    assert node.kernel.pool.get(deadly.hash) is not None  # For who asks for it.
    assert node.kernel.pool.proposable == 0
    node.pool_seals(other)
    joined(node)
    assert proposed(node) == [(other.hash,)]


def voter(four: Members, deadly: Seal, times: int) -> Node:
    """A member that does not lead height 1."""
    node = Node(four, me=3, params=QUIET)
    node.boot(deaths=((deadly.hash, times),))
    joined(node)
    node.step(SealsReceived(seals=(deadly,), source=four.instance(1)))
    return node


@pytest.mark.parametrize("times", [1, 2])
def test_only_what_killed_twice_is_drawn_instead_of_executed(four: Members, times: int) -> None:
    deadly = four.seal()
    node = voter(four, deadly, times)
    value = node.next_value((deadly,))
    effects = node.hear(four.proposal(1, 0, value))
    here = Point(height=1, round=0)
    if times == 1:
        assert facts(effects) == [init_fact(here, value.hash)]
        assert [effect.value for effect in of(effects, Execute)] == [value]
    else:
        assert facts(effects) == [draw_fact(here)]
        assert of(effects, Execute) == []


@pytest.mark.parametrize("drew", [False, True])
def test_in_a_later_round_it_is_executed_unless_its_round_drew(four: Members, drew: bool) -> None:
    """Goal: a value that may have been decided is never refused for good (D7, R1)."""
    deadly = four.seal()
    node = voter(four, deadly, 2)
    value = node.next_value((deadly,))
    node.hear(four.proposal(1, 0, value))
    vp = four.init_vp(1, 0, value, (0, 1, 2))
    # R6: the others left round 0 by its INIT VP, or by its DRAW VP.
    node.hear(vp, four.draw_vp(1, 0, (0, 1, 2)) if drew else four.init_vp(1, 1, value, (0, 1, 2)))
    effects = node.hear(four.proposal(2, 1, value, pr=0, reasons=(vp,)))
    executed = [effect.value for effect in of(node.effects, Execute)]
    assert executed == ([] if drew else [value])
    assert draw_fact(Point(height=1, round=1)) in facts(effects) or not drew


def test_what_the_network_decided_is_executed_in_any_case(four: Members) -> None:
    deadly = four.seal()
    node = voter(four, deadly, 2)
    value = node.next_value((deadly,))
    node.hear(four.proposal(1, 0, value))
    effects = node.hear(four.accept_vp(1, 0, value, (0, 1, 2)))
    assert [effect.value for effect in of(effects, Execute)] == [value]
    assert commits(node.executes(value)) == [1]
