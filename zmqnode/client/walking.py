"""Who may sign a block, followed from genesis change by change.

A manifest h commits to suffrage(h + 2) by hash, and a quorum of suffrage(h) signs it. So a client
that trusts the genesis hash takes the changes in order: each is a manifest, the ACCEPT voteproof of
the suffrage of its height as known so far, and the members whose hash it names. What no change
names is what it was. A suffrage is never reached by overlap with an older one: a voteproof holds
only if a whole quorum of the newest suffrage known for its height signed it, each by the instance
and under the epoch that are entitled there.

Source: HANDOVER.md section 1, light clients.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from zmqnode.base.block import Manifest
from zmqnode.base.codec import decode_as
from zmqnode.base.handover_query import ChangesAsked
from zmqnode.base.keys import Address, PublicKey, verify
from zmqnode.base.point import Stage
from zmqnode.base.query import SuffrageAsked
from zmqnode.base.signing import Domain
from zmqnode.base.suffrage import Member, Suffrage
from zmqnode.base.voteproof import Voteproof, check_voteproof
from zmqnode.client.answers import SuffrageInfo, read
from zmqnode.client.auditing import members_of
from zmqnode.errors import Malformed, Refused

Tell = Callable[[object], Awaitable[dict[str, Any]]]
"""Asks a node a request; its told object."""


class SuffrageWalk:
    """The suffrages of a chain as far as they were followed; what is taken is checked and stays.

    Args:
        domain: the chain; its genesis hash is what is trusted.
        genesis: the manifest of block 0.
        first: the members it names.
    Raises:
        Refused: ``proof_invalid``, they do not belong together.
    """

    def __init__(self, domain: Domain, genesis: Manifest, first: Suffrage) -> None:
        if genesis.hash != domain.genesis:
            raise invalid("its block 0 is not the one this client knows")
        if first.hash != genesis.suffrage:
            raise invalid("its suffrage does not follow from genesis")
        self.domain = domain
        self._known: list[tuple[int, Suffrage]] = [(1, first)]
        self.last_change = 0  # The height of the newest block taken that changed the suffrage.

    def at(self, height: int) -> Suffrage:
        """The suffrage of a height of at least 1, as far as changes are known."""
        return next(one for first, one in reversed(self._known) if first <= height)

    def certified(self, manifest: Manifest, accept: bytes) -> tuple[str, ...]:
        """The addresses that signed a block's encoded ACCEPT voteproof; raises Refused."""
        vp = decode_as(Voteproof, accept)
        fact = vp.fact
        names = (fact.height, fact.stage, fact.value, fact.block)
        if names != (manifest.height, Stage.ACCEPT, manifest.value, manifest.hash):
            raise invalid("its voteproof is of another block")
        if not check_voteproof(vp, self.at(manifest.height), self.domain, verify):
            raise invalid(f"its voteproof of height {manifest.height} does not hold")
        return vp.addresses

    def take(self, manifest: Manifest, accept: bytes, members: Suffrage) -> None:
        """The next change: a block that decided another suffrage than the one before it."""
        if manifest.height <= self.last_change:
            raise invalid("its changes of the suffrage are out of order")
        self.certified(manifest, accept)
        if members.hash != manifest.suffrage or members.hash == self._known[-1][1].hash:
            raise invalid(f"its members are not those that block {manifest.height} decided")
        self._known.append((manifest.height + 2, members))
        self.last_change = manifest.height


async def followed(
    walk: SuffrageWalk | None, given: Any, domain: Domain, tell: Tell
) -> SuffrageWalk:
    """The walk, taken on until it knows the suffrage that a proof claims for its height.

    Args:
        walk: as far as this client got before, if it did.
        given: a query's proof, as a node gave it.
    Raises:
        Refused: ``proof_invalid``, what the node told of genesis or of a change does not hold.
            (That a node knows of no more changes is no error here: the proof then fails.)
    """
    with reading():
        manifest = decode_as(Manifest, given["manifest"])
        claimed = members_in(given["suffrage"])
        genesis = decode_as(Manifest, given["genesis"])
    if walk is None:
        first = claimed
        if claimed.hash != genesis.suffrage and genesis.hash == domain.genesis:
            with reading():
                first = members_of(read(SuffrageInfo, await tell(SuffrageAsked(height=1))))
        walk = SuffrageWalk(domain, genesis, first)
    while manifest.height > 0 and walk.at(manifest.height).hash != claimed.hash:
        changes = (await tell(ChangesAsked(after=walk.last_change))).get("changes")
        if not changes:
            break
        with reading():
            for one in changes:
                change = decode_as(Manifest, one["manifest"])
                walk.take(change, one["accept_voteproof"], members_in(one["members"]))
        if walk.last_change + 2 > manifest.height:
            break
    return walk


def members_in(rows: Any) -> Suffrage:
    """A suffrage as proofs carry it; raises ValueError, TypeError."""
    return Suffrage(members=tuple(_member(row) for row in rows))


def _member(row: Any) -> Member:
    address, publickey, instance, epoch, url = row
    if not all(type(one) is bytes for one in (publickey, instance)) or type(epoch) is not int:
        raise Malformed("no member")
    return Member(
        address=Address(str(address)),
        publickey=PublicKey(publickey),
        instance=PublicKey(instance),
        epoch=epoch,
        url=str(url),
    )


@contextmanager
def reading() -> Iterator[None]:
    """Around taking apart what a node gave: whatever is wrong with its form, the proof is."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise invalid(f"it cannot be read ({type(error).__name__}: {error})") from None


def invalid(why: str) -> Refused:
    """The refusal of a proof."""
    return Refused(
        "proof_invalid",
        f"the node's proof does not hold: {why}",
        hint="do not use its answer; ask another node",
    )
