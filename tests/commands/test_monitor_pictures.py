"""The pictures in the documentation are those that the command in their folder makes."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from zmqnode.commands.main import main

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
COMMANDS = [
    shlex.split(line)[1:]
    for line in (FOLDER / "make").read_text().splitlines()
    if line.startswith("zmqnode ")
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[-1])
def test_a_picture_is_what_its_command_makes(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for recording in FOLDER.glob("*.jsonl"):
        shutil.copy(recording, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(words) == 0
    assert (tmp_path / words[-1]).read_text() == (FOLDER / words[-1]).read_text()


def test_every_picture_has_its_command() -> None:
    assert {words[-1] for words in COMMANDS} == {path.name for path in FOLDER.glob("*.svg")}
