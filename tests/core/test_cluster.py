"""Golden transcripts: what a whole small cluster does, effect by effect, and a few of its lives.

A change of the protocol shows here as a change of text. Lines are ``member: effect``; ``record!``
is a record with a sync.
"""

from __future__ import annotations

import pytest

from zmqnode.base.exchange import NodeState
from zmqnode.base.params import Params

from .cluster import Cluster

QUIET = Params(empty_block_interval_ms=0)
ONE_HEIGHT = """
0: answerclient
0: publishseals
2: record ValueHeld
2: record! ProposalSigned
2: record! INIT 2/0
2: record ExecutionBegun
2: publish PROPOSAL 2/0
2: publish INIT 2/0
2: execute
0: record ValueHeld
0: record! INIT 2/0
0: record ExecutionBegun
0: publish INIT 2/0
0: execute
1: record ValueHeld
1: record! INIT 2/0
1: record ExecutionBegun
1: publish INIT 2/0
1: execute
3: record ValueHeld
3: record! INIT 2/0
3: record ExecutionBegun
3: publish INIT 2/0
3: execute
0: record CertificateHeld
0: record! ACCEPT 2/0
0: publish ACCEPT 2/0
2: record CertificateHeld
2: record! ACCEPT 2/0
2: publish ACCEPT 2/0
1: record CertificateHeld
1: record! ACCEPT 2/0
1: publish ACCEPT 2/0
3: record CertificateHeld
3: record! ACCEPT 2/0
3: publish ACCEPT 2/0
1: record CertificateHeld
1: commit 2
3: record CertificateHeld
3: commit 2
0: record CertificateHeld
0: commit 2
2: record CertificateHeld
2: commit 2
"""
ALONE = """
0: record ValueHeld
0: record! ProposalSigned
0: record! INIT 1/0
0: record ExecutionBegun
0: enter JOINING
0: enter CONSENSUS
0: publish PROPOSAL 1/0
0: publish INIT 1/0
0: execute
0: publish INIT 1/0
0: publish PROPOSAL 1/0
0: publish VP INIT 1/0
0: record CertificateHeld
0: record! ACCEPT 1/0
0: record CertificateHeld
0: publish ACCEPT 1/0
0: commit 1
"""
# Member 2, who leads (2, 0), is cut off; 3 leads (2, 1). Sent again meanwhile: left out.
LEADER_GONE = """
0: record! DRAW 2/0
0: publish DRAW 2/0
1: record! DRAW 2/0
1: publish DRAW 2/0
3: record! DRAW 2/0
3: publish DRAW 2/0
3: record CertificateHeld
3: record ValueHeld
3: record! ProposalSigned
3: record! INIT 2/1
3: record ExecutionBegun
3: publish VP DRAW 2/0
3: publish PROPOSAL 2/1
3: publish INIT 2/1
3: execute
0: record CertificateHeld
0: publish VP DRAW 2/0
1: record CertificateHeld
1: publish VP DRAW 2/0
0: record ValueHeld
0: record! INIT 2/1
0: record ExecutionBegun
0: publish INIT 2/1
0: execute
1: record ValueHeld
1: record! INIT 2/1
1: record ExecutionBegun
1: publish INIT 2/1
1: execute
0: record CertificateHeld
0: record! ACCEPT 2/1
0: publish ACCEPT 2/1
3: record CertificateHeld
3: record! ACCEPT 2/1
3: publish ACCEPT 2/1
1: record CertificateHeld
1: record! ACCEPT 2/1
1: publish ACCEPT 2/1
1: record CertificateHeld
1: commit 2
0: record CertificateHeld
0: commit 2
3: record CertificateHeld
3: commit 2
"""


def running(n: int, params: Params = QUIET) -> Cluster:
    """All at (2, 0)."""
    cluster = Cluster(n, params)
    cluster.start(*range(n))
    assert tips(cluster) == [1] * n
    cluster.transcript.clear()
    return cluster


def tips(cluster: Cluster) -> list[int]:
    return [node.tip.height for node in cluster.nodes]


def said(cluster: Cluster) -> str:
    return "\n" + "\n".join(cluster.transcript) + "\n"


def test_one_height_of_four() -> None:
    cluster = running(4)
    cluster.submit(0, cluster.members.seal())
    assert said(cluster) == ONE_HEIGHT


