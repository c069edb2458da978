"""``zmqnode completion``: what makes a shell complete the words of the command line.

The scripts are Typer's own. A program built on it prints one when its variable
``_ZMQNODE_COMPLETE`` is ``source_SHELL``: that protocol is what is used here.
"""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout
from typing import Annotated, Final

import typer

from zmqnode.commands.documents import OutOption, give
from zmqnode.commands.options import JsonOption

app = typer.Typer()

SHELLS: Final = ("bash", "zsh", "fish")


@app.command()
def completion(
    shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish")],
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the script; for bash: source <(zmqnode completion bash)."""
    if shell not in SHELLS:
        raise typer.BadParameter(f"{shell!r} is none of {', '.join(SHELLS)}")
    give(shell, _script(shell), out=out, as_json=as_json)


def _script(shell: str) -> str:
    from zmqnode.commands.main import COMPLETE_VARIABLE, NAME, build

    printed = io.StringIO()
    before = os.environ.get(COMPLETE_VARIABLE)
    os.environ[COMPLETE_VARIABLE] = f"source_{shell}"
    try:
        root = build("")
        with redirect_stdout(printed):
            root(args=[], prog_name=NAME, standalone_mode=False)
    except SystemExit:
        pass  # So Typer ends a program that was asked for its script.
    finally:
        if before is None:
            del os.environ[COMPLETE_VARIABLE]
        else:
            os.environ[COMPLETE_VARIABLE] = before
    assert printed.getvalue(), f"no script for {shell}"
    # zsh finds a completion in a file by its first line.
    return printed.getvalue().strip()
