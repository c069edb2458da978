"""Handovers of whole simulated clusters: what operators do, and what the chain makes of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from zmqnode.sim.cluster import Cluster, run_plan
from zmqnode.sim.faults import draw_plan, read_faults
from zmqnode.sim.plan import Asking, Betrayal, Clients, Crash, Cut, Plan, Standby

from .handover_mutants import MUTANTS, planned
from .mutants import Mutant, names


@pytest.mark.parametrize("mutant", MUTANTS, ids=names(MUTANTS))
def test_a_missing_rule_is_found(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: every rule is needed, and the checkers know it. Method: remove one, run a few seeds."""
    mutant.remove(lambda owner, name, new: monkeypatch.setattr(owner, name, new))
    found = []
    for seed in range(mutant.seeds):
        violation = run_plan(mutant.plan(seed)).violation
        found.append("-" if violation is None else violation.checker)
        if found[-1] in mutant.caught_by:
            return
    pytest.fail(f"{mutant.name}: expected {mutant.caught_by}, found {found}")


@pytest.mark.parametrize("mutant", MUTANTS, ids=names(MUTANTS))
def test_the_true_core_survives_the_same_plans(mutant: Mutant) -> None:
    """Goal: what catches a mutant is the missing rule, not the plan. Method: the core as it is."""
    for seed in range(4):
        outcome = run_plan(mutant.plan(seed))
        assert outcome.violation is None, f"seed {seed}: {outcome.violation}"


def outcomes(plan: Plan) -> list[tuple[str, str | None]]:
    """Mode and outcome of every committed handover of a run that held."""
    cluster = Cluster(plan)
    violation = cluster.run().violation
    assert violation is None, violation
    return [
        (one.operation.switch.mode.text, one.outcome)
        for one in cluster.checkers.epochs.attempts.values()
    ]


def test_there_and_back_without_a_missed_ballot() -> None:
    """Goal: no ballot missed, no round lost. Method: a plan in which nothing fails."""
    for seed in range(8):
        plan = planned(seed)
        assert plan.faultless
        assert outcomes(plan) == [("planned", "acknowledged")] * 2


def test_without_faults_every_drawn_handover_is_acknowledged() -> None:
    """Goal: ``planned`` and ``missed`` find nothing. Method: seeds in which nothing fails."""
    plans = [draw_plan(seed, faults=read_faults(("all",))) for seed in range(9, 200, 10)]
    plans = [plan for plan in plans if plan.askings]
    assert len(plans) > 4
    for plan in plans:
        assert plan.faultless
        assert {outcome for _, outcome in outcomes(plan)} == {"acknowledged"}


def story(**changes: Any) -> Plan:
    """Four members, a standby of the first, some seals; what happens is the test's to say."""
    plan = Plan(
        seed=3,
        heights=20,
        heal_ms=6_000,
        heal_before=-300,
        empty_block_interval_ms=50,
        standbys=(Standby(member=0),),
        clients=Clients(seals=10, every_ms=60),
    )
    return dataclasses.replace(plan, **changes)


def test_a_dead_copy_is_taken_over() -> None:
    plan = story(dead=(Crash(node=0, count=300),), askings=(takeover(500),))
    assert outcomes(plan) == [("takeover", "acknowledged")]


def test_a_living_copy_vetoes() -> None:
    assert outcomes(story(askings=(takeover(500),))) == [("takeover", "vetoed")]


def test_a_copy_cut_off_from_everybody_is_taken_over_and_heals_as_a_standby() -> None:
    cuts = apart((0,), (1, 2, 3, 4), 300, 5_000)
    assert outcomes(story(cuts=cuts, askings=(takeover(500),))) == [("takeover", "acknowledged")]


def test_a_copy_cut_off_from_its_standby_alone_vetoes_and_gives_no_consent() -> None:
    cuts = apart((0,), (4,), 300, 5_900)
    assert outcomes(story(cuts=cuts, askings=(takeover(500),))) == [("takeover", "vetoed")]
    assert outcomes(story(cuts=cuts, askings=(Asking(node=4, at_ms=500),), heights=10)) in (
        [],
        [("planned", "acknowledged")],  # Once the cut has healed, if the standby still asks.
    )


def test_a_spare_takes_over_by_itself() -> None:
    plan = story(dead=(Crash(node=0, count=300),), standbys=(Standby(member=0, auto_ms=500),))
    assert outcomes(plan) == [("takeover", "acknowledged")]


def test_a_traitor_is_replaced_by_force() -> None:
    plan = story(
        betrayals=(Betrayal(node=0, name="equivocator"),),
        askings=(Asking(node=4, at_ms=500, what="forced"),),
    )
    assert outcomes(plan) == [("forced", "acknowledged")]


def test_the_vote_returns_from_a_copy_that_dies_at_the_switch() -> None:
    """Goal: nobody has to do anything. Method: it dies at its first ballot, or before its ack."""
    for count in range(560, 760, 20):
        plan = story(dead=(Crash(node=4, count=count),), askings=(Asking(node=4, at_ms=400),))
        assert outcomes(plan) in (
            [],  # Too early: nothing was handed in.
            [("planned", "returned")],
            [("planned", "acknowledged")],  # Too late: it voted and died then.
        )


def test_all_lose_power_at_any_moment_of_a_handover() -> None:
    """Goal: the chain alone decides. Method: everybody dies at once, every 13 ms of it."""
    for count in range(390, 900, 13):
        crash = Crash(node=-1, count=count, down_ms=30, tail="partly")
        plan = story(crashes=(crash,), askings=(Asking(node=4, at_ms=400),), heights=12)
        assert outcomes(dataclasses.replace(plan, heal_ms=1_500, heal_before=2)) in (
            [],
            [("planned", "acknowledged")],
        ), count


def test_two_rivals_and_one_winner() -> None:
    """Goal: at most one of two copies gets it at a time; each committed one ends."""
    plan = story(
        standbys=(Standby(member=0), Standby(member=0)),
        askings=(Asking(node=4, at_ms=400), Asking(node=5, at_ms=420)),
    )
    assert outcomes(plan)[0] == ("planned", "acknowledged")


@pytest.mark.parametrize("nodes", [1, 2])
def test_the_smallest_networks_hand_over_as_planned_and_take_nothing_over(nodes: int) -> None:
    plan = story(nodes=nodes)
    by_plan = dataclasses.replace(
        plan, standbys=(Standby(member=0),), askings=(Asking(node=nodes, at_ms=500),)
    )
    assert outcomes(by_plan) == [("planned", "acknowledged")]
    asked = Asking(node=nodes, at_ms=500, what="takeover")
    assert outcomes(dataclasses.replace(plan, askings=(asked,))) == []


def test_all_four_are_replaced_one_after_the_other() -> None:
    """Goal: rolling replacement without a missed ballot. Method: four standbys, one by one."""
    plan = planned(
        1,
        heights=90,
        standbys=tuple(Standby(member=member) for member in range(4)),
        askings=tuple(Asking(node=4 + turn, at_ms=300 + 1_000 * turn) for turn in range(4)),
    )
    assert plan.faultless
    assert outcomes(plan) == [("planned", "acknowledged")] * 4


def takeover(at_ms: int) -> Asking:
    return Asking(node=4, at_ms=at_ms, what="takeover")


def apart(
    one: tuple[int, ...], other: tuple[int, ...], start_ms: int, end_ms: int
) -> tuple[Cut, ...]:
    return tuple(
        Cut(start_ms=start_ms, end_ms=end_ms, sources=sources, targets=targets)
        for sources, targets in ((one, other), (other, one))
    )
