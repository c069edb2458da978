"""Every command block of the tutorial, the how-tos and the README's first ten minutes, run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, blocks, section

BLOCK_SECONDS = 90
FIRST_MINUTES = "The first ten minutes"
RUN = [
    DOCS / "tutorial.md",
    *sorted((DOCS / "howto").glob("*.md")),
    DOCS / "operating.md",
]


@dataclass(frozen=True)
class Reader:
    """Types what a page says, in an empty folder, with ``zmqnode`` on the path."""

    folder: Path
    env: dict[str, str]

    def types(self, commands: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BLOCK_SECONDS,
        )

    def follows(self, page: str) -> None:
        """Every block of a page, in order."""
        for block in blocks(page):
            if block.runs:
                done = self.types(block.text)
                assert done.returncode == block.code, (block, done.stdout, done.stderr)
                assert "Traceback" not in done.stdout + done.stderr


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    programs, folder = tmp_path / "bin", tmp_path / "work"
    programs.mkdir()
    folder.mkdir()
    program = programs / "zmqnode"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m zmqnode "$@"\n')
    program.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZMQNODE_")}
    env = {
        **kept,
        "PATH": f"{programs}:{kept['PATH']}",
        "PYTHONPATH": str(ROOT),
        "ZMQNODE_HOME": str(tmp_path / "home"),
    }
    reader = Reader(folder, env)
    yield reader
    if (folder / "testnet").exists():
        reader.types("zmqnode testnet down --delete")


@pytest.mark.e2e
@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.stem))
def test_the_blocks_of_a_page_do_what_it_says(page: Path, reader: Reader) -> None:
    text = page.read_text()
    assert blocks(text)
    reader.follows(text)


@pytest.mark.e2e
def test_the_first_ten_minutes(reader: Reader) -> None:
    reader.follows(section((ROOT / "README.md").read_text(), FIRST_MINUTES))


def test_no_page_with_commands_is_left_out() -> None:
    """Outside the pages that are run, and the README's two commands, a block says why it is not."""
    left = [
        (page.name, block.line)
        for page in PAGES
        if page not in RUN and page != ROOT / "README.md"
        for block in blocks(page.read_text())
        if block.runs
    ]
    assert left == []
    readme = (ROOT / "README.md").read_text()
    ran = len(blocks(section(readme, FIRST_MINUTES)))
    assert len(blocks(readme)) - ran == 2
