"""``SyncClient``: the client for plain code. A loop in a thread of its own, and every method waits.

Calls may come from any thread, also several at a time; Ctrl-C ends the wait and what was asked.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import (
    AsyncGenerator,
    Coroutine,
    Generator,
    Iterable,
    Mapping,
    Sequence,
)
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar, Unpack

from zmqnode.base.seal import Seal
from zmqnode.client.answers import (
    BlockHeader,
    BlockInfo,
    NodeInfo,
    PeerInfo,
    QueryAnswer,
    Receipt,
    SealInfo,
    Standing,
    Stopped,
    SuffrageInfo,
)
from zmqnode.client.client import TIMEOUT_MS, Client, Operation
from zmqnode.client.feed_answers import Event, Snapshot
from zmqnode.client.handover_answers import CosignInfo, Preflight, Session
from zmqnode.client.handovers import OnChange
from zmqnode.config.target import Target

T = TypeVar("T")


class StartOptions(TypedDict, total=False):
    """The options of a handover's start, as :meth:`Client.handover_start` has them."""

    mode: str
    accept_halt_risk: bool
    when_synced: bool
    cosigns: Iterable[CosignInfo | str | Path]
    reason: str
    wait: bool
    timeout_ms: int | None
    on_change: OnChange | None


class SyncClient:
    """As :class:`Client`, blocking. ``with SyncClient(..) as client``, or close it."""

    def __init__(
        self,
        *targets: str | Path | Target,
        sign: str | None = None,
        copies: int | None = None,
        timeout_ms: int = TIMEOUT_MS,
    ) -> None:
        self._client = Client(*targets, sign=sign, copies=copies, timeout_ms=timeout_ms)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="zmqnode-client", daemon=True
        )
        self._closed = False
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine of the client; interrupted, it is cancelled."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Close all connections and end the thread. Again is harmless."""
        if self._closed:
            return
        self._closed = True
        try:
            self.run(self._client.close())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    @property
    def client(self) -> Client:
        """The client inside, whose coroutines :meth:`run` waits for."""
        return self._client

    def info(self, *, timeout_ms: int | None = None) -> NodeInfo:
        return self.run(self._client.info(timeout_ms=timeout_ms))

    def suffrage(self, height: int | None = None) -> SuffrageInfo:
        return self.run(self._client.suffrage(height))

    def peers(self) -> tuple[PeerInfo, ...]:
        return self.run(self._client.peers())

    def block(self, which: int | str = "last") -> BlockInfo:
        return self.run(self._client.block(which))

    def blocks(self, first: int | None = None, last: int | None = None) -> tuple[BlockHeader, ...]:
        return self.run(self._client.blocks(first, last))

    def query(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        height: int | None = None,
        proof: bool = False,
        timeout_ms: int | None = None,
    ) -> QueryAnswer:
        asked = self._client.query(
            name, arguments, height=height, proof=proof, timeout_ms=timeout_ms
        )
        return self.run(asked)

    def follow(self, interval_ms: int = 250) -> Generator[Snapshot, None, None]:
        return self._each(self._client.follow(interval_ms))

    def events(
        self, *, start: int | None = None, kinds: Sequence[str] = (), follow: bool = True
    ) -> Generator[Event, None, None]:
        return self._each(self._client.events(start=start, kinds=kinds, follow=follow))

    def _each(self, source: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        """One after the other; what it holds is let go of when the iteration ends or is closed."""

        turn = asyncio.Lock()  # An interrupted step ends in the loop's own time: closing waits.

        async def next_of() -> list[T]:
            async with turn:
                async for item in source:
                    return [item]
            return []

        async def close() -> None:
            async with turn:
                await source.aclose()

        try:
            while found := self.run(next_of()):
                yield found[0]
        finally:
            if not self._closed:
                self.run(close())

    def make(self, *operations: Operation) -> SealInfo:
        return self.run(self._client.make(*operations))

    def sign(self, *operations: Operation) -> Seal:
        return self.run(self._client.sign(*operations))

    def submit(
        self,
        *operations: Operation | SealInfo | Seal,
        wait: str = "committed",
        timeout_ms: int | None = None,
    ) -> Receipt:
        return self.run(self._client.submit(*operations, wait=wait, timeout_ms=timeout_ms))

    def wait_height(self, height: int, *, timeout_ms: int | None = None) -> Standing:
        return self.run(self._client.wait_height(height, timeout_ms=timeout_ms))

    def wait_state(self, state: str, *, timeout_ms: int | None = None) -> Standing:
        return self.run(self._client.wait_state(state, timeout_ms=timeout_ms))

    def wait_synced(self, *, timeout_ms: int | None = None) -> Standing:
        return self.run(self._client.wait_synced(timeout_ms=timeout_ms))

    def wait_seal(self, seal: str | bytes, *, timeout_ms: int | None = None) -> Receipt:
        return self.run(self._client.wait_seal(seal, timeout_ms=timeout_ms))

    def stop(self, *, timeout_ms: int | None = None) -> Stopped:
        return self.run(self._client.stop(timeout_ms=timeout_ms))

    # Handover.

    def handover_preflight(
        self, mode: str = "planned", *, timeout_ms: int | None = None
    ) -> Preflight:
        return self.run(self._client.handover_preflight(mode, timeout_ms=timeout_ms))

    def handover_start(self, **options: Unpack[StartOptions]) -> Session:
        return self.run(self._client.handover_start(**options))

    def handover_handback(self, **options: Unpack[StartOptions]) -> Session:
        return self.run(self._client.handover_handback(**options))

    def handover_status(self) -> Session | None:
        return self.run(self._client.handover_status())

    def handover_cancel(self, *, timeout_ms: int | None = None) -> Session:
        return self.run(self._client.handover_cancel(timeout_ms=timeout_ms))

    def handover_consent(self, *, refuse: bool = False, timeout_ms: int | None = None) -> Session:
        return self.run(self._client.handover_consent(refuse=refuse, timeout_ms=timeout_ms))

    def handover_cosign(
        self, address: str, instance: str, *, timeout_ms: int | None = None
    ) -> CosignInfo:
        asked = self._client.handover_cosign(address, instance, timeout_ms=timeout_ms)
        return self.run(asked)

    def handover_history(self, address: str | None = None) -> tuple[Session, ...]:
        return self.run(self._client.handover_history(address))
