"""What a key does: the monitor's state as a value, and one function from a key to the next state.

Nothing here acts. A key that wants something done (quit, save, hand over) leaves a word in
``action``, and the screen does it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from zmqnode.commands.monitor_ink import Marks
from zmqnode.commands.monitor_layout import BY_NAME, NAMES, PANELS
from zmqnode.commands.monitor_picture import Picture

FILTER_CHARS_MAX: Final = 64
PAGE_ROWS: Final = 10
QUIT: Final = "quit"
SAVE: Final = "save"
HANDOVER: Final = "handover"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ui:
    """Where a person is in the monitor.

    Attributes:
        panels: those that were asked for.
        control: whether H may start a handover.
        row: the chosen row of the focused panel; None: none yet.
        zoom: the panel that has the screen, if one has.
        typing: whether keys go into the filter.
        asking: whether a handover waits for y or n.
        action: what the last key wants done; the screen does it and clears it.
        note: a line for the person, in the place of the keys.
    """

    panels: tuple[str, ...] = NAMES
    control: bool = False
    focus: str = "suffrage"
    row: int | None = None
    zoom: str | None = None
    detail: bool = False
    filter: str = ""
    typing: bool = False
    paused: bool = False
    help: bool = False
    asking: bool = False
    node: int = 0
    action: str = ""
    note: str = ""


def first_ui(panels: tuple[str, ...] = NAMES, *, control: bool = False) -> Ui:
    """The state at the start; the panel with the focus is the first that is shown."""
    shown = tuple(name for name in NAMES if name in panels)
    return Ui(panels=shown, control=control, focus=shown[0])


def press(ui: Ui, key: str, picture: Picture, marks: Marks) -> Ui:
    """The state after a key. Keys without a meaning change nothing."""
    ui = replace(ui, note="", action="")
    if ui.asking:
        return replace(ui, asking=False, action=HANDOVER if key in ("y", "Y") else "")
    if ui.typing:
        return _typed(ui, key)
    if key == "q":
        return replace(ui, action=QUIT)
    if ui.help:
        return replace(ui, help=False)
    match key:
        case "?":
            return replace(ui, help=True)
        case "space":
            return replace(ui, paused=not ui.paused)
        case "s":
            return replace(ui, action=SAVE)
        case "/":
            return replace(ui, typing=True, filter="", row=None)
        case "H":
            return _hand_over(ui, picture)
        case "escape" | "backspace":
            return _back(ui)
        case _:
            return _moved(ui, key, picture, marks)


def _typed(ui: Ui, key: str) -> Ui:
    match key:
        case "enter":
            return replace(ui, typing=False)
        case "escape":
            return replace(ui, typing=False, filter="")
        case "backspace":
            return replace(ui, filter=ui.filter[:-1])
        case "space":
            key = " "
    if len(key) != 1 or len(ui.filter) >= FILTER_CHARS_MAX:
        return ui
    return replace(ui, filter=ui.filter + key, row=None)


def _hand_over(ui: Ui, picture: Picture) -> Ui:
    if not ui.control:
        return replace(ui, note="H needs: zmqnode monitor --control")
    snapshot = picture.node.snapshot
    if snapshot is None or picture.old or ui.paused:
        return replace(ui, note="no handover on an old picture")
    if snapshot.node.role == "active":
        text = "this copy votes already; watch the standby: monitor -t STANDBY --control"
        return replace(ui, note=text)
    return replace(ui, asking=True)


def _back(ui: Ui) -> Ui:
    """One step out: of the detail page, the zoom, the filter."""
    if ui.detail:
        return replace(ui, detail=False)
    if ui.zoom is not None:
        return replace(ui, zoom=None)
    return replace(ui, filter="", row=None)


def _moved(ui: Ui, key: str, picture: Picture, marks: Marks) -> Ui:
    match key:
        case "tab":
            return _focused(ui, 1)
        case "back-tab":
            return _focused(ui, -1)
        case "right" | "left":
            step = 1 if key == "right" else -1
            if len(picture.nodes) == 1:
                return _focused(ui, step)
            return replace(ui, node=(ui.node + step) % len(picture.nodes), row=None, detail=False)
        case "up" | "down" | "page-up" | "page-down" | "home" | "end":
            return _row(ui, key, rows_of(ui, picture, marks))
        case "enter":
            return _opened(ui, rows_of(ui, picture, marks))
        case _ if len(key) == 1 and key in "12345678":
            return _zoomed(ui, PANELS[int(key) - 1].name)
        case _:
            return ui


def rows_of(ui: Ui, picture: Picture, marks: Marks) -> int:
    """How many rows the focused panel has for a person to go through; 0: it has none."""
    rows = BY_NAME[ui.focus].rows
    if rows is None or picture.node.snapshot is None:
        return 0
    return len(rows(picture, marks).matching(ui.filter).entries)


def _focused(ui: Ui, step: int) -> Ui:
    at = ui.panels.index(ui.focus)
    name = ui.panels[(at + step) % len(ui.panels)]
    zoom = None if ui.zoom is None else name
    return replace(ui, focus=name, zoom=zoom, row=None, detail=False)


def _zoomed(ui: Ui, name: str) -> Ui:
    if name not in ui.panels:
        return replace(ui, note=f"the panel {name} is left out by --panel")
    zoom = None if ui.zoom == name else name
    return replace(ui, focus=name, zoom=zoom, row=None, detail=False)


def _row(ui: Ui, key: str, count: int) -> Ui:
    if count == 0:
        return ui
    last = count - 1
    if ui.row is None and ui.focus != "log":
        return replace(ui, row=last if key == "end" else 0)
    at = last if ui.row is None else min(ui.row, last)
    steps = {
        "up": at - 1,
        "down": at + 1,
        "page-up": at - PAGE_ROWS,
        "page-down": at + PAGE_ROWS,
        "home": 0,
        "end": last,
    }
    return replace(ui, row=min(last, max(0, steps[key])))


def _opened(ui: Ui, count: int) -> Ui:
    if ui.detail:
        return replace(ui, detail=False)
    if count == 0:
        return _zoomed(ui, ui.focus) if BY_NAME[ui.focus].rows is None else ui
    row = ui.row if ui.row is not None else count - 1 if ui.focus == "log" else 0
    return replace(ui, detail=True, row=row)
