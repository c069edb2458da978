"""Where in the protocol a vote belongs: a height, a round in it, a stage."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

HEIGHT_MAX: Final = 2**53 - 1  # Every JSON reader can hold it.
ROUND_MAX: Final = 100_000


class Stage(enum.IntEnum):
    """INIT: the content is held and checked. ACCEPT: executing it gives this block, or DRAW."""

    INIT = 1
    ACCEPT = 2


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Point:
    """A height (0 is genesis) and a round in it (0 and up), in that order."""

    height: int
    round: int

    def __post_init__(self) -> None:
        if not (0 <= self.height <= HEIGHT_MAX and 0 <= self.round <= ROUND_MAX):
            raise ValueError("point out of range")
