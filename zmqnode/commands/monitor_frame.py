"""The whole picture: header, panels or the page over them, keys; a pure function of values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from zmqnode.commands.monitor_ink import (
    Frame,
    Line,
    Marks,
    Span,
    cells,
    fit,
    flow,
    said,
    spread,
    wrapped,
)
from zmqnode.commands.monitor_layout import (
    BY_NAME,
    COLUMNS_MIN,
    LINES_MIN,
    Band,
    Place,
    Title,
    arrange,
    beside,
    borders,
    cornered,
    edge,
    sides,
)
from zmqnode.commands.monitor_panels import label
from zmqnode.commands.monitor_picture import Picture, Room, clock, duration
from zmqnode.commands.monitor_ui import Ui

if TYPE_CHECKING:
    from zmqnode.client.feed_answers import Snapshot

HELP: Final = (
    ("q", "quit"),
    ("?", "this page"),
    ("space", "hold the picture, and let it go on"),
    ("tab", "next panel (shift-tab: the one before)"),
    ("1 - 8", "one panel alone, and back"),
    ("up, down", "through the rows of the panel with the pointer"),
    ("left, right", "the node shown (with --all), else the panel"),
    ("enter", "all about a row; a panel without rows alone"),
    ("escape", "back, one step"),
    ("/", "only rows with a text (enter keeps it, escape ends it)"),
    ("s", "save this picture: SVG, text and JSON, in the current folder"),
    ("H", "hand over to the copy shown, after asking (with --control)"),
)
KEYS: Final = (
    ("q", "quit"),
    ("?", "help"),
    ("space", "hold"),
    ("tab", "panel"),
    ("1-8", "zoom"),
    ("enter", "detail"),
    ("/", "filter"),
    ("s", "save"),
)
DETAIL_NAME_CELLS: Final = 16


def frame(
    picture: Picture, ui: Ui, columns: int, lines: int | None, marks: Marks, *, keys: bool = True
) -> Frame:
    """One picture.

    Args:
        columns, lines: of the screen; lines None: as many as it takes, for text.
        keys: whether the lower edge tells the keys, and a pointer the focus.
    """
    picture = replace(picture, current=min(ui.node, len(picture.nodes) - 1))
    snapshot = picture.node.snapshot
    if columns < COLUMNS_MIN or (lines is not None and lines < LINES_MIN):
        return _tiny(picture, columns, lines or 1, marks)
    head = [] if snapshot is None else header(picture, columns - 4, marks)
    left = None if lines is None else lines - 2 - len(head)
    if left is not None and left < 3:
        head, left = head[: max(0, len(head) - (3 - left))], 3
    out = [cornered(_top(picture, ui, columns, marks), *marks.corners[:2])]
    if picture.old or ui.paused:
        head = _greyed(head)  # It was so; it need not be so now.
    out += [sides(line, columns, marks) for line in head]
    if snapshot is None:
        page = _waiting(picture, columns - 4)
        body = _page("", page, columns, left, marks, joined=bool(head))
        out += body
        inner: tuple[int, ...] = ()
    elif ui.help:
        out += _page("keys", _help(), columns, left, marks)
        inner = ()
    elif ui.detail:
        out += _page(
            f"{ui.focus}: detail", _detail(picture, ui, columns - 4, marks), columns, left, marks
        )
        inner = ()
    else:
        body, inner = _panels(picture, ui, columns, left, marks, pointer=keys)
        out += _greyed(body) if picture.old or ui.paused else body
    out.append(cornered(_bottom(ui, columns, inner, marks, keys=keys), *marks.corners[2:]))
    return Frame(tuple(out))


def _greyed(lines: list[Line]) -> list[Line]:
    return list(Frame(tuple(lines)).greyed().lines)


# The header.


def header(picture: Picture, columns: int, marks: Marks) -> list[Line]:
    """Two lines: who and how long, where and how safe; a third one if there is trouble."""
    snapshot = picture.node.snapshot
    assert snapshot is not None
    node = snapshot.node
    state_style = {"CONSENSUS": "good", "BROKEN": "bad", "HANDOVER": "warn"}.get(
        node.state, "accent"
    )
    name = said(picture.node.name)
    own: Span = (said(node.address), "title")
    who: Line = (
        *(((f"{name} ", "dim"),) if name and name != node.address else ()),
        own,
        (f"  {said(node.role)} ", ""),
        (said(node.state), state_style),
        (f"  epoch {node.epoch}", ""),
    )
    up: Line = (
        ("up ", "dim"),
        (duration(snapshot.uptime_ms), ""),
        (f"  zmqnode {said(node.version)}  {said(node.app.name)} {node.app.version}", "dim"),
    )
    lines = [
        spread(who, up, columns, marks),
        spread(_safety(snapshot, marks), _when(snapshot), columns, marks),
    ]
    trouble = _trouble(snapshot, marks)
    return [*lines, fit(trouble, columns, marks)] if trouble else lines


def _safety(snapshot: Snapshot, marks: Marks) -> Line:
    node = snapshot.node
    suffrage = node.suffrage
    mark, style = (marks.tick, "good") if suffrage.margin > 0 else (marks.warning, "warn")
    if suffrage.margin < 0:
        mark, style = marks.cross, "bad"
    return (
        ("height ", "dim"),
        (str(node.height), "title"),
        ("  lag ", "dim"),
        (str(node.lag_blocks), "warn" if node.lag_blocks > 5 else ""),
        ("  quorum ", "dim"),
        (f"{suffrage.q} of {suffrage.n}", ""),
        ("  live ", "dim"),
        (str(suffrage.live), ""),
        ("  margin ", "dim"),
        (f"{suffrage.margin} {mark}", style),
    )


def _when(snapshot: Snapshot) -> Line:
    return ((f"{clock(snapshot.at_ms)} UTC", "dim"),)


def _trouble(snapshot: Snapshot, marks: Marks) -> Line:
    node = snapshot.node
    if node.broken is not None:
        text = f"{marks.cross} BROKEN: {said(node.broken.cause)}; {said(node.broken.way_out)}"
        return ((text, "bad"),)
    if node.split:
        groups = ", ".join(
            f"{key[:8]}: {' '.join(map(said, who))}" for key, who in node.split.items()
        )
        return ((f"{marks.warning} results differ: {groups}", "bad"),)
    if node.suffrage.margin < 0:
        missing = -node.suffrage.margin
        text = f"{marks.cross} no quorum: {missing} more of the members must come back"
        return ((text, "bad"),)
    if node.evidence:
        text = f"{marks.warning} {node.evidence} signed two ballots for one stage: zmqnode events"
        return ((text, "warn"),)
    return ()


# Edges.


def _top(picture: Picture, ui: Ui, columns: int, marks: Marks) -> Line:
    snapshot = picture.node.snapshot
    network = "" if snapshot is None else said(snapshot.node.network_id)
    left: Line = ((" zmqnode monitor ", "title"), (f"{network} " if network else "", ""))
    right = _status(picture, ui, marks)
    titles = [Title(at=2, line=left)]
    at = columns - 2 - cells(right)
    if at > 2 + cells(left):
        titles.append(Title(at=at, line=right))
    elif columns - 2 - cells(right) > 2:
        titles = [Title(at=columns - 2 - cells(right), line=right)]
    return edge(columns, (), (), titles, marks)


def _status(picture: Picture, ui: Ui, marks: Marks) -> Line:
    age = f"picture {duration(picture.age_ms)} old"
    if picture.node.snapshot is None:
        return ((f" {marks.warning} no picture yet ", "warn"),)
    if ui.paused:
        return ((f" {marks.hold} held, {age} ", "warn"),)
    if picture.node.problem:
        return ((f" {marks.warning} reconnecting, {age} ", "warn"),)
    if picture.old:
        return ((f" {marks.warning} {age} ", "warn"),)
    if picture.source:
        return ((f" {marks.now} {picture.source} ", "accent"),)
    return ((f" {marks.up} live ", "good"),)


def _bottom(ui: Ui, columns: int, above: tuple[int, ...], marks: Marks, *, keys: bool) -> Line:
    if not keys:
        return edge(columns, above, (), (), marks)
    if ui.asking:
        text: Line = ((" hand the address over to this copy now? y / n ", "warn"),)
    elif ui.typing:
        text = ((" filter: ", "key"), (f"{ui.filter}_ ", "title"))
    elif ui.note:
        text = ((f" {ui.note} ", "warn"),)
    else:
        text = _keys(ui, columns - 4)
    return edge(columns, above, (), [Title(at=2, line=text)], marks)


def _keys(ui: Ui, columns: int) -> Line:
    offered = list(KEYS)
    if ui.filter:
        offered.insert(0, ("esc", f"filter {ui.filter}"))
    if ui.control:
        offered.append(("H", "hand over"))
    out: list[Span] = [(" ", "")]
    for key, what in offered:
        part: Line = ((key, "key"), (f" {what} ", ""), (" ", ""))
        if cells(out) + cells(part) > columns:
            break
        out += part
    return tuple(out[:-1])


# Between the edges.


def _panels(
    picture: Picture, ui: Ui, columns: int, lines: int | None, marks: Marks, *, pointer: bool
) -> tuple[list[Line], tuple[int, ...]]:
    names = ui.panels if ui.zoom is None else (ui.zoom,)

    def drawn(place: Place, limit: int | None) -> tuple[Line, ...]:
        return place.panel.view(picture, _room(place, ui, limit, marks))

    bands = arrange(names, columns, lines, lambda place: max(1, len(drawn(place, None))))
    out: list[Line] = []
    above: tuple[int, ...] = ()
    for band in bands:
        below = borders(band)
        out.append(_titled(picture, ui.focus if pointer else "", columns, above, band, marks))
        parts = [drawn(place, place.lines) for place in band]
        tall = band[0].lines or 0
        for at in range(tall):
            row = [part[at] if at < len(part) else () for part in parts]
            out.append(beside(row, [place.columns for place in band], marks))
        above = below
    return out, above


def _room(place: Place, ui: Ui, lines: int | None, marks: Marks) -> Room:
    focused = place.panel.name == ui.focus
    return Room(
        columns=place.columns,
        lines=lines,
        marks=marks,
        chosen=ui.row if focused else None,
        filter=ui.filter if focused else "",
        whole=ui.zoom is not None or len(ui.panels) == 1,
    )


def _titled(
    picture: Picture, focus: str, columns: int, above: tuple[int, ...], band: Band, marks: Marks
) -> Line:
    titles = []
    for start, place in zip((0, *borders(band)), band, strict=True):
        panel = place.panel
        name = panel.name if panel.title is None else panel.title(picture)
        focused = panel.name == focus
        pointer: Line = ((marks.pointer, "key"),) if focused else ((" ", ""),)
        line: Line = (
            *pointer,
            (str(panel.number), "key"),
            (f" {name} ", "title" if focused else ""),
        )
        room = place.columns
        titles.append(
            Title(at=start + 2, line=line if cells(line) <= room else fit(line, room, marks))
        )
    return _ended(edge(columns, above, borders(band), titles, marks), marks)


def _ended(line: Line, marks: Marks) -> Line:
    return cornered(line, marks.joints[0], marks.joints[1])


def _page(
    title: str,
    page: list[Line],
    columns: int,
    lines: int | None,
    marks: Marks,
    *,
    joined: bool = True,
) -> list[Line]:
    """A page over all panels."""
    titles = [Title(at=2, line=((f" {title} ", "title"),))] if title else []
    tall = len(page) if lines is None else max(0, lines - 1)
    out = [_ended(edge(columns, (), (), titles, marks), marks)] if joined else []
    tall += 0 if joined else 1
    padded = [*page[:tall], *([()] * (tall - len(page)))]
    return out + [sides(line, columns, marks) for line in padded]


def _help() -> list[Line]:
    return [((f"{key:>12}  ", "key"), (what, "")) for key, what in HELP]


def _detail(picture: Picture, ui: Ui, columns: int, marks: Marks) -> list[Line]:
    rows = BY_NAME[ui.focus].rows
    entries = () if rows is None else rows(picture, marks).matching(ui.filter).entries
    if not entries:
        return [(("this row is gone", "dim"),)]
    out: list[Line] = []
    for name, value in entries[min(ui.row or 0, len(entries) - 1)].detail:
        first = f"{name:{DETAIL_NAME_CELLS}}"
        for text in wrapped(value, max(8, columns - DETAIL_NAME_CELLS)):
            out.append(((first, "dim"), (text, "")))
            first = " " * DETAIL_NAME_CELLS
    return out


def _waiting(picture: Picture, columns: int) -> list[Line]:
    node = picture.node
    lines: list[Line] = [(), ((f"no picture of {said(node.name)} yet", "title"),), ()]
    if node.problem:
        lines += [((text, "warn"),) for text in wrapped(said(node.problem), columns)]
        lines.append((("asking again", "dim"),))
    return lines


def _tiny(picture: Picture, columns: int, lines: int, marks: Marks) -> Frame:
    snapshot = picture.node.snapshot
    if snapshot is None:
        parts: list[Line] = [(("no picture yet", "warn"),)]
    else:
        node = snapshot.node
        style = "good" if node.state == "CONSENSUS" else "warn"
        parts = [
            label("height", str(node.height)),
            ((said(node.state), style),),
            label("live", f"{node.suffrage.live}/{node.suffrage.n}"),
        ]
        if picture.old:
            parts.insert(0, ((f"{marks.warning} {duration(picture.age_ms)} old", "warn"),))
    shown = flow(parts, columns)[:lines]
    return Frame(tuple(fit(line, columns, marks) for line in shown))
