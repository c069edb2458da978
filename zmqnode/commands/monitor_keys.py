"""The keyboard of the monitor: bytes of a terminal to names of keys, and the terminal's mode.

The reader is two things: :class:`KeyDecoder`, which is pure, and :func:`raw_keys`, which puts the
terminal into a mode where every key is heard at once and unseen, and gives it back as it was
whatever ends the block. Ctrl-C and Ctrl-\\ still interrupt; Ctrl-Z is off, as the screen would stay
behind it.
"""

from __future__ import annotations

import os
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

READ_BYTES: Final = 1024
SEQUENCE_BYTES_MAX: Final = 16  # Longer than any key; what goes on is no key and is dropped.
ESCAPE: Final = 0x1B

NAMED: Final = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1b[C": "right",
    b"\x1b[D": "left",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1bOC": "right",
    b"\x1bOD": "left",
    b"\x1b[5~": "page-up",
    b"\x1b[6~": "page-down",
    b"\x1b[H": "home",
    b"\x1b[F": "end",
    b"\x1b[1~": "home",
    b"\x1b[4~": "end",
    b"\x1b[Z": "back-tab",
}
SINGLE: Final = {
    0x09: "tab",
    0x0A: "enter",
    0x0D: "enter",
    0x20: "space",
    0x7F: "backspace",
    0x08: "backspace",
}


class KeyDecoder:
    """Keys from the bytes of a terminal, however they are cut into pieces.

    A key is a name (``up``, ``enter``, ``escape``) or the character itself. What is no key known
    here gives nothing.
    """

    def __init__(self) -> None:
        self._held = b""

    @property
    def waits(self) -> bool:
        """Whether an escape was begun: more may follow, or it was the Escape key."""
        return self._held != b""

    def feed(self, data: bytes) -> list[str]:
        """The keys that are complete now."""
        held, self._held = self._held + data, b""
        keys: list[str] = []
        while held:
            used, key = self._first(held)
            if used == 0:
                self._held = held
                break
            held = held[used:]
            if key:
                keys.append(key)
        return keys

    def flush(self) -> list[str]:
        """What was held back, now that nothing followed: the Escape key, if it was that alone."""
        held, self._held = self._held, b""
        return ["escape"] if held == b"\x1b" else []

    def _first(self, data: bytes) -> tuple[int, str]:
        """How many bytes the first key has (0: not all there yet) and its name, if it has one."""
        first = data[0]
        if first == ESCAPE:
            return self._sequence(data)
        if first in SINGLE:
            return 1, SINGLE[first]
        if first < 0x20 or 0x80 <= first < 0xC2 or first > 0xF4:
            return 1, ""  # No key known here, or no first byte of a UTF-8 character.
        length = 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
        if len(data) < length:
            return 0, ""
        try:
            text = data[:length].decode()
        except UnicodeDecodeError:
            return 1, ""
        return length, text if text.isprintable() else ""

    def _sequence(self, data: bytes) -> tuple[int, str]:
        if len(data) == 1:
            return 0, ""
        if data[1] not in b"[O":
            return 1, "escape"
        for end in range(2, min(len(data), SEQUENCE_BYTES_MAX)):
            if 0x40 <= data[end] <= 0x7E:
                return end + 1, NAMED.get(data[: end + 1], "")
        return (len(data), "") if len(data) >= SEQUENCE_BYTES_MAX else (0, "")


@contextmanager
def raw_keys(descriptor: int) -> Iterator[None]:
    """A terminal that gives every key at once and shows none; as it was, after the block.

    Raises:
        termios.error: the descriptor is no terminal.
    """
    before = termios.tcgetattr(descriptor)
    mode = termios.tcgetattr(descriptor)
    mode[0] &= ~(termios.ICRNL | termios.IXON)
    mode[3] &= ~(termios.ICANON | termios.ECHO)
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    mode[6][termios.VSUSP] = os.fpathconf(descriptor, "PC_VDISABLE").to_bytes(1, "big")
    termios.tcsetattr(descriptor, termios.TCSADRAIN, mode)
    try:
        yield
    finally:
        # Keys typed ahead were meant for the monitor, not for the shell.
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)


def read_keys(descriptor: int, decoder: KeyDecoder) -> list[str] | None:
    """The keys that have come; None: the terminal is gone. Does not wait if there is something."""
    try:
        data = os.read(descriptor, READ_BYTES)
    except OSError:
        return None
    return decoder.feed(data) if data else None
