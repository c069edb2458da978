"""What every store must do; run by a test class that says how to make one.

class TestMemory(StoreContract):
    def make(self, folder, **options): ...
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.storage.blocks import hash_of, record, seal_of
from zmqnode.storage.pages import StateTree
from zmqnode.storage.store import NO_HEIGHT, Store, StoredVoteproofs

names = st.binary(min_size=1, max_size=3) | st.sampled_from([b"a" * 500, b"\xff" * 500, b"\0"])
changes = st.dictionaries(names, st.none() | st.binary(max_size=4), max_size=12)
histories = st.lists(st.tuples(changes, st.booleans()), max_size=10)


class StoreContract:
    """Inherited by one test class for each store."""

    def make(self, folder: Path, **options: Any) -> Store:
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Any:
        with self.make(tmp_path / "store") as store:
            yield store

    def test_an_empty_store_holds_nothing(self, store: Store) -> None:
        assert (store.height, store.durable_height, store.failure) == (NO_HEIGHT, NO_HEIGHT, None)
        assert store.block(0) is store.block(-1) is store.block_hash(-1) is None
        assert store.voteproofs(0) is store.voteproofs(-1) is None
        assert store.block_by_hash(bytes(32)) is None
        assert store.height_of(bytes(32)) is None
        assert store.seal_height(bytes(32)) is None
        assert store.get(b"a") is store.page(b"") is store.page(b"0") is store.meta(b"x") is None
        assert list(store.scan(b"")) == list(store.pages()) == []
        assert store.flush() == NO_HEIGHT

    @pytest.mark.parametrize("durable", [False, True])
    def test_a_block_is_readable_whole(self, store: Store, durable: bool) -> None:
        for height in range(3):
            store.put_block(record(height, meta={b"tip": b"%d" % height}))
        if durable:
            assert store.flush() == store.durable_height == 2
        assert store.height == 2
        for height in range(3):
            assert store.block(height) == b"block%d" % height
            assert store.block_hash(height) == hash_of(height)
            assert store.block_by_hash(hash_of(height)) == b"block%d" % height
            assert store.height_of(hash_of(height)) == height
            assert store.seal_height(seal_of(height, 1)) == height
            pair = StoredVoteproofs(accept=b"accept%d" % height, init=b"init%d" % height)
            assert store.voteproofs(height) == pair
        assert store.meta(b"tip") == b"2"
        assert store.block(3) is None
        assert store.voteproofs(3) is None

    @pytest.mark.parametrize("durable", [False, True])
    def test_voteproofs_are_replaced_one_by_one(self, store: Store, durable: bool) -> None:
        store.put_block(record(0, init_vp=None))
        if durable:
            store.flush()
        assert store.voteproofs(0) == StoredVoteproofs(accept=b"accept0", init=None)
        store.put_voteproofs(0, accept=b"fuller")
        assert store.voteproofs(0) == StoredVoteproofs(accept=b"fuller", init=None)
        store.put_voteproofs(0, init=b"late")
        store.flush()
        assert store.voteproofs(0) == StoredVoteproofs(accept=b"fuller", init=b"late")

    def test_small_records_stand_alone(self, store: Store) -> None:
        store.put_meta(b"height", b"mine")  # Not the store's own marker.
        assert store.meta(b"height") == b"mine"
        store.flush()
        assert store.meta(b"height") == b"mine"
        assert store.height == NO_HEIGHT
        store.put_meta(b"height", None)
        assert store.meta(b"height") is None
        store.flush()
        assert store.meta(b"height") is None

    def test_the_topmost_page_has_no_prefix(self, store: Store) -> None:
        store.put_block(record(0, pages={b"": b"top"}))
        for _ in range(2):
            assert store.page(b"") == b"top"
            assert list(store.pages()) == [(b"", b"top")]
            store.flush()
        store.put_block(record(1, pages={b"": None, b"f": b"below", b"0a": b"deeper"}))
        for _ in range(2):
            assert store.page(b"") is None
            assert list(store.pages()) == [(b"0a", b"deeper"), (b"f", b"below")]
            store.flush()

    def test_a_scan_merges_what_is_durable_and_what_is_not(self, store: Store) -> None:
        store.put_block(record(0, state={b"a1": b"old", b"a2": b"old", b"a3": b"x", b"b": b"x"}))
        store.flush()
        store.put_block(record(1, state={b"a2": b"new", b"a3": None, b"a0": b"", b"a\xff": b"y"}))
        expected = [(b"a0", b""), (b"a1", b"old"), (b"a2", b"new"), (b"a\xff", b"y")]
        assert list(store.scan(b"a")) == expected
        assert list(store.scan(b"a", after=b"a1")) == expected[2:]
        assert list(store.scan(b"a", after=b"a\xff")) == []
        assert list(store.scan(b"a", after=b"0")) == expected
        assert list(store.scan(b"c")) == []
        assert list(store.scan(b"")) == [*expected, (b"b", b"x")]
        store.flush()
        assert list(store.scan(b"a")) == expected

    def test_a_scan_shows_one_moment(self, store: Store) -> None:
        """Goal: whatever is put or committed meanwhile. Method: more than two chunks of keys."""
        names = [b"%06d" % number for number in range(1500)]
        store.put_block(record(0, state=dict.fromkeys(names, b"0")))
        store.flush()
        store.put_block(record(1, state={names[-1]: b"1"}))
        scan = store.scan(b"")
        first = next(scan)
        store.put_block(record(2, state=dict.fromkeys(names[1:])))
        store.flush()
        assert [first, *scan] == [(name, b"0") for name in names[:-1]] + [(names[-1], b"1")]
        assert list(store.scan(b"")) == [(names[0], b"0")]

    def test_durability_is_announced_in_order(self, tmp_path: Path) -> None:
        heights: list[int] = []
        store = self.make(tmp_path / "store", on_durable=heights.append)
        for height in range(20):
            store.put_block(record(height))
        store.close()
        assert heights[-1] == 19
        assert heights == sorted(set(heights))

    def test_the_next_height_only(self, store: Store) -> None:
        with pytest.raises(AssertionError):
            store.put_block(record(1))
        store.put_block(record(0))
        with pytest.raises(AssertionError):
            store.put_block(record(0))
        with pytest.raises(AssertionError):
            store.put_voteproofs(1, accept=b"")
        for key in (b"", b"k" * 501):
            with pytest.raises(AssertionError):
                store.put_block(record(1, state={key: b""}))
        for key in (b"", b"k" * 65):
            with pytest.raises(AssertionError):
                store.put_meta(key, b"")
        assert store.height == 0

    def test_closing_twice_is_nothing(self, store: Store) -> None:
        store.close()
        store.close()
        with pytest.raises(AssertionError):
            store.put_block(record(0))

    def test_any_thread_may_read(self, store: Store) -> None:
        """Goal: a key once put is never missing. Method: readers against a flushing writer."""
        store.put_block(record(0, state={b"%d" % n: b"0" for n in range(50)}))
        wrong: list[object] = []
        done = threading.Event()

        def read() -> None:
            last = 0
            while not done.is_set():
                seen = int(store.get(b"7") or -1)
                if seen < last or len(list(store.scan(b""))) != 50:
                    wrong.append((seen, last))
                last = seen

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        for height in range(1, 40):
            store.put_block(record(height, state={b"%d" % n: b"%d" % height for n in range(50)}))
            if height % 3 == 0:
                store.flush()
        done.set()
        for reader in readers:
            reader.join()
        assert not wrong

    @given(histories)
    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[HealthCheck.differing_executors],
    )
    def test_any_history_reads_like_a_dictionary(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        history: list[tuple[dict[bytes, bytes | None], bool]],
    ) -> None:
        state: dict[bytes, bytes] = {}
        with self.make(tmp_path_factory.mktemp("any") / "store") as store:
            for height, (block, flushed) in enumerate(history):
                store.put_block(record(height, state=block))
                merged = {**state, **block}
                state = {key: value for key, value in merged.items() if value is not None}
                if flushed:
                    store.flush()
                for key in block:
                    assert store.get(key) == state.get(key)
                    assert list(store.scan(key[:1])) == sorted(
                        entry for entry in state.items() if entry[0].startswith(key[:1])
                    )
                assert list(store.scan(b"")) == sorted(state.items())

    def test_it_carries_a_state_tree(self, store: Store) -> None:
        """Goal: pages come back from where they are. Method: blocks, some flushed, no cache."""
        tree = StateTree(store, cache_bytes=0)
        for height in range(12):
            block = {b"%d" % n: b"%d" % height for n in range(height * 17 % 101, 200, 3)}
            overlay = tree.fork()
            overlay.update(block)
            store.put_block(record(height, state=block, pages=overlay.page_changes()))
            tree.promote(overlay)
            if height % 4 == 3:
                store.flush()
            assert StateTree.open(store).root == tree.root
