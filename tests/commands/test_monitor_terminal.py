"""The monitor on a true terminal: keys, sizes, and a terminal that is given back as it was.

It plays a recording, so it needs no node; pyte draws what the program writes.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.commands.monitor_scenes import NOW_MS, picture, session, told
from tests.commands.monitor_terminal import Terminal, terminal
from zmqnode.commands.monitor_picture import NodePicture
from zmqnode.commands.monitor_record import recording

FRAMES = 3


def record(folder: Path) -> Path:
    """Three pictures, 100 ms apart; a handover opens in the second."""
    path = folder / "seen.jsonl"
    with recording(path, ("n0",), 250) as recorder:
        for number in range(FRAMES):
            body = told()
            body["node"]["height"] = 42 + number
            body["at_ms"] = NOW_MS + 100 * number
            if number:
                body["node"]["handover"] = session()
            node = picture(body).node
            assert isinstance(node, NodePicture)
            recorder.heard(NOW_MS + 100 * number, 0, node)
    return path


@contextmanager
def playing(
    folder: Path,
    *words: str,
    size: tuple[int, int] = (80, 24),
    variables: dict[str, str] | None = None,
) -> Iterator[Terminal]:
    path = record(folder)
    more = {"PWD": str(folder), **(variables or {})}
    with terminal("monitor", "--replay", str(path), *words, size=size, variables=more) as one:
        yield one


def test_keys_do_what_they_say_and_q_gives_the_terminal_back(tmp_path: Path) -> None:
    with playing(tmp_path) as one:
        one.until("replay, at its end")
        # The lines of a picture come one after the other: each is waited for.
        one.until("height 44")
        one.until("handover n0sas")
        one.press("?")
        one.until("this page")
        one.press("x")
        one.until("8 log")
        one.press("7")
        one.until(lambda: "8 log" not in one.text and "7 peers" in one.text)
        one.press("\x1b[B\x1b[B\r")
        one.until("peers: detail")
        one.until("n2sas")
        one.press("\x1b")
        one.until(lambda: "detail ──" not in one.text)
        one.press("\x1b")
        one.until("8 log")
        one.press("/n3")
        one.until("filter: n3_")
        one.press("\r")
        one.until("esc filter n3")
        one.press(" ")
        one.until("held, picture")
        one.press(" H")
        one.until("H needs: zmqnode monitor --control")
        one.press("s")
        one.until("saved zmqnode-monitor-")
        one.press("q")
        assert one.wait() == 0
        one.restored()
    stem = {path.suffix: path for path in tmp_path.glob("zmqnode-monitor-*")}
    assert sorted(stem) == [".json", ".svg", ".txt"]
    assert json.loads(stem[".json"].read_text())["nodes"][0]["snapshot"]["node"]["height"] == 44
    assert "height 44" in stem[".txt"].read_text()
    assert stem[".svg"].read_text().startswith("<svg")


def test_another_size_is_another_picture(tmp_path: Path) -> None:
    with playing(tmp_path, variables={"COLUMNS": "200", "LINES": "9"}) as one:
        one.until("at its end")
        one.resize(60, 16)
        one.until(lambda: "8 log" not in one.text and "1 suffrage" in one.text)
        one.until(lambda: len(one.text.splitlines()[0]) == 60)
        one.resize(160, 45)
        one.until("8 log")
        one.until(lambda: len(one.text.splitlines()[0]) == 160)
        one.resize(10, 2)
        one.until(lambda: one.text.startswith("height 44"))
        one.press("q")
        assert one.wait() == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_slow_terminal_gets_whole_pictures_whatever_interrupts_them(
    tmp_path: Path, unbuffered: str
) -> None:
    """Goal: no picture is broken off. Method: nobody reads until a write waits; then a new size."""
    with playing(tmp_path, variables={"PYTHONUNBUFFERED": unbuffered}) as one:
        one.until("at its end")
        one.until("q quit")
        waiting = -1
        while (now := one.unread()) != waiting:
            waiting = now
            for _ in range(8):
                one.press("1")
                time.sleep(0.06)  # Two keys at once would be one picture.
        one.resize(60, 16)
        one.until(lambda: one.text.startswith("╭─ zmqnode monitor "))
        one.until(lambda: {len(line) for line in one.text.splitlines()} == {60})
        one.press("q")
        assert one.wait() == 0
        one.restored()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 0)])
def test_a_signal_gives_the_terminal_back(tmp_path: Path, number: int, code: int) -> None:
    with playing(tmp_path) as one:
        one.until("at its end")
        os.kill(one.process.pid, number)
        assert one.wait() == code
        one.restored()
        assert b"Traceback" not in one.written


def test_ctrl_c_is_heard_as_ever(tmp_path: Path) -> None:
    with playing(tmp_path) as one:
        one.until("at its end")
        one.press("\x03")
        assert one.wait() == 0
        one.restored()


def test_a_fault_gives_the_terminal_back_and_is_told_there(tmp_path: Path) -> None:
    path = record(tmp_path)
    late = {"at_ms": NOW_MS + 1000, "node": 0, "set": {"uptime_ms": "long"}}
    path.write_text(path.read_text() + json.dumps(late) + "\n")
    with terminal("monitor", "--replay", str(path)) as one:
        one.until("replay")
        assert one.wait() == 2
        one.restored()
        assert "this line cannot be read" in one.text.replace("\n", "")


def test_no_color_means_no_colour(tmp_path: Path) -> None:
    coloured = re.compile(rb"\x1b\[[0-9;]*(3[0-9]|4[0-9]|9[0-9])[;m]")
    with playing(tmp_path, variables={"NO_COLOR": "1"}) as one:
        one.until("at its end")
        one.press("q")
        one.wait()
        assert coloured.search(one.written) is None
        assert "▸ replay, at its end" in one.written.decode()
    (tmp_path / "seen.jsonl").unlink()
    with playing(tmp_path) as one:
        one.until("at its end")
        assert coloured.search(one.written) is not None


@pytest.mark.parametrize(
    ("words", "variables"), [(("--ascii",), {}), ((), {"TERM": "vt100"})], ids=["option", "vt100"]
)
def test_a_terminal_of_ascii_gets_ascii(
    tmp_path: Path, words: tuple[str, ...], variables: dict[str, str]
) -> None:
    with playing(tmp_path, *words, variables=variables) as one:
        one.until("at its end")
        assert one.written.isascii()
        assert "+- zmqnode monitor" in one.text


def test_a_dumb_terminal_gets_text_once(tmp_path: Path) -> None:
    with playing(tmp_path, variables={"TERM": "dumb"}, size=(100, 50)) as one:
        assert one.wait() == 0
        assert b"\x1b" not in one.written
        assert one.written.isascii()
        assert "8 log" in one.text
        assert "--json streams" in one.text


def test_once_on_a_terminal_is_as_wide_as_it_is(tmp_path: Path) -> None:
    with playing(tmp_path, "--once", size=(100, 50)) as one:
        assert one.wait() == 0
        assert b"\x1b[?1049h" not in one.written
        lines = [line for line in one.text.splitlines() if line.startswith(("│", "╭", "├", "╰"))]
        assert {len(line) for line in lines} == {100}
