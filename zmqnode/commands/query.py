"""``zmqnode query``: ask the application's state, with a proof if wanted."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from zmqnode.commands import guide, terminal
from zmqnode.commands.asking import asking
from zmqnode.commands.options import JsonOption, SignOption, TargetOption, TimeoutOption

app = typer.Typer()


@app.command("query")
def ask(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A query of the application.")],
    texts: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE..]")] = None,
    height: Annotated[
        int | None, typer.Option("--height", metavar="H", min=0, help="Wait for this block.")
    ] = None,
    proof: Annotated[
        bool, typer.Option("--proof", help="Check the answer against the genesis hash.")
    ] = False,
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the application's state; prints the value alone."""
    from zmqnode.app.texts import arguments_from_texts, to_text

    with asking(target, sign=sign, timeout_ms=timeout_ms) as client:
        schema = client.run(client.client.chain()).schema
        arguments: dict[str, Any] = arguments_from_texts(schema.query(name), texts or [])
        answer = client.query(name, arguments, height=height, proof=proof, timeout_ms=timeout_ms)
    if as_json:
        terminal.show(answer, as_json=True)
        return
    if proof and answer.proof is None:
        terminal.warn("the query lists keys, which no proof covers: this answer is unproven")
    elif answer.proof is not None and not answer.proof.result_checked:
        terminal.note("the keys read are proven; that the result follows from them is not checked")
    elif answer.proof is not None:
        who = f"{len(answer.proof.signers)} members signed its state"
        guide.remark(f"proven: read at height {answer.height}; {who}, and the genesis names them")
    terminal.line(to_text(answer.result))
