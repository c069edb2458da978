"""Values, seals and the pool: what is judged by what, every reason code (DESIGN.md section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from zmqnode.base.ballot import draw_fact, init_fact
from zmqnode.base.params import Params
from zmqnode.base.point import Point
from zmqnode.base.proposal import Proposal, Value
from zmqnode.base.seal import Seal
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.effects import AnswerClient, Effect, PublishSeals
from zmqnode.core.events import ClockRead, SealsReceived
from zmqnode.core.world import PoolLimits

from .harness import (
    BORN_MS,
    EPOCH_MS,
    Members,
    Node,
    commits,
    facts,
    of,
    published,
)

NOW_MS = EPOCH_MS + BORN_MS


@pytest.fixture
def four() -> Members:
    return Members(4)


def verdict(node: Node, value: Value, *, pr: int = -1, round_: int = 0) -> str:
    """What a node at (h, 0) signs for a value proposed there: INIT, DRAW or nothing yet."""
    members = node.members
    leader = int(node.kernel.chain.leader(value.height, round_).address[1])
    reasons: Sequence[Voteproof] = node.parent_vp()
    if round_:
        node.hear(members.draw_vp(value.height, round_ - 1, (1, 2, 3)))
        reasons = [members.init_vp(value.height, pr, value, (1, 2, 3))]
    effects = node.hear(members.proposal(leader, round_, value, reasons=reasons, pr=pr))
    point = Point(height=value.height, round=round_)
    found = facts(effects)
    if init_fact(point, value.hash) in found:
        return "INIT"
    return "DRAW" if draw_fact(point) in found else "wait"


def at(tip: int, four: Members, params: Params | None = None, **chain: Any) -> Node:
    node = Node(four, params=params or Params())
    node.join(four.chain(tip, **chain))
    return node


# Time.


@pytest.mark.parametrize(
    ("time_ms", "expected"),
    [
        (EPOCH_MS + 1, "DRAW"),  # The parent's: must be after it.
        (EPOCH_MS + 2, "INIT"),  # No lower bound but that.
        (NOW_MS, "INIT"),
        (NOW_MS + 500, "INIT"),  # time_tolerance_ms.
        (NOW_MS + 501, "wait"),  # Too early is waited for, never called invalid.
    ],
)
def test_block_time_of_fresh_values(four: Members, time_ms: int, expected: str) -> None:
    node = at(1, four)
    value = four.value(node.tip, time_ms=time_ms)
    assert verdict(node, value) == expected


def test_a_time_ahead_of_the_tolerance_but_next_to_the_parents_is_right(four: Members) -> None:
    """max(parent + 1 ms, own clock + tolerance): the parent may be ahead of this clock."""
    node = at(1, four, time_ms=lambda height: NOW_MS + 9_000)
    assert verdict(node, four.value(node.tip, time_ms=NOW_MS + 9_001)) == "INIT"
    node = at(1, four, time_ms=lambda height: NOW_MS + 9_000)
    assert verdict(node, four.value(node.tip, time_ms=NOW_MS + 9_002)) == "wait"


def test_a_value_too_early_is_judged_when_its_time_has_come(four: Members) -> None:
    node = at(1, four)
    value = four.value(node.tip, time_ms=NOW_MS + 600)
    assert verdict(node, value) == "wait"
    point = Point(height=2, round=0)
    assert init_fact(point, value.hash) not in facts(node.wait(99))
    assert init_fact(point, value.hash) in facts(node.wait(1))


def test_a_certified_value_is_not_held_against_the_clock(four: Members) -> None:
    node = at(1, four)
    value = four.value(node.tip, time_ms=NOW_MS + 60_000)
    assert verdict(node, value, pr=0, round_=1) == "INIT"


def test_the_own_clock_is_the_one_read_last(four: Members) -> None:
    node = at(1, four)
    node.step(ClockRead(offset_ms=EPOCH_MS - 2_000))
    assert verdict(node, four.value(node.tip, time_ms=NOW_MS - 1_499)) == "wait"


# Parents, seals.


def test_another_parent_counts_as_not_sent(four: Members) -> None:
    node = at(1, four)
    assert verdict(node, four.value(four.chain(1, time_ms=lambda h: 5)[1])) == "wait"


def with_seals(node: Node, *seals: Seal, time_ms: int | None = None) -> Value:
    node.step(SealsReceived(seals=seals, source=node.members.instance(1)))
    return node.members.value(node.tip, time_ms=time_ms or NOW_MS, seals=seals)


@pytest.mark.parametrize(
    ("age_ms", "expected"),
    [(60_000, "INIT"), (60_001, "DRAW"), (-10_000, "INIT"), (-10_001, "DRAW")],
)
def test_age_of_seals_at_the_values_time(four: Members, age_ms: int, expected: str) -> None:
    """T - seal_ttl <= created <= T + seal_ahead, by the value's time T alone."""
    node = at(1, four)
    time_ms = NOW_MS - 200
    seal = four.seal(created_at_ms=time_ms - age_ms)
    value = four.value(node.tip, time_ms=time_ms, seals=[seal])
    assert verdict(node, value) == "wait"
    answer = SealsReceived(seals=(seal,), source=four.instance(2), pulled=True)
    found = facts(node.step(answer))
    point = Point(height=2, round=0)
    assert found == [init_fact(point, value.hash) if expected == "INIT" else draw_fact(point)]


