"""``zmqnode seal``: make, show and send signed operations."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from zmqnode.commands import guide, terminal
from zmqnode.commands.asking import asking
from zmqnode.commands.options import JsonOption, SignOption, TargetOption, TimeoutOption
from zmqnode.config.limits import TIMEOUT_ASK_MS
from zmqnode.errors import Invalid, Malformed, Refused

if TYPE_CHECKING:
    from rich.console import RenderableType

    from zmqnode.base.seal import Seal
    from zmqnode.client import Receipt, SyncClient
    from zmqnode.client.node_link import Chain

app = typer.Typer()

SEAL_FILE_BYTES_MAX: Final = 16 << 20

WordsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[OP KEY=VALUE..]", help="An operation and its arguments."),
]
LinesOption = Annotated[
    str | None,
    typer.Option("--file", metavar="F", help="Operations as JSON lines; - is stdin."),
]


@app.command()
def send(
    words: WordsArgument = None,
    file: LinesOption = None,
    seal: Annotated[
        Path | None, typer.Option("--seal", metavar="F", help="A seal made before.")
    ] = None,
    wait: Annotated[
        str, typer.Option("--wait", metavar="accepted|committed", help="What to wait for.")
    ] = "committed",
    only: Annotated[bool, typer.Option("--only", help="To the target alone.")] = False,
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send operations and wait until they are committed; exit 1 if one of them was undone."""
    if wait not in ("accepted", "committed"):
        raise typer.BadParameter(f"{wait!r} is neither accepted nor committed")
    if (words is not None) + (file is not None) + (seal is not None) != 1:
        raise typer.BadParameter("give an operation, --file or --seal")
    # A short time-out bounds the first question, too.
    ask_ms = None if timeout_ms is None else min(timeout_ms, TIMEOUT_ASK_MS)
    with asking(target, sign=sign, timeout_ms=ask_ms, copies=1 if only else None) as client:
        if seal is not None:
            sent = read_file(seal)
        else:
            sent = client.sign(*_operations(client, words or [], file))
        watch = f"zmqnode wait seal {sent.hash.hex()}"
        with terminal.detaching(watch):
            receipt = client.submit(sent, wait=wait, timeout_ms=timeout_ms)
    terminal.show(receipt, as_panel=receipt_panel, as_json=as_json)
    then = "wait seal " + receipt.seal if receipt.height is None else f"block show {receipt.height}"
    guide.next_step(f"zmqnode {then}", as_json=as_json)


@app.command()
def make(
    words: WordsArgument = None,
    file: LinesOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="F", help="Where the seal's bytes go.")
    ] = None,
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign operations and send nothing; the target says for which chain."""
    if (words is not None) + (file is not None) != 1:
        raise typer.BadParameter("give an operation or --file")
    with asking(target, sign=sign, timeout_ms=timeout_ms) as client:
        made = client.sign(*_operations(client, words or [], file))
        shown = described(made, client.run(client.client.chain()))
    if out is not None:
        try:
            with out.open("xb") as stream:
                stream.write(made.data)
        except FileExistsError:
            text, hint = f"there is a file {out}", "take another name"
            raise Refused("already_exists", text, hint=hint, file=str(out)) from None
        except OSError as error:
            text = f"cannot write {out}: {error.strerror}"
            raise Invalid("file_missing", text, file=str(out)) from None
    terminal.show(shown, as_json=as_json)


@app.command()
def cat(
    file: Annotated[Path, typer.Argument(metavar="F", help="A file of --out.")],
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a seal holds and whether its signature is good for the target's chain."""
    seal = read_file(file)
    with asking(target, sign=sign, timeout_ms=timeout_ms) as client:
        shown = described(seal, client.run(client.client.chain()))
    terminal.show(shown, as_json=as_json)


def described(seal: Seal, chain: Chain) -> dict[str, Any]:
    """The answer of make and cat."""
    from zmqnode.app.texts import to_json
    from zmqnode.base.instant import at
    from zmqnode.base.keys import public_text, verify

    return {
        "seal": seal.hash.hex(),
        "sender": public_text(seal.sender),
        **at("created", seal.created_at_ms),
        **at("expires", seal.created_at_ms + chain.params.seal_ttl_ms),
        "size_bytes": len(seal.data),
        "signature_ok": seal.verified(chain.domain, verify),
        "operations": [
            {"name": name, "arguments": to_json(chain.schema.arguments(name, arguments))}
            for name, arguments in seal.operations
        ],
        "data": seal.data,
    }


def read_file(file: Path) -> Seal:
    """The seal of a file; raises Invalid ``file_missing`` or Refused ``seal_malformed``."""
    from zmqnode.base.seal import read_seal

    try:
        with file.open("rb") as stream:
            data = stream.read(SEAL_FILE_BYTES_MAX)
    except OSError as error:
        text = f"cannot read {file}: {error.strerror}"
        raise Invalid("file_missing", text, file=str(file)) from None
    try:
        return read_seal(data)
    except Malformed as error:
        text = f"{file} holds no seal: {error}"
        raise Refused("seal_malformed", text, hint="zmqnode seal make --out makes one") from None


def _operations(
    client: SyncClient, words: list[str], file: str | None
) -> list[tuple[str, dict[str, Any]]]:
    """Operations as typed, by the schema of the target's application."""
    from zmqnode.app.texts import arguments_from_texts, operations_from_lines

    schema = client.run(client.client.chain()).schema
    if file is None:
        name, *texts = words
        return [(name, arguments_from_texts(schema.operation(name), texts))]
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        text = f"cannot read {file}: {error.strerror}"
        raise Invalid("file_missing", text, file=str(file)) from None
    except UnicodeDecodeError:
        raise Invalid("usage", f"{file} is no UTF-8 text") from None
    operations = operations_from_lines(schema, text)
    if not operations:
        raise Invalid("usage", f"{file} holds no operation", hint="one JSON object a line")
    return operations


def receipt_panel(receipt: Receipt) -> RenderableType:
    """A receipt for a person."""
    from rich.console import Group

    from zmqnode.commands import view

    grid = view.pairs()
    grid.add_row("seal", view.text(receipt.seal))
    grid.add_row("state", view.text(receipt.state))
    if receipt.height is not None:
        grid.add_row("block", view.text(f"{receipt.height}, {receipt.block_hash}"))
    grid.add_row("seconds", view.text(receipt.seconds))
    rows: list[dict[str, Any]] = [
        {
            "operation": one.index,
            "name": one.name,
            "ok": one.ok,
            "reason": one.reason,
            "events": ", ".join(event.name for event in one.events) or None,
        }
        for one in receipt.results
    ]
    return Group(grid, view.table(rows)) if rows else grid
