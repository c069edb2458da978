"""Which panels a screen of some size shows, how large each is, and the frame around them.

Where there is too little room, panels leave in the order of ``GIVE_WAY`` until the rest has its
least number of lines; below 80 columns they stand one below the other. What is spare goes to the
panels that can use it, top first, and the rest to the lowest one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from zmqnode.commands import monitor_handover, monitor_members, monitor_panels
from zmqnode.commands.monitor_ink import Line, Marks, Span, fit, said
from zmqnode.commands.monitor_members import Listing
from zmqnode.commands.monitor_picture import Picture, Room

PAIR_COLUMNS: Final = 80  # From here on, panels stand side by side.
WIDE_COLUMNS: Final = 140
COLUMNS_MIN: Final = 24
LINES_MIN: Final = 6
GIVE_WAY: Final = ("log", "peers", "pool", "blocks", "handover", "ballots", "height")
STRETCH: Final = ("suffrage", "handover", "peers", "height", "ballots", "blocks", "pool", "log")
SCROLLED_LINES_MIN: Final = 5  # Of the suffrage: the heading and four members.

View = Callable[[Picture, Room], tuple[Line, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel.

    Attributes:
        number: its key.
        lines_min: with fewer it is of no use.
        rows: its rows, if a person can go through them.
    """

    number: int
    name: str
    view: View
    lines_min: int
    title: Callable[[Picture], str] | None = None
    rows: Callable[[Picture, Marks], Listing] | None = None


def _suffrage_rows(picture: Picture, marks: Marks) -> Listing:
    """With several nodes, these; the suffrage is then in the shown node's panel 1 zoomed."""
    if len(picture.nodes) > 1:
        return monitor_members.nodes(picture, marks)
    return monitor_members.suffrage(picture, marks)


def _suffrage(picture: Picture, room: Room) -> tuple[Line, ...]:
    if room.whole and len(picture.nodes) > 1:
        above = monitor_members.listed(_suffrage_rows(picture, room.marks), room)
        plain = Room(columns=room.columns, lines=None, marks=room.marks)
        below = monitor_members.listed(monitor_members.suffrage(picture, room.marks), plain)
        heading: Line = ((f"suffrage, as {said(picture.node.name)} sees it", "dim"),)
        return (*above, (), heading, *below)[: room.lines]
    return monitor_members.listed(_suffrage_rows(picture, room.marks), room)


def _suffrage_title(picture: Picture) -> str:
    if len(picture.nodes) > 1:
        heard = sum(one.snapshot is not None and not one.problem for one in picture.nodes)
        return f"nodes {heard}/{len(picture.nodes)} answer"
    snapshot = picture.node.snapshot
    assert snapshot is not None
    return f"suffrage {snapshot.node.suffrage.live}/{snapshot.node.suffrage.n} live"


def _peers_title(picture: Picture) -> str:
    snapshot = picture.node.snapshot
    assert snapshot is not None
    up = sum(peer.connected for peer in snapshot.peers)
    return f"peers {up}/{len(snapshot.peers)} up"


def _peers(picture: Picture, room: Room) -> tuple[Line, ...]:
    return monitor_members.listed(monitor_members.peers(picture, room.marks), room)


def _log(picture: Picture, room: Room) -> tuple[Line, ...]:
    return monitor_members.tail(monitor_members.log(picture, room.marks), room)


PANELS: Final = (
    Panel(
        number=1,
        name="suffrage",
        view=_suffrage,
        lines_min=SCROLLED_LINES_MIN,
        title=_suffrage_title,
        rows=_suffrage_rows,
    ),
    Panel(
        number=2,
        name="height",
        view=monitor_panels.height,
        lines_min=3,
        title=monitor_panels.height_title,
    ),
    Panel(number=3, name="blocks", view=monitor_panels.blocks, lines_min=2),
    Panel(number=4, name="ballots", view=monitor_panels.ballots, lines_min=3),
    Panel(
        number=5,
        name="handover",
        view=monitor_handover.handover,
        lines_min=3,
        title=monitor_handover.title,
    ),
    Panel(number=6, name="pool", view=monitor_panels.pool, lines_min=2),
    Panel(
        number=7,
        name="peers",
        view=_peers,
        lines_min=3,
        title=_peers_title,
        rows=monitor_members.peers,
    ),
    Panel(number=8, name="log", view=_log, lines_min=1, rows=monitor_members.log),
)
NAMES: Final = tuple(panel.name for panel in PANELS)
BY_NAME: Final = {panel.name: panel for panel in PANELS}

