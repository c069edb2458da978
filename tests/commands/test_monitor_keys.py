"""Keys: from bytes to names, and from names to where the person is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.commands.monitor_scenes import SCENES, healthy, lost, many
from zmqnode.commands.monitor_ink import UNICODE
from zmqnode.commands.monitor_keys import KeyDecoder
from zmqnode.commands.monitor_layout import NAMES
from zmqnode.commands.monitor_picture import Picture
from zmqnode.commands.monitor_ui import FILTER_CHARS_MAX, Ui, first_ui, press

KEYS = (
    *("q", "?", "space", "tab", "back-tab", "1", "5", "8", "up", "down", "left", "right", "enter"),
    *("/", "escape", "backspace", "s", "H", "y", "n", "page-up", "page-down", "home", "end", "é"),
)


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"q", ["q"]),
        (b" \t\r\n\x7f", ["space", "tab", "enter", "enter", "backspace"]),
        (b"\x1b[A\x1bOB\x1b[C\x1b[D", ["up", "down", "right", "left"]),
        (b"\x1b[5~\x1b[6~\x1b[H\x1b[F\x1b[Z", ["page-up", "page-down", "home", "end", "back-tab"]),
        ("é漢".encode(), ["é", "漢"]),
        (b"\x1b[1;5Aq", ["q"]),
        (b"\x01\x02q", ["q"]),
        (b"\xff\xfeq", ["q"]),
        (b"\x1bx", ["escape", "x"]),
    ],
)
def test_keys_of_bytes_however_they_are_cut(data: bytes, keys: list[str]) -> None:
    assert KeyDecoder().feed(data) == keys
    one = KeyDecoder()
    assert [key for byte in data for key in one.feed(bytes([byte]))] == keys


def test_an_escape_alone_is_the_escape_key_once_nothing_follows() -> None:
    decoder = KeyDecoder()
    assert (decoder.feed(b"\x1b"), decoder.waits) == ([], True)
    assert (decoder.flush(), decoder.waits) == (["escape"], False)
    assert decoder.feed(b"\x1b[") == []
    assert decoder.flush() == []


@given(st.lists(st.binary(max_size=40)))
def test_no_bytes_break_the_reader_and_little_is_held(pieces: list[bytes]) -> None:
    decoder = KeyDecoder()
    for piece in pieces:
        for key in decoder.feed(piece):
            assert key.isprintable()
        assert len(decoder._held) <= 16
    assert decoder.feed(b"\x1b" + b"[" * 40 + b"A") is not None


def after(*keys: str, ui: Ui | None = None, seen: Picture | None = None) -> Ui:
    state = ui or first_ui()
    for key in keys:
        state = press(state, key, seen or healthy(), UNICODE)
    return state


@given(st.lists(st.sampled_from(KEYS), max_size=40), st.sampled_from(sorted(SCENES)))
def test_any_keys_lead_somewhere(keys: list[str], scene: str) -> None:
    """Goal: no key breaks the monitor. Method: any keys, in every scene."""
    state = after(*keys, ui=first_ui(control=True), seen=SCENES[scene]())
    assert state.focus in state.panels
    assert state.zoom in (None, *NAMES)
    assert len(state.filter) <= FILTER_CHARS_MAX


def test_zoom_and_back() -> None:
    assert after("7").zoom == "peers"
    assert after("7", "7").zoom is None
    assert after("7", "escape").zoom is None
    assert after("7", "tab").zoom == "log"
    assert after("tab", "back-tab").focus == "suffrage"
    assert (
        after("3", ui=first_ui(("peers", "log"))).note == "the panel blocks is left out by --panel"
    )


def test_rows_details_and_filter() -> None:
    assert after("down", "down", "down", "down", "down", "down").row == 3
    assert after("end", "up").row == 2
    opened = after("down", "down", "enter")
    assert (opened.detail, opened.row) == (True, 1)
    assert not after("enter", "escape").detail
    typed = after("7", "/", "n", "2", "q")
    assert (typed.filter, typed.typing, typed.action) == ("n2q", True, "")
    assert after("backspace", "enter", ui=typed).filter == "n2"
    assert after("escape", ui=typed).filter == ""
    assert after("end", ui=replace(typed, filter="n2", typing=False)).row == 0
    assert len(after("/", *"x" * 99).filter) == FILTER_CHARS_MAX
    assert after("2", "enter").zoom is None
    assert after("8", "up").row == 1, "the log's end is where one begins"


def test_arrows_change_the_node_where_there_are_several() -> None:
    assert after("right", seen=many()).node == 1
    assert after("left", seen=many()).node == 4
    assert after("right").focus == "height"


def test_quit_save_help_and_hold() -> None:
    assert after("q").action == "quit"
    assert after("s").action == "save"
    assert after("s", "x").action == ""
    assert after("?").help
    assert not after("?", "x").help
    assert after("?", "q").action == "quit"
    assert after("space").paused
    assert not after("space", "space").paused


def test_a_handover_is_begun_after_asking_alone() -> None:
    control = first_ui(control=True)
    standby = replace(many(), current=4)
    assert after("H", "y", seen=standby).action == ""
    assert "--control" in after("H", seen=standby).note
    asked = after("H", ui=control, seen=standby)
    assert asked.asking
    assert after("y", ui=asked, seen=standby).action == "handover"
    for key in ("n", "enter", "escape", "H", "q"):
        left = after(key, ui=asked, seen=standby)
        assert (left.asking, left.action) == (False, "")
    assert "votes already" in after("H", ui=control).note
    assert "old picture" in after("H", ui=control, seen=lost()).note
