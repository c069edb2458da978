"""Seeds: whole clusters under drawn faults, and the crash of every effect of a short run."""

from __future__ import annotations

import dataclasses
import json

import pytest

from zmqnode.errors import Invalid
from zmqnode.sim.cluster import run_plan
from zmqnode.sim.faults import FAULTS, draw_plan, read_faults
from zmqnode.sim.plan import ALL, Clients, Crash, Disk, Plan, plan_from_json, plan_to_json
from zmqnode.sim.runner import replay, run_seeds, trace_of

from . import mutants

SLICES = tuple((first, first + 29) for first in range(0, 300, 30))


@pytest.mark.parametrize(("first", "last"), SLICES)
def test_seeds_hold_under_all_faults(first: int, last: int) -> None:
    report = run_seeds(first, last)
    assert report.ok, [(f.seed, f.checker, f.height, f.message) for f in report.failed]


@pytest.mark.parametrize(("nodes", "last"), [(1, 19), (2, 19), (3, 19), (7, 19), (10, 4)])
def test_seeds_hold_for_other_sizes(nodes: int, last: int) -> None:
    report = run_seeds(0, last, nodes=nodes, heights=12)
    assert report.ok, [(f.seed, f.checker, f.height, f.message) for f in report.failed]


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_alone_is_survived(name: str) -> None:
    report = run_seeds(0, 5, heights=12, faults=(name,))
    assert report.ok, [(f.seed, f.checker, f.height, f.message) for f in report.failed]


def test_without_faults_no_round_is_lost_and_no_ballot_missed() -> None:
    """Goal: the checkers ``draw`` and ``missed`` are on. Method: plans that say nothing fails."""
    for seed in range(10):
        plan = draw_plan(seed, faults=())
        assert plan.faultless
        assert run_plan(plan).violation is None


def short(seed: int, **changes: object) -> Plan:
    """Two heights with a few seals and a store that lags: everything a restart needs is in play."""
    plan = Plan(
        seed=seed,
        heights=5,
        heal_ms=2_000,
        heal_before=2,
        empty_block_interval_ms=50,
        clients=Clients(seals=3, every_ms=30, resend_ms=200),
        disks=(Disk(store_lag_ms=100),) * 4,
    )
    return dataclasses.replace(plan, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("tail", ["lost", "partly", "kept"])
@pytest.mark.parametrize("after", [False, True])
def test_one_node_may_die_at_every_effect(tail: str, after: bool) -> None:
    """Goal: no effect is a bad one to die at. Method: each of the first 120."""
    for count in range(120):
        crash = Crash(node=1, trigger="effect", count=count, after=after, down_ms=30, tail=tail)
        outcome = run_plan(short(7, crashes=(crash,)))
        assert outcome.violation is None, f"effect {count}: {outcome.violation}"


@pytest.mark.parametrize("tail", ["lost", "kept"])
def test_all_may_die_at_every_effect(tail: str) -> None:
    """Goal: a power cut loses no decision. Method: all at once, at each of 400 effects."""
    for count in range(400):
        crash = Crash(node=ALL, trigger="effect", count=count, down_ms=30, tail=tail)
        outcome = run_plan(short(11, crashes=(crash,)))
        assert outcome.violation is None, f"effect {count}: {outcome.violation}"


@pytest.mark.parametrize("trigger", ["init", "accept"])
@pytest.mark.parametrize("after", [False, True])
def test_a_vote_is_the_last_thing_a_member_does(trigger: str, after: bool) -> None:
    """Goal: dying between INIT and ACCEPT is survived. Method: each member's first votes."""
    for node in range(4):
        for count in range(1, 5):
            crash = Crash(node=node, trigger=trigger, count=count, after=after, down_ms=200)
            outcome = run_plan(short(count, crashes=(crash,)))
            assert outcome.violation is None, f"n{node} {count}: {outcome.violation}"


def test_a_plan_is_json() -> None:
    plan = draw_plan(5, faults=read_faults(("all",)))
    assert plan_from_json(json.loads(json.dumps(plan_to_json(plan)))) == plan


@pytest.mark.parametrize("data", [None, [], {"seed": "x"}, {"seed": 1, "dice": 6}, {}])
def test_what_is_no_plan_is_refused(data: object) -> None:
    with pytest.raises(Invalid):
        plan_from_json(data)


def test_a_failing_trace_fails_again_to_the_same_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    mutants._no_r3(lambda owner, name, new: monkeypatch.setattr(owner, name, new))
    outcome = run_plan(mutants.calm(0))
    assert outcome.violation is not None
    report = replay(json.loads(json.dumps(trace_of(outcome))))
    assert not report.ok
    assert report.checker == outcome.violation.checker
    assert report.digest == report.expected == outcome.digest


def test_unknown_faults_and_numbers_out_of_range_are_refused() -> None:
    for bad in (("quake",), ("loss", "quake")):
        with pytest.raises(Invalid):
            run_seeds(0, 0, faults=bad)
    for first, last, heights, nodes in ((5, 4, 1, 4), (0, 0, 0, 4), (0, 0, 1, 0), (0, 0, 1, 26)):
        with pytest.raises(Invalid):
            run_seeds(first, last, heights=heights, nodes=nodes)
