"""What the checks before a handover look at, and what one of them says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from zmqnode.base.exchange import NodeState
from zmqnode.base.handover import Cosign, Mode
from zmqnode.base.keys import Address, PublicKey
from zmqnode.base.suffrage import Member, Suffrage
from zmqnode.core.authority import Authority
from zmqnode.core.authority_state import Context

TAKEOVER_MEMBERS_MIN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What one copy knows.

    Args:
        identity: its identity key; instance: its own key.
        suffrage: who votes on the next block.
        context: of the next block, at the members' time.
        following: it executes every block live, at the tip; ``lag``: blocks it is behind.
        open: it has a part in a session that is not over.
        linked, calling: instances it reaches, instances that reach it.
        heard: instances whose own status is fresh; their states.
        young: this machine is younger than statuses are apart: the first may be on their way.
        live: addresses whose voting instance gave a sign of life within 2 s, however it came here.
        refusals: hellos that failed last, (address, code), of who is not linked now.
        disk_free_bytes: None if nobody knows.
        clock_offsets: of the members' clocks from the own one, ms.
    """

    mode: Mode
    address: Address
    identity: PublicKey
    instance: PublicKey
    url: str
    network_id: str
    authority: Authority
    suffrage: Suffrage
    context: Context
    state: NodeState
    broken: str | None
    following: bool
    lag: int
    open: bool
    linked: frozenset[PublicKey]
    calling: frozenset[PublicKey]
    heard: dict[PublicKey, NodeState]
    young: bool
    live: frozenset[Address]
    refusals: tuple[tuple[Address, str], ...]
    disk_free_bytes: int | None
    clock_offsets: tuple[int, ...]
    cosigns: tuple[Cosign, ...] = ()
    accept_halt_risk: bool = False
    when_synced: bool = False

    @property
    def member(self) -> Member | None:
        """The own address in the decided table: its epoch, and the old instance."""
        return self.authority.members.by_address.get(self.address)

    @property
    def live_others(self) -> int:
        """Live members other than this address."""
        others = self.suffrage.members
        return sum(1 for one in others if one.address in self.live and one.address != self.address)

    @property
    def unsettled(self) -> bool:
        """Whether moments will tell more: a spent key is being replaced, or has just been."""
        return self.young or (self.spent and self.broken is None)

    @property
    def spent(self) -> bool:
        """Whether the own key can get no vote; while what replaces it is open, that says more."""
        session = self.authority.session(self.address)
        gives = session is not None and session.old_instance == self.instance
        return self.authority.is_used(self.instance) and not gives

    @property
    def stale(self) -> bool:
        """Whether it waits for the newest block: what the chain says here is of long ago."""
        return self.when_synced and not self.following and self.state is not NodeState.CONSENSUS

    @property
    def possible(self) -> bool:
        """Takeover and forced are impossible at n = 1, 2."""
        return self.mode is Mode.PLANNED or self.suffrage.n >= TAKEOVER_MEMBERS_MIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check's result; ``code`` and ``hint`` only if there is something to say."""

    name: str
    status: str = "ok"
    code: str | None = None
    message: str
    hint: str | None = None

    def row(self) -> dict[str, Any]:
        """As it is told."""
        return {
            "name": self.name,
            "status": self.status,
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
        }


def ok(name: str, message: str) -> Check:
    """A check that passed."""
    return Check(name=name, message=message)


def warning(name: str, message: str, hint: str) -> Check:
    """Something to look at that keeps nobody from starting."""
    return Check(name=name, status="warning", message=message, hint=hint)


def refusal(name: str, code: str, message: str, hint: str) -> Check:
    """A start would be refused with this code."""
    return Check(name=name, status="failed", code=code, message=message, hint=hint)
