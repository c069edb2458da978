"""The state tree at work: inner nodes in memory, pages in the store, speculation in overlays.

`base/tree.py` says what the tree is; this module keeps one, and changes it fast.

Theory. Inner nodes are never changed in place: an update makes new ones along the ways it touches
and shares the rest. So a version of the tree is one reference to its top, a fork costs nothing,
and a version that is dropped is gone with its last reference. Only pages are kept by name (their
prefix in hexadecimal): an overlay holds the pages it changed, finds the others in the overlays
below it, then in a bounded cache, then in the store. What comes from the store is compared with
the hash the inner node above it holds, so a damaged page is found when it is read.

    base = StateTree.open(store)          the tree of the newest block put into the store
    block = base.fork()                   speculative: a block that may or may not commit
    root = block.update({key: value})     None deletes
    child = block.fork()                  a block on a block that is not committed yet
    store.put_block(... pages=block.page_changes())
    base.promote(block)                   at commit; an overlay that is just forgotten is dropped

Overlays beside the promoted one are dead: reading on in them is a bug and is refused, as the
store now holds pages of another version.

All of this belongs to one thread, the one that puts blocks into the store.
"""

from __future__ import annotations

import hashlib
from binascii import hexlify
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Protocol

from zmqnode.base.hashes import Hash
from zmqnode.base.tree import (
    EMPTY_PAGE,
    ENTRY_BYTES,
    HASH_BYTES,
    INNER_PREFIX,
    PAGE_BYTES_MAX,
    PAGE_ENTRIES_MAX,
    PAGE_PREFIX,
    Proof,
    inner_hash,
    nibble,
    page_hash,
    root_hash,
)
from zmqnode.errors import Damaged
from zmqnode.storage.nodes import (
    HEX,
    REBUILD_HINT,
    SLOT,
    Inner,
    Item,
    PageCache,
    applied,
    rebuilt,
    sixteen_parts,
)

PIECE_KEYS = 256  # About a millisecond.
PAGE_CACHE_BYTES_MAX = 16 << 20  # Content of cached pages; the interpreter adds about a tenth.

_sha256 = hashlib.sha256


class PageSource(Protocol):
    """The part of a store that a tree reads."""

    def page(self, prefix: bytes) -> bytes | None: ...

    def pages(self) -> Iterator[tuple[bytes, bytes]]: ...


