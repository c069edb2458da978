"""A terminal for tests: a real pty with a program in it, and pyte, which draws what it writes."""

from __future__ import annotations

import copy
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyte

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 60.0
BEFORE = "typed before"  # On the first screen, before the program starts.


class Screen(pyte.Screen):
    """pyte knows no alternate screen: here it is a second buffer, as in a true terminal."""

    def __init__(self, columns: int, lines: int) -> None:
        self.saved: tuple[Any, Any] | None = None
        super().__init__(columns, lines)

    def set_mode(self, *modes: int, **options: bool) -> None:
        super().set_mode(*modes, **options)
        if 1049 in modes and self.saved is None:
            self.saved = copy.deepcopy((self.buffer, self.cursor))
            self.erase_in_display(2)

    def reset_mode(self, *modes: int, **options: bool) -> None:
        super().reset_mode(*modes, **options)
        if 1049 in modes and self.saved is not None:
            self.buffer, self.cursor = self.saved
            self.saved = None
            self.dirty.update(range(self.lines))


class Terminal:
    """One program on one pty."""

    def __init__(
        self, words: list[str], size: tuple[int, int], variables: Mapping[str, str]
    ) -> None:
        self.screen = Screen(*size)
        self.stream = pyte.ByteStream(self.screen)
        self.stream.feed(BEFORE.encode() + b"\r\n")
        self.written = b""
        self.master, slave = pty.openpty()
        self._size(slave, size)
        self.slave = slave
        self.mode = termios.tcgetattr(slave)
        left_out = ("NO_COLOR", "COLUMNS", "LINES")
        environment = {
            **{name: value for name, value in os.environ.items() if name not in left_out},
            "TERM": "xterm-256color",
            "PYTHONUTF8": "1",
            **variables,
        }

        def own_terminal() -> None:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "cli.py"), *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            cwd=variables.get("PWD", str(ROOT)),
            preexec_fn=own_terminal,
        )

    def _size(self, descriptor: int, size: tuple[int, int]) -> None:
        columns, lines = size
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns: int, lines: int) -> None:
        """As a person pulls the window."""
        self.screen.resize(lines, columns)
        self._size(self.slave, (columns, lines))
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGWINCH)

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def read(self, seconds: float = 0.05) -> None:
        """Takes in what was written, for at most so long."""
        while select.select([self.master], [], [], seconds)[0]:
            data = os.read(self.master, 65536)
            self.written += data
            self.stream.feed(data)
            seconds = 0.0

    def unread(self) -> int:
        """How many bytes wait to be read."""
        found = fcntl.ioctl(self.master, termios.FIONREAD, struct.pack("i", 0))
        return int(struct.unpack("i", found)[0])

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    def until(self, condition: Callable[[], bool] | str) -> None:
        """Reads until it is so, or until a text stands on the screen."""
        end = time.monotonic() + DEADLINE_SECONDS
        wanted = condition if isinstance(condition, str) else None
        while not (wanted in self.text if wanted is not None else condition()):  # type: ignore[operator]
            assert time.monotonic() < end, f"not in time: {condition}\n{self.text}"
            assert self.process.poll() is None or self._more(), f"it ended:\n{self.text}"
            self.read()

    def _more(self) -> bool:
        return bool(select.select([self.master], [], [], 0.2)[0])

    def wait(self) -> int:
        """Reads until the program has ended; its exit code."""
        end = time.monotonic() + DEADLINE_SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < end, f"it does not end:\n{self.text}"
            self.read()
        self.read(0.1)
        return self.process.returncode

    def restored(self) -> None:
        """The terminal is as it was: the screen before, the cursor seen, the mode of old."""
        assert self.screen.saved is None, "still on the alternate screen"
        assert BEFORE in self.text
        assert not self.screen.cursor.hidden
        assert termios.tcgetattr(self.slave) == self.mode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@contextmanager
def terminal(
    *words: str, size: tuple[int, int] = (80, 24), variables: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """A program of the command line on a terminal of its own."""
    one = Terminal(list(words), size, variables or {})
    try:
        yield one
    finally:
        one.close()
