"""Whether a system operation has effect in a block: HANDOVER.md section 1, clause by clause.

Each clause is a function that gives a :class:`Refusal` or None; the cheap ones come first,
signatures last. What is compared with what matters: epoch and old instance with the *decided* table
(what the blocks up to the parent and the operations before this one have decided, in force or not);
ready certificates and co-signatures with suffrage(h) of the including block h.

A refusal also says what could lift it, so that the pool's lane knows whether to keep the operation.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, assert_never

from zmqnode.base.handover import (
    CONSENT_TAG,
    COSIGN_TAG,
    POSSESSION_TAG,
    READY_TAG,
    Ack,
    Cancel,
    Handover,
    Mode,
    SystemOperation,
    Veto,
)
from zmqnode.base.keys import Address, Signature
from zmqnode.base.suffrage import Member
from zmqnode.core.authority_state import (
    CANCELLED_KEYS_MAX,
    Authority,
    Context,
    Session,
    slots,
    suffrage,
)

TAKEOVER_MEMBERS_MIN: Final = 3  # With 1 or 2 members no quorum is left when one is silent.


class Lift(enum.IntEnum):
    """What can make a refused operation valid in a later block."""

    NEVER = 0
    HEIGHT = 1  # Some more blocks, whatever is in them.
    CHANGE = 2  # Time, or what other blocks bring.


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why an operation has no effect; ``code`` is one of CLI.md section 2."""

    code: str
    message: str
    lift: Lift = Lift.NEVER
    details: dict[str, object] = field(default_factory=dict)


def judge(state: Authority, operation: SystemOperation, context: Context) -> Refusal | None:
    """None if the operation has effect in the block of ``context``.

    Args:
        state: after the block's parent and the operations before this one in the block.
    """
    member = state.members.by_address.get(operation.address)
    if member is None:
        return Refusal(code="not_found", message=f"{operation.address} is no member")
    if operation.epoch > member.epoch and not isinstance(operation, Ack):
        # Of a block this state does not know yet, or never: a node behind keeps it.
        return _epoch_moved(member, lift=Lift.CHANGE)
    match operation:
        case Handover():
            return judge_handover(state, operation, member, context)
        case Veto():
            return judge_veto(state, operation, member, context)
        case Ack():
            return judge_ack(state, operation, context)
        case Cancel():
            return judge_cancel(state, operation, member, context)
        case _:
            assert_never(operation)


def _epoch_moved(member: Member, lift: Lift = Lift.NEVER) -> Refusal:
    return Refusal(
        code="epoch_moved",
        message=f"{member.address} is in epoch {member.epoch}, with another instance",
        lift=lift,
        details={"epoch": member.epoch},
    )


BAD_SIGNATURE: Final = Refusal(code="bad_signature", message="a signature is wrong")


# Handover.


def judge_handover(
    state: Authority, operation: Handover, member: Member, context: Context
) -> Refusal | None:
    """All clauses of a handover, the cheap ones first."""
    return (
        takeover_possible(state, operation)
        or in_time(operation, context)
        or names_decided(operation, member)
        or key_is_new(state, operation, member)
        or slot_free(state, operation, context)
        or address_rested(state, operation, context)
        or mode_cooled(state, operation, context)
        or signed_by_identity(operation, member, context)
        or key_possessed(operation, context)
        or authorised(state, operation, context)
        or ready_certified(state, operation, context)
    )


def takeover_possible(state: Authority, operation: Handover) -> Refusal | None:
    """Takeover and forced are impossible at n = 1, 2."""
    if operation.switch.mode is Mode.PLANNED or state.members.n >= TAKEOVER_MEMBERS_MIN:
        return None
    return Refusal(
        code="no_quorum",
        message=f"with {state.members.n} members no quorum is left without {operation.address}",
    )


def in_time(operation: Handover, context: Context) -> Refusal | None:
    """Valid while block time <= expires_at_ms."""
    if context.time_ms <= operation.switch.expires_at_ms:
        return None
    return Refusal(
        code="expired",
        message="the handover expired before a block took it",
        details={"expires_at_ms": operation.switch.expires_at_ms},
    )


def names_decided(operation: Handover, member: Member) -> Refusal | None:
    """Epoch and old instance are those of the decided table."""
    switch = operation.switch
    if switch.epoch == member.epoch and switch.old_instance == member.instance:
        return None
    return _epoch_moved(member)


