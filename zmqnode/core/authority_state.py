"""The committed state of handover: who votes, from which height on, and what is under way.

*Decided* is what the blocks so far have decided, in force or not; it is also suffrage(tip + 2).
What was decided before and is still needed (it votes up to some height, or its ballots are still to
be carried) is *superseded*, with the last height at which it votes. All state here follows from
blocks alone and is part of the state root; values are frozen, each change makes a new one.

A session is *pending* while a takeover's veto window runs, *acting* from the block g that decides
it to the one before g + 2, *acking* from block g + 2 on, its new instance's first height.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from zmqnode.base.handover import Mode
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address, PublicKey
from zmqnode.base.params import Params
from zmqnode.base.signing import Domain, Verify
from zmqnode.base.suffrage import Member, Suffrage

ACTIVATION_LAG: Final = 2  # What block h decides is in force at h + 2; no parameter changes it.
CANCELLED_KEYS_MAX: Final = 16  # Of one address at a time.


class Phase(enum.IntEnum):
    """Where an open session stands."""

    PENDING = 1
    ACTING = 2
    ACKING = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The block that operations are judged for.

    Args:
        height: of the block; the state is the one after its parent and the operations before.
        time_ms: of the block.
        verify: checks a signature.
    """

    height: int
    time_ms: int
    params: Params
    domain: Domain
    verify: Verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseded:
    """A member as it votes up to ``last_height``, though another instance was decided since."""

    last_height: int
    member: Member


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An open handover.

    Args:
        epoch: the expected one, the old instance's.
        old_url: the old instance's hint, restored by a return.
        opened_height, opened_ms: the block that committed it; a takeover's veto window opens there.
        acts_height: the first height of the new instance; None while pending.
        acking_ms: time of block ``acts_height``, where the ack window opens; None before it.
    """

    address: Address
    session: Hash
    mode: Mode
    epoch: int
    old_instance: PublicKey
    old_url: str
    new_instance: PublicKey
    new_url: str
    opened_height: int
    opened_ms: int
    acts_height: int | None = None
    acking_ms: int | None = None

    @property
    def new_epoch(self) -> int:
        """The epoch of the new instance."""
        return self.epoch + 1

    def phase(self, height: int) -> Phase:
        """Where it stands after block ``height``, the newest."""
        if self.acts_height is None:
            return Phase.PENDING
        return Phase.ACTING if height < self.acts_height else Phase.ACKING


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """What an address's closed sessions leave behind.

    Args:
        closed_height: the block that closed the newest one.
        planned_until_ms, takeover_until_ms: the first block time at which a handover of that mode
            may open again; 0 if none of it was closed without ack.
    """

    address: Address
    closed_height: int
    planned_until_ms: int = 0
    takeover_until_ms: int = 0

    def until_ms(self, mode: Mode) -> int:
        """The end of a mode's cooldown; forced ones have none."""
        match mode:
            case Mode.PLANNED:
                return self.planned_until_ms
            case Mode.TAKEOVER:
                return self.takeover_until_ms
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """Keys cancelled for an address in its decided epoch: 1 to 16, oldest first."""

    address: Address
    keys: tuple[PublicKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Everything about handover after some block. Tuples are in address order.

    Args:
        members: the decided table.
        superseded: by last height, then address.
        used: every key a committed handover named and every key that was ever replaced; those of
            the decided table that are not here yet are used as well.
    """

    members: Suffrage
    superseded: tuple[Superseded, ...] = ()
    sessions: tuple[Session, ...] = ()
    rests: tuple[Rest, ...] = ()
    cancelled: tuple[Cancelled, ...] = ()
    used: frozenset[PublicKey] = frozenset()

    def session(self, address: Address) -> Session | None:
        """The open session of an address."""
        for session in self.sessions:
            if session.address == address:
                return session
        return None

    def rest(self, address: Address) -> Rest | None:
        """What closed sessions of an address left."""
        for rest in self.rests:
            if rest.address == address:
                return rest
        return None

    def cancelled_keys(self, address: Address) -> tuple[PublicKey, ...]:
        """Keys cancelled for an address since its epoch last moved."""
        for cancelled in self.cancelled:
            if cancelled.address == address:
                return cancelled.keys
        return ()

    def is_used(self, key: PublicKey) -> bool:
        """Whether a committed handover or the genesis names a key, at any address."""
        if key in self.used or key in self.members.by_instance:
            return True
        # An identity key is in genesis too, and no instance's.
        return any(member.publickey == key for member in self.members.members)


def slots(state: Authority, params: Params) -> int:
    """How many sessions may be open."""
    return max(1, min(params.open_handovers_max, state.members.f))


def suffrage(state: Authority, height: int) -> Suffrage:
    """Who may vote at a height from tip - 1 to tip + 2; the caller keeps to these.

    The same object as long as nothing is superseded.
    """
    if not state.superseded:
        return state.members
    rows: dict[Address, Member] = {}
    for one in state.superseded:
        if one.last_height >= height:
            rows.setdefault(one.member.address, one.member)
    if not rows:
        return state.members
    members = tuple(rows.get(member.address, member) for member in state.members.members)
    return Suffrage(members=members)


def is_spent(state: Authority, height: int, address: Address, key: PublicKey) -> bool:
    """Whether a key of an address can never be entitled again, after block ``height``, the newest.

    Its holder then deletes it and makes a new one. Cancelled counts at its own address only: other
    identities may cancel what they like, the vote of this address can still go to it.
    """
    if not state.is_used(key) and key not in state.cancelled_keys(address):
        return False
    for ahead in range(ACTIVATION_LAG + 1):
        if key in suffrage(state, height + ahead).by_instance:
            return False
    for session in state.sessions:
        if key == session.new_instance:
            return False
        if key == session.old_instance and session.mode is Mode.PLANNED:
            return False
    return True
