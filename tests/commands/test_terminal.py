"""The terminal: streams, exit codes, JSON, and what happens when something breaks."""

from __future__ import annotations

import enum
import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from zmqnode.base.keys import PrivateKey
from zmqnode.commands import terminal, view
from zmqnode.commands.main import main
from zmqnode.commands.options import parse_time_ms
from zmqnode.errors import (
    Broken,
    Invalid,
    Refused,
    TimedOut,
    Undecided,
    Unreachable,
    ZmqnodeError,
)

KEY = PrivateKey(bytes(range(32))).text()


def raising(error: BaseException) -> Any:
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("kind", "exit_code"),
    [(Refused, 1), (Invalid, 2), (Unreachable, 3), (Undecided, 4), (TimedOut, 5), (Broken, 10)],
)
def test_an_error_has_two_forms_and_one_exit_code(
    kind: type[ZmqnodeError], exit_code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    error = kind("some_code", "it went wrong", hint="do this", height=3)
    assert terminal.run(raising(error), ["x"]) == exit_code
    assert capsys.readouterr() == ("", "error: it went wrong [some_code]\nhint: do this\n")
    assert terminal.run(raising(error), ["x", "--json"]) == exit_code
    out, err = capsys.readouterr()
    assert err == ""
    assert out == (
        '{"v":1,"error":{"code":"some_code","message":"it went wrong","hint":"do this",'
        '"details":{"height":3}}}\n'
    )


def test_a_word_after_two_dashes_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.run(raising(Refused("c", "m")), ["x", "--", "--json"])
    assert capsys.readouterr() == ("", "error: m [c]\n")


def test_a_key_in_an_error_is_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["x"], ["x", "--json"]):
        terminal.run(raising(Invalid("usage", f"no such thing: {KEY}", what=KEY)), words)
        shown = "".join(capsys.readouterr())
        assert "no such thing" in shown
        assert KEY[:12] not in shown


def test_text_from_strangers_cannot_draw_on_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal.fail(Refused("c", "a\x1b[2Jb\u202ec\rd"), as_json=False)
    assert capsys.readouterr().err == "error: a\\x1b[2Jb\\u202ec\\rd [c]\n"


