"""Panels without rows: the current height, the ballots in it, the blocks behind it, the pool.

Each is a function of a picture and the room it has; it gives at most so many lines, the most
important first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from zmqnode.commands.monitor_ink import NO_VALUE, Line, Marks, Span, cells, flow, said, spaced
from zmqnode.commands.monitor_picture import (
    Picture,
    Room,
    amount,
    bar,
    duration,
    plural,
    rate,
    sparkline,
)

if TYPE_CHECKING:
    from zmqnode.client.feed_answers import Snapshot, StageInfo

BAR_CELLS_MAX: Final = 30
BAR_CELLS_MIN: Final = 4
ROOMY_COLUMNS: Final = 60  # From here on a panel says more than the most important.
CHART_LINES_MAX: Final = 12
WAITS: Final = {
    "idle": "idle",
    "proposing": "awaits proposal",
    "init": "voting INIT",
    "executing": "executing",
    "accept": "voting ACCEPT",
}


def _snapshot(picture: Picture) -> Snapshot:
    snapshot = picture.node.snapshot
    assert snapshot is not None, "views are asked only when there is a snapshot"
    return snapshot


def _cut(lines: tuple[Line, ...], room: Room) -> tuple[Line, ...]:
    return lines if room.lines is None else lines[: room.lines]


def label(name: str, value: str, style: str = "") -> Line:
    """A dim name before its value."""
    return ((f"{name} ", "dim"), (value, style))


# The current height.


def height_title(picture: Picture) -> str:
    """What the height's panel is called."""
    return f"height {_snapshot(picture).node.height + 1}"


def height(picture: Picture, room: Room) -> tuple[Line, ...]:
    """Round, leader, what it waits for, how long each stage took or takes, the block before."""
    snapshot = _snapshot(picture)
    node = snapshot.node
    lines: list[Line] = []
    if snapshot.rounds:
        now = max(0, snapshot.rounds - 1)
        leader = snapshot.leader
        who = (
            "self" if leader == node.address and node.role == "active" else said(leader or "nobody")
        )
        lines.append(
            spaced(
                (
                    label("round", str(now), "warn" if now else ""),
                    label("leader", who),
                    ((WAITS.get(snapshot.round_state, said(snapshot.round_state)), "accent"),),
                )
            )
        )
        lines += flow(_stage_times(snapshot, room), room.columns)
    else:
        text = f"takes no part: {said(node.state)}, {said(node.role)}"
        lines.append(((text, "warn" if node.state == "BROKEN" else "dim"),))
        if node.lag_blocks:
            lines.append(label("behind by", plural(node.lag_blocks, "block"), "warn"))
    lines.append(_block_before(snapshot, room))
    if room.columns >= ROOMY_COLUMNS and not room.whole:
        lines.append(
            spaced(
                (
                    label("own last ballot", _last_ballot(snapshot)),
                    label("ignored ballots", str(node.ignored_ballots)),
                    label("evidence", str(node.evidence), "warn" if node.evidence else ""),
                )
            )
        )
    if room.whole:
        lines += _more_of_height(snapshot)
    return _cut(tuple(lines), room)


def _stage_times(snapshot: Snapshot, room: Room) -> list[Line]:
    """INIT took .., ACCEPT takes ..; what has not begun is only named."""
    since = {stage.stage: stage.since_ms for stage in snapshot.stages}
    votes = {stage.stage: stage for stage in snapshot.stages}
    accepting = snapshot.round_state in ("executing", "accept") or since.get("ACCEPT", 0) > 0
    init, accept = since.get("INIT", 0), since.get("ACCEPT", 0)
    marks = room.marks
    out: list[Line] = []
    if accepting:
        took = duration(max(0, init - accept))
        out.append(((f"{marks.tick} ", "good"), ("INIT ", ""), (took, "")))
        out.append(((f"{marks.now} ", "accent"), ("ACCEPT ", ""), (duration(accept), "accent")))
    elif snapshot.round_state == "idle":
        out.append(((f"{marks.todo} ", "dim"), ("INIT", "dim")))
        out.append(((f"{marks.todo} ", "dim"), ("ACCEPT", "dim")))
    else:
        out.append(((f"{marks.now} ", "accent"), ("INIT ", ""), (duration(init), "accent")))
        out.append(((f"{marks.todo} ", "dim"), ("ACCEPT", "dim")))
    draw = votes.get("DRAW")
    if draw is not None and draw.votes:
        text = f"DRAW {draw.votes}/{draw.needed}"
        out.append(((f"{marks.warning} ", "warn"), (text, "warn")))
    return out


