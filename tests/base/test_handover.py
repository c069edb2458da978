"""System operations: what is signed, how it travels, what is refused for its form alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqnode.base import handover as parts
from zmqnode.base.address_record import RECORD_TAG, AddressRecord, sign_record
from zmqnode.base.codec import decode, decode_as, encode, from_wire, to_wire
from zmqnode.base.handover import (
    Ack,
    Cancel,
    Cosign,
    Handover,
    Mode,
    Ready,
    Switch,
    Veto,
    session_id,
    session_text,
    sign_ack,
    sign_cancel,
    sign_consent,
    sign_cosign,
    sign_handover,
    sign_possession,
    sign_ready,
    sign_veto,
)
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address, PrivateKey, Signature, verify
from zmqnode.base.seal import make_seal, read_seal
from zmqnode.base.signing import Domain, Signer
from zmqnode.base.system import (
    is_system,
    operation_name,
    read_system,
    seal_system,
    system_operations,
)
from zmqnode.errors import Malformed

DOMAIN = Domain(network_id="net", genesis=Hash(bytes(32)))
OTHER = Domain(network_id="net", genesis=Hash(b"\1" * 32))
N0, N1 = Address("n0sas"), Address("n1sas")


def signer(name: str) -> Signer:
    return Signer(PrivateKey(name.encode().ljust(32, b".")), DOMAIN)


IDENTITY, OLD, NEW, MEMBER = (signer(name) for name in ("identity", "old", "new", "member"))


def switch(mode: Mode = Mode.PLANNED) -> Switch:
    return Switch(
        address=N0,
        epoch=3,
        mode=mode,
        old_instance=OLD.public,
        new_instance=NEW.public,
        url="tcp://10.0.0.1:4000",
        expires_at_ms=5_000,
    )


def handover(mode: Mode = Mode.PLANNED) -> Handover:
    change = switch(mode)
    cosigns = []
    if mode is Mode.FORCED:
        cosigns = [
            sign_cosign(N0, 3, change.session, expires_at_ms=9_000, member=N1, signer=MEMBER)
        ]
    return sign_handover(
        change,
        possession=sign_possession(change, NEW),
        consent=sign_consent(change, OLD) if mode is Mode.PLANNED else None,
        cosigns=cosigns,
        ready=[sign_ready(change, 4_000, N1, MEMBER), sign_ready(change, 4_001, N0, OLD)],
        reason="new disk",
        signer=IDENTITY,
    )


def every_kind() -> list[tuple[Handover | Veto | Ack | Cancel, Signer]]:
    session = switch().session
    return [
        *((handover(mode), IDENTITY) for mode in Mode),
        (sign_veto(N0, 3, NEW.public, OLD), OLD),
        (sign_ack(N0, 4, session, NEW), NEW),
        (sign_cancel(N0, 3, NEW.public, IDENTITY), IDENTITY),
    ]


def test_a_session_is_named_by_address_epoch_mode_and_both_instances() -> None:
    names = {
        session_id(address, epoch, mode, old, new)
        for address in (N0, N1)
        for epoch in (0, 1)
        for mode in Mode
        for old in (OLD.public, MEMBER.public)
        for new in (NEW.public, IDENTITY.public)
    }
    assert len(names) == 2 * 2 * 3 * 2 * 2
    assert switch().session == session_id(N0, 3, Mode.PLANNED, OLD.public, NEW.public)
    assert replace(switch(), url="tcp://elsewhere:1").session == switch().session
    text = session_text(switch().session)
    assert len(text) == 16 and bytes.fromhex(text) == switch().session[:8]


def test_every_kind_is_signed_in_its_chain() -> None:
    for operation, holder in every_kind():
        assert operation.signer == holder.public
        assert operation.verified(DOMAIN, verify)
        assert not operation.verified(OTHER, verify)
        if not isinstance(operation, Handover):
            assert not replace(operation, epoch=7).verified(DOMAIN, verify)


def test_a_handovers_signature_covers_all_of_it() -> None:
    good = handover()
    for changed in (
        replace(good, switch=replace(good.switch, url="tcp://elsewhere:1")),
        replace(good, switch=replace(good.switch, expires_at_ms=5_001)),
        replace(good, reason=""),
        replace(good, possession=Signature(bytes(64))),
        replace(good, consent=Signature(bytes(64))),
        replace(good, ready=good.ready[:1]),
    ):
        assert not changed.verified(DOMAIN, verify)


def test_no_signature_serves_twice() -> None:
    """Goal: each kind has a domain of its own. Method: the same body under every other tag."""
    tags = [getattr(parts, name) for name in dir(parts) if name.endswith("_TAG")] + [RECORD_TAG]
    assert len(set(tags)) == len(tags) == 9
    body = switch().possession_body()
    signature = sign_possession(switch(), NEW)
    right = [tag for tag in tags if verify(NEW.public, DOMAIN.message(tag, body), signature)]
    assert right == [parts.POSSESSION_TAG]


def test_each_part_covers_address_epoch_and_session() -> None:
    change = switch()
    others = [
        replace(change, address=N1),
        replace(change, epoch=4),
        replace(change, mode=Mode.TAKEOVER),
        replace(change, old_instance=MEMBER.public),
        replace(change, new_instance=MEMBER.public),
    ]
    for other in others:
        assert other.possession_body() != change.possession_body()
        assert other.consent_body() != change.consent_body()
        assert other.cosign_body(1) != change.cosign_body(1)
    assert replace(change, expires_at_ms=1).consent_body() != change.consent_body()
    assert change.cosign_body(1) != change.cosign_body(2)


def test_readiness_covers_address_epoch_new_instance_url_and_time_only() -> None:
    """A member's word does not ask for what mode it is used."""
    change = switch()
    assert replace(change, mode=Mode.FORCED).ready_body(1) == change.ready_body(1)
    for other in (
        replace(change, address=N1),
        replace(change, epoch=4),
        replace(change, new_instance=MEMBER.public),
        replace(change, url="tcp://elsewhere:1"),
    ):
        assert other.ready_body(1) != change.ready_body(1)
    assert change.ready_body(1) != change.ready_body(2)


