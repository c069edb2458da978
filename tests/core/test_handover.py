"""Handover from command to acknowledgement, over whole machines in memory."""

from __future__ import annotations

import pytest

from zmqnode.base.exchange import NodeState
from zmqnode.base.handover import Mode
from zmqnode.base.keys import public_text
from zmqnode.base.params import Params
from zmqnode.core.effects import Stop
from zmqnode.core.events import CancelAsked, ConsentGiven, HandoverAsked, StopAsked

from .handing_world import Copy, World


def start(copy: Copy, mode: Mode = Mode.PLANNED) -> None:
    copy.take(HandoverAsked(mode=mode, url=copy.url))


def over(copy: Copy) -> bool:
    return bool(copy.views) and copy.view.outcome is not None


def test_planned_handover_misses_nothing() -> None:
    """Goal: HANDOVER.md section 2 whole, on an idle network of four."""
    world = World().up()
    new, old = world.standby("a0", "a0b"), world["a0"]
    world.run(1500)
    assert new.state is NodeState.SYNCING and new.tip >= 1
    first = new.tip
    began_ms = world.now_ms
    start(new)
    assert world.run(10_000, lambda: over(new)), new.view
    took_ms = world.now_ms - began_ms
    view = new.view
    assert view.outcome == "done" and view.error is None, view
    names = [phase.name for phase in view.phases]
    assert names == [
        *("preflight", "shadow", "ready", "consent", "submitted", "committed", "acting"),
        "acknowledged",
    ]
    assert view.acts_height == (view.committed_height or 0) + 2
    world.run(2000)
    assert new.state is NodeState.CONSENSUS and old.state is NodeState.SYNCING
    assert took_ms <= 2000
    assert world.missed("a0sas", first + 1, new.tip) == []
    assert world.rounds() == 0
    assert (view.missed_ballots, view.extra_rounds) == (0, 0)
    assert old.keys == 1, public_text(old.instance)
    world.check()


def planned(world: World, new: Copy) -> None:
    """Start, and wait until it is acknowledged and the old copy has its next key."""
    start(new)
    assert world.run(10_000, lambda: over(new)), new.view
    assert new.view.outcome == "done", new.view
    world.run(1500)


def test_back_and_forth_under_load() -> None:
    """Goal: no ballot missed, no extra round, nothing lost; all seals go to the old copy."""
    world = World(params=Params(empty_block_interval_ms=200)).up()
    copies = [world["a0"], world.standby("a0", "a0b")]
    world.run(1500)
    first = copies[1].tip
    sent = []
    for turn in range(6):
        new, old = copies[(turn + 1) % 2], copies[turn % 2]
        start(new)
        for _ in range(300):
            sent.append(world.submit(old.name))
            if world.run(10, lambda new=new: over(new)):
                break
        assert new.view.outcome == "done", new.view
        assert (new.view.missed_ballots, new.view.extra_rounds) == (0, 0), new.view
        world.run(1500)
        assert (new.state, old.state) == (NodeState.CONSENSUS, NodeState.SYNCING)
    world.run(2000)
    longest = world["a1"].disk
    chain = [seal.hash for block in longest.blocks for seal in block.seals]
    assert all(chain.count(seal) == 1 for seal in sent)
    assert world.missed("a0sas", first + 1, world["a1"].tip) == []
    assert world.rounds() == 0
    world.check()


def test_who_waits_for_another_address_comes_next() -> None:
    """Goal: three addresses at once take three times as long as one. Method: the words that a
    waiting handover holds are those of copies which are replaced meanwhile, so they count no more.
    """
    world = World().up()
    copies = [world.standby(f"a{i}", f"a{i}b") for i in range(3)]
    world.run(1500)
    began_ms = world.now_ms
    for copy in copies:
        start(copy)
    assert world.run(10_000, lambda: all(over(copy) for copy in copies))
    assert [copy.view.outcome for copy in copies] == ["done"] * 3
    assert world.now_ms - began_ms <= 1_800
    assert [copy.view.missed_ballots for copy in copies] == [0] * 3
    world.check()


