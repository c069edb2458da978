"""Planned handovers on the chain, clause by clause (HANDOVER.md section 1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zmqnode.base.handover import Mode, sign_consent, sign_possession
from zmqnode.core.authority import is_spent, suffrage

from .authority_world import PARAMS, World, address


def test_a_change_of_block_h_is_in_force_at_h_plus_2() -> None:
    world = World()
    assert world.block(world.planned("n0.b")) == ["committed", "acting"]
    h = world.height
    assert [world.voter(h - 1), world.voter(h), world.voter(h + 1)] == [("n0.a", 0)] * 3
    assert world.voter(h + 2) == ("n0.b", 1)
    world.block()
    assert [world.voter(h), world.voter(h + 1)] == [("n0.a", 0)] * 2
    assert [world.voter(h + 2), world.voter(h + 3)] == [("n0.b", 1)] * 2


def test_the_suffrage_two_ahead_is_the_decided_table() -> None:
    world = World()
    world.block(world.planned("n0.b"))
    assert suffrage(world.state, world.height + 2) is world.state.members


def test_the_url_hint_moves_with_the_vote_and_returns_with_it() -> None:
    world = World()
    world.block(world.planned("n0.b"))
    assert world.state.members.members[0].url == "tcp://n0.b:1"
    world.blocks(2)
    world.blocks(4, dt=500)
    assert world.decided() == ("n0.a", 2)
    assert world.state.members.members[0].url == "tcp://n0.a:1"


def test_the_handover_names_the_decided_epoch_and_instance() -> None:
    world = World()
    wrong_instance = world.switch("n0.b", Mode.PLANNED, old_instance=world.key("n0.c"))
    assert world.code(world.handover(wrong_instance)) == "epoch_moved"
    ahead = world.switch("n0.b", Mode.PLANNED, epoch=1)
    assert world.code(world.handover(ahead)) == "epoch_moved"
    late = world.planned("n0.c")
    world.block(world.planned("n0.b"))
    assert world.code(late) == "epoch_moved"


def test_a_change_right_after_one_names_its_new_instance_though_it_is_not_in_force() -> None:
    world = World()
    world.block(world.planned("n0.b"))
    h = world.height
    forced = world.forced("n0.c")  # Names n0.b, epoch 1: decided, in force at h + 2 only.
    assert forced.switch.old_instance == world.key("n0.b") and forced.epoch == 1
    world.block(forced)
    assert world.voter(h + 1) == ("n0.a", 0)
    assert world.voter(h + 2) == ("n0.b", 1)
    assert world.voter(h + 3) == ("n0.c", 2)


def test_two_changes_in_one_block_leave_the_first_without_a_height() -> None:
    world = World()
    first = world.planned("n0.b")
    second = world.forced("n0.c", epoch=1, old_instance=world.key("n0.b"))
    world.block(first, second)
    h = world.height
    assert [world.voter(h), world.voter(h + 1)] == [("n0.a", 0)] * 2
    assert world.voter(h + 2) == ("n0.c", 2)
    world.block()
    assert world.voter(h + 2) == ("n0.c", 2)


def test_it_is_valid_up_to_its_expiry() -> None:
    world = World()
    handover = world.planned("n0.b", expires_at_ms=world.time_ms + 10)
    assert world.code(handover, dt=10) is None
    assert world.code(handover, dt=11) == "expired"


def test_only_the_identity_key_can_sign_it() -> None:
    world = World()
    good = world.planned("n0.b")
    assert world.code(replace(good, reason="other")) == "bad_signature"
    assert world.code(replace(good, identity=world.key("n1"))) == "identity_mismatch"


def test_consent_is_of_the_old_instance_for_just_this() -> None:
    world = World()
    switch = world.switch("n0.b", Mode.PLANNED)
    for wrong in (
        sign_consent(switch, world.signer("n1.a")),
        sign_consent(world.switch("n0.c", Mode.PLANNED), world.signer("n0.a")),
        sign_consent(replace(switch, epoch=1), world.signer("n0.a")),
        sign_consent(replace(switch, expires_at_ms=switch.expires_at_ms - 1), world.signer("n0.a")),
    ):
        assert world.code(world.handover(switch, consent=wrong)) == "consent_refused"


def test_possession_covers_address_and_epoch() -> None:
    world = World()
    switch = world.switch("n0.b", Mode.PLANNED)
    for wrong in (
        sign_possession(switch, world.signer("n0.a")),
        sign_possession(replace(switch, epoch=1), world.signer("n0.b")),
        sign_possession(replace(switch, address=address(1)), world.signer("n0.b")),
    ):
        assert world.code(world.handover(switch, possession=wrong)) == "bad_signature"


@pytest.mark.parametrize(("n", "q"), [(1, 1), (2, 2), (3, 2), (4, 3), (7, 5)])
def test_q_members_hold_it_for_ready_the_address_itself_among_them(n: int, q: int) -> None:
    world = World(n)
    switch = world.switch("n0.b", Mode.PLANNED)
    few = world.handover(switch, ready=world.ready(switch, list(range(q - 1))))
    assert world.code(few) == "not_ready"
    enough = world.handover(switch, ready=world.ready(switch, list(range(q))))
    assert world.code(enough) is None


def test_readiness_is_young_in_block_time() -> None:
    world = World()
    switch = world.switch("n0.b", Mode.PLANNED)
    handover = world.handover(switch, ready=world.ready(switch, [1, 2, 3]))
    assert world.code(handover, dt=PARAMS.ready_ttl_ms) is None
    assert world.code(handover, dt=PARAMS.ready_ttl_ms + 1) == "not_ready"


def test_readiness_of_a_block_time_still_to_come_does_not_count() -> None:
    world = World()
    switch = world.switch("n0.b", Mode.PLANNED)
    ahead = world.ready(switch, [1, 2, 3], time_ms=world.time_ms + 10)
    assert world.code(world.handover(switch, ready=ahead), dt=10) == "not_ready"
    assert world.code(world.handover(switch, ready=ahead), dt=11) is None


def test_readiness_names_url_key_and_epoch_and_has_a_members_signature() -> None:
    world = World()
    switch = world.switch("n0.b", Mode.PLANNED)
    for other in (
        replace(switch, url="tcp://elsewhere:1"),
        world.switch("n0.c", Mode.PLANNED),
        replace(switch, epoch=1),
        replace(switch, address=address(1)),
    ):
        ready = world.ready(other, [1, 2, 3])
        assert world.code(world.handover(switch, ready=ready)) == "not_ready"
    good = world.ready(switch, [1, 2, 3])
    forged = (*good[:2], replace(good[2], signature=good[1].signature))
    assert world.code(world.handover(switch, ready=forged)) == "not_ready"
    with_a_bad_one = world.ready(switch, [0, 1, 2])
    with_a_bad_one = (*with_a_bad_one, replace(good[2], signature=good[1].signature))
    assert world.code(world.handover(switch, ready=with_a_bad_one)) is None


def test_readiness_is_counted_with_the_suffrage_of_the_including_block() -> None:
    """Goal: not the decided table nor suffrage(h+1). Method: a member whose instance just moved."""
    world = World(7, params=replace(PARAMS, open_handovers_max=2))
    world.block(world.planned("n1.b", 1))
    h = world.height  # n1.b votes from h + 2 on.
    switch = world.switch("n0.b", Mode.PLANNED)
    voters = [1, 2, 3, 4, 5]
    early = world.handover(switch, ready=world.ready(switch, voters))  # Signed by n1.a.
    assert world.code(early) is None  # In block h + 1.
    world.block()
    assert (world.height, world.voter(h + 2, 1)) == (h + 1, ("n1.b", 1))
    assert world.code(early) == "not_ready"  # In block h + 2.
    late = world.handover(switch, ready=world.ready(switch, voters))  # Signed by n1.b.
    assert world.code(late) is None


def test_a_key_is_used_once_at_any_address() -> None:
    world = World()
    assert world.code(world.planned("n0.a")) == "already_active"
    assert world.code(world.planned("n1.a")) == "not_standby"  # Genesis keys are used.
    world.block(world.planned("n0.b"))
    world.reach(world.height + 2)
    world.block(world.ack())
    world.blocks(3)
    assert world.code(world.planned("n0.a")) == "not_standby"
    assert world.code(world.planned("n0.b", 1)) == "not_standby"


def test_an_identity_key_is_no_instance_key() -> None:
    world = World()
    switch = world.switch("n0.b", Mode.PLANNED, new_instance=world.key("n1"))
    possession = sign_possession(switch, world.signer("n1"))
    assert world.code(world.handover(switch, possession=possession)) == "not_standby"


def test_nobody_but_a_member_hands_over() -> None:
    world, other = World(4), World(5)
    assert world.code(other.planned("n4.b", 4)) == "not_found"


def test_the_vote_returns_when_the_ack_window_is_over() -> None:
    """Time and height; n = 4, a window of 2,000 ms from block g + 2."""
    world = World()
    world.block(world.planned("n0.b"))
    g = world.height
    world.reach(g + 2)
    opened_ms = world.time_ms
    world.block(dt=2_000)
    assert world.height == g + 3 and world.decided() == ("n0.b", 1)  # Time alone is not enough.
    world.reach(g + 5)
    assert world.decided() == ("n0.b", 1)
    assert world.block() == ["returned"]
    assert world.height == g + 2 + 4 and world.time_ms >= opened_ms + 2_000
    k = world.height
    assert world.decided() == ("n0.a", 2)
    assert world.voter(k + 1) == ("n0.b", 1)
    assert world.voter(k + 2) == ("n0.a", 2)


def test_the_ack_window_needs_its_time_too() -> None:
    world = World()
    world.block(world.planned("n0.b"))
    world.blocks(2)
    opened_ms = world.time_ms
    world.blocks(20)
    world.block(dt=opened_ms + 1_999 - world.time_ms)
    assert world.decided() == ("n0.b", 1)
    assert world.block(dt=1) == ["returned"]


def test_an_ack_counts_from_the_first_height_to_the_closing_block() -> None:
    world = World()
    world.block(world.planned("n0.b"))
    g = world.height
    assert world.code(world.ack()) == "wrong_state"  # In block g + 1.
    world.block()
    assert world.code(world.ack()) is None  # In block g + 2.
    world.reach(g + 5)
    ack = world.ack()
    assert world.block(ack, dt=5_000) == ["acknowledged"]  # The closing block, g + 6.
    assert world.decided() == ("n0.b", 1)
    assert world.code(ack) == "none_open"


def test_an_ack_after_the_close_is_never_valid() -> None:
    world = World()
    world.block(world.planned("n0.b"))
    world.blocks(2)
    ack = world.ack()
    world.blocks(4, dt=500)
    assert world.decided() == ("n0.a", 2)
    assert world.code(ack) == "none_open"
    world.blocks(5, dt=5_000)
    world.block(world.planned("n0.c"))
    world.blocks(2)
    assert world.code(ack) == "none_open"


def test_an_ack_is_of_the_sessions_key_and_epoch() -> None:
    world = World()
    world.block(world.planned("n0.b"))
    world.blocks(2)
    good = world.ack()
    assert world.code(replace(good, epoch=0)) == "none_open"
    assert world.code(replace(good, epoch=2)) == "none_open"
    assert world.code(replace(good, instance=world.key("n0.c"))) == "none_open"
    assert world.code(replace(good, signature=world.veto().signature)) == "bad_signature"


def test_a_return_may_happen_again_after_a_new_planned_handover() -> None:
    world = World()
    for new, epoch in (("n0.b", 2), ("n0.c", 4)):
        world.block(world.planned(new))
        world.blocks(2)
        world.blocks(4, dt=500)
        assert world.decided() == ("n0.a", epoch)
        world.blocks(2, dt=5_000)


def test_an_acknowledged_handover_cools_nothing() -> None:
    world = World()
    world.block(world.planned("n0.b"))
    world.blocks(2)
    world.block(world.ack())
    k = world.height
    again = world.planned("n0.c")
    assert world.code(again) == "handover_open"  # f + 1 = 2 blocks later, not before.
    world.block()
    assert world.height + 1 == k + 2
    assert world.code(again) is None


def test_a_returned_handover_cools_its_own_mode_at_its_own_address() -> None:
    world = World(7)
    world.block(world.planned("n0.b"))
    world.blocks(2)
    world.blocks(7, dt=500)
    assert world.decided() == ("n0.a", 2)
    closed_ms = world.time_ms
    world.blocks(3)
    assert world.code(world.planned("n0.c")) == "handover_cooldown"
    assert world.code(world.takeover("n0.c")) is None
    assert world.code(world.planned("n1.b", 1)) is None
    world.block(dt=closed_ms + 4_900 - world.time_ms)
    again = world.planned("n0.c")
    assert world.code(again, dt=99) == "handover_cooldown"
    assert world.code(again, dt=100) is None  # A block with time >= closing time + cooldown.


def test_spent_is_said_once_nothing_can_bring_a_key_back() -> None:
    world = World()
    old, new = world.key("n0.a"), world.key("n0.b")
    assert not is_spent(world.state, world.height, address(0), new)  # Never used.
    world.block(world.planned("n0.b"))
    g = world.height
    world.reach(g + 2)
    assert world.voter(g + 2) == ("n0.b", 1)
    assert not is_spent(world.state, world.height, address(0), old)  # The vote may return to it.
    world.block(world.ack())
    assert is_spent(world.state, world.height, address(0), old)
    assert not is_spent(world.state, world.height, address(0), new)


def test_after_a_return_the_new_key_is_spent_when_it_has_no_height_left() -> None:
    world = World()
    world.block(world.planned("n0.b"))
    world.blocks(2)
    world.blocks(4, dt=500)
    k, new = world.height, world.key("n0.b")
    assert [is_spent(world.state, world.height, address(0), new)] == [
        False
    ]  # Votes at k and k + 1.
    world.block()
    assert not is_spent(world.state, world.height, address(0), new)
    world.block()
    assert world.height == k + 2 and is_spent(world.state, world.height, address(0), new)
    assert not is_spent(world.state, world.height, address(0), world.key("n0.a"))
