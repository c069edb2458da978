"""What a leader proposes: a value (what the block will contain) and why it may propose it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from zmqnode.base.codec import encode, message, pack, to_wire
from zmqnode.base.hashes import Hash, sha256, tagged
from zmqnode.base.keys import Address, PublicKey, Signature
from zmqnode.base.point import HEIGHT_MAX, ROUND_MAX, Point
from zmqnode.base.seal import TIME_MAX_MS
from zmqnode.base.signing import Domain, Signs, Verify
from zmqnode.base.voteproof import Voteproof

PROPOSAL_TAG: Final = "proposal"
FRESH: Final = -1  # pr of a proposal whose value was in no INIT VP.


@message("value", version=1)
@dataclass(frozen=True, kw_only=True)
class Value:
    """Parent, time, seal hashes, and the ACCEPT VP of height - 2 (none at heights 1 and 2).

    It names no round, so it can be proposed again as it is.
    """

    height: int
    parent: Hash
    time_ms: int
    seals: tuple[Hash, ...]
    accept: Voteproof | None

    def __post_init__(self) -> None:
        if not (1 <= self.height <= HEIGHT_MAX and 0 <= self.time_ms <= TIME_MAX_MS):
            raise ValueError("value out of range")
        if (self.accept is None) != (self.height <= 2):
            raise ValueError("a value carries the ACCEPT VP of height - 2, from height 3 on")

    @cached_property
    def hash(self) -> Hash:
        """Names the value in ballots (``vid``)."""
        return tagged(b"value", encode(self))


@message("proposal", version=1)
@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A leader's signed proposal at (height, round).

    ``pr`` is FRESH, or the round whose INIT VP named this value. ``justification``: at round 0 the
    ACCEPT VP of the height before (empty: at height 1, or early); at later rounds the INIT VP of
    pr, if any, and the DRAW VPs of every round from pr + 1 to round - 1, in round order.
    """

    height: int
    round: int
    value: Value
    pr: int
    justification: tuple[Voteproof, ...]
    address: Address
    instance: PublicKey
    epoch: int
    signature: Signature

    def __post_init__(self) -> None:
        if not (1 <= self.height <= HEIGHT_MAX and 0 <= self.round <= ROUND_MAX):
            raise ValueError("point out of range")
        if self.value.height != self.height:
            raise ValueError("the value is of another height")
        if not FRESH <= self.pr < self.round:
            raise ValueError("pr must be FRESH or a round before this one")

    @property
    def point(self) -> Point:
        """Height and round."""
        return Point(height=self.height, round=self.round)

    def verified(self, domain: Domain, verify: Verify) -> bool:
        """Whether the instance key signed this; says nothing about its right to lead."""
        body = proposal_body(self)
        return verify(self.instance, domain.message(PROPOSAL_TAG, body), self.signature)


def proposal_body(proposal: Proposal) -> bytes:
    """The bytes a proposal's signature covers; the value by its hash, the justification whole."""
    reasons = sha256(pack([to_wire(vp) for vp in proposal.justification]))
    return pack(
        [
            proposal.height,
            proposal.round,
            proposal.value.hash,
            proposal.pr,
            reasons,
            proposal.address,
            proposal.epoch,
        ]
    )


def sign_proposal(
    point: Point,
    value: Value,
    *,
    pr: int,
    justification: tuple[Voteproof, ...],
    address: Address,
    epoch: int,
    signer: Signs,
) -> Proposal:
    """The signer's proposal at a point."""

    def build(signature: Signature) -> Proposal:
        return Proposal(
            height=point.height,
            round=point.round,
            value=value,
            pr=pr,
            justification=justification,
            address=address,
            instance=signer.public,
            epoch=epoch,
            signature=signature,
        )

    unsigned = build(Signature(bytes(64)))
    return build(signer.sign(PROPOSAL_TAG, proposal_body(unsigned)))
