"""A voteproof: at least q equal ballots of distinct members, as one fact and their signatures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zmqnode.base.ballot import BALLOT_TAG, Ballot, Fact
from zmqnode.base.codec import message
from zmqnode.base.keys import Address, Signature
from zmqnode.base.signing import Domain, Verify
from zmqnode.base.suffrage import MEMBERS_MAX, Suffrage


@message("voteproof", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class Voteproof:
    """One fact and (address, signature) pairs in address order.

    INIT VP, ACCEPT VP (final) or DRAW VP (round given up), by its fact.
    """

    fact: Fact
    signatures: tuple[tuple[Address, Signature], ...]

    def __post_init__(self) -> None:
        addresses = [address for address, _ in self.signatures]
        if not 1 <= len(addresses) <= MEMBERS_MAX or addresses != sorted(set(addresses)):
            raise ValueError("signatures must be of distinct members in address order")

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Who signed, in address order."""
        return tuple(address for address, _ in self.signatures)

    def ballots(self, suffrage: Suffrage) -> tuple[Ballot, ...]:
        """The ballots this stands for; signers outside the suffrage are left out."""
        found = []
        for address, signature in self.signatures:
            member = suffrage.by_address.get(address)
            if member is not None:
                found.append(
                    Ballot(
                        fact=self.fact,
                        address=address,
                        instance=member.instance,
                        epoch=member.epoch,
                        signature=signature,
                    )
                )
        return tuple(found)


def certify(fact: Fact, signatures: Mapping[Address, Signature]) -> Voteproof:
    """The voteproof of a fact from its signatures by address."""
    return Voteproof(fact=fact, signatures=tuple(sorted(signatures.items())))


def check_voteproof(vp: Voteproof, suffrage: Suffrage, domain: Domain, verify: Verify) -> bool:
    """Whether every signature is of a member of the suffrage and they reach its quorum."""
    if len(vp.signatures) < suffrage.q:
        return False
    for address, signature in vp.signatures:
        member = suffrage.by_address.get(address)
        if member is None:
            return False
        body = vp.fact.body(address, member.epoch)
        if not verify(member.instance, domain.message(BALLOT_TAG, body), signature):
            return False
    return True