def key_is_new(state: Authority, operation: Handover, member: Member) -> Refusal | None:
    """Neither used at any address nor cancelled at this one."""
    key = operation.switch.new_instance
    if key == member.instance:
        return Refusal(code="already_active", message="this instance votes already")
    if state.is_used(key):
        message = "the new instance's key was used before; it makes a new one when it is spent"
        return Refusal(code="not_standby", message=message)
    if key in state.cancelled_keys(operation.address):
        return Refusal(code="cancelled", message="handovers to this instance were cancelled")
    return None


def slot_free(state: Authority, operation: Handover, context: Context) -> Refusal | None:
    """One session an address, a few in all; a forced one replaces its own address's."""
    session = state.session(operation.address)
    if session is not None:
        if operation.switch.mode is Mode.FORCED:
            return None
        return _handover_open(session)
    if len(state.sessions) < slots(state, context.params):
        return None
    return _handover_open(state.sessions[0])


def _handover_open(session: Session) -> Refusal:
    return Refusal(
        code="handover_open",
        message=f"a handover of {session.address} is open",
        lift=Lift.CHANGE,
        details={"address": session.address, "session": session.session.hex()},
    )


def address_rested(state: Authority, operation: Handover, context: Context) -> Refusal | None:
    """f+1 blocks after its last session an address may open the next one (forced excepted)."""
    rest = state.rest(operation.address)
    if rest is None or operation.switch.mode is Mode.FORCED:
        return None
    height = rest.closed_height + state.members.f + 1
    if context.height >= height:
        return None
    return Refusal(
        code="handover_open",
        message=f"{operation.address} may open its next handover in block {height}",
        lift=Lift.HEIGHT,
        details={"address": operation.address, "height": height},
    )


def mode_cooled(state: Authority, operation: Handover, context: Context) -> Refusal | None:
    """Allowed again in a block with time >= that of the close without ack + cooldown."""
    rest = state.rest(operation.address)
    wait_ms = 0 if rest is None else rest.until_ms(operation.switch.mode) - context.time_ms
    if wait_ms <= 0:
        return None
    mode = operation.switch.mode.text
    return Refusal(
        code="handover_cooldown",
        message=f"the last {mode} handover of {operation.address} was not acknowledged",
        lift=Lift.CHANGE,
        details={"wait_ms": wait_ms},
    )


def signed_by_identity(
    operation: Handover | Cancel, member: Member, context: Context
) -> Refusal | None:
    """Signed by the identity key of its address."""
    if operation.identity != member.publickey:
        message = f"signed by another identity than that of {member.address}"
        return Refusal(code="identity_mismatch", message=message)
    if operation.verified(context.domain, context.verify):
        return None
    return BAD_SIGNATURE


def key_possessed(operation: Handover, context: Context) -> Refusal | None:
    """The new instance holds its key."""
    switch = operation.switch
    signed = context.domain.message(POSSESSION_TAG, switch.possession_body())
    if context.verify(switch.new_instance, signed, operation.possession):
        return None
    return BAD_SIGNATURE


def authorised(state: Authority, operation: Handover, context: Context) -> Refusal | None:
    """Beside the identity key: consent, the veto window to come, or co-signatures."""
    match operation.switch.mode:
        case Mode.PLANNED:
            return consented(operation, context)
        case Mode.TAKEOVER:
            return None
        case Mode.FORCED:
            return cosigned(state, operation, context)


def consented(operation: Handover, context: Context) -> Refusal | None:
    """The old instance, which the decided table names, agreed to just this."""
    switch = operation.switch
    signed = context.domain.message(CONSENT_TAG, switch.consent_body())
    if operation.consent is not None:
        if context.verify(switch.old_instance, signed, operation.consent):
            return None
    return Refusal(code="consent_refused", message="the old instance did not consent to this")


def cosigned(state: Authority, operation: Handover, context: Context) -> Refusal | None:
    """By the instances of f+1 other members, each co-signature not expired."""
    switch = operation.switch
    timely = [one for one in operation.cosigns if context.time_ms <= one.expires_at_ms]
    found = count_signers(
        state,
        ((one.address, switch.cosign_body(one.expires_at_ms), one.signature) for one in timely),
        tag=COSIGN_TAG,
        without=operation.address,
        needed=state.members.f + 1,
        context=context,
    )
    if found >= state.members.f + 1:
        return None
    return Refusal(
        code="cosign_missing",
        message=f"{found} of {state.members.f + 1} other members co-signed this",
        details={"signed": found, "needed": state.members.f + 1},
    )


