"""A simulated disk: the journal, of which only the synced part is sure to survive, and the store.

The journal is append-only. A crash keeps everything up to the last sync and, of the rest, a prefix
(a torn record counts as lost: the real journal cuts it by its checksum). The store commits whole
blocks some time after the machine did; what it has is durable, and journal records of its heights
are pruned, all but the watermark. The checkers read the *durable* view here, never the machine's
memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from zmqnode.base.ballot import Ballot, Fact
from zmqnode.base.block import Block
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import PublicKey
from zmqnode.base.suffrage import Suffrage
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.authority import Authority, suffrage
from zmqnode.core.records import (
    BallotSigned,
    BlockSummary,
    CertificateHeld,
    JournalRecord,
    ProposalSigned,
    Recovery,
    ShadowSigned,
    ValueHeld,
)
from zmqnode.core.timing import Timing

PRUNE_EVERY_RECORDS = 256
SUMMARIES_LEAST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One committed block as the store keeps it."""

    block: Block
    accept: Voteproof | None  # None: block 0.
    authority: Authority  # After it: the store keeps the state.


class SimDisk:
    """Journal and store of one instance."""

    def __init__(self, genesis: Stored, own: PublicKey) -> None:
        self.own = own  # The instance key that lies on it.
        self.blocks: list[Stored] = [genesis]  # By height; what the machine committed.
        self.durable_height = 0  # The store's marker.
        self.records: list[JournalRecord] = []
        self.synced = 0  # Records before this index survive a crash.
        self.watermark: Ballot | None = None
        self.newest = (0, 0, 0)  # Height, round, stage of the newest own ballot written.
        self.signatures: dict[bytes, None] = {}  # Durable own ballots and proposals.
        self.contents: dict[Hash, int] = {}  # Durable values with all their seals: their height.
        self.certificates: dict[Fact, None] = {}  # Facts of durable voteproofs.
        self.deaths: dict[Hash, int] = {}  # Seals inside whose execution the process died.

    @property
    def height(self) -> int:
        """Of the newest committed block, durable or not."""
        return len(self.blocks) - 1

    def append(self, record: JournalRecord, *, sync: bool) -> None:
        """Write a record; with ``sync``, it and all before it are durable on return."""
        self.records.append(record)
        self._own_ballot(record)
        if sync:
            for done in self.records[self.synced :]:
                self._mark(done)
            self.synced = len(self.records)
            if self.synced > PRUNE_EVERY_RECORDS:
                self._prune()

    def rekey(self, own: PublicKey) -> None:
        """The instance key is deleted and another one made; the rest stays."""
        self.own = own
        self.newest = (0, 0, 0)

    def _own_ballot(self, record: JournalRecord) -> None:
        if isinstance(record, BallotSigned) and record.ballot.instance == self.own:
            self.newest = max(self.newest, place_of(record.ballot))

    def _mark(self, record: JournalRecord) -> None:
        match record:
            case BallotSigned(ballot=ballot):
                self.signatures[ballot.signature] = None
            case ProposalSigned(proposal=proposal):
                self.signatures[proposal.signature] = None
            case ShadowSigned(shadow=shadow):
                self.signatures[shadow.signature] = None
            case ValueHeld(value=value):
                self.contents[value.hash] = value.height
            case CertificateHeld(voteproof=voteproof):
                self.certificates[voteproof.fact] = None

    def holds_content(self, value: Hash) -> bool:
        """Whether the value and all its seals would survive a crash now."""
        return value in self.contents

    def commit(self, stored: Stored) -> None:
        """The machine's next block; durable only once :meth:`flush` reached it."""
        self.blocks.append(stored)

    def flush(self, height: int) -> None:
        """The store's transaction up to ``height`` is durable."""
        height = min(height, self.height)
        for stored in self.blocks[self.durable_height + 1 : height + 1]:
            self.contents[stored.block.manifest.value] = stored.block.height
        self.durable_height = max(self.durable_height, height)

    def blame(self, random: Random, executing: Iterable[tuple[Hash, ...]]) -> None:
        """The process died: the mark it left names the seal it was in, rightly blamed or not.

        Args:
            executing: the seals of each value; they run one after the other.
        """
        seals = next((seals for seals in executing if seals), None)
        if seals is not None:
            seal = random.choice(seals)
            self.deaths[seal] = self.deaths.get(seal, 0) + 1

    def _prune(self) -> None:
        """Drop synced records of heights the store has; remember the newest own ballot."""
        kept = []
        for record in self.records[: self.synced]:
            if record.height > self.durable_height:
                kept.append(record)
            elif isinstance(record, BallotSigned):
                self.watermark = newer(self.watermark, record.ballot)
        self.records[: self.synced] = kept
        self.synced = len(kept)

    def crash(self, random: Random, tail: str, forget: int = 0) -> None:
        """Lose what was not durable.

        Args:
            tail: "lost", "partly" or "kept": what becomes of unsynced records.
            forget: synced records at the end that are lost all the same (a lying disk).
        """
        unsynced = len(self.records) - self.synced
        if tail == "partly":
            unsynced = random.randint(0, unsynced)
        elif tail != "kept":
            unsynced = 0
        del self.records[max(0, self.synced + unsynced - forget) :]
        del self.blocks[self.durable_height + 1 :]
        self.synced = len(self.records)
        self.signatures.clear()
        self.certificates.clear()
        self.newest = (0, 0, 0)
        if self.watermark is not None and self.watermark.instance == self.own:
            self.newest = place_of(self.watermark)
        self.contents = {s.block.manifest.value: s.block.height for s in self.blocks[1:]}
        for record in self.records:
            self._mark(record)
            self._own_ballot(record)
        self._prune()

    def remembered(self) -> tuple[JournalRecord, ...]:
        """What a start gets back: records of heights above the store's tip, in order."""
        return tuple(r for r in self.records if r.height > self.height)

    def recovery(self, span_ms: int, nonce: Hash, timing: Timing | None) -> Recovery:
        """All that a start gets back; blocks as in :meth:`summaries`."""
        return Recovery(
            blocks=self.summaries(span_ms, SUMMARIES_LEAST),
            suffrages=self.suffrages(max(0, self.height - SUMMARIES_LEAST)),
            records=self.remembered(),
            watermark=self.watermark,
            nonce=nonce,
            authority=self.authority,
            deaths=tuple(self.deaths.items()),
            timing=timing,
        )

    @property
    def authority(self) -> Authority:
        """Who votes and what is under way, after the newest block."""
        return self.blocks[-1].authority

    def suffrages(self, first: int) -> tuple[tuple[int, Suffrage], ...]:
        """Who may vote, by height, from ``first`` to two heights above the tip."""
        known = ((h, self.blocks[max(0, h - 2)].authority) for h in range(first, self.height + 3))
        return tuple((height, suffrage(after, height)) for height, after in known)

    def summaries(self, span_ms: int, least: int) -> tuple[BlockSummary, ...]:
        """The newest blocks: all of the last ``span_ms`` of block time and ``least`` of them."""
        found: list[BlockSummary] = []
        newest = self.blocks[-1].block.value
        since_ms = 0 if newest is None else newest.time_ms - span_ms
        for stored in reversed(self.blocks):
            value = stored.block.value
            if len(found) >= least and value is not None and value.time_ms < since_ms:
                break
            found.append(summarise(stored))
        return tuple(reversed(found))


def place_of(ballot: Ballot) -> tuple[int, int, int]:
    """Height, round and stage: the order in which an instance signs."""
    return ballot.fact.height, ballot.fact.round, int(ballot.fact.stage)


def newer(first: Ballot | None, second: Ballot) -> Ballot:
    """Whichever of two ballots was signed later; a disk's next instance signs after its last."""
    if first is None or first.instance != second.instance:
        return second
    return second if place_of(first) < place_of(second) else first


def summarise(stored: Stored) -> BlockSummary:
    """What the core keeps of a block, from the block alone."""
    block, value = stored.block, stored.block.value
    carried = None if value is None else value.accept
    return BlockSummary(
        height=block.height,
        hash=block.hash,
        value=block.manifest.value,
        time_ms=0 if value is None else value.time_ms,
        seals=tuple((seal.hash, seal.created_at_ms) for seal in block.seals),
        voters=() if carried is None else carried.addresses,
        accept=None if value is None else stored.accept,
    )
