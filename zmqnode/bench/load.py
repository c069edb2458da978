"""Load: seals signed beforehand, a fixed number of them on their way, answered when committed.

The generator shares the machine with the nodes it loads, so it does as little as a client can do:
seals are signed and encoded before the clock runs, and answers are not decoded. It is a closed
loop: an answer sends the next seal, so nothing piles up and no node refuses for lack of room. A
seal goes to one node, and each node has its own share. What was committed is read from the chain
afterwards, not counted here.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from zmqnode.base.codec import encode
from zmqnode.base.keys import PrivateKey
from zmqnode.base.query import SealSubmitted, Until
from zmqnode.base.seal import NONCE_BYTES, make_seal
from zmqnode.base.signing import Domain
from zmqnode.bench.cluster import Cluster
from zmqnode.client import Client
from zmqnode.errors import ZmqnodeError
from zmqnode.network import AsyncClientLink, Context, new_context, parse_target

VALUE_BYTES: Final = 100
SENDERS: Final = 8
ANSWER_MS: Final = 20_000
HEADERS_MAX: Final = 100_000
FOREVER: Final = float("inf")


def key_name(index: int) -> str:
    """The text of key number ``index``, all of one length."""
    return f"key-{index:07d}"


@dataclass(slots=True)
class Counts:
    """What became of the seals sent so far."""

    sent: int = 0
    committed: int = 0
    failed: int = 0


class Load:
    """Sends prepared seals to some nodes.

    Args:
        domain: of the chain.
        targets: full urls ``tcp://PUBLICKEY@HOST:PORT`` of the nodes that take turns.
        in_flight: seals on their way at each node.
    """

    def __init__(self, domain: Domain, targets: tuple[str, ...], *, in_flight: int) -> None:
        self.domain = domain
        self.in_flight = in_flight
        self.counts = Counts()
        self._senders = [PrivateKey(os.urandom(32)) for _ in range(SENDERS)]
        self._chance = random.Random(1)  # Which keys are put is the same in every run.
        self._ready: deque[bytes] = deque()
        self._context: Context = new_context()
        self._links = [AsyncClientLink(self._context, parse_target(one)) for one in targets]
        self._kind = 1, 1_000  # Operations a seal, keys.
        self._open = 0
        self._until = 0.0
        self._done: asyncio.Event | None = None
        self._last_error: ZmqnodeError | None = None

    # Preparing.

    def prepare(self, seals: int, operations: int, keys: int) -> None:
        """Sign ``seals`` of ``operations`` puts each to random ones of ``keys`` keys.

        Should they not last, more of the kind are signed while it sends.
        """
        self._kind = operations, keys
        for _ in range(seals):
            self._sign_random()

    def _sign_random(self) -> None:
        operations, keys = self._kind
        self._sign([self._chance.randrange(keys) for _ in range(operations)])

    def prepare_all(self, keys: int, operations: int) -> None:
        """Sign seals that put every one of ``keys`` keys once."""
        for first in range(0, keys, operations):
            self._sign(list(range(first, min(first + operations, keys))))

    def _sign(self, keys: list[int]) -> None:
        # One random text a seal, cut differently for each operation: values differ, at no cost.
        text = os.urandom(VALUE_BYTES + len(keys))
        puts: list[Any] = [
            ["put", [key_name(key), text[at : at + VALUE_BYTES]]] for at, key in enumerate(keys)
        ]
        seal = make_seal(
            puts,
            created_at_ms=time.time_ns() // 1_000_000,
            nonce=os.urandom(NONCE_BYTES),
            key=self._chance.choice(self._senders),
            domain=self.domain,
        )
        request = SealSubmitted(seal=seal.data, until=Until.COMMITTED, within_ms=ANSWER_MS)
        self._ready.append(encode(request))

    @property
    def prepared(self) -> int:
        """Seals that were not sent yet."""
        return len(self._ready)

    # Sending.

    async def run(self, seconds: float | None = None) -> None:
        """Send for so long, or (None) until nothing is left; then wait for what is on its way.

        Raises:
            ZmqnodeError: a node refused or lost a seal.
        """
        self._until = FOREVER if seconds is None else time.monotonic() + seconds
        self._done = asyncio.Event()
        for link in self._links:
            for _ in range(self.in_flight):
                self._send(link)
        if self._open:
            await self._done.wait()
        if self._last_error is not None:
            raise self._last_error

    def _send(self, link: AsyncClientLink) -> None:
        if time.monotonic() >= self._until:
            return
        if not self._ready:
            if self._until == FOREVER:
                return
            self._sign_random()
        self._open += 1
        self.counts.sent += 1

        def answered(answer: bytes | ZmqnodeError) -> None:
            self._open -= 1
            if isinstance(answer, ZmqnodeError):
                self.counts.failed += 1
                self._last_error = answer
                self.end()
            else:
                self.counts.committed += 1
                self._send(link)
            if not self._open and self._done is not None:
                self._done.set()

        link.request(self._ready.popleft(), ANSWER_MS + 1000, answered)

    def end(self) -> None:
        """Send no more; ``run`` ends with the last answer."""
        self._until = 0.0

    def close(self) -> None:
        """Close all connections."""
        for link in self._links:
            link.close()
        self._context.term()


async def targets_of(client: Client) -> tuple[str, ...]:
    """Full urls of all members of the suffrage."""
    members = (await client.suffrage()).members
    return tuple(one.url.replace("tcp://", f"tcp://{one.publickey}@", 1) for one in members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What the chain took in a window of its own time."""

    blocks: int
    operations: int
    seconds: float

    @property
    def operations_per_s(self) -> float:
        """Operations a second."""
        return self.operations / self.seconds

    @property
    def blocks_per_s(self) -> float:
        """Heights a second."""
        return self.blocks / self.seconds


