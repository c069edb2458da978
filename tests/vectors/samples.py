"""One true example of every message, made of fixed keys: what the vectors pin and tests bend."""

from __future__ import annotations

from collections.abc import Iterator

from zmqnode.base.address_record import sign_record
from zmqnode.base.ballot import Ballot, accept_fact, draw_fact, init_fact, sign_ballot
from zmqnode.base.block import Block, Manifest
from zmqnode.base.exchange import (
    BlocksAnswer,
    BlocksWanted,
    LastBallotWanted,
    NodeState,
    RoundHeld,
    SealsAnnounced,
    SealsAnswer,
    SealsPublished,
    SealsWanted,
    VotesAnswer,
    VotesWanted,
    sign_last_ballot,
    sign_status,
)
from zmqnode.base.feed import EventsFollowed, FeedCancelled, StateFollowed
from zmqnode.base.genesis import Genesis, genesis_manifest, sign_entry
from zmqnode.base.handback import StartAnswer, StartWanted
from zmqnode.base.handing import (
    ConsentAnswer,
    ConsentWanted,
    ReadyAnswer,
    ReadyWanted,
    SignedAnswer,
    SignedWanted,
    sign_shadow,
)
from zmqnode.base.handover import (
    Mode,
    Switch,
    sign_ack,
    sign_cancel,
    sign_consent,
    sign_cosign,
    sign_handover,
    sign_possession,
    sign_ready,
    sign_veto,
)
from zmqnode.base.handover_query import (
    CancelCommand,
    ChangesAsked,
    ConsentCommand,
    CosignCommand,
    HandbackCommand,
    HandoversAsked,
    PreflightCommand,
    SessionAsked,
    StartCommand,
)
from zmqnode.base.hashes import Hash, sha256
from zmqnode.base.keys import Address, PrivateKey
from zmqnode.base.params import Params
from zmqnode.base.point import Point
from zmqnode.base.proposal import FRESH, Value, sign_proposal
from zmqnode.base.query import (
    Accepted,
    BlockAsked,
    ChainAsked,
    Challenge,
    ChallengeAsked,
    Committed,
    Condition,
    ConditionAwaited,
    CutCommand,
    HeadersAsked,
    InfoAsked,
    PeersAsked,
    QueryAsked,
    RawBlocks,
    RawBlocksAsked,
    SealAwaited,
    SealSubmitted,
    StopCommand,
    SuffrageAsked,
    Until,
    failed,
    sign_control,
    told,
)
from zmqnode.base.results import OK, encode_results, results_leaf, results_root
from zmqnode.base.seal import make_seal
from zmqnode.base.signing import Domain, Signer
from zmqnode.base.suffrage import Suffrage
from zmqnode.base.tree import EMPTY_ROOT
from zmqnode.base.voteproof import Voteproof, certify
from zmqnode.core.records import (
    BallotSigned,
    CertificateHeld,
    ExecutionBegun,
    ProposalSigned,
    ShadowSigned,
    ValueHeld,
)
from zmqnode.errors import Unreachable
from zmqnode.network.hello import DIALLER, Hello, Introduction, Verdict, credential

NETWORK_ID = "vectors"
TIME_MS = 1_795_435_471_120
MEMBERS = 4


def key(number: int) -> PrivateKey:
    """A key of its own for every number from 0 to 255."""
    return PrivateKey(sha256(bytes([number])))


def address(index: int) -> Address:
    """The address of member ``index``."""
    return Address(f"n{index}sas")


IDENTITIES = tuple(key(index) for index in range(MEMBERS))
INSTANCES = tuple(key(100 + index) for index in range(MEMBERS))
SENDER = key(200)
STANDBY = key(201)

GENESIS = Genesis(
    network_id=NETWORK_ID,
    app="kv",
    app_version=1,
    params=Params(),
    entries=tuple(
        sign_entry(
            address=address(index),
            instance=INSTANCES[index].public,
            url=f"tcp://127.0.0.1:{4000 + 3 * index}",
            network_id=NETWORK_ID,
            key=IDENTITIES[index],
        )
        for index in range(MEMBERS)
    ),
    data=b"\x80",
)
SUFFRAGE: Suffrage = GENESIS.suffrage
BLOCK_0 = Block(manifest=genesis_manifest(GENESIS, EMPTY_ROOT), value=None, seals=(), results=())
DOMAIN = Domain(network_id=NETWORK_ID, genesis=BLOCK_0.hash)
SIGNERS = tuple(Signer(one, DOMAIN) for one in INSTANCES)

