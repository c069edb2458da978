"""Several copies wait for one operator's word (``handover.consent: ask``)."""

from __future__ import annotations

from zmqnode.core.events import ConsentGiven

from .handing_faults import ended, over, start
from .handing_world import Copy, World


def waiting(*names: str) -> tuple[World, Copy, list[Copy]]:
    """A world whose first copy was asked by one standby after the other."""
    world = World(consent_asks=True).up()
    copies = [world.standby("a0", name) for name in names]
    world.run(1500)
    for copy in copies:
        start(copy)
        world.run(3_000)
        assert not over(copy) and "operator" in (copy.view.waits_for or "")
    return world, world["a0"], copies


def test_the_answer_is_for_the_session_that_is_shown() -> None:
    """Goal: the operator gives the vote to whom they saw, not to who asked last."""
    world, old, (first, second) = waiting("a0b", "a0c")
    assert old.view.session == first.view.session
    old.take(ConsentGiven())
    assert world.run(5_000, lambda: over(first)) and ended(first) == ("done", None)
    assert world.run(5_000, lambda: over(second)) and ended(second)[0] == "failed"
    world.check()


def test_a_refusal_is_for_the_session_that_is_shown_and_the_next_one_is_shown_then() -> None:
    world, old, (first, second) = waiting("a0b", "a0c")
    old.take(ConsentGiven(refuse=True))
    assert world.run(2_000, lambda: over(first))
    assert ended(first) == ("failed", "consent_refused") and not over(second)
    assert world.run(2_000, lambda: old.view.session == second.view.session)
    assert old.view.outcome is None
    old.take(ConsentGiven())
    assert world.run(5_000, lambda: over(second)) and ended(second) == ("done", None)
    world.check()


def test_an_answer_names_its_session() -> None:
    """Goal: a word for a session that is not shown any more goes to no other."""
    world, old, (first, second) = waiting("a0b", "a0c")
    assert second.view.session is not None
    old.take(ConsentGiven(session=second.view.session))
    assert world.run(5_000, lambda: over(second)) and ended(second) == ("done", None)
    assert world.run(5_000, lambda: over(first)) and ended(first)[0] == "failed"
    world.check()


def test_a_copy_that_does_not_ask_any_more_gives_way_to_one_that_does() -> None:
    """Goal: the other's questions do not keep a dead copy's session open."""
    world, old, (first, second) = waiting("a0b", "a0c")
    first.stop()
    assert world.run(40_000, lambda: old.view.session == second.view.session), old.view
    old.take(ConsentGiven())
    assert world.run(5_000, lambda: over(second)) and ended(second) == ("done", None)
    world.check()


def test_an_answer_after_the_consent_changes_nothing() -> None:
    """Goal: what is given is given; the chain has the word (seed 126352)."""
    world, old, (new,) = waiting("a0b")
    old.take(ConsentGiven())
    assert world.run(2_000, lambda: old.view.phase == "consent")
    old.take(ConsentGiven(refuse=True))
    assert old.view.outcome is None
    assert world.run(5_000, lambda: over(new)) and ended(new) == ("done", None)
    assert world.run(2_000, lambda: over(old)) and ended(old) == ("done", None)
    world.check()
