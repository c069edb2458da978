"""One handover as a copy sees it: for people and programs, never authority.

The words are those of CLI.md section 6. What is not known (yet, or here) is None.
"""

from __future__ import annotations

from dataclasses import dataclass

from zmqnode.base.handover import Mode
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address, PublicKey
from zmqnode.core.authority_state import Session

SHADOWS_NEEDED = 5  # HANDOVER.md section 1: the last 5 shadow ballots.

PHASES = (
    "sync",
    "preflight",
    "shadow",
    "ready",
    "consent",
    "submitted",
    "committed",
    "pending",
    "acting",
    "acknowledged",
)
OUTCOMES = ("done", "cancelled", "vetoed", "returned", "expired", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseReached:
    """A phase of :data:`PHASES`, the tip's height and the wall clock when it was reached."""

    name: str
    height: int
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a session did not end as it should: a code of CLI.md section 2, what, how to mend it."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """A session at one moment.

    Args:
        session: its id; None before old and new instance are known (``sync``).
        side: ``new``, ``old`` or ``other``.
        waits_for: what it waits for now, in words; None once it is over.
        outcome: one of :data:`OUTCOMES`; None while open.
        began_ms, ended_ms: wall clock; of the command (new side) or of the first sign of it.
    """

    session: Hash | None
    mode: Mode
    side: str
    address: Address
    epoch_before: int
    old_instance: PublicKey
    new_instance: PublicKey
    new_url: str
    reason: str = ""
    phases: tuple[PhaseReached, ...] = ()
    waits_for: str | None = None
    peers_ready: int | None = None
    peers_needed: int | None = None
    shadow_matches: int | None = None
    shadow_needed: int | None = None
    committed_height: int | None = None
    acts_height: int | None = None
    acknowledged_height: int | None = None
    returned_height: int | None = None
    outcome: str | None = None
    error: Trouble | None = None
    missed_ballots: int | None = None
    extra_rounds: int | None = None
    began_ms: int = 0
    ended_ms: int | None = None

    @property
    def phase(self) -> str | None:
        """The last phase reached."""
        return self.phases[-1].name if self.phases else None


def view_of(session: Session, side: str, reason: str = "") -> SessionView:
    """A session first seen on the chain: who, where and since when, nothing of how far it is."""
    return SessionView(
        session=session.session,
        mode=session.mode,
        side=side,
        address=session.address,
        epoch_before=session.epoch,
        old_instance=session.old_instance,
        new_instance=session.new_instance,
        new_url=session.new_url,
        reason=reason,
        committed_height=session.opened_height,
    )