def test_a_bug_is_a_report_and_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    words = ["node", "run", KEY, "--json"]
    assert terminal.run(raising(KeyError(f"lost {KEY}")), words) == 70
    out, err = capsys.readouterr()
    assert err == ""
    error = json.loads(out)["error"]
    assert error["code"] == "bug"
    report = Path(error["details"]["report"])
    assert report.parent == tmp_path
    assert report.stat().st_mode & 0o077 == 0
    text = report.read_text()
    assert "Traceback" in text
    assert "KeyError: 'lost (a private key, not shown)'" in text
    assert KEY[:12] not in text


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied", "dir/x"),
        NotADirectoryError(errno.ENOTDIR, "Not a directory", "dir/x"),
        OSError(errno.ENAMETOOLONG, "File name too long", "dir/x"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_a_file_that_cannot_be_used_is_no_bug(
    error: OSError, capsys: pytest.CaptureFixture[str]
) -> None:
    assert terminal.run(raising(error), ["x"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    message, hint = err.splitlines()
    assert error.strerror in message
    assert message.endswith("[file_missing]")
    assert error.filename is None or error.filename in message
    assert hint.startswith("hint: ")


def test_a_current_folder_that_is_gone_is_no_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["testnet", "status"]) == 2
    assert "the current folder is gone [file_missing]" in capsys.readouterr().err


def test_an_os_error_without_a_file_is_a_bug(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert terminal.run(raising(OSError(errno.EBADF, "Bad file descriptor")), ["x"]) == 70


@pytest.mark.parametrize("words", ["version", "version --json", "--help", "config check --json"])
def test_an_answer_that_finds_no_room_is_an_error_and_no_traceback(
    words: str, tmp_path: Path
) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "zmqnode", *words.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=tmp_path,
        )
    assert done.returncode == 2, done.stderr
    message, hint = done.stderr.splitlines()
    assert message.endswith("[file_missing]")
    assert ("No space left on device" in message) or "config" in words
    assert hint.startswith("hint: ")


@pytest.mark.parametrize(("closed", "code"), [("1>&-", 0), ("2>&-", 0), ("1>&- 2>&-", 0)])
def test_a_closed_stream_takes_nothing_and_hinders_nothing(closed: str, code: int) -> None:
    words = f"{sys.executable} -m zmqnode"
    done = subprocess.run(f"{words} version {closed}", shell=True, check=False)
    assert done.returncode == code
    refused = subprocess.run(f"{words} nosuch {closed}", shell=True, check=False)
    assert refused.returncode == 2


def test_who_stops_listening_to_progress_does_not_end_the_command() -> None:
    code = (
        "from zmqnode.commands import terminal\n"
        "def work():\n"
        "    for _ in range(3): terminal.note('progress')\n"
        "    terminal.line('the answer')\n"
        "    return 7\n"
        "raise SystemExit(terminal.run(work, []))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=writer, text=True, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stdout) == (7, "the answer\n")


def test_ctrl_c_ends_a_wait_and_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def waiting() -> int:
        with terminal.detaching("zmqnode handover status --watch"):
            raise KeyboardInterrupt

    assert terminal.run(waiting, []) == 130
    message = "detached; if a handover was begun, it goes on: zmqnode handover status --watch\n"
    assert capsys.readouterr() == ("", message)


def test_ctrl_c_is_the_proper_end_of_a_stream() -> None:
    with pytest.raises(typer.Exit) as caught, terminal.streaming():
        raise KeyboardInterrupt
    assert caught.value.exit_code == 0


class Colour(enum.Enum):
    RED = "red"


class Thing:
    def json(self) -> dict[str, object]:
        return {"ok": True, "raw": b"\x00\xff", "colour": Colour.RED, "path": Path("/x")}


def test_json_is_one_line_with_the_version_first(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.show(Thing(), as_json=True)
    expected = '{"v":1,"ok":true,"raw":"AP8=","colour":"red","path":"/x"}\n'
    assert capsys.readouterr().out == expected
    terminal.show({"text": "a\nb\u2028é", "v": 9}, as_json=True)
    assert capsys.readouterr().out == '{"v":1,"text":"a\\nb\\u2028\\u00e9"}\n'


@pytest.mark.parametrize("as_json", [True, False])
def test_an_answer_no_ends_with_its_exit_code(as_json: bool) -> None:
    terminal.show({"ok": True}, as_json=as_json)
    with pytest.raises(typer.Exit) as caught:
        terminal.show({"ok": False}, as_json=as_json)
    assert caught.value.exit_code == 1
    with pytest.raises(typer.Exit) as caught:
        terminal.show({"ok": False}, as_json=as_json, failed=2)
    assert caught.value.exit_code == 2


def test_the_plain_text_of_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    answer = {
        "ok": True,
        "height": 42,
        "x_at": "2026-11-23T12:04:31.120Z",
        "x_at_ms": 1795435471120,
        "handover": None,
        "reason": "[red]x\x1b[0m",
        "nodes": [{"name": "n0", "lag": 1}, {"name": "n1", "lag": 20}],
    }
    terminal.show(answer)
    assert capsys.readouterr().out == (
        "ok        yes\n"
        "height    42\n"
        "x at      2026-11-23T12:04:31.120Z\n"
        "handover  -\n"
        "reason    [red]x\\x1b[0m\n"
        "nodes\n"
        "\n"
        " name   lag\n"
        " ──────────\n"
        " n0       1\n"
        " n1      20\n"
        "\n"
    )


def test_a_renderer_of_its_own_gets_the_answer_itself(capsys: pytest.CaptureFixture[str]) -> None:
    thing = Thing()
    seen: list[object] = []

    def panel(answer: object) -> str:
        seen.append(answer)
        return "drawn"

    terminal.show(thing, as_panel=panel)
    assert seen == [thing]
    assert capsys.readouterr().out == "drawn\n"


def test_an_answer_survives_a_terminal_without_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    terminal.line("é")
    assert raw.getvalue() == b"\\xe9\n"


def test_values_that_have_no_json_form_are_a_bug() -> None:
    with pytest.raises(TypeError, match="object has no JSON form"):
        terminal.json_line({"x": object()})


@pytest.mark.parametrize(
    ("text", "ms"),
    [("500ms", 500), ("5s", 5000), ("2m", 120_000), ("3", 3000), ("0.5", 500), ("1.5s", 1500)],
)
def test_times(text: str, ms: int) -> None:
    assert parse_time_ms(text) == ms


@pytest.mark.parametrize("text", ["", "0", "-1", "1h", "s", "1 s", "1e3", "999999999", "٣"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_time_ms(text)


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        (["nonsense"], "No such command 'nonsense'", "zmqnode --help"),
        (["key"], "Missing command", "zmqnode key --help"),
        (["key", "nwe"], "Did you mean 'new'?", "zmqnode key --help"),
        (["key", "show", "--x"], "No such option", "zmqnode key show --help"),
        (["key", "show"], "Missing argument", "zmqnode key show --help"),
        (["key", "show", "-", "more", "--json"], "unexpected extra", "zmqnode key show --help"),
        (["--nope"], "No such option", "zmqnode --help"),
    ],
)
def test_what_the_parser_refuses_is_plain_text(
    words: list[str], said: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert err.endswith(f"[usage]\nhint: {hint}\n")


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"], ["key", "-h"], ["key", "new", "--help"]])
def test_help_is_everywhere(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Usage: zmqnode")
    assert err == ""


def test_a_reader_that_leaves_ends_the_command_quietly() -> None:
    code = "from zmqnode.commands.main import main; raise SystemExit(main(['config', 'schema']))"
    run = [sys.executable, "-c", "import time; time.sleep(0.2)\n" + code]
    with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == b""


def test_sigterm_ends_with_143_after_the_cleaning_up(tmp_path: Path) -> None:
    code = (
        "import os, signal, time\n"
        "from zmqnode.commands import terminal\n"
        "def wait():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(30)\n"
        "    finally:\n"
        "        print('cleaned')\n"
        "    return 0\n"
        "raise SystemExit(terminal.run(wait, []))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (143, "cleaned\n", "")


def test_cells_show_every_kind_of_value() -> None:
    shown = {
        "-": None,
        "yes": True,
        "no": False,
        "3": 3,
        "0.25": 0.25,
        "AP8=": b"\x00\xff",
        "a\nb": ["a", "b"],
        "seals 2, bytes 3": {"seals": 2, "bytes": 3},
    }
    assert {view.text(value).plain: value for value in shown.values()} == shown
    assert view.text([]).plain == "-"
