"""The state tree, said once more and slowly: recomputed whole from a dictionary of all keys.

Shares nothing with `zmqnode.base.tree` or the storage room but SHA-256 and the wire form of a
proof. Written from DESIGN.md section 4; only as fast as a test needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from zmqnode.base.tree import Proof


def _h(tag: bytes, data: bytes) -> bytes:
    return sha256(bytes([len(tag)]) + tag + data).digest()


def _entries(state: Mapping[bytes, bytes]) -> dict[str, bytes]:
    """Place in hexadecimal -> the 64 bytes of the entry."""
    return {
        sha256(key).hexdigest(): sha256(key).digest()
        + sha256(len(key).to_bytes(4, "big") + key + value).digest()
        for key, value in state.items()
    }


def _under(entries: Mapping[str, bytes], prefix: str) -> list[bytes]:
    return [entries[place] for place in sorted(entries) if place.startswith(prefix)]


def _node(entries: Mapping[str, bytes], prefix: str) -> bytes:
    mine = _under(entries, prefix)
    if len(mine) <= 32:
        return _h(b"tree.page", b"".join(mine))
    inside = {place: entry for place, entry in entries.items() if place.startswith(prefix)}
    return _h(b"tree.inner", b"".join(_node(inside, prefix + d) for d in "0123456789abcdef"))


def state_root(state: Mapping[bytes, bytes]) -> bytes:
    """The root a manifest names for this state."""
    return _h(b"tree.root", _node(_entries(state), ""))


def prove(state: Mapping[bytes, bytes], key: bytes) -> Proof:
    """The proof of what the state holds at a key."""
    entries = _entries(state)
    place, prefix, siblings = sha256(key).hexdigest(), "", []
    while len(_under(entries, prefix)) > 32:
        following = place[len(prefix)]
        others = [d for d in "0123456789abcdef" if d != following]
        siblings.append(b"".join(_node(entries, prefix + d) for d in others))
        prefix += following
    return Proof(page=b"".join(_under(entries, prefix)), siblings=tuple(siblings))


def page_names(state: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Every page that is not empty, by its prefix in hexadecimal."""
    entries = _entries(state)
    found, open_prefixes = {}, [""]
    while open_prefixes:
        prefix = open_prefixes.pop()
        mine = _under(entries, prefix)
        if len(mine) > 32:
            open_prefixes.extend(prefix + d for d in "0123456789abcdef")
        elif mine:
            found[prefix.encode()] = b"".join(mine)
    return found