Plan = tuple[tuple[tuple[str, int], ...], ...]  # Bands from the top; each: panels, their shares.
WIDE: Final[Plan] = (
    (("suffrage", 9), ("height", 7)),
    (("ballots", 9), ("blocks", 7)),
    (("handover", 9), ("pool", 7)),
    (("peers", 1),),
    (("log", 1),),
)
PAIRS: Final[Plan] = (
    (("suffrage", 1),),
    (("height", 1), ("ballots", 1)),
    (("blocks", 1), ("pool", 1)),
    (("handover", 1), ("peers", 1)),
    (("log", 1),),
)
SINGLE: Final[Plan] = tuple(
    ((name, 1),)
    for name in ("suffrage", "height", "ballots", "handover", "blocks", "pool", "peers", "log")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A panel and its inner size."""

    panel: Panel
    columns: int
    lines: int | None


Band = tuple[Place, ...]


def plan_for(columns: int) -> Plan:
    """The arrangement for a width."""
    if columns < PAIR_COLUMNS:
        return SINGLE
    return PAIRS if columns < WIDE_COLUMNS else WIDE


def arrange(
    names: Sequence[str], columns: int, lines: int | None, wanted: Callable[[Place], int]
) -> tuple[Band, ...]:
    """Panels in bands that fill a screen exactly.

    Args:
        names: the panels a person wants.
        columns: of the screen, edges included.
        lines: for bands and their upper edges; None: each panel as long as it is.
        wanted: how many lines a panel could use at its width.
    """
    kept = [name for name in NAMES if name in names]
    leaving = [name for name in GIVE_WAY if name in kept]
    while True:
        bands = _bands(plan_for(columns), kept, columns)
        natural = [max(wanted(place) for place in band) for band in bands]
        if lines is None:
            return _sized(bands, natural)
        least = [
            min(most, max(place.panel.lines_min for place in band))
            for band, most in zip(bands, natural, strict=True)
        ]
        if sum(least) + len(bands) <= lines:
            return _sized(bands, _stretched(bands, least, natural, lines - len(bands)))
        if len(kept) == 1 or not leaving:
            return _sized(bands[:1], [max(1, lines - 1)])
        kept.remove(leaving.pop(0))


def _stretched(
    bands: Sequence[Band], least: Sequence[int], natural: Sequence[int], lines: int
) -> list[int]:
    """Spare lines to the bands that can use them, in the order of ``STRETCH``; the rest below."""
    given = list(least)
    spare = max(0, lines - sum(given))
    order = sorted(
        range(len(bands)),
        key=lambda at: min(STRETCH.index(place.panel.name) for place in bands[at]),
    )
    for at in order:
        more = min(spare, max(0, natural[at] - given[at]))
        given[at] += more
        spare -= more
    given[-1] += spare
    return given


def _bands(plan: Plan, kept: Sequence[str], columns: int) -> list[Band]:
    bands: list[Band] = []
    for row in plan:
        there = [(BY_NAME[name], share) for name, share in row if name in kept]
        if not there:
            continue
        # Edges: one at each side and between, each panel with a blank at both of its sides.
        inner = columns - 1 - 3 * len(there)
        shares = sum(share for _, share in there)
        widths = [inner * share // shares for _, share in there]
        widths[-1] += inner - sum(widths)
        bands.append(
            tuple(
                Place(panel=panel, columns=width, lines=None)
                for (panel, _), width in zip(there, widths, strict=True)
            )
        )
    return bands


def _sized(bands: Sequence[Band], heights: Sequence[int]) -> tuple[Band, ...]:
    return tuple(
        tuple(Place(panel=place.panel, columns=place.columns, lines=tall) for place in band)
        for band, tall in zip(bands, heights, strict=True)
    )


# The frame: edges are shared between neighbours.


@dataclass(frozen=True, slots=True, kw_only=True)
class Title:
    """A text set into an edge, from a column on."""

    at: int
    line: Line


def edge(
    columns: int, above: Sequence[int], below: Sequence[int], titles: Sequence[Title], marks: Marks
) -> Line:
    """A line across: joints where a border meets it from above or below, titles set into it.

    Args:
        above, below: columns of the borders between panels; the outer two are not among them.
    """
    down, up, both = marks.joints[2], marks.joints[3], marks.joints[4]
    signs = [marks.across] * columns
    for at in range(1, columns - 1):
        if at in above:
            signs[at] = both if at in below else up
        elif at in below:
            signs[at] = down
    out: list[Span] = []
    done = 0
    for title in sorted(titles, key=lambda one: one.at):
        room = columns - 2 - title.at
        line = title.line if cells_of(title.line) <= room else fit(title.line, room, marks)
        out.append(("".join(signs[done : title.at]), "rule"))
        out += line
        done = title.at + cells_of(line)
    out.append(("".join(signs[done:]), "rule"))
    return tuple(out)


def cells_of(line: Line) -> int:
    """Cells of a line."""
    from zmqnode.commands.monitor_ink import cells

    return cells(line)


def cornered(line: Line, first: str, last: str) -> Line:
    """An edge with its two ends set."""
    (head, style), (end, end_style) = line[0], line[-1]
    if len(line) == 1:
        return ((first + head[1:-1] + last, style),)
    return ((first + head[1:], style), *line[1:-1], (end[:-1] + last, end_style))


def sides(line: Line, columns: int, marks: Marks) -> Line:
    """A line of one panel over the whole width, between the outer borders."""
    border = (marks.along, "rule")
    return (border, (" ", ""), *fit(line, columns - 4, marks), (" ", ""), border)


def beside(parts: Sequence[Line], widths: Sequence[int], marks: Marks) -> Line:
    """One line of each panel of a band, with borders."""
    border = (marks.along, "rule")
    out: list[Span] = [border]
    for line, width in zip(parts, widths, strict=True):
        out += [(" ", ""), *fit(line, width, marks), (" ", ""), border]
    return tuple(out)


def borders(band: Band) -> tuple[int, ...]:
    """The columns of the borders between a band's panels."""
    at, found = 0, []
    for place in band[:-1]:
        at += place.columns + 3
        found.append(at)
    return tuple(found)
