"""Answers about handover: what was checked, how a session stands (CLI.md section 6)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from zmqnode.client.answers import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Answer):
    """One check before a handover; ``status`` is ok, warning or failed.

    ``code``: what a start refuses with; ``hint``: a command that mends it.
    """

    name: str
    status: str
    code: str | None
    message: str
    hint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight(Answer):
    """Whether a copy could take the vote of its address now.

    ``margin``: live members other than this address, less the votes needed.
    """

    ok: bool
    mode: str
    address: str
    instance: str
    live_others: int
    q: int
    margin: int
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase(Answer):
    """A phase that was reached, and when; ``height`` is that of the newest block then."""

    name: str
    height: int
    reached_at: str
    reached_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionError(Answer):
    """Why a session did not end as it should."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(Answer):
    """One handover as one node sees it; what is unknown (yet, or there) is None.

    ``outcome`` is None while it is open, then done, cancelled, vetoed, returned, expired or failed.
    """

    session: str | None
    mode: str
    side: str
    address: str
    epoch_before: int
    epoch_after: int
    old_instance: str | None
    new_instance: str | None
    new_url: str | None
    reason: str | None
    phase: str | None
    phases: tuple[Phase, ...]
    waits_for: str | None
    peers_ready: int | None
    peers_needed: int | None
    shadow_matches: int | None
    shadow_needed: int | None
    committed_height: int | None
    acts_height: int | None
    acknowledged_height: int | None
    returned_height: int | None
    outcome: str | None
    error: SessionError | None
    missed_ballots: int | None
    extra_rounds: int | None
    seconds: float | None

    @property
    def over(self) -> bool:
        """Whether it has an outcome."""
        return self.outcome is not None

    def alike(self, other: Session | None) -> bool:
        """Whether both say the same, but for the time that passes."""
        return other is not None and replace(self, seconds=None) == replace(other, seconds=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CosignInfo(Answer):
    """A member's co-signature of a forced handover, as hex; good until it expires."""

    epoch: int
    expires_at: str
    expires_at_ms: int
    cosign: str
