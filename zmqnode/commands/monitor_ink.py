"""What the monitor draws with: spans of text with a named style, marks, lines and tables.

A line is a tuple of spans, a view a tuple of lines; both are plain values that tests compare. Rich
comes in at the very end, where :class:`Frame` turns names into styles. Every mark has an ASCII
twin, and every colour stands beside a mark or a word that says the same.

Widths are terminal cells, not characters: texts from outside may be wide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.style import Style

from zmqnode.commands.terminal import clean

Span = tuple[str, str]  # Text, name of a style.
Line = tuple[Span, ...]

STYLES: Final = {
    "": Style(),
    "dim": Style(dim=True),
    "title": Style(bold=True),
    "rule": Style(color="bright_black"),
    "good": Style(color="green"),
    "warn": Style(color="yellow", bold=True),
    "bad": Style(color="red", bold=True),
    "accent": Style(color="cyan"),
    "key": Style(color="cyan", bold=True),
    "chosen": Style(reverse=True),
    "old": Style(color="bright_black", dim=True),
}
NO_VALUE: Final = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The signs of one kind of terminal, one cell each; ``levels`` from empty to full."""

    up: str
    down: str
    tick: str
    cross: str
    now: str
    todo: str
    pointer: str
    warning: str
    hold: str
    more: str
    dot: str
    arrow: str
    levels: str
    none: str  # In a row of levels.
    full: str
    free: str
    across: str
    along: str
    corners: str  # Of the frame: top left, top right, bottom left, bottom right.
    joints: str  # Left edge, right edge; then downwards, upwards, both.


UNICODE: Final = Marks(
    up="●",
    down="○",
    tick="✓",
    cross="✗",
    now="▸",
    todo="·",
    pointer="▸",
    warning="▲",
    hold="‖",
    more="…",
    dot="·",
    arrow="→",
    levels=" ▁▂▃▄▅▆▇█",
    none="·",
    full="█",
    free="░",
    across="─",
    along="│",
    corners="╭╮╰╯",
    joints="├┤┬┴┼",
)
ASCII: Final = Marks(
    up="*",
    down="o",
    tick="+",
    cross="x",
    now=">",
    todo=".",
    pointer=">",
    warning="!",
    hold="=",
    more="~",
    dot="-",
    arrow=">",
    levels=" .:-=+*#@",
    none="_",
    full="#",
    free=".",
    across="-",
    along="|",
    corners="++++",
    joints="+++++",
)


def said(text: object) -> str:
    """A text from outside on one line, harmless to a terminal."""
    return clean(str(text)).replace("\n", " ").replace("\t", " ")


def cells(line: Iterable[Span]) -> int:
    """How wide a line is."""
    return sum(cell_len(text) for text, _ in line)


def fit(line: Line, columns: int, marks: Marks) -> Line:
    """The line exactly so wide: padded, or cut with a mark that says so."""
    missing = columns - cells(line)
    if missing == 0:
        return line
    if missing > 0:
        return (*line, (" " * missing, ""))
    kept: list[Span] = []
    left = columns - 1
    for text, style in line:
        wide = cell_len(text)
        if wide > left:
            if left > 0:
                kept.append((set_cell_size(text, left), style))
            break
        kept.append((text, style))
        left -= wide
    return (*kept, (marks.more, kept[-1][1] if kept else "")) if columns > 0 else ()


def spaced(parts: Iterable[Line], gap: str = "  ") -> Line:
    """Pieces of a line, some of which may be empty, with gaps between."""
    out: list[Span] = []
    for part in parts:
        if part:
            out += [(gap, ""), *part] if out else part
    return tuple(out)


def spread(left: Line, right: Line, columns: int, marks: Marks) -> Line:
    """One piece at each end of a line; the right one gives way if both do not fit."""
    free = columns - cells(left) - cells(right)
    return fit(left, columns, marks) if free < 2 else (*left, (" " * free, ""), *right)


def flow(parts: Sequence[Line], columns: int, gap: str = "  ") -> tuple[Line, ...]:
    """Pieces one after the other, on as many lines as they need; a piece is never broken."""
    lines: list[Line] = []
    current: list[Line] = []
    for part in parts:
        if current and cells(spaced([*current, part], gap)) > columns:
            lines.append(spaced(current, gap))
            current = []
        current.append(part)
    return (*lines, spaced(current, gap)) if current else tuple(lines)


