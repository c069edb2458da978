"""One live TCP connection, and what may be said against it."""

from __future__ import annotations

import socket as sockets
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from zmqnode.network import tcp
from zmqnode.network.curve import Port
from zmqnode.network.gate import Fault, Strike
from zmqnode.network.limits import NetworkLimits

SEGMENT_BYTES: Final = 1024  # a segment as long as this is none of a drip
READ_BUFFER_BYTES: Final = 8192  # libzmq's in_batch_size

CROWDED: Final = Strike(fault=Fault.CROWD, cut=True)
DRIPPING: Final = Strike(fault=Fault.DRIP, cut=True)
ENDED: Final = Strike(fault=Fault.ENDED, cut=True)
LATE: Final = Strike(fault=Fault.LATE, cut=True)
STALLED: Final = Strike(fault=Fault.STALLED, cut=True)
UNLISTED: Final = Strike(fault=Fault.UNLISTED, cut=True)
FORGIVEN: Final = (Fault.CROWD, Fault.LATE, Fault.ENDED, Fault.UNLISTED)
"""Cuts that are no reason to keep the key out for a while."""


def now_ms() -> int:
    """Monotonic milliseconds; the one clock of this room."""
    return time.monotonic_ns() // 1_000_000


@dataclass(slots=True, eq=False)
class Connection:
    """One live TCP connection that libzmq accepted or made."""

    port: Port | None  # None: we dialled
    descriptor: int
    socket: sockets.socket
    ip: str
    born_ms: int
    user: str = ""  # User-Id, from the first message on
    greeted: bool = False  # hello (subscription, ping) done
    messages: int = 0  # whole ones, read by us
    strikes: int = 0
    rate_strikes: int = 0
    cut: bool = False
    cut_at_ms: int | None = None  # cut later, so that a last word can leave
    seen_messages: int = 0
    base_bytes: int = 0  # received when the last whole message was seen
    base_segments: int = 0
    held: int = 0  # bytes that its unfinished message may hold in memory (estimate)
    base_ms: int = 0
    given: int = 0  # bytes handed to libzmq for this connection
    unread: int = 0  # of those, not yet acknowledged by its kernel (estimate)
    acknowledged: int = 0
    progress_ms: int = 0  # when something was last acknowledged, or began to wait

    def measure(self, limits: NetworkLimits, allowance: int, now: int) -> Strike | None:
        """Whether more came in, since the last whole message, than one message explains.

        Bytes are one measure, segments the other: libzmq reads into buffers of 8 KiB and a small
        frame keeps its whole buffer, so a message without end in tiny segments holds 200 times
        its bytes (measured: 2 MiB received, 358 MiB held). Segments of ``SEGMENT_BYTES`` and more
        are those of a large honest message. On p+2 no message starts the count anew: a subscriber
        has nothing to say but a topic.
        """
        try:
            info = tcp.tcp_info(self.socket)
        except OSError:
            return None
        self.refresh_unread(info)
        if self.messages != self.seen_messages and self.port is not Port.PUBLISH:
            self.seen_messages = self.messages
            self.base_bytes, self.base_segments, self.base_ms = info.received, info.segments, now
            self.held = 0
            return None
        age_ms = now - self.base_ms
        received = info.received - self.base_bytes
        short = info.segments - self.base_segments - received // SEGMENT_BYTES
        if short > limits.idle_segments_max:
            return ENDED  # Heartbeats of hours, or a very patient attacker.
        short -= age_ms * limits.drip_segments_per_s // 1000
        self.held = received + max(0, short) * READ_BUFFER_BYTES
        if short > limits.drip_segments:
            return DRIPPING
        too_much = received > allowance + age_ms * limits.drip_bytes_per_s // 1000
        return DRIPPING if too_much else None

    def refresh_unread(self, info: tcp.TcpInfo) -> None:
        """Count what left. TCP carries more than payload, so the estimate only errs low."""
        if info.acknowledged != self.acknowledged:
            self.progress_ms = now_ms()
        self.unread = max(0, self.unread - (info.acknowledged - self.acknowledged))
        self.acknowledged = info.acknowledged


@dataclass(slots=True)
class GuardStats:
    """What the guard did since start."""

    accepted: int = 0
    handshakes_failed: int = 0
    cuts: Counter[str] = field(default_factory=Counter)  # by fault
    strikes: Counter[str] = field(default_factory=Counter)  # by fault
