"""``zmqnode suffrage``: who may vote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from zmqnode.commands import terminal
from zmqnode.commands.asking import asking
from zmqnode.commands.options import JsonOption, SignOption, TargetOption, TimeoutOption

if TYPE_CHECKING:
    from rich.console import RenderableType

    from zmqnode.client import SuffrageInfo

app = typer.Typer()


@app.callback()
def _group() -> None:
    """Who may vote."""


@app.command("list")
def members(
    height: Annotated[
        int | None, typer.Option("--height", metavar="H", min=0, help="Default: the next.")
    ] = None,
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """List who may vote at a height, and who of them is live."""
    with asking(target, sign=sign, timeout_ms=timeout_ms) as client:
        terminal.show(client.suffrage(height), as_panel=suffrage_panel, as_json=as_json)


def suffrage_panel(suffrage: SuffrageInfo) -> RenderableType:
    """A suffrage for a person."""
    from rich.console import Group

    from zmqnode.commands import view

    grid = view.pairs()
    grid.add_row("height", view.text(suffrage.height))
    grid.add_row("votes needed", view.text(f"{suffrage.q} of {suffrage.n}"))
    grid.add_row("live", view.text(f"{suffrage.live} (margin {suffrage.margin})"))
    rows: list[dict[str, Any]] = [
        {
            "address": one.address,
            "epoch": one.epoch,
            "live": one.live,
            "instance": one.instance,
            "url": one.url,
        }
        for one in suffrage.members
    ]
    return Group(grid, view.table(rows))
