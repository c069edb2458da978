"""Every command block of the tutorial, the how-tos and the README's first ten minutes, run.

Pages that begin and end with the same network read one after the other on one: only its removal
between them is left out, so they name different nodes. Two such sittings go on at a time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, blocks, section

BLOCK_SECONDS = 120
AT_A_TIME = 2
FIRST_MINUTES = "The first ten minutes"
README = ROOT / "README.md"
UP, DOWN = "zmqnode testnet up\n", "zmqnode testnet down --delete\n"
SITTINGS = (  # The longest first.
    ("move", "force", "runbook"),
    ("upgrade", "replace"),
    ("tutorial", "watch"),
    ("spare",),
    ("README",),
    ("application",),
    ("operating",),
)
RUN = {
    page.stem: page
    for page in (
        README,
        DOCS / "tutorial.md",
        DOCS / "operating.md",
        *sorted((DOCS / "howto").glob("*.md")),
    )
}


def read(name: str) -> str:
    """What is followed of a page: of the README one section."""
    text = RUN[name].read_text()
    return section(text, FIRST_MINUTES) if name == "README" else text


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

    def follows(self, page: str, *, keeps: bool) -> None:
        """Every block of a page, in order; ``keeps`` the network for the next page."""
        for block in blocks(page):
            if block.runs:
                text = block.text.replace(DOWN, "") if keeps else block.text
                done = self.types(text)
                assert done.returncode == block.code, (block, done.stdout, done.stderr)
                assert "Traceback" not in done.stdout + done.stderr


def reader_in(folder: Path) -> Reader:
    programs, work = folder / "bin", folder / "work"
    programs.mkdir(parents=True)
    work.mkdir()
    program = programs / "zmqnode"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m zmqnode "$@"\n')
    program.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZMQNODE_")}
    env = {
        **kept,
        "PATH": f"{programs}:{kept['PATH']}",
        "PYTHONPATH": str(ROOT),
        "ZMQNODE_HOME": str(folder / "home"),
    }
    return Reader(work, env)


def sit(folder: Path, names: Sequence[str]) -> dict[str, BaseException | None]:
    """Read pages one after the other; what went wrong with each, or None."""
    reader = reader_in(folder)
    found: dict[str, BaseException | None] = {}
    try:
        for name in names:
            try:
                reader.follows(read(name), keeps=name != names[-1])
            except (AssertionError, subprocess.TimeoutExpired) as error:
                found[name] = error
                break
            found[name] = None
    finally:
        if (reader.folder / "testnet").exists():
            reader.types(DOWN)
    for name in names:
        found.setdefault(name, AssertionError(f"not read: the page before it failed ({names})"))
    return found


@pytest.fixture(scope="module")
def sittings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[dict[str, BaseException | None]]]]:
    """Page to what became of its sitting; only those are held that a test was chosen for."""
    chosen = {
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        if "name" in item.callspec.params
    }
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        found = {}
        for names in SITTINGS:
            if chosen & set(names):
                future = pool.submit(sit, tmp_path_factory.mktemp(names[0]), names)
                found.update(dict.fromkeys(names, future))
        yield found


@pytest.mark.e2e
@pytest.mark.parametrize("name", [name for names in SITTINGS for name in names])
def test_the_blocks_of_a_page_do_what_it_says(
    name: str, sittings: dict[str, Future[dict[str, BaseException | None]]]
) -> None:
    assert blocks(read(name))
    error = sittings[name].result()[name]
    if error is not None:
        raise error


def test_pages_of_one_sitting_begin_and_end_alike() -> None:
    """Else what is left out between them would be more than the network's removal."""
    assert sorted(name for names in SITTINGS for name in names) == sorted(RUN)
    for names in SITTINGS:
        for name in names if len(names) > 1 else ():
            texts = [block.text for block in blocks(read(name)) if block.runs]
            assert texts[0].startswith(UP), name
            assert texts[-1].endswith(DOWN), name


def test_no_page_with_commands_is_left_out() -> None:
    """Outside the pages that are run, and the README's two commands, a block says why it is not."""
    left = [
        (page.name, block.line)
        for page in PAGES
        if page not in RUN.values()
        for block in blocks(page.read_text())
        if block.runs
    ]
    assert left == []
    assert len(blocks(README.read_text())) - len(blocks(read("README"))) == 2