def test_a_seal_twice_in_a_value_is_invalid(four: Members) -> None:
    node = at(1, four)
    seal = four.seal()
    value = with_seals(node, seal)
    doubled = four.value(node.tip, time_ms=NOW_MS, seals=[seal, seal])
    assert verdict(node, doubled) == "DRAW"
    assert verdict(at(1, four), value) == "wait"


def executed_seal(four: Members, node: Node) -> Seal:
    """A seal that stands in block 1."""
    seal = four.seal()
    node.pool_seals(seal)
    value = four.value(four.genesis, seals=[seal])
    node.hear(four.proposal(1, 0, value), four.accept_vp(1, 0, value, (1, 2, 3)))
    assert commits(node.executes(value)) == [1]
    return seal


def test_an_executed_seal_is_invalid(four: Members) -> None:
    node = Node(four)
    node.join()
    seal = executed_seal(four, node)
    value = four.value(node.tip, time_ms=node.tip.time_ms + 1, seals=[seal])
    assert verdict(node, value) == "DRAW"


def test_an_executed_seal_is_remembered_over_a_restart(four: Members) -> None:
    seal = four.seal()
    value = four.value(four.genesis, seals=[seal])
    block = four.summary(value, four.accept_vp(1, 0, value), [seal])
    node = Node(four)
    node.join([four.genesis, block])
    assert verdict(node, four.value(node.tip, seals=[seal])) == "DRAW"


def test_an_executed_seal_sent_again_is_harmless_and_goes_nowhere(four: Members) -> None:
    node = Node(four)
    node.join()
    seal = executed_seal(four, node)
    effects = node.step(SealsReceived(seals=(seal,), token="t"))
    assert effects == [AnswerClient(token="t", seal=seal.hash, code=None)]
    assert len(node.kernel.pool) == 0


def test_the_index_forgets_when_block_time_is_beyond_age_and_ttl(four: Members) -> None:
    """Until block time > created + ttl; then its age alone keeps it out."""
    node = Node(four)
    node.join()
    seal = executed_seal(four, node)
    chain = node.kernel.chain

    def block(time_ms: int) -> None:
        carried = chain.block(node.tip.height - 1).accept if node.tip.height > 1 else None
        value = four.value(node.tip, time_ms=time_ms, accept=carried)
        vp = four.accept_vp(value.height, 0, value, (1, 2, 3))
        node.hear(vp)
        node.serve(1, four.full_block(value), vp)
        assert commits(node.executes(value)) == [value.height]

    block(seal.created_at_ms + 60_000)
    assert chain.executed(seal.hash)
    block(seal.created_at_ms + 60_001)
    assert not chain.executed(seal.hash)


