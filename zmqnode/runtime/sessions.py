"""A handover session in the words of CLI.md section 6: as told, as kept in a file, as the chain
has it. Pure.

A copy that has a part in a session sees all of it (core/handover_view); the chain alone knows its
committed steps, so of others' sessions the rest is null. ``elapsed_ms`` is the client's fractional
``seconds``: floats do not travel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, fields, replace
from typing import Any, Final

from zmqnode.base.handover import Mode, session_text
from zmqnode.base.hashes import Hash
from zmqnode.base.instant import at
from zmqnode.base.keys import Address, PublicKey, public_text
from zmqnode.core.authority import Step, Turn
from zmqnode.core.authority_state import Session
from zmqnode.core.claiming import HANDOVER_TTL_MS
from zmqnode.core.display import CANCELLED, MOVED, RETURNED, VETOED
from zmqnode.core.handover_view import PhaseReached, SessionView, Trouble, view_of

REPLAY_MS: Final = 10_000  # So long a start may take to know all its journal holds.
SIDES: Final = ("new", "old")  # Of this copy's own sessions; those of others are "other".
_REMEMBERED: Final = (
    *("peers_ready", "peers_needed", "shadow_matches", "shadow_needed"),
    *("missed_ballots", "extra_rounds"),
)


def session_row(view: SessionView, now_ms: int) -> dict[str, Any]:
    """A session as it is told; ``now_ms`` is the wall clock, for one that is open."""
    error = view.error
    return {
        "session": None if view.session is None else session_text(view.session),
        "mode": view.mode.text,
        "side": view.side,
        "address": view.address,
        "epoch_before": view.epoch_before,
        "epoch_after": _epoch_after(view),
        "old_instance": public_text(view.old_instance),
        "new_instance": public_text(view.new_instance),
        "new_url": view.new_url,
        "reason": view.reason,
        "phase": view.phase,
        "phases": [
            {"name": one.name, "height": one.height, **at("reached", one.at_ms)}
            for one in view.phases
        ],
        "waits_for": view.waits_for,
        "peers_ready": view.peers_ready,
        "peers_needed": view.peers_needed,
        "shadow_matches": view.shadow_matches,
        "shadow_needed": view.shadow_needed,
        "committed_height": view.committed_height,
        "acts_height": view.acts_height,
        "acknowledged_height": view.acknowledged_height,
        "returned_height": view.returned_height,
        "outcome": view.outcome,
        "error": error and {"code": error.code, "message": error.message, "hint": error.hint},
        "missed_ballots": view.missed_ballots,
        "extra_rounds": view.extra_rounds,
        "elapsed_ms": _elapsed_ms(view, now_ms),
    }


def _epoch_after(view: SessionView) -> int:
    """The epoch it leads to: it has moved twice if the vote went back, not at all if it failed."""
    if view.outcome == "returned":
        return view.epoch_before + 2
    moved = view.outcome in (None, "done") or view.acts_height is not None
    return view.epoch_before + 1 if moved else view.epoch_before


def _elapsed_ms(view: SessionView, now_ms: int) -> int | None:
    if not view.began_ms:
        return None
    ended_ms = now_ms if view.ended_ms is None else view.ended_ms
    return max(0, ended_ms - view.began_ms)


# What the chain says.


def sessions_of(
    blocks: Iterable[tuple[int, tuple[Step, ...]]], reason: Callable[[Session], str]
) -> list[SessionView]:
    """The sessions that blocks opened, oldest first.

    Args:
        blocks: the time and the steps of each, in order of the chain.
        reason: what the operation that opened a session says of its reason.
    """
    found: dict[Hash, SessionView] = {}
    for time_ms, steps in blocks:
        for step in steps:
            session = step.session
            view = found.get(session.session)
            if view is None:
                view = view_of(session, "other", reason(session))
                view = replace(view, committed_height=session.opened_height)
            found[session.session] = _after(view, step, time_ms)
    return list(found.values())


def _after(view: SessionView, step: Step, at_ms: int) -> SessionView:
    """A session after one more of its steps."""

    def reached(waits_for: str | None, **changes: Any) -> SessionView:
        phase = PhaseReached(name=step.turn.value, height=step.height, at_ms=at_ms)
        return replace(view, phases=(*view.phases, phase), waits_for=waits_for, **changes)

    def ended(outcome: str, error: Trouble | None = None, **changes: Any) -> SessionView:
        return replace(view, outcome=outcome, error=error, waits_for=None, **changes)

    session = step.session
    match step.turn:
        case Turn.COMMITTED:
            return reached("its first height")
        case Turn.PENDING:
            return reached("the veto window")
        case Turn.ACTING:
            return reached(f"height {session.acts_height}", acts_height=session.acts_height)
        case Turn.ACKNOWLEDGED:
            done = reached(None, acknowledged_height=step.height)
            return replace(done, outcome="done")
        case Turn.VETOED:
            return ended("vetoed", VETOED)
        case Turn.CANCELLED:
            return ended("cancelled", CANCELLED)
        case Turn.RETURNED:
            return ended("returned", RETURNED, returned_height=step.height)
        case Turn.CLOSED:
            return ended("done")
        case Turn.REPLACED:
            return ended("failed", MOVED)


def joined(kept: SessionView, newer: SessionView) -> SessionView:
    """A session with what was known of it before: a start, and the chain, know less."""
    if kept.session is None or kept.session != newer.session:
        return newer
    known = {one.name for one in newer.phases}
    before = tuple(one for one in kept.phases if one.name not in known)
    changes: dict[str, Any] = {
        name: getattr(kept, name) for name in _REMEMBERED if getattr(newer, name) is None
    }
    ended_ms = newer.ended_ms
    if ended_ms is None and newer.outcome is not None and newer.phases:
        ended_ms = newer.phases[-1].at_ms
    return replace(
        newer,
        side=kept.side if newer.side == "other" else newer.side,
        phases=(*before, *newer.phases),
        reason=newer.reason or kept.reason,
        began_ms=kept.began_ms or newer.began_ms,
        ended_ms=ended_ms,
        **changes,
    )


def undecided_until_ms(kept: SessionView) -> int | None:
    """Until when a block may hold the operation of a session that a start finds in its file.

    Of the wall clock; None: it is over, or nothing of it had left this copy.
    """
    left = "consent" if kept.side == "old" else "submitted"
    at_ms = [one.at_ms for one in kept.phases if one.name == left]
    if kept.outcome is not None or kept.session is None or not at_ms:
        return None
    return at_ms[0] + HANDOVER_TTL_MS + REPLAY_MS


def concluded(kept: SessionView, chain: SessionView | None) -> SessionView:
    """A session of this copy as a start finds it in its file, after what the chain says of it.

    What the chain does not know was given up with the process; it may still be committed if it was
    handed in, and is then followed from the chain.
    """
    if chain is not None:
        return joined(kept, chain)
    if kept.outcome is not None:
        return kept
    error = Trouble(
        code="not_ready",
        message="this copy was stopped before the chain had the handover",
        hint="start it again: zmqnode handover start",
    )
    ended_ms = kept.phases[-1].at_ms if kept.phases else kept.began_ms
    return replace(kept, outcome="failed", error=error, waits_for=None, ended_ms=ended_ms)


# The file.


def to_json(view: SessionView) -> dict[str, Any]:
    """All fields, for a file; keys and hashes as hex, the mode by its name."""
    found = asdict(view)
    found["mode"] = view.mode.text
    for name in ("session", "old_instance", "new_instance"):
        found[name] = None if found[name] is None else found[name].hex()
    return found


def from_json(row: Any) -> SessionView:
    """The view of :func:`to_json`; raises ValueError, KeyError or TypeError for anything else."""
    values = {field.name: row[field.name] for field in fields(SessionView)}
    values["mode"] = Mode[values["mode"].upper()]
    values["address"] = Address(values["address"])
    if values["session"] is not None:
        values["session"] = Hash(bytes.fromhex(values["session"]))
    for name in ("old_instance", "new_instance"):
        values[name] = PublicKey(bytes.fromhex(values[name]))
    values["phases"] = tuple(PhaseReached(**one) for one in values["phases"])
    if values["error"] is not None:
        values["error"] = Trouble(**values["error"])
    return SessionView(**values)
