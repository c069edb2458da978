"""What a handover looks like to a person. Pure: values in, renderables and lines out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zmqnode.commands.deferred import Deferred

if TYPE_CHECKING:
    from rich.console import RenderableType

    from zmqnode.client import Phase, Preflight, Session
    from zmqnode.commands import view
else:
    view = Deferred("zmqnode.commands.view")

SIGNS = {"ok": "ok", "warning": "WARNING", "failed": "FAILED"}


def preflight_panel(preflight: Preflight) -> RenderableType:
    """The checks, those that failed with what mends them."""
    from rich.console import Group

    grid = view.pairs()
    verdict = "yes" if preflight.ok else "no"
    grid.add_row("may start", view.text(f"{verdict}, {preflight.mode} handover"))
    grid.add_row("copy", view.text(f"{preflight.address}, instance {preflight.instance}"))
    needed = f"{preflight.live_others} live, {preflight.q} needed (margin {preflight.margin})"
    grid.add_row("others", view.text(needed))
    rows = [
        {"check": one.name, "status": SIGNS.get(one.status, one.status), "finding": _checked(one)}
        for one in preflight.checks
    ]
    return Group(grid, view.table(rows))


def _checked(one: Any) -> str:
    code = f" [{one.code}]" if one.code else ""
    hint = f"\n{one.hint}" if one.hint else ""
    return f"{one.message}{code}{hint}"


def session_panel(session: Session | None) -> RenderableType:
    """A session: who, how it ended or what it waits for, its phases."""
    from rich.console import Group

    if session is None:
        return view.text("no handover")
    rows = phase_rows(session.phases)
    grid = facts_panel(session)
    return Group(grid, view.table(rows)) if rows else grid


def facts_panel(session: Session) -> RenderableType:
    """The same without its phases: they were told one by one."""
    grid = view.pairs()
    for name, value in _facts(session):
        if value is not None:
            grid.add_row(name, view.text(value))
    return grid


def _facts(session: Session) -> list[tuple[str, object]]:
    error = session.error
    epochs = f"epoch {session.epoch_before} to {session.epoch_after}"
    return [
        ("handover", f"of {session.address}, {session.mode}, {epochs}"),
        ("session", f"{session.session or 'not named yet'} (seen from the {session.side} copy)"),
        ("outcome", outcome(session)),
        ("error", None if error is None else f"{error.message} [{error.code}]"),
        ("hint", error.hint if error is not None and error.hint else None),
        ("old instance", session.old_instance),
        ("new instance", session.new_instance),
        ("new url", session.new_url),
        ("reason", session.reason or None),
        ("shadow", _of(session.shadow_matches, session.shadow_needed, "blocks matched")),
        ("ready", _of(session.peers_ready, session.peers_needed, "members")),
        ("committed", _height(session.committed_height)),
        ("acts from", _height(session.acts_height)),
        ("acknowledged", _height(session.acknowledged_height)),
        ("returned", _height(session.returned_height)),
        ("missed ballots", session.missed_ballots),
        ("extra rounds", session.extra_rounds),
    ]


def outcome(session: Session) -> str:
    """How it ended and how long it took; or that it is open, and what it waits for."""
    took = "" if session.seconds is None else f" after {session.seconds:.2f} s"
    if session.outcome is not None:
        return f"{session.outcome}{took}"
    waits = f", waits for {session.waits_for}" if session.waits_for else ""
    return f"open{took}{waits}"


def _of(count: int | None, needed: int | None, what: str) -> str | None:
    if count is None:
        return None
    return f"{count} {what}" if needed is None else f"{count} {what}, {needed} needed"


def _height(height: int | None) -> str | None:
    return None if height is None else f"at height {height}"


def phase_rows(phases: Sequence[Phase]) -> list[dict[str, Any]]:
    """A row for each phase, with the seconds since the first one."""
    first_ms = phases[0].reached_at_ms if phases else 0
    return [
        {
            "phase": one.name,
            "height": one.height,
            "reached at": one.reached_at,
            "seconds": f"{(one.reached_at_ms - first_ms) / 1000:.3f}",
        }
        for one in phases
    ]


def phase_line(session: Session, phase: Phase) -> str:
    """One line for a phase that was reached."""
    since_s = (phase.reached_at_ms - session.phases[0].reached_at_ms) / 1000
    return f"{phase.name:<12} at height {phase.height}, {since_s:.3f} s{_told(session, phase)}"


def _told(session: Session, phase: Phase) -> str:
    """What is worth knowing at this phase."""
    match phase.name:
        case "shadow":
            return ": executes and signs every block, as yet without a vote"
        case "ready":
            return f": {_of(session.peers_ready, session.peers_needed, 'members')} said so"
        case "acting" if session.acts_height is not None:
            return f": votes from height {session.acts_height}"
        case _:
            return ""


def change_line(session: Session) -> str:
    """One line for a change of a session that is watched."""
    parts = [
        f"{session.address} epoch {session.epoch_before} to {session.epoch_after}",
        session.phase or "begun",
    ]
    if session.phases:
        parts.append(f"at height {session.phases[-1].height}")
    for count, needed, what in (
        (session.shadow_matches, session.shadow_needed, "shadow"),
        (session.peers_ready, session.peers_needed, "ready"),
    ):
        if count is not None and session.committed_height is None:
            parts.append(f"{what} {count}/{needed}")
    parts.append(outcome(session))
    if session.error is not None:
        parts.append(f"{session.error.message} [{session.error.code}]")
    return ", ".join(parts)


def history_panel(sessions: Sequence[Session]) -> RenderableType:
    """What the chain had, oldest first."""
    if not sessions:
        return view.text("no handover")
    rows = [
        {
            "session": one.session,
            "address": one.address,
            "mode": one.mode,
            "epoch": one.epoch_after,
            "committed": one.committed_height,
            "acts": one.acts_height,
            "acknowledged": one.acknowledged_height,
            "outcome": one.outcome or f"open ({one.phase})",
            "new url": one.new_url,
        }
        for one in sessions
    ]
    return view.table(rows)