def test_a_network_of_one() -> None:
    cluster = Cluster(1, QUIET)
    cluster.start(0)
    assert said(cluster) == ALONE


def test_a_leader_that_is_gone() -> None:
    cluster = running(4)
    cluster.cut(2)
    cluster.submit(0, cluster.members.seal())
    cluster.wait(500)
    cluster.transcript.clear()
    cluster.wait(100)
    assert said(cluster) == LEADER_GONE


@pytest.mark.parametrize("n", [1, 4, 7])
def test_a_hundred_heights_without_a_round_lost(n: int) -> None:
    """Goal: nobody draws, nobody misses a ballot, all have the same blocks."""
    cluster = running(n, Params(empty_block_interval_ms=5))
    while tips(cluster)[0] < 100:
        cluster.wait(5)
    assert len(set(tips(cluster))) == 1
    assert len({node.tip.hash for node in cluster.nodes}) == 1
    assert not [line for line in cluster.transcript if "DRAW" in line]
    for kind in ("INIT", "ACCEPT"):
        signed = [
            line for line in cluster.transcript if line.split(" ", 1)[1] == f"record! {kind} 50/0"
        ]
        assert len(signed) == n
    # Every value carries every ballot of the height two before.
    value = cluster.blocks[0][90][0].value
    assert value is not None
    assert value.accept is not None
    assert len(value.accept.signatures) == n


def test_the_same_run_twice() -> None:
    """No set order, no chance, no clock: equal transcripts."""
    found = []
    for _ in range(2):
        cluster = running(4, Params(empty_block_interval_ms=5))
        cluster.submit(1, *(cluster.members.seal() for _ in range(3)))
        cluster.wait(60)
        found.append(cluster.transcript)
    assert found[0] == found[1]


def test_every_seal_once() -> None:
    cluster = running(4)
    seals = [cluster.members.seal() for _ in range(25)]
    for at, seal in enumerate(seals):
        cluster.submit(at % 4, seal)
        cluster.submit((at + 1) % 4, seal)
    executed = [
        seal.hash
        for height in sorted(cluster.blocks[3])
        for seal in cluster.blocks[3][height][0].seals
    ]
    assert sorted(executed) == sorted(seal.hash for seal in seals)


def test_without_a_quorum_nothing_is_decided_and_then_it_goes_on() -> None:
    cluster = running(4)
    cluster.cut(2, 3)
    seal = cluster.members.seal()
    cluster.submit(0, seal)
    cluster.wait(3_000)
    assert tips(cluster) == [1, 1, 1, 1]
    cluster.cut()
    cluster.wait(2_000)
    assert len(set(tips(cluster))) == 1
    blocks = [block for block, _ in cluster.blocks[3].values()]
    assert [seal for block in blocks for seal in block.seals] == [seal]


def test_who_was_away_catches_up_and_votes_again() -> None:
    cluster = running(4, Params(empty_block_interval_ms=100))
    cluster.cut(3)
    cluster.wait(4_000)
    assert tips(cluster)[3] == 1
    assert tips(cluster)[0] > 10
    cluster.cut()
    cluster.wait(1_500)
    assert tips(cluster)[3] == tips(cluster)[0]
    assert cluster.nodes[3].state is NodeState.CONSENSUS
    cluster.transcript.clear()
    cluster.wait(500)
    assert [line for line in cluster.transcript if line.startswith("3: record! ACCEPT")]


def test_who_starts_late_joins() -> None:
    cluster = Cluster(4, Params(empty_block_interval_ms=50))
    cluster.start(0, 1, 2)
    cluster.wait(2_500)
    assert tips_of(cluster, 0, 1, 2)[0] > 3
    cluster.nodes[3].now_ms = cluster.nodes[0].now_ms
    cluster.start(3)
    cluster.wait(1_500)
    assert cluster.nodes[3].state is NodeState.CONSENSUS
    assert abs(cluster.nodes[3].tip.height - cluster.nodes[0].tip.height) <= 1


def tips_of(cluster: Cluster, *who: int) -> list[int]:
    return [cluster.nodes[i].tip.height for i in who]


def test_a_quiet_network_says_nothing_but_statuses() -> None:
    cluster = running(4)
    cluster.wait(3_000)
    assert cluster.transcript == []
