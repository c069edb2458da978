"""``zmqnode app``: start an application, check that every node will come to the same result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zmqnode.commands import deadline, terminal
from zmqnode.commands.options import JsonOption, TimeoutOption

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer()


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, such as bank.")],
    as_json: JsonOption = False,
) -> None:
    """Write an application to begin with, and its tests, into the current folder."""
    from zmqnode.app.template import write_app

    files = write_app(name, Path())
    module = Path(files[0]).stem
    terminal.note(f"next: zmqnode app check {module}:app")
    terminal.show({"files": files}, as_json=as_json)


@app.command()
def check(
    name: Annotated[str, typer.Argument(metavar="MODULE:APP", help="Such as bank:app, or kv.")],
    runs: Annotated[int, typer.Option("--runs", help="Processes to compare.")] = 2,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for what would make nodes disagree: in the source, and by running samples."""
    from zmqnode.app.checking import app_check

    with deadline.computing(timeout_ms, "the check"):
        checked = app_check(name, runs, [Path()])
    terminal.show(checked.json(), as_panel=check_panel, as_json=as_json)


def check_panel(answer: dict[str, Any]) -> RenderableType:
    """The application in a few rows, then one paragraph a finding: where, and what."""
    from rich.console import Group
    from rich.text import Text

    from zmqnode.commands import view

    shown = {key: answer[key] for key in ("app", "version", "operations", "queries", "runs")}
    lines = []
    for one in answer["findings"]:
        place = f"{one['file']}:{one['line']}: " if one["file"] else ""
        what = " ".join(f"{key} {one[key]}" for key in ("operation", "key") if one[key])
        lines.append(Text(terminal.clean(f"{place}{what + ': ' if what else ''}{one['message']}")))
    verdict = f"{len(lines)} found" if lines else "nothing found"
    return Group(view.plain(shown), *lines, Text(verdict, style="red" if lines else "green"))
