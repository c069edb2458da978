"""Verifying a chain: true ones hold, and every forged part of a block is found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.fake_node import FakeChain, FakeNode, loopback_ports, served
from zmqnode.base.ballot import sign_ballot
from zmqnode.base.block import Block, decode_block, encode_block
from zmqnode.base.codec import decode_as, encode
from zmqnode.base.hashes import sha256
from zmqnode.base.results import encode_results
from zmqnode.base.voteproof import Voteproof, certify
from zmqnode.client import Client
from zmqnode.client.auditing import verify_blocks
from zmqnode.client.verify import ChainVerifier

Stored = tuple[bytes, bytes, bytes]


def chain_of(heights: int) -> FakeChain:
    chain = FakeChain()
    for height in range(heights):
        seals = [chain.seal(["put", [f"k{height}", b"v"]], ["what", []], nonce=height)]
        chain.commit(seals if height % 2 else [])
    return chain


def stored(chain: FakeChain, height: int) -> Stored:
    view = FakeNode(chain).stored(height)
    assert view is not None
    return view.block, view.accept_vp, view.init_vp


def verifier_of(chain: FakeChain, *, first: int = 0) -> ChainVerifier:
    return ChainVerifier(chain.domain, first=first, genesis=chain.genesis)


def test_a_true_chain_holds_and_is_counted() -> None:
    chain = chain_of(8)
    verifier = verifier_of(chain)
    assert all(verifier.take(*stored(chain, height)) for height in range(9))
    assert (verifier.blocks, verifier.operations, verifier.bad) == (9, 8, None)
    assert verifier.signatures == 8 * 2 * 4, "carried ballots are known already"
    assert verifier.block_hash == chain.store.block_hash(8)
    assert verifier.state_root == chain.tree.root


def test_a_part_of_a_chain_holds() -> None:
    chain = chain_of(8)
    verifier = verifier_of(chain, first=5)
    assert verifier.start == 3
    assert all(verifier.take(*stored(chain, height)) for height in range(3, 9))
    assert verifier.blocks == 4


def _block(change: Callable[[Block], Block]) -> Callable[[Stored], Stored]:
    return lambda one: (encode_block(change(decode_block(one[0]))), one[1], one[2])


def _value(block: Block, **changes: object) -> Block:
    assert block.value is not None
    return replace(block, value=replace(block.value, **changes))  # type: ignore[arg-type]


def _vp(data: bytes, change: Callable[[Voteproof], Voteproof]) -> bytes:
    return encode(change(decode_as(Voteproof, data)))


def _flipped(vp: Voteproof) -> Voteproof:
    (address, signature), *rest = vp.signatures
    forged = bytes([signature[0] ^ 1]) + signature[1:]
    return replace(vp, signatures=((address, forged), *rest))  # type: ignore[arg-type]


OTHER = sha256(b"other")
FORGERIES: dict[str, tuple[str, Callable[[Stored], Stored]]] = {
    "parent": ("parent", _block(lambda b: replace(b, manifest=replace(b.manifest, parent=OTHER)))),
    "root": (
        "another fact",
        _block(lambda b: replace(b, manifest=replace(b.manifest, state_root=OTHER))),
    ),
    "next suffrage": (
        "another fact",
        _block(lambda b: replace(b, manifest=replace(b.manifest, suffrage=OTHER))),
    ),
    "value": ("value does not have the hash", _block(lambda b: _value(b, time_ms=1))),
    "seals": ("seals are not those", _block(lambda b: replace(b, seals=(), results=()))),
    "results": (
        "results do not have the root",
        _block(lambda b: replace(b, results=(encode_results([(True, None, ())] * 2),))),
    ),
    "too few results": (
        "results are not those",
        _block(lambda b: replace(b, results=(encode_results([(True, None, ())]),))),
    ),
    "no results": ("results are not those", _block(lambda b: replace(b, results=()))),
    "junk": ("cannot be read", lambda one: (b"\x90", one[1], one[2])),
    "no votes": ("cannot be read", lambda one: (one[0], b"", one[2])),
    "too few votes": (
        "2 ballots of 3",
        lambda one: (
            one[0],
            _vp(one[1], lambda vp: replace(vp, signatures=vp.signatures[:2])),
            one[2],
        ),
    ),
    "forged vote": ("not signed", lambda one: (one[0], _vp(one[1], _flipped), one[2])),
    "forged INIT": ("not signed", lambda one: (one[0], one[1], _vp(one[2], _flipped))),
    "INIT as ACCEPT": ("another fact", lambda one: (one[0], one[2], one[2])),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_every_forged_part_is_found_at_its_height(name: str) -> None:
    chain = chain_of(6)
    reason, forge = FORGERIES[name]
    verifier = verifier_of(chain)
    for height in range(4):
        assert verifier.take(*stored(chain, height))
    assert not verifier.take(*forge(stored(chain, 4)))
    assert verifier.bad is not None
    assert verifier.bad.height == 4
    assert reason in verifier.bad.reason
    assert not verifier.take(*stored(chain, 4)), "bad is final"


def test_a_forged_carried_vote_is_found() -> None:
    chain = chain_of(2)
    chain.accepts[1] = _flipped(chain.accepts[1])
    chain.commit()
    verifier = verifier_of(chain)
    taken = [verifier.take(*stored(chain, height)) for height in range(4)]
    assert taken == [True, True, True, False]
    assert verifier.bad is not None
    assert "ACCEPT voteproof of height 1" in verifier.bad.reason


def test_another_genesis_or_suffrage_is_found() -> None:
    chain, other = chain_of(2), FakeChain(n=3)
    verifier = ChainVerifier(other.domain, genesis=None)
    assert not verifier.take(*stored(chain, 0))
    verifier = ChainVerifier(chain.domain, genesis=other.genesis)
    assert not verifier.take(*stored(chain, 0))
    verifier = ChainVerifier(chain.domain)
    assert verifier.take(*stored(chain, 0))
    assert verifier.wanted() == 1
    assert not verifier.learn(1, other.suffrage)
    assert verifier.wanted() == 1, "members count only if a manifest commits to them"
    assert verifier.learn(1, chain.suffrage)
    assert verifier.wanted() is None
    assert verifier.take(*stored(chain, 1))


# Handover.


def handed_over() -> FakeChain:
    """Two planned handovers, the second never acknowledged: its vote returns. 40 blocks."""
    chain = FakeChain()
    chain.commit()
    chain.commit([chain.handover(0, chain.new_instance(0))])  # Block 2, in force at 4.
    chain.commit()
    chain.commit([chain.ack(0)])
    for _ in range(3):
        chain.commit()
    chain.commit([chain.handover(2, chain.new_instance(1))])  # Block 8, in force at 10.
    while chain.tip < 40:
        chain.commit()
    epochs = [one.epoch for one in chain.suffrage.members]
    assert epochs == [1, 0, 2, 0], "one moved; one moved and came back"
    return chain


def verified(chain: FakeChain, first: int, last: int, *, genesis: bool = True) -> ChainVerifier:
    document = chain.genesis if genesis else None
    verifier = ChainVerifier(chain.domain, first=first, genesis=document)
    for height in range(verifier.start, last + 1):
        assert verifier.take(*stored(chain, height)), verifier.bad
        while (wanted := verifier.wanted()) is not None:
            assert verifier.learn(wanted, chain.suffrage_at(wanted))
    assert verifier.finish()
    return verifier


@pytest.mark.parametrize("genesis", [True, False])
def test_a_chain_holds_across_handovers_and_they_are_counted(genesis: bool) -> None:
    """Goal: every voteproof is of the suffrage of its height; a return is no handover."""
    chain = handed_over()
    assert verified(chain, 0, 40, genesis=genesis).handovers == 2
    for first, last, moved in ((0, 1, 0), (0, 2, 1), (1, 2, 1), (2, 2, 1), (3, 9, 1), (9, 40, 0)):
        part = verified(chain, first, last, genesis=genesis)
        assert (part.handovers, part.blocks) == (moved, last - first + 1), (first, last)


def test_an_instance_votes_from_the_second_block_on_and_no_other_does() -> None:
    """Goal: the suffrage is that of the height. Method: the old or new key a height too long."""
    for wrong, height in ((0, 4), (2, 10)):
        chain = handed_over()
        old = chain.suffrage_at(height - 1)
        for at, suffrage in ((height, old), (height - 1, chain.suffrage_at(height))):
            block = chain.block(at)
            assert block is not None
            signers = suffrage.members
            fact = chain.accepts[at].fact
            ballots = [
                sign_ballot(fact, one.address, one.epoch, chain.signer_of(one.instance))
                for one in signers
            ]
            forged = certify(fact, {one.address: one.signature for one in ballots})
            verifier = verified(chain, 0, at - 1)
            data, _, init = stored(chain, at)
            assert not verifier.take(data, encode(forged), init)
            assert verifier.bad is not None
            assert verifier.bad.height == at
            assert f"ballot of n{wrong}sas is not signed by it" in verifier.bad.reason


def test_a_suffrage_that_nobody_tells_is_bad_even_in_the_last_block() -> None:
    chain = handed_over()
    verifier = verifier_of(chain)
    for height in range(3):
        assert verifier.take(*stored(chain, height))
    assert verifier.wanted() == 4
    assert not verifier.learn(4, chain.genesis.suffrage)
    assert not verifier.finish()
    assert verifier.bad is not None
    assert (verifier.bad.height, verifier.handovers) == (2, 0)


def test_a_nodes_chain_is_read_and_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zmqnode.client.auditing.RAW_BLOCKS_ASKED_MAX", 7)

    async def scene() -> None:
        chain = FakeChain(ports=loopback_ports(4))
        node = FakeNode(chain)
        async with served(node), Client(chain.target()) as client:
            for _ in range(26):
                node.commit()
            node.commit([chain.handover(3, chain.new_instance(0))])
            for _ in range(3):
                node.commit()
            for genesis in (None, chain.genesis):
                whole = await verify_blocks(client, genesis=genesis)
                assert (whole.ok, whole.blocks, whole.last_height) == (True, 31, 30)
            assert whole.handovers == 1
            part = await verify_blocks(client, 10, 20)
            assert (part.ok, part.blocks, part.first_height) == (True, 11, 10)
            chain.commit(signers=[0, 1])
            bad = (await verify_blocks(client)).json()
            assert (bad["ok"], bad["bad"]["height"]) == (False, 31)
            assert set(bad) == {
                *("ok", "first_height", "last_height", "block_hash", "state_root", "blocks"),
                *("operations", "signatures", "handovers", "seconds", "bad"),
            }

    asyncio.run(scene())
