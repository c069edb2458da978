"""``zmqnode peers``: the target's links to other copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from zmqnode.commands import terminal
from zmqnode.commands.asking import asking
from zmqnode.commands.options import JsonOption, SignOption, TargetOption, TimeoutOption

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer()


@app.command("peers")
def peers(
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a node's links to the other copies."""
    with asking(target, sign=sign, timeout_ms=timeout_ms) as client:
        answer = {"peers": [one.json() for one in client.peers()]}
    terminal.show(answer, as_panel=peers_panel, as_json=as_json)


def peers_panel(answer: dict[str, Any]) -> RenderableType:
    """Links as a table."""
    from zmqnode.commands import view

    columns = (
        *("address", "role", "epoch", "url", "connected", "height", "rtt_ms", "clock_offset_ms"),
        *("queue_messages", "dropped", "strikes"),
    )
    rows = [{key: one[key] for key in columns} for one in answer["peers"]]
    return view.table(rows) if rows else view.text("no peers")
