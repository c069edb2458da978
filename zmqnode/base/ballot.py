"""Votes: one instance's signed claim at a point.

INIT(value): I hold every seal of this value on disk and checked it. ACCEPT(value, block): executing
it gives this block. ACCEPT(DRAW): I give this round up. Exactly one ACCEPT per point is the core of
safety.
"""

from __future__ import annotations

from dataclasses import dataclass

from zmqnode.base.codec import message, pack
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address, PublicKey, Signature
from zmqnode.base.point import HEIGHT_MAX, ROUND_MAX, Point, Stage
from zmqnode.base.signing import Domain, Signs, Verify

BALLOT_TAG = "ballot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What is voted for: INIT has a value, ACCEPT a value and a block, DRAW neither."""

    height: int
    round: int
    stage: Stage
    value: Hash | None = None
    block: Hash | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.height <= HEIGHT_MAX and 0 <= self.round <= ROUND_MAX):
            raise ValueError("point out of range")
        if self.stage is Stage.INIT:
            if self.value is None or self.block is not None:
                raise ValueError("INIT names a value and no block")
        elif (self.value is None) != (self.block is None):
            raise ValueError("ACCEPT names a value and its block, or neither")

    @property
    def point(self) -> Point:
        """Height and round."""
        return Point(height=self.height, round=self.round)

    @property
    def draw(self) -> bool:
        """Whether this gives the round up."""
        return self.stage is Stage.ACCEPT and self.value is None

    def body(self, address: str, epoch: int) -> bytes:
        """The bytes a ballot's signature covers beside tag, version and chain."""
        return pack(
            [self.height, self.round, int(self.stage), self.value, self.block, address, epoch]
        )


def init_fact(point: Point, value: Hash) -> Fact:
    """INIT(value) at a point."""
    return Fact(height=point.height, round=point.round, stage=Stage.INIT, value=value)


def accept_fact(point: Point, value: Hash, block: Hash) -> Fact:
    """ACCEPT(value, block) at a point."""
    return Fact(
        height=point.height, round=point.round, stage=Stage.ACCEPT, value=value, block=block
    )


def draw_fact(point: Point) -> Fact:
    """ACCEPT(DRAW) at a point."""
    return Fact(height=point.height, round=point.round, stage=Stage.ACCEPT)


@message("ballot", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """A fact signed by the instance that votes for an address in an epoch."""

    fact: Fact
    address: Address
    instance: PublicKey
    epoch: int
    signature: Signature

    def verified(self, domain: Domain, verify: Verify) -> bool:
        """Whether the instance key signed this; says nothing about its right to vote."""
        body = self.fact.body(self.address, self.epoch)
        return verify(self.instance, domain.message(BALLOT_TAG, body), self.signature)


def sign_ballot(fact: Fact, address: Address, epoch: int, signer: Signs) -> Ballot:
    """The ballot of the signer's instance for an address."""
    return Ballot(
        fact=fact,
        address=address,
        instance=signer.public,
        epoch=epoch,
        signature=signer.sign(BALLOT_TAG, fact.body(address, epoch)),
    )
