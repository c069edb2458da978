"""R7 in a catch-up: who is only late signs INIT and ACCEPT of the blocks it takes (core/owing)."""

from __future__ import annotations

import pytest

from tests.core.harness import Members, Node, facts, of
from tests.core.test_states import Chain, execute_all, ranges
from zmqnode.base.ballot import Fact, accept_fact, draw_fact, init_fact
from zmqnode.base.exchange import NodeState
from zmqnode.base.point import Point
from zmqnode.core.effects import Publish, Record
from zmqnode.core.owing import OWED_HEIGHTS_MAX
from zmqnode.core.records import BallotSigned, CertificateHeld, ValueHeld


@pytest.fixture
def four() -> Members:
    return Members(4)


def late(four: Members, tip: int) -> tuple[Node, Chain]:
    """A member that voted at height 1 and stalled there while the others went on to ``tip``."""
    chain = Chain(four, tip)
    node = Node(four)
    node.join()
    fall_behind(node, chain)
    return node, chain


def fall_behind(node: Node, chain: Chain) -> None:
    four, tip = node.members, len(chain.parts)
    node.hear(four.accept_vp(tip, 0, chain.value(tip), (1, 2, 3)))
    node.hear(*(four.status(i, tip, clock_ms=node.clock_ms) for i in (1, 2, 3)))
    node.wait(600)
    assert node.state is NodeState.SYNCING


def forget_published(node: Node) -> None:
    node.effects = [one for one in node.effects if not isinstance(one, Publish)]


def catch_up(node: Node, chain: Chain) -> list[int]:
    done: list[int] = []
    for _ in range(20):
        for peer, first, last in asked_ranges(node):
            node.serve(peer, *chain.served(first, last))
        done += execute_all(node)
        if len(done) == len(chain.parts):
            return done
        node.wait(100)
    raise AssertionError(f"only {done}")


def asked_ranges(node: Node) -> list[tuple[int, int, int]]:
    return [(peer, first, last) for peer, (first, last) in ranges(node).items()]


def decided(chain: Chain, height: int) -> list[Fact]:
    value, _, vp = chain.parts[height - 1]
    point = Point(height=height, round=0)
    assert vp.fact.block is not None
    return [init_fact(point, value.hash), accept_fact(point, value.hash, vp.fact.block)]


def test_a_late_member_signs_all_it_takes(four: Members) -> None:
    """Goal: a stall of some heights costs no ballot."""
    node, chain = late(four, 5)
    assert catch_up(node, chain) == [1, 2, 3, 4, 5]
    assert facts(node.effects) == [
        fact for height in range(1, 6) for fact in decided(chain, height)
    ]


def test_what_it_signs_rests_on_records_before_it(four: Members) -> None:
    """Goal: D1, D3, D5: value, seals and certificate are durable on the sync of the ballots."""
    node, chain = late(four, 3)
    catch_up(node, chain)
    records = [e.record for e in of(node.effects, Record)]
    kinds = [type(one) for one in records if not type(one).__name__.startswith("Execution")]
    assert kinds[:4] == [ValueHeld, CertificateHeld, BallotSigned, BallotSigned]
    synced = [e.sync for e in of(node.effects, Record) if isinstance(e.record, BallotSigned)]
    assert synced == [True, True] * 3


def test_who_starts_behind_was_away(four: Members) -> None:
    """Goal: a copy that comes back with its old disk signs nothing until it stands at the tip."""
    chain = Chain(four, 3)
    node = Node(four)
    node.boot()
    node.connect(1, 2, 3)
    node.answered(1, 2, 3)
    node.hear(*(four.status(i, 3) for i in (1, 2, 3)))
    assert catch_up(node, chain) == [1, 2, 3]
    assert facts(node.effects) == []


def test_before_d6_is_answered_it_signs_nothing(four: Members) -> None:
    chain = Chain(four, 3)
    node = Node(four)
    node.boot()
    node.connect(1, 2, 3)
    node.hear(*(four.status(i, 3) for i in (1, 2, 3)))
    node.machine.parts.late = True
    assert catch_up(node, chain) == [1, 2, 3]
    assert facts(node.effects) == []


def test_who_was_away_for_long_owes_only_the_newest(four: Members) -> None:
    """Goal: a bounded number of syncs in a catch-up."""
    tip = OWED_HEIGHTS_MAX + 3
    node, chain = late(four, tip)
    catch_up(node, chain)
    heights = sorted({fact.height for fact in facts(node.effects)})
    assert heights == list(range(4, tip + 1))


def test_who_gave_the_round_up_signs_nothing_else_there(four: Members) -> None:
    """Goal: one ACCEPT a point, also when its round was decided without this member."""
    node = Node(four)
    node.join()
    node.wait(5_000)  # No proposal came: it drew at height 1.
    assert draw_fact(Point(height=1, round=0)) in facts(node.effects)
    chain = Chain(four, 4)
    fall_behind(node, chain)
    forget_published(node)
    assert catch_up(node, chain) == [1, 2, 3, 4]
    assert {fact.height for fact in facts(node.effects)} == {2, 3, 4}


def test_no_second_block_for_a_value_it_accepted(four: Members) -> None:
    """Goal: D2, for one value never two blocks; an old version's ACCEPT binds a new one."""
    chain = Chain(four, 3)
    value = chain.value(1)
    wrong = accept_fact(Point(height=1, round=1), value.hash, four.block(chain.value(2)))
    node = Node(four)
    node.join(records=[BallotSigned(ballot=four.ballot(0, wrong))], watermark=four.ballot(0, wrong))
    moved(four, chain, round_=2)
    fall_behind(node, chain)
    forget_published(node)
    catch_up(node, chain)
    assert {fact.height for fact in facts(node.effects)} == {2, 3}


def moved(four: Members, chain: Chain, *, round_: int) -> None:
    """Block 1 was decided in a later round, above what this member signed."""
    value, seal, _ = chain.parts[0]
    chain.parts[0] = (value, seal, four.accept_vp(1, round_, value, (1, 2, 3)))
