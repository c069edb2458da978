"""A machine that goes on where another of the same process left off, with nothing read again."""

from __future__ import annotations

from dataclasses import replace

from zmqnode.base.hashes import Hash, sha256
from zmqnode.core.records import BlockSummary

from .harness import EPOCH_MS, Members, Node

BLOCKS = 40


def busy_chain(four: Members) -> tuple[BlockSummary, ...]:
    """A block a second, two seals in each, of no order of age; some voters are missing at times."""
    plain = four.chain(
        BLOCKS,
        voters=lambda height: [i for i in range(4) if i != height % 5],
        time_ms=lambda height: EPOCH_MS + 1_000 * height,
    )
    return tuple(replace(one, seals=seals_of(one)) if one.height else one for one in plain)


def seals_of(block: BlockSummary) -> tuple[tuple[Hash, int], ...]:
    names = [sha256(b"%d %d" % (block.height, at)) for at in range(2)]
    return ((names[0], block.time_ms - 500), (names[1], block.time_ms - 9_000))


def reborn(node: Node) -> Node:
    """Another instance of the same member, booted from what the first one knows."""
    blocks, executed = node.kernel.chain.remembered()
    again = Node(node.members, me=node.me, now_ms=node.now_ms)
    again.boot(blocks, executed=executed)
    return again


def test_another_machine_knows_the_same_chain() -> None:
    """Goal: tip, leaders, and above all the seals that stand in a block (exactly once)."""
    four = Members(4)
    node = Node(four)
    chain = busy_chain(four)
    node.boot(chain)
    first, second = node.kernel.chain, reborn(node).kernel.chain
    assert len(first.remembered()[0]) < BLOCKS // 2
    assert second.tip == first.tip
    for block in chain:
        assert [second.executed(seal) for seal, _ in block.seals] == [
            first.executed(seal) for seal, _ in block.seals
        ], block.height
    assert sum(second.executed(seal) for block in chain for seal, _ in block.seals) == 2 * BLOCKS
    for height in range(BLOCKS - 1, BLOCKS + 3):
        for round_ in range(4):
            assert second.leader(height, round_) == first.leader(height, round_)


def test_both_forget_a_seal_at_the_same_block() -> None:
    """Goal: a machine reborn over and over judges as one that never was. Method: 100 blocks on."""
    four = Members(4)
    node = Node(four)
    chain = busy_chain(four)
    node.boot(chain)
    first, again = node.kernel.chain, reborn(node)
    for turn in range(100):
        tip = first.tip
        block = replace(
            tip,
            height=tip.height + 1,
            hash=sha256(tip.hash),
            accept=None,
            time_ms=tip.time_ms + 1_000,
        )
        block = replace(block, seals=seals_of(block))
        for one in (first, again.kernel.chain):
            one.append(block, four.suffrage)
        if turn % 10 == 0:
            assert again.kernel.chain.remembered() == first.remembered()
            again = reborn(again)
    assert again.kernel.chain.remembered() == first.remembered()
    assert not first.executed(chain[1].seals[0][0])
