"""Every registered message: its round trip, every field bent, and what its signature holds."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vectors import samples
from tests.vectors.samples import DOMAIN, IDENTITIES, INSTANCES, MESSAGES, SUFFRAGE
from zmqnode.base.address_record import AddressRecord
from zmqnode.base.ballot import Ballot
from zmqnode.base.codec import decode, decode_as, encode, from_wire, pack, to_wire, unpack
from zmqnode.base.exchange import LastBallotAnswer, Status
from zmqnode.base.genesis import Genesis
from zmqnode.base.handover import Ack, Cancel, Handover, Veto
from zmqnode.base.keys import PublicKey, Signature, verify
from zmqnode.base.proposal import Proposal
from zmqnode.base.query import ControlAsked
from zmqnode.base.signing import Domain
from zmqnode.base.voteproof import Voteproof, check_voteproof
from zmqnode.errors import Malformed

Path = tuple[int | str, ...]

# Where a message holds values of an application or a person: anything canonical may stand there.
FREE = {"ask.query": (3,), "answer.told": (2,), "answer.failed": (6,)}
# Plain bytes, of any length, which are read elsewhere.
OPAQUE = {
    *("seals.published", "seals.answer", "blocks.answer", "ask.submit", "ask.control"),
    *("answer.committed", "answer.raw_blocks", "genesis", "journal.value", "hello.credential"),
}
JUNK: list[Any] = [
    *(None, False, True, 0, 1, -1, 2, 7, 2**31, 2**53, 2**64 - 1, -(2**63)),
    *("", "x", "\x00", "n9sas", "x" * 70, "x" * 300),
    *(b"", b"x", bytes(31), bytes(32), bytes(33), bytes(63), bytes(64), bytes(65)),
    *([], [[]], [None], {}, {"a": 1}),
]


def paths(wire: Any, here: Path = ()) -> Iterator[Path]:
    """Every place in a wire value, the outermost first."""
    yield here
    if isinstance(wire, (list, dict)):
        for at, item in enumerate(wire) if isinstance(wire, list) else wire.items():
            yield from paths(item, (*here, at))


def taken(wire: Any, path: Path) -> Any:
    for at in path:
        wire = wire[at]
    return wire


def put(wire: Any, path: Path, value: Any) -> Any:
    """A copy with another value at one place."""
    if not path:
        return value
    copy = wire.copy()
    copy[path[0]] = put(wire[path[0]], path[1:], value)
    return copy


def bends(wire: Any) -> Iterator[tuple[Path, Any, Any]]:
    """(place, what is there instead, the whole), for every place and many values."""
    for path in paths(wire):
        there = taken(wire, path)
        others = list(JUNK)
        if isinstance(there, list):
            others += [there[:-1], [*there, None], [*there, *there[-1:]], there[::-1]]
        if isinstance(there, bytes) and there:
            others += [there[:-1], there + b"\x00", there[:-1] + bytes([there[-1] ^ 1])]
        if isinstance(there, str):
            others += [there[:-1], there + "\x00", there + " "]
        for other in others:
            if type(other) is not type(there) or other != there:
                yield path, other, put(wire, path, other)


def read(wire: Any) -> Any:
    """The message of a wire value, or None if it is none; any other exception fails the test."""
    data = pack(wire)
    try:
        found = decode(data)
    except Malformed:
        return None
    assert encode(found) == data
    return found


def signature_like(data: bytes) -> bool:
    return len(data) in (32, 64)


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_survives_the_wire(name: str) -> None:
    message = MESSAGES[name]
    found = decode(encode(message))
    assert found == message
    assert decode_as(type(message), encode(message)) == message
    assert from_wire(type(message), to_wire(message)) == message
    assert name in FREE or hash(found) == hash(message)


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_a_frozen_value(name: str) -> None:
    message = MESSAGES[name]
    for field in dataclasses.fields(typing.cast(Any, message)):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(message, field.name, None)


@pytest.mark.parametrize("name", MESSAGES)
def test_a_bent_message_is_another_message_or_malformed(name: str) -> None:
    """Goal: a wrong type or size anywhere is Malformed, and nothing else is ever raised."""
    wire = unpack(encode(MESSAGES[name]))
    free, opaque = FREE.get(name), name in OPAQUE
    for path, other, whole in bends(wire):
        found = read(whole)
        if found is None or (free is not None and path[:1] == free):
            continue
        there = taken(wire, path)
        optional = there is None or other is None
        assert type(other) is type(there) or optional, (path, other)
        if isinstance(there, bytes) and signature_like(there) and not (optional or opaque):
            assert len(other) == len(there), (path, other)


@given(st.sampled_from(sorted(MESSAGES)), st.data())
@settings(max_examples=400)
def test_bent_bytes_have_one_reading_or_none(name: str, data: st.DataObject) -> None:
    bent = bytearray(encode(MESSAGES[name]))
    for _ in range(data.draw(st.integers(1, 3))):
        bent[data.draw(st.integers(0, len(bent) - 1))] ^= data.draw(st.integers(1, 255))
    bent = bent[: len(bent) - data.draw(st.integers(0, 2))]
    try:
        found = decode(bytes(bent))
    except Malformed:
        return
    assert encode(found) == bytes(bent)


@pytest.mark.parametrize(
    "wire",
    [
        None,
        [],
        ["ballot"],
        ["ballot", 2],
        ["ballot", True],
        ["ballot", 0],
        ["ballot", "1"],
        [b"ballot", 1],
        [["ballot"], 1],
        [{}, 1],
        ["no such thing", 1],
        ["no such thing" * 1000, 1],
        ["\x1b[31m", 1],
        [1, "ballot"],
        {"ballot": 1},
        "ballot",
        ["ballot", 2**64 - 1],
    ],
    ids=lambda wire: repr(wire)[:30],
)
def test_what_is_no_message_is_malformed(wire: object) -> None:
    with pytest.raises(Malformed) as refused:
        decode(pack(wire))
    assert len(str(refused.value)) < 200
    assert "\x1b" not in str(refused.value)


def test_a_message_is_not_read_as_another_kind() -> None:
    with pytest.raises(Malformed, match="expected ballot"):
        decode_as(Ballot, encode(MESSAGES["voteproof.init"]))


# Signatures.


def genesis_verified(genesis: Genesis, domain: Domain) -> bool:
    return all(entry.verified(domain.network_id, verify) for entry in genesis.entries)


VERIFIED: dict[type, Callable[[Any, Domain], bool]] = {
    **{
        cls: lambda found, domain: found.verified(domain, verify)
        for cls in (Ballot, Proposal, Status, LastBallotAnswer, AddressRecord)
    },
    **{
        cls: lambda found, domain: found.verified(domain, verify)
        for cls in (Handover, Veto, Ack, Cancel)
    },
    ControlAsked: lambda found, domain: found.verified(domain, INSTANCES[0].public, verify),
    Voteproof: lambda found, domain: check_voteproof(found, SUFFRAGE, domain, verify),
}
SIGNED = [name for name, message in MESSAGES.items() if type(message) in VERIFIED]


def holds(message: Any, domain: Domain = DOMAIN) -> bool:
    return VERIFIED[type(message)](message, domain)


@pytest.mark.parametrize("name", SIGNED)
def test_a_signature_holds_in_its_chain_alone(name: str) -> None:
    message = MESSAGES[name]
    assert holds(message)
    assert not holds(message, dataclasses.replace(DOMAIN, network_id="other"))
    assert not holds(message, dataclasses.replace(DOMAIN, network_id=""))
    assert not holds(message, dataclasses.replace(DOMAIN, genesis=bytes(32)))


@pytest.mark.parametrize("name", SIGNED)
def test_every_field_is_covered_by_the_signature(name: str) -> None:
    """Goal: whatever is changed in a signed message, its signature does not hold any more.

    But: the ballot in an answer to D6 is covered through its own signature, and a voteproof may
    lose a signature beyond the quorum.
    """
    wire = unpack(encode(MESSAGES[name]))
    for path, other, whole in bends(wire):
        found = read(whole)
        if type(found) is not type(MESSAGES[name]):
            continue
        if isinstance(found, LastBallotAnswer) and found.ballot is not None and holds(found):
            assert not found.ballot.verified(DOMAIN, verify), (path, other)
        elif isinstance(found, Voteproof) and path == (3,):
            assert holds(found) == (3 <= len(found.signatures) <= 4)
        else:
            assert not holds(found), (path, other)


class Tapped:
    """A signer that keeps what it signed, and bends it on its way."""

    def __init__(self, key: Any, *, domain: Domain = DOMAIN, tag: str = "", version: int = 1):
        self.key, self.domain, self.tag, self.version = key, domain, tag, version
        self.public: PublicKey = key.public
        self.seen: list[tuple[str, bytes]] = []

    def sign(self, tag: str, body: bytes) -> Signature:
        self.seen.append((tag, body))
        return self.key.sign(self.domain.message(self.tag or tag, body, self.version))


def makers() -> dict[str, Callable[[Any], Any]]:
    """Kind -> how a signer makes one."""
    from zmqnode.base import address_record, ballot, exchange, handover, proposal, seal

    wanted = exchange.LastBallotWanted(instance=INSTANCES[0].public, nonce=DOMAIN.genesis)
    one, fact = samples.PROPOSAL, samples.INITS[0].fact
    planned = samples.switch(handover.Mode.PLANNED)
    address, standby = samples.address(0), samples.STANDBY.public
    return {
        "ballot": lambda by: ballot.sign_ballot(fact, address, 0, by),
        "proposal": lambda by: proposal.sign_proposal(
            one.point,
            one.value,
            pr=one.pr,
            justification=one.justification,
            address=address,
            epoch=0,
            signer=by,
        ),
        "status": lambda by: exchange.sign_status(
            address=address,
            state=exchange.NodeState.SYNCING,
            height=1,
            tip=0,
            clock_ms=5,
            signer=by,
        ),
        "last_ballot": lambda by: exchange.sign_last_ballot(wanted, None, by),
        "seal": lambda by: seal.sign_seal(
            [["put", []]], created_at_ms=1, nonce=bytes(16), signer=by
        ),
        "handover": lambda by: handover.sign_handover(
            planned, possession=Signature(bytes(64)), consent=Signature(bytes(64)), signer=by
        ),
        "veto": lambda by: handover.sign_veto(address, 0, standby, by),
        "ack": lambda by: handover.sign_ack(address, 1, planned.session, by),
        "cancel": lambda by: handover.sign_cancel(address, 0, standby, by),
        "record": lambda by: address_record.sign_record(address, 0, "tcp://x:1", 1, by),
    }


@pytest.mark.parametrize("kind", makers())
def test_tag_version_network_and_genesis_are_in_every_signature(kind: str) -> None:
    make, key = makers()[kind], IDENTITIES[0]
    true = Tapped(key)
    assert make(true).verified(DOMAIN, verify)
    assert len(true.seen) == 1
    for bent in (
        Tapped(key, tag="other"),
        Tapped(key, tag=true.seen[0][0] + "\x00"),
        Tapped(key, version=2),
        Tapped(key, domain=dataclasses.replace(DOMAIN, network_id="other")),
        Tapped(key, domain=dataclasses.replace(DOMAIN, genesis=bytes(32))),
    ):
        assert not make(bent).verified(DOMAIN, verify)


def test_no_two_kinds_share_a_tag() -> None:
    tags = []
    for make in makers().values():
        tapped = Tapped(IDENTITIES[0])
        make(tapped)
        tags += [tag for tag, _ in tapped.seen]
    assert len(set(tags)) == len(tags)


@given(st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=3)), min_size=2, max_size=2))
def test_what_is_signed_has_one_reading(two: list[tuple[str, bytes]]) -> None:
    """Goal: no tag and body run into each other. Method: equal bytes only for equal pairs."""
    (tag, body), (other_tag, other_body) = two
    same = DOMAIN.message(tag, body) == DOMAIN.message(other_tag, other_body)
    assert same == ((tag, body) == (other_tag, other_body))


def test_a_genesis_entry_holds_in_its_network_alone() -> None:
    assert genesis_verified(samples.GENESIS, DOMAIN)
    assert not genesis_verified(samples.GENESIS, dataclasses.replace(DOMAIN, network_id="other"))
