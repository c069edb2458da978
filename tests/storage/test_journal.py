"""The vote journal: what comes back, from every cut and every flipped bit, and what may go."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.storage.faulty import FaultyFiles
from tests.storage.journaling import SMALL, Entry, entries, entry, segments, turns
from zmqnode.errors import Damaged
from zmqnode.storage import journal as room
from zmqnode.storage.journal import Journal
from zmqnode.storage.segments import (
    HEADER_BYTES,
    RECORD_MAGIC,
    Record,
    encode_record,
    latest_promise,
    read_record,
    record_bytes,
    seed_of,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def test_what_was_appended_is_read_back(folder: Path) -> None:
    journal = Journal(folder, segment_bytes=SMALL)
    assert journal.is_new
    done = turns(journal, 3, 1, 40, 200)
    assert entries(journal) == done
    journal.close()
    journal.close()
    again = Journal(folder, segment_bytes=SMALL)
    assert not again.is_new
    assert entries(again) == done
    again.append(7, b"", 9)
    again.sync()
    assert entries(again) == [*done, (7, b"", 9)]
    again.close()
    assert len(segments(folder)) > 3


def test_a_record_may_be_larger_than_a_segment(folder: Path) -> None:
    done = [(1, bytes(range(256)) * 100, 5), (2, b"small", 6), (1, b"\xff" * 9000, 7)]
    with_sync = Journal(folder, segment_bytes=SMALL)
    for one in done:
        with_sync.append(*one)
    with_sync.sync()
    with_sync.close()
    again = Journal(folder, segment_bytes=SMALL)
    assert entries(again) == done
    again.close()


def test_a_turn_is_one_write_and_one_sync_and_silence_is_none(folder: Path) -> None:
    files = FaultyFiles()
    journal = Journal(folder, files=files, segment_bytes=1 << 16)
    files.calls.clear()
    for number in range(100):
        journal.append(*entry(number))
    assert files.calls == []
    journal.sync()
    assert files.calls == ["write", "sync"]
    journal.sync()
    journal.write()
    assert files.calls == ["write", "sync"]
    journal.append(*entry(0))
    journal.write()
    assert files.calls == ["write", "sync", "write"]
    assert journal.synced_below == 101
    journal.sync()
    assert files.calls == ["write", "sync", "write", "sync"]
    assert journal.synced_below == journal.next_sequence == 102
    journal.close()


def test_memory_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PENDING_BYTES_MAX", 1000)
    files = FaultyFiles()
    journal = Journal(folder, files=files)
    files.calls.clear()
    for number in range(50):
        journal.append(*entry(number))
        assert journal._pending_bytes <= 1000
    assert set(files.calls) == {"write"}
    journal.sync()
    assert len(entries(journal)) == 50
    journal.close()


def test_what_was_only_written_outlives_the_process(folder: Path, tmp_path: Path) -> None:
    journal = Journal(folder, segment_bytes=SMALL)
    done = turns(journal, 2)
    journal.append(9, b"executing", 3)
    journal.write()
    journal.append(9, b"in memory only", 3)
    shutil.copytree(folder, tmp_path / "copy")  # What a killed process leaves.
    files = FaultyFiles()
    again = Journal(tmp_path / "copy", segment_bytes=SMALL, files=files)
    assert entries(again) == [*done, (9, b"executing", 3)]
    # Read is not on the disk: it is written again and synced before it is trusted.
    assert files.calls.index("write") < files.calls.index("sync_all")
    again.close()
    journal.close()


# Cuts and flips.


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Entry], int, int]:
    """A journal of one segment; its records, where the last turn begins, where it ends."""
    folder = tmp_path_factory.mktemp("sample") / "journal"
    journal = Journal(folder, segment_bytes=SMALL)
    done = turns(journal, 2, 3, 4)
    end = journal._segments[-1].end
    journal.close()
    return folder, done, end - 4 * record_bytes(30), end


def reopened(
    sample: tuple[Path, list[Entry], int, int], tmp_path: Path, content: bytes
) -> list[Entry]:
    """What a journal of this content shows; it must go on from there.

    What is appended then has the size of the sample's records: were the tail not cleared, records
    behind the gap it fills would come to life.
    """
    folder = tmp_path / "bent"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    name = segments(sample[0])[0].name
    (folder / name).write_bytes(content)
    journal = Journal(folder, segment_bytes=SMALL, files=FaultyFiles())
    found = entries(journal)
    following = (8, b"n" * 30, 99)
    journal.append(*following)
    journal.sync()
    journal.close()
    again = Journal(folder, segment_bytes=SMALL, files=FaultyFiles())
    assert entries(again) == [*found, following]
    again.close()
    return found


@pytest.mark.parametrize("shorter", [False, True])
def test_a_tail_torn_anywhere_is_cut(
    sample: tuple[Path, list[Entry], int, int], tmp_path: Path, shorter: bool
) -> None:
    """Goal: whole records before the cut stay, nothing else. Method: every offset of the last turn
    and every fifth before."""
    folder, done, last_turn, end = sample
    content = segments(folder)[0].read_bytes()
    first = record_bytes(0)
    for cut in [*range(HEADER_BYTES, last_turn, 5), *range(last_turn, end + 1)]:
        bent = content[:cut] + (b"" if shorter else bytes(len(content) - cut))
        found = reopened(sample, tmp_path, bent)
        whole = max(0, (cut - HEADER_BYTES - first) // record_bytes(30))
        assert found[:whole] == done[:whole]
        assert found == done[: len(found)]
        # Only a cut inside the zeros behind a record's data takes nothing from it.
        assert len(found) - whole in (0, 1)


def test_a_bit_flipped_anywhere_is_cut_or_damage(
    sample: tuple[Path, list[Entry], int, int], tmp_path: Path
) -> None:
    """Goal: before the last turn, damage; in it, a cut; never another record. Method: each byte."""
    folder, done, last_turn, end = sample
    content = segments(folder)[0].read_bytes()
    padding: set[int] = set()
    at = HEADER_BYTES + record_bytes(0)
    while at < end:
        padding.update(range(at + record_bytes(30) - 2, at + record_bytes(30)))
        at += record_bytes(30)
    for at in range(end + 20):
        bent = bytearray(content)
        bent[at] ^= 1 << at % 8
        if at in padding or at >= end:
            assert reopened(sample, tmp_path, bytes(bent)) == done
        elif at < last_turn:
            with pytest.raises(Damaged) as caught:
                reopened(sample, tmp_path, bytes(bent))
            assert caught.value.hint
        else:
            found = reopened(sample, tmp_path, bytes(bent))
            assert found == done[: len(found)]
            assert len(found) == 5 + (at - last_turn) // record_bytes(30)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_harm_is_cut_or_damage(
    tmp_path_factory: pytest.TempPathFactory,
    sample: tuple[Path, list[Entry], int, int],
    data: st.DataObject,
) -> None:
    """Goal: records that were never appended are never read. Method: overwrite any stretches,
    with noise or with other parts of the same journal."""
    folder, done, _, end = sample
    content = bytearray(segments(folder)[0].read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, end))
        noise = data.draw(st.binary(min_size=1, max_size=100))
        if data.draw(st.booleans()):
            start = data.draw(st.integers(0, end))
            noise = bytes(content[start : start + 90])
        content[at : at + len(noise)] = noise
    try:
        found = reopened(sample, tmp_path_factory.mktemp("harm"), bytes(content))
    except Damaged:
        return
    assert found == done[: len(found)]


def test_a_missing_segment_is_damage(folder: Path) -> None:
    journal = Journal(folder, segment_bytes=SMALL)
    turns(journal, *[20] * 20)
    journal.close()
    segments(folder)[1].unlink()
    with pytest.raises(Damaged, match="missing") as caught:
        Journal(folder)
    assert "hand its address over" in caught.value.hint


def test_a_lost_tail_of_a_full_segment_is_damage(folder: Path) -> None:
    """Goal: a synced record between two segments is missed. Method: zero the last of the first."""
    journal = Journal(folder, segment_bytes=SMALL)
    turns(journal, *[1] * 80)
    end = journal._segments[0].end
    journal.close()
    path = segments(folder)[0]
    content = bytearray(path.read_bytes())
    content[end - record_bytes(30) : end] = bytes(record_bytes(30))
    path.write_bytes(content)
    with pytest.raises(Damaged, match="was synced once"):
        Journal(folder)


@pytest.mark.parametrize("which", [0, 1])
def test_a_segment_of_another_journal_is_damage(folder: Path, tmp_path: Path, which: int) -> None:
    for path in (folder, tmp_path / "other"):
        journal = Journal(path, segment_bytes=SMALL)
        turns(journal, *[20] * 10)
        journal.close()
    shutil.copy(segments(tmp_path / "other")[which], segments(folder)[which])
    with pytest.raises(Damaged, match="does not begin as it should"):
        Journal(folder)


def test_files_of_others_are_left_alone(folder: Path) -> None:
    folder.mkdir()
    for name in ("notes.txt", "x.journal", "new7", "spareA"):
        (folder / name).write_text("mine")
    Journal(folder, segment_bytes=SMALL).close()
    assert (folder / "notes.txt").exists()
    assert (folder / "x.journal").exists()
    assert not (folder / "new7").exists()


# Pruning.


def test_segments_go_when_the_store_has_their_heights(folder: Path) -> None:
    """Goal: no record of a height that is not durable goes; the rest does, a segment at a time."""
    journal = Journal(folder, segment_bytes=SMALL)
    done = turns(journal, *[1] * 500)
    assert len(segments(folder)) > 5
    left = done
    for durable in (0, 3, 100, 101, 333, 400):
        journal.drop_below(durable + 1)
        left = entries(journal)
        assert left == done[len(done) - len(left) :]
        assert left[0][2] <= durable + 1
        assert left[0][2] > durable - 60  # No more than a segment's worth stays behind.
    journal.close()
    again = Journal(folder, segment_bytes=SMALL)
    assert entries(again) == left
    assert again.next_sequence == journal.next_sequence
    assert again.drop_below(10_000) > 0
    assert len(segments(folder)) <= 2
    again.close()


def test_a_late_height_keeps_its_segment_and_all_behind_it(folder: Path) -> None:
    journal = Journal(folder, segment_bytes=SMALL)
    journal.append(1, b"far ahead", 1000)
    turns(journal, *[1] * 300)
    assert journal.drop_below(500) == 0
    assert entries(journal)[0] == (1, b"far ahead", 1000)
    assert journal.drop_below(1001) > 0
    journal.close()


def test_the_watermark_outlives_pruning(folder: Path) -> None:
    journal = Journal(folder, segment_bytes=SMALL)
    for number in range(400):
        journal.watermark = b"point %d" % number
        journal.append(*entry(number))
        journal.sync()
    journal.drop_below(400)
    first = entries(journal)[0][2]
    journal.close()
    again = Journal(folder, segment_bytes=SMALL)
    # As of the moment the segment began: at or after everything that is gone.
    assert again.watermark == b"point %d" % first
    again.close()


def test_no_segment_goes_before_the_watermark_is_synced(folder: Path) -> None:
    """Goal: a power cut right after pruning finds it. Method: rotate without a sync after it."""
    files = FaultyFiles()
    journal = Journal(folder, segment_bytes=SMALL, files=files)
    number = 0
    while len(journal._segments) == 1:
        journal.watermark = b"%d" % number
        journal.append(*entry(number))
        number += 1
    assert journal.drop_below(10_000) == 0
    journal.sync()
    assert journal.drop_below(10_000) == 1
    journal.close()


def test_used_files_are_used_again_and_never_read_again(folder: Path) -> None:
    """Goal: old bytes are no records. Method: endless pruning; count files, compare contents."""
    journal = Journal(folder, segment_bytes=SMALL)
    for number in range(3000):
        journal.append(*entry(number))
        if number % 7 == 0:
            journal.sync()
            journal.drop_below(number - 20)
            assert len(list(folder.iterdir())) <= 4 + room.SPARES_MAX
        if number % 500 == 499:
            journal.sync()
            before = entries(journal)
            journal.close()
            journal = Journal(folder, segment_bytes=SMALL)
            assert entries(journal) == before
            assert before[-1] == entry(number)
    journal.close()


# The bytes.


def test_a_record_is_valid_only_in_its_own_segment() -> None:
    seed = seed_of(b"j" * 16, 4)
    data = encode_record(seed, 9, 7, 33, 2, b"hello")
    assert len(data) == record_bytes(5)
    assert read_record(data, 0, seed) == Record(9, 7, 33, 2, b"hello")
    assert latest_promise(data, 0, seed) == 7
    for other in (seed_of(b"j" * 16, 5), seed_of(b"k" * 16, 4)):
        assert read_record(data, 0, other) is None
        assert latest_promise(data, 0, other) is None


def test_a_stranger_s_bytes_cost_no_more_than_their_length() -> None:
    """Goal: a search is linear in what is searched. Method: a megabyte of beginnings that all
    claim much data, counted in checksummed bytes by time: a quadratic search takes minutes."""
    head = RECORD_MAGIC + b"\x01\xff\xff\xff"
    assert latest_promise(head * (1 << 17), 0, 1) is None
