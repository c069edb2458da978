"""SHA-256, and hashes that carry a domain so that no two kinds of object can share one."""

from __future__ import annotations

import hashlib
from typing import NewType

Hash = NewType("Hash", bytes)

HASH_BYTES = 32
ZERO = Hash(bytes(HASH_BYTES))

_sha256 = hashlib.sha256


def sha256(data: bytes) -> Hash:
    """The 32-byte SHA-256 of ``data``."""
    return Hash(_sha256(data).digest())


def tagged(tag: bytes, data: bytes) -> Hash:
    """SHA-256 of the tag's length (one byte), the tag (1 to 255 bytes) and the data."""
    return Hash(_sha256(bytes((len(tag),)) + tag + data).digest())
