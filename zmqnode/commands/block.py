"""``zmqnode block``: show blocks, list them, verify the chain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zmqnode.commands import terminal
from zmqnode.commands.asking import asking
from zmqnode.commands.options import JsonOption, SignOption, TargetOption, TimeoutOption

if TYPE_CHECKING:
    from rich.console import RenderableType

    from zmqnode.base.genesis import Genesis
    from zmqnode.client import BlockInfo, SyncClient

app = typer.Typer()

FromOption = Annotated[int | None, typer.Option("--from", metavar="H", min=0)]
ToOption = Annotated[int | None, typer.Option("--to", metavar="H", min=0)]


@app.command()
def show(
    which: Annotated[str, typer.Argument(metavar="HEIGHT|HASH|last")] = "last",
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a block: its operations, their results, who signed."""
    with asking(target, sign=sign, timeout_ms=timeout_ms) as client:
        terminal.show(client.block(which), as_panel=block_panel, as_json=as_json)


@app.command("list")
def headers(
    first: FromOption = None,
    last: ToOption = None,
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """List headers; without a range, the last 20."""
    with asking(target, sign=sign, timeout_ms=timeout_ms) as client:
        found = client.blocks(first, last)
    answer = {"blocks": [one.json() for one in found]}
    terminal.show(answer, as_panel=list_panel, as_json=as_json)


@app.command("verify")
def check(
    first: Annotated[int, typer.Option("--from", metavar="H", min=0)] = 0,
    last: ToOption = None,
    genesis: Annotated[
        Path | None,
        typer.Option("--genesis", metavar="FILE", help="Default: the target folder's."),
    ] = None,
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify the chain without executing it; exit 1 at the first block that does not hold."""
    from zmqnode.client.auditing import verify_blocks

    with asking(target, sign=sign, timeout_ms=timeout_ms) as client:
        document = _genesis(client, genesis)
        work = verify_blocks(client.client, first, last, genesis=document)
        terminal.show(client.run(work), as_json=as_json)


def _genesis(client: SyncClient, file: Path | None) -> Genesis | None:
    """The document of FILE, or the target folder's; None: the hash the node told is trusted."""
    from zmqnode.config.genesis import load_genesis

    config = client.client.targets[0].config
    if file is None and (config is None or not config.genesis.is_file()):
        terminal.warn("no genesis file is at hand: the genesis hash is the node's own word")
        return None
    path = file if file is not None or config is None else config.genesis
    assert path is not None
    return load_genesis(path)


def list_panel(answer: dict[str, Any]) -> RenderableType:
    """Headers as a table."""
    from zmqnode.commands import view

    rows = [
        {
            "height": one["height"],
            "block": one["block_hash"][:16],
            "round": one["round"],
            "proposer": one["proposer"],
            "proposed at": one["proposed_at"],
            "operations": one["operations_count"],
        }
        for one in answer["blocks"]
    ]
    return view.table(rows) if rows else view.text("no blocks")


def block_panel(block: BlockInfo) -> RenderableType:
    """A block for a person."""
    from rich.console import Group

    from zmqnode.commands import view

    grid = view.pairs()
    voted = block.accept_voteproof
    signers = None if voted is None else ", ".join(one.address for one in voted.signers)
    for name, value in (
        ("height", block.height),
        ("hash", block.block_hash),
        ("parent", block.parent_hash),
        ("proposed", f"by {block.proposer} at {block.proposed_at}" if block.proposer else None),
        ("round", block.round),
        ("accepted by", signers),
        ("value", block.value_hash),
        ("results root", block.results_root),
        ("state root", block.state_root),
        ("next suffrage", block.next_suffrage_hash),
        ("seals", len(block.seals)),
    ):
        grid.add_row(name, view.text(value))
    rows: list[dict[str, Any]] = [
        {
            "seal": one.seal[:12],
            "index": one.index,
            "operation": one.name,
            "arguments": ", ".join(
                f"{key}={_short(value)}" for key, value in one.arguments.items()
            ),
            "ok": one.ok,
            "reason": one.reason,
        }
        for one in block.operations
    ]
    return Group(grid, view.table(rows)) if rows else grid


def _short(value: object) -> str:
    from zmqnode.app.texts import to_text

    text = to_text(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
