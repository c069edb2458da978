"""The bytes of a journal segment: header, records, and what a scan makes of them. No state here.

A segment is a file of fixed size whose blocks exist before it is written from front to back (filled
with zeros, or used before), so that a sync only flushes data and touches no metadata.

    header  64 bytes: magic (8) || journal id (16) || segment number (8) || zeros || CRC-32 (4)
    record  magic (4) || length of data (4) || sequence (8) || height (8) || unsynced (4) ||
            kind (1) || zeros (3) || CRC-32 of data (4) || CRC-32 of all before it (4) ||
            data || zeros up to a multiple of 8 bytes

Integers are big endian. Both CRCs of a record begin from that of its segment's header, so a record
is valid only in its own segment of its own journal: what a used file held before is never read as
one, nor is what a stranger hides in a seal, as the journal id is random and secret. The head has a
checksum of its own, so that a search for heads costs the same whatever the bytes are.

*Unsynced* is how many records before this one were not synced when it was written; sequence minus
unsynced is *synced below*, before which all was. It tells a torn tail from damage. An unsynced
write may reach the disk in any order, so behind the first bad record there may be good ones of the
same turn: all of them go, nobody was told of them. But a good record that says `synced below > s`
proves that record s was on the disk: if s is bad now, something that was promised is lost, and
that is damage.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

SEGMENT_MAGIC = b"zmqnode\x01"
RECORD_MAGIC = b"\xa7zR\x1e"
SUFFIX = ".journal"
HEADER_BYTES = 64
RECORD_HEAD_BYTES = 40
RECORD_DATA_BYTES_MAX = 32 << 20
ALIGNMENT = 8

_HEADER = struct.Struct(">8s16sQ28xI")
_HEAD = struct.Struct(">4sIQQIB3xI")
_HEAD_CRC_AT = RECORD_HEAD_BYTES - 4


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was appended.

    Attributes:
        sequence: its number in the journal, from 0 on without gaps.
        synced_below: everything before this sequence was synced when it was written.
        height: what it belongs to; decides how long it is kept.
        kind: 0 for the journal's own watermark, 1 to 255 are the caller's.
        data: the caller's bytes.
    """

    sequence: int
    synced_below: int
    height: int
    kind: int
    data: bytes


def header(journal_id: bytes, number: int) -> bytes:
    """The header of a segment, 64 bytes."""
    fields = _HEADER.pack(SEGMENT_MAGIC, journal_id, number, 0)[:-4]
    return fields + zlib.crc32(fields).to_bytes(4, "big")


def read_header(data: bytes) -> tuple[bytes, int] | None:
    """Journal id and segment number of a valid header, else None."""
    if len(data) < HEADER_BYTES:
        return None
    magic, journal_id, number, checksum = _HEADER.unpack_from(data)
    if magic != SEGMENT_MAGIC or checksum != zlib.crc32(data[: HEADER_BYTES - 4]):
        return None
    return journal_id, number


def encode_record(
    seed: int, sequence: int, synced_below: int, height: int, kind: int, data: bytes
) -> bytes:
    """The bytes of one record, a multiple of 8 long. `seed` is `seed_of` its segment."""
    length = len(data)
    head = _HEAD.pack(
        RECORD_MAGIC,
        length,
        sequence,
        height,
        sequence - synced_below,
        kind,
        zlib.crc32(data, seed),
    )
    return head + zlib.crc32(head, seed).to_bytes(4, "big") + data + bytes(-length % ALIGNMENT)


def seed_of(journal_id: bytes, number: int) -> int:
    """Where the checksums of a segment's records begin."""
    return zlib.crc32(header(journal_id, number))


def record_bytes(length: int) -> int:
    """How long a record with `length` bytes of data is."""
    return RECORD_HEAD_BYTES + length + -length % ALIGNMENT


def _has_head(content: bytes, at: int, seed: int) -> bool:
    """Whether a record's head stands whole at an offset."""
    end = at + _HEAD_CRC_AT
    checksum = content[end : end + 4]
    return (
        len(checksum) == 4
        and content.startswith(RECORD_MAGIC, at)
        and zlib.crc32(content[at:end], seed) == int.from_bytes(checksum, "big")
    )


def read_record(content: bytes, at: int, seed: int) -> Record | None:
    """The valid record at an offset, if there is one."""
    if not _has_head(content, at, seed):
        return None
    _, length, sequence, height, unsynced, kind, checksum = _HEAD.unpack_from(content, at)
    start = at + RECORD_HEAD_BYTES
    data = content[start : start + length]
    if len(data) != length or zlib.crc32(data, seed) != checksum:
        return None
    return Record(sequence, sequence - unsynced, height, kind, data)


def latest_promise(content: bytes, start: int, seed: int) -> int | None:
    """The greatest *synced below* of any head from an offset on; None: there is no head.

    A head is enough: what it says was true when it was written, whether or not its data is whole.
    """
    promise: int | None = None
    at = content.find(RECORD_MAGIC, start)
    while at >= 0:
        if at % ALIGNMENT == 0 and _has_head(content, at, seed):
            _, _, sequence, _, unsynced, _, _ = _HEAD.unpack_from(content, at)
            promise = max(promise or 0, sequence - unsynced)
        at = content.find(RECORD_MAGIC, at + 1)
    return promise


def is_blank(folder: Path) -> bool:
    """Whether a journal's folder is missing or holds no record at all, not even of its own.

    Opening begins every journal with a record, so one that was ever in use is not blank. A folder
    that holds a chain and a blank journal has lost what its instance signed.
    """
    for path in folder.glob(f"*{SUFFIX}"):
        content = path.read_bytes()
        found = read_header(content)
        if found is None:
            return False  # Damaged, which opening finds.
        identity, number = found
        if read_record(content, HEADER_BYTES, seed_of(identity, number)) is not None:
            return False
    return True