def test_takeover_of_a_dead_copy_and_its_return() -> None:
    """Goal: after the veto window the new copy votes; the old one comes back and never does."""
    world = World().up()
    new, old = world.standby("a0", "a0b"), world["a0"]
    world.run(1500)
    old.stop()
    world.run(3000)
    began_ms = world.now_ms
    start(new, Mode.TAKEOVER)
    assert world.run(20_000, lambda: new.state is NodeState.CONSENSUS), new.view
    assert world.now_ms - began_ms <= world.params.veto_window_ms + 3000
    assert world.run(5000, lambda: over(new)) and new.view.outcome == "done"
    assert [p.name for p in new.view.phases][-3:] == ["pending", "acting", "acknowledged"]
    signed = len(old.signed())
    old.start()
    world.run(5000)
    assert old.state is NodeState.SYNCING and len(old.signed()) == signed
    assert old.keys == 1, "its key was spent: it is a standby with a new one"
    planned(world, old)
    world.check()


def test_a_live_copy_vetoes() -> None:
    """Goal: A cut off from A-sub only: planned refuses, takeover is vetoed."""
    world = World().up()
    new, old = world.standby("a0", "a0b"), world["a0"]
    world.run(1500)
    world.cut("a0", "a0b")
    start(new)
    assert world.run(20_000, lambda: over(new))
    assert new.view.outcome == "failed" and new.view.error is not None
    assert new.view.error.code == "old_unreachable"
    assert new.state is NodeState.SYNCING
    start(new, Mode.TAKEOVER)
    assert world.run(20_000, lambda: over(new))
    assert new.view.outcome == "vetoed", new.view
    world.run(1000)
    assert new.state is NodeState.SYNCING and old.state is NodeState.CONSENSUS
    assert new.keys == 1, "the vetoed key is used up"
    world.check()


def test_a_new_copy_that_dies_gives_the_vote_back() -> None:
    """Goal: dead for good at h+2: the vote returns without an operator, A votes again."""
    world = World().up()
    new, old = world.standby("a0", "a0b"), world["a0"]
    world.run(1500)
    start(new)
    assert world.run(10_000, lambda: new.view.phase == "acting")
    new.stop()
    world.run(20_000)
    assert old.state is NodeState.CONSENSUS and old.keys == 0
    assert old.view.outcome == "returned" and old.view.returned_height is not None
    assert world["a1"].disk.authority.members.by_address["a0sas"].epoch == 2  # type: ignore[union-attr]
    new.start()
    world.run(5000)
    assert new.state is NodeState.SYNCING and new.keys == 1
    world.check()


def test_the_new_copy_crashes_between_and_resumes() -> None:
    """Goal: killed after the operation is in the pools, back before h+2: it votes and acks."""
    world = World().up()
    new, old = world.standby("a0", "a0b"), world["a0"]
    world.run(1500)
    start(new)
    assert world.run(10_000, lambda: new.view.phase == "submitted")
    new.stop()
    world.run(300)
    new.start()
    assert world.run(15_000, lambda: new.state is NodeState.CONSENSUS), new.views[-1:]
    world.run(3000)
    assert new.view.outcome == "done" and old.state is NodeState.SYNCING
    world.check()


def test_all_crash_between_decision_and_switch() -> None:
    """Goal: the whole network dies between h and h+2: it comes back with the new copy voting."""
    world = World().up()
    new = world.standby("a0", "a0b")
    world.run(1500)
    start(new)
    assert world.run(10_000, lambda: world["a2"].disk.steps != [])
    for copy in world.copies:
        copy.stop()
    for copy in world.copies:
        copy.start()
    assert world.run(20_000, lambda: new.state is NodeState.CONSENSUS)
    world.run(12_000)
    assert new.view.outcome == "done", new.view
    world.check()


def test_two_standbys_at_once() -> None:
    """Goal: one wins, the other ends in SYNCING and says why."""
    world = World().up()
    one, other = world.standby("a0", "a0b"), world.standby("a0", "a0c")
    world.run(1500)
    start(one)
    start(other)
    assert world.run(20_000, lambda: over(one) and over(other))
    won, lost = (one, other) if one.view.outcome == "done" else (other, one)
    assert won.view.outcome == "done" and lost.view.outcome == "failed", (one.view, other.view)
    assert lost.view.error is not None
    assert lost.view.error.code in ("handover_open", "epoch_moved")
    world.run(1000)
    assert (won.state, lost.state) == (NodeState.CONSENSUS, NodeState.SYNCING)
    world.check()


