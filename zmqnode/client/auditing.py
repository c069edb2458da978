"""Reading a node's blocks and verifying them: the driver of :class:`ChainVerifier`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from zmqnode.base.genesis import Genesis
from zmqnode.base.keys import Address, parse_public
from zmqnode.base.query import RAW_BLOCKS_ASKED_MAX, RawBlocks, RawBlocksAsked
from zmqnode.base.suffrage import Member, Suffrage
from zmqnode.client.answers import Answer, SuffrageInfo
from zmqnode.client.node_link import monotonic_ms
from zmqnode.client.submitting import rounded
from zmqnode.client.verify import ChainVerifier
from zmqnode.errors import Invalid, Refused

if TYPE_CHECKING:
    from zmqnode.client.client import Client

ASK_MS: Final = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BadBlock(Answer):
    """The first block that does not hold, and why."""

    height: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification(Answer):
    """What was read and checked; the hash and root are those of the last good block."""

    ok: bool
    first_height: int
    last_height: int
    block_hash: str
    state_root: str
    blocks: int
    operations: int
    signatures: int
    handovers: int
    seconds: float
    bad: BadBlock | None


async def verify_blocks(
    client: Client, first: int = 0, last: int | None = None, *, genesis: Genesis | None = None
) -> Verification:
    """Verify a node's blocks first to last; last None: its newest now.

    Args:
        genesis: the document; without it the genesis hash that the client met is trusted.
    Raises:
        Refused: ``not_found``, the node has no such blocks.
        Invalid: ``usage``.
    """
    began_ms = monotonic_ms()
    chain = await client.chain()
    tip = (await client.info()).height
    end = tip if last is None else last
    if first < 0 or (last is not None and last < first):
        raise Invalid("usage", f"from {first} to {end}: heights out of order")
    if max(first, end) > tip:
        text = f"there is no block {max(first, end)} here"
        raise Refused("not_found", text, hint=f"the newest is {tip}")
    verifier = ChainVerifier(chain.domain, first=first, genesis=genesis)
    while verifier.height < end and verifier.bad is None:
        at = verifier.height + 1
        asked = RawBlocksAsked(first=at, last=min(end, at + RAW_BLOCKS_ASKED_MAX - 1))
        answer = await client.ask(asked, timeout_ms=ASK_MS)
        if not isinstance(answer, RawBlocks) or not answer.blocks:
            raise Refused("not_found", f"the node does not give its block {at}")
        for data, accept_vp, init_vp in answer.blocks:
            if not verifier.take(data, accept_vp, init_vp):
                break
            while (wanted := verifier.wanted()) is not None:
                if not verifier.learn(wanted, members_of(await client.suffrage(wanted))):
                    break  # The next block, or the end, finds it bad.
    verifier.finish()
    bad = verifier.bad
    return Verification(
        ok=bad is None,
        first_height=first,
        last_height=end,
        block_hash=verifier.block_hash.hex(),
        state_root=verifier.state_root.hex(),
        blocks=verifier.blocks,
        operations=verifier.operations,
        signatures=verifier.signatures,
        handovers=verifier.handovers,
        seconds=rounded(monotonic_ms() - began_ms),
        bad=None if bad is None else BadBlock(height=bad.height, reason=bad.reason),
    )


def members_of(info: SuffrageInfo) -> Suffrage:
    """The suffrage a node told; raises Refused ``wrong_state`` if it can be none."""
    try:
        return Suffrage(
            members=tuple(
                Member(
                    address=Address(one.address),
                    publickey=parse_public(one.publickey),
                    instance=parse_public(one.instance),
                    epoch=one.epoch,
                    url=one.url,
                )
                for one in info.members
            )
        )
    except (ValueError, Invalid) as error:
        raise Refused("wrong_state", f"the node told a suffrage that cannot be: {error}") from None
