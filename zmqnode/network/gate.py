"""The gate: what bytes from outside must satisfy before anything else looks at them. Pure.

A fault of the other side is a value, a ``Strike``, never an exception. A strike either cuts its
connection at once (what no honest implementation can send) or counts against it, and the
connection is cut when ``strikes_max`` are reached within its life.

Rates are token buckets in integers: capacity and refill are in tokens (messages or bytes), time is
an argument in milliseconds, so that the arithmetic is exact and the tests need no clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from zmqnode.errors import Malformed


class Fault(StrEnum):
    """Why a connection got a strike; the words appear in logs and metrics."""

    FRAMES = "frames"  # wrong number of frames
    HEADER = "header"  # no header of ours
    KIND = "kind"  # a kind that has no place here
    SIZE = "size"
    RATE = "rate"
    MALFORMED = "malformed"  # not the one canonical encoding of a known message
    SIGNATURE = "signature"
    EARLY = "early"  # something other than hello before hello is done
    HELLO = "hello"  # a hello that does not hold
    CLAIMED_ID = "claimed_id"  # a routing id of the other side's own choice
    SENDER = "sender"  # user or descriptor changed under one routing id
    TOPIC = "topic"  # a subscription that is none of ours
    DRIP = "drip"  # bytes without a whole message
    STALLED = "stalled"  # does not read what it asked for
    LATE = "late"  # no hello in time
    PROTOCOL = "protocol"  # libzmq hung up: a frame too large, no ZMTP, or no heartbeat
    CROWD = "crowd"  # over a limit of connections
    ENDED = "ended"  # refused or replaced; no fault
    UNLISTED = "unlisted"  # its key left the list; no fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """A fault of the other side; ``cut`` ends the connection at once."""

    fault: Fault
    cut: bool = False
    detail: str = ""


FRAMES_CUT: Final = Strike(fault=Fault.FRAMES, cut=True)
FRAMES_WRONG: Final = Strike(fault=Fault.FRAMES)
HEADER_WRONG: Final = Strike(fault=Fault.HEADER)
KIND_WRONG: Final = Strike(fault=Fault.KIND)
TOO_LARGE: Final = Strike(fault=Fault.SIZE)
TOO_FAST: Final = Strike(fault=Fault.RATE)
TOO_EARLY: Final = Strike(fault=Fault.EARLY)
CLAIMED_ID: Final = Strike(fault=Fault.CLAIMED_ID, cut=True)
FOREIGN_SENDER: Final = Strike(fault=Fault.SENDER, cut=True)
FOREIGN_TOPIC: Final = Strike(fault=Fault.TOPIC, cut=True)
BAD_SIGNATURE: Final = Strike(fault=Fault.SIGNATURE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Tokens per second and the most that can be saved up."""

    per_second: int
    burst: int


class TokenBucket:
    """Tokens in thousandths, so that refills of single milliseconds are exact."""

    __slots__ = ("_burst", "_now_ms", "_per_ms", "_tokens")

    def __init__(self, rate: Rate, now_ms: int) -> None:
        self._per_ms = rate.per_second  # thousandths of a token per millisecond
        self._burst = rate.burst * 1000
        self._tokens = self._burst
        self._now_ms = now_ms

    def take(self, amount: int, now_ms: int) -> bool:
        """Take ``amount`` tokens if they are there; time never runs backwards here."""
        passed = now_ms - self._now_ms
        if passed > 0:
            self._now_ms = now_ms
            self._tokens = min(self._burst, self._tokens + passed * self._per_ms)
        if self._tokens < amount * 1000:
            return False
        self._tokens -= amount * 1000
        return True


class Gate:
    """Size, canonical reading and the caller's own check, in that order.

    Args:
        bytes_max: the largest payload; libzmq's MAXMSGSIZE bounds single frames before us.
        decode: payload -> message, raising ``Malformed``; None hands the bytes through.
        check: a last look at the message (signature, say); a Strike refuses it.
    """

    __slots__ = ("_bytes_max", "_check", "_decode")

    def __init__(
        self,
        *,
        bytes_max: int,
        decode: Callable[[bytes], object] | None = None,
        check: Callable[[object], Strike | None] | None = None,
    ) -> None:
        self._bytes_max = bytes_max
        self._decode = decode
        self._check = check

    def judge(self, payload: bytes) -> object | Strike:
        """The message, or the strike its sender gets. Beyond this nothing is malformed."""
        if len(payload) > self._bytes_max:
            return TOO_LARGE
        message: object = payload
        if self._decode is not None:
            try:
                message = self._decode(payload)
            except Malformed as error:
                return Strike(fault=Fault.MALFORMED, detail=str(error))
        if self._check is not None:
            strike = self._check(message)
            if strike is not None:
                return strike
        return message
