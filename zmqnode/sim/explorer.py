"""``sim explore``: every behaviour of a small world, over core/authority itself, not a model of it.

Theory. The authority is a function of the chain, so a world is a chain and whoever writes it. Here
the writer is free: in every block any valid sequence of system operations that could ever have been
signed (so every old one is tried again), with the old instance's ballot carried or not, soon or
late. Which node made an operation at which tip, with which lag, before or after which crash, then
makes no difference: each could have been signed earlier and kept. Two times between blocks suffice
to let height decide a window, or time.

Only ages count, so each state is brought to one base height and time, with ages no older than a
rule can tell apart; the graph is finite, and a run that ends has seen all of it (``complete``).
Instances whose keys nobody has named yet are interchangeable: only the first of them is tried.

That no two instances sign for one height is shown twice. First on the chain: what it announces for
a height never changes from the first block that announces it to the last that is asked; as all
nodes at one tip have one state, nodes at different tips agree. And once with the copies themselves:
instances of one address that lag by up to two blocks, one of which crashes and starts again from an
old state, each signing whatever its own state names it for.

In every state, moreover, no forgery has effect (an operation right in all but one thing), every
open session closes by itself, and what a crash leaves on disk is the state. What is broken is
reported with its name and the blocks that lead to it (explorer_checks.py).

Not explored: consensus itself (the chain is given), signatures (a keyed hash), more operations than
asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from zmqnode.base.handover import Mode
from zmqnode.sim.explorer_search import Finding, Scenario, Search

STATES_MAX: Final = 2_000_000  # Of one scenario.
VIOLATIONS_MAX: Final = 8
TRACE_MAX: Final = 64


def scenarios(instances: int = 3, operations: int = 2) -> tuple[Scenario, ...]:
    """The worlds of one exploration."""
    one = (instances,)
    return (
        Scenario(name="three members", n=3, instances=one, operations=operations),
        Scenario(name="four members", n=4, instances=one, operations=operations, cancels=False),
        Scenario(
            name="two addresses",
            n=4,
            instances=(2, 2),
            operations=operations,
            cancels=False,
        ),
        Scenario(
            name="two slots",
            n=7,
            instances=(2, 2, 2),
            operations=operations,
            cancels=False,
            pairs=False,
            modes=(Mode.PLANNED,),
            slots=2,
        ),
        Scenario(name="two members", n=2, instances=one, operations=operations),
        Scenario(
            name="lagging copies",
            n=3,
            instances=one,
            operations=operations,
            cancels=False,
            pairs=False,
            lagging=True,
        ),
        Scenario(name="expiring", n=3, instances=(2,), operations=1, pairs=False, expires_ms=100),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A property that does not hold, and the blocks that show it."""

    scenario: str
    property: str
    message: str
    trace: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Report:
    """What an exploration found; ``complete``: no bound ended it early."""

    states: int = 0
    transitions: int = 0
    complete: bool = True
    violations: list[Violation] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether all was seen and nothing is broken."""
        return self.complete and not self.violations


def explore(
    instances: int = 3,
    operations: int = 2,
    *,
    chosen: Iterable[Scenario] | None = None,
    states_max: int = STATES_MAX,
    violations_max: int = VIOLATIONS_MAX,
) -> Report:
    """Explore all scenarios, or those chosen; ends early at ``violations_max`` violations."""
    report = Report()
    began = time.monotonic()
    for scenario in scenarios(instances, operations) if chosen is None else chosen:
        search = Search(scenario, states_max)
        for finding in search.run():
            report.violations.append(_violation(scenario, search, finding))
            if len(report.violations) >= violations_max:
                report.complete = False
                break
        report.states += len(search.seen)
        report.transitions += search.transitions
        report.complete = report.complete and search.complete
        if not report.complete:
            break
    report.seconds = time.monotonic() - began
    return report


def _violation(scenario: Scenario, search: Search, finding: Finding) -> Violation:
    return Violation(
        scenario=scenario.name,
        property=finding.property,
        message=finding.message,
        trace=search.trace(finding)[-TRACE_MAX:],
    )