SEAL = make_seal(
    [["put", ["key", b"\x00\xff", {"b": [1, -1], "a": None}]], ["delete", ["kéy", True]]],
    created_at_ms=TIME_MS,
    nonce=bytes(range(16)),
    key=SENDER,
    domain=DOMAIN,
)
RESULTS = encode_results([(True, None, (("put", {"key": "key"}),)), (False, "no such key", ())])
PLAIN_SEAL = make_seal(
    [["put", ["k", b"v"]]], created_at_ms=TIME_MS, nonce=bytes(16), key=SENDER, domain=DOMAIN
)


def ballots(fact_of: str, point: Point, value: Hash, block: Hash) -> tuple[Ballot, ...]:
    """The ballots of all members at a point: ``init``, ``accept`` or ``draw``."""
    fact = {
        "init": init_fact(point, value),
        "accept": accept_fact(point, value, block),
        "draw": draw_fact(point),
    }[fact_of]
    return tuple(
        sign_ballot(fact, address(index), 0, signer) for index, signer in enumerate(SIGNERS)
    )


def voteproof(of: tuple[Ballot, ...], count: int = MEMBERS) -> Voteproof:
    """The voteproof of the first ``count`` of these ballots."""
    return certify(of[0].fact, {one.address: one.signature for one in of[:count]})


VALUE_1 = Value(
    height=1, parent=BLOCK_0.hash, time_ms=TIME_MS, seals=(SEAL.hash, PLAIN_SEAL.hash), accept=None
)
LEAVES = (
    results_leaf(SEAL.hash, RESULTS),
    results_leaf(PLAIN_SEAL.hash, encode_results([OK])),
)
BLOCK_1 = Block(
    manifest=Manifest(
        height=1,
        parent=BLOCK_0.hash,
        value=VALUE_1.hash,
        results_root=results_root(LEAVES),
        state_root=EMPTY_ROOT,
        suffrage=SUFFRAGE.hash,
    ),
    value=VALUE_1,
    seals=(SEAL, PLAIN_SEAL),
    results=(RESULTS, encode_results([OK])),
)
POINT_1 = Point(height=1, round=0)
INITS = ballots("init", POINT_1, VALUE_1.hash, BLOCK_1.hash)
ACCEPTS = ballots("accept", POINT_1, VALUE_1.hash, BLOCK_1.hash)
ACCEPT_VP = voteproof(ACCEPTS, 3)
VALUE_3 = Value(
    height=3, parent=sha256(b"block 2"), time_ms=TIME_MS + 2, seals=(), accept=ACCEPT_VP
)
DRAWS = ballots("draw", Point(height=3, round=0), VALUE_3.hash, BLOCK_1.hash)
PROPOSAL = sign_proposal(
    Point(height=3, round=1),
    VALUE_3,
    pr=FRESH,
    justification=(voteproof(DRAWS, 3),),
    address=address(1),
    epoch=0,
    signer=SIGNERS[1],
)
INTRODUCTION = Introduction(
    network_id=NETWORK_ID,
    genesis=DOMAIN.genesis,
    params=sha256(b"params"),
    app="kv",
    app_version=1,
    address=address(0),
    instance=INSTANCES[0].public,
    incarnation=bytes(8),
    url="tcp://127.0.0.1:4000",
    publish_port=4002,
)


def switch(mode: Mode) -> Switch:
    """A change of n0sas to the standby's instance."""
    return Switch(
        address=address(0),
        epoch=0,
        mode=mode,
        old_instance=INSTANCES[0].public,
        new_instance=STANDBY.public,
        url="tcp://127.0.0.1:5000",
        expires_at_ms=TIME_MS + 60_000,
    )


def _votes() -> Iterator[tuple[str, object]]:
    yield "ballot.init", INITS[0]
    yield "ballot.accept", ACCEPTS[0]
    yield "ballot.draw", DRAWS[0]
    yield "voteproof.init", voteproof(INITS)
    yield "voteproof.accept", ACCEPT_VP
    yield "voteproof.draw", voteproof(DRAWS, 3)
    yield "value.first", VALUE_1
    yield "value.third", VALUE_3
    yield "proposal", PROPOSAL
    yield "manifest", BLOCK_1.manifest
    yield "genesis", GENESIS


