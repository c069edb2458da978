"""What peers say to each other: every list reaches its bound, and none goes beyond it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.vectors.samples import (
    ACCEPT_VP,
    ACCEPTS,
    DOMAIN,
    INITS,
    INSTANCES,
    MESSAGES,
    PROPOSAL,
    SIGNERS,
)
from zmqnode.base.codec import decode, encode, pack, to_wire
from zmqnode.base.exchange import (
    BLOCKS_ASKED_MAX,
    ROUNDS_ASKED_MAX,
    SEALS_ANNOUNCED_MAX,
    SEALS_ASKED_MAX,
    VOTES_ANSWERED_MAX,
    BlocksAnswer,
    BlocksWanted,
    LastBallotAnswer,
    LastBallotWanted,
    NodeState,
    RoundHeld,
    SealsAnnounced,
    SealsAnswer,
    SealsPublished,
    SealsWanted,
    Status,
    VotesAnswer,
    VotesWanted,
    sign_last_ballot,
)
from zmqnode.base.hashes import ZERO, sha256
from zmqnode.base.keys import verify
from zmqnode.base.point import HEIGHT_MAX, ROUND_MAX
from zmqnode.base.seal import TIME_MAX_MS
from zmqnode.errors import Malformed

STATUS = MESSAGES["status"]
assert isinstance(STATUS, Status)


def held(**change: Any) -> RoundHeld:
    nothing = RoundHeld(
        round=0, proposal=False, init_mask=0, accept_mask=0, init_vp=False, draw_vp=False
    )
    return replace(nothing, **change)


def votes(proposals: int, ballots: int, voteproofs: int) -> VotesAnswer:
    return VotesAnswer(
        proposals=(PROPOSAL,) * proposals,
        ballots=(INITS[0],) * ballots,
        voteproofs=(ACCEPT_VP,) * voteproofs,
    )


def wanted(**change: Any) -> VotesWanted:
    return VotesWanted(**{"height": 1, "round": 0, "rounds": (), **change})


def status(**change: Any) -> Status:
    return replace(STATUS, **change)  # type: ignore[type-var]


AT_THE_BOUND = {
    "seals published": lambda more: SealsPublished(seals=(b"",) * (SEALS_ASKED_MAX + more)),
    "seals announced": lambda more: SealsAnnounced(seals=(ZERO,) * (SEALS_ANNOUNCED_MAX + more)),
    "seals wanted": lambda more: SealsWanted(seals=(ZERO,) * (SEALS_ASKED_MAX + more)),
    "seals answered": lambda more: SealsAnswer(
        seals=(b"",) * 500, missing=(ZERO,) * (SEALS_ASKED_MAX - 500 + more)
    ),
    "seals served": lambda more: SealsAnswer(seals=(b"",) * (SEALS_ASKED_MAX + more), missing=()),
    "rounds asked": lambda more: wanted(rounds=(held(),) * (ROUNDS_ASKED_MAX + more)),
    "height asked": lambda more: wanted(height=HEIGHT_MAX + more),
    "round asked": lambda more: wanted(round=ROUND_MAX + more),
    "round held": lambda more: wanted(rounds=(held(round=ROUND_MAX + more),)),
    "votes": lambda more: votes(10, VOTES_ANSWERED_MAX - 20, 10 + more),
    "ballots": lambda more: votes(0, VOTES_ANSWERED_MAX + more, 0),
    "blocks asked": lambda more: BlocksWanted(first=7, last=6 + BLOCKS_ASKED_MAX + more),
    "last block asked": lambda more: BlocksWanted(first=HEIGHT_MAX, last=HEIGHT_MAX + more),
    "first block asked": lambda more: BlocksWanted(first=1 - more, last=1),
    "blocks in order": lambda more: BlocksWanted(first=5 + more, last=5),
    "blocks": lambda more: BlocksAnswer(
        first=1, blocks=((b"", ACCEPT_VP),) * (BLOCKS_ASKED_MAX + more)
    ),
    "first block": lambda more: BlocksAnswer(first=HEIGHT_MAX + more, blocks=()),
    "status height": lambda more: status(height=HEIGHT_MAX + more),
    "status tip": lambda more: status(tip=HEIGHT_MAX + more),
    "status clock": lambda more: status(clock_ms=TIME_MAX_MS + more),
    "status tip least": lambda more: status(tip=0 - more),
    "status height least": lambda more: status(height=0 - more),
    "status clock least": lambda more: status(clock_ms=0 - more),
    "mask": lambda more: wanted(rounds=(held(init_mask=0 - more),)),
    "other mask": lambda more: wanted(rounds=(held(accept_mask=0 - more),)),
    "some seals": lambda more: SealsWanted(seals=(ZERO,) * (1 - more)),
    "some hashes": lambda more: SealsAnnounced(seals=(ZERO,) * (1 - more)),
    "some bytes": lambda more: SealsPublished(seals=(b"",) * (1 - more)),
}


@pytest.mark.parametrize("name", AT_THE_BOUND)
def test_bounds_are_reached_and_held(name: str) -> None:
    make = AT_THE_BOUND[name]
    most = make(0)
    assert decode(encode(most)) == most
    with pytest.raises(ValueError):  # noqa: PT011 - each has a text of its own
        make(1)


def test_masks_have_64_bits() -> None:
    most = wanted(rounds=(held(init_mask=2**64 - 1, accept_mask=2**64 - 1),))
    assert decode(encode(most)) == most


@pytest.mark.parametrize("state", [0, 7, -1, True, "BROKEN"])
def test_there_are_six_states(state: object) -> None:
    wire = to_wire(STATUS)
    wire[2] = state
    with pytest.raises(Malformed):
        decode(pack(["status", 1, *wire]))


def test_states_keep_their_numbers() -> None:
    """They travel, so none may change."""
    assert [(state.name, int(state)) for state in NodeState] == [
        ("BOOTING", 1),
        ("JOINING", 2),
        ("CONSENSUS", 3),
        ("SYNCING", 4),
        ("HANDOVER", 5),
        ("BROKEN", 6),
    ]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "sas",
        "n0",
        "n0sas\x00",
        "n\x000sas",
        "n0sas\n",
        "x" * 62 + "sas",
        "\x1b[2Jsas",
        "né sas",
    ],
    ids=ascii,
)
def test_an_address_from_outside_is_one(address: str) -> None:
    """Goal: no NUL, newline, escape or megabyte in what is compared, logged and shown."""
    for name in ("ballot.init", "status", "proposal", "voteproof.draw", "genesis"):
        data = encode(MESSAGES[name])
        true, false = pack("n0sas"), pack(address)
        if name == "proposal":
            true = pack("n1sas")
        assert true in data
        with pytest.raises(Malformed, match="address"):
            decode(data.replace(true, false))


def answer(**change: Any) -> LastBallotAnswer:
    asked = LastBallotWanted(instance=INSTANCES[0].public, nonce=sha256(b"start"))
    return replace(sign_last_ballot(asked, ACCEPTS[0], SIGNERS[1]), **change)


def test_an_answer_to_d6_is_for_one_start_and_from_one_member() -> None:
    assert answer().verified(DOMAIN, verify)
    none = sign_last_ballot(
        LastBallotWanted(instance=INSTANCES[0].public, nonce=sha256(b"start")), None, SIGNERS[1]
    )
    assert none.verified(DOMAIN, verify)
    for forged in (
        answer(nonce=sha256(b"another start")),
        answer(instance=INSTANCES[2].public),
        answer(answerer=INSTANCES[2].public),
        answer(ballot=None),
        answer(ballot=INITS[0]),
        answer(signature=none.signature),
        replace(none, ballot=ACCEPTS[0]),
    ):
        assert not forged.verified(DOMAIN, verify)
