"""Regressions that need a moment, not a seed: single machines in the state a fault left them in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zmqnode.base.ballot import init_fact, sign_ballot
from zmqnode.base.exchange import LastBallotAnswer, LastBallotWanted
from zmqnode.base.hashes import ZERO, tagged
from zmqnode.base.point import Point
from zmqnode.base.voteproof import certify
from zmqnode.core.effects import Answer
from zmqnode.core.events import Booted, Requested
from zmqnode.core.records import CertificateHeld, Recovery
from zmqnode.sim.cluster import Cluster
from zmqnode.sim.plan import Plan
from zmqnode.sim.runner import replay


def test_a_certificate_in_the_journal_answers_who_asks_for_its_newest_ballot() -> None:
    """Goal: D6 works after all lost power. Method: a machine whose journal holds an INIT VP."""
    cluster = Cluster(Plan(seed=1))
    fact = init_fact(Point(height=1, round=0), tagged(b"value", b""))
    ballots = [
        sign_ballot(fact, node.identity.address, 0, node.identity.signer)
        for node in cluster.nodes[:3]
    ]
    vp = certify(fact, {ballot.address: ballot.signature for ballot in ballots})
    keeper, asker = cluster.nodes[3], cluster.nodes[0].identity.instance
    machine = cluster.new_machine(keeper.identity)
    recovery = Recovery(
        blocks=keeper.disk.summaries(0, 1),
        suffrages=tuple((height, cluster.suffrage) for height in range(3)),
        records=(CertificateHeld(voteproof=vp),),
        watermark=None,
        nonce=ZERO,
    )
    machine.step(Booted(recovery=recovery), 0)
    wanted = LastBallotWanted(instance=asker, nonce=ZERO)
    effects = machine.step(Requested(source=asker, route=None, request=wanted), 1)
    replies = [effect.reply for effect in effects if isinstance(effect, Answer)]
    assert [type(reply) for reply in replies] == [LastBallotAnswer]
    assert isinstance(replies[0], LastBallotAnswer)
    assert replies[0].ballot == ballots[0]


TRACES = sorted((Path(__file__).parent / "traces").glob("*.json"))


@pytest.mark.parametrize("path", TRACES, ids=[path.stem for path in TRACES])
def test_what_once_failed_holds(path: Path) -> None:
    """Goal: no bug comes back. Method: the plans that found them; ``found`` says what it was."""
    report = replay(json.loads(path.read_text(encoding="utf-8")))
    assert report.ok, (report.checker, report.height, report.message)
