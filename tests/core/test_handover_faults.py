"""Handovers over slow and lossy links, behind pauses and cuts, over partitions; forced ones."""

from __future__ import annotations

import pytest

from zmqnode.base.exchange import NodeState
from zmqnode.base.handover import Mode
from zmqnode.base.params import Params
from zmqnode.core.authority_moves import Turn
from zmqnode.core.events import CancelAsked

from .handing_faults import (
    FaultyWorld,
    Paused,
    cosigns,
    ended,
    heal,
    isolate,
    over,
    split,
    start,
    turns,
    voter,
)
from .handing_world import Copy, World


def test_a_round_trip_longer_than_the_question_is_repeated() -> None:
    """Goal: consent arrives after the next question was sent, and still counts."""
    world = FaultyWorld(delays=range(150, 161)).up()
    new = world.standby("a0", "a0b")
    world.run(6000)
    start(new)
    assert world.run(30_000, lambda: over(new)), new.view
    assert ended(new) == ("done", None)
    world.check()


def test_words_that_take_long_do_not_lose_the_old_copy() -> None:
    """Goal: the silence of a copy that was not asked yet is none."""
    world = World().up()
    new = world.standby("a0", "a0b")
    world.run(1500)
    split(world, ["a0b"], ["a1", "a2", "a3"])
    start(new)
    world.run(7000)
    assert not over(new)
    heal(world)
    assert world.run(20_000, lambda: over(new)) and ended(new) == ("done", None)
    world.check()


@pytest.mark.parametrize("seed", range(3))
def test_loss_delay_and_reorder(seed: int) -> None:
    """Goal: a third of the messages lost, 1 to 80 ms: one voter a height, and an end."""
    world = FaultyWorld(seed=seed, delays=range(1, 81)).up()
    new = world.standby("a0", "a0b")
    world.run(4000)
    world.loss = 0.3
    start(new)
    assert world.run(90_000, lambda: over(new)), new.view
    world.loss = 0.0
    world.run(15_000)
    world.check()
    entitled = new if voter(world, "a0sas") == new.instance else world["a0"]
    assert entitled.state is NodeState.CONSENSUS


def ignored(copy: Copy) -> int:
    """Ballots that it saw and did not take, of instances without a vote."""
    kernel = copy.machine.kernel
    assert kernel is not None
    return kernel.ignored_ballots


def test_a_pause_over_the_switch() -> None:
    """Goal: A stopped between h and h + 2 wakes to a burst, votes no more and retires."""
    world = World().up()
    new, old = world.standby("a0", "a0b"), world["a0"]
    world.run(1500)
    start(new)
    assert world.run(10_000, lambda: Turn.COMMITTED in turns(world))
    pause = Paused(old)
    assert world.run(15_000, lambda: over(new)) and ended(new) == ("done", None)
    world.run(3000)
    pause.resume()
    world.run(6000)
    assert old.state is NodeState.SYNCING and old.keys == 1
    world.check()


def test_a_copy_cut_off_before_the_takeover_retires_by_itself() -> None:
    """Goal: cut off from all, it never votes beyond, and is a standby once it hears of it."""
    world = World().up()
    new, old = world.standby("a0", "a0b"), world["a0"]
    world.run(1500)
    isolate(world, "a0")
    world.run(2500)
    start(new, Mode.TAKEOVER)
    assert world.run(30_000, lambda: over(new)) and ended(new) == ("done", None)
    heal(world)
    world.run(8000)
    assert old.state is NodeState.SYNCING and old.keys == 1
    counts = {name: ignored(world[name]) for name in ("a1", "a2", "a3")}
    assert any(counts.values()), counts
    world.check()


def test_a_copy_that_catches_up_takes_no_voter_for_a_zombie() -> None:
    """Goal: who votes beyond the blocks it has, it cannot know: that is no ignored ballot."""
    world = World().up()
    new = world.standby("a0", "a0b")
    world.run(1500)
    start(new)
    assert world.run(10_000, lambda: over(new)) and ended(new) == ("done", None)
    world.run(3000)
    late = world.standby("a1", "a1b")
    world.run(6000)
    assert late.tip >= new.tip - 1
    assert [ignored(late), ignored(world["a2"])] == [0, 0]
    world.check()


def test_two_halves_with_a_copy_each() -> None:
    """Goal: 2 of 4 on each side decide nothing; healed, exactly one copy votes."""
    world = World().up()
    new, old = world.standby("a0", "a0b"), world["a0"]
    world.run(1500)
    start(new)
    assert world.run(10_000, lambda: new.view.phase == "submitted")
    split(world, ["a0", "a1"], ["a0b", "a2", "a3"])
    world.run(8000)
    heal(world)
    world.run(40_000)
    assert over(new), new.view
    states = [copy.state for copy in (old, new)]
    assert sorted(states) == sorted([NodeState.CONSENSUS, NodeState.SYNCING])
    world.check()


@pytest.mark.parametrize("mode", [Mode.TAKEOVER, Mode.PLANNED])
def test_forced_replaces_an_open_session(mode: Mode) -> None:
    """Goal: f + 1 co-signers outvote what another copy has open; that copy is told."""
    world = World().up()
    other, new = world.standby("a0", "a0b"), world.standby("a0", "a0c")
    world.run(1500)
    if mode is Mode.TAKEOVER:
        world["a0"].stop()
    world.run(2500)
    start(other, mode)
    phase = "pending" if mode is Mode.TAKEOVER else "acting"
    assert world.run(20_000, lambda: other.view.phase == phase)
    other.stop()
    world.run(20)
    start(new, Mode.FORCED, cosigns=cosigns(world, new, ["a1", "a2"]))
    assert world.run(25_000, lambda: over(new)), new.view
    assert ended(new) == ("done", None) and Turn.REPLACED in turns(world)
    other.start()
    world.run(4000)
    assert new.state is NodeState.CONSENSUS and other.keys == 1
    world.check()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_small_networks_hand_over_planned(n: int) -> None:
    """Goal: planned works with 1, 2 and 3 members."""
    world = World(n).up()
    new, old = world.standby("a0", "a0b"), world["a0"]
    world.run(1500)
    start(new)
    assert world.run(10_000, lambda: over(new)), new.view
    assert ended(new) == ("done", None) and new.view.missed_ballots in (0, None)
    world.run(1500)
    assert old.keys == 1
    world.check()