def test_consent_waits_for_the_operator() -> None:
    """Goal: `handover.consent: ask`: refused once, given the next time."""
    world = World(consent_asks=True).up()
    new, old = world.standby("a0", "a0b"), world["a0"]
    world.run(1500)
    start(new)
    world.run(15_000)
    assert not over(new) and new.view.waits_for and "operator" in new.view.waits_for
    assert old.view.side == "old" and old.view.waits_for
    old.take(ConsentGiven(refuse=True))
    assert world.run(2000, lambda: over(new))
    assert new.view.error is not None and new.view.error.code == "consent_refused"
    start(new)
    world.run(3000)
    assert not over(new)
    old.take(ConsentGiven())
    assert world.run(5000, lambda: over(new)) and new.view.outcome == "done"
    world.check()


def test_cancel_before_it_is_handed_in() -> None:
    """Goal: nothing was handed in: it is over at once, and the copy can start again."""
    world = World(consent_asks=True).up()
    new = world.standby("a0", "a0b")
    world.run(1500)
    start(new)
    world.run(2000)
    new.take(CancelAsked())
    assert over(new) and new.view.outcome == "cancelled"
    world.run(500)
    assert new.state is NodeState.SYNCING
    world.check()


@pytest.mark.parametrize("wait_ms", range(14))
@pytest.mark.parametrize("side", ["a0", "a0b"])
def test_cancel_raced_against_commit(wait_ms: int, side: str) -> None:
    """Goal: the answer always equals the chain's outcome."""
    world = World().up()
    new = world.standby("a0", "a0b")
    world.run(1500)
    start(new)
    assert world.run(10_000, lambda: new.view.phase == "submitted")
    world.run(wait_ms)
    world[side].take(CancelAsked())
    assert world.run(60_000, lambda: over(new))
    world.run(15_000)
    member = world["a1"].disk.authority.members.by_address["a0sas"]  # type: ignore[union-attr]
    assert new.view.outcome == ("cancelled" if member.epoch == 0 else "done"), new.view
    assert world["a0"].view.outcome == new.view.outcome
    world.check()


def test_a_pending_takeover_is_cancelled() -> None:
    """Goal: in its veto window the chain takes the cancel, and says so."""
    world = World().up()
    new, old = world.standby("a0", "a0b"), world["a0"]
    world.run(1500)
    old.stop()
    world.run(2500)
    start(new, Mode.TAKEOVER)
    assert world.run(20_000, lambda: new.view.phase == "pending"), new.view
    new.take(CancelAsked())
    assert world.run(5000, lambda: over(new)) and new.view.outcome == "cancelled", new.view
    world.check()


def test_a_spare_takes_over_by_itself() -> None:
    """Goal: after silence, and not when the chain is merely idle."""
    world = World().up()
    new, old = world.standby("a0", "a0b", standby_after_ms=2000), world["a0"]
    world.run(8000)
    assert not new.views and new.state is NodeState.SYNCING
    old.stop()
    assert world.run(40_000, lambda: new.state is NodeState.CONSENSUS), new.views
    world.check()


def test_a_stop_waits_for_the_switch() -> None:
    """Goal: a graceful stop of A after its consent costs no ballot."""
    world = World().up()
    new, old = world.standby("a0", "a0b"), world["a0"]
    world.run(1500)
    first = new.tip
    start(new)
    assert world.run(10_000, lambda: bool(old.disk.steps))
    old.take(StopAsked())
    assert world.run(5000, lambda: any(isinstance(one, Stop) for one in old.effects))
    old.stop()
    world.run(2000)
    acts = new.view.acts_height
    assert acts is not None and old.tip >= acts
    assert world.missed("a0sas", first + 1, new.tip) == []
    assert new.view.outcome == "done"
    world.check()


def test_an_idle_chain_without_empty_blocks_hands_over() -> None:
    """Goal: members' words are dated by blocks; where none is young enough, one is made."""
    world = World(params=Params(empty_block_interval_ms=0)).up()
    new = world.standby("a0", "a0b")
    world.run(30_000)
    tip = new.tip
    start(new)
    assert world.run(5000, lambda: over(new)), new.view
    assert new.view.outcome == "done"
    assert new.tip <= tip + 8
    world.check()