def _block_before(snapshot: Snapshot, room: Room) -> Line:
    node = snapshot.node
    digits = 8 if room.columns < ROOMY_COLUMNS else 16
    block: Line = (
        ("block ", "dim"),
        (str(node.height), ""),
        (f" {node.block_hash[:digits]}", "dim"),
    )
    if node.proposed_at_ms is None:
        return (*block, (" genesis", "dim"))
    ago = duration(max(0, snapshot.at_ms - node.proposed_at_ms))
    return (*block, (f" {ago} ago", ""))


def _last_ballot(snapshot: Snapshot) -> str:
    ballot = snapshot.node.last_ballot
    if ballot is None:
        return "none"
    draw = " (draw)" if ballot.draw else ""
    return f"{said(ballot.stage)} {ballot.height}.{ballot.round}{draw}"


def _more_of_height(snapshot: Snapshot) -> list[Line]:
    node = snapshot.node
    lines = [
        (),
        label("own last ballot   ", _last_ballot(snapshot)),
        label("block hash        ", node.block_hash),
        label("state root        ", node.state_root),
        label("ignored ballots   ", str(node.ignored_ballots)),
        label("evidence          ", str(node.evidence)),
        (),
        (("parameters of the chain", "dim"),),
    ]
    lines += [label(f"  {said(key):28}", said(value)) for key, value in node.params.items()]
    return lines


# Ballots.


def ballots(picture: Picture, room: Room) -> tuple[Line, ...]:
    """For each stage: how many of the quorum's ballots are here, and since when it collects."""
    snapshot = _snapshot(picture)
    if not snapshot.stages:
        return ((("takes no part in a vote", "dim"),),)
    n = snapshot.node.suffrage.n
    lines = [_stage(stage, n, room) for stage in snapshot.stages]
    if room.whole:
        lines += [(), *_voters(snapshot, room)]
    return _cut(tuple(lines), room)


def _stage(stage: StageInfo, n: int, room: Room) -> Line:
    marks, reached = room.marks, stage.votes >= stage.needed
    if reached:
        mark: Span = (marks.tick, "good")
    elif stage.votes:
        mark = (marks.now, "accent")
    else:
        mark = (marks.todo, "dim")
    text = f"{stage.votes}/{n}"
    note = f"quorum {stage.needed}" if reached else f"needs {stage.needed - stage.votes}"
    since = duration(stage.since_ms) if stage.since_ms else ""
    head: Line = (mark, (f" {stage.stage:6} ", "" if stage.votes else "dim"))
    tail: Line = (
        (f" {text:>{2 * len(str(n)) + 1}}  ", ""),
        (f"{note:9} ", "good" if reached else "dim"),
        (f"{since:>7}", "dim"),
    )
    return (
        *head,
        *_votes_bar(stage, n, room.columns - cells(head) - cells(tail) - 1, marks),
        *tail,
    )


def _votes_bar(stage: StageInfo, n: int, columns: int, marks: Marks) -> Line:
    """The votes as a bar in which a member is a step, cut where the quorum is."""
    step = min(BAR_CELLS_MAX, columns) // max(1, n)
    if step == 0:
        wide = min(BAR_CELLS_MAX, columns)
        return bar(stage.votes / n if n else 0.0, wide, marks) if wide >= BAR_CELLS_MIN else ()
    full, needed = step * min(stage.votes, n), step * min(stage.needed, n)
    cells_ = marks.full * full + marks.free * (step * n - full)
    before, after = min(full, needed), max(0, full - needed)
    return (
        (cells_[:before], "accent"),
        (cells_[before:needed], "rule"),
        (marks.along, "title"),
        (cells_[needed : needed + after], "accent"),
        (cells_[needed + after :], "rule"),
    )