def test_cancel_on_a_third_copy() -> None:
    """Goal: a copy without a session of its own cancels another's pending takeover, unharmed."""
    world = World().up()
    new, third = world.standby("a0", "a0b"), world.standby("a0", "a0c")
    world.run(1500)
    world["a0"].stop()
    world.run(2500)
    start(new, Mode.TAKEOVER)
    assert world.run(20_000, lambda: new.view.phase == "pending")
    world.run(20)
    third.take(CancelAsked())
    assert world.run(5000, lambda: over(new)) and ended(new) == ("cancelled", "cancelled")
    world.check()


def test_a_claim_that_waits_for_the_sync_follows_older_handovers() -> None:
    """Goal: who was handed over to meanwhile is the old copy, not who was at the start."""
    world = World().up()
    first = world.standby("a0", "a0b")
    world.run(1500)
    start(first)
    assert world.run(10_000, lambda: over(first))
    world.run(2000)
    late = world.standby("a0", "a0c")
    start(late, when_synced=True)
    assert world.run(20_000, lambda: over(late)), late.view
    assert ended(late) == ("done", None) and late.view.old_instance != world["a0"].instance
    world.check()


def test_two_addresses_share_one_slot() -> None:
    """Goal: both get there; words of a member whose instance moved are not counted."""
    world = World().up()
    one, other = world.standby("a0", "a0b"), world.standby("a1", "a1b")
    world.run(1500)
    start(one)
    start(other)
    assert world.run(30_000, lambda: over(one) and over(other)), (one.view, other.view)
    assert ended(one) == ended(other) == ("done", None)
    world.check()


def test_a_member_that_missed_a_handover_catches_up_with_another_dead() -> None:
    """Goal: whose key is gone does not keep a node that knows no other from the tip (seed 106685).

    Method: a3 sleeps over the handover of a0, whose old key is deleted then; a2 dies for good.
    """
    world = World().up()
    new, late = world.standby("a0", "a0b"), world["a3"]
    world.run(1500)
    late.stop()
    start(new)
    assert world.run(10_000, lambda: over(new)) and ended(new) == ("done", None)
    world.run(2_000)
    assert world["a0"].keys == 1
    world["a2"].stop()
    world.run(2_000)
    late.start()
    assert world.run(20_000, lambda: late.state is NodeState.CONSENSUS), (late.state, late.tip)
    before = late.tip
    assert world.run(60_000, lambda: late.tip > before + 3)
    world.check()


def test_what_was_acknowledged_is_done_though_the_next_handover_comes_before_the_count() -> None:
    """Goal: a copy told of its acknowledgement never says that it failed (seed 107500).

    Method: the old copy cannot say what it signed, and a third takes over from the new one while
    that is waited for.
    """
    world = World(params=Params(empty_block_interval_ms=20)).up()
    new, third = world.standby("a0", "a0b"), world.standby("a0", "a0c")
    world.run(1500)
    start(new)
    assert world.run(10_000, lambda: new.view.phase == "acting"), new.view
    world.cut("a0", "a0b")
    assert world.run(5_000, lambda: new.view.phase == "acknowledged"), new.view
    world.run(10)
    session = new.view.session
    start(third)
    assert world.run(350, lambda: third.view.phase == "acting"), third.view
    world.run(3_000)
    last = [view for view in new.views if view.session == session][-1]
    assert (last.outcome, last.error) == ("done", None)
    world.check()


def test_a_copy_that_looks_on_far_behind_catches_up_on_an_idle_chain() -> None:
    """Goal: it needs no further block to find itself behind (seed 110313).

    Method: cut off for more blocks than peers keep the certificates of; then nothing happens.
    """
    world = World(params=Params(empty_block_interval_ms=0)).up()
    new = world.standby("a0", "a0b")
    world.run(1500)
    world.submit("a1")
    world.run(500)
    isolate(world, "a0b")
    for _ in range(12):
        world.submit("a1")
        world.run(200)
    assert world["a1"].tip > new.tip + 9
    heal(world)
    assert world.run(20_000, lambda: new.tip == world["a1"].tip), (new.tip, world["a1"].tip)
    world.check()


def test_the_old_copy_knows_since_when_a_session_is_committed_that_replaced_another() -> None:
    """Goal: what the chain decided is not taken for one that a copy stopped asking for (110443).

    Method: it consented to a copy that went away; a forced handover to a third is committed.
    """
    world = World().up()
    gone, new, old = world.standby("a0", "a0b"), world.standby("a0", "a0c"), world["a0"]
    world.run(2500)
    start(gone)
    assert world.run(10_000, lambda: bool(old.views) and old.view.phase == "consent")
    isolate(world, "a0b")
    start(new, Mode.FORCED, cosigns=cosigns(world, new, ["a1", "a2"]))
    assert world.run(10_000, lambda: old.view.session == new.view.session), old.view
    assert old.view.committed_height is not None and old.view.outcome is None
    assert world.run(20_000, lambda: over(old)) and ended(old) == ("done", None)
    world.check()
