"""Which instance votes for an address at a height: a pure function of the chain.

The whole of handover that all nodes must agree on. Nobody is told who votes: every node computes it
from the same blocks, and all rights at height H follow from the chain up to block H - 2. So no two
instances ever sign for one height, whatever is cut off, paused, slow or restarted.

The rules are HANDOVER.md section 1. Where they live:

* ``authority_state``: what is committed, :func:`suffrage`, :func:`is_spent`;
* ``authority_judging``: :func:`judge`, whether an operation has effect, clause by clause;
* ``authority_moves``: the moves of the state;
* here: the order of a block (:func:`advance`) and what the chain waits for;
* ``authority_entries``: the state as entries of the state tree;
* ``authority_lane``: the pool's lane of system seals.

Order in a block: operations in the order of the value, each judged on the state after those before
it; then the ballots the value carries; then openings and ends of windows. So an ack or a veto in
the closing block counts, and a slot freed by a ballot or a window serves the next block.

Source: the "Node Handover" page of Mitum, whose handover lets two instances vote. The rules here
were found by exploring an explicit-state model, and ``sim explore`` explores this code itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from zmqnode.base.handover import Ack, Cancel, Handover, Mode, SystemOperation, Veto
from zmqnode.base.params import Params
from zmqnode.base.suffrage import Suffrage
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.authority_judging import Lift, Refusal, cancels_pending, judge
from zmqnode.core.authority_moves import (
    Step,
    Turn,
    act,
    cancel_key,
    close,
    forget_superseded,
    give_back,
    open_session,
    with_session,
)
from zmqnode.core.authority_state import (
    Authority,
    Context,
    Phase,
    Session,
    is_spent,
    slots,
    suffrage,
)

Advanced = tuple[Authority, tuple[Step, ...]]


class Ineffective(Exception):
    """A block names a system operation that has no effect: its value is invalid.

    ``index`` is the operation's place among the block's; ``refusal`` says why.
    """

    def __init__(self, index: int, refusal: Refusal) -> None:
        super().__init__(f"system operation {index}: {refusal.message} [{refusal.code}]")
        self.index = index
        self.refusal = refusal


def founded(members: Suffrage) -> Authority:
    """The state of block 0: genesis decides suffrage(1) and suffrage(2)."""
    return Authority(members=members)


# A block.


def advance(
    state: Authority,
    operations: Sequence[SystemOperation],
    carried: Voteproof | None,
    context: Context,
) -> Advanced:
    """The state after a block, and what it did to sessions.

    Args:
        state: after the block's parent; the same object comes back if nothing changes.
        operations: the value's system operations, in its order.
        carried: the ACCEPT VP of height - 2 that the value carries, checked.
        context: of the block.
    Raises:
        Ineffective: an operation has no effect, or there are more than n.
    """
    if not operations and not state.sessions and not state.superseded:
        return state, ()
    state, operated = take_operations(state, operations, context)
    state, vetoed = _count_ballots(state, carried, context)
    state, turned = _turn_windows(state, context)
    return forget_superseded(state, context.height), (*operated, *vetoed, *turned)


def take_operations(
    state: Authority, operations: Sequence[SystemOperation], context: Context
) -> Advanced:
    """The operations of a block in order, at most n; raises Ineffective.

    This is how a value is judged: one that names an operation without effect is invalid.
    """
    steps: list[Step] = []
    for index, operation in enumerate(operations):
        refusal = judge(state, operation, context)
        if index >= operations_max(state):
            refusal = Refusal(code="pool_full", message="a block takes at most n of them")
        if refusal is not None:
            raise Ineffective(index, refusal)
        state, done = take_effect(state, operation, context)
        steps.extend(done)
    return state, tuple(steps)


def operations_max(state: Authority) -> int:
    """How many system operations a block takes: n."""
    return state.members.n


def take_effect(state: Authority, operation: SystemOperation, context: Context) -> Advanced:
    """The state after one operation that :func:`judge` let through."""
    session = state.session(operation.address)
    match operation:
        case Handover():
            return _take_handover(state, operation, context)
        case Veto():
            assert session is not None
            return _ended(state, session, Turn.VETOED, context)
        case Ack():
            assert session is not None
            return _ended(state, session, Turn.ACKNOWLEDGED, context)
        case Cancel():
            if cancels_pending(state, operation):
                assert session is not None
                return _ended(state, session, Turn.CANCELLED, context)
            return cancel_key(state, operation.address, operation.new_instance), ()
        case _:
            assert_never(operation)


def _take_handover(state: Authority, operation: Handover, context: Context) -> Advanced:
    steps: list[Step] = []
    replaced = state.session(operation.address)
    if replaced is not None:  # Only a forced one gets here while its address has a session.
        state, done = _ended(state, replaced, Turn.REPLACED, context)
        steps.extend(done)
    state, session = open_session(state, operation.switch, context)
    steps.append(_step(state, session, Turn.COMMITTED, context))
    turn = Turn.PENDING if session.mode is Mode.TAKEOVER else Turn.ACTING
    steps.append(_step(state, session, turn, context))
    return state, tuple(steps)


def _ended(state: Authority, session: Session, turn: Turn, context: Context) -> Advanced:
    state = close(state, session, context, acked=turn is Turn.ACKNOWLEDGED)
    return state, (_step(state, session, turn, context),)


def _step(state: Authority, session: Session, turn: Turn, context: Context) -> Step:
    epoch = state.members.by_address[session.address].epoch
    return Step(turn=turn, height=context.height, epoch=epoch, session=session)


def _count_ballots(state: Authority, carried: Voteproof | None, context: Context) -> Advanced:
    """A ballot of the old instance, for a height after the commit, counts as a veto."""
    steps: list[Step] = []
    for session in state.sessions:
        if carried is not None and outlived(state, session, carried):
            state, done = _ended(state, session, Turn.VETOED, context)
            steps.extend(done)
    return state, tuple(steps)


def outlived(state: Authority, session: Session, carried: Voteproof) -> bool:
    """Whether a carried ACCEPT VP shows the old instance of a pending takeover voting after it."""
    height = carried.fact.height
    if session.acts_height is not None or height <= session.opened_height:
        return False
    voter = suffrage(state, height).by_address[session.address]
    named = (voter.instance, voter.epoch) == (session.old_instance, session.epoch)
    return named and session.address in carried.addresses


def _turn_windows(state: Authority, context: Context) -> Advanced:
    """Openings and ends of windows, session by session."""
    steps: list[Step] = []
    for session in state.sessions:
        state, done = _turn_window(state, session, context)
        steps.extend(done)
    return state, tuple(steps)


def _turn_window(state: Authority, session: Session, context: Context) -> Advanced:
    phase = session.phase(context.height)
    if phase is Phase.PENDING and veto_window_over(state, session, context):
        state, acting = act(state, session, context)
        return state, (_step(state, acting, Turn.ACTING, context),)
    if phase is not Phase.ACKING:
        return state, ()
    if session.acking_ms is None:
        opened = replace(session, acking_ms=context.time_ms)
        return with_session(state, opened), ()
    if not ack_window_over(state, session, context):
        return state, ()
    if session.mode is not Mode.PLANNED:
        return _ended(state, session, Turn.CLOSED, context)
    state = give_back(state, session, context)
    return state, (_step(state, session, Turn.RETURNED, context),)


def window_over(
    opened_height: int, opened_ms: int, window_ms: int, state: Authority, context: Context
) -> bool:
    """Over at time *and* height: everybody had a turn to lead."""
    late = context.time_ms >= opened_ms + window_ms
    return late and context.height >= opened_height + state.members.n


def veto_window_over(state: Authority, session: Session, context: Context) -> bool:
    """Opened by the block that committed the takeover."""
    window_ms = context.params.veto_window_ms
    return window_over(session.opened_height, session.opened_ms, window_ms, state, context)


def ack_window_over(state: Authority, session: Session, context: Context) -> bool:
    """Opened by the block of the new instance's first height."""
    assert session.acts_height is not None and session.acking_ms is not None
    window_ms = context.params.ack_window_ms
    return window_over(session.acts_height, session.acking_ms, window_ms, state, context)


