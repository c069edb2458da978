"""The pool's lane of system seals: one per (address, kind), and how a leader picks among them.

The lane is bounded by the suffrage: four kinds for each of at most 100 addresses. The newer seal
of an (address, kind), by its own time, replaces the older and keeps its place in the queue; its
sender is the key that signed the operation (base/system), so nobody else can displace it. What is
refused for now (the slot is taken, the address cools down) waits here until it expires; after each
block the lane drops what has become without effect for good.

A leader tries the waiting operations on the working state: first those that end sessions, so that
the slots they free serve the others, then handovers in the order they came. At most n make it into
a block.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from zmqnode.base.handover import Ack, Cancel, Handover, SystemOperation, Veto
from zmqnode.base.hashes import Hash, sha256
from zmqnode.base.keys import Address
from zmqnode.base.seal import Seal
from zmqnode.base.signing import Verify
from zmqnode.core.authority import operations_max, take_effect
from zmqnode.core.authority_judging import Lift, Refusal, judge
from zmqnode.core.authority_state import Authority, Context

ORDER: Final = (Cancel, Veto, Ack, Handover)  # Of choice.
VERIFIED_MAX: Final = 4096  # Signatures remembered: about 40 handovers of 100 members.


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A system seal and what it carries."""

    seal: Seal
    operation: SystemOperation


class Lane:
    """System seals that wait for a block."""

    def __init__(self) -> None:
        self._held: dict[tuple[Address, type[SystemOperation]], Waiting] = {}
        self._seals: dict[Hash, Seal] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Seal]:
        return (one.seal for one in self._held.values())

    def get(self, seal: Hash) -> Seal | None:
        """A waiting seal by its hash."""
        return self._seals.get(seal)

    def add(
        self, seal: Seal, operation: SystemOperation, state: Authority, context: Context
    ) -> Refusal | None:
        """Take a seal whose signature is right; the refusal, or None if it waits (or waited) here.

        Args:
            operation: what ``read_system`` gave for the seal.
            state: after the newest block.
            context: of the next block, at the own clock.
        """
        refusal = judge(state, operation, context)
        if refusal is not None:
            if refusal.lift is Lift.NEVER or not has_authority(state, operation):
                return refusal
        key = (operation.address, type(operation))
        held = self._held.get(key)
        if held is not None and _age(held.seal) > _age(seal):
            return Refusal(code="already_exists", message="a newer one waits already")
        if held is not None:
            del self._seals[held.seal.hash]
        self._held[key] = Waiting(seal=seal, operation=operation)  # Keeps its place.
        self._seals[seal.hash] = seal
        return None

    def prune(self, state: Authority, context: Context) -> None:
        """After a block: drop what is without effect for good, and seals too old for any block.

        Args:
            state: after that block.
            context: of the next block, at the least time it can have.
        """
        oldest_ms = context.time_ms - context.params.seal_ttl_ms
        for key, one in tuple(self._held.items()):
            refusal = judge(state, one.operation, context)
            gone = refusal is not None and refusal.lift is Lift.NEVER
            if gone or one.seal.created_at_ms < oldest_ms:
                del self._held[key]
                del self._seals[one.seal.hash]

    def choose(
        self, state: Authority, context: Context, without: Container[Hash] = ()
    ) -> tuple[Seal, ...]:
        """The system seals of a fresh value: at most n, each valid after those before it.

        Args:
            state: after the value's parent.
            context: of the value.
            without: hashes to leave out.
        """
        chosen: list[Seal] = []
        for one in self._in_order(context):
            if len(chosen) >= operations_max(state):
                break
            if one.seal.hash in without or judge(state, one.operation, context) is not None:
                continue
            state, _ = take_effect(state, one.operation, context)
            chosen.append(one.seal)
        return tuple(chosen)

    def has_work(self, state: Authority, context: Context) -> bool:
        """Whether a next block is worth making: an operation is valid, or waits for blocks only.

        What waits for a time or for others is no work: an idle chain must not spin for it.
        """
        for one in self._in_order(context):
            refusal = judge(state, one.operation, context)
            if refusal is None or refusal.lift is Lift.HEIGHT:
                return True
        return False

    def _in_order(self, context: Context) -> Iterable[Waiting]:
        """Timely ones, by kind, then by arrival."""
        params = context.params
        first_ms = context.time_ms - params.seal_ttl_ms
        last_ms = context.time_ms + params.seal_ahead_ms
        timely = [w for w in self._held.values() if first_ms <= w.seal.created_at_ms <= last_ms]
        return sorted(timely, key=lambda one: ORDER.index(type(one.operation)))


def has_authority(state: Authority, operation: SystemOperation) -> bool:
    """Whether the signer may speak for the address, so that its refused operation may wait.

    An ack is refused for now only if it names the open session and its key.
    """
    member = state.members.by_address.get(operation.address)
    if member is None:
        return False
    match operation:
        case Handover() | Cancel():
            return operation.identity == member.publickey
        case Veto():
            return operation.old_instance == member.instance
        case Ack():
            return True


def _age(seal: Seal) -> tuple[int, Hash]:
    return seal.created_at_ms, seal.hash


def remembering(verify: Verify, entries_max: int = VERIFIED_MAX) -> Verify:
    """A verify that remembers its newest answers: a system operation is judged many times over."""
    known: dict[tuple[bytes, bytes, Hash], bool] = {}

    def remembered(public: bytes, data: bytes, signature: bytes) -> bool:
        key = (public, signature, sha256(data))
        answer = known.get(key)
        if answer is None:
            while len(known) >= entries_max:
                del known[next(iter(known))]
            answer = known[key] = verify(public, data, signature)
        return answer

    return remembered
