"""``bench``: this machine against the goals, beside the floor of the same run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zmqnode.commands import deadline, terminal
from zmqnode.commands.options import JsonOption, TimeoutOption

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer()


@app.command("bench")
def bench(
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="ROW..", help="These rows alone; repeatable, or commas."),
    ] = None,
    nodes: Annotated[int, typer.Option("--nodes", min=1, max=16, help="Of each network.")] = 4,
    runs: Annotated[int, typer.Option("--runs", min=1, max=100, help="Medians are shown.")] = 3,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure this machine against the goals; takes minutes, and wants the machine for itself."""
    from zmqnode.bench import report

    names = tuple(name for text in only or () for name in text.split(",") if name)
    rows = report.chosen(names, nodes)
    work = report.measured(rows, nodes=nodes, runs=runs, tell=terminal.note)
    answer = deadline.playing(work, timeout_ms, "the measuring")
    if answer["machine"]["filesystem"] == "tmpfs":
        terminal.warn("the files were in memory, not on a disk; set TMPDIR to a folder on one")
    terminal.show(answer, as_panel=panel, as_json=as_json)


def panel(answer: Mapping[str, Any]) -> RenderableType:
    """The rows as a table, machine and floor above it."""
    from rich import box
    from rich.console import Group
    from rich.table import Table

    from zmqnode.commands import view

    head = view.pairs()
    machine, floor = answer["machine"], answer["floor"]
    head.add_row("machine", view.text(f"{machine['cores']} x {machine['processor']}"))
    head.add_row("system", view.text(f"{machine['system']}, Python {machine['python']}"))
    head.add_row("disk", view.text(f"{machine['filesystem']}, a sync {machine['sync_ms']} ms"))
    head.add_row("floor", view.text(f"{floor['heights_per_s']} heights/s"))
    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("row", "median", "unit", "goal", "met", "runs", "beside"):
        rows.add_column(name, justify="right" if name in ("median", "goal") else "left")
    for row in answer["rows"]:
        rows.add_row(
            view.text(row["name"]),
            view.text(row["median"]),
            view.text(row["unit"]),
            view.text(row["goal"]),
            view.text(row["met"]),
            view.text(", ".join(f"{value:g}" for value in row["values"])),
            view.text([_beside(name, told) for name, told in row["details"].items()]),
        )
    return Group(head, rows)


def _beside(name: str, told: Mapping[str, Any]) -> str:
    value = "-" if told["median"] is None else f"{told['median']:g}"
    if "goal" not in told:
        return f"{name} {value}"
    return f"{name} {value} (goal {told['goal']:g}, {'met' if told['met'] else 'missed'})"
