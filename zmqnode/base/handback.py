"""What the active copy asks the copy it replaced: start a handover back to yourself.

A request between peers, whose hello proved that both speak for the address's identity key; only
copies of one's own address are obeyed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zmqnode.base.codec import message
from zmqnode.base.handover_query import StartCommand

ANSWER_BYTES_MAX: Final = 64 * 1024


@message("start.wanted", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class StartWanted:
    """Request: obey this, as if your operator had said it. Answered with StartAnswer."""

    command: StartCommand


@message("start.answer", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class StartAnswer:
    """The encoded answer (Told or Failed) that a client would have had, at most 64 KiB."""

    answer: bytes

    def __post_init__(self) -> None:
        if len(self.answer) > ANSWER_BYTES_MAX:
            raise ValueError("answer too long")
