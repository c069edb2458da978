"""The pictures of the monitor that tests compare with: which there are, and writing them anew.

``python -m tests.commands.golden_monitor`` writes all of them; look at the difference before you
commit it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.commands.monitor_scenes import SCENES
from zmqnode.commands.monitor_frame import frame
from zmqnode.commands.monitor_ink import ASCII, UNICODE, Frame, Marks
from zmqnode.commands.monitor_svg import svg
from zmqnode.commands.monitor_ui import Ui, first_ui

FOLDER = Path(__file__).parent / "golden"
SIZES = ((80, 24), (100, 30), (160, 45))


def drawn(scene: str, columns: int, lines: int | None, marks: Marks, **ui: object) -> Frame:
    """A scene in a size; ``ui`` changes where the person is."""
    start = first_ui()
    state = Ui(**{**{name: getattr(start, name) for name in Ui.__slots__}, **ui})
    return frame(SCENES[scene](), state, columns, lines, marks)


def texts() -> dict[str, Callable[[], str]]:
    """File names and how each text is made."""
    found: dict[str, Callable[[], str]] = {}

    def add(name: str, make: Callable[[], Frame]) -> None:
        found[f"{name}.txt"] = lambda: make().text()

    for columns, lines in SIZES:
        for scene in SCENES:
            add(
                f"{scene}-{columns}",
                lambda scene=scene, c=columns, n=lines: drawn(scene, c, n, UNICODE),  # type: ignore[misc]
            )
        add(
            f"handover-{columns}-ascii",
            lambda c=columns, n=lines: drawn("handover", c, n, ASCII),  # type: ignore[misc]
        )
    for columns, lines in ((79, 24), (80, 23), (60, 16), (40, 12), (20, 5)):
        add(
            f"healthy-{columns}x{lines}",
            lambda c=columns, n=lines: drawn("healthy", c, n, UNICODE),  # type: ignore[misc]
        )
    for number, panel in enumerate(first_ui().panels, 1):
        add(
            f"zoom-{number}",
            lambda panel=panel: drawn("handover", 100, 36, UNICODE, zoom=panel, focus=panel),  # type: ignore[misc]
        )
    add("help", lambda: drawn("healthy", 80, 24, UNICODE, help=True))
    add("detail", lambda: drawn("one-down", 80, 24, UNICODE, row=3, detail=True))
    add("held", lambda: drawn("healthy", 80, 24, UNICODE, paused=True))
    add("asking", lambda: drawn("many", 80, 24, UNICODE, node=4, asking=True))
    return found


def pictures() -> dict[str, Callable[[], str]]:
    """The same for SVG."""
    return {
        "handover-100.svg": lambda: svg(drawn("handover", 100, 30, UNICODE), 100),
        "one-down-80.svg": lambda: svg(drawn("one-down", 80, 24, UNICODE), 80),
        "lost-80.svg": lambda: svg(drawn("lost", 80, 24, UNICODE), 80),
    }


def main() -> None:
    """Write every picture anew."""
    FOLDER.mkdir(exist_ok=True)
    for name, make in {**texts(), **pictures()}.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
