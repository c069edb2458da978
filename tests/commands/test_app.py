"""``zmqnode app new`` and ``zmqnode app check``, from the words typed to the exit code."""

import json
from pathlib import Path

import pytest

from zmqnode.commands.main import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_new_then_check(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert main(["app", "new", "first-app", "--json"]) == 0
    files = ["first_app.py", "test_first_app.py"]
    assert json.loads(capsys.readouterr().out) == {"v": 1, "files": files}
    assert sorted(path.name for path in folder.glob("*.py")) == files
    assert main(["app", "check", "first_app:app", "--runs", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "v": 1,
        "ok": True,
        "app": "first-app",
        "version": 1,
        "operations": ["add"],
        "queries": ["total"],
        "runs": 3,
        "findings": [],
    }


def test_an_app_that_differs_fails_the_check(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "differing_app.py").write_text(
        "import time\nfrom zmqnode import App\nprint('noise')\napp = App('x')\n"
        "@app.op\ndef put(ctx, key: str):\n    ctx.state[key] = time.time_ns()\n"
    )
    assert main(["app", "check", "differing_app:app", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    source, run = answer["findings"]
    assert (Path(source["file"]).name, source["line"]) == ("differing_app.py", 7)
    assert (source["operation"], run["operation"]) == ("put", "put")
    assert (run["file"], run["line"]) == (None, None)
    assert main(["app", "check", "differing_app:app"]) == 1
    shown = capsys.readouterr().out
    assert "differing_app.py:7: operation put: time.time_ns: clocks differ" in shown.replace(
        "\n", ""
    )
    assert "2 found" in shown


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["check", "nope"], "config_invalid"),
        (["check", "not_there:app"], "config_invalid"),
        (["check", "kv", "--runs", "1"], "usage"),
        (["new", "Not a name"], "usage"),
    ],
)
def test_refusals(capsys: pytest.CaptureFixture[str], words: list[str], code: str) -> None:
    assert main(["app", *words, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code


def test_nothing_is_overwritten(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "test_mine.py").write_text("mine")
    assert main(["app", "new", "mine", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "already_exists"
    assert [path.name for path in folder.iterdir()] == ["test_mine.py"]