def wrapped(text: str, columns: int) -> tuple[str, ...]:
    """A text on lines, broken between words where it can be."""
    out: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if cell_len(longer) <= columns:
                line = longer
                continue
            if line:
                out.append(line)
            while cell_len(word) > columns:
                out.append(word[:columns])
                word = word[columns:]
            line = word
        out.append(line)
    return tuple(out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table.

    Attributes:
        rank: which gives way first where the table is too wide: the highest; 0 never does.
        cells_max: wider cells are cut.
    """

    title: str
    right: bool = False
    rank: int = 0
    cells_max: int = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a table shows: cells by row, the row a person is at, and how many lines there are."""

    columns: Sequence[Column]
    cells: Sequence[Sequence[Span]]
    chosen: int | None = None
    lines: int | None = None  # With the heading; None: as many as it takes.


def table(rows: Rows, columns: int, marks: Marks) -> tuple[Line, ...]:
    """A heading and rows, in line; columns give way by rank, rows that do not fit are counted."""
    widths = _widths(rows)
    shown = _shown_columns(rows.columns, widths, columns)
    heading = _row(
        [(rows.columns[at].title, "dim") for at in shown], [rows.columns[at] for at in shown],
        [widths[at] for at in shown], marks,
    )  # fmt: skip
    out = [fit(heading, columns, marks)]
    first, last = window(
        len(rows.cells), rows.chosen, None if rows.lines is None else rows.lines - 1
    )
    for number in range(first, last):
        line = _row(
            [rows.cells[number][at] for at in shown], [rows.columns[at] for at in shown],
            [widths[at] for at in shown], marks,
        )  # fmt: skip
        line = fit(line, columns, marks)
        if number == rows.chosen:
            line = tuple((text, "chosen") for text, _ in line)
        out.append(line)
    left_out = len(rows.cells) - (last - first)
    if left_out:
        out[0] = _counted(out[0], left_out, columns, marks)
    return tuple(out)


def window(count: int, chosen: int | None, lines: int | None) -> tuple[int, int]:
    """Which of ``count`` rows are seen in so many lines; the chosen one always is."""
    if lines is None or count <= lines:
        return 0, count
    lines = max(0, lines)
    first = 0 if chosen is None else min(max(0, chosen - lines + 1), max(0, count - lines))
    return first, min(count, first + lines)


def _counted(heading: Line, left_out: int, columns: int, marks: Marks) -> Line:
    """The heading with a remark on rows that do not fit; left out where it would cover a title."""
    note = f"  {marks.more} {left_out} more"
    used = cell_len("".join(text for text, _ in heading).rstrip())
    if used + cell_len(note) > columns:
        return heading
    plain = "".join(text for text, _ in heading)[: columns - cell_len(note)]
    return ((plain, "dim"), (note, "dim"))


def _widths(rows: Rows) -> list[int]:
    out = []
    for at, column in enumerate(rows.columns):
        widest = max((cell_len(row[at][0]) for row in rows.cells), default=0)
        out.append(min(column.cells_max, max(widest, cell_len(column.title))))
    return out


def _shown_columns(columns: Sequence[Column], widths: Sequence[int], available: int) -> list[int]:
    shown = list(range(len(columns)))
    while shown and sum(widths[at] for at in shown) + 2 * (len(shown) - 1) > available:
        last = max(shown, key=lambda at: (columns[at].rank, at))
        if columns[last].rank == 0:
            break
        shown.remove(last)
    return shown


def _row(
    row: Sequence[Span], columns: Sequence[Column], widths: Sequence[int], marks: Marks
) -> Line:
    out: list[Span] = []
    for (text, style), column, width in zip(row, columns, widths, strict=True):
        if out:
            out.append(("  ", ""))
        wide = cell_len(text)
        if wide > width:
            out += fit(((text, style),), width, marks)
        elif column.right:
            out += [(" " * (width - wide), ""), (text, style)]
        else:
            out += [(text, style), (" " * (width - wide), "")]
    return tuple(out)


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole picture: lines of equal width, ready for a console of rich."""

    lines: tuple[Line, ...]

    def greyed(self) -> Frame:
        """The same without colours of its own: what was, not what is."""
        return Frame(tuple(tuple((text, "old") for text, _ in line) for line in self.lines))

    def text(self) -> str:
        """The picture as text alone, without blanks at the ends of lines."""
        return "\n".join("".join(part for part, _ in line).rstrip() for line in self.lines) + "\n"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        newline = Segment.line()
        for number, line in enumerate(self.lines):
            if number:
                yield newline
            for text, style in line:
                yield Segment(text, STYLES[style])
