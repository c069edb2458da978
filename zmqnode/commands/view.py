"""Renderables as pure functions of values: what an answer looks like to a person.

Nothing here reads, asks or prints. A text from outside is made safe by ``clean`` before it is
drawn.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from zmqnode.commands.terminal import clean

NOTHING: Final = "-"


def plain(values: Mapping[str, Any]) -> RenderableType:
    """Any answer: its keys in a column, lists of objects as tables below."""
    grid = pairs()
    tables: list[RenderableType] = []
    for key, value in values.items():
        if key.endswith("_ms") and key[:-3] in values:
            continue  # The same time stands there in words.
        rows = _rows(value)
        if rows is None:
            grid.add_row(key.replace("_", " "), text(value))
        elif rows:
            tables.append(table(rows, title=key.replace("_", " ")))
    return Group(grid, *tables) if tables else grid


def pairs() -> Table:
    """An empty grid of two columns: a name, a value."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def table(rows: Sequence[Mapping[str, Any]], *, title: str = "") -> Table:
    """Objects as rows; the columns are the keys of the first."""
    drawn = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    columns = [key for key in rows[0] if not (key.endswith("_ms") and key[:-3] in rows[0])]
    for key in columns:
        number = isinstance(rows[0][key], (int, float)) and not isinstance(rows[0][key], bool)
        drawn.add_column(
            key.replace("_", " "), justify="right" if number else "left", overflow="fold"
        )
    for row in rows:
        drawn.add_row(*(text(row.get(key)) for key in columns))
    return drawn


def text(value: object) -> Text:
    """One value, in one cell."""
    match value:
        case None:
            return Text(NOTHING, style="dim")
        case bool():
            return Text("yes" if value else "no", style="green" if value else "red")
        case bytes():
            return Text(base64.b64encode(value).decode())
        case Mapping():
            return Text(
                ", ".join(f"{clean(str(key))} {text(one).plain}" for key, one in value.items())
            )
        case list() | tuple():
            return Text("\n".join(text(one).plain for one in value) or NOTHING)
        case float():
            return Text(f"{value:.3f}".rstrip("0").rstrip("."))
        case _:
            return Text(clean(str(value)))


def _rows(value: object) -> list[Mapping[str, Any]] | None:
    """The objects of a list of objects; None for anything else."""
    if (
        isinstance(value, (list, tuple))
        and value
        and all(isinstance(one, Mapping) for one in value)
    ):
        return list(value)
    return None