def _exchange() -> Iterator[tuple[str, object]]:
    held = RoundHeld(
        round=0, proposal=True, init_mask=0b1011, accept_mask=0, init_vp=True, draw_vp=False
    )
    wanted = LastBallotWanted(instance=INSTANCES[0].public, nonce=sha256(b"start"))
    yield (
        "status",
        sign_status(
            address=address(0),
            state=NodeState.CONSENSUS,
            height=2,
            tip=1,
            clock_ms=TIME_MS,
            signer=SIGNERS[0],
        ),
    )
    yield "seals.published", SealsPublished(seals=(SEAL.data, PLAIN_SEAL.data))
    yield "seals.announced", SealsAnnounced(seals=(SEAL.hash,))
    yield "seals.wanted", SealsWanted(seals=(SEAL.hash, PLAIN_SEAL.hash))
    yield "seals.answer", SealsAnswer(seals=(SEAL.data,), missing=(PLAIN_SEAL.hash,))
    yield "votes.wanted", VotesWanted(height=3, round=1, rounds=(held,))
    yield (
        "votes.answer",
        VotesAnswer(proposals=(PROPOSAL,), ballots=(DRAWS[3],), voteproofs=(ACCEPT_VP,)),
    )
    yield "blocks.wanted", BlocksWanted(first=1, last=256)
    yield "blocks.answer", BlocksAnswer(first=1, blocks=((b"block", ACCEPT_VP),))
    yield "last_ballot.wanted", wanted
    yield "last_ballot.answer", sign_last_ballot(wanted, ACCEPTS[0], SIGNERS[1])
    yield "last_ballot.none", sign_last_ballot(wanted, None, SIGNERS[1])


def _door() -> Iterator[tuple[str, object]]:
    yield "ask.chain", ChainAsked()
    yield "ask.info", InfoAsked()
    yield "ask.suffrage", SuffrageAsked(height=7)
    yield "ask.suffrage.next", SuffrageAsked(height=None)
    yield "ask.changes", ChangesAsked(after=9)
    yield "ask.peers", PeersAsked()
    yield "ask.block", BlockAsked(hash=BLOCK_1.hash)
    yield "ask.block.last", BlockAsked()
    yield "ask.headers", HeadersAsked(first=None, last=9)
    yield "ask.raw_blocks", RawBlocksAsked(first=0, last=255)
    yield (
        "ask.query",
        QueryAsked(
            name="get", arguments=["key", b"\x00", None], height=4, proof=True, within_ms=5000
        ),
    )
    yield "ask.submit", SealSubmitted(seal=SEAL.data, until=Until.COMMITTED, within_ms=30_000)
    yield "ask.wait_seal", SealAwaited(seal=SEAL.hash, within_ms=0)
    yield (
        "ask.wait",
        ConditionAwaited(condition=Condition.STATE, height=0, state="CONSENSUS", within_ms=9),
    )
    yield "ask.state_feed", StateFollowed(interval_ms=250)
    yield "ask.event_feed", EventsFollowed(start=7, kinds=("block", "handover"), follow=True)
    yield "ask.event_feed.all", EventsFollowed(start=None, kinds=(), follow=False)
    yield "ask.end_feed", FeedCancelled(number=3)
    yield "ask.challenge", ChallengeAsked()
    yield (
        "ask.control",
        sign_control(
            StopCommand(),
            nonce=sha256(b"challenge"),
            instance=INSTANCES[0].public,
            domain=DOMAIN,
            key=IDENTITIES[0],
        ),
    )
    yield "control.stop", StopCommand()
    yield "control.cut", CutCommand(muted_in=("tcp://127.0.0.1:4003",), muted_out=())
    yield "answer.told", told({"b": [1, {"z": True, "y": b"x"}], "a": "é"})
    yield "answer.accepted", Accepted(seal=SEAL.hash)
    yield (
        "answer.committed",
        Committed(seal=SEAL.hash, height=1, block_hash=BLOCK_1.hash, results=RESULTS),
    )
    yield "answer.raw_blocks", RawBlocks(first=0, blocks=((b"block", b"", b"init"),))
    yield "answer.challenge", Challenge(nonce=sha256(b"challenge"))
    yield (
        "answer.failed",
        failed(Unreachable("unreachable", "gone", hint="try again", connected=False, path="x")),
    )


