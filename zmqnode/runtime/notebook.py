"""The core's records in the vote journal: kinds, heights, watermark."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from zmqnode.base.ballot import Ballot
from zmqnode.base.codec import decode, decode_as, encode
from zmqnode.base.keys import PublicKey
from zmqnode.core.records import (
    BallotSigned,
    CertificateHeld,
    ExecutionBegun,
    JournalRecord,
    ProposalSigned,
    ShadowSigned,
    ValueHeld,
)
from zmqnode.errors import Damaged, Malformed
from zmqnode.storage.journal import Journal

KINDS: Final[dict[type, int]] = {
    BallotSigned: 1,
    ProposalSigned: 2,
    ValueHeld: 3,
    CertificateHeld: 4,
    ExecutionBegun: 5,
    ShadowSigned: 6,
}
_DAMAGED_HINT: Final = "start with an empty data folder as a standby and hand the vote over to it"


class Notebook:
    """Appends what the core wants remembered; one sync serves all appends of a turn."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder)

    def append(self, record: JournalRecord) -> None:
        """Remember; durable after the next :meth:`sync`."""
        if isinstance(record, BallotSigned):
            # Kept current so that pruning never forgets the last signed point (D2, D4).
            self.journal.watermark = encode(record.ballot)
        self.journal.append(KINDS[type(record)], encode(record), record.height)

    def write(self) -> None:
        """Hand what was appended to the system: it outlives this process, not a power cut (D7)."""
        self.journal.write()

    def sync(self) -> None:
        """One write and one fdatasync; raises Damaged, after which nothing may be sent."""
        self.journal.sync()

    def prune(self, durable_height: int) -> None:
        """The store durably has everything up to this height."""
        self.journal.drop_below(durable_height + 1)

    def recovered(
        self, tip: int, instance: PublicKey
    ) -> tuple[tuple[JournalRecord, ...], Ballot | None]:
        """Records of heights above the tip, and the newest ballot this instance ever signed.

        What an earlier instance of this folder signed binds nobody any more: its key is spent.
        """
        newest: Ballot | None = None
        try:
            if self.journal.watermark:
                ballot = decode_as(Ballot, self.journal.watermark)
                newest = ballot if ballot.instance == instance else None
            found: list[JournalRecord] = []
            for item in self.journal.replay():
                record = decode(item.data)
                if _signer(record) not in (None, instance):
                    continue
                if isinstance(record, BallotSigned):
                    newest = _later(newest, record.ballot)
                if record.height > tip:
                    found.append(record)
        except Malformed as error:
            raise Damaged(
                f"the vote journal holds no record: {error}", hint=_DAMAGED_HINT
            ) from None
        if newest is not None:
            # The journal only knows what its newest segment began with: a segment begun before the
            # next signature would carry that on, and pruning would forget what is newer.
            self.journal.watermark = encode(newest)
        return tuple(found), newest

    def close(self) -> None:
        """Sync and let go of the files."""
        self.journal.close()


def _signer(record: JournalRecord) -> PublicKey | None:
    """The instance that signed what a record holds; None: it is about the chain."""
    match record:
        case BallotSigned():
            return record.ballot.instance
        case ProposalSigned():
            return record.proposal.instance
        case ShadowSigned():
            return record.shadow.instance
        case _:
            return None


def _later(first: Ballot | None, second: Ballot) -> Ballot:
    if first is None:
        return second
    one, other = first.fact, second.fact
    newer = (other.height, other.round, other.stage) > (one.height, one.round, one.stage)
    return second if newer else first
