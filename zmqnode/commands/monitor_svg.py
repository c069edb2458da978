"""Pictures of the monitor as SVG files: for the documentation, and for the key s.

The same frame that the terminal shows. Words are placed by their column one by one, and lines,
bars and frames are drawn as shapes: fonts differ in the width of a cell and in what they make of
box-drawing characters, and viewers in what they make of blanks. The picture names no font to load
from elsewhere; it shows as it is without a network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import Final

from rich.cells import cell_len

from zmqnode.commands.monitor_ink import UNICODE, Frame, Line

WIDE: Final = 8.4  # Of a cell: what most fixed-width fonts have at this size.
HIGH: Final = 18.0
FONT: Final = 14
BASE: Final = 13.2  # From the top of a cell to the foot of its letters.
EDGE: Final = 14.0  # Around the picture.
GAP: Final = 1.5  # Above and below a bar, so that two of them are two.

GROUND: Final = "#101418"
TEXT: Final = "#d6dbe0"
INK: Final = {
    "": TEXT,
    "dim": "#8a949e",
    "title": "#ffffff",
    "rule": "#4c5662",
    "good": "#7fc878",
    "warn": "#e6b450",
    "bad": "#f07178",
    "accent": "#5ac8d2",
    "key": "#5ac8d2",
    "chosen": GROUND,
    "old": "#5c6670",
}
BOLD: Final = ("title", "warn", "bad", "key")
LEVELS: Final = len(UNICODE.levels) - 1

# Which edges of its cell a line reaches from the middle.
_REACH: Final = {
    UNICODE.across: "lr",
    UNICODE.along: "ud",
    **dict(zip(UNICODE.joints, ("udr", "udl", "lrd", "lru", "lrud"), strict=True)),
}
_BEND: Final = dict(zip(UNICODE.corners, ("rd", "ld", "ru", "lu"), strict=True))
_SHAPES: Final = {*_REACH, *_BEND, *UNICODE.levels[1:], UNICODE.free}
_RUN: Final = re.compile(r"\S+(?: \S+)*")


def svg(frame: Frame, columns: int, *, title: str = "zmqnode monitor") -> str:
    """A frame as an SVG document; the same frame gives the same text."""
    wide = columns * WIDE + 2 * EDGE
    high = len(frame.lines) * HIGH + 2 * EDGE
    drawn = [part for number, line in enumerate(frame.lines) for part in _line(line, number)]
    ink = "\n".join(
        f".{name or 'plain'}{{fill:{colour}}}path.{name or 'plain'}{{fill:none;stroke:{colour}}}"
        + (f"tspan.{name}{{font-weight:bold}}" if name in BOLD else "")
        for name, colour in INK.items()
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(wide)} {_n(high)}" role="img">',
        f"<title>{escape(title, quote=False)}</title>",
        f"<style>text{{font:{FONT}px monospace}}\n{ink}",
        "path{stroke-width:1.2}.free{opacity:.3}</style>",
        f'<rect width="{_n(wide)}" height="{_n(high)}" rx="8" fill="{GROUND}"/>',
        f'<g transform="translate({_n(EDGE)} {_n(EDGE)})">',
        *drawn,
        "</g>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _line(line: Line, number: int) -> Iterator[str]:
    """The shapes of a line of cells, then its words."""
    top, column = number * HIGH, 0
    words: list[str] = []
    for text, style in line:
        width = cell_len(text)
        name = style or "plain"
        if style == "chosen":
            yield _rect(column, top, width, HIGH, "plain")
        yield from _shapes(text, column, top, name)
        bare = "".join(" " * cell_len(sign) if sign in _SHAPES else sign for sign in text)
        for run in _RUN.finditer(bare):
            start = column + cell_len(bare[: run.start()])
            long = cell_len(run[0]) * WIDE
            words.append(
                f'<tspan class="{name}" x="{_n(start * WIDE)}" textLength="{_n(long)}"'
                f' lengthAdjust="spacingAndGlyphs">{escape(run[0], quote=False)}</tspan>'
            )
        column += width
    if words:
        yield f'<text y="{_n(top + BASE)}">{"".join(words)}</text>'


def _shapes(text: str, column: int, top: float, name: str) -> Iterator[str]:
    """Frames as one path, bars as rectangles; what is alike and side by side in one piece."""
    path: list[str] = []
    for run in re.finditer(r"(.)\1*", text):
        sign, count = run[1], len(run[0])
        at = column + cell_len(text[: run.start()])
        if sign in _REACH or sign in _BEND:
            path += _strokes(sign, at, count, top)
        elif sign == UNICODE.free:
            yield _rect(at, top + GAP, count, HIGH - 2 * GAP, f"{name} free")
        elif sign in UNICODE.levels[1:]:
            part = (HIGH - 2 * GAP) * UNICODE.levels.index(sign) / LEVELS
            yield _rect(at, top + HIGH - GAP - part, count, part, name)
    if path:
        yield f'<path class="{name}" d="{"".join(path)}"/>'


def _strokes(sign: str, at: int, count: int, top: float) -> Iterator[str]:
    """The lines of a run of one box-drawing character."""
    left, right = at * WIDE, (at + count) * WIDE
    middle = top + HIGH / 2
    if sign == UNICODE.across:
        yield f"M{_n(left)} {_n(middle)}H{_n(right)}"
        return
    for cell in range(at, at + count):
        left, right, centre = cell * WIDE, (cell + 1) * WIDE, (cell + 0.5) * WIDE
        ends = {"l": left, "r": right, "u": top, "d": top + HIGH}
        if sign in _BEND:
            side, end = ends[_BEND[sign][0]], ends[_BEND[sign][1]]
            corner = f"{_n(centre)} {_n(middle)}"
            yield f"M{_n(side)} {_n(middle)}Q{corner} {_n(centre)} {_n(end)}"
            continue
        for way in _REACH[sign]:
            yield f"M{_n(centre)} {_n(middle)}{'H' if way in 'lr' else 'V'}{_n(ends[way])}"


def _rect(column: int, top: float, cells: int, high: float, name: str) -> str:
    return (
        f'<rect class="{name}" x="{_n(column * WIDE)}" y="{_n(top)}"'
        f' width="{_n(cells * WIDE)}" height="{_n(high)}"/>'
    )


def _n(value: float) -> str:
    """A number of the picture, short."""
    return f"{round(value, 2):g}" if value < 1000 else f"{round(value, 1)}".removesuffix(".0")
