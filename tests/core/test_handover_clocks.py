"""Handovers by copies whose own clock is wrong: only the chain's and the members' time counts."""

from __future__ import annotations

import pytest

from zmqnode.base.exchange import Status
from zmqnode.base.handover import Mode
from zmqnode.base.params import Params
from zmqnode.core.effects import Publish
from zmqnode.core.events import ClockRead

from .handing_faults import ended, over, start
from .handing_world import EPOCH_MS, Copy, World

WRONG_MS = (-90_000, -40_000, -6_000, 6_000, 40_000, 90_000)


def wrong(copy: Copy, offset_ms: int) -> None:
    """Somebody set its clock."""
    copy.take(ClockRead(offset_ms=EPOCH_MS + offset_ms))


@pytest.mark.parametrize("offset_ms", WRONG_MS)
def test_a_new_copy_with_a_wrong_clock_is_handed_the_vote(offset_ms: int) -> None:
    """Goal: words, expiry and seals are dated by the members' time. Method: a clock far off."""
    world = World().up()
    new = world.standby("a0", "a0b")
    wrong(new, offset_ms)
    world.run(2500)
    start(new)
    assert world.run(20_000, lambda: new.view.committed_height is not None or over(new)), new.view
    assert new.view.committed_height is not None, new.view
    world.check()


@pytest.mark.parametrize("offset_ms", WRONG_MS)
def test_a_new_copy_with_a_wrong_clock_takes_a_dead_one_over(offset_ms: int) -> None:
    world = World().up()
    new = world.standby("a0", "a0b")
    wrong(new, offset_ms)
    world.run(1500)
    world["a0"].stop()
    world.run(2500)
    start(new, Mode.TAKEOVER)
    assert world.run(30_000, lambda: new.view.acts_height is not None or over(new)), new.view
    assert new.view.acts_height is not None, new.view
    world.check()


@pytest.mark.parametrize("offset_ms", WRONG_MS)
def test_on_an_idle_chain_words_are_dated_by_a_block_that_the_members_make(offset_ms: int) -> None:
    """Goal: an old tip dates no word, whatever the own clock says. Method: no empty blocks."""
    world = World(params=Params(empty_block_interval_ms=0)).up()
    new = world.standby("a0", "a0b")
    wrong(new, offset_ms)
    world.run(60_000)
    start(new)
    assert world.run(20_000, lambda: new.view.committed_height is not None or over(new)), new.view
    assert new.view.committed_height is not None, new.view
    world.check()


@pytest.mark.parametrize("offset_ms", WRONG_MS)
def test_a_cooldown_is_over_by_the_members_time(offset_ms: int) -> None:
    """Goal: neither refused beyond it nor begun before. Method: a veto, then the same again."""
    world = World(params=Params(handover_cooldown_ms=20_000)).up()
    new = world.standby("a0", "a0b")
    wrong(new, offset_ms)
    world.run(1500)
    start(new, Mode.TAKEOVER)
    assert world.run(20_000, lambda: over(new)) and ended(new) == ("vetoed", "vetoed")
    world.run(3000)
    other = world.standby("a0", "a0c")
    wrong(other, offset_ms)
    world.run(2000)
    start(other, Mode.TAKEOVER)
    assert ended(other) == ("failed", "handover_cooldown"), other.view
    world.run(16_000)
    start(other, Mode.TAKEOVER)
    assert not over(other), other.view


def test_nobody_tells_a_clock_that_it_has_not_read() -> None:
    """Goal: the first status of a start is dated by the wall clock (seed 146273)."""
    world = World().up()
    found = [
        effect.message.clock_ms
        for copy in world.copies
        for effect in copy.effects
        if isinstance(effect, Publish) and isinstance(effect.message, Status)
    ]
    assert found and min(found) >= EPOCH_MS
