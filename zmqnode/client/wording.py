"""What a caller writes, as the fields of requests: blocks by any name, hashes, what to wait for."""

from __future__ import annotations

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
    if not 0 <= height < HEIGHT_MAX + 1:
        raise Invalid("usage", f"{height} is no height")
    return BlockAsked(height=height)


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
