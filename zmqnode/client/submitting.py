"""Submitting seals: to several nodes, again and again, until one says what became of it.

A seal goes to ``copies`` nodes (f + 1, so that one of them is honest), the client's own targets
first. The first receipt counts. A node that cannot be reached, is full or stays silent is replaced
by the next one of the suffrage; a refusal counts once all that were asked refuse, since any one of
them may be wrong. Sending a seal again is harmless: a block holds it once.

Thousands are in flight at a time, so there is no task per seal: a :class:`Submission` is a small
state with callbacks, its deadline and its next attempt are timers of the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from zmqnode.base.codec import encode
from zmqnode.base.hashes import Hash
from zmqnode.base.point import HEIGHT_MAX
from zmqnode.base.query import Accepted, Committed, SealSubmitted, Until
from zmqnode.base.results import decode_results
from zmqnode.base.seal import Seal
from zmqnode.client.answers import EventInfo, OperationResult, Receipt
from zmqnode.client.node_link import ANSWER_MARGIN_MS, NodeAnswer, NodeLink, monotonic_ms
from zmqnode.errors import Malformed, Refused, TimedOut, Undecided, ZmqnodeError

ATTEMPT_MS: Final = 2_000  # A node that has no answer for so long is asked again, or another one.
BACKOFF_MS: Final = 50  # After a failure, doubled up to ..
BACKOFF_MAX_MS: Final = 1_000

# A node's judgment of the seal itself. Everything else may be different a moment later.
FINAL_CODES: Final = frozenset(
    {
        "seal_malformed",
        "seal_too_large",
        "seal_expired",
        "seal_too_early",
        "bad_signature",
        "unknown_operation",
        "bad_argument",
        "check_refused",
    }
)
# No node can ever put such a seal into a block.
WORTHLESS_CODES: Final = frozenset({"seal_malformed", "seal_too_large", "bad_signature"})


@dataclass(slots=True, eq=False)
class Submission:
    """One seal on its way."""

    seal: Seal
    until: Until
    copies: int
    nodes: Sequence[NodeLink]  # In the order in which they are asked.
    future: asyncio.Future[Receipt]
    began_ms: int
    deadline_ms: int
    maybe_taken: bool = False  # Some node may hold it: it said so, or was asked and said nothing.
    next_node: int = 0
    backoff_ms: int = BACKOFF_MS
    waiting: dict[NodeLink, int] = field(default_factory=dict)  # Request numbers.
    accepted: dict[NodeLink, None] = field(default_factory=dict)
    refusals: dict[NodeLink, ZmqnodeError] = field(default_factory=dict)
    last_error: ZmqnodeError | None = None
    timer: asyncio.TimerHandle | None = None
    retry: asyncio.TimerHandle | None = None


def receipt_of(
    seal: Hash, names: Sequence[str], answer: Accepted | Committed, seconds: float
) -> Receipt:
    """The receipt of a node's answer about a seal; raises Malformed if the two do not fit.

    Args:
        names: of the seal's operations, in order.
    """
    if answer.seal != seal:
        raise Malformed("the answer is about another seal")
    if isinstance(answer, Accepted):
        return Receipt(
            ok=True,
            seal=seal.hex(),
            state="accepted",
            height=None,
            block_hash=None,
            results=(),
            seconds=seconds,
        )
    results = decode_results(answer.results)
    if len(results) != len(names) or not 0 < answer.height <= HEIGHT_MAX:
        raise Malformed("the results do not fit the seal")
    return Receipt(
        ok=all(ok for ok, _, _ in results),
        seal=seal.hex(),
        state="committed",
        height=answer.height,
        block_hash=answer.block_hash.hex(),
        results=tuple(
            OperationResult(
                index=index,
                name=name,
                ok=ok,
                reason=reason,
                events=tuple(EventInfo(name=event, data=data) for event, data in events),
            )
            for index, (name, (ok, reason, events)) in enumerate(zip(names, results, strict=True))
        ),
        seconds=seconds,
    )


def rounded(milliseconds: float) -> float:
    """Seconds with milliseconds, for people."""
    return round(milliseconds / 1000, 3)


class Submitter:
    """All of a client's seals on their way."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._turn = 0
        self._open: dict[Submission, None] = {}
        self.resent = 0  # How often a seal went to one more node than it should have needed.

    def submit(
        self,
        seal: Seal,
        first: Sequence[NodeLink],
        others: Sequence[NodeLink],
        *,
        copies: int,
        until: Until,
        timeout_ms: int,
    ) -> asyncio.Future[Receipt]:
        """Send a seal.

        Args:
            first: asked first, in this order.
            others: then these; each seal begins with another one, so that they share the load.
            copies: to so many nodes at once.
        Returns:
            The receipt, or the error that ended it: ``Refused`` (nothing is under way),
            ``Unreachable`` (it was never sent), ``Undecided``.
        """
        self._turn += 1
        turn = self._turn % len(others) if others else 0
        nodes = [*first, *others[turn:], *others[:turn]]
        nodes.sort(key=lambda node: node.down)  # Stable: those that are up keep their order.
        now = monotonic_ms()
        submission = Submission(
            seal=seal,
            until=until,
            copies=min(copies, len(nodes)),
            nodes=nodes,
            future=self._loop.create_future(),
            began_ms=now,
            deadline_ms=now + timeout_ms,
        )
        self._open[submission] = None
        submission.timer = self._loop.call_later(timeout_ms / 1000, self._expired, submission)
        submission.future.add_done_callback(lambda _: self._end(submission))
        self._fill(submission)
        return submission.future

    def _fill(self, one: Submission) -> None:
        """Ask as many nodes as are missing."""
        one.retry = None
        for _ in range(len(one.nodes)):
            if one.future.done() or len(one.waiting) + len(one.accepted) >= one.copies:
                return
            node = one.nodes[one.next_node % len(one.nodes)]
            one.next_node += 1
            if node not in one.waiting and node not in one.accepted and node not in one.refusals:
                self._send(one, node)

    def _send(self, one: Submission, node: NodeLink) -> None:
        left_ms = max(1, one.deadline_ms - monotonic_ms())
        within_ms = min(ATTEMPT_MS, left_ms)
        request = SealSubmitted(seal=one.seal.data, until=one.until, within_ms=within_ms)
        self.resent += one.next_node > one.copies
        try:
            number = node.send(
                encode(request),
                within_ms + ANSWER_MARGIN_MS,
                lambda answer: self._answered(one, node, answer),
            )
        except Refused as error:  # Too many open requests on this link.
            self._failed(one, node, error)
            return
        one.waiting[node] = number

    def _answered(self, one: Submission, node: NodeLink, answer: NodeAnswer | ZmqnodeError) -> None:
        one.waiting.pop(node, None)
        if one.future.done():
            return
        if isinstance(answer, (Accepted, Committed)):
            try:
                seconds = rounded(monotonic_ms() - one.began_ms)
                names = [name for name, _ in one.seal.operations]
                receipt = receipt_of(one.seal.hash, names, answer, seconds)
            except Malformed as error:
                self._failed(one, node, node.strange(str(error)))
                return
            self._took(one, node, receipt)
        elif isinstance(answer, ZmqnodeError):
            if isinstance(answer, (Undecided, TimedOut)):
                one.maybe_taken = True
            self._failed(one, node, answer)
        else:
            self._failed(one, node, node.strange("another answer than asked for"))

    def _took(self, one: Submission, node: NodeLink, receipt: Receipt) -> None:
        one.maybe_taken = True
        if receipt.state == "committed":
            one.future.set_result(receipt)
            return
        one.accepted[node] = None
        if len(one.accepted) >= one.copies:
            one.future.set_result(receipt)

    def _failed(self, one: Submission, node: NodeLink, error: ZmqnodeError) -> None:
        one.last_error = error
        if error.code in FINAL_CODES:
            one.refusals[node] = error
            # The others may see it otherwise; when as many as should keep it refuse it, one of
            # them is honest.
            if one.waiting:
                return
            if len(one.refusals) >= one.copies or len(one.refusals) == len(one.nodes):
                self._refuse(one, error)
            else:
                self._fill(one)
            return
        if one.retry is None and not one.future.done():
            delay_ms = 0 if error.code == "timeout" else one.backoff_ms
            one.backoff_ms = min(2 * one.backoff_ms, BACKOFF_MAX_MS)
            one.retry = self._loop.call_later(delay_ms / 1000, self._fill, one)

    def _refuse(self, one: Submission, error: ZmqnodeError) -> None:
        if one.maybe_taken and error.code not in WORTHLESS_CODES:
            error = self._undecided(one, error)
        one.future.set_exception(error)

    def _expired(self, one: Submission) -> None:
        if one.future.done():
            return
        error = one.last_error
        if one.maybe_taken or any(node.ready for node in one.waiting) or error is None:
            error = self._undecided(one, error)
        one.future.set_exception(error)

    @staticmethod
    def _undecided(one: Submission, error: ZmqnodeError | None) -> Undecided:
        seal = one.seal.hash.hex()
        return Undecided(
            "undecided",
            f"seal {seal} was sent, and nobody said yet what became of it",
            hint=f"zmqnode wait seal {seal}, or send the same seal again",
            seal=seal,
            last_error=None if error is None else error.code,
        )

    def _end(self, one: Submission) -> None:
        self._open.pop(one, None)
        for timer in (one.timer, one.retry):
            if timer is not None:
                timer.cancel()
        for node, number in one.waiting.items():
            node.cancel(number)
        one.waiting.clear()

    def close(self) -> None:
        """Give up all that is on its way."""
        for one in tuple(self._open):
            if not one.future.done():
                one.future.cancel()
