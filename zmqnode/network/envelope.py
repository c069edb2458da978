"""Frames: what stands around a payload on each kind of socket. Pure.

A peer link and the client door carry two frames, header and payload (the ROUTER side sees the
routing id before them). The header is the kind (1 byte) and a number (8 bytes, big endian): the
request id, chosen by the asker and echoed in the answer; 0 where nothing is asked.

A published message is two frames too: a stream header that starts with the topic byte, so that the
publisher can filter, and the payload. The header names the publishing instance, its incarnation
(8 random bytes of one process run) and the number of the message within topic and incarnation,
counting from 1 without holes; a hole at the subscriber is a message lost on the way.

Payloads are opaque here: canonical msgpack of ``base``, read by the gate.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

FRAMES_MAX: Final = 4
"""More frames than this, without the routing id, are an attack and cut the connection."""
FRAMES: Final = 2
"""Frames of every message of ours: header, payload."""
INCARNATION_BYTES: Final = 8
NUMBER_MAX: Final = 2**64 - 1

_HEADER: Final = struct.Struct(">BQ")
_STREAM: Final = struct.Struct(">c32s8sQ")
HEADER_BYTES: Final = _HEADER.size
STREAM_HEADER_BYTES: Final = _STREAM.size


class PeerKind(IntEnum):
    """Kinds between peers, DEALER to ROUTER and back."""

    HELLO = 1
    CHALLENGE = 2
    PROOF = 3
    WELCOME = 4
    REFUSED = 5
    REQUEST = 6
    ANSWER = 7
    PUSH = 8


class DoorKind(IntEnum):
    """Kinds at the client door; REFUSED carries a reason code instead of an answer."""

    PING = 1
    PONG = 2
    REQUEST = 3
    ANSWER = 4
    EVENT = 5
    REFUSED = 6
    END = 7


class Topic(StrEnum):
    """The two streams of a publisher. Each is one subscription, one TCP connection, one queue."""

    VOTES = "v"
    SEALS = "s"


TOPIC_BYTES: Final = {topic: topic.value.encode() for topic in Topic}
TOPIC_OF: Final = {data: topic for topic, data in TOPIC_BYTES.items()}
SUBSCRIPTIONS: Final = {b"\x01" + data: topic for topic, data in TOPIC_BYTES.items()}
"""What an honest subscription looks like at the publisher: byte 1, then exactly one topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamHeader:
    """Where a published message stands in its publisher's stream."""

    topic: Topic
    instance: bytes  # 32 bytes, public instance key
    incarnation: bytes  # 8 bytes, random per process run
    number: int  # 1, 2, 3.. within topic and incarnation


def pack_header(kind: IntEnum, number: int = 0) -> bytes:
    """The 9 header bytes of a direct message; number is 0 to 2**64 - 1."""
    return _HEADER.pack(kind, number)


def read_header(data: bytes) -> tuple[int, int] | None:
    """Kind (not yet checked against an enum) and number; None if it is no header."""
    if len(data) != HEADER_BYTES:
        return None
    kind, number = _HEADER.unpack(data)
    return kind, number


def pack_stream_header(topic: Topic, instance: bytes, incarnation: bytes, number: int) -> bytes:
    """The 49 header bytes of a published message."""
    return _STREAM.pack(TOPIC_BYTES[topic], instance, incarnation, number)


def read_stream_header(data: bytes) -> StreamHeader | None:
    """The header of a published message; None if it is none."""
    if len(data) != STREAM_HEADER_BYTES:
        return None
    topic_byte, instance, incarnation, number = _STREAM.unpack(data)
    topic = TOPIC_OF.get(topic_byte)
    if topic is None or number == 0:
        return None
    return StreamHeader(topic=topic, instance=instance, incarnation=incarnation, number=number)
