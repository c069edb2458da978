"""One TCP connection, seen from outside libzmq: a duplicate of its descriptor.

libzmq tells which descriptor a connection has, and nothing of how much arrived on it. A duplicate
lets us ask the kernel (TCP_INFO, linux/tcp.h) and end the connection (``shutdown``); libzmq then
sees an ordinary end of stream. Descriptors are reused at once, so a duplicate counts only if it is
a TCP socket with the port that the event was about.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

_INFO_BYTES: Final = 160
_ESTABLISHED: Final = 1  # tcpi_state, the first byte
# Offsets in struct tcp_info: 8 bytes of flags, 24 u32, then u64 counters (since Linux 4.1).
_LAST_RECEIVED: Final = struct.Struct("=52xI")  # ms since the last data segment came in
_RTT: Final = struct.Struct("=68xI")  # smoothed, us
_COUNTERS: Final = struct.Struct("=120xQQ")  # bytes acknowledged by the peer, bytes received
_SEGMENTS: Final = struct.Struct("=152xI")  # segments with data that came in (since Linux 4.6)


class TcpInfo(NamedTuple):
    """What the kernel knows of a connection."""

    acknowledged: int  # bytes
    received: int  # bytes
    segments: int  # that carried the bytes received
    silent_ms: int
    rtt_us: int
    established: bool  # neither side has closed


def duplicate(descriptor: int, is_ours: Callable[[socket.socket], bool]) -> socket.socket | None:
    """A socket object of our own on libzmq's connection; None if the descriptor is another by now.

    Args:
        is_ours: looks at the addresses; may raise OSError, which means no.
    """
    try:
        copy = os.dup(descriptor)
    except OSError:
        return None
    try:
        found = socket.socket(fileno=copy)
    except OSError:  # Reused for a file: no socket at all.
        os.close(copy)
        return None
    with contextlib.suppress(OSError):
        if found.type == socket.SOCK_STREAM and is_ours(found):
            return found
    found.close()
    return None


def tcp_info(connection: socket.socket) -> TcpInfo:
    """Ask the kernel; about 1.5 us. Raises OSError on a closed socket."""
    data = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    if len(data) < _INFO_BYTES:
        data = data.ljust(_INFO_BYTES, b"\0")
    acknowledged, received = _COUNTERS.unpack_from(data)
    return TcpInfo(
        acknowledged,
        received,
        _SEGMENTS.unpack_from(data)[0],
        _LAST_RECEIVED.unpack_from(data)[0],
        _RTT.unpack_from(data)[0],
        data[0] == _ESTABLISHED,
    )


def end(connection: socket.socket) -> None:
    """Cut both directions; libzmq notices at once."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def is_loopback(ip: str) -> bool:
    return ip.startswith("127.") or ip in ("::1", "::ffff:127.0.0.1")
