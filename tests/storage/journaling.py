"""What the tests of the journal share."""

from __future__ import annotations

from pathlib import Path

from zmqnode.storage.journal import SEGMENT_BYTES_MIN, Journal

SMALL = SEGMENT_BYTES_MIN

Entry = tuple[int, bytes, int]


def entries(journal: Journal) -> list[Entry]:
    """Kind, data and height of all records, after a look at their sequence."""
    found = list(journal.replay())
    sequences = [record.sequence for record in found]
    assert sequences == sorted(set(sequences))
    return [(record.kind, record.data, record.height) for record in found]


def entry(number: int, size: int = 30) -> Entry:
    return number % 5 + 1, (b"%d-" % number).ljust(size, b"x"), number


def turns(journal: Journal, *sizes: int) -> list[Entry]:
    """One sync for each number given, of so many records."""
    done: list[Entry] = []
    for size in sizes:
        for _ in range(size):
            done.append(entry(len(done)))
            journal.append(*done[-1])
        journal.sync()
    return done


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.journal"))
