"""The state tree at work, against the twin that recomputes everything from all keys."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import tree_twin
from zmqnode.base.tree import EMPTY_ROOT, verify_proof
from zmqnode.errors import Damaged
from zmqnode.storage.nodes import Item, PageCache, applied
from zmqnode.storage.pages import Overlay, StateTree


class Pages:
    """A page source in a dictionary; it counts what is read."""

    def __init__(self) -> None:
        self.held: dict[bytes, bytes] = {}
        self.reads = 0

    def page(self, prefix: bytes) -> bytes | None:
        self.reads += 1
        return self.held.get(prefix)

    def pages(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted(self.held.items()))

    def take(self, changes: Mapping[bytes, bytes | None]) -> None:
        for prefix, page in changes.items():
            if page is None:
                self.held.pop(prefix, None)
            else:
                self.held[prefix] = page


def commit(tree: StateTree, pages: Pages, overlay: Overlay) -> None:
    pages.take(overlay.page_changes())
    tree.promote(overlay)


def changed(state: dict[bytes, bytes], changes: Mapping[bytes, bytes | None]) -> dict[bytes, bytes]:
    merged = {**state, **changes}
    return {key: value for key, value in merged.items() if value is not None}


def block_of(seed: int, size: int, deletes: float) -> dict[bytes, bytes | None]:
    """Few keys in all, so that puts, overwrites and deletes meet; enough for three levels."""
    chance = random.Random(seed)
    return {
        b"k%d" % chance.randrange(400): None
        if chance.random() < deletes
        else b"%d" % chance.randrange(9)
        for _ in range(size)
    }


a_block = st.builds(
    block_of,
    st.integers(0, 2**32),
    st.sampled_from([0, 1, 3, 20, 90, 400]),
    st.sampled_from([0, 0.1, 0.5, 0.9, 1]),
)
blocks = st.lists(a_block, max_size=8)


@given(blocks, st.integers(0, 4000))
@settings(max_examples=120, deadline=None)
def test_any_history_gives_the_state_s_own_tree(
    history: list[dict[bytes, bytes | None]], cache_bytes: int
) -> None:
    """Goal: root, pages, counts and proofs follow from the state alone; a restart changes nothing.

    Method: random blocks of puts and deletes, each committed; twin and reopened tree compared.
    """
    pages, state = Pages(), dict[bytes, bytes]()
    tree = StateTree(pages, cache_bytes=cache_bytes)
    for block in history:
        overlay = tree.fork()
        overlay.update(block)
        state = changed(state, block)
        commit(tree, pages, overlay)
    assert (tree.root, tree.count) == (tree_twin.state_root(state), len(state))
    assert pages.held == tree_twin.page_names(state)
    again = StateTree.open(pages)
    assert (again.root, again.count) == (tree.root, tree.count)
    for key in (b"k3", b"k77", b"nothing"):
        proof = again.prove(key)
        assert proof == tree.prove(key) == tree_twin.prove(state, key)
        assert verify_proof(tree.root, key, state.get(key), proof)


@given(st.lists(st.tuples(st.sampled_from("ufpdr"), blocks), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_overlays_stack_promote_and_drop(
    moves: list[tuple[str, list[dict[bytes, bytes | None]]]],
) -> None:
    """Goal: each version shows its own state, whatever became of others.

    Method: a stack of overlays and its expected states; rivals are made, updated and forgotten.
    """
    pages = Pages()
    tree = StateTree(pages, cache_bytes=2000)
    stack: list[tuple[Overlay, dict[bytes, bytes]]] = []
    committed: dict[bytes, bytes] = {}
    for move, updates in moves:
        top, state = stack[-1] if stack else (None, committed)
        if move in "uf" or top is None:
            top = top.fork() if top else tree.fork()
            for block in updates:
                top.update(block)
                state = changed(state, block)
            stack.append((top, state))
        elif move == "p":
            overlay, committed = stack.pop(0)
            commit(tree, pages, overlay)
        elif move == "d":
            stack.pop()
        else:
            rival = top.fork()
            for block in updates:
                rival.update(block)
                state = changed(state, block)
            assert rival.root == tree_twin.state_root(state)
        assert tree.root == tree_twin.state_root(committed)
        for overlay, expected in stack:
            assert overlay.root == tree_twin.state_root(expected)
            assert overlay.count == len(expected)
            assert verify_proof(overlay.root, b"k5", expected.get(b"k5"), overlay.prove(b"k5"))


def test_many_keys_at_once_and_one_by_one_agree() -> None:
    """Goal: bulk load (one page splits over levels) equals growth; and back to empty."""
    state: dict[bytes, bytes | None] = {b"%d" % n: b"v" for n in range(3000)}
    bulk, pages = StateTree(Pages()), Pages()
    overlay = bulk.fork()
    root = overlay.update(state)
    slow = StateTree(pages)
    names = list(state)
    for start in range(0, 3000, 7):
        part = slow.fork()
        part.update({name: state[name] for name in names[start : start + 7]})
        commit(slow, pages, part)
    assert slow.root == root
    kept = {name: page for name, page in overlay.page_changes().items() if page is not None}
    assert pages.held == kept  # None: pages of earlier pieces that were split.
    gone = slow.fork()
    assert gone.update(dict.fromkeys(state)) == EMPTY_ROOT
    assert gone.count == 0
    commit(slow, pages, gone)
    assert pages.held == {}


def test_an_empty_block_costs_no_read_and_no_page() -> None:
    pages = Pages()
    tree = StateTree(pages)
    overlay = tree.fork()
    assert overlay.update({}) == EMPTY_ROOT
    assert overlay.page_changes() == {}
    overlay.update({b"gone": None})
    assert overlay.root == EMPTY_ROOT
    assert overlay.page_changes() in ({}, {b"": None})
    assert pages.reads == 0


def test_a_write_that_changes_nothing_changes_no_page() -> None:
    pages = Pages()
    tree = StateTree(pages)
    first = tree.fork()
    root = first.update({b"%d" % n: b"v" for n in range(100)})
    commit(tree, pages, first)
    second = tree.fork()
    assert second.update({b"7": b"v", b"absent": None}) == root
    assert second.page_changes() == {}


def test_an_overlay_that_lost_is_refused() -> None:
    """Goal: no version reads pages of another. Method: promote a rival, then use the loser."""
    pages = Pages()
    tree = StateTree(pages)
    loser, winner = tree.fork(), tree.fork()
    winner.update({b"a": b"1"})
    child = loser.fork()
    commit(tree, pages, winner)
    for dead in (loser, child):
        with pytest.raises(AssertionError):
            dead.update({b"b": b"2"})
        with pytest.raises(AssertionError):
            dead.prove(b"b")
    with pytest.raises(AssertionError):
        tree.promote(loser)


def test_a_child_is_not_promoted_before_its_parent() -> None:
    tree = StateTree(Pages())
    child = tree.fork().fork()
    with pytest.raises(AssertionError):
        tree.promote(child)


def full_tree() -> tuple[StateTree, Pages]:
    pages = Pages()
    tree = StateTree(pages)
    overlay = tree.fork()
    overlay.update({b"%d" % n: b"v" for n in range(2000)})
    commit(tree, pages, overlay)
    return tree, pages


@pytest.mark.parametrize("harm", ["bit", "missing", "swapped"])
def test_a_damaged_page_is_found_when_it_is_read(harm: str) -> None:
    _, pages = full_tree()
    tree = StateTree.open(pages, cache_bytes=0)
    prefix = next(iter(pages.held))
    if harm == "bit":
        page = bytearray(pages.held[prefix])
        page[40] ^= 1
        pages.held[prefix] = bytes(page)
    elif harm == "missing":
        del pages.held[prefix]
    else:
        pages.held[prefix] = pages.held[list(pages.held)[1]]
    with pytest.raises(Damaged, match="damaged or missing") as caught:
        tree.fork().update({b"%d" % n: b"w" for n in range(2000)})
    assert caught.value.hint


@pytest.mark.parametrize("harm", ["short", "long", "name", "inside", "sparse"])
def test_pages_that_form_no_tree_are_refused(harm: str) -> None:
    _, pages = full_tree()
    prefix, page = next(iter(pages.held.items()))
    if harm == "short":
        pages.held[prefix] = page[:-1]
    elif harm == "long":
        pages.held[prefix] = bytes(64 * 33)
    elif harm == "name":
        pages.held[b"0g"] = page
    elif harm == "inside":
        pages.held[prefix[:1]] = page
    else:
        pages.held = {b"00": page}
    with pytest.raises(Damaged, match="do not form a tree"):
        StateTree.open(pages)


def test_damage_of_a_page_changes_the_root_at_opening() -> None:
    tree, pages = full_tree()
    prefix = next(iter(pages.held))
    pages.held[prefix] = pages.held[prefix][:-1] + b"\0"
    assert StateTree.open(pages).root != tree.root


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_an_update_in_pieces_is_the_update(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: where an update is cut changes nothing, nor that its parent is promoted meanwhile."""
    monkeypatch.setattr("zmqnode.storage.pages.PIECE_KEYS", piece)
    for seed in range(20):
        pages, state = Pages(), dict[bytes, bytes]()
        tree = StateTree(pages, cache_bytes=4000)
        parent: Overlay | None = None
        for block in (block_of(seed + 100 * n, 200, n / 10) for n in range(8)):
            overlay = tree.fork() if parent is None else parent.fork()
            paused = 0
            for _ in overlay.updating(block):
                paused += 1
                if paused == 2 and parent is not None:
                    commit(tree, pages, parent)
            if paused < 2 and parent is not None:
                commit(tree, pages, parent)
            assert paused >= (len(block) - 1) // piece
            state = changed(state, block)
            assert overlay.root == tree_twin.state_root(state)
            parent = overlay
        assert parent is not None
        commit(tree, pages, parent)
        assert pages.held == tree_twin.page_names(state)


