"""The vote journal: what this instance must not forget, on the disk before anybody is told.

Theory. `append` puts a record into memory, `sync` writes all that was appended with one write and
one fdatasync, and returns when it is on the disk: one sync serves a whole turn of the node. `write`
writes without a sync: the record outlives the process, not the machine.

The records lie in segments (`segments.py` has the bytes), files of a fixed size prepared in
advance by a helper thread. Each record carries a height. When the store durably holds a height,
the journal need not: `drop_below` retires the oldest segments all of whose records are below it;
the file is used again for a later segment. One thing must survive that, the last signed point:
every segment begins with the *watermark*, bytes of the caller's that were current at that moment,
and no segment goes before that record of the newest one is synced.

Opening reads everything once. The end of a journal is where the next record is not valid. If all
that can be seen behind it was never promised to be on the disk, it is a torn tail, which is cut;
if something behind it proves that the bad place was synced once, the journal is damaged and is
not used: an instance that forgets a vote may vote twice.

An error of a write or a sync is final. After a failed fdatasync the kernel may drop the data and
report success the next time ("fsyncgate", PostgreSQL 2018), so nothing is tried again: the journal
refuses everything from then on. For the same reason opening writes the tail it read once more
before it trusts it.

One thread appends and syncs. Bounds: `PENDING_BYTES_MAX` in memory before a write is forced;
`RECORD_DATA_BYTES_MAX` a record; disk: (heights not durable in the store) / segment size segments,
one prepared and `SPARES_MAX` spare.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zmqnode.errors import Damaged
from zmqnode.storage.files import Files
from zmqnode.storage.segments import (
    HEADER_BYTES,
    RECORD_DATA_BYTES_MAX,
    SUFFIX,
    Record,
    encode_record,
    header,
    latest_promise,
    read_header,
    read_record,
    record_bytes,
    seed_of,
)

SEGMENT_BYTES = 16 << 20
SEGMENT_BYTES_MIN = 4096
PENDING_BYTES_MAX = 8 << 20
WATERMARK_BYTES_MAX = 1024
SPARES_MAX = 2
WATERMARK_KIND = 0  # Of the journal's own records; callers have 1 to 255.
ID_BYTES = 16

_SPARE = "spare"
_NEW = "new"
_HINT = (
    "this instance must not sign on: hand its address over to a fresh instance (an empty data "
    "folder as standby), or restore the disk as it was at the last moment of this node"
)


@dataclass(slots=True)
class _Segment:
    """A segment in use or full.

    Attributes:
        number: position among all segments ever; its file's name.
        path: the file.
        end: offset behind the last record.
        highest: greatest height of its records; -1: none.
    """

    number: int
    path: Path
    end: int = HEADER_BYTES
    highest: int = -1


class Journal:
    """An open journal; see the module's docstring.

    Attributes:
        watermark: bytes that must outlive pruning (the last signed point), to be kept current by
            the caller before each `append` that follows a signature; 0 to 1,024 bytes. After
            opening it is what the newest segment began with: a caller that finds something newer
            in `replay` must set it anew before it appends.
        next_sequence: the number the next record gets; the first is 0.
        is_new: whether opening made it (see :func:`zmqnode.storage.segments.is_blank`).
        synced_below: records with a lower sequence are on the disk.
    """

    def __init__(
        self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES, files: Files | None = None
    ) -> None:
        """Open the journal in a folder of its own, or make an empty one.

        Raises:
            Damaged: something that was synced once cannot be read any more, or the disk failed.
        """
        assert segment_bytes >= SEGMENT_BYTES_MIN
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._files = files or Files()
        self._failure: Damaged | None = None
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._unsynced = False
        self._preparing: threading.Thread | None = None
        self._prepared: int | None = None  # Descriptor of the next segment.
        self._segments: list[_Segment] = []
        self._spares: list[Path] = []
        self._handle = -1
        self._id = b""
        self._seed = 0
        self._watermark_sequence = 0
        self.watermark = b""
        self.is_new = False
        self.next_sequence = 0
        self.synced_below = 0
        try:
            self._open()
        except OSError as error:
            raise self._failed("opening", error) from error

    # Writing.

    def append(self, kind: int, data: bytes, height: int) -> int:
        """Take a record in; nothing is on the disk before `sync` returns.

        Args:
            kind: 1 to 255, the caller's.
            data: at most 32 MiB.
            height: the record is kept until the store durably has this height.
        Returns:
            Its sequence.
        Raises:
            Damaged: the journal failed, now or earlier.
        """
        assert WATERMARK_KIND < kind < 256
        assert len(data) <= RECORD_DATA_BYTES_MAX
        if self._failure is not None:
            raise self._failure
        size = record_bytes(len(data))
        segment = self._segments[-1]
        if segment.end + size > self._segment_bytes and segment.highest >= 0:
            self._rotate()
            segment = self._segments[-1]
        if self._pending_bytes + size > PENDING_BYTES_MAX:
            self.write()
        sequence = self._encode(kind, data, height)
        if height > segment.highest:
            segment.highest = height
        return sequence

    def write(self) -> None:
        """Hand everything appended to the operating system: it outlives this process.

        Raises:
            Damaged: the journal failed, now or earlier.
        """
        if self._failure is not None:
            raise self._failure
        if not self._pending:
            return
        data = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
        at = self._segments[-1].end - len(data)
        try:
            self._files.write(self._handle, data, at)
        except OSError as error:
            raise self._failed("writing", error) from error
        self._pending.clear()
        self._pending_bytes = 0
        self._unsynced = True

    def sync(self) -> None:
        """Return when everything appended is on the disk; costs nothing if it is already.

        Raises:
            Damaged: the journal failed, now or earlier. Nothing that was appended since the last
                sync may be sent.
        """
        if self._pending or self._failure is not None:
            self.write()
        if self._unsynced:
            try:
                self._files.sync(self._handle)
            except OSError as error:
                raise self._failed("syncing", error) from error
            self._unsynced = False
            self.synced_below = self.next_sequence
            if self._preparing is None and self._segments[-1].end * 2 > self._segment_bytes:
                self._prepare()

    def drop_below(self, height: int) -> int:
        """Retire the oldest segments that hold only records of lower heights.

        Called with the store's `durable_height + 1`. The segment in use always stays, and none
        goes before the watermark in it is synced.

        Returns:
            How many segments went.
        Raises:
            Damaged: the journal failed, now or earlier.
        """
        if self._failure is not None:
            raise self._failure
        dropped = 0
        while len(self._segments) > 1 and self._segments[0].highest < height:
            if self._watermark_sequence >= self.synced_below:
                break
            old = self._segments.pop(0)
            try:
                if len(self._spares) < SPARES_MAX:
                    spare = self._folder / f"{_SPARE}{old.number}"
                    self._files.rename(old.path, spare)
                    self._spares.append(spare)
                else:
                    self._files.unlink(old.path)
                # One by one: a gap between segments would be taken for damage.
                self._files.sync_folder(self._folder)
            except OSError as error:
                raise self._failed("dropping an old segment", error) from error
            dropped += 1
        return dropped

    def close(self) -> None:
        """Sync and let go of the files; a failed journal lets go without a sync."""
        if self._handle < 0:
            return
        try:
            if self._failure is None:
                self.sync()
        finally:
            self._join()
            for handle in (self._handle, self._prepared):
                if handle is not None:
                    self._files.close(handle)
            self._handle, self._prepared = -1, None

    def _encode(self, kind: int, data: bytes, height: int) -> int:
        sequence = self.next_sequence
        record = encode_record(self._seed, sequence, self.synced_below, height, kind, data)
        self._pending.append(record)
        self._pending_bytes += len(record)
        self._segments[-1].end += len(record)
        self.next_sequence = sequence + 1
        return sequence

    def _failed(self, doing: str, error: OSError) -> Damaged:
        """From here on everything is refused with the same error."""
        self._failure = Damaged(
            f"the vote journal failed while {doing}: {error}",
            hint="free disk space or replace the disk, then start the node again",
        )
        return self._failure

    # Segments.

    def _rotate(self) -> None:
        """Go on in the next segment; the one before is synced whole, so the order is certain."""
        self.sync()
        self._join()
        number = self._segments[-1].number + 1
        try:
            if self._prepared is None:
                self._make(number, self._spares.pop() if self._spares else None)
            self._files.close(self._handle)
        except OSError as error:
            raise self._failed("making a new segment", error) from error
        assert self._prepared is not None
        self._handle, self._prepared = self._prepared, None
        self._begin(_Segment(number, self._path(number)))

    def _begin(self, segment: _Segment) -> None:
        """Append the watermark as the first record of a new segment."""
        assert len(self.watermark) <= WATERMARK_BYTES_MAX
        self._segments.append(segment)
        self._seed = seed_of(self._id, segment.number)
        self._watermark_sequence = self._encode(WATERMARK_KIND, self.watermark, 0)

    def _prepare(self) -> None:
        """Make the next segment in a helper thread, so that rotating costs no waiting."""
        spare = self._spares.pop() if self._spares else None
        number = self._segments[-1].number + 1
        self._preparing = threading.Thread(
            target=self._make_ahead, args=(number, spare), name="journal", daemon=True
        )
        self._preparing.start()

    def _make_ahead(self, number: int, spare: Path | None) -> None:
        try:
            self._make(number, spare)
        except OSError:
            # Nothing is lost yet: rotating tries itself, and that failure is final.
            self._prepared = None

    def _join(self) -> None:
        if self._preparing is not None:
            self._preparing.join()
            self._preparing = None

    def _make(self, number: int, spare: Path | None) -> None:
        """A segment without records, synced, under its name; from a used file if there is one."""
        start = header(self._id, number)
        if spare is None:
            path = self._folder / f"{_NEW}{number}"
            handle = self._files.create(path, self._segment_bytes, start)
        else:
            path = spare
            handle = self._files.open(path)
            # Its old records are of another segment number, so they are none in this one.
            self._files.write(handle, start, 0)
            self._files.sync_all(handle)
        self._files.rename(path, self._path(number))
        self._files.sync_folder(self._folder)
        self._prepared = handle

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012d}{SUFFIX}"

    # Reading.

    def replay(self) -> Iterator[Record]:
        """All records of callers that the journal holds, oldest first, written or synced.

        Takes memory for one segment at a time.
        """
        for segment in list(self._segments):
            seed = seed_of(self._id, segment.number)
            content = segment.path.read_bytes()
            at = HEADER_BYTES
            while at < segment.end and (record := read_record(content, at, seed)) is not None:
                if record.kind != WATERMARK_KIND:
                    yield record
                at += record_bytes(len(record.data))

    def _open(self) -> None:
        is_new = not self._folder.exists()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if is_new:
            self._files.sync_folder(self._folder.parent)
        numbers = self._tidied()
        if not numbers:
            self.is_new = True
            self._id = os.urandom(ID_BYTES)
            self._make(0, None)
            assert self._prepared is not None
            self._handle, self._prepared = self._prepared, None
            self._begin(_Segment(0, self._path(0)))
        else:
            if numbers != list(range(numbers[0], numbers[-1] + 1)):
                raise Damaged(f"segments of the vote journal are missing: {numbers}", hint=_HINT)
            self._read_all(numbers)
        self.synced_below = self.next_sequence - len(self._pending)
        self.sync()

    def _tidied(self) -> list[int]:
        """The numbers of all segments; what was being made goes, files of others stay."""
        numbers = []
        for path in sorted(self._folder.iterdir()):
            if path.suffix == SUFFIX and path.stem.isdigit():
                numbers.append(int(path.stem))
            elif path.name.startswith(_SPARE) and len(self._spares) < SPARES_MAX:
                self._spares.append(path)
            elif path.name.startswith((_SPARE, _NEW)):
                self._files.unlink(path)
        return numbers

    def _read_all(self, numbers: list[int]) -> None:
        """Find the end, tell a torn tail from damage, and make the last segment ready."""
        expected = 0 if numbers[0] == 0 else None
        promise = 0
        content = tail = b""
        for number in numbers:
            content = self._path(number).read_bytes()
            self._check_header(content, number, is_first=number == numbers[0])
            segment = _Segment(number, self._path(number))
            expected = self._read_segment(segment, content, expected)
            if segment.end > HEADER_BYTES or not self._segments:
                self._segments.append(segment)
                tail = content
            ahead = latest_promise(content, segment.end, seed_of(self._id, number))
            promise = max(promise, ahead or 0)
        if expected is None or promise > expected:
            raise Damaged(
                f"the vote journal is damaged at record {expected or 'one'} in "
                f"{self._segments[-1].path.name}: later records prove that it was synced once",
                hint=_HINT,
            )
        self.next_sequence = expected
        self._take_up(tail, numbers)

    def _check_header(self, content: bytes, number: int, *, is_first: bool) -> None:
        found = read_header(content)
        if found is None or found[1] != number or not (is_first or found[0] == self._id):
            raise Damaged(
                f"segment {number} of the vote journal does not begin as it should", hint=_HINT
            )
        self._id = found[0]

    def _read_segment(self, segment: _Segment, content: bytes, expected: int | None) -> int | None:
        """Note where the run of records ends; the sequence expected after it."""
        seed = seed_of(self._id, segment.number)
        while (record := read_record(content, segment.end, seed)) is not None:
            if expected is not None and record.sequence != expected:
                break
            expected = record.sequence + 1
            segment.end += record_bytes(len(record.data))
            if record.kind == WATERMARK_KIND:
                self.watermark, self._watermark_sequence = record.data, record.sequence
            else:
                segment.highest = max(segment.highest, record.height)
        return expected

    def _take_up(self, content: bytes, numbers: list[int]) -> None:
        """Cut the tail of the last segment with records and go on there."""
        last = self._segments[-1]
        self._handle = self._files.open(last.path)
        self._seed = seed_of(self._id, last.number)
        if latest_promise(content, last.end, self._seed) is not None:
            # Whole records behind a torn one would come to life once that place is filled.
            self._files.write(self._handle, bytes(len(content) - last.end), last.end)
        # After a failed sync the kernel may show what never reached the disk: write it again.
        self._files.write(self._handle, content[: last.end], 0)
        self._files.sync_all(self._handle)
        for number in numbers:
            if number > last.number:  # Prepared, or torn with its first records.
                self._files.unlink(self._path(number))
        self._files.sync_folder(self._folder)
        if last.end == HEADER_BYTES:
            self._segments.clear()
            self._begin(last)