# What the chain waits for.


def due_ms(state: Authority, params: Params) -> int | None:
    """The block time at which the first open window is over, as far as time goes."""
    ends = []
    for session in state.sessions:
        if session.acts_height is None:
            ends.append(session.opened_ms + params.veto_window_ms)
        elif session.acking_ms is not None:
            ends.append(session.acking_ms + params.ack_window_ms)
    return min(ends, default=None)


def chain_waits(state: Authority, height: int, clock_ms: int, params: Params) -> bool:
    """Whether the chain needs a next block for handover's sake (DESIGN.md section 4, "has work").

    A change committed but not in force, a session acting whose first height has no block yet, a
    window the own clock has passed.

    Args:
        height: of the newest block, after which ``state`` is.
    """
    if not state.sessions and not state.superseded:
        return False
    if any(one.last_height > height for one in state.superseded):
        return True
    if any(one.phase(height) is Phase.ACTING for one in state.sessions):
        return True
    end_ms = due_ms(state, params)
    return end_ms is not None and clock_ms >= end_ms


__all__ = [
    "Advanced",
    "Authority",
    "Context",
    "Ineffective",
    "Lift",
    "Refusal",
    "Session",
    "Step",
    "Turn",
    "advance",
    "chain_waits",
    "due_ms",
    "founded",
    "is_spent",
    "judge",
    "operations_max",
    "slots",
    "suffrage",
    "take_effect",
    "take_operations",
]
