"""What a person at a terminal is told besides the answer: how it goes, and what to do next.

Both stand on stderr, and only where somebody looks: a script, a pipe and ``--json`` never see them.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from zmqnode.commands import terminal

Say = Callable[[str], None]


def remark(text: str) -> None:
    """What the answer alone does not say."""
    if sys.stderr.isatty():
        terminal.note(text)


def next_step(text: str, *, as_json: bool = False) -> None:
    """What makes sense after this command."""
    if not as_json:
        remark(f"next: {text}")


@contextmanager
def progress(*, as_json: bool = False) -> Iterator[Say]:
    """Around a wait: a line that changes in place, and is gone in the end."""
    if as_json or not sys.stderr.isatty() or os.environ.get("TERM", "") in ("", "dumb"):
        yield lambda text: None
        return
    shown = ""

    def say(text: str) -> None:
        nonlocal shown
        if text != shown:
            columns = shutil.get_terminal_size().columns
            terminal.write(sys.stderr, f"\r\x1b[2K{terminal.clean(text)[: columns - 1]}")
            shown = text

    try:
        yield say
    finally:
        if shown:
            terminal.write(sys.stderr, "\r\x1b[2K")
