"""One node as a client sees it: a connection, requests as messages, the chain it belongs to."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, Final

from zmqnode.app import Schema
from zmqnode.base.codec import encode
from zmqnode.base.feed import FeedCancelled
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import PublicKey, public_text
from zmqnode.base.params import Params
from zmqnode.base.query import (
    Accepted,
    ChainAsked,
    Challenge,
    Committed,
    Failed,
    RawBlocks,
    Told,
    read_answer,
)
from zmqnode.base.signing import Domain
from zmqnode.client.answers import SuffrageInfo, read
from zmqnode.errors import Malformed, Refused, Undecided, Unreachable, ZmqnodeError
from zmqnode.network import AsyncClientLink, Context, parse_target

DOWN_MS: Final = 1_000  # A node that could not be reached is not asked first for so long.
STREAM_BYTES_MAX: Final = 16 << 20  # Pushes of one feed that came and were not read yet,
STREAM_PUSHES_MAX: Final = 4_096  # and their number.
CANCEL_MS: Final = 1_000
ANSWER_MARGIN_MS: Final = 500  # A node answers a wait when its time is over; so long we listen on.

NodeAnswer = Told | Accepted | Committed | RawBlocks | Challenge
OnNodeAnswer = Callable[["NodeAnswer | ZmqnodeError"], None]


class Overrun(Exception):
    """A feed's reader was so far behind that the feed was ended here; all that came was read."""


def monotonic_ms() -> int:
    """Milliseconds of a clock that only runs forward."""
    return time.monotonic_ns() // 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What a node said of its chain; ``domain`` is what seals are signed for."""

    domain: Domain
    address: str
    instance: str
    schema: Schema
    params: Params
    suffrage: SuffrageInfo
    clock_offset_ms: int  # The node's wall clock minus ours.