def test_messages_have_one_encoding() -> None:
    for operation, _ in every_kind():
        assert decode(encode(operation)) == operation
    for part in (*handover(Mode.FORCED).ready, *handover(Mode.FORCED).cosigns, switch()):
        assert decode(encode(part)) == part


@pytest.mark.parametrize(
    "change",
    [
        {"url": ""},
        {"url": "x" * 257},
        {"epoch": -1},
        {"epoch": 2**32},
        {"address": ""},
        {"address": "x" * 65},
        {"expires_at_ms": -1},
        {"expires_at_ms": 2**53},
    ],
)
def test_bounds_of_a_switch(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"expected|range"):
        replace(switch(), **change)  # type: ignore[arg-type]


def test_the_form_of_a_handover() -> None:
    planned, takeover, forced = (handover(mode) for mode in Mode)
    word, cosign = planned.ready[0], forced.cosigns[0]
    for build in (
        lambda: replace(planned, reason="x" * 201),
        lambda: replace(planned, consent=None),
        lambda: replace(takeover, consent=Signature(bytes(64))),
        lambda: replace(takeover, cosigns=(cosign,)),
        lambda: replace(planned, ready=(word, word)),
        lambda: replace(planned, ready=tuple(reversed(planned.ready))),
        lambda: replace(forced, cosigns=(cosign, cosign)),
        lambda: Ready(address=N0, time_ms=-1, signature=word.signature),
        lambda: Cosign(address=Address(""), expires_at_ms=0, signature=word.signature),
    ):
        with pytest.raises(ValueError, match=r".+"):
            build()


# In seals.


