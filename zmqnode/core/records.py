"""What the journal remembers (D1, D3, D5, D7), and what a start gets back from disk."""

from __future__ import annotations

from dataclasses import dataclass

from zmqnode.base.ballot import Ballot
from zmqnode.base.codec import message
from zmqnode.base.handing import Shadow
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address
from zmqnode.base.proposal import Proposal, Value
from zmqnode.base.suffrage import Suffrage
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.authority_state import Authority
from zmqnode.core.timing import Timing


@message("journal.ballot", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class BallotSigned:
    """An own ballot (D1, D2)."""

    ballot: Ballot

    @property
    def height(self) -> int:
        """The height it belongs to; a segment goes once the store has all its heights."""
        return self.ballot.fact.height


@message("journal.proposal", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalSigned:
    """An own proposal: one per (height, round, parent) (D1)."""

    proposal: Proposal

    @property
    def height(self) -> int:
        """The height it belongs to."""
        return self.proposal.height


@message("journal.value", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class ValueHeld:
    """A value and the wire bytes of all its seals, in its order (D3, D5)."""

    value: Value
    seals: tuple[bytes, ...]

    @property
    def height(self) -> int:
        """The height it belongs to."""
        return self.value.height


@message("journal.certificate", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateHeld:
    """An entry certificate, an INIT VP an ACCEPT rests on, or the ACCEPT VP of a block (D3)."""

    voteproof: Voteproof

    @property
    def height(self) -> int:
        """The height it belongs to."""
        return self.voteproof.fact.height


@message("journal.executing", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionBegun:
    """Written before the application runs a value (D7)."""

    height: int
    round: int
    value: Hash


@message("journal.shadow", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowSigned:
    """An own shadow ballot: a standby's disk is tried like a voter's."""

    shadow: Shadow

    @property
    def height(self) -> int:
        """The height it belongs to."""
        return self.shadow.height


JournalRecord = (
    BallotSigned | ProposalSigned | ValueHeld | CertificateHeld | ExecutionBegun | ShadowSigned
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSummary:
    """What the core keeps of a committed block.

    ``seals`` are (hash, created_at_ms); ``voters`` the addresses in the ACCEPT VP the value
    carries; ``accept`` any ACCEPT VP of this block (None for block 0).
    """

    height: int
    hash: Hash
    value: Hash
    time_ms: int
    seals: tuple[tuple[Hash, int], ...]
    voters: tuple[Address, ...]
    accept: Voteproof | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What disk gave back at a start.

    Args:
        blocks: summaries in height order up to the tip, without gaps: all of the last
            ``seal_ttl_ms + seal_ahead_ms`` of block time and at least the last 6 (or back to 0).
        executed: in place of those beyond the last 6, (created_at_ms, hash) of their seals.
        suffrages: suffrage by height, from the first of ``blocks`` (or tip - 5) to tip + 2.
        records: the journal's records of heights above the tip, in order of writing.
        watermark: the newest ballot ever signed that pruning kept, if any.
        nonce: 32 bytes that name this start (D6).
        authority: who votes and what is under way, after the tip; None: as the newest suffrage
            says, with nothing under way.
        bound: False when the data folder was copied or moved (DESIGN.md section 2): sign nothing.
        votes_lost: True when the folder's vote journal is gone while its chain is there: what this
            instance signed is not known, so it signs nothing more (D4, D6).
        deaths: seals inside whose execution this process died, and how often (D7).
        timing: what the machine before it in this process learned of the network; None: nothing.
    """

    blocks: tuple[BlockSummary, ...]
    suffrages: tuple[tuple[int, Suffrage], ...]
    records: tuple[JournalRecord, ...]
    watermark: Ballot | None
    nonce: Hash
    authority: Authority | None = None
    bound: bool = True
    votes_lost: bool = False
    deaths: tuple[tuple[Hash, int], ...] = ()
    executed: tuple[tuple[int, Hash], ...] = ()
    timing: Timing | None = None
