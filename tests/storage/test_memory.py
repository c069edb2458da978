"""The store without a disk keeps the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.store_contract import StoreContract
from zmqnode.storage.memory import MemoryStore
from zmqnode.storage.store import Store


class TestMemory(StoreContract):
    def make(self, folder: Path, **options: Any) -> Store:
        return MemoryStore(**options)
