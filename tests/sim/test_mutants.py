"""The simulator can fail: the core with a rule removed is caught, and with its rules it is not."""

from __future__ import annotations

import pytest

from zmqnode.sim.cluster import run_plan

from .mutants import MUTANTS, Mutant, names


@pytest.mark.parametrize("mutant", MUTANTS, ids=names())
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


@pytest.mark.parametrize("mutant", MUTANTS, ids=names())
def test_the_true_core_survives_the_same_plans(mutant: Mutant) -> None:
    """Goal: what catches a mutant is the missing rule, not the plan. Method: the core as it is."""
    for seed in range(min(mutant.seeds, 8)):
        outcome = run_plan(mutant.plan(seed))
        assert outcome.violation is None, f"seed {seed}"
