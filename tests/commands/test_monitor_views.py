"""The monitor's pictures: against golden ones, and what holds for all of them."""

from __future__ import annotations

import io
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.commands.golden_monitor import FOLDER, drawn, pictures, texts
from tests.commands.monitor_scenes import SCENES, picture, told
from zmqnode.commands.monitor_frame import frame
from zmqnode.commands.monitor_ink import ASCII, STYLES, UNICODE, Frame, cells, wrapped
from zmqnode.commands.monitor_layout import GIVE_WAY, NAMES
from zmqnode.commands.monitor_picture import amount, duration, sparkline
from zmqnode.commands.monitor_svg import BASE, HIGH, WIDE, svg
from zmqnode.commands.monitor_ui import first_ui

TEXTS, PICTURES = texts(), pictures()


@pytest.mark.parametrize("name", TEXTS)
def test_a_picture_is_the_golden_one(name: str) -> None:
    assert TEXTS[name]() == (FOLDER / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PICTURES)
def test_an_svg_is_the_golden_one(name: str) -> None:
    assert PICTURES[name]() == (FOLDER / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("scene", SCENES)
def test_an_svg_holds_every_word_at_its_column_and_frames_as_shapes(scene: str) -> None:
    """Goal: the same in every viewer. Method: the document is read back into rows of cells."""
    made = drawn(scene, 100, 30, UNICODE)
    root = ET.fromstring(svg(made, 100))
    rows = {one.get("y"): one for one in root.iter("{http://www.w3.org/2000/svg}text")}
    drawn_as_shapes = str.maketrans(dict.fromkeys("─│╭╮╰╯├┤┬┴┼▁▂▃▄▅▆▇█░", " "))
    for number, line in enumerate(made.text().splitlines()):
        words = line.translate(drawn_as_shapes).rstrip()
        read = ""
        for span in rows.pop(f"{round(number * HIGH + BASE, 2):g}", ()):
            read = read.ljust(round(float(span.get("x", "")) / WIDE)) + (span.text or "")
        assert read == words
    assert rows == {}


def test_no_golden_file_is_left_over() -> None:
    assert {path.name for path in Path(FOLDER).iterdir()} == {*TEXTS, *PICTURES}


@given(
    scene=st.sampled_from(sorted(SCENES)),
    columns=st.integers(1, 220),
    lines=st.integers(1, 70),
    marks=st.sampled_from([UNICODE, ASCII]),
    zoom=st.none() | st.sampled_from(NAMES),
    row=st.none() | st.integers(0, 9),
    detail=st.booleans(),
    help=st.booleans(),
    filter=st.sampled_from(["", "n1", "nothing at all"]),
)
def test_every_picture_fills_its_screen_exactly(
    scene: str, columns: int, lines: int, **where: object
) -> None:
    """Goal: no line wraps or is short, in any size and scene. Method: all at random."""
    marks = where.pop("marks")
    assert marks is UNICODE or marks is ASCII
    focus = where["zoom"] or "peers"
    made = drawn(scene, columns, lines, marks, focus=focus, **where)
    assert len(made.lines) <= lines
    assert {cells(line) for line in made.lines} <= {columns}
    if columns >= 24 and lines >= 6:
        assert len(made.lines) == lines
    assert all(style in STYLES for line in made.lines for _, style in line)
    if marks is ASCII:
        assert made.text().isascii()


def ansi(made: Frame, **options: object) -> str:
    console = Console(
        file=io.StringIO(),
        width=100,
        force_terminal=True,
        color_system="truecolor",
        _environ={},
        **options,  # type: ignore[arg-type]
    )
    with console.capture() as capture:
        console.print(made)
    return capture.get()


@pytest.mark.parametrize("scene", SCENES)
def test_without_colour_the_same_is_said(scene: str) -> None:
    made = drawn(scene, 100, 30, UNICODE)
    plain = ansi(made, no_color=True)
    assert re.search(r"\x1b\[[0-9;]*(3[0-9]|4[0-9]|9[0-9])m", plain) is None
    assert re.sub(r"\x1b\[[0-9;]*m", "", plain) == re.sub(r"\x1b\[[0-9;]*m", "", ansi(made))


def test_panels_give_way_in_one_order() -> None:
    """With every line less, the panels on the screen are those before, without one of the order."""
    there: list[str] = list(NAMES)
    for columns in (70, 80, 120, 160):
        there = list(NAMES)
        for lines in range(60, 7, -1):
            text = drawn("handover", columns, lines, UNICODE).text()
            shown = [
                name for at, name in enumerate(NAMES, 1) if re.search(rf"[ ▸]{at} {name}", text)
            ]
            gone = [name for name in there if name not in shown]
            assert [name for name in GIVE_WAY if name not in shown] == list(
                GIVE_WAY[: len(NAMES) - len(shown)]
            )
            assert set(shown) <= set(there), gone
            there = shown
        assert there == ["suffrage"]


def test_all_eight_panels_stand_on_the_smallest_common_terminal() -> None:
    text = drawn("handover", 80, 24, UNICODE).text()
    assert all(re.search(rf"[ ▸]{at} {name}", text) for at, name in enumerate(NAMES, 1))


def test_what_is_old_has_no_colours_and_says_its_age() -> None:
    made = drawn("lost", 80, 24, UNICODE)
    assert "▲ reconnecting, picture 7.4 s old" in made.text()
    body = made.lines[3:-1]
    assert {style for line in body for _, style in line} == {"old"}
    assert {style for line in made.lines[1:3] for _, style in line} == {"old", "rule", ""}
    assert {style for line in drawn("healthy", 80, 24, UNICODE).lines for _, style in line} > {
        "good"
    }


def test_texts_from_strangers_cannot_draw() -> None:
    body = told()
    body["log"][0]["text"] = "\x1b[2J\x1b]0;owned\x07 wide: 漢字 \u202e"
    body["node"]["network_id"] = "net\x1b[31m"
    body["node"]["suffrage"]["members"][1]["address"] = "evil\nsas"
    made = frame(picture(body), first_ui(), 100, 30, UNICODE)
    text = made.text()
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert text.count("\n") == 30
    assert {cells(line) for line in made.lines} == {100}


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1200, "1.2 s"),
        (59_000, "59 s"),
        (252_000, "4 m 12 s"),
        (3_840_000, "1 h 04 m"),
        (190_000_000, "2 d 4 h"),
    ],
)
def test_durations(ms: int, text: str) -> None:
    assert duration(ms) == text


def test_amounts_and_lines_of_levels() -> None:
    assert [amount(one) for one in (0, 412, 1200, 34_000_000)] == ["0", "412", "1.2 k", "34 M"]
    assert sparkline((0, 1, 240), UNICODE) == "·▁█"
    assert sparkline((), ASCII) == ""
    assert wrapped("one two  three", 5) == ("one", "two", "three") or wrapped("a b", 1) == (
        "a",
        "b",
    )