def test_a_system_seal_is_a_seal_like_any_other() -> None:
    for operation, holder in every_kind():
        seal = seal_system(operation, created_at_ms=77, signer=holder)
        again = read_seal(seal.data)
        assert again == seal and again.verified(DOMAIN, verify)
        assert is_system(again)
        assert again.operations[0][0] == operation_name(operation)
        assert read_system(again) == operation
        assert seal_system(operation, created_at_ms=77, signer=holder) == seal
        assert seal_system(operation, created_at_ms=78, signer=holder).hash != seal.hash


def test_nobody_else_can_send_an_operation() -> None:
    operation = sign_veto(N0, 3, NEW.public, OLD)
    wrapped = make_seal(
        [["zmqnode.veto", [1, *to_wire(operation)]]],
        created_at_ms=77,
        nonce=bytes(16),
        key=PrivateKey(bytes(32)),
        domain=DOMAIN,
    )
    with pytest.raises(Malformed, match="another key"):
        read_system(wrapped)


@pytest.mark.parametrize(
    "operation",
    [
        ["zmqnode.other", [1]],
        ["zmqnode.", []],
        ["zmqnode.veto", []],
        ["zmqnode.veto", [2]],
        ["zmqnode.veto", [True]],
        ["zmqnode.veto", [1, "n0sas"]],
        ["zmqnode.ack", ["1"]],
    ],
)
def test_a_reserved_name_with_anything_else_is_malformed(operation: list[object]) -> None:
    seal = make_seal(
        [operation], created_at_ms=1, nonce=bytes(16), key=PrivateKey(bytes(32)), domain=DOMAIN
    )
    assert is_system(seal)
    with pytest.raises(Malformed):
        read_system(seal)


def test_a_reserved_name_among_others_is_no_system_seal() -> None:
    """It is an unknown operation then: no application can have one of such a name."""
    seal = make_seal(
        [["put", ["a", b"1"]], ["zmqnode.veto", []]],
        created_at_ms=1,
        nonce=bytes(16),
        key=PrivateKey(bytes(32)),
        domain=DOMAIN,
    )
    assert not is_system(seal)


def test_system_seals_come_first_in_a_value() -> None:
    operation, holder = every_kind()[0]
    system = seal_system(operation, created_at_ms=1, signer=holder)
    plain = make_seal(
        [["put", ["a", b"1"]]],
        created_at_ms=1,
        nonce=bytes(16),
        key=PrivateKey(bytes(32)),
        domain=DOMAIN,
    )
    assert system_operations([]) == ()
    assert system_operations([system, plain]) == (operation,)
    with pytest.raises(Malformed, match="first"):
        system_operations([plain, system])


@given(st.binary(max_size=300), st.sampled_from([Handover, Veto, Ack, Cancel, Switch]))
def test_junk_fields_are_malformed_or_a_message(data: bytes, kind: type) -> None:
    """Goal: no crash. Method: junk where fields belong."""
    for wire in ([data], [N0, 3, data, data], [data] * 8, data):
        try:
            made = from_wire(kind, wire)
        except Malformed:
            continue
        assert from_wire(kind, to_wire(made)) == made


# Off the chain.


def test_the_highest_record_of_an_instance_holds() -> None:
    first = sign_record(N0, 3, "tcp://a:1", 1, NEW)
    second = sign_record(N0, 3, "tcp://b:1", 2, NEW)
    assert first.beats(None) and second.beats(first)
    assert not first.beats(second) and not first.beats(first)
    assert decode_as(AddressRecord, encode(second)) == second
    assert second.verified(DOMAIN, verify) and not second.verified(OTHER, verify)
    assert not replace(second, url="tcp://c:1").verified(DOMAIN, verify)
    assert not replace(second, sequence=3).verified(DOMAIN, verify)


@pytest.mark.parametrize("change", [{"url": ""}, {"sequence": -1}, {"sequence": 2**53}])
def test_bounds_of_a_record(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"expected|range"):
        replace(sign_record(N0, 3, "tcp://a:1", 1, NEW), **change)  # type: ignore[arg-type]
