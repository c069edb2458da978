"""``sim run`` and ``sim replay``: keys and exit codes word for word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.sim import mutants
from zmqnode.commands.main import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Traces go to the current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one object on stdout."""
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_a_run_says_what_came_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sim", "run", "--seeds", "3..5", "--heights", "6", "--faults", "loss,crash", "--json"]
    assert main(words) == 0
    said = answer(capsys)
    assert list(said) == [
        "v",
        "ok",
        "first_seed",
        "last_seed",
        "passed",
        "failed",
        "handovers",
        "digest",
        "seconds",
        "seeds_per_hour",
    ]
    assert said["ok"] is True
    assert (said["first_seed"], said["last_seed"], said["passed"]) == (3, 5, 3)
    assert len(said["digest"]) == 64
    assert main(words) == 0
    assert answer(capsys)["digest"] == said["digest"]


def test_a_failing_seed_leaves_a_trace_that_fails_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutants._no_r3(lambda owner, name, new: monkeypatch.setattr(owner, name, new))
    assert main(["sim", "run", "--seeds", "9", "--heights", "3", "--faults", "none", "--json"]) == 1
    said = answer(capsys)
    assert said["ok"] is False
    assert said["passed"] == 0
    (failed,) = said["failed"]
    assert set(failed) == {"seed", "checker", "height", "message", "trace"}
    assert main(["sim", "replay", failed["trace"], "--json"]) == 1
    again = answer(capsys)
    assert list(again) == ["v", "ok", "seed", "checker", "height", "message", "digest"]
    for key in ("seed", "checker", "height", "message"):
        assert again[key] == failed[key]


def test_a_run_counts_the_handovers_of_its_chains(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "run", "--seeds", "0..5", "--faults", "handover", "--json"]) == 0
    assert answer(capsys)["handovers"] >= 5


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["run", "--faults", "quake"], "usage"),
        (["run", "--nodes", "26"], "usage"),
        (["replay", "nothing.json"], "file_missing"),
    ],
)
def test_what_cannot_be_run_is_refused(
    words: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sim", *words, "--json"]) == 2
    assert answer(capsys)["error"]["code"] == code


@pytest.mark.parametrize("text", ["", "x", "5..3", "1..", "-1..3"])
def test_what_is_no_range_of_seeds_is_a_usage_error(text: str) -> None:
    assert main(["sim", "run", "--seeds", text]) == 2


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"v":1,"plan":{"seed":"x"}}', "\x00"])
def test_what_is_no_trace_is_refused(
    content: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "t.json").write_text(content)
    assert main(["sim", "replay", "t.json", "--json"]) == 2
    assert answer(capsys)["error"]["code"] == "usage"
