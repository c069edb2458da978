"""What peers say to each other beside seals, ballots, proposals and voteproofs.

A *request* goes to one peer and is answered to it alone; an answer is never answered, so there are
no storms. Every list has a bound, checked when the message is built, so also when it is read.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from zmqnode.base.ballot import Ballot
from zmqnode.base.codec import message, pack
from zmqnode.base.handing import HandoverReply, HandoverRequest, Shadow
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address, PublicKey, Signature
from zmqnode.base.point import HEIGHT_MAX, ROUND_MAX
from zmqnode.base.proposal import Proposal
from zmqnode.base.seal import TIME_MAX_MS
from zmqnode.base.signing import Domain, Signs, Verify
from zmqnode.base.voteproof import Voteproof

STATUS_TAG: Final = "status"
LAST_BALLOT_TAG: Final = "last_ballot"
ROUNDS_ASKED_MAX: Final = 64
SEALS_ASKED_MAX: Final = 1000
SEALS_ANNOUNCED_MAX: Final = 256
BLOCKS_ASKED_MAX: Final = 256
VOTES_ANSWERED_MAX: Final = 512


class NodeState(enum.IntEnum):
    """The states of DESIGN.md section 5, without STOPPED (who is stopped says nothing)."""

    BOOTING = 1
    JOINING = 2
    CONSENSUS = 3
    SYNCING = 4
    HANDOVER = 5
    BROKEN = 6


@message("status", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Published every 500 ms and at each change of state: where an instance stands.

    ``height`` is the height worked at, ``tip`` the newest committed one, ``clock_ms`` its wall
    clock.
    """

    address: Address
    instance: PublicKey
    state: NodeState
    height: int
    tip: int
    clock_ms: int
    signature: Signature

    def __post_init__(self) -> None:
        if not (0 <= self.height <= HEIGHT_MAX and 0 <= self.tip <= HEIGHT_MAX):
            raise ValueError("height out of range")
        if not 0 <= self.clock_ms <= TIME_MAX_MS:
            raise ValueError("clock out of range")

    def body(self) -> bytes:
        """The bytes the signature covers."""
        return pack([self.address, int(self.state), self.height, self.tip, self.clock_ms])

    def verified(self, domain: Domain, verify: Verify) -> bool:
        """Whether the instance key signed this."""
        return verify(self.instance, domain.message(STATUS_TAG, self.body()), self.signature)


def sign_status(
    *, address: Address, state: NodeState, height: int, tip: int, clock_ms: int, signer: Signs
) -> Status:
    """The signer's status."""
    body = pack([address, int(state), height, tip, clock_ms])
    return Status(
        address=address,
        instance=signer.public,
        state=state,
        height=height,
        tip=tip,
        clock_ms=clock_ms,
        signature=signer.sign(STATUS_TAG, body),
    )


@message("seals.published", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class SealsPublished:
    """Wire bytes of seals, all of a turn in one message; 1 to 1000."""

    seals: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.seals) <= SEALS_ASKED_MAX:
            raise ValueError("no seals, or too many")


