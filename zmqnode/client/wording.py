"""What a caller writes, as the fields of requests: blocks by any name, hashes, what to wait for.

What no chain has is told here, before anything is asked: Invalid ``usage``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zmqnode.base.exchange import NodeState
from zmqnode.base.hashes import Hash
from zmqnode.base.point import HEIGHT_MAX
from zmqnode.base.query import BlockAsked, Until
from zmqnode.errors import Invalid


def with_rtt(row: object) -> object:
    """Floats do not travel: a node tells microseconds, people read milliseconds."""
    if isinstance(row, dict) and "rtt_us" in row:
        rtt_us = row["rtt_us"]
        return {**row, "rtt_ms": rtt_us / 1000 if type(rtt_us) is int else None}
    return row


def in_seconds(row: object) -> object:
    """A session's time likewise: a node tells ``elapsed_ms``, people read ``seconds``."""
    if not isinstance(row, dict) or "seconds" in row:
        return row
    elapsed_ms = row.get("elapsed_ms")
    return {**row, "seconds": elapsed_ms / 1000 if type(elapsed_ms) is int else None}


def block_asked(which: int | str) -> BlockAsked:
    """A block by height, by hash (64 hex digits), or ``last``; raises Invalid ``usage``."""
    if which == "last":
        return BlockAsked()
    if isinstance(which, int):
        height = which
    elif which.isascii() and which.isdigit() and len(which) < 20:
        height = int(which)
    else:
        return BlockAsked(hash=hash_of(which))
    return BlockAsked(height=height_of(height))


def height_of(height: int) -> int:
    """A height that a block can have; raises Invalid ``usage``."""
    if type(height) is not int or not 0 <= height <= HEIGHT_MAX:
        text = f"{str(height)[:80]} is no height"
        raise Invalid("usage", text, hint=f"a height is an integer, 0 to {HEIGHT_MAX}")
    return height


def some_height(height: int | None) -> int | None:
    """As :func:`height_of`; None is none."""
    return None if height is None else height_of(height)


def state_of(state: str) -> str:
    """A state that a node can be in; raises Invalid ``usage``."""
    if state not in NodeState.__members__:
        hint = f"one of {', '.join(NodeState.__members__)}"
        raise Invalid("usage", f"{str(state)[:80]!r} is no state of a node", hint=hint)
    return state


def operation_of(operation: object) -> tuple[str, Mapping[str, Any]]:
    """A name and its arguments; raises Invalid ``usage``."""
    if isinstance(operation, tuple | list) and len(operation) == 2:
        name, arguments = operation
        if isinstance(name, str) and isinstance(arguments, Mapping):
            return name, arguments
    raise Invalid(
        "usage",
        f"{repr(operation)[:80]} is no operation",
        hint="an operation is (name, {argument: value})",
    )


def hash_of(text: str) -> Hash:
    """32 bytes from 64 hex digits; raises Invalid ``usage``."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise Invalid("usage", f"{text[:80]!r} is no hash", hint="a hash is 64 hex digits")
    return Hash(raw)


def until_of(wait: str) -> Until:
    """``accepted`` or ``committed``; raises Invalid ``usage``."""
    try:
        return Until[wait.upper()]
    except KeyError:
        raise Invalid("usage", f"wait is accepted or committed, not {wait[:40]!r}") from None
