"""Events in the words of the command line: what a block says happened, and what a node saw itself.

The events of a block follow from the block alone but for its ``round`` and ``proposer`` (which
certificate is stored may differ between nodes): their number and order are the same everywhere, so
a reader can go on at another node in the middle of a block. Block 0 has none: it has no time and
nobody proposed it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from zmqnode.base.ballot import Ballot
from zmqnode.base.codec import encode
from zmqnode.base.exchange import NodeState
from zmqnode.base.feed import HANDOVER_STEPS
from zmqnode.base.handover import session_text
from zmqnode.base.instant import rfc3339
from zmqnode.base.keys import public_text
from zmqnode.base.proposal import Proposal
from zmqnode.base.query import told
from zmqnode.base.results import decode_results
from zmqnode.errors import Refused, ZmqnodeError
from zmqnode.runtime import showing
from zmqnode.runtime.view import NodeView

BATCH_EVENTS: Final = 100  # In one push; those of one block have a mebibyte at most in all.
FIRST_HEIGHT: Final = 1


def block_events(view: NodeView, height: int, kinds: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What a stored block says happened, of these kinds, in order: block, operations, handovers."""
    stored = view.stored(height)
    assert stored is not None, "only stored blocks are told"
    _, value, _ = showing.read_outline(stored.block)
    assert value is not None, "block 0 has no events"
    common = {"height": height, **_at(value.time_ms)}
    if "block" in kinds:
        header = showing.header(view, height, stored)
        names = ("block_hash", "round", "proposer", "operations_count")
        yield {"kind": "block", **common, **{name: header[name] for name in names}}
    if "operation" in kinds:
        for one in _operations(view, height):
            yield {"kind": "operation", **common, **one}
    if "handover" in kinds:
        for one in _handovers(view, height):
            yield {"kind": "handover", **common, **one}


def _operations(view: NodeView, height: int) -> Iterator[dict[str, Any]]:
    block = view.block(height)
    assert block is not None
    for seal, data in zip(block.seals, block.results, strict=True):
        results = decode_results(data)
        for index, ((name, _), (ok, reason, events)) in enumerate(
            zip(seal.operations, results, strict=True)
        ):
            yield {
                "seal": seal.hash.hex(),
                "index": index,
                "name": name,
                "ok": ok,
                "reason": reason,
                "events": [{"name": event, "data": data} for event, data in events],
            }


def _handovers(view: NodeView, height: int) -> Iterator[dict[str, Any]]:
    for step in view.steps(height):
        # Closed and replaced ones are the chain's book-keeping: nobody's right changes by them.
        if step.turn.value in HANDOVER_STEPS:
            session = step.session
            yield {
                "session": session_text(session.session),
                "address": session.address,
                "mode": session.mode.text,
                "epoch_after": session.new_epoch,
                "step": step.turn.value,
            }


def state_event(
    view: NodeView, state: NodeState, previous: NodeState, reason: str
) -> dict[str, Any]:
    """The node's state changed."""
    common = {"kind": "state", "height": view.tip, **_at(view.clock_ms())}
    return {**common, "state": state.name, "previous": previous.name, "reason": reason}


def evidence_event(view: NodeView, first: object) -> dict[str, Any]:
    """One instance signed two things that it must not both have signed; ``first`` is one of them.

    ``stage`` is PROPOSAL for two proposals.
    """
    assert isinstance(first, Ballot | Proposal)
    if isinstance(first, Ballot):
        height, round_, stage = first.fact.height, first.fact.round, first.fact.stage.name
    else:
        height, round_, stage = first.height, first.round, "PROPOSAL"
    return {
        "kind": "evidence",
        "height": height,
        **_at(view.clock_ms()),
        "address": first.address,
        "instance": public_text(first.instance),
        "epoch": first.epoch,
        "round": round_,
        "stage": stage,
    }


def _at(unix_ms: int) -> dict[str, Any]:
    return {"at": rfc3339(unix_ms), "at_ms": unix_ms}


# As pushes.


class BlockPushes:
    """The encoded pushes of one block's events; each is made when it is first asked for.

    A block of thousands of operations takes tens of milliseconds to tell: a push is one slice of
    it. Several readers share what was made.
    """

    def __init__(self, view: NodeView, height: int, kinds: Sequence[str]) -> None:
        self._made: list[bytes] = []
        self._failure: ZmqnodeError | None = None
        self._rest = _pushes(height, block_events(view, height, kinds))

    def at(self, index: int) -> bytes | None:
        """The push of this index; None after the last one. At most one is made.

        Raises:
            Damaged: the store cannot give the block.
        """
        if index == len(self._made):
            if self._failure is not None:
                raise self._failure  # What failed once is over, and must not look complete.
            try:
                made = next(self._rest, None)
            except ZmqnodeError as error:
                self._failure = error
                raise
            if made is None:
                return None
            self._made.append(made)
        return self._made[index]


def _pushes(height: int, events: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    first = 0
    some = list(islice(events, BATCH_EVENTS))
    while some:
        more = list(islice(events, BATCH_EVENTS))  # Whether the block is over is said along.
        try:
            yield push(height, first, some, over=not more)
        except Refused:
            yield from _one_by_one(height, first, some, over=not more)
        first += len(some)
        some = more


def _one_by_one(
    height: int, first: int, events: Sequence[dict[str, Any]], *, over: bool
) -> Iterator[bytes]:
    """For what an application nested too deep, or too often, to be told together or at all."""
    for at_, event in enumerate(events):
        last = over and at_ == len(events) - 1
        try:
            yield push(height, first + at_, [event], over=last)
        except Refused:
            bare = {**event, "events": [], "events_left_out": len(event["events"])}
            yield push(height, first + at_, [bare], over=last)


def push(height: int | None, first: int, events: list[dict[str, Any]], *, over: bool) -> bytes:
    """One encoded push; raises Refused if the events cannot be told."""
    return encode(told({"block": height, "first": first, "last": over, "events": events}))
