"""The vote journal on a disk that loses what was not synced, and on one that fails."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.storage.faulty import FaultyFiles
from tests.storage.journaling import SMALL, Entry, entries, entry, turns
from zmqnode.errors import Damaged
from zmqnode.storage.journal import Journal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@given(st.integers(0, 2**32), st.integers(1, 4))
@settings(max_examples=120, deadline=None)
def test_power_cuts_take_only_what_was_not_synced(
    tmp_path_factory: pytest.TempPathFactory, seed: int, cuts: int
) -> None:
    """Goal: after any power cuts all synced records are there, and only appended ones; never
    "damaged". Method: random turns on a disk that keeps any sectors of unsynced writes."""
    chance = random.Random(seed)
    folder = tmp_path_factory.mktemp("power") / "journal"
    appended: list[Entry] = []
    for _ in range(cuts):
        files = FaultyFiles()
        journal = Journal(folder, segment_bytes=SMALL, files=files)
        kept = entries(journal)
        synced = len(appended)
        for _ in range(chance.randrange(60)):
            one = entry(len(appended), chance.choice([0, 30, 400, 1500]))
            journal.append(*one)
            appended.append(one)
            match chance.randrange(5):
                case 0:
                    journal.write()
                case 1 | 2:
                    journal.sync()
                    synced = len(appended)
        # Rotation may have synced more than this test knows of.
        journal._join()
        files.cut_power(chance)
        again = Journal(folder, segment_bytes=SMALL, files=FaultyFiles())
        left = entries(again)
        again.close()
        assert left == appended[: len(left)]
        assert len(left) >= synced
        assert left[: len(kept)] == kept
        appended = left


@pytest.mark.parametrize("call", ["write", "sync"])
def test_an_error_of_the_disk_is_final(folder: Path, call: str) -> None:
    """Goal: nothing is tried again. Method: one failing call, then every method."""
    files = FaultyFiles()
    journal = Journal(folder, segment_bytes=SMALL, files=files)
    done = turns(journal, 3)
    files.fail_on = call
    journal.append(1, b"lost", 4)
    with pytest.raises(Damaged) as caught:
        journal.sync()
    assert caught.value.hint
    files.calls.clear()
    for refused in (
        journal.sync,
        journal.write,
        lambda: journal.append(1, b"more", 5),
        lambda: journal.drop_below(5),
    ):
        with pytest.raises(Damaged) as again:
            refused()
        assert again.value is caught.value
    journal.close()
    assert files.calls == []
    last = Journal(folder, segment_bytes=SMALL)
    assert entries(last)[:3] == done
    last.close()


@pytest.mark.parametrize("call", ["create", "rename", "sync_folder", "sync"])
def test_a_disk_that_fails_at_a_rotation_is_final_but_not_at_its_preparation(
    folder: Path, call: str
) -> None:
    files = FaultyFiles()
    journal = Journal(folder, segment_bytes=SMALL, files=files)
    files.fail_on = call
    number = 0
    try:
        for number in range(200):
            journal.append(*entry(number))
            if call != "sync" and number % 10 == 0:
                journal.sync()
    except Damaged:
        assert call == "sync"
        with pytest.raises(Damaged):
            journal.sync()
    else:
        journal.sync()
        assert len(entries(journal)) == 200
    assert not files.fail_on
    journal.close()
    again = Journal(folder, segment_bytes=SMALL)
    assert entries(again) == [entry(at) for at in range(len(entries(again)))]
    again.close()


@pytest.mark.parametrize("call", ["open", "write", "sync_all", "sync_folder"])
def test_a_disk_that_fails_at_opening_is_named(folder: Path, call: str) -> None:
    journal = Journal(folder, segment_bytes=SMALL)
    done = turns(journal, 3)
    journal.close()
    files = FaultyFiles()
    files.fail_on = call
    with pytest.raises(Damaged, match="opening"):
        Journal(folder, segment_bytes=SMALL, files=files)
    again = Journal(folder, segment_bytes=SMALL)
    assert entries(again) == done
    again.close()
