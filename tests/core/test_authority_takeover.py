"""Takeovers, vetoes, forced handovers and cancels, clause by clause (HANDOVER.md section 1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zmqnode.base.handover import Mode, sign_cancel
from zmqnode.core.authority import is_spent
from zmqnode.core.authority_judging import Lift, judge

from .authority_world import PARAMS, World, address


def pending(n: int = 4, new: str = "n0.b") -> World:
    world = World(n)
    assert world.block(world.takeover(new)) == ["committed", "pending"]
    return world


def decided(n: int = 4) -> World:
    """A takeover whose veto window was over in the newest block."""
    world = pending(n)
    world.blocks(n - 1)
    assert world.block(dt=1_000) == ["acting"]
    return world


# Takeover.


def test_a_takeover_is_decided_when_its_veto_window_is_over_at_time_and_height() -> None:
    world = pending()
    h = world.height
    world.block(dt=1_000)
    assert world.decided() == ("n0.a", 0)  # h + 1: the time is over, the height is not.
    world.reach(h + 3)
    assert world.decided() == ("n0.a", 0)
    assert world.block() == ["acting"]
    g = world.height
    assert g == h + 4
    assert [world.voter(g + 1), world.voter(g + 2)] == [("n0.a", 0), ("n0.b", 1)]


def test_the_veto_window_needs_its_time_too() -> None:
    world = pending()
    opened_ms = world.time_ms
    world.blocks(20)
    world.block(dt=opened_ms + 999 - world.time_ms)
    assert world.decided() == ("n0.a", 0)
    assert world.block(dt=1) == ["acting"]


@pytest.mark.parametrize("n", [1, 2])
def test_takeover_and_forced_are_impossible_at_n_1_and_2(n: int) -> None:
    world = World(n)
    assert world.code(world.takeover("n0.b")) == "no_quorum"
    assert world.code(world.forced("n0.b")) == "no_quorum"


@pytest.mark.parametrize("mode", [Mode.TAKEOVER, Mode.FORCED])
def test_the_address_itself_vouches_for_no_takeover_or_forced(mode: Mode) -> None:
    world = World()
    switch = world.switch("n0.b", mode)
    own = world.handover(switch, ready=world.ready(switch, [0, 1, 2]))
    assert world.code(own) == "not_ready"
    assert world.code(world.handover(switch, ready=world.ready(switch, [1, 2, 3]))) is None


def test_a_veto_ends_a_pending_takeover() -> None:
    world = pending()
    veto = world.veto()
    assert world.block(veto) == ["vetoed"]
    assert world.decided() == ("n0.a", 0)
    assert world.code(veto) == "none_open"
    world.blocks(20, dt=500)
    assert world.decided() == ("n0.a", 0)


def test_a_veto_in_the_closing_block_counts() -> None:
    world = pending()
    world.blocks(3)
    assert world.block(world.veto(), dt=1_000) == ["vetoed"]
    assert world.decided() == ("n0.a", 0)


def test_a_veto_after_the_closing_block_does_not() -> None:
    world = pending()
    veto = world.veto()
    world.blocks(3)
    world.block(dt=1_000)
    assert world.code(veto) == "epoch_moved"


def test_a_veto_is_of_the_old_instance_in_the_expected_epoch() -> None:
    world = pending()
    veto = world.veto()
    assert world.code(replace(veto, epoch=1)) == "epoch_moved"
    assert world.code(replace(veto, old_instance=world.key("n0.c"))) == "epoch_moved"
    assert world.code(replace(veto, new_instance=world.key("n0.c"))) == "none_open"
    assert world.code(replace(veto, signature=world.ack().signature)) == "bad_signature"


def test_a_veto_stops_neither_planned_nor_forced() -> None:
    for make in (World.planned, World.forced):
        world = World()
        before = world.veto(session=pending().session())
        world.block(make(world, "n0.b"))
        assert world.code(before) == "epoch_moved"


def test_a_ballot_after_the_commit_counts_as_a_veto() -> None:
    """The value of block h carries the ACCEPT VP of h - 2."""
    world = pending()
    c = world.height
    assert world.block(voters=(0, 1, 2)) == []  # Of c - 1.
    assert world.block(voters=(0, 1, 2)) == []  # Of c itself: not after the commit.
    assert world.height == c + 2
    assert world.block(voters=(1, 2, 3)) == []  # Of c + 1, without the address.
    assert world.block(voters=(0, 1, 2), dt=1_000) == ["vetoed"]  # Also in the closing block.
    assert world.height == c + 4 and world.decided() == ("n0.a", 0)


def test_a_ballot_of_the_new_instance_is_no_veto() -> None:
    world = decided()
    world.blocks(2)
    assert world.block(voters=(0, 1, 2, 3)) == []
    assert world.decided() == ("n0.b", 1)


def test_a_takeover_without_ack_stays() -> None:
    world = decided()
    g = world.height
    world.reach(g + 2)
    world.blocks(3)
    assert world.block(dt=2_000) == ["closed"]
    assert world.decided() == ("n0.b", 1)
    assert is_spent(world.state, world.height, address(0), world.key("n0.a"))
    world.blocks(2)
    assert world.code(world.planned("n0.c")) is None  # It can itself be replaced.
    assert world.code(world.takeover("n0.c")) == "handover_cooldown"


def test_an_acknowledged_takeover_is_done() -> None:
    world = decided()
    ack = world.ack()
    assert world.code(ack) == "wrong_state"
    world.blocks(1)
    assert world.block(ack) == ["acknowledged"]
    world.blocks(2)
    assert world.code(world.takeover("n0.c")) is None


def test_an_ack_of_a_pending_takeover_is_too_early() -> None:
    world = pending()
    assert world.code(world.ack()) == "wrong_state"


@pytest.mark.parametrize("end", ["veto", "ballot", "cancel"])
def test_a_takeover_closed_without_ack_cools_down(end: str) -> None:
    world = pending()
    world.blocks(2)
    if end == "veto":
        world.block(world.veto())
    elif end == "cancel":
        world.block(world.cancel("n0.b"))
    else:
        world.block(voters=(0, 1, 2))
    assert world.state.sessions == ()
    closed_ms = world.time_ms
    assert world.code(world.takeover("n0.c")) == "handover_open"
    world.block()
    refusal = judge(world.state, world.takeover("n0.c"), world.context(10))
    assert refusal is not None and refusal.code == "handover_cooldown"
    assert refusal.details == {"wait_ms": 4_980}
    assert world.code(world.planned("n0.c")) is None
    world.block(dt=closed_ms + 4_999 - world.time_ms)
    assert world.code(world.takeover("n0.c"), dt=1) is None


def test_the_key_of_a_vetoed_takeover_is_used() -> None:
    world = pending()
    world.block(world.veto())
    world.blocks(2, dt=5_000)
    assert world.code(world.takeover("n0.b")) == "not_standby"
    assert is_spent(world.state, world.height, address(0), world.key("n0.b"))


# Forced.


def test_a_forced_one_is_decided_at_once_and_never_vetoed() -> None:
    world = World()
    assert world.block(world.forced("n0.b")) == ["committed", "acting"]
    h = world.height
    assert [world.voter(h + 1), world.voter(h + 2)] == [("n0.a", 0), ("n0.b", 1)]
    world.blocks(2, dt=10)
    assert world.block(voters=(0, 1, 2)) == []  # A ballot of n0.a for h + 1 changes nothing.
    assert world.decided() == ("n0.b", 1)


@pytest.mark.parametrize(("n", "needed"), [(3, 1), (4, 2), (7, 3)])
def test_f_plus_1_other_members_co_sign(n: int, needed: int) -> None:
    world = World(n)
    switch = world.switch("n0.b", Mode.FORCED)
    few = world.handover(switch, cosigns=world.cosigns(switch, list(range(1, needed))))
    assert world.code(few) == "cosign_missing"
    own = [*world.cosigns(switch, [0]), *world.cosigns(switch, list(range(1, needed)))]
    assert world.code(world.handover(switch, cosigns=own)) == "cosign_missing"
    enough = world.handover(switch, cosigns=world.cosigns(switch, list(range(1, needed + 1))))
    assert world.code(enough) is None


def test_co_signatures_are_of_the_session_and_expire() -> None:
    world = World()
    switch = world.switch("n0.b", Mode.FORCED)
    other = world.cosigns(world.switch("n0.c", Mode.FORCED), [1, 2])
    assert world.code(world.handover(switch, cosigns=other)) == "cosign_missing"
    epoch = world.cosigns(replace(switch, epoch=1), [1, 2])
    assert world.code(world.handover(switch, cosigns=epoch)) == "cosign_missing"
    timed = world.cosigns(switch, [1, 2], expires_at_ms=world.time_ms + 10)
    assert world.code(world.handover(switch, cosigns=timed), dt=10) is None
    assert world.code(world.handover(switch, cosigns=timed), dt=11) == "cosign_missing"


def test_co_signatures_are_counted_with_the_suffrage_of_the_including_block() -> None:
    world = World(7, params=replace(PARAMS, open_handovers_max=2))
    world.block(world.planned("n1.b", 1))
    switch = world.switch("n0.b", Mode.FORCED)
    early = world.handover(switch, cosigns=world.cosigns(switch, [1, 2, 3]))
    assert world.code(early) is None
    world.block()
    ready = world.ready(switch, [1, 2, 3, 4, 5])
    again = world.handover(switch, cosigns=early.cosigns, ready=ready)
    assert world.code(again) == "cosign_missing"


def test_a_forced_one_replaces_a_pending_takeover_of_its_address() -> None:
    world = pending()
    assert world.block(world.forced("n0.c")) == ["replaced", "committed", "acting"]
    assert world.decided() == ("n0.c", 1)
    assert world.state.rests[0].takeover_until_ms == world.time_ms + 5_000
    world.blocks(20, dt=500)
    assert world.decided() == ("n0.c", 1)


def test_a_replaced_planned_one_neither_returns_nor_takes_an_ack() -> None:
    world = World()
    world.block(world.planned("n0.b"))
    world.blocks(2)
    ack = world.ack()
    assert world.block(world.forced("n0.c")) == ["replaced", "committed", "acting"]
    assert world.code(ack) == "none_open"
    assert world.state.rests[0].planned_until_ms == world.time_ms + 5_000
    world.blocks(2)
    world.block(world.ack())
    world.blocks(20, dt=500)
    assert world.decided() == ("n0.c", 2)


def test_a_forced_one_replaces_a_forced_one_and_nothing_cools() -> None:
    world = World()
    world.block(world.forced("n0.b"))
    assert world.block(world.forced("n0.c")) == ["replaced", "committed", "acting"]
    assert world.state.rests[0].planned_until_ms == world.state.rests[0].takeover_until_ms == 0
    assert world.decided() == ("n0.c", 2)


def test_a_forced_one_opens_in_the_block_after_a_close() -> None:
    """f + 1 blocks and cooldowns are for the others."""
    world = pending()
    world.block(world.veto())
    assert world.code(world.takeover("n0.c")) == "handover_open"
    assert world.code(world.planned("n0.c")) == "handover_open"
    assert world.code(world.forced("n0.c")) is None


def test_a_forced_one_waits_while_another_address_holds_the_last_slot() -> None:
    world = World(7, params=replace(PARAMS, open_handovers_max=2))
    world.block(world.planned("n1.b", 1), world.planned("n2.b", 2))
    assert world.code(world.forced("n0.b")) == "handover_open"
    assert world.code(world.forced("n1.c", 1)) is None


# Slots.


@pytest.mark.parametrize(
    ("n", "parameter", "slots"), [(1, 1, 1), (4, 33, 1), (7, 1, 1), (7, 2, 2), (7, 33, 2)]
)
def test_open_sessions_are_bounded(n: int, parameter: int, slots: int) -> None:
    world = World(n, params=replace(PARAMS, open_handovers_max=parameter))
    for index in range(slots):
        assert world.code(world.planned(f"n{index}.b", index)) is None
        world.block(world.planned(f"n{index}.b", index))
    last = min(slots, n - 1)
    assert world.code(world.planned(f"n{last}.c", last)) == "handover_open"


def test_a_slot_is_held_in_all_three_phases() -> None:
    world = pending()
    other = world.switch("n1.b", Mode.PLANNED, 1)
    for turn in range(12):
        code = world.code(world.handover(other))
        assert (code == "handover_open") == bool(world.state.sessions), turn
        world.block(dt=400)
    assert world.state.sessions == () and world.decided() == ("n0.b", 1)


def test_a_slot_freed_by_an_operation_serves_the_operations_after_it() -> None:
    world = pending()
    handover = world.planned("n1.b", 1)
    assert world.refused(handover) == "handover_open"
    assert world.refused(handover, world.veto()) == "handover_open"
    assert world.block(world.veto(), handover) == ["vetoed", "committed", "acting"]


def test_a_slot_freed_by_a_ballot_serves_the_next_block() -> None:
    world = pending()
    world.blocks(2)
    handover = world.planned("n1.b", 1)
    with pytest.raises(Exception, match="handover_open"):
        world.block(handover, voters=(0, 1, 2))
    assert world.block(voters=(0, 1, 2)) == ["vetoed"]
    assert world.block(handover) == ["committed", "acting"]


def test_a_slot_freed_by_a_window_serves_the_next_block() -> None:
    world = World()
    world.block(world.planned("n0.b"))
    world.blocks(5)
    assert world.refused(world.planned("n1.b", 1), dt=2_000) == "handover_open"
    assert world.block(dt=2_000) == ["returned"]
    assert world.refused(world.planned("n1.b", 1)) == "none"


def test_after_a_close_another_address_gets_in_first() -> None:
    world = World(7)  # f = 2
    world.block(world.planned("n0.b"))
    world.blocks(2)
    world.block(world.ack())
    closed = world.height
    for height in range(closed + 1, closed + 3):
        assert world.height + 1 == height
        assert world.code(world.planned("n0.c")) == "handover_open"
        assert world.code(world.planned("n1.b", 1)) is None
        world.block()
    assert world.code(world.planned("n0.c")) is None  # Block closed + f + 1.


def test_a_block_takes_at_most_n_operations() -> None:
    world = World()
    cancels = [world.cancel(f"n{i}.b", i) for i in range(4)]
    assert world.refused(*cancels) == "none"
    assert world.refused(*cancels, world.cancel("n0.c")) == "pool_full"


# Cancel.


def test_a_cancel_before_the_commit_keeps_the_key_out() -> None:
    world = World()
    handovers = [world.planned("n0.b"), world.takeover("n0.b"), world.forced("n0.b")]
    assert [world.code(one) for one in handovers] == [None] * 3
    assert world.block(world.cancel("n0.b")) == []
    assert [world.code(one) for one in handovers] == ["cancelled"] * 3
    assert world.code(world.cancel("n0.b")) == "too_late"
    assert world.code(world.planned("n0.b", 1)) is None  # At this address only.
    assert is_spent(world.state, world.height, address(0), world.key("n0.b"))


def test_nobody_can_make_a_copy_of_another_address_delete_its_key() -> None:
    """Goal: a cancel counts at its own address. Method: n1's identity cancels n0's standby."""
    world = World()
    world.block(sign_cancel(address(1), 0, world.key("n0.b"), world.signer("n1")))
    assert is_spent(world.state, world.height, address(1), world.key("n0.b"))
    assert not is_spent(world.state, world.height, address(0), world.key("n0.b"))
    assert world.code(world.planned("n0.b")) is None


def test_a_cancel_ends_a_pending_takeover_the_closing_block_included() -> None:
    world = pending()
    world.blocks(3)
    assert world.block(world.cancel("n0.b"), dt=1_000) == ["cancelled"]
    assert world.decided() == ("n0.a", 0)
    assert world.code(world.cancel("n0.b")) == "too_late"


def test_a_cancel_after_the_decision_is_too_late() -> None:
    world = decided()
    assert world.code(world.cancel("n0.b")) == "too_late"
    assert world.code(world.cancel("n0.b", epoch=0)) == "too_late"
    for make in (World.planned, World.forced):
        other = World()
        other.block(make(other, "n0.b"))
        assert other.code(other.cancel("n0.b")) == "too_late"
        assert other.code(other.cancel("n0.b", epoch=0)) == "too_late"


def test_a_cancel_is_of_the_identity_key_in_the_decided_epoch() -> None:
    world = World()
    key = world.key("n0.b")
    assert world.code(world.cancel("n0.b", epoch=1)) == "epoch_moved"
    wrong = sign_cancel(address(0), 0, key, world.signer("n1"))
    assert world.code(wrong) == "identity_mismatch"
    assert world.code(replace(wrong, identity=world.key("n0"))) == "bad_signature"


def test_a_cancel_holds_until_the_epoch_moves() -> None:
    world = World()
    world.block(world.cancel("n0.b"), world.planned("n0.c"))
    world.blocks(2)
    world.block(world.ack())
    world.blocks(2)
    assert world.state.cancelled == ()
    assert world.code(world.planned("n0.b")) is None


def test_at_most_16_keys_of_an_address_are_cancelled_at_a_time() -> None:
    world = World()
    for index in range(16):
        world.block(sign_cancel(address(0), 0, world.key(f"x{index}"), world.signer("n0")))
    more = sign_cancel(address(0), 0, world.key("x16"), world.signer("n0"))
    assert world.code(more) == "too_late"
    world.block(world.planned("n0.b"))
    assert world.code(replace(more, epoch=1)) == "bad_signature"  # No longer for want of room.


def test_a_used_key_cannot_be_cancelled() -> None:
    world = World()
    assert world.code(world.cancel("n0.a")) == "too_late"
    assert world.code(world.cancel("n1.a")) == "too_late"


# What a refusal says about later.


def test_a_node_behind_keeps_what_it_cannot_judge_yet() -> None:
    behind, ahead = World(), World()
    ahead.block(ahead.takeover("n0.b"))
    veto = judge(behind.state, ahead.veto(), behind.context())
    assert veto is not None and (veto.code, veto.lift) == ("none_open", Lift.CHANGE)
    ahead.blocks(3)
    ahead.block(dt=1_000)
    later = judge(behind.state, ahead.forced("n0.c"), behind.context())
    assert later is not None and (later.code, later.lift) == ("epoch_moved", Lift.CHANGE)
    early = judge(ahead.state, ahead.ack(), ahead.context())
    assert early is not None and (early.code, early.lift) == ("wrong_state", Lift.HEIGHT)
