"""Handover from command to acknowledgement, over whole machines in memory."""

from __future__ import annotations

from zmqnode.base.exchange import NodeState
from zmqnode.base.handover import Mode
from zmqnode.base.keys import public_text
from zmqnode.core.events import HandoverAsked

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
