"""Facts, ballots, voteproofs, values and proposals: which of them there can be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors.samples import (
    ACCEPT_VP,
    ACCEPTS,
    DOMAIN,
    DRAWS,
    IDENTITIES,
    INITS,
    INSTANCES,
    PROPOSAL,
    SIGNERS,
    SUFFRAGE,
    VALUE_1,
    VALUE_3,
    address,
    voteproof,
)
from zmqnode.base.ballot import Ballot, Fact, accept_fact, draw_fact, init_fact, sign_ballot
from zmqnode.base.codec import decode, encode, pack, to_wire
from zmqnode.base.hashes import ZERO, Hash, sha256
from zmqnode.base.keys import Address, Signature, verify
from zmqnode.base.point import HEIGHT_MAX, ROUND_MAX, Point, Stage
from zmqnode.base.proposal import FRESH, Proposal, proposal_body, sign_proposal
from zmqnode.base.seal import TIME_MAX_MS
from zmqnode.base.signing import Signer
from zmqnode.base.suffrage import Suffrage
from zmqnode.base.voteproof import Voteproof, certify, check_voteproof
from zmqnode.errors import Malformed

V, B = sha256(b"value"), sha256(b"block")
P = Point(height=5, round=2)


# Points and facts.


def test_points_are_ordered_by_height_then_round() -> None:
    points = [Point(height=h, round=r) for h in range(3) for r in range(3)]
    assert sorted(points, key=lambda point: (point.round, point.height)) != points
    assert sorted(points) == points == [min(points), *points[1:-1], max(points)]


@pytest.mark.parametrize(
    ("height", "round_"), [(-1, 0), (0, -1), (HEIGHT_MAX + 1, 0), (0, ROUND_MAX + 1)]
)
def test_points_and_facts_have_bounds(height: int, round_: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        Point(height=height, round=round_)
    with pytest.raises(ValueError, match="out of range"):
        Fact(height=height, round=round_, stage=Stage.ACCEPT)


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("value", [None, V], ids=["no value", "value"])
@pytest.mark.parametrize("block", [None, B], ids=["no block", "block"])
def test_there_are_three_shapes_of_facts(
    stage: Stage, value: Hash | None, block: Hash | None
) -> None:
    """INIT(value), ACCEPT(value, block), ACCEPT(DRAW): neither INIT(nothing) nor half an ACCEPT."""
    possible = {
        (Stage.INIT, V, None),
        (Stage.ACCEPT, V, B),
        (Stage.ACCEPT, None, None),
    }
    if (stage, value, block) in possible:
        fact = Fact(height=5, round=2, stage=stage, value=value, block=block)
        assert fact.draw == (stage is Stage.ACCEPT and value is None)
        assert fact.point == P
    else:
        with pytest.raises(ValueError, match="names"):
            Fact(height=5, round=2, stage=stage, value=value, block=block)
        wire = ["ballot", 1, [5, 2, int(stage), value, block], "n0sas", bytes(32), 0, bytes(64)]
        with pytest.raises(Malformed):
            decode(pack(wire))


def test_makers_make_the_three() -> None:
    assert init_fact(P, V) == Fact(height=5, round=2, stage=Stage.INIT, value=V)
    assert accept_fact(P, V, B) == Fact(height=5, round=2, stage=Stage.ACCEPT, value=V, block=B)
    assert draw_fact(P) == Fact(height=5, round=2, stage=Stage.ACCEPT)


@pytest.mark.parametrize("stage", [0, 3, -1, True, "1", None, 2**64 - 1])
def test_there_are_two_stages(stage: object) -> None:
    wire = ["ballot", 1, [5, 2, stage, V, None], "n0sas", bytes(32), 0, bytes(64)]
    with pytest.raises(Malformed):
        decode(pack(wire))


facts = st.builds(
    lambda height, round_, shape, value, block: {
        "init": init_fact(Point(height=height, round=round_), value),
        "accept": accept_fact(Point(height=height, round=round_), value, block),
        "draw": draw_fact(Point(height=height, round=round_)),
    }[shape],
    st.integers(0, HEIGHT_MAX),
    st.integers(0, ROUND_MAX),
    st.sampled_from(["init", "accept", "draw"]),
    st.binary(min_size=32, max_size=32).map(Hash),
    st.binary(min_size=32, max_size=32).map(Hash),
)


@given(facts, facts, st.sampled_from(["n0sas", "n1sas"]), st.integers(0, 2), st.integers(0, 2))
def test_signed_bodies_are_equal_for_equal_votes_alone(
    one: Fact, other: Fact, name: str, epoch: int, other_epoch: int
) -> None:
    """Goal: a signature speaks for one fact, address and epoch."""
    same = one.body(name, epoch) == other.body("n0sas", other_epoch)
    assert same == ((one, name, epoch) == (other, "n0sas", other_epoch))


@given(facts, st.integers(0, 2**32))
def test_ballots_survive_the_wire(fact: Fact, epoch: int) -> None:
    ballot = sign_ballot(fact, address(0), epoch, SIGNERS[0])
    assert decode(encode(ballot)) == ballot
    assert ballot.verified(DOMAIN, verify)


def test_a_ballot_speaks_for_its_instance_alone() -> None:
    ballot = INITS[0]
    assert ballot.verified(DOMAIN, verify)
    assert not replace(ballot, instance=INSTANCES[1].public).verified(DOMAIN, verify)
    assert not replace(ballot, instance=IDENTITIES[0].public).verified(DOMAIN, verify)
    assert not replace(ballot, address=address(1)).verified(DOMAIN, verify)
    assert not replace(ballot, epoch=1).verified(DOMAIN, verify)
    assert not replace(ballot, fact=ACCEPTS[0].fact).verified(DOMAIN, verify)
    assert not replace(ballot, signature=Signature(bytes(64))).verified(DOMAIN, verify)


# Voteproofs.


def holds(vp: Voteproof, suffrage: Suffrage = SUFFRAGE) -> bool:
    return check_voteproof(vp, suffrage, DOMAIN, verify)


@pytest.mark.parametrize("ballots", [INITS, ACCEPTS, DRAWS], ids=["init", "accept", "draw"])
def test_a_voteproof_needs_a_quorum(ballots: tuple[Ballot, ...]) -> None:
    assert [holds(voteproof(ballots, count)) for count in (1, 2, 3, 4)] == [
        False,
        False,
        True,
        True,
    ]
    assert holds(voteproof(ballots[1:], 3))


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("n1sas", "n0sas", "n2sas"),
        ("n0sas", "n0sas", "n1sas"),
        ("n0sas", "n1sas", "n1sas", "n2sas"),
        tuple(f"n{number:03}sas" for number in range(101)),
    ],
    ids=["none", "order", "twice", "twice more", "101"],
)
def test_signatures_are_of_1_to_100_members_in_order_each_once(names: tuple[str, ...]) -> None:
    pairs = tuple((Address(name), INITS[0].signature) for name in names)
    with pytest.raises(ValueError, match="distinct"):
        Voteproof(fact=INITS[0].fact, signatures=pairs)
    wire = ["voteproof", 1, to_wire(INITS[0].fact), [list(pair) for pair in pairs]]
    with pytest.raises(Malformed):
        decode(pack(wire))


def test_certify_puts_signatures_in_order() -> None:
    signatures = {ballot.address: ballot.signature for ballot in reversed(INITS)}
    vp = certify(INITS[0].fact, signatures)
    assert vp == voteproof(INITS)
    assert vp.addresses == tuple(address(index) for index in range(4))


def test_order_is_that_of_bytes() -> None:
    """Capital letters come before the underscore, that before small ones, as in every language."""
    names = ["B-sas", "B0sas", "BAsas", "B_sas", "Basas"]
    vp = certify(INITS[0].fact, {Address(name): INITS[0].signature for name in reversed(names)})
    assert list(vp.addresses) == sorted(names, key=str.encode) == names


def test_a_foreign_or_false_signature_spoils_a_voteproof() -> None:
    """Even beyond the quorum: what is carried on must hold for everybody."""
    pairs = dict(ACCEPT_VP.signatures)
    fact = ACCEPT_VP.fact
    assert holds(certify(fact, pairs))
    assert not holds(certify(fact, {**pairs, Address("zsas"): ACCEPTS[3].signature}))
    assert not holds(certify(fact, {**pairs, address(3): ACCEPTS[2].signature}))
    assert not holds(certify(fact, {**pairs, address(3): INITS[3].signature}))
    assert not holds(certify(fact, {**pairs, address(3): Signature(bytes(64))}))
    assert not holds(replace(ACCEPT_VP, fact=INITS[0].fact))
    assert not holds(replace(ACCEPT_VP, fact=replace(fact, round=1)))
    assert not holds(replace(ACCEPT_VP, fact=replace(fact, block=V)))


def test_a_voteproof_is_of_the_suffrages_instances_and_epochs() -> None:
    def suffrage(**change: Any) -> Suffrage:
        first, *others = SUFFRAGE.members
        return Suffrage(members=(replace(first, **change), *others))

    assert holds(ACCEPT_VP, suffrage(url="tcp://elsewhere:1"))
    assert not holds(ACCEPT_VP, suffrage(epoch=1))
    assert not holds(ACCEPT_VP, suffrage(instance=IDENTITIES[0].public))
    assert not holds(ACCEPT_VP, suffrage(address=Address("n00sas")))
    assert not holds(ACCEPT_VP, Suffrage(members=SUFFRAGE.members[:2]))


def test_an_identity_key_does_not_vote() -> None:
    """Its instance keys do, one at a time."""
    ballots = [
        sign_ballot(INITS[0].fact, address(index), 0, Signer(key, DOMAIN))
        for index, key in enumerate(IDENTITIES)
    ]
    assert not holds(voteproof(tuple(ballots)))


def test_a_voteproof_stands_for_its_ballots() -> None:
    assert voteproof(ACCEPTS).ballots(SUFFRAGE) == ACCEPTS
    others = Suffrage(members=SUFFRAGE.members[2:])
    assert voteproof(ACCEPTS).ballots(others) == ACCEPTS[2:]


# Values.


def test_a_value_is_named_by_all_it_holds() -> None:
    values = [
        VALUE_3,
        replace(VALUE_3, height=4),
        replace(VALUE_3, parent=V),
        replace(VALUE_3, time_ms=VALUE_3.time_ms + 1),
        replace(VALUE_3, seals=(V,)),
        replace(VALUE_3, seals=(V, B)),
        replace(VALUE_3, seals=(B, V)),
        replace(VALUE_3, accept=voteproof(ACCEPTS, 4)),
    ]
    assert len({value.hash for value in values}) == len(values)


def test_a_value_carries_the_voteproof_of_two_before_from_height_3_on() -> None:
    for height in (1, 2):
        assert replace(VALUE_1, height=height).accept is None
        with pytest.raises(ValueError, match="ACCEPT VP"):
            replace(VALUE_3, height=height)
    with pytest.raises(ValueError, match="ACCEPT VP"):
        replace(VALUE_1, height=3)


@pytest.mark.parametrize(
    "change",
    [
        {"height": 0},
        {"height": -1},
        {"height": HEIGHT_MAX + 1},
        {"time_ms": -1},
        {"time_ms": TIME_MAX_MS + 1},
    ],
)
def test_values_have_bounds(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        replace(VALUE_3 if change.get("height", 3) >= 3 else VALUE_1, **change)  # type: ignore[arg-type]


# Proposals.


def proposal(**change: Any) -> Proposal:
    return replace(PROPOSAL, **change)


@pytest.mark.parametrize(
    ("round_", "pr"), [(0, 0), (0, 1), (1, 1), (1, 2), (5, 5), (0, -2), (5, -2)]
)
def test_pr_is_fresh_or_a_round_before(round_: int, pr: int) -> None:
    with pytest.raises(ValueError, match="pr must be"):
        proposal(round=round_, pr=pr)


@pytest.mark.parametrize(("round_", "pr"), [(0, -1), (1, -1), (1, 0), (5, 4), (ROUND_MAX, 0)])
def test_prs(round_: int, pr: int) -> None:
    assert decode(encode(proposal(round=round_, pr=pr))).pr == pr


def test_a_proposal_is_for_its_values_height_and_none_is_for_genesis() -> None:
    for height in (0, 2, 4, -1, HEIGHT_MAX + 1):
        with pytest.raises(ValueError):  # noqa: PT011 - bounds or another height
            proposal(height=height)
    for round_ in (-1, ROUND_MAX + 1):
        with pytest.raises(ValueError, match="out of range"):
            proposal(round=round_)


def test_a_leaders_signature_covers_all_but_the_key_it_is_of() -> None:
    draw = voteproof(DRAWS, 3)
    others = [
        proposal(round=2),
        proposal(pr=0),
        proposal(value=replace(VALUE_3, parent=ZERO)),
        proposal(justification=()),
        proposal(justification=(draw, draw)),
        proposal(justification=(voteproof(DRAWS, 4),)),
        proposal(justification=(ACCEPT_VP,)),
        proposal(address=address(2)),
        proposal(epoch=1),
    ]
    assert PROPOSAL.verified(DOMAIN, verify)
    bodies = [proposal_body(one) for one in [PROPOSAL, *others]]
    assert len(set(bodies)) == len(bodies)
    for one in [*others, proposal(instance=INSTANCES[0].public)]:
        assert not one.verified(DOMAIN, verify)


def test_a_proposal_can_be_signed_again_to_the_same_bytes() -> None:
    again = sign_proposal(
        PROPOSAL.point,
        PROPOSAL.value,
        pr=FRESH,
        justification=PROPOSAL.justification,
        address=PROPOSAL.address,
        epoch=0,
        signer=SIGNERS[1],
    )
    assert encode(again) == encode(PROPOSAL)
