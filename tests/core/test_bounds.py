"""Every named maximum of the core is reached by a test: those not reached elsewhere, here.

Elsewhere: rounds kept, rounds asked, votes answered, seals pulled, served and announced, recent
seals, peers asked in turns, tip questions (test_resending, test_timers); blocks asked at once and
time-outs (test_states); the pool's four (test_values).
"""

from __future__ import annotations

import pytest

from zmqnode.base.exchange import BlocksWanted, NodeState, SealsAnnounced, SealsWanted, sign_status
from zmqnode.base.hashes import sha256
from zmqnode.base.signing import Signer
from zmqnode.core.effects import ReportEvidence
from zmqnode.core.events import Heard, PeerConnected, PeerLost
from zmqnode.core.members import INSTANCES_PER_ADDRESS
from zmqnode.core.world import BLOCKS_AHEAD_MAX, EVIDENCE_MAX, LIVE_MS

from .harness import Members, Node, asked, key, of
from .test_states import Chain, syncing


@pytest.fixture
def four() -> Members:
    return Members(4)


def test_evidence_is_bounded_and_goes_on(four: Members) -> None:
    """EVIDENCE_MAX pieces are remembered; the oldest give way, so a new liar is still reported."""
    node = Node(four)
    node.join()
    value = four.value(four.genesis)
    reported, rounds = 0, EVIDENCE_MAX // 2 + 1
    for round_ in range(rounds):
        for i in (1, 2):
            first, second = four.draw(i, 1, round_), four.accept(i, 1, round_, value)
            reported += len(of(node.hear(first, second), ReportEvidence))
        node.hear(four.draw_vp(1, round_))
    assert reported == 2 * rounds  # All of them were.
    assert len(node.kernel.evidence) == EVIDENCE_MAX


def standby(four: Members, number: int) -> Signer:
    """A further instance of address 1."""
    return Signer(key(f"standby {number}"), four.domain)


def hear_standby(node: Node, signer: Signer, tip: int = 7) -> None:
    members = node.members
    status = sign_status(
        address=members.addresses[1],
        state=NodeState.SYNCING,
        height=tip + 1,
        tip=tip,
        clock_ms=node.clock_ms,
        signer=signer,
    )
    node.step(Heard(message=status, source=signer.public))


def known(node: Node, members: Members) -> list[bytes]:
    instances = node.kernel.members.instances
    return [key for key, seen in instances.items() if seen.address == members.addresses[1]]


def test_instances_nobody_vouched_for_are_not_remembered(four: Members) -> None:
    node = Node(four)
    node.join()
    for number in range(10):
        hear_standby(node, standby(four, number))
    assert known(node, four) == [four.instance(1)]


def test_an_address_has_four_instances_at_most(four: Members) -> None:
    """Standbys that came and went give way to the next; the one that votes stays."""
    node = Node(four)
    node.join()
    node.hear(four.draw(1, 1, 0))
    node.step(PeerLost(instance=four.instance(1)))
    for number in range(10):
        signer = standby(four, number)
        node.step(PeerConnected(address=four.addresses[1], instance=signer.public))
        hear_standby(node, signer)
        node.step(PeerLost(instance=signer.public))
    found = known(node, four)
    assert len(found) == INSTANCES_PER_ADDRESS
    assert four.instance(1) in found
    assert standby(four, 9).public in found


def test_connected_instances_do_not_give_way(four: Members) -> None:
    node = Node(four)
    node.join()
    for number in range(5):
        signer = standby(four, number)
        node.step(PeerConnected(address=four.addresses[1], instance=signer.public))
        hear_standby(node, signer)
    found = known(node, four)
    assert found == [four.instance(1), *(standby(four, number).public for number in range(3))]


def test_blocks_beyond_256_are_not_asked_for(four: Members) -> None:
    """BLOCKS_AHEAD_MAX: what waits for its predecessors is bounded."""
    seven = Members(7)
    node = Node(seven)
    node.boot()
    node.connect(*node.others)
    node.hear(*(seven.status(i, 10_000) for i in node.others))
    chain = Chain(seven, 0)
    assert chain.parts == []
    wanted = [(r.first, r.last) for _, r in asked(node.effects, BlocksWanted)]
    assert wanted == [(1, 64), (65, 128), (129, 192), (193, BLOCKS_AHEAD_MAX)]


def test_at_most_four_peers_are_asked_for_blocks_at_once() -> None:
    members = Members(10)
    node = Node(members)
    node.boot()
    node.connect(*node.others)
    node.hear(*(members.status(i, 100) for i in node.others))
    assert len(asked(node.effects, BlocksWanted)) == 2  # 100 blocks, 64 of each.
    node = Node(members)
    node.boot()
    node.connect(*node.others)
    node.hear(*(members.status(i, 256) for i in node.others))
    assert len(asked(node.effects, BlocksWanted)) == 4


def test_more_blocks_than_asked_for_are_refused(four: Members) -> None:
    """A peer cannot fill the buffer with heights of its choice."""
    chain = Chain(four, 70)
    node = syncing(four, {1: 64, 2: 64, 3: 64})
    (peer,) = {instance for instance, _ in asked(node.effects, BlocksWanted)}
    source = [four.instance(i) for i in range(4)].index(peer)
    node.serve(source, *chain.served(1, 70), first=1)
    assert max(node.machine.syncing.waiting) == 64


def test_a_live_member_was_heard_within_2_s(four: Members) -> None:
    """Section 5: by status (JOINING or CONSENSUS) or ballot; the node itself always."""
    node = Node(four)
    node.join()
    live = node.kernel.members.live
    assert live(four.instance(0), node.now_ms + 10**9)
    assert live(four.instance(1), node.now_ms + LIVE_MS)
    assert not live(four.instance(1), node.now_ms + LIVE_MS + 1)
    node.hear(four.status(2, 0, state=NodeState.SYNCING, clock_ms=node.clock_ms + 1))
    assert not live(four.instance(2), node.now_ms)
    node.hear(four.status(2, 0, state=NodeState.JOINING, clock_ms=node.clock_ms + 2))
    assert live(four.instance(2), node.now_ms)


def test_an_announcement_is_pulled_in_one_question(four: Members) -> None:
    node = Node(four)
    node.join()
    names = tuple(sha256(b"%d" % i) for i in range(256))  # As many as one message may hold.
    effects = node.hear(SealsAnnounced(seals=names), source=1)
    assert [r.seals for _, r in asked(effects, SealsWanted)] == [names]


def test_what_the_chain_remembers_is_bounded(four: Members) -> None:
    node = Node(four)
    node.join(four.chain(5))
    for _ in range(30):
        node.decided(who=(1, 2, 3))
    chain = node.kernel.chain
    assert len(chain._blocks) == 8
    assert len(chain._orders) <= 10
    assert len(chain._suffrages) <= 11
    assert len(node.machine.values._accepts) == 3
    assert node.kernel.voter.ballots(20) == ()