@message("seals.announced", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class SealsAnnounced:
    """Seals the publisher holds; who misses one asks for it. At most 256 hashes."""

    seals: tuple[Hash, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.seals) <= SEALS_ANNOUNCED_MAX:
            raise ValueError("no seals, or too many")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundHeld:
    """What the asker holds of one round: bit i of a mask is member i of the suffrage, in order.

    Masks have 64 bits, the wire's ints; ballots of members beyond are sent again.
    """

    round: int
    proposal: bool
    init_mask: int
    accept_mask: int
    init_vp: bool
    draw_vp: bool

    def __post_init__(self) -> None:
        if not 0 <= self.round <= ROUND_MAX or self.init_mask < 0 or self.accept_mask < 0:
            raise ValueError("round or mask out of range")


@message("votes.wanted", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class VotesWanted:
    """Request (R8): send what I miss of this height.

    At most 64 rounds; I hold nothing of the others. Answered with :class:`VotesAnswer`: the
    missing, or of a committed height its ACCEPT VP.
    """

    height: int
    round: int
    rounds: tuple[RoundHeld, ...]

    def __post_init__(self) -> None:
        if not (0 <= self.height <= HEIGHT_MAX and 0 <= self.round <= ROUND_MAX):
            raise ValueError("point out of range")
        if len(self.rounds) > ROUNDS_ASKED_MAX:
            raise ValueError("too many rounds")


@message("votes.answer", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class VotesAnswer:
    """Proposals, ballots and voteproofs the asker missed; at most 512 of them."""

    proposals: tuple[Proposal, ...]
    ballots: tuple[Ballot, ...]
    voteproofs: tuple[Voteproof, ...]

    def __post_init__(self) -> None:
        if len(self.proposals) + len(self.ballots) + len(self.voteproofs) > VOTES_ANSWERED_MAX:
            raise ValueError("too many votes")


@message("seals.wanted", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class SealsWanted:
    """Request: send these seals; at most 1000. Answered with :class:`SealsAnswer`."""

    seals: tuple[Hash, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.seals) <= SEALS_ASKED_MAX:
            raise ValueError("no seals, or too many")


@message("seals.answer", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class SealsAnswer:
    """The wire bytes of the seals the peer could serve, and the hashes it could not."""

    seals: tuple[bytes, ...]
    missing: tuple[Hash, ...]

    def __post_init__(self) -> None:
        if len(self.seals) + len(self.missing) > SEALS_ASKED_MAX:
            raise ValueError("too many seals")


@message("blocks.wanted", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class BlocksWanted:
    """Request: send blocks first to last (at most 256). Answered with :class:`BlocksAnswer`."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.last <= HEIGHT_MAX:
            raise ValueError("heights out of order")
        if self.last - self.first >= BLOCKS_ASKED_MAX:
            raise ValueError("too many blocks")


@message("blocks.answer", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class BlocksAnswer:
    """Consecutive blocks from ``first`` on, as many as fit the answer: (block bytes, ACCEPT VP)."""

    first: int
    blocks: tuple[tuple[bytes, Voteproof], ...]

    def __post_init__(self) -> None:
        if not 0 <= self.first <= HEIGHT_MAX:
            raise ValueError("height out of range")
        if len(self.blocks) > BLOCKS_ASKED_MAX:
            raise ValueError("too many blocks")


@message("last_ballot.wanted", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class LastBallotWanted:
    """Request (D6): the newest ballot you hold from my instance. ``nonce`` names this start."""

    instance: PublicKey
    nonce: Hash


@message("last_ballot.answer", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class LastBallotAnswer:
    """A member's signed answer to D6: the ballot itself, or none; may be relayed."""

    instance: PublicKey
    nonce: Hash
    ballot: Ballot | None
    answerer: PublicKey
    signature: Signature

    def body(self) -> bytes:
        """The bytes the signature covers; the ballot by its own signature."""
        held = None if self.ballot is None else self.ballot.signature
        return pack([self.instance, self.nonce, held])

    def verified(self, domain: Domain, verify: Verify) -> bool:
        """Whether the answerer's instance key signed this."""
        return verify(self.answerer, domain.message(LAST_BALLOT_TAG, self.body()), self.signature)


def sign_last_ballot(
    wanted: LastBallotWanted, ballot: Ballot | None, signer: Signs
) -> LastBallotAnswer:
    """The signer's answer to D6."""
    held = None if ballot is None else ballot.signature
    body = pack([wanted.instance, wanted.nonce, held])
    return LastBallotAnswer(
        instance=wanted.instance,
        nonce=wanted.nonce,
        ballot=ballot,
        answerer=signer.public,
        signature=signer.sign(LAST_BALLOT_TAG, body),
    )


Request = VotesWanted | SealsWanted | BlocksWanted | LastBallotWanted | HandoverRequest
Reply = VotesAnswer | SealsAnswer | BlocksAnswer | LastBallotAnswer | HandoverReply
Published = Ballot | Proposal | Voteproof | Status | SealsAnnounced | Shadow
