"""``zmqnode debug``: what to send to who shall help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from zmqnode.commands import terminal
from zmqnode.commands.options import JsonOption, TargetOption, TimeoutOption
from zmqnode.errors import Invalid, Refused

if TYPE_CHECKING:
    from rich.console import RenderableType

DUMP_TIMEOUT_MS: Final = 5_000

app = typer.Typer()


@app.callback()
def _group() -> None:
    """What to send to who shall help."""


@app.command("dump")
def dump(
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="A new file; default: named by node and time."),
    ] = None,
    target: TargetOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write an archive that says all about a node but its secrets: look into it, then send it.

    A node that does not answer is no hindrance where its folder is the target: what the folder says
    is in it then, and what is missing.
    """
    import time

    from zmqnode.commands.dump import collect, write_archive
    from zmqnode.config.target import read_target

    found = read_target(target)
    collected = collect(found, timeout_ms or DUMP_TIMEOUT_MS)
    if out is None:
        who = "node" if found.config is None else str(found.config.address)
        moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime(collected.made_at_ms / 1000))
        out = Path(f"zmqnode-dump-{who}-{moment}.tar.gz")
    try:
        size = write_archive(collected, out)
    except FileExistsError:
        hint = "nothing is overwritten; take another name"
        raise Refused(
            "already_exists", f"there is a file {out}", hint=hint, file=str(out)
        ) from None
    except OSError as error:
        message = f"cannot write {out}: {error.strerror}"
        hint = "--out FILE in a folder that you may write to"
        raise Invalid("file_missing", message, hint=hint, file=str(out)) from None
    answer = {
        "file": str(out),
        "size_bytes": size,
        "files": list(collected.files),
        "missing": collected.missing,
    }
    terminal.show(answer, as_panel=_panel, as_json=as_json)


def _panel(answer: dict[str, Any]) -> RenderableType:
    from rich.console import Group

    from zmqnode.commands import view

    grid = view.pairs()
    grid.add_row("file", view.text(answer["file"]))
    grid.add_row("size", view.text(f"{answer['size_bytes']} bytes"))
    grid.add_row("holds", view.text(", ".join(answer["files"])))
    if not answer["missing"]:
        return grid
    return Group(grid, view.table(answer["missing"], title="missing"))
