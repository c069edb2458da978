"""The handover's panel: phases with ticks, who is ready, what is proven, when it acts.

The session is the object of CLI.md section 6, from the node's own snapshot. Phases it has not
reached yet are shown too, in the order of its mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from zmqnode.commands.monitor_ink import Line, Span, flow, said, wrapped
from zmqnode.commands.monitor_picture import Picture, Room, clock, duration

PHASES: Final = {
    "planned": (
        *("preflight", "shadow", "ready", "consent", "submitted", "committed", "acting"),
        "acknowledged",
    ),
    "takeover": (
        *("preflight", "shadow", "ready", "submitted", "committed", "pending", "acting"),
        "acknowledged",
    ),
    "forced": (
        *("preflight", "shadow", "ready", "submitted", "committed", "acting"),
        "acknowledged",
    ),
}
SHORT_COLUMNS: Final = 60  # Below this, phases passed are ticks alone.


def title(picture: Picture) -> str:
    """What the handover's panel is called."""
    session = picture.node.session
    return "handover" if session is None else f"handover {said(session.get('address', ''))}"


def handover(picture: Picture, room: Room, *, control: bool = False) -> tuple[Line, ...]:
    """The open session, or the last one seen."""
    session = picture.node.session
    if session is None:
        hint = "H starts one" if control else "zmqnode handover start -t STANDBY"
        return ((("no handover is open", "dim"),), ((hint, "dim"),))[: room.lines]
    lines = [*_phases(session, room), *flow(_facts(session, room), room.columns)]
    error = session.get("error")
    if isinstance(error, Mapping):
        text = f"{error.get('message', '')} [{error.get('code', '')}]"
        lines.insert(0, ((f"{room.marks.cross} {said(text)}", "bad"),))
        if room.whole:
            lines += [((one, ""),) for one in wrapped(said(error.get("hint", "")), room.columns)]
    if room.whole:
        lines += _all_phases(session, room)
    return tuple(lines[: room.lines])


def _reached(session: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(said(one.get("name", "")) for one in session.get("phases") or ())


def phases_of(session: Mapping[str, Any]) -> tuple[str, ...]:
    """All phases: those reached, then those to come in this mode."""
    reached = _reached(session)
    order = PHASES.get(str(session.get("mode")), PHASES["planned"])
    if session.get("outcome") is not None:
        return reached
    # A copy may see only some phases: those before the last one it saw will not come any more.
    passed = max((order.index(one) for one in reached if one in order), default=-1)
    return (*reached, *order[passed + 1 :])


def _phases(session: Mapping[str, Any], room: Room) -> tuple[Line, ...]:
    reached, outcome, marks = _reached(session), session.get("outcome"), room.marks
    done = outcome == "done"
    names = phases_of(session)
    current = None if outcome is not None or not reached else reached[-1]
    parts: list[Line] = []
    for name in names:
        if name == current:
            parts.append(((f"{marks.now} {name}", "accent"),))
        elif name in reached:
            parts.append(((marks.tick, "good"), (f" {name}", "")))
        else:
            parts.append(((f"{marks.todo} {name}", "dim"),))
    if room.columns >= SHORT_COLUMNS:
        return flow(parts, room.columns)
    ticks = marks.tick * sum(name in reached and name != current for name in names)
    rest = marks.todo * sum(name not in reached for name in names)
    where = said(outcome) if outcome is not None else current or "begun"
    style = "accent" if outcome is None else "good" if done else "bad"
    pointer = marks.now if outcome is None else ""
    head: Line = ((ticks, "good"), (pointer, "accent"), (rest, "dim"), (f" {where}", style))
    return ((*head, (f" ({len(reached)} of {len(names)})", "dim")),)


def _facts(session: Mapping[str, Any], room: Room) -> list[Line]:
    marks = room.marks
    outcome = session.get("outcome")
    parts: list[Line] = [
        ((f"{said(session.get('mode', ''))}, {said(session.get('side', ''))} copy", ""),),
        _pair(
            "epoch", f"{_of(session, 'epoch_before')} {marks.arrow} {_of(session, 'epoch_after')}"
        ),
        _share(session, "peers ready", "peers_ready", "peers_needed", room),
        _share(session, "shadow", "shadow_matches", "shadow_needed", room),
    ]
    if session.get("acts_height") is not None:
        parts.append(_pair("acts at", _of(session, "acts_height")))
    parts += [
        _counted(session, "missed ballots", "missed_ballots"),
        _counted(session, "extra rounds", "extra_rounds"),
    ]
    if session.get("seconds") is not None:
        parts.append(_pair("took" if outcome else "since", duration(1000 * session["seconds"])))
    if outcome is not None and room.columns >= SHORT_COLUMNS:
        style = "good" if outcome == "done" else "bad"
        mark = marks.tick if outcome == "done" else marks.cross
        parts.insert(0, ((f"{mark} {said(outcome)}", style),))
    parts = [part for part in parts if part]
    if session.get("waits_for"):
        parts.insert(1, (("waits for ", "dim"), (said(session["waits_for"]), "warn")))
    return parts


def _pair(name: str, value: str, style: str = "") -> Line:
    return ((f"{name} ", "dim"), (value, style))


def _of(session: Mapping[str, Any], key: str) -> str:
    value = session.get(key)
    return "-" if value is None else said(value)


def _share(session: Mapping[str, Any], name: str, have: str, need: str, room: Room) -> Line:
    """How many of how many; nothing where this copy cannot know."""
    got, needed = session.get(have), session.get(need)
    if got is None and needed is None:
        return ()
    enough = got is not None and needed is not None and got >= needed
    tick: tuple[Span, ...] = ((f" {room.marks.tick}", "good"),) if enough else ()
    return (*_pair(name, f"{_of(session, have)}/{_of(session, need)}"), *tick)


def _counted(session: Mapping[str, Any], name: str, key: str) -> Line:
    value = session.get(key)
    if value is None:
        return ()
    return _pair(name, _of(session, key), "warn" if value else "good" if value == 0 else "")


def _all_phases(session: Mapping[str, Any], room: Room) -> list[Line]:
    """Each phase with its height and time, then the keys and heights of the session."""
    lines: list[Line] = [(), (("phase            height  reached at    after", "dim"),)]
    times = {said(one.get("name", "")): one for one in session.get("phases") or ()}
    first_ms: int | None = None
    for name in phases_of(session):
        one = times.get(name)
        if one is None:
            lines.append(((f"{room.marks.todo} {name}", "dim"),))
            continue
        at_ms = one.get("reached_at_ms")
        first_ms = at_ms if first_ms is None else first_ms
        height = one.get("height")
        when = "-" if at_ms is None else clock(at_ms)
        after = "-" if at_ms is None or first_ms is None else duration(at_ms - first_ms)
        rest = f" {name:12} {'-' if height is None else height:>8}  {when:10} {after:>8}"
        lines.append(((room.marks.tick, "good"), (rest, "")))
    lines.append(())
    for key in ("session", "old_instance", "new_instance", "new_url", "reason"):
        lines.append(_pair(f"{key.replace('_', ' '):14}", _of(session, key) or "-"))
    for key in ("committed_height", "acts_height", "acknowledged_height", "returned_height"):
        lines.append(_pair(f"{key.removesuffix('_height'):14}", _of(session, key)))
    return lines
