"""The options that mean the same in every command; the rooms they need are loaded when used."""

from __future__ import annotations

import re
from typing import Annotated, Final

import typer

from zmqnode.commands import terminal

_TIME: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m)?")
_UNIT_MS: Final = {"ms": 1, "s": 1000, None: 1000, "m": 60_000}


def parse_time_ms(text: str) -> int:
    """``500ms``, ``5s``, ``2m`` or seconds, as milliseconds; raises typer.BadParameter."""
    from zmqnode.config.limits import TIMEOUT_MAX_MS

    found = _TIME.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no time; write 500ms, 5s, 2m or seconds")
    value = round(float(found[1]) * _UNIT_MS[found[2]])
    if not 0 < value <= TIMEOUT_MAX_MS:
        raise typer.BadParameter(f"{text!r} is not between 1ms and {TIMEOUT_MAX_MS // 60_000}m")
    return value


def parse_sign(text: str) -> str:
    """A key reference, checked for its form; a literal key earns its one warning line."""
    from zmqnode.config.secret import LITERAL_WARNING, parse_secret

    if parse_secret(text).kind == "literal":
        terminal.warn(LITERAL_WARNING)
    return text


TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        "-t",
        metavar="TARGET",
        help="A url, a node's folder, a node of the testnet in use, a context.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
TimeoutOption = Annotated[
    int | None,
    typer.Option("--timeout", metavar="TIME", parser=parse_time_ms, help="500ms, 5s, 2m, seconds."),
]
SignOption = Annotated[
    str | None,
    typer.Option(
        "--sign",
        metavar="REF",
        parser=parse_sign,
        help="The key that signs: file:PATH, env:NAME, cred:NAME or -.",
    ),
]
"""Annotations of command parameters; ``--timeout`` comes out as int ms, None if absent."""