class Window:
    """A stretch of wall clock time: what it cost the nodes, and, from the chain, what it brought.

    Nothing is asked of the nodes between ``opened`` and ``close``; the chain is read when the load
    is over.
    """

    def __init__(self, cluster: Cluster, client: Client, first_height: int) -> None:
        self.first_height = first_height
        self._cluster = cluster
        self._client = client
        self._began_seconds = cluster.processor_seconds()
        self._ended_seconds: float | None = None
        self.begin_ms = self.end_ms = time.time_ns() // 1_000_000

    @classmethod
    async def opened(cls, cluster: Cluster, client: Client) -> Window:
        """Open one now."""
        return cls(cluster, client, (await client.info()).height)

    def close(self) -> None:
        """Its end is now."""
        self._ended_seconds = self._cluster.processor_seconds()
        self.end_ms = time.time_ns() // 1_000_000

    @property
    def seconds(self) -> float:
        """How long it was."""
        return (self.end_ms - self.begin_ms) / 1000

    @property
    def processor_seconds(self) -> float | None:
        """What all nodes together used; only where no node was started or ended in between."""
        if self._began_seconds is None or self._ended_seconds is None:
            return None
        return self._ended_seconds - self._began_seconds

    async def committed(self) -> Committed:
        """The blocks whose time lies in it."""
        inside = await self._headers(self.begin_ms, self.end_ms)
        return Committed(
            blocks=len(inside),
            operations=sum(count for _, count in inside),
            seconds=self.seconds,
        )

    async def longest_gap_ms(self, begin_ms: int, end_ms: int) -> float:
        """The longest time without a block that began in these ms of the wall clock."""
        times = [at_ms for at_ms, _ in await self._headers(begin_ms - 1_000, end_ms + 10_000)]
        gaps = [
            later - earlier
            for earlier, later in pairwise(times)
            if later >= begin_ms and earlier < end_ms
        ]
        return float(max(gaps, default=end_ms - begin_ms))

    async def _headers(self, begin_ms: int, end_ms: int) -> list[tuple[int, int]]:
        """Time and number of operations of each block with a time in ``[begin_ms, end_ms)``."""
        tip = (await self._client.info()).height
        assert tip - self.first_height <= HEADERS_MAX
        if tip <= self.first_height:
            return []
        headers = await self._client.blocks(self.first_height + 1, tip)
        return [
            (one.proposed_at_ms, one.operations_count)
            for one in headers
            if one.proposed_at_ms is not None and begin_ms <= one.proposed_at_ms < end_ms
        ]