class NodeLink:
    """The connection to one node. Made on the loop; closed with its client."""

    def __init__(self, context: Context, publickey: PublicKey, url: str) -> None:
        self.publickey = publickey
        self.url = url
        self.text = url.replace("tcp://", f"tcp://{public_text(publickey)}@", 1)
        self.down_until_ms = 0
        self._closed = False
        self._link = AsyncClientLink(context, parse_target(self.text))

    @property
    def down(self) -> bool:
        """Whether it could not be reached a moment ago."""
        return self.down_until_ms > monotonic_ms()

    @property
    def ready(self) -> bool:
        """Whether the connection is up, so that what was asked may have been heard."""
        return self._link.link.ready

    def send(self, payload: bytes, timeout_ms: int, on_answer: OnNodeAnswer) -> int:
        """Put an encoded request on its way; raises Refused ``rate_limited`` if too many are."""

        def answered(answer: bytes | ZmqnodeError) -> None:
            on_answer(self._judge(answer))

        return self._link.request(payload, timeout_ms, answered)

    def cancel(self, number: int) -> None:
        """Forget a request."""
        self._link.link.cancel(number)

    async def ask(self, request: object, timeout_ms: int) -> Any:
        """The answer to a request message.

        Raises:
            Unreachable, Undecided: as ``ClientLink`` tells them; and what the node refuses with.
        """
        try:
            said = await self._link.ask(encode(request), max(1, timeout_ms))
        except Unreachable as error:
            self._judge(error)
            raise
        answer = self._judge(said)
        if isinstance(answer, ZmqnodeError):
            raise answer
        return answer

    async def told(self, request: object, timeout_ms: int) -> dict[str, Any]:
        """The object a node tells."""
        answer = await self.ask(request, timeout_ms)
        if not isinstance(answer, Told):
            raise self.strange("another answer than asked for")
        return answer.body

    async def stream(
        self, request: object, timeout_ms: int, *, newest: bool = False
    ) -> AsyncGenerator[dict[str, Any], None]:
        """What a feed tells, push by push, until its last word; ended at the node when closed.

        Args:
            timeout_ms: until the first push.
            newest: a push takes the place of one that was not read yet.
        Raises:
            Overrun: ``STREAM_PUSHES_MAX`` or ``STREAM_BYTES_MAX`` came and were not read.
            Unreachable, Undecided: as :meth:`ask`; Undecided when the connection is lost.
        """
        pushes: deque[bytes] = deque()
        ends: list[bytes | ZmqnodeError | Overrun] = []
        woken = asyncio.Event()
        waiting_bytes = 0

        def pushed(payload: bytes) -> None:
            nonlocal waiting_bytes
            if newest:
                pushes.clear()
                waiting_bytes = 0
            elif len(pushes) >= STREAM_PUSHES_MAX or waiting_bytes > STREAM_BYTES_MAX:
                self._end_stream(number)
                ends.append(Overrun())
                return
            pushes.append(payload)
            waiting_bytes += len(payload)
            woken.set()

        def ended(answer: bytes | ZmqnodeError) -> None:
            ends.append(answer)
            woken.set()

        number = self._link.request(encode(request), max(1, timeout_ms), ended, pushed)
        try:
            while True:
                while pushes:
                    payload = pushes.popleft()
                    waiting_bytes -= len(payload)
                    yield self._object(payload)
                if ends:
                    break
                woken.clear()
                await woken.wait()
            if isinstance(ends[0], Overrun):
                raise ends[0]
            self._object(ends[0])
        finally:
            if not ends:
                self._end_stream(number)

    def _object(self, answer: bytes | ZmqnodeError) -> dict[str, Any]:
        found = self._judge(answer)
        if isinstance(found, ZmqnodeError):
            raise found
        if not isinstance(found, Told):
            raise self.strange("another answer than asked for")
        return found.body

    def _end_stream(self, number: int) -> None:
        """Hear no more of a feed, and say so to the node; whether that arrives does not matter."""
        self._link.link.cancel(number)
        if not self._closed and self.ready:
            cancelled = encode(FeedCancelled(number=number))
            self._link.request(cancelled, CANCEL_MS, lambda answer: None)

    async def chain(self, timeout_ms: int) -> Chain:
        """The chain this node is a part of.

        It comes first and changes nothing, so that a node which does not answer it is as good as
        not there: nothing is under way, and another one may be asked.

        Raises:
            Unreachable: also if it was heard and not answered.
        """
        try:
            body = await self.told(ChainAsked(), timeout_ms)
        except Undecided:
            silent = self._link.link.unreachable(True, "no_answer")
            self._judge(silent)
            raise silent from None
        try:
            return Chain(
                domain=Domain(
                    network_id=str(body["network_id"]),
                    genesis=Hash(bytes.fromhex(body["genesis_hash"])),
                ),
                address=str(body["address"]),
                instance=str(body["instance"]),
                schema=Schema.from_wire(body["app"]),
                params=Params.of(body["params"]),
                suffrage=read(SuffrageInfo, body["suffrage"]),
                clock_offset_ms=int(body["clock_ms"]) - time.time_ns() // 1_000_000,
            )
        except (KeyError, TypeError, ValueError, ZmqnodeError) as error:
            raise self.strange(f"its chain cannot be read: {error}") from None

    def strange(self, what: str) -> ZmqnodeError:
        """The error of an answer that no honest node gives."""
        hint = "it may run another version of zmqnode"
        return Refused("wrong_state", f"{self.url}: {what}", hint=hint, target=self.text)

    def _judge(self, answer: bytes | ZmqnodeError) -> NodeAnswer | ZmqnodeError:
        if isinstance(answer, ZmqnodeError):
            if isinstance(answer, Unreachable):
                self.down_until_ms = monotonic_ms() + DOWN_MS
            return answer
        self.down_until_ms = 0
        try:
            found = read_answer(answer)
        except Malformed as error:
            return self.strange(f"its answer cannot be read: {error}")
        if isinstance(found, Failed):
            return found.to_error()
        return found  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the connection; nobody is called back any more."""
        self._closed = True
        self._link.close()
