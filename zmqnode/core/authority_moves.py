"""The moves of the handover state: decide, open, close, cancel. Each gives a new state.

Whether a move is allowed is judged elsewhere (authority_judging). Every change of a vote goes
through :func:`decide`, so it is in force two blocks later, raises the epoch by one and makes both
keys used.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TypeVar

from zmqnode.base.handover import Mode, Switch
from zmqnode.base.keys import Address, PublicKey
from zmqnode.base.suffrage import Member, Suffrage
from zmqnode.core.authority_state import (
    ACTIVATION_LAG,
    Authority,
    Cancelled,
    Context,
    Rest,
    Session,
    Superseded,
)

T = TypeVar("T", Session, Rest, Cancelled)


class Turn(enum.StrEnum):
    """What a block did to a session."""

    COMMITTED = "committed"
    PENDING = "pending"
    ACTING = "acting"
    ACKNOWLEDGED = "acknowledged"
    VETOED = "vetoed"
    CANCELLED = "cancelled"
    RETURNED = "returned"
    CLOSED = "closed"  # A takeover or forced one whose ack window ended.
    REPLACED = "replaced"  # By a forced one.


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One turn of one session, for events and history; ``height`` is the block's.

    ``epoch`` is the address's decided epoch afterwards.
    """

    turn: Turn
    height: int
    epoch: int
    session: Session


def decide(
    state: Authority, address: Address, instance: PublicKey, url: str, height: int
) -> Authority:
    """Block ``height`` gives the vote of an address to an instance, under the next epoch."""
    old = state.members.by_address[address]
    new = replace(old, instance=instance, epoch=old.epoch + 1, url=url)
    last = height + ACTIVATION_LAG - 1
    superseded = state.superseded
    if not any(s.last_height == last and s.member.address == address for s in superseded):
        # A second change of the same block: the first would have acted at no height.
        added = (*superseded, Superseded(last_height=last, member=old))
        superseded = tuple(sorted(added, key=lambda s: (s.last_height, s.member.address)))
    return replace(
        state,
        members=_with_member(state.members, new),
        superseded=superseded,
        cancelled=tuple(one for one in state.cancelled if one.address != address),
        used=state.used | {old.instance, instance},
    )


def _with_member(suffrage: Suffrage, new: Member) -> Suffrage:
    return Suffrage(
        members=tuple(new if one.address == new.address else one for one in suffrage.members)
    )


def open_session(state: Authority, switch: Switch, context: Context) -> tuple[Authority, Session]:
    """A committed handover: its session, and its new key used from here on, whatever becomes of it.

    Planned and forced ones are decided at once.
    """
    address = switch.address
    session = Session(
        address=address,
        session=switch.session,
        mode=switch.mode,
        epoch=switch.epoch,
        old_instance=switch.old_instance,
        old_url=state.members.by_address[address].url,
        new_instance=switch.new_instance,
        new_url=switch.url,
        opened_height=context.height,
        opened_ms=context.time_ms,
    )
    state = replace(
        state,
        used=state.used | {switch.new_instance},
        sessions=_by_address((*state.sessions, session)),
    )
    if switch.mode is Mode.TAKEOVER:
        return state, session
    return act(state, session, context)


def act(state: Authority, session: Session, context: Context) -> tuple[Authority, Session]:
    """The vote moves to a session's new instance."""
    acting = replace(session, acts_height=context.height + ACTIVATION_LAG)
    state = decide(state, session.address, session.new_instance, session.new_url, context.height)
    return with_session(state, acting), acting


def with_session(state: Authority, session: Session) -> Authority:
    """The open session of its address, as it stands now."""
    sessions = (session if s.address == session.address else s for s in state.sessions)
    return replace(state, sessions=tuple(sessions))


def close(state: Authority, session: Session, context: Context, *, acked: bool) -> Authority:
    """The session is over; without ack its mode cools down (forced has no cooldown)."""
    rest = state.rest(session.address) or Rest(address=session.address, closed_height=0)
    rest = replace(rest, closed_height=context.height)
    until_ms = context.time_ms + context.params.handover_cooldown_ms
    if not acked and session.mode is Mode.PLANNED:
        rest = replace(rest, planned_until_ms=until_ms)
    if not acked and session.mode is Mode.TAKEOVER:
        rest = replace(rest, takeover_until_ms=until_ms)
    others = (one for one in state.rests if one.address != session.address)
    return replace(
        state,
        sessions=tuple(one for one in state.sessions if one.address != session.address),
        rests=_by_address((*others, rest)),
    )


def give_back(state: Authority, session: Session, context: Context) -> Authority:
    """An unacknowledged planned handover: the vote returns to the old instance, url and all."""
    state = decide(state, session.address, session.old_instance, session.old_url, context.height)
    return close(state, session, context, acked=False)


def cancel_key(state: Authority, address: Address, key: PublicKey) -> Authority:
    """An unused key that shall not get the vote of an address in this epoch."""
    keys = (*state.cancelled_keys(address), key)
    others = (one for one in state.cancelled if one.address != address)
    return replace(state, cancelled=_by_address((*others, Cancelled(address=address, keys=keys))))


def forget_superseded(state: Authority, height: int) -> Authority:
    """After block ``height`` nothing asks for heights below ``height - 1`` any more."""
    if all(one.last_height >= height - 1 for one in state.superseded):
        return state
    kept = tuple(one for one in state.superseded if one.last_height >= height - 1)
    return replace(state, superseded=kept)


def _by_address(items: tuple[T, ...]) -> tuple[T, ...]:
    return tuple(sorted(items, key=lambda one: one.address))