def ready_certified(state: Authority, operation: Handover, context: Context) -> Refusal | None:
    """q members, each word at most ``ready_ttl_ms`` old; the address itself only if planned."""
    switch = operation.switch
    oldest_ms = context.time_ms - context.params.ready_ttl_ms
    timely = [one for one in operation.ready if oldest_ms <= one.time_ms < context.time_ms]
    # A word of a block time still ahead: this node is behind, or the member lies.
    ahead = any(one.time_ms >= context.time_ms for one in operation.ready)
    found = count_signers(
        state,
        ((one.address, switch.ready_body(one.time_ms), one.signature) for one in timely),
        tag=READY_TAG,
        without=None if switch.mode is Mode.PLANNED else operation.address,
        needed=state.members.q,
        context=context,
    )
    if found >= state.members.q:
        return None
    return Refusal(
        code="not_ready",
        message=f"{found} of {state.members.q} members hold the new instance for ready",
        lift=Lift.CHANGE if ahead else Lift.NEVER,
        details={"ready": found, "needed": state.members.q},
    )


def count_signers(
    state: Authority,
    signed: Iterable[tuple[Address, bytes, Signature]],
    *,
    tag: str,
    without: Address | None,
    needed: int,
    context: Context,
) -> int:
    """How many members' active instances of suffrage(h) signed, counted up to ``needed``.

    Args:
        signed: (address, body, signature), each address once.
        without: an address that does not count.
    """
    members = suffrage(state, context.height).by_address
    found = 0
    for address, body, signature in signed:
        member = members.get(address)
        if found >= needed or member is None or address == without:
            continue
        if context.verify(member.instance, context.domain.message(tag, body), signature):
            found += 1
    return found


# Veto, ack, cancel.


def judge_veto(
    state: Authority, operation: Veto, member: Member, context: Context
) -> Refusal | None:
    """By the old instance, while the takeover it names is pending."""
    if operation.epoch != member.epoch or operation.old_instance != member.instance:
        return _epoch_moved(member)
    session = state.session(operation.address)
    if session is None or session.session != operation.session:
        # A key no block has named: the takeover may be in one this state does not know yet.
        ahead = not state.is_used(operation.new_instance)
        return Refusal(
            code="none_open",
            message=f"no takeover of {operation.address} by this instance is open",
            lift=Lift.CHANGE if ahead else Lift.NEVER,
        )
    return None if operation.verified(context.domain, context.verify) else BAD_SIGNATURE


def judge_ack(state: Authority, operation: Ack, context: Context) -> Refusal | None:
    """By the new instance of the open session, from its first height on."""
    session = state.session(operation.address)
    if session is None or not names_session(operation, session):
        return Refusal(code="none_open", message="this session is not open")
    if session.acts_height is None:
        return Refusal(code="wrong_state", message="not decided yet", lift=Lift.CHANGE)
    if context.height < session.acts_height:
        message = f"the new instance votes from height {session.acts_height} on"
        return Refusal(code="wrong_state", message=message, lift=Lift.HEIGHT)
    return None if operation.verified(context.domain, context.verify) else BAD_SIGNATURE


def names_session(operation: Ack, session: Session) -> bool:
    """For that session's key and epoch."""
    named = (operation.session, operation.instance, operation.epoch)
    return named == (session.session, session.new_instance, session.new_epoch)


def judge_cancel(
    state: Authority, operation: Cancel, member: Member, context: Context
) -> Refusal | None:
    """Of a pending takeover, or of a key neither used nor cancelled; else it is too late."""
    if operation.epoch != member.epoch or not cancellable(state, operation):
        return Refusal(
            code="too_late", message="the chain has decided on this instance, or can hold no more"
        )
    return signed_by_identity(operation, member, context)


def cancellable(state: Authority, operation: Cancel) -> bool:
    """Whether the chain can still keep this instance from the vote, in this epoch."""
    if cancels_pending(state, operation):
        return True
    cancelled = state.cancelled_keys(operation.address)
    if operation.new_instance in cancelled or state.is_used(operation.new_instance):
        return False
    return len(cancelled) < CANCELLED_KEYS_MAX


def cancels_pending(state: Authority, operation: Cancel) -> bool:
    """Whether the key is the new instance of the address's takeover, still in its veto window."""
    session = state.session(operation.address)
    if session is None or session.new_instance != operation.new_instance:
        return False
    return session.acts_height is None
