"""Who the simulated instances are: members of the genesis, standbys of theirs, next keys."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

from zmqnode.base.keys import Address, PublicKey
from zmqnode.base.signing import Domain
from zmqnode.base.suffrage import Member, Suffrage
from zmqnode.sim.plan import Plan
from zmqnode.sim.signing import KeyTable, SimSigner

FIRST_PORT: Final = 41_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who an instance is; twins share one.

    Args:
        place: where it stands in the network: its cuts and hushes; twins share it too.
        authority: the address's identity key.
        auto_ms: after how much silence it takes over by itself; None: never.
        asked: whether its operator is asked for consent.
    """

    member: int
    place: int
    address: Address
    instance: PublicKey
    signer: SimSigner
    authority: SimSigner
    url: str
    auto_ms: int | None = None
    asked: bool = False
    keys_used: int = 1


def genesis_suffrage(plan: Plan, keys: KeyTable) -> Suffrage:
    """The members of block 0."""
    members = (
        Member(
            address=Address(f"n{at:02}sas"),
            publickey=keys.key(f"identity {at}").public,
            instance=keys.key(f"instance {at}").public,
            epoch=0,
            url=_url(at),
        )
        for at in range(plan.nodes)
    )
    return Suffrage(members=tuple(members))


def _url(place: int) -> str:
    return f"tcp://127.0.0.1:{FIRST_PORT + 3 * place}"


def member_identity(plan: Plan, keys: KeyTable, domain: Domain, at: int) -> Identity:
    """A member's first copy."""
    return _identity(plan, keys, domain, at, at, f"instance {at}", 0)


def standby_identity(plan: Plan, keys: KeyTable, domain: Domain, which: int) -> Identity:
    """The copy that a standby of the plan is."""
    standby, place = plan.standbys[which], plan.nodes + which
    return _identity(plan, keys, domain, standby.member, place, f"standby {which}", standby.auto_ms)


def _identity(
    plan: Plan, keys: KeyTable, domain: Domain, member: int, place: int, key: str, auto_ms: int
) -> Identity:
    signer = SimSigner(keys.key(key), domain)
    return Identity(
        member=member,
        place=place,
        address=Address(f"n{member:02}sas"),
        instance=signer.public,
        signer=signer,
        authority=SimSigner(keys.key(f"identity {member}"), domain),
        url=_url(place),
        auto_ms=auto_ms or None,
        asked=place in plan.asked_consent,
    )


def next_key(identity: Identity, keys: KeyTable, index: int) -> Identity:
    """The same copy with a key that nobody has seen; ``index``: of the node, twins differ."""
    used = identity.keys_used
    signer = SimSigner(keys.key(f"node {index} key {used}"), identity.signer.domain)
    return dataclasses.replace(identity, instance=signer.public, signer=signer, keys_used=used + 1)
