"""Commands whose answer is a document for another program: a script, a unit, a dashboard.

The document alone goes to stdout, so that it can be redirected or piped; ``--out`` writes it to a
new file instead; ``--json`` tells it as ``{kind, file?, text}``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from zmqnode.commands import terminal
from zmqnode.errors import Invalid, Refused

OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="A new file, in place of stdout.")
]


def give(kind: str, text: str, *, out: Path | None, as_json: bool) -> None:
    """Hand a document over.

    Args:
        kind: what it is, in one word.
        text: the document; a last line end is added where there is none.
    Raises:
        Refused: ``already_exists``, nothing is overwritten.
        Invalid: ``file_missing``, it cannot be written there.
    """
    whole = text if text.endswith("\n") else text + "\n"
    if out is not None:
        write_new(out, whole)
    if as_json:
        file = None if out is None else str(out)
        terminal.show({"kind": kind, "file": file, "text": whole}, as_json=True)
    elif out is not None:
        terminal.show({"kind": kind, "file": str(out)})
    else:
        terminal.write(sys.stdout, whole)


def write_new(out: Path, text: str) -> None:
    """A new file; raises as :func:`give` does."""
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        hint = "nothing is overwritten; take another name"
        raise Refused(
            "already_exists", f"there is a file {out}", hint=hint, file=str(out)
        ) from None
    except OSError as error:
        message = f"cannot write {out}: {error.strerror}"
        raise Invalid("file_missing", message, file=str(out)) from None