def test_an_update_in_pieces_ends_when_a_rival_is_promoted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Goal: no piece is applied to pages of another version. Method: a rival between two."""
    monkeypatch.setattr("zmqnode.storage.pages.PIECE_KEYS", 10)
    pages = Pages()
    tree = StateTree(pages)
    pieces = tree.fork().updating({b"%d" % n: b"v" for n in range(100)})
    next(pieces)
    rival = tree.fork()
    rival.update({b"other": b"v"})
    commit(tree, pages, rival)
    with pytest.raises(AssertionError):
        list(pieces)


def test_the_cache_is_bounded() -> None:
    """Goal: named maximum of bytes. Method: far more pages than fit, in both ways of putting."""
    cache = PageCache(10_000)
    for number in range(1000):
        cache.put(b"%d" % number, bytes(100))
        cache.update({b"x%d" % number: bytes(100)})
        held = {**cache._old, **cache._young}
        assert sum(map(len, held.values())) <= 10_000
    assert cache.get(b"999") == bytes(100)
    assert cache.get(b"0") is None


def test_a_page_that_is_put_again_pushes_nothing_out() -> None:
    """Goal: blocks that change the same pages over and over keep all others cached."""
    cache = PageCache(10_000)
    cache.put(b"quiet", bytes(100))
    for number in range(1000):
        cache.put(b"busy", bytes(number % 100))
        cache.update({b"busy too": bytes(number % 90)})
    assert cache._old == {}
    assert cache.get(b"quiet") == bytes(100)
    assert cache._size == sum(len(page) + 64 for page in cache._young.values())


def test_a_page_takes_items_in_any_number() -> None:
    """Goal: the quick way for few items and the one for many agree, also on deletes."""
    page = b""
    items: list[Item] = [(b"", bytes([n]) * 32, bytes([n]) * 32) for n in range(100)]
    for at in range(len(items)):
        page = applied(page, items, at, at + 1)
    assert page == applied(b"", items, 0, len(items))
    gone: list[Item] = [(name, where, None) for name, where, _ in items]
    assert applied(page, gone, 0, len(gone)) == b""
    assert applied(page, gone, 5, 6) == page[:320] + page[384:]


def test_a_tree_folds_and_splits_at_exactly_32_keys() -> None:
    """Goal: the boundary itself, from both sides. Method: one key at a time, up and down."""
    pages = Pages()
    tree = StateTree(pages)
    state: dict[bytes, bytes] = {}
    for number in [*range(70), *range(69, -1, -1)]:
        key = b"%d" % number
        block = {key: None if key in state else b"v"}
        overlay = tree.fork()
        overlay.update(block)
        state = changed(state, block)
        commit(tree, pages, overlay)
        assert tree.root == tree_twin.state_root(state)
        assert pages.held == tree_twin.page_names(state)
