"""Figures of the application engine, printed, not asserted: ``python tests/bench_app.py``.

Rows: microseconds per operation inside ``Execution.run_seal``, seals of 100 and of 1.
"""

import time
from collections.abc import Callable
from statistics import median

from zmqnode.app import App, Execution
from zmqnode.apps.kv import app as kv
from zmqnode.base.codec import pack, unpack
from zmqnode.base.hashes import Hash

OPERATIONS = 20_000
RUNS = 5
SENDER = b"\x01" * 32

other = App("other")


@other.op
def add(ctx: object, to: str, amount: int, note: str | None = None) -> None:
    state = ctx.state  # type: ignore[attr-defined]
    state[to] = state.get(to, 0) + amount


@other.op
def many(ctx: object, keys: list[str], value: dict[str, int]) -> None:
    ctx.state[keys[0]] = value  # type: ignore[attr-defined]


@other.op
def noted(ctx: object, key: str) -> None:
    ctx.emit("noted", key=key)  # type: ignore[attr-defined]


def seals(make: Callable[[int], list[object]], size: int) -> list[tuple[Hash, list[object]]]:
    operations = unpack(pack([make(index) for index in range(OPERATIONS)]))
    chunks = range(0, OPERATIONS, size)
    return [(Hash(at.to_bytes(32, "big")), operations[at : at + size]) for at in chunks]


def measure(name: str, app: App, make: Callable[[int], list[object]], size: int) -> None:
    batches = seals(make, size)
    stored: dict[bytes, bytes] = {}
    figures = []
    for _ in range(RUNS):
        execution = Execution(app, stored.get, lambda prefix: iter(()), 5, 1_000)
        begin = time.perf_counter()
        for seal, operations in batches:
            execution.run_seal(seal, SENDER, operations)
        figures.append((time.perf_counter() - begin) / OPERATIONS * 1e6)
        assert len(execution.results) == len(batches)
    print(f"{name:<44} {median(figures):6.2f} us (best {min(figures):.2f})")


def measure_admit() -> None:
    batches = seals(lambda index: ["put", [f"k{index}", b"v" * 100]], 100)
    figures = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        for _, operations in batches:
            kv.admit(SENDER, operations)
        figures.append((time.perf_counter() - begin) / OPERATIONS * 1e6)
    print(
        f"{'admit: kv put, seals of 100':<44} {median(figures):6.2f} us (best {min(figures):.2f})"
    )


def main() -> None:
    put = ["put", "append", "delete"]
    measure("kv put, 100 bytes, seals of 100", kv, lambda i: [put[0], [f"k{i}", b"v" * 100]], 100)
    measure("kv put, 100 bytes, seals of 1", kv, lambda i: [put[0], [f"k{i}", b"v" * 100]], 1)
    measure("kv put, 1000 bytes, seals of 100", kv, lambda i: [put[0], [f"k{i}", b"v" * 1000]], 100)
    measure("kv append to 100 keys", kv, lambda i: [put[1], [f"k{i % 100}", b"v"]], 100)
    measure("kv delete, missing: undone", kv, lambda i: [put[2], [f"k{i}"]], 100)
    measure("unknown operation", kv, lambda i: ["nope", []], 100)
    measure(
        "read and add an int, optional argument", other, lambda i: ["add", [f"k{i % 500}", 3]], 100
    )
    measure(
        "list and dict arguments", other, lambda i: ["many", [[f"k{i}"], {"a": 1, "b": 2}]], 100
    )
    measure("one event", other, lambda i: ["noted", [f"k{i}"]], 100)

    measure_admit()


if __name__ == "__main__":
    main()
