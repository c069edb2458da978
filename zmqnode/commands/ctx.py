"""``zmqnode ctx``: names for targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zmqnode.commands import terminal
from zmqnode.commands.options import JsonOption
from zmqnode.errors import Invalid

if TYPE_CHECKING:
    from zmqnode.config.secret import Secret

app = typer.Typer()

NameArgument = Annotated[str, typer.Argument(metavar="NAME")]


@app.command()
def add(
    name: NameArgument,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A url, a path, a node.")],
    sign: Annotated[
        str | None, typer.Option("--sign", metavar="REF", help="The key that signs; a reference.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Give a target a name; paths are kept absolute."""
    from zmqnode.config.contexts import Context, add_context
    from zmqnode.config.secret import parse_secret
    from zmqnode.config.target import durable_text

    reference = None if sign is None else _durable(parse_secret(sign))
    context = Context(name=name, target=durable_text(target), sign=reference)
    add_context(context)
    terminal.show(context.json(), as_json=as_json)


@app.command()
def rm(name: NameArgument, as_json: JsonOption = False) -> None:
    """Forget a name."""
    from zmqnode.config.contexts import remove_context

    terminal.show(remove_context(name).json(), as_json=as_json)


@app.command("list")
def every(as_json: JsonOption = False) -> None:
    """All names."""
    from zmqnode.config.contexts import load_contexts

    contexts = [context.json() for context in load_contexts().values()]
    terminal.show({"contexts": contexts}, as_json=as_json)


def _durable(secret: Secret) -> str:
    """A reference that means the same from any folder; a literal key is refused."""
    match secret.kind:
        case "literal":
            hint = "write it to a file of mode 600 and give file:PATH"
            raise Invalid("key_invalid", "a context keeps no key, only a reference", hint=hint)
        case "file":
            return f"file:{Path(secret.name).expanduser().absolute()}"
        case _:
            return secret.shown
