"""What the state tree is made of while it works: inner nodes, changes of one page, a page cache.

Nothing here knows of versions or of a store; `pages.py` does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from zmqnode.base.tree import (
    EMPTY_PAGE,
    ENTRY_BYTES,
    HASH_BYTES,
    PAGE_ENTRIES_MAX,
    PAGE_PREFIX,
    find,
    inner_hash,
    nibble,
)
from zmqnode.errors import Damaged

REBUILD_HINT = (
    "stop the node and start it with an empty store: it will fetch the chain from its peers"
)

_sha256 = hashlib.sha256
_DIGITS = b"0123456789abcdef"
HEX = tuple(_DIGITS[slot : slot + 1] for slot in range(16))
SLOT = {digit: slot for slot, digit in enumerate(_DIGITS)}
_NO_HASHES = EMPTY_PAGE * 16

# One changed key: its place in hexadecimal and in bytes, and its new leaf (None: deleted).
Item = tuple[bytes, bytes, bytes | None]


class Inner:
    """One inner node: never changed once another node or a tree refers to it.

    Attributes:
        hashes: those of the 16 children, 512 bytes.
        kids: the children that are inner nodes themselves; None when all are pages.
        count: keys below, more than 32.
    """

    __slots__ = ("count", "hashes", "kids")

    def __init__(self, hashes: bytes, kids: tuple[Inner | None, ...] | None, count: int) -> None:
        self.hashes = hashes
        self.kids = kids
        self.count = count


def applied(page: bytes, items: list[Item], low: int, high: int) -> bytes:
    """The page after items[low:high]; it may be longer than a page can be."""
    if high - low > PAGE_ENTRIES_MAX:
        return _applied_many(page, items, low, high)
    for at_item in range(low, high):
        _, where, new = items[at_item]
        at = page.find(where)
        if at > 0 and at & 63:  # The same bytes across two entries are no entry: look on.
            at = find(page, where)
        if at >= 0:
            if new is None:
                page = page[:at] + page[at + 64 :]
            else:
                page = page[: at + 32] + new + page[at + 64 :]
        elif new is not None:
            first, last = 0, len(page) >> 6
            while first < last:
                middle = (first + last) >> 1
                if page[middle << 6 : (middle << 6) + 32] < where:
                    first = middle + 1
                else:
                    last = middle
            at = first << 6
            page = page[:at] + where + new + page[at:]
    return page


def _applied_many(page: bytes, items: list[Item], low: int, high: int) -> bytes:
    """The same for many items at once, without copying the page for each."""
    entries = {page[at : at + 32]: page[at + 32 : at + 64] for at in range(0, len(page), 64)}
    for _, where, new in items[low:high]:
        if new is None:
            entries.pop(where, None)
        else:
            entries[where] = new
    return b"".join([where + entries[where] for where in sorted(entries)])


class PageCache:
    """Pages by prefix, at most `limit` bytes of content; the least recently used half goes.

    Two generations: what is used moves to the young one; when that is half full, it becomes the
    old one and the old one is dropped. It needs no bookkeeping per use.
    """

    __slots__ = ("_half", "_old", "_size", "_young")

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}
        self._size = 0

    def get(self, prefix: bytes) -> bytes | None:
        page = self._young.get(prefix)
        if page is None:
            page = self._old.get(prefix)
            if page is not None:
                self.put(prefix, page)
        return page

    def put(self, prefix: bytes, page: bytes) -> None:
        young = self._young
        was = young.get(prefix)
        # A page that replaces itself counts once: blocks change the same pages over and over.
        self._size += len(page) + 64 if was is None else len(page) - len(was)
        young[prefix] = page
        if self._size > self._half:
            self._turn_over()

    def update(self, pages: Mapping[bytes, bytes]) -> None:
        """Put many; a whole block's pages may exceed the bound before the old half goes."""
        young = self._young
        size = self._size
        for prefix, page in pages.items():
            was = young.get(prefix)
            size += len(page) + 64 if was is None else len(page) - len(was)
            young[prefix] = page
        self._size = size
        if size > self._half:
            self._turn_over()

    def _turn_over(self) -> None:
        self._old, self._young, self._size = self._young, {}, 0


def sixteen_parts(page: bytes, depth: int) -> list[bytes]:
    """Cut ascending entries that share `depth` nibbles by the next one."""
    entries = len(page) // ENTRY_BYTES
    parts, start = [], 0
    for slot in range(16):
        low, high = start, entries
        while low < high:
            middle = (low + high) // 2
            if nibble(page[middle * ENTRY_BYTES : middle * ENTRY_BYTES + HASH_BYTES], depth) > slot:
                high = middle
            else:
                low = middle + 1
        parts.append(page[start * ENTRY_BYTES : low * ENTRY_BYTES])
        start = low
    return parts


def rebuilt(pages: Iterator[tuple[bytes, bytes]]) -> tuple[Inner | None, bytes, int]:
    """Top, its hash and the number of keys, from all pages; level by level from below."""
    levels: dict[int, dict[bytes, tuple[Inner | None, bytes, int]]] = {}
    for prefix, page in pages:
        entries = len(page) >> 6
        if not page or len(page) & 63 or entries > PAGE_ENTRIES_MAX:
            raise _shapeless(prefix)
        digest = _sha256(PAGE_PREFIX + page).digest()
        levels.setdefault(len(prefix), {})[prefix] = (None, digest, entries)
    for depth in range(max(levels, default=0), 0, -1):
        above = levels.setdefault(depth - 1, {})
        families: dict[bytes, list[tuple[int, Inner | None, bytes, int]]] = {}
        for prefix, (kid, digest, count) in levels.pop(depth).items():
            slot = SLOT.get(prefix[-1], -1)
            families.setdefault(prefix[:-1], []).append((slot, kid, digest, count))
        for prefix, family in families.items():
            total = sum(count for _, _, _, count in family)
            if prefix in above or total <= PAGE_ENTRIES_MAX or min(family)[0] < 0:
                raise _shapeless(prefix)
            hashes = bytearray(_NO_HASHES)
            kids: list[Inner | None] = [None] * 16
            for slot, kid, digest, _ in family:
                hashes[slot << 5 : (slot + 1) << 5] = digest
                kids[slot] = kid
            content = bytes(hashes)
            node = Inner(content, tuple(kids) if any(kids) else None, total)
            above[prefix] = (node, inner_hash(content), total)
    return levels.get(0, {}).get(b"", (None, EMPTY_PAGE, 0))


def _shapeless(prefix: bytes) -> Damaged:
    return Damaged(
        f"the pages of the state tree do not form a tree (near prefix '{prefix.hex()}')",
        hint=REBUILD_HINT,
    )
