"""The addresses entitled to vote at a height, and the arithmetic of their quorums.

Integers only: f = (n - 1) // 3 faulty members are tolerated, q = (n + f) // 2 + 1 votes are needed.
Any two quorums share at least f + 1 members, so at least one honest one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from zmqnode.base.codec import pack
from zmqnode.base.hashes import Hash, tagged
from zmqnode.base.keys import Address, PublicKey

MEMBERS_MAX: Final = 100


def tolerated(n: int) -> int:
    """f, the number of faulty members that ``n`` members tolerate."""
    return (n - 1) // 3


def quorum(n: int) -> int:
    """q, the number of equal votes that decide among ``n`` members."""
    return (n + tolerated(n)) // 2 + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One address at one height: who it is, which instance votes for it, since which epoch."""

    address: Address
    publickey: PublicKey
    instance: PublicKey
    epoch: int
    url: str  # A hint where to find it; gives no right and is in no hash.


@dataclass(frozen=True, kw_only=True, eq=False)
class Suffrage:
    """1 to 100 members, in address order."""

    members: tuple[Member, ...]

    def __post_init__(self) -> None:
        addresses = [member.address for member in self.members]
        if not 1 <= len(addresses) <= MEMBERS_MAX:
            raise ValueError(f"a suffrage has 1 to {MEMBERS_MAX} members")
        if addresses != sorted(set(addresses)):
            raise ValueError("members must be distinct and in address order")

    @cached_property
    def n(self) -> int:
        """Members."""
        return len(self.members)

    @cached_property
    def f(self) -> int:
        """Faulty members tolerated."""
        return tolerated(self.n)

    @cached_property
    def q(self) -> int:
        """Votes needed."""
        return quorum(self.n)

    @cached_property
    def by_address(self) -> dict[Address, Member]:
        """Members by address, in address order."""
        return {member.address: member for member in self.members}

    @cached_property
    def by_instance(self) -> dict[PublicKey, Member]:
        """Members by the instance key that votes for them."""
        return {member.instance: member for member in self.members}

    @cached_property
    def hash(self) -> Hash:
        """Names addresses, keys, instances and epochs; not the url hints."""
        rows = [[m.address, m.publickey, m.instance, m.epoch] for m in self.members]
        return tagged(b"suffrage", pack(rows))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Suffrage) and self.members == other.members

    def __hash__(self) -> int:
        return hash(self.members)