def _voters(snapshot: Snapshot, room: Room) -> list[Line]:
    """Who is heard in the current height, by stage."""
    at = snapshot.node.height + 1
    lines: list[Line] = [(("heard in this height (address: INIT ACCEPT)", "dim"),)]
    for member in snapshot.node.suffrage.members:
        votes = snapshot.votes.get(member.address)
        spans: list[Span] = [(f"{said(member.address):16} ", "")]
        for vote in (None, None) if votes is None else (votes.init, votes.accept):
            heard = vote is not None and vote.height >= at
            mark = room.marks.tick if heard else room.marks.todo
            round_ = f"{mark} round {vote.round}" if vote is not None and heard else mark
            spans.append((f"{round_:10} ", "good" if heard else "dim"))
        lines.append(tuple(spans))
    return lines


# Blocks.


def blocks(picture: Picture, room: Room) -> tuple[Line, ...]:
    """Intervals between blocks, and blocks per minute over the last half hour."""
    snapshot = _snapshot(picture)
    pace, minutes = snapshot.blocks, tuple(snapshot.minutes)
    known = pace.interval_p50_ms > 0
    numbers = flow(
        (
            label("p50", duration(pace.interval_p50_ms) if known else NO_VALUE),
            label("p99", duration(pace.interval_p99_ms) if known else NO_VALUE),
            ((f"{pace.per_minute:.0f}", ""), ("/min", "dim")),
        ),
        room.columns,
    )
    if room.whole:
        return _cut((*numbers, (), *_chart(minutes, room)), room)
    top = max(minutes, default=0)
    free = room.columns - len(f"  {len(minutes)} min, max {top}")
    kept = minutes[-max(1, free) :]
    wide = 2 if free >= 2 * len(kept) else 1
    drawn = "".join(sign * wide for sign in sparkline(kept, room.marks))
    line = spaced((((drawn, "accent"),), ((f"{len(kept)} min, max {top}", "dim"),)))
    return _cut((*numbers, line), room)


def _chart(minutes: tuple[int, ...], room: Room) -> list[Line]:
    """Bars several lines high."""
    top = max(minutes, default=0)
    tall = min(CHART_LINES_MAX, CHART_LINES_MAX if room.lines is None else room.lines - 4)
    wide = 2 if room.columns >= 2 * len(minutes) + 8 else 1
    steps = len(room.marks.levels) - 1
    lines: list[Line] = []
    for level in range(max(1, tall) - 1, -1, -1):
        spans = []
        for value in minutes:
            filled = -(-value * tall * steps // top) - level * steps if top else 0
            spans.append(room.marks.levels[min(steps, max(0, filled))] * wide)
        axis = f"{top:>5} " if level == tall - 1 else f"{0:>5} " if level == 0 else " " * 6
        lines.append(((axis, "dim"), ("".join(spans), "accent")))
    lines.append(((f"{'':6}{'-30 min':{wide * len(minutes) - 3}}now", "dim"),))
    return lines


# The pool.


def pool(picture: Picture, room: Room) -> tuple[Line, ...]:
    """Seals that wait, how many come and go, and what was refused since the start."""
    pool_ = _snapshot(picture).pool
    size = f"{amount(pool_.bytes)}B" if pool_.bytes >= 1000 else f"{pool_.bytes} B"
    parts: list[Line] = [
        ((plural(pool_.seals, "seal"), ""),),
        ((plural(pool_.operations, "op"), ""),),
        ((size, ""),),
        label("in", rate(pool_.in_per_s)),
        label("out", rate(pool_.out_per_s)),
    ]
    refused = sorted(pool_.refused.items(), key=lambda one: (-one[1], one[0]))
    if room.whole:
        lines = [*flow(parts, room.columns), ()]
        lines.append((("refused since the start, by reason", "dim"),))
        lines += [((f"{count:>10}  ", "warn"), (said(code), "")) for code, count in refused]
        return _cut((*lines, *(() if refused else ((("    nothing", "dim"),),))), room)
    if refused:
        parts.append(label("refused", str(sum(count for _, count in refused)), "warn"))
        parts += [((f"{said(code)} {count}", ""),) for code, count in refused]
    else:
        parts.append((("refused none", "dim"),))
    return _cut(flow(parts, room.columns), room)
