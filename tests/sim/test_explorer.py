"""The explorer: the authority as it is breaks nothing, each loosened clause is caught."""

from __future__ import annotations

import json

import pytest

from zmqnode.commands.main import main
from zmqnode.sim.explorer import Scenario, explore, scenarios

from .authority_mutants import MUTANTS, Mutant

NAMED = {scenario.name: scenario for scenario in scenarios()}


@pytest.mark.slow
@pytest.mark.parametrize("scenario", NAMED.values(), ids=NAMED)
def test_the_authority_breaks_nothing(scenario: Scenario) -> None:
    """Goal: no property breaks. Method: every state of a small world, to the end."""
    report = explore(chosen=[scenario])
    assert report.violations == []
    assert report.complete and report.ok
    assert report.transitions > report.states > 100


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: str(mutant.name))
def test_a_loosened_clause_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: each clause is needed, and the explorer knows it. Method: loosen one, explore."""
    mutant.loosen(lambda module, name, new: monkeypatch.setattr(module, name, new))
    report = explore(chosen=[NAMED[name] for name in mutant.scenarios], violations_max=1)
    assert [violation.property for violation in report.violations] != []
    assert report.violations[0].property in mutant.caught_by


def test_a_bound_ends_an_exploration_and_says_so() -> None:
    report = explore(chosen=[NAMED["three members"]], states_max=50)
    assert (report.complete, report.ok, report.states) == (False, False, 50)


def test_an_exploration_says_the_same_twice() -> None:
    runs = [explore(chosen=[NAMED["two members"]]) for _ in range(2)]
    assert (runs[0].states, runs[0].transitions) == (runs[1].states, runs[1].transitions)


def test_a_violation_names_the_blocks_that_lead_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = next(one for one in MUTANTS if one.name == "no return")
    mutant.loosen(lambda module, name, new: monkeypatch.setattr(module, name, new))
    violation = explore(chosen=[NAMED["three members"]], violations_max=1).violations[0]
    assert violation.scenario == "three members"
    assert violation.trace[0].startswith("block after")
    assert any("handover planned n0 a>b epoch 0" in step for step in violation.trace)


def test_the_command_says_what_was_seen(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sim", "explore", "--instances", "2", "--operations", "1", "--json"]
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out)
    keys = ["v", "ok", "states", "transitions", "complete", "violations", "seconds"]
    assert list(said) == keys
    assert (said["ok"], said["complete"], said["violations"]) == (True, True, [])


def test_the_command_says_what_breaks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant = next(one for one in MUTANTS if one.name == "no return")
    mutant.loosen(lambda module, name, new: monkeypatch.setattr(module, name, new))
    assert main(["sim", "explore", "--instances", "2", "--operations", "1", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], said["complete"]) == (False, False)
    assert list(said["violations"][0]) == ["scenario", "property", "message", "trace"]