def _handover() -> Iterator[tuple[str, object]]:
    identity, standby = Signer(IDENTITIES[0], DOMAIN), Signer(STANDBY, DOMAIN)
    planned, forced = switch(Mode.PLANNED), switch(Mode.FORCED)
    ready = [sign_ready(planned, TIME_MS, address(i), SIGNERS[i]) for i in (1, 2, 3)]
    cosign = sign_cosign(
        address(0),
        0,
        forced.session,
        expires_at_ms=forced.expires_at_ms,
        member=address(2),
        signer=SIGNERS[2],
    )
    yield "handover.switch", planned
    yield "handover.ready", ready[0]
    yield "handover.cosign", cosign
    yield (
        "system.handover.planned",
        sign_handover(
            planned,
            possession=sign_possession(planned, standby),
            consent=sign_consent(planned, SIGNERS[0]),
            ready=ready,
            reason="new machine",
            signer=identity,
        ),
    )
    yield (
        "system.handover.forced",
        sign_handover(
            forced,
            possession=sign_possession(forced, standby),
            cosigns=[cosign],
            ready=ready,
            signer=identity,
        ),
    )
    yield "system.veto", sign_veto(address(0), 0, STANDBY.public, SIGNERS[0])
    yield "system.ack", sign_ack(address(0), 1, planned.session, standby)
    yield "system.cancel", sign_cancel(address(0), 0, STANDBY.public, identity)
    yield "address.record", sign_record(address(0), 0, "tcp://127.0.0.1:6000", 2, SIGNERS[0])


def _handing() -> Iterator[tuple[str, object]]:
    """What copies and members say while a handover is prepared, and what commands say."""
    planned = switch(Mode.PLANNED)
    standby = Signer(STANDBY, DOMAIN)
    ready = sign_ready(planned, TIME_MS, address(1), SIGNERS[1])
    shadow = sign_shadow(address=address(0), epoch=0, height=1, block=BLOCK_1.hash, signer=standby)
    start = StartCommand(mode=Mode.TAKEOVER, reason="it is dead", when_synced=True)
    consent = sign_consent(planned, SIGNERS[0])
    yield "shadow", shadow
    yield "journal.shadow", ShadowSigned(shadow=shadow)
    yield "ready.wanted", ReadyWanted(switch=planned)
    yield (
        "ready.answer",
        ReadyAnswer(session=planned.session, ready=ready, matches=5, code=""),
    )
    yield "consent.wanted", ConsentWanted(switch=planned, reason="new machine")
    yield (
        "consent.answer",
        ConsentAnswer(session=planned.session, consent=consent, waits=False, code="", text=""),
    )
    yield "signed.wanted", SignedWanted(first=3, last=5)
    yield "signed.answer", SignedAnswer(first=3, since=1, stages=(3, 1, 0))
    yield "start.wanted", StartWanted(command=start)
    yield "start.answer", StartAnswer(answer=b"answer")
    yield "ask.session", SessionAsked(after=7, within_ms=2000)
    yield "ask.handovers", HandoversAsked(address=address(0))
    yield "control.preflight", PreflightCommand(mode=Mode.FORCED)
    yield "control.handover", start
    yield "control.cancel", CancelCommand()
    yield "control.consent", ConsentCommand(refuse=True)
    yield "control.cosign", CosignCommand(address=address(0), instance=STANDBY.public)
    yield "control.handback", HandbackCommand(mode=Mode.PLANNED, accept_halt_risk=True)


def _others() -> Iterator[tuple[str, object]]:
    yield "hello.open", Hello(nonce=bytes(32))
    yield (
        "hello.credential",
        credential(
            INTRODUCTION,
            IDENTITIES[0],
            INSTANCES[0],
            role=DIALLER,
            nonce=bytes(32),
            other_nonce=bytes([1]) * 32,
        ),
    )
    yield "hello.verdict", Verdict(code="genesis_mismatch")
    yield "journal.ballot", BallotSigned(ballot=INITS[0])
    yield "journal.proposal", ProposalSigned(proposal=PROPOSAL)
    yield "journal.value", ValueHeld(value=VALUE_1, seals=(SEAL.data, PLAIN_SEAL.data))
    yield "journal.certificate", CertificateHeld(voteproof=ACCEPT_VP)
    yield "journal.executing", ExecutionBegun(height=3, round=1, value=VALUE_3.hash)


MESSAGES: dict[str, object] = {
    name: sample
    for part in (_votes(), _exchange(), _door(), _handover(), _handing(), _others())
    for name, sample in part
}
"""A name for every kind and shape of message -> one of it."""
