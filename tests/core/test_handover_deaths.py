"""Copies that die, break or come back at every phase; old operations; spares; who proposes."""

from __future__ import annotations

import pytest

from zmqnode.base.exchange import NodeState
from zmqnode.base.handover import Mode
from zmqnode.base.params import Params
from zmqnode.base.system import is_system
from zmqnode.core.authority_lane import ORDER
from zmqnode.core.authority_moves import Turn
from zmqnode.core.events import Faulted, HandoverAsked, SealsReceived
from zmqnode.core.handing_in import KINDS_MAX

from .handing_faults import authority, cosigns, ended, longest, over, start, turns, voter
from .handing_world import World


@pytest.mark.parametrize("phase", ["shadow", "ready", "submitted", "committed", "acting"])
@pytest.mark.parametrize("away_ms", [50, 4000])
def test_the_new_copy_dies_at_a_phase_and_comes_back(phase: str, away_ms: int) -> None:
    """Goal: one voter in the end, nobody stuck, nothing shown as open."""
    world = World().up()
    new, old = world.standby("a0", "a0b"), world["a0"]
    world.run(1500)
    start(new)
    assert world.run(10_000, lambda: any(p.name == phase for p in new.view.phases))
    new.stop()
    world.run(away_ms)
    new.start()
    world.run(45_000)
    votes = new if voter(world, "a0sas") == new.instance else old
    rests = old if votes is new else new
    assert (votes.state, rests.state) == (NodeState.CONSENSUS, NodeState.SYNCING)
    assert not authority(world).sessions
    handing = old.machine.parts.handing
    assert not handing.display.open
    world.check()


def test_the_old_copy_dies_between_decision_and_switch() -> None:
    """Goal: no failure between h and h + 2 stops the switch."""
    world = World().up()
    new, old = world.standby("a0", "a0b"), world["a0"]
    world.run(1500)
    start(new)
    assert world.run(10_000, lambda: Turn.COMMITTED in turns(world))
    old.stop()
    assert world.run(15_000, lambda: over(new)) and ended(new) == ("done", None)
    old.start()
    world.run(4000)
    assert old.state is NodeState.SYNCING and old.keys == 1
    world.check()


def test_both_die_with_the_operation_in_the_pools() -> None:
    """Goal: the vote moves, is not acknowledged, returns; the old copy votes when it is back."""
    world = World().up()
    new, old = world.standby("a0", "a0b"), world["a0"]
    world.run(1500)
    start(new)
    assert world.run(10_000, lambda: new.view.phase == "submitted")
    world.run(2)
    new.stop()
    old.stop()
    world.run(30_000)
    assert turns(world)[-1] is Turn.RETURNED and voter(world, "a0sas") == old.instance
    old.start()
    world.run(4000)
    assert old.state is NodeState.CONSENSUS
    new.start()
    world.run(4000)
    assert new.state is NodeState.SYNCING and new.keys == 1
    world.check()


def test_a_third_copy_follows_one_that_died_at_once() -> None:
    """Goal: a takeover never acknowledged is closed, and replaced after its cooldown."""
    world = World(params=Params(handover_cooldown_ms=5_000)).up()
    second, third = world.standby("a0", "a0b"), world.standby("a0", "a0c")
    world.run(1500)
    world["a0"].stop()
    world.run(2500)
    start(second, Mode.TAKEOVER)
    assert world.run(20_000, lambda: second.view.phase == "acting")
    second.stop()
    assert world.run(30_000, lambda: turns(world)[-1] is Turn.CLOSED)
    world.run(6_000)
    start(third, Mode.TAKEOVER)
    assert world.run(30_000, lambda: over(third)), third.view
    assert ended(third) == ("done", None) and third.state is NodeState.CONSENSUS
    world["a0"].start()
    second.start()
    world.run(5000)
    assert third.state is NodeState.CONSENSUS
    assert (world["a0"].keys, second.keys) == (1, 1)
    world.check()


@pytest.mark.parametrize("mode", [Mode.TAKEOVER, Mode.PLANNED])
def test_a_broken_copy_does_not_veto_and_may_consent(mode: Mode) -> None:
    """Goal: who cannot vote neither stops a takeover nor keeps a planned handover waiting."""
    world = World().up()
    new, old = world.standby("a0", "a0b"), world["a0"]
    world.run(1500)
    old.take(Faulted(cause="test", way_out="none"))
    assert old.state is NodeState.BROKEN
    signed = len(old.signed())
    start(new, mode)
    assert world.run(30_000, lambda: over(new)), new.view
    assert ended(new) == ("done", None) and Turn.VETOED not in turns(world)
    assert len(old.signed()) == signed
    world.check()


