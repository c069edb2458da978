"""The store without a disk: for tests, for the simulator's world, for throw-away nodes.

It keeps the contract with one difference that the contract allows: a block is durable as soon as
it is put, so `on_durable` is called from inside `put_block`, in the thread that puts.
"""

from __future__ import annotations

from collections.abc import Iterator

from zmqnode.errors import Damaged
from zmqnode.storage.layer import Layer, TableStore
from zmqnode.storage.store import NO_HEIGHT, BlockRecord, OnDurable, check_record


class MemoryStore(TableStore):
    """Everything in dictionaries."""

    def __init__(self, *, on_durable: OnDurable | None = None) -> None:
        self._layer = Layer()
        self._on_durable = on_durable
        self._closed = False

    @property
    def height(self) -> int:
        return self._layer.height

    @property
    def durable_height(self) -> int:
        return self._layer.height

    @property
    def failure(self) -> Damaged | None:
        return None

    def put_block(self, record: BlockRecord) -> None:
        assert not self._closed
        check_record(record, self._layer.height)
        self._layer.put(record)
        if self._on_durable is not None:
            self._on_durable(record.height)

    def put_voteproofs(
        self, height: int, *, accept: bytes | None = None, init: bytes | None = None
    ) -> None:
        assert not self._closed
        assert NO_HEIGHT < height <= self._layer.height, "voteproofs of a block that is not here"
        self._layer.put_voteproofs(height, accept, init)

    def put_meta(self, key: bytes, value: bytes | None) -> None:
        assert not self._closed
        self._layer.put_meta(key, value)

    def flush(self) -> int:
        return self._layer.height

    def close(self) -> None:
        self._closed = True

    def _get(self, table: int, key: bytes) -> bytes | None:
        return self._layer.tables[table].get(key)

    def _scan(
        self, table: int, prefix: bytes, after: bytes | None
    ) -> Iterator[tuple[bytes, bytes]]:
        found = self._layer.matching(table, prefix, after)
        return iter([(key, value) for key, value in found if value is not None])
