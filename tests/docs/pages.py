"""The documentation as a reader finds it: its command blocks, and what each is marked with.

A block of commands is fenced as ``sh``. A comment before it says what is special about it:
``<!-- exit N: WHY -->`` or ``<!-- not run: WHY -->``.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
PAGES = [page for page in PAGES if "_build" not in page.parts]

_BLOCK = re.compile(
    r"(?:<!-- (?:(?P<not>not run)|exit (?P<exit>\d+)): (?P<why>[^\n]+?) -->\n\s*)?"
    r"^(?P<indent> *)```sh\n(?P<text>.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """One block of commands."""

    line: int
    text: str
    code: int
    runs: bool


def blocks(text: str) -> list[Block]:
    """All command blocks, in order."""
    return [
        Block(
            line=text.count("\n", 0, found.start("text")),
            text=textwrap.dedent(found["text"]),
            code=int(found["exit"] or 0),
            runs=found["not"] is None,
        )
        for found in _BLOCK.finditer(text)
    ]


def section(text: str, title: str) -> str:
    """What stands under a heading of the second level, up to the next one."""
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]
