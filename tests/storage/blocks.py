"""Blocks whose every part tells its height. Light: the process that is killed imports it, too."""

from __future__ import annotations

import hashlib
from typing import Any

from zmqnode.storage.store import BlockRecord


def hash_of(height: int) -> bytes:
    return hashlib.sha256(b"block%d" % height).digest()


def seal_of(height: int, number: int = 0) -> bytes:
    return hashlib.sha256(b"seal%d.%d" % (height, number)).digest()


def record(height: int, **parts: Any) -> BlockRecord:
    """A block whose every part tells its height."""
    parts.setdefault("init_vp", b"init%d" % height)
    parts.setdefault("seals", (seal_of(height, 0), seal_of(height, 1)))
    return BlockRecord(
        height=height,
        block_hash=hash_of(height),
        block=b"block%d" % height,
        accept_vp=b"accept%d" % height,
        **parts,
    )
