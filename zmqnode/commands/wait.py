"""``zmqnode wait``: return when a node has a height, a state, a seal; for scripts."""

from __future__ import annotations

from typing import Annotated

import typer

from zmqnode.commands import terminal
from zmqnode.commands.asking import asking
from zmqnode.commands.options import JsonOption, SignOption, TargetOption, TimeoutOption

app = typer.Typer()


@app.command()
def height(
    height_: Annotated[int, typer.Argument(metavar="H", min=0)],
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wait until a node has a block."""
    with asking(target, sign=sign) as client:
        terminal.show(client.wait_height(height_, timeout_ms=timeout_ms), as_json=as_json)


@app.command()
def state(
    name: Annotated[str, typer.Argument(metavar="STATE", help="CONSENSUS, SYNCING, ..")],
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wait until a node is in a state."""
    with asking(target, sign=sign) as client:
        terminal.show(client.wait_state(name.upper(), timeout_ms=timeout_ms), as_json=as_json)


@app.command()
def synced(
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wait until a node follows the chain, at most one block behind."""
    with asking(target, sign=sign) as client:
        terminal.show(client.wait_synced(timeout_ms=timeout_ms), as_json=as_json)


@app.command()
def seal(
    hash_: Annotated[str, typer.Argument(metavar="HASH", help="64 hex digits.")],
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wait until a block holds a seal; its receipt."""
    from zmqnode.commands.seal import receipt_panel

    with asking(target, sign=sign) as client:
        receipt = client.wait_seal(hash_, timeout_ms=timeout_ms)
    terminal.show(receipt, as_panel=receipt_panel, as_json=as_json)
