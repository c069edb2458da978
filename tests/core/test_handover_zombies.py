"""An old copy that signs on after its vote was given away: no vote, no evidence, but counted."""

from __future__ import annotations

from zmqnode.base.ballot import Ballot, init_fact, sign_ballot
from zmqnode.base.hashes import tagged
from zmqnode.base.point import Point
from zmqnode.core.effects import ReportEvidence
from zmqnode.core.events import Heard

from .handing_faults import ended, over, start
from .handing_world import Copy, World


def moved() -> tuple[World, Copy, int]:
    """A world in which a0's vote has moved: its old copy, and the new one's first height."""
    world = World().up()
    new, old = world.standby("a0", "a0b"), world["a0"]
    world.run(1500)
    start(new)
    assert world.run(10_000, lambda: over(new)) and ended(new) == ("done", None)
    assert new.view.acts_height is not None
    return world, old, new.view.acts_height


def ignored(world: World, ballot: Ballot) -> int:
    """By how much hearing a ballot moves what a member says it ignored."""
    member = world["a1"]
    kernel = member.machine.kernel
    assert kernel is not None
    before = kernel.ignored_ballots
    member.take(Heard(message=ballot, source=ballot.instance))
    assert not [one for one in member.effects if isinstance(one, ReportEvidence)]
    return kernel.ignored_ballots - before


def test_ballots_of_a_zombie_are_counted_at_every_height() -> None:
    """Goal: below the tip as above it, also where the suffrage is not kept any more."""
    world, old, acts = moved()
    signer = old.signer
    world.run(500)

    def signed(height: int) -> Ballot:
        fact = init_fact(Point(height=height, round=0), tagged(b"t", b"zombie"))
        return sign_ballot(fact, old.address, 0, signer)

    tip = world["a1"].tip
    for height in (tip - 1, tip, tip + 1, tip + 2):
        assert height >= acts
        assert ignored(world, signed(height)) == 1, height - tip
    world.run(20_000)
    assert world["a1"].tip > acts + 10
    assert ignored(world, signed(acts)) == 1
    assert ignored(world, signed(acts - 1)) == 1  # Its own height, of a copy that was cut off.


def test_a_late_ballot_of_its_own_height_is_as_always() -> None:
    """Goal: the last word of a copy that gives its vote away on time counts as nothing else."""
    world, old, acts = moved()
    fact = init_fact(Point(height=acts - 1, round=0), tagged(b"t", b"late"))
    assert world["a1"].tip <= acts
    assert ignored(world, sign_ballot(fact, old.address, 0, old.signer)) == 0
    world.check()
