"""``sim``: whole clusters of the real core in a seeded, faulty world; failing seeds as files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from zmqnode.commands import deadline, terminal
from zmqnode.commands.options import JsonOption, TimeoutOption
from zmqnode.errors import Invalid

if TYPE_CHECKING:
    from zmqnode.sim.runner import Failure

app = typer.Typer()

TRACES: Final = Path("sim-traces")  # In the current folder; made when the first seed fails.
TRACE_BYTES_MAX: Final = 16 << 20
_SEEDS: Final = re.compile(r"([0-9]{1,18})(?:\.\.([0-9]{1,18}))?")


def parse_seeds(text: str) -> tuple[int, int]:
    """``A..B`` or one seed ``A``; raises typer.BadParameter."""
    found = _SEEDS.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no range of seeds; write 0..99, or one seed")
    first, last = int(found[1]), int(found[2] or found[1])
    if last < first:
        raise typer.BadParameter(f"{text!r} ends before it begins")
    return first, last


@app.command("run")
def run(
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="A..B", help="Which seeds to run.")
    ] = "0..99",
    heights: Annotated[int, typer.Option("--heights", min=1, help="The goal of each run.")] = 20,
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Members of the suffrage.")] = 4,
    faults: Annotated[
        list[str] | None,
        typer.Option("--faults", metavar="all|none|NAME..", help="What may go wrong; repeatable."),
    ] = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run seeds; every failing one leaves a trace file that ``sim replay`` takes."""
    from zmqnode.sim import runner

    first, last = parse_seeds(seeds)
    names = tuple(name for text in faults or ["all"] for name in text.split(",") if name)
    with deadline.computing(timeout_ms, f"seeds {first}..{last}"):
        report = runner.run_seeds(first, last, heights=heights, nodes=nodes, faults=names)
    answer: dict[str, Any] = {
        "ok": report.ok,
        "first_seed": report.first_seed,
        "last_seed": report.last_seed,
        "passed": report.passed,
        "failed": [_kept(failure, nodes) for failure in report.failed],
        "handovers": report.handovers,
        "digest": report.digest,
        "seconds": round(report.seconds, 3),
        "seeds_per_hour": round(report.seeds_per_hour, 1),
    }
    terminal.show(answer, as_json=as_json)


@app.command("replay")
def replay(
    trace: Annotated[Path, typer.Argument(metavar="TRACE", help="A trace file of sim run.")],
    tell: Annotated[bool, typer.Option("--tell", help="Every step in words, on stderr.")] = False,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run one trace again, to the same digest."""
    from zmqnode.sim import runner

    with deadline.computing(timeout_ms, "the trace"):
        report = runner.replay(_read(trace), tell=terminal.note if tell else None)
    if report.expected is not None and report.expected != report.digest:
        terminal.warn("the digest is not the trace's: it was written by other code")
    answer = {
        "ok": report.ok,
        "seed": report.seed,
        "checker": report.checker,
        "height": report.height,
        "message": report.message,
        "digest": report.digest,
    }
    terminal.show(answer, as_json=as_json)


@app.command("explore")
def explore(
    instances: Annotated[
        int, typer.Option("--instances", min=2, max=8, help="Copies of one address.")
    ] = 3,
    operations: Annotated[
        int, typer.Option("--operations", min=1, max=4, help="Handovers that may be committed.")
    ] = 2,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explore every behaviour of handover in small worlds, over the code that decides it."""
    from zmqnode.sim import explorer

    with deadline.computing(timeout_ms, "the exploration"):
        report = explorer.explore(instances, operations)
    answer = {
        "ok": report.ok,
        "states": report.states,
        "transitions": report.transitions,
        "complete": report.complete,
        "violations": [
            {
                "scenario": one.scenario,
                "property": one.property,
                "message": one.message,
                "trace": list(one.trace),
            }
            for one in report.violations
        ],
        "seconds": round(report.seconds, 3),
    }
    terminal.show(answer, as_json=as_json)


def _kept(failure: Failure, nodes: int) -> dict[str, Any]:
    """A failing seed as the answer lists it; its trace is written to a file."""
    TRACES.mkdir(exist_ok=True)
    path = TRACES / f"seed-{failure.seed}-nodes-{nodes}.json"
    path.write_text(json.dumps(failure.trace, indent=1) + "\n", encoding="utf-8")
    return {
        "seed": failure.seed,
        "checker": failure.checker,
        "height": failure.height,
        "message": failure.message,
        "trace": str(path),
    }


def _read(path: Path) -> object:
    """The JSON of a trace file; raises Invalid."""
    try:
        if path.stat().st_size > TRACE_BYTES_MAX:
            raise Invalid("usage", f"{path} is too large for a trace")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Invalid("file_missing", f"{path}: {reason}", path=str(path)) from None
    except ValueError:
        raise Invalid("usage", f"{path} is no trace of a simulator run", path=str(path)) from None