def test_all_old_operations_again() -> None:
    """Goal: every system seal ever committed, handed in again at every copy, moves nothing."""
    world = World().up()
    copies = [world["a0"], world.standby("a0", "a0b")]
    world.run(1500)
    for turn in range(3):
        start(copies[(turn + 1) % 2])
        assert world.run(10_000, lambda turn=turn: over(copies[(turn + 1) % 2]))
        world.run(1500)
    blocks = longest(world).disk.blocks
    seals = tuple(seal for block in blocks for seal in block.seals if is_system(seal))
    before, steps = authority(world), len(turns(world))
    assert len(seals) >= 6
    for copy in world.copies:
        copy.take(SealsReceived(seals=seals, token="again"))
        copy.take(SealsReceived(seals=seals, source=world["a1"].instance))
    world.run(5000)
    assert len(turns(world)) == steps
    assert authority(world).members == before.members
    for copy in world.copies:
        kernel = copy.machine.kernel
        assert kernel is not None and len(kernel.pool.lane) <= len(ORDER) * 4
        assert len(copy.machine.parts.handing.handing_in._handed) <= KINDS_MAX
    world.check()


@pytest.mark.parametrize("wait_ms", range(0, 4000, 500))
def test_whoever_proposes_at_the_switch(wait_ms: int) -> None:
    """Goal: no missed ballot and no extra round, also if the address leads h + 2 or h + 3."""
    world = World().up()
    new = world.standby("a0", "a0b")
    world.run(1500)
    first = new.tip
    world.run(wait_ms)
    start(new)
    assert world.run(10_000, lambda: over(new)), new.view
    world.run(3000)
    assert world.rounds() == 0 and world.missed("a0sas", first + 1, new.tip) == []
    world.check()


def test_two_spares() -> None:
    """Goal: of two that watch one takes over; the other stays a standby and tells why."""
    world = World().up()
    one = world.standby("a0", "a0b", standby_after_ms=2000)
    other = world.standby("a0", "a0c", standby_after_ms=2000)
    world.run(3000)
    world["a0"].stop()

    def voting() -> bool:
        return NodeState.CONSENSUS in (one.state, other.state)

    assert world.run(60_000, voting)
    world.run(15_000)
    states = sorted([one.state, other.state])
    assert states == sorted([NodeState.CONSENSUS, NodeState.SYNCING])
    world.check()


def test_a_second_start_leaves_the_open_session_alone() -> None:
    """Goal: pressed twice, `start` does not hide what the chain is doing."""
    world = World().up()
    new = world.standby("a0", "a0b")
    world.run(1500)
    start(new)
    assert world.run(10_000, lambda: new.view.phase == "acting")
    new.take(HandoverAsked(mode=Mode.PLANNED, url=new.url))
    assert world.run(15_000, lambda: over(new))
    world.run(2000)
    assert ended(new) == ("done", None), new.view
    assert new.view.committed_height is not None
    world.check()


def test_a_takeover_that_was_vetoed_cools_down() -> None:
    """Goal: the next one is refused at once, with the code, and a spare does not try meanwhile."""
    world = World().up()
    new = world.standby("a0", "a0b")
    world.run(1500)
    start(new, Mode.TAKEOVER)
    assert world.run(20_000, lambda: over(new)) and new.view.outcome == "vetoed"
    world.run(3000)
    start(new, Mode.TAKEOVER)
    assert ended(new) == ("failed", "handover_cooldown")
    start(new)
    assert world.run(10_000, lambda: over(new)) and ended(new) == ("done", None)
    world.check()


def test_a_spare_started_on_an_idle_chain_waits_for_blocks() -> None:
    """Goal: certificates it catches up with may lack a slow member: only what it saw is silence."""
    world = World(params=Params(empty_block_interval_ms=0)).up()
    for name in ("a1", "a2", "a3"):
        world.cut("a0", name)  # None of what it signs is heard in time.
    for _ in range(6):
        world.submit("a1")
        world.run(4000)
    world.cuts.clear()
    world.run(3000)
    spare = world.standby("a0", "a0b", standby_after_ms=2000)
    world.run(20_000)
    assert not spare.views and turns(world) == []


def test_cosigns_that_are_none_are_refused_at_once() -> None:
    """Goal: twice the same, of strangers, in another mode: a refusal, never a crash."""
    world = World().up()
    new = world.standby("a0", "a0b")
    world.run(1500)
    word = cosigns(world, new, ["a1"])
    own = cosigns(world, new, ["a0"])
    start(new, Mode.FORCED, cosigns=word * 2 + own, reason="x" * 300)
    assert ended(new) == ("failed", "cosign_missing")
    start(new, cosigns=word * 2, reason="x" * 300)
    assert world.run(10_000, lambda: over(new)) and ended(new) == ("done", None)
    world.check()