# Bounds.


def test_operations_of_a_block(four: Members) -> None:
    params = Params(block_operations_max=1_000)
    node = at(1, four, params)
    most = [four.seal(operations=500), four.seal(operations=500)]
    assert verdict(node, with_seals(node, *most)) == "INIT"
    node = at(1, four, params)
    assert verdict(node, with_seals(node, *most, four.seal())) == "DRAW"


def test_seals_of_a_block_by_their_number_alone(four: Members) -> None:
    node = at(1, four, Params(block_operations_max=1_000))
    names = tuple(bytes([i % 256, i // 256] + [9] * 30) for i in range(1_001))
    value = Value(
        height=2,
        parent=node.tip.hash,
        time_ms=NOW_MS,
        seals=names,  # type: ignore[arg-type]
        accept=None,
    )
    assert verdict(node, value) == "DRAW"  # Not pulled first.


def test_bytes_of_a_block(four: Members) -> None:
    one = four.seal(size=10_000)
    params = Params(block_bytes_max=2 * len(one.data), seal_bytes_max=16_384)
    node = at(1, four, params)
    assert verdict(node, with_seals(node, one, four.seal(size=10_000))) == "INIT"
    node = at(1, four, params)
    assert verdict(node, with_seals(node, one, four.seal(size=10_001))) == "DRAW"


def test_bytes_of_a_seal(four: Members) -> None:
    params = Params(seal_bytes_max=16_384)
    for size, expected in ((16_384, "INIT"), (16_385, "DRAW")):
        node = at(1, four, params)
        seal = four.seal(size=size - (len(four.seal(size=16_000).data) - 16_000))
        assert len(seal.data) == size
        value = four.value(node.tip, time_ms=NOW_MS, seals=[seal])
        assert verdict(node, value) == "wait"
        effects = node.step(SealsReceived(seals=(seal,), source=four.instance(2), pulled=True))
        point = Point(height=2, round=0)
        want = init_fact(point, value.hash) if expected == "INIT" else draw_fact(point)
        assert facts(effects) == [want]


# The ACCEPT VP of h - 2.


def carried(four: Members, case: str) -> tuple[Node, Value]:
    node = at(2, four)
    first, second = node.kernel.chain.block(1), node.kernel.chain.block(2)
    other = four.value(four.genesis, time_ms=1)
    true = first.accept
    vp = {
        "all": true,
        "q": four.vp(true.fact, (0, 2, 3)),
        "of another round": four.vp(four.accept_vp(1, 7, other, block=first.hash).fact),
        "q - 1": four.vp(true.fact, (0, 2)),
        "of the parent": second.accept,
        "of another block": four.accept_vp(1, 0, other),
        "forged": Voteproof(
            fact=true.fact,
            signatures=(*true.signatures[:2], (four.addresses[2], bytes(64))),  # type: ignore[arg-type]
        ),
        "one forged beside q": Voteproof(
            fact=true.fact,
            signatures=(*true.signatures[:3], (four.addresses[3], bytes(64))),  # type: ignore[arg-type]
        ),
        "by a stranger": Voteproof(
            fact=true.fact,
            signatures=(*true.signatures[:3], ("zsas", true.signatures[3][1])),  # type: ignore[arg-type]
        ),
    }[case]
    return node, four.value(node.tip, time_ms=NOW_MS, accept=vp)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("all", "INIT"),
        ("q", "INIT"),
        ("q - 1", "DRAW"),
        ("of the parent", "DRAW"),
        ("of another block", "DRAW"),
        ("forged", "DRAW"),
        ("one forged beside q", "DRAW"),
        ("by a stranger", "DRAW"),
    ],
)
def test_the_carried_voteproof(four: Members, case: str, expected: str) -> None:
    node, value = carried(four, case)
    assert verdict(node, value) == expected


def test_the_carried_voteproof_may_be_of_another_round_of_the_same_block(four: Members) -> None:
    """Nodes hold different VPs of one block, all of them valid."""
    node = at(2, four)
    first = node.kernel.chain.block(1)
    value = four.value(four.genesis, time_ms=EPOCH_MS + 1)
    assert value.hash == first.value
    other = four.accept_vp(1, 4, value, (0, 1, 3))
    assert verdict(node, four.value(node.tip, time_ms=NOW_MS, accept=other)) == "INIT"


def test_a_leader_carries_what_it_holds(four: Members) -> None:
    node = Node(four, me=3)
    chain = four.chain(2, voters=lambda height: (0, 1, 3))
    node.join(chain)
    (proposal,) = published(node.pool_seals(four.seal()), Proposal)
    assert proposal.value.accept == chain[1].accept


# The pool.


def answers(effects: Sequence[Effect]) -> list[str | None]:
    return [answer.code for answer in of(effects, AnswerClient)]


def pooled(four: Members, **limits: int) -> Node:
    node = Node(four, pool=PoolLimits(**limits))
    node.join(four.chain(1))
    return node


def test_a_clients_seal_is_kept_published_and_answered(four: Members) -> None:
    node = pooled(four)
    seal = four.seal()
    effects = node.step(SealsReceived(seals=(seal,), token=7))
    assert of(effects, AnswerClient) == [AnswerClient(token=7, seal=seal.hash, code=None)]
    assert of(effects, PublishSeals) == [PublishSeals(seals=(seal,))]
    assert node.kernel.pool.get(seal.hash) is seal


def test_a_peers_seal_is_kept_and_not_published_again(four: Members) -> None:
    node = pooled(four)
    seal = four.seal()
    effects = node.step(SealsReceived(seals=(seal,), source=four.instance(2)))
    assert of(effects, PublishSeals) == []
    assert len(node.kernel.pool) == 1


def test_the_same_seal_again_is_no_refusal_and_not_published(four: Members) -> None:
    node = pooled(four)
    seal = four.seal()
    node.pool_seals(seal)
    effects = node.pool_seals(seal, token="again")
    assert answers(effects) == [None]
    assert of(effects, PublishSeals) == []
    assert len(node.kernel.pool) == 1


def test_reason_seal_too_large(four: Members) -> None:
    node = Node(four, params=Params(seal_bytes_max=16_384))
    node.join(four.chain(1))
    assert answers(node.pool_seals(four.seal(size=16_385), token=1)) == ["seal_too_large"]


@pytest.mark.parametrize(
    ("age_ms", "code"),
    [
        (60_000, None),
        (60_001, "seal_expired"),
        (-10_000, None),
        (-10_001, "seal_too_early"),
    ],
)
def test_reasons_seal_expired_and_seal_too_early(
    four: Members, age_ms: int, code: str | None
) -> None:
    node = pooled(four)
    assert answers(node.pool_seals(four.seal(created_at_ms=NOW_MS - age_ms), token=1)) == [code]


def test_reason_pool_full_by_number(four: Members) -> None:
    node = pooled(four, seals_max=2)
    seals = [four.seal(sender=f"s{i}") for i in range(3)]
    assert answers(node.pool_seals(*seals, token=1)) == [None, None, "pool_full"]
    assert node.kernel.pool.refused == {"pool_full": 1}


def test_reason_pool_full_by_bytes(four: Members) -> None:
    one, two = four.seal(size=1_000, sender="a"), four.seal(size=1_000, sender="b")
    node = pooled(four, bytes_max=len(one.data) + len(two.data) - 1)
    assert answers(node.pool_seals(one, two, token=1)) == [None, "pool_full"]
    node = pooled(four, bytes_max=len(one.data) + len(two.data))
    assert answers(node.pool_seals(one, two, token=1)) == [None, None]


def test_reason_sender_quota_by_number(four: Members) -> None:
    node = pooled(four, sender_seals_max=2)
    seals = [four.seal() for _ in range(3)]
    assert answers(node.pool_seals(*seals, token=1)) == [None, None, "sender_quota"]
    assert answers(node.pool_seals(four.seal(sender="another"), token=1)) == [None]


def test_reason_sender_quota_by_bytes(four: Members) -> None:
    one, two = four.seal(size=10_000), four.seal(size=10_000)
    node = pooled(four, sender_bytes_max=len(one.data) + len(two.data) - 1)
    assert answers(node.pool_seals(one, two, token=1)) == [None, "sender_quota"]


def test_room_comes_back_with_the_block(four: Members) -> None:
    node = Node(four, pool=PoolLimits(seals_max=1, sender_seals_max=1))
    node.join()
    seal = executed_seal(four, node)
    assert node.kernel.pool.bytes == node.kernel.pool.operations == 0
    assert answers(node.pool_seals(four.seal(), token=1)) == [None]
    assert node.kernel.pool.get(seal.hash) is not None  # For peers that still miss it.


def test_expired_seals_go_whatever_arrived_before_them(four: Members) -> None:
    """Goal: an expired seal is no work and takes no room. Method: a younger one came first."""
    node = pooled(four)
    young, old = four.seal(created_at_ms=NOW_MS), four.seal(created_at_ms=NOW_MS - 59_000)
    node.pool_seals(young, old)
    node.wait(1_600)
    assert node.kernel.pool.get(old.hash) is None
    assert len(node.kernel.pool) == 1


def test_what_a_value_needs_is_taken_beyond_the_bounds(four: Members) -> None:
    """The bounds guard the pool only; they decide nothing on the chain."""
    node = pooled(four, seals_max=1)
    node.pool_seals(four.seal())
    seal = four.seal()
    value = four.value(node.tip, time_ms=NOW_MS, seals=[seal])
    assert verdict(node, value) == "wait"
    effects = node.step(SealsReceived(seals=(seal,), source=four.instance(2), pulled=True))
    assert facts(effects) == [init_fact(Point(height=2, round=0), value.hash)]
    assert len(node.kernel.pool) == 1


def test_what_nobody_needs_is_not(four: Members) -> None:
    node = pooled(four, seals_max=1)
    node.pool_seals(four.seal())
    seal = four.seal()
    node.step(SealsReceived(seals=(seal,), source=four.instance(2), pulled=True))
    assert node.kernel.pool.get(seal.hash) is None


def test_a_fresh_value_takes_the_oldest_arrivals_within_a_blocks_bounds(four: Members) -> None:
    node = Node(four, me=2, params=Params(block_operations_max=1_000, block_interval_ms=300))
    node.join(four.chain(1))
    seals = [four.seal(operations=count) for count in (600, 300, 200, 100)]
    node.pool_seals(*seals)
    (proposal,) = published(node.wait(300), Proposal)
    # 200 do not fit any more, and 100 do not overtake them.
    assert proposal.value.seals == (seals[0].hash, seals[1].hash)


def test_a_fresh_value_takes_no_seal_too_old_for_its_time(four: Members) -> None:
    ahead = NOW_MS + 30_000
    node = Node(four, me=2)
    node.join(four.chain(1, time_ms=lambda height: ahead))
    old, young = four.seal(created_at_ms=NOW_MS - 40_000), four.seal()
    (proposal,) = published(node.pool_seals(old), Proposal)
    assert proposal.value.seals == ()
    node = Node(four, me=2)
    node.join(four.chain(1, time_ms=lambda height: ahead))
    (proposal,) = published(node.pool_seals(young), Proposal)
    assert proposal.value.seals == (young.hash,)
