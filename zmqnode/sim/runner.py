"""Runs of many seeds, and the replay of one: what ``sim run`` and ``sim replay`` show."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from zmqnode.errors import Invalid
from zmqnode.sim.cluster import Outcome, run_plan
from zmqnode.sim.faults import draw_plan, read_faults
from zmqnode.sim.plan import HEIGHTS_MAX, plan_from_json, plan_to_json
from zmqnode.sim.transcript import Teller

SEEDS_MAX: Final = 10_000_000
TRACE_VERSION: Final = 1
HOUR_S: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One seed that broke a rule; ``trace`` is what :func:`replay` takes."""

    seed: int
    checker: str
    height: int
    message: str
    trace: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What came of seeds ``first_seed`` to ``last_seed``; ``digest`` is over all transcripts."""

    first_seed: int
    last_seed: int
    passed: int
    failed: tuple[Failure, ...]
    handovers: int
    digest: str
    seconds: float
    seeds_per_hour: float

    @property
    def ok(self) -> bool:
        """Whether every seed held."""
        return not self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """What came of one trace; ``checker`` None: all held. ``expected``: its digest before."""

    seed: int
    checker: str | None
    height: int | None
    message: str | None
    digest: str
    expected: str | None

    @property
    def ok(self) -> bool:
        """Whether every rule held."""
        return self.checker is None


def run_seeds(
    first: int,
    last: int,
    heights: int = 20,
    nodes: int = 4,
    faults: tuple[str, ...] = ("all",),
    seen: Callable[[Outcome], None] | None = None,
) -> RunReport:
    """Run seeds ``first`` to ``last``; raises Invalid for numbers or names that cannot be.

    Args:
        faults: "all", "none", or names of :data:`zmqnode.sim.faults.FAULTS`.
        seen: called after each seed, for progress.
    """
    if not 0 <= first <= last or last - first >= SEEDS_MAX:
        raise Invalid("usage", f"seeds: expected A..B, at most {SEEDS_MAX} of them")
    if not 1 <= heights <= HEIGHTS_MAX:
        raise Invalid("usage", f"heights: expected 1 to {HEIGHTS_MAX}, not {heights}")
    chosen = read_faults(faults)
    failed: list[Failure] = []
    digest = blake2b(digest_size=32)
    handovers = 0
    begun = time.perf_counter()
    for seed in range(first, last + 1):
        outcome = run_plan(draw_plan(seed, nodes=nodes, heights=heights, faults=chosen))
        digest.update(outcome.digest.encode())
        handovers += outcome.handovers
        if outcome.violation is not None:
            failed.append(_failure(outcome))
        if seen is not None:
            seen(outcome)
    seconds = time.perf_counter() - begun
    count = last - first + 1
    return RunReport(
        first_seed=first,
        last_seed=last,
        passed=count - len(failed),
        failed=tuple(failed),
        handovers=handovers,
        digest=digest.hexdigest(),
        seconds=seconds,
        seeds_per_hour=count / seconds * HOUR_S if seconds else 0.0,
    )


def _failure(outcome: Outcome) -> Failure:
    found = outcome.violation
    assert found is not None
    return Failure(
        seed=outcome.plan.seed,
        checker=found.checker,
        height=found.height,
        message=found.message,
        trace=trace_of(outcome),
    )


def trace_of(outcome: Outcome) -> dict[str, Any]:
    """A run as JSON: its plan and what came of it."""
    found = outcome.violation
    return {
        "v": TRACE_VERSION,
        "plan": plan_to_json(outcome.plan),
        "checker": None if found is None else found.checker,
        "height": None if found is None else found.height,
        "message": None if found is None else found.message,
        "digest": outcome.digest,
    }


def replay(trace: object, tell: Teller | None = None) -> ReplayReport:
    """Run a trace again; ``tell`` hears every step in words. Raises Invalid for no trace."""
    if not isinstance(trace, dict) or trace.get("v") != TRACE_VERSION or "plan" not in trace:
        raise Invalid("usage", "no trace of a simulator run")
    outcome = run_plan(plan_from_json(trace["plan"]), tell=tell)
    found = outcome.violation
    before = trace.get("digest")
    return ReplayReport(
        seed=outcome.plan.seed,
        checker=None if found is None else found.checker,
        height=None if found is None else found.height,
        message=None if found is None else found.message,
        digest=outcome.digest,
        expected=before if isinstance(before, str) else None,
    )
