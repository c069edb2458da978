"""Clients that write all the time, and what they were promised.

Each operation puts a key of its own, so whatever was reported committed can be looked for: in the
state of every node, and once in the chain, in the block that the receipt names.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tests.e2e.local_net import LocalNet, until
from zmqnode import Client
from zmqnode.errors import ZmqnodeError

IN_FLIGHT = 16  # Per client: the pool is never empty, and what is open stays countable.
SUBMIT_MS = 20_000
DIGITS_ASKED = 4  # Of a key's number: so many keys begin alike before them, at most.


@dataclass(slots=True)
class Promised:
    """Every receipt with state committed: key -> (seal, height); and how often it was an error."""

    keys: dict[str, tuple[str, int]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def height(self) -> int:
        held = list(self.keys.values())  # In one step: the writers go on in their thread.
        return max((height for _, height in held), default=0)


class Writers:
    """Some clients in a thread of their own, from ``with`` to its end."""

    def __init__(
        self, net: LocalNet, *, clients: int = 4, lanes: int = IN_FLIGHT, prefix: str = "w"
    ) -> None:
        self.net = net
        self.clients = clients
        self.lanes = lanes  # Operations that each client has on their way.
        self.prefix = prefix
        self.promised = Promised()
        self.failed: BaseException | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writers")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(120)
        assert not self._thread.is_alive(), "the writers do not end"
        if error is None and self.failed is not None:
            raise self.failed

    def wait(self, more: int, seconds: float = 60) -> None:
        """Until so many more operations were reported committed."""
        goal = len(self.promised.keys) + more
        until(lambda: len(self.promised.keys) >= goal, f"{more} more operations", seconds)

    def _run(self) -> None:
        try:
            asyncio.run(self._all())
        except BaseException as error:  # noqa: BLE001  # Raised again in the test's thread.
            self.failed = error

    async def _all(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(self.clients)))

    async def _client(self, number: int) -> None:
        names = self.net.names()
        turned = [*names[number % len(names) :], *names[: number % len(names)]]
        targets = [str(self.net.dir / name) for name in turned]
        sign = f"file:{self.net.dir / 'client.key'}"
        async with Client(*targets, sign=sign, timeout_ms=SUBMIT_MS) as client:
            await asyncio.gather(
                *(
                    self._lane(client, f"{self.prefix}{number}-{lane}-")
                    for lane in range(self.lanes)
                )
            )

    async def _lane(self, client: Client, prefix: str) -> None:
        written = 0
        while not self._over.is_set():
            key = f"{prefix}{written:06d}"
            written += 1
            try:
                receipt = await client.submit(("put", {"key": key, "value": b"x" * 100}))
            except ZmqnodeError as error:
                self.promised.errors[error.code] += 1
                await asyncio.sleep(0.02)  # Who was refused does not ask at once again.
                continue
            assert receipt.ok and receipt.state == "committed", receipt
            assert receipt.height is not None
            self.promised.keys[key] = (receipt.seal, receipt.height)


def check_promises(net: LocalNet, promised: Promised, *, prefix: str = "w") -> None:
    """Every operation reported committed is in the state of every node, and in its block once."""
    assert promised.keys != {}
    for name in net.names():
        held = asyncio.run(keys_of(net, name, promised, prefix))
        missing = sorted(set(promised.keys) - held)
        assert missing == [], f"{name} lost {len(missing)}: {missing[:5]}"
    where = asyncio.run(seals_by_height(net, promised.height))
    twice = {seal: heights for seal, heights in where.items() if len(heights) > 1}
    assert twice == {}
    wrong = {
        key: (height, where.get(seal))
        for key, (seal, height) in promised.keys.items()
        if where.get(seal) != [height]
    }
    assert wrong == {}


async def keys_of(net: LocalNet, name: str, promised: Promised, prefix: str) -> set[str]:
    """The keys one node's state has, ten thousand of a lane at a time: an answer holds no more."""
    found: set[str] = set()
    async with Client(str(net.dir / name), timeout_ms=60_000) as client:
        for start in sorted({key[:-DIGITS_ASKED] for key in promised.keys}):
            answer = await client.query("keys", {"prefix": start}, height=promised.height)
            found.update(answer.result)
    return found


async def seals_by_height(net: LocalNet, height: int) -> dict[str, list[int]]:
    """seal -> the heights of the blocks that hold it, on one node."""
    found: dict[str, list[int]] = {}
    async with Client(str(net.dir / net.names()[0]), timeout_ms=30_000) as client:
        for at in range(1, height + 1):
            block: Any = await client.block(at)
            for seal in block.seals:
                found.setdefault(seal, []).append(at)
    return found


def heights_pass(net: LocalNet, count: int, *names: str) -> None:
    """The chain goes on by so many blocks at these nodes."""
    now = max(info.height for info in net.infos(*names).values())
    net.wait_height(now + count, *names)