class Overlay:
    """One version of the tree on top of another: the pages and inner nodes a block changed."""

    __slots__ = (
        "_generation",
        "_is_final",
        "_pages",
        "_parent",
        "_promoted",
        "_top",
        "_top_hash",
        "_tree",
        "count",
        "root",
    )

    def __init__(self, tree: StateTree, base: StateTree | Overlay) -> None:
        self._tree = tree
        self._parent: Overlay | None = base if isinstance(base, Overlay) else None
        self._generation = tree.generation  # Of the base below the lowest parent.
        self._promoted = False
        self._is_final = False
        self._top: Inner | None = base._top
        self._top_hash: bytes = base._top_hash
        self._pages: dict[bytes, bytes] = {}  # b"": removed, or never filled.
        self.count: int = base.count
        self.root: Hash = base.root

    def fork(self) -> Overlay:
        """A version on top of this one, which cannot be updated from now on."""
        self._is_final = True
        return Overlay(self._tree, self)

    def page_changes(self) -> dict[bytes, bytes | None]:
        """Pages this overlay changed, for the store: prefix in hexadecimal -> page, None: gone."""
        return {prefix: page or None for prefix, page in self._pages.items()}

    def update(self, changes: Mapping[bytes, bytes | None]) -> Hash:
        """Apply changed keys (None: deleted) and return the new state root.

        5 to 10 us a key in blocks of 1,000 keys and more; nothing but a call for no keys.

        Raises:
            Damaged: a page in the store is missing or is not what the tree says it is.
        """
        for _ in self.updating(changes):
            pass
        return self.root

    def updating(self, changes: Mapping[bytes, bytes | None]) -> Iterator[None]:
        """The same in pieces of `PIECE_KEYS` keys: whoever iterates may do other things between.

        Until it ends this version is of no use. In between its parent may be promoted; once a
        rival of one of the two is, the next piece is refused.
        """
        items: list[Item] = []
        for key, value in changes.items():
            where = _sha256(key).digest()
            new = None
            if value is not None:
                new = _sha256(len(key).to_bytes(4, "big") + key + value).digest()
            items.append((hexlify(where), where, new))
            if not len(items) % PIECE_KEYS and len(items) < len(changes):
                yield
        items.sort()  # So each piece has pages of its own: none is hashed twice.
        for low in range(0, len(items), PIECE_KEYS):
            if low:
                yield
            self._apply(items, low, min(low + PIECE_KEYS, len(items)))

    def _apply(self, items: list[Item], low: int, high: int) -> None:
        assert not self._is_final, "update of a version that others stand on"
        self._check_alive()
        if self._top is None:
            top, top_hash, delta = self._update_page(items, low, high, 0, self._top_hash)
        else:
            top, top_hash, delta = self._update(self._top, items, low, high, 0)
        if top_hash != self._top_hash:
            self._top, self._top_hash = top, top_hash
            self.count += delta
            self.root = root_hash(top_hash)

    def _update(
        self, node: Inner, items: list[Item], low: int, high: int, depth: int
    ) -> tuple[Inner | None, bytes, int]:
        """Apply items[low:high] below an inner node: the new node or None for a page, hash, delta.

        Recursion is as deep as the tree: about log16 of the number of keys, at most 63.
        """
        hashes = bytearray(node.hashes)
        kids = node.kids
        changed_kids: list[Inner | None] | None = None
        total = 0
        at = low
        while at < high:
            name = items[at][0]
            digit = name[depth]
            end = at + 1
            if high - at > 64:
                end = bisect_left(items, (name[:depth] + bytes((digit + 1,)),), end, high)
            else:
                while end < high and items[end][0][depth] == digit:
                    end += 1
            slot = SLOT[digit]
            start = slot << 5
            child = kids[slot] if kids is not None else None
            fresh: Inner | None = None
            if child is not None:
                fresh, digest, delta = self._update(child, items, at, end, depth + 1)
            else:
                digest = node.hashes[start : start + 32]
                fresh, digest, delta = self._update_page(items, at, end, depth + 1, digest)
            total += delta
            hashes[start : start + 32] = digest
            if fresh is not child:
                if changed_kids is None:
                    changed_kids = [None] * 16 if kids is None else list(kids)
                changed_kids[slot] = fresh
            at = end
        count = node.count + total
        content = bytes(hashes)
        if count <= PAGE_ENTRIES_MAX:
            return *self._folded(content, items[low][0][:depth]), total
        if changed_kids is not None:
            kids = tuple(changed_kids) if any(changed_kids) else None
        return Inner(content, kids, count), _sha256(INNER_PREFIX + content).digest(), total

    def _update_page(
        self, items: list[Item], low: int, high: int, depth: int, was: bytes
    ) -> tuple[Inner | None, bytes, int]:
        """The same for a page whose hash was `was`; it may become an inner node."""
        prefix = items[low][0][:depth]
        page = self._pages.get(prefix)
        if page is None:
            page = self._page(prefix, was)
        changed = applied(page, items, low, high)
        if changed == page:
            return None, was, 0
        delta = (len(changed) - len(page)) >> 6
        if len(changed) > PAGE_BYTES_MAX:
            return *self._put(changed, depth, prefix, page), delta
        self._pages[prefix] = changed
        return None, _sha256(PAGE_PREFIX + changed).digest(), delta

    def _folded(self, hashes: bytes, prefix: bytes) -> tuple[None, bytes]:
        """Make one page of an inner node that fell to 32 keys; its children are pages by now."""
        parts = []
        for slot, digit in enumerate(HEX):
            digest = hashes[slot << 5 : (slot + 1) << 5]
            if digest != EMPTY_PAGE:
                parts.append(self._page(prefix + digit, digest))
                self._pages[prefix + digit] = b""
        page = b"".join(parts)
        self._pages[prefix] = page
        return None, page_hash(page)

    def _put(
        self, page: bytes, depth: int, prefix: bytes, was: bytes
    ) -> tuple[Inner | None, bytes]:
        """Keep the entries under a prefix as a page, or as a subtree when they are too many."""
        if len(page) <= PAGE_BYTES_MAX:
            if page or was:
                self._pages[prefix] = page
            return None, page_hash(page)
        if was:
            self._pages[prefix] = b""
        kids: list[Inner | None] = []
        hashes: list[bytes] = []
        for part, digit in zip(sixteen_parts(page, depth), HEX, strict=True):
            kid, digest = self._put(part, depth + 1, prefix + digit, b"")
            kids.append(kid)
            hashes.append(digest)
        content = b"".join(hashes)
        node = Inner(content, tuple(kids) if any(kids) else None, len(page) // ENTRY_BYTES)
        return node, inner_hash(content)

    def _page(self, prefix: bytes, digest: bytes) -> bytes:
        """The page of this version at a prefix, whose hash the inner node above gives."""
        overlay: Overlay | None = self
        while overlay is not None:
            page = overlay._pages.get(prefix)
            if page is not None:
                return page
            overlay = overlay._parent
        return self._tree.page(prefix, digest)

    def prove(self, key: bytes) -> Proof:
        """The proof of what this version holds, or does not hold, at `key`."""
        self._check_alive()
        where = _sha256(key).digest()
        name = hexlify(where)
        siblings: list[bytes] = []
        node, digest = self._top, self._top_hash
        while node is not None:
            slot = nibble(where, len(siblings))
            start = slot * HASH_BYTES
            siblings.append(node.hashes[:start] + node.hashes[start + HASH_BYTES :])
            digest = node.hashes[start : start + HASH_BYTES]
            node = node.kids[slot] if node.kids is not None else None
        page = self._page(name[: len(siblings)], digest)
        return Proof(page=page, siblings=tuple(siblings))

    def _check_alive(self) -> None:
        """The base may have moved on, to this overlay's ancestor; to no other version."""
        overlay = self
        while overlay._parent is not None:
            overlay = overlay._parent
        assert overlay._generation == self._tree.generation, "overlay of a version that lost"


class StateTree:
    """The committed version: the base of all overlays.

    Attributes:
        root: the state root, 32 bytes.
        count: keys in the state.
        generation: how often an overlay was promoted; tells overlays that lost.
    """

    __slots__ = ("_cache", "_source", "_top", "_top_hash", "count", "generation", "root")

    def __init__(self, source: PageSource, *, cache_bytes: int = PAGE_CACHE_BYTES_MAX) -> None:
        """An empty tree over an empty source; `open` reads one that is not."""
        self._source = source
        self._cache = PageCache(cache_bytes)
        self._top: Inner | None = None
        self._top_hash: bytes = EMPTY_PAGE
        self.count = 0
        self.generation = 0
        self.root = root_hash(EMPTY_PAGE)

    @classmethod
    def open(cls, source: PageSource, *, cache_bytes: int = PAGE_CACHE_BYTES_MAX) -> StateTree:
        """Rebuild the inner nodes by one scan of the pages; every page is hashed anew.

        The caller compares `root` with the newest block's manifest: together that checks the
        whole stored tree. Takes about a second for a million keys.

        Raises:
            Damaged: pages that can belong to no tree.
        """
        tree = cls(source, cache_bytes=cache_bytes)
        tree._top, tree._top_hash, tree.count = rebuilt(source.pages())
        tree.root = root_hash(tree._top_hash)
        return tree

    def fork(self) -> Overlay:
        """A new version on top of the committed one; costs less than a microsecond."""
        return Overlay(self, self)

    def promote(self, overlay: Overlay) -> None:
        """Make an overlay on the base the new base; rivals of it are dead from now on.

        The store must have been given `overlay.page_changes()` by the end of this turn.
        """
        parent = overlay._parent
        assert parent is None or parent._promoted, "promote in order"
        overlay._check_alive()
        self._cache.update(overlay._pages)
        self._top, self._top_hash = overlay._top, overlay._top_hash
        self.count, self.root = overlay.count, overlay.root
        self.generation += 1
        overlay._generation = self.generation
        overlay._promoted = overlay._is_final = True
        overlay._parent = None  # Lets go of the version below; its pages are this one's base.

    def prove(self, key: bytes) -> Proof:
        """The proof of what the committed state holds, or does not hold, at `key`."""
        return Overlay(self, self).prove(key)

    def page(self, prefix: bytes, digest: bytes) -> bytes:
        """The committed page at a prefix; `digest` is what it must hash to."""
        page = self._cache.get(prefix)
        if page is not None:
            return page
        if digest == EMPTY_PAGE:
            return b""
        page = self._source.page(prefix) or b""
        if _sha256(PAGE_PREFIX + page).digest() != digest:
            raise Damaged(
                f"a page of the state tree is damaged or missing (prefix '{prefix.decode()}')",
                hint=REBUILD_HINT,
            )
        self._cache.put(prefix, page)
        return page
