"""What is said besides the answer: to a person at a terminal, and to nobody else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from zmqnode.commands import guide

TALK = """
from zmqnode.commands import guide
with guide.progress(as_json={as_json}) as say:
    say("one of four")
    say("one of four")
    say("two of four")
print("the answer")
guide.next_step("zmqnode monitor", as_json={as_json})
"""


def heard(*, as_json: bool, term: str = "xterm") -> str:
    """What arrives at the terminal that is stderr; stdout is a pipe."""
    master, slave = pty.openpty()
    try:
        run = [sys.executable, "-c", TALK.format(as_json=as_json)]
        env = {**os.environ, "TERM": term}
        done = subprocess.run(
            run, stdout=subprocess.PIPE, stderr=slave, env=env, check=True, timeout=60
        )
        assert done.stdout == b"the answer\n"
        os.write(slave, b"END")
        said = b""
        while not said.endswith(b"END"):
            said += os.read(master, 4096)
        return said[: -len(b"END")].decode()
    finally:
        os.close(master)
        os.close(slave)


def test_a_person_sees_how_it_goes_once_a_change_and_what_is_next() -> None:
    said = heard(as_json=False)
    clear = "\r\x1b[2K"
    assert said == f"{clear}one of four{clear}two of four{clear}next: zmqnode monitor\r\n"


def test_a_dumb_terminal_gets_no_line_that_changes() -> None:
    assert heard(as_json=False, term="dumb") == "next: zmqnode monitor\r\n"


def test_json_is_for_programs() -> None:
    assert heard(as_json=True) == ""


def test_a_pipe_hears_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with guide.progress() as say:
        say("one of four")
    guide.next_step("zmqnode monitor")
    assert capsys.readouterr() == ("", "")
