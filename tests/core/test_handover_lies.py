"""Lies between copies and members: nothing crashes a node, gives a vote or holds one up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zmqnode.base.exchange import NodeState
from zmqnode.base.handing import (
    ConsentAnswer,
    ConsentWanted,
    ReadyAnswer,
    ReadyWanted,
    Shadow,
    SignedAnswer,
    SignedWanted,
    sign_shadow,
)
from zmqnode.base.handover import Mode, Switch, sign_consent, sign_ready
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address, Signature
from zmqnode.base.point import HEIGHT_MAX
from zmqnode.base.signing import Signer
from zmqnode.core.effects import Answer, Publish
from zmqnode.core.events import Answered, Heard, PeerConnected, Requested
from zmqnode.core.giving import TOLD_MS
from zmqnode.core.readiness import AHEAD_MAX

from .handing_faults import EPOCH_MS, authority, cosigns, ended, over, start, turns
from .handing_world import Copy, World
from .harness import key


def switch_of(world: World, new: Copy, mode: Mode = Mode.PLANNED, **changes: object) -> Switch:
    member = authority(world).members.by_address[new.address]
    switch = Switch(
        address=new.address,
        epoch=member.epoch,
        mode=mode,
        old_instance=member.instance,
        new_instance=new.instance,
        url=new.url,
        expires_at_ms=EPOCH_MS + world.now_ms + 20_000,
    )
    return replace(switch, **changes)  # type: ignore[arg-type]


def asked(copy: Copy, request: object, source: Copy) -> object:
    """What a copy answers to a peer's question; None if nothing."""
    before = len(copy.effects)
    route = (source, request)
    copy.take(Requested(source=source.instance, route=route, request=request))  # type: ignore[arg-type]
    found = [one for one in copy.effects[before:] if isinstance(one, Answer)]
    return found[-1].reply if found else None


def ready(world: World) -> tuple[Copy, Copy]:
    """A synced standby of a0, and a0."""
    new = world.up().standby("a0", "a0b")
    world.run(1500)
    return new, world["a0"]


def shadows(copy: Copy) -> list[Shadow]:
    found = [one.message for one in copy.effects if isinstance(one, Publish)]
    return [one for one in found if isinstance(one, Shadow)]


def matches(at: Copy, of: Copy) -> int:
    return at.machine.parts.handing.readiness.matches(of.instance)


def test_an_old_shadow_sent_again_by_a_third_takes_no_word_away() -> None:
    """Goal: one member replaying a standby's old shadow ballots cannot hold its handover up."""
    world = World(consent_asks=True)
    new, _ = ready(world)
    start(new)
    world.run(250)
    stale = shadows(new)[0]
    world.run(3500)
    before = matches(world["a1"], new)
    member = world["a1"]
    for _ in range(10):
        member.take(Heard(message=stale, source=world["a2"].instance))
    assert matches(member, new) == before == 5


def test_a_shadow_that_others_repeat_counts_once() -> None:
    """Goal: five shadow ballots are five that the standby sent, not one that a peer echoes."""
    world = World()
    new, _ = ready(world)
    tip = world["a1"].disk.blocks[-1]
    shadow = sign_shadow(
        address=new.address,
        epoch=0,
        height=tip.manifest.height,
        block=tip.hash,
        signer=new.signer,
    )
    for _ in range(10):
        world["a1"].take(Heard(message=shadow, source=world["a2"].instance))
    assert matches(world["a1"], new) == 0


def test_false_shadows_count_nowhere() -> None:
    """Goal: forged, of another address, of another epoch, of an unlinked key: no match."""
    world = World()
    new, _ = ready(world)
    member = world["a1"]
    tip = member.disk.blocks[-1]
    stranger = Signer(key("stranger"), world.domain)

    def shadow(**changes: object) -> Shadow:
        made = sign_shadow(
            address=new.address,
            epoch=0,
            height=tip.manifest.height,
            block=tip.hash,
            signer=new.signer,
        )
        return replace(made, **changes)  # type: ignore[arg-type]

    lies = [
        shadow(signature=Signature(bytes(64))),
        shadow(address=Address("a2sas")),
        shadow(epoch=1),
        shadow(instance=stranger.public),
        sign_shadow(address=new.address, epoch=0, height=1, block=Hash(bytes(32)), signer=stranger),
    ]
    for lie in lies * 5:
        member.take(Heard(message=lie, source=new.instance))
        member.take(Heard(message=lie, source=lie.instance))
    assert matches(member, new) == 0
    assert stranger.public not in member.machine.parts.handing.readiness._seen


def test_shadows_far_ahead_are_bounded_and_no_sign_of_life() -> None:
    """Goal: heights up to 2**63 fill no memory, and do not keep a dead leader waited for."""
    world = World()
    new, _ = ready(world)
    member = world["a1"]
    for height in [*range(100, 200), HEIGHT_MAX]:
        shadow = sign_shadow(
            address=new.address, epoch=0, height=height, block=Hash(bytes(32)), signer=new.signer
        )
        member.take(Heard(message=shadow, source=new.instance))
    seen = member.machine.parts.handing.readiness._seen[new.instance]
    assert len(seen.ahead) <= AHEAD_MAX
    kernel = member.machine.kernel
    assert kernel is not None
    tip = kernel.chain.tip.height
    assert kernel.members.absent(Address("a0sas"), tip + 60, kernel.now_ms + 60_000)


def test_words_for_strangers_are_not_given() -> None:
    """Goal: a member vouches only for who asks, of its own address, where it is connected."""
    world = World()
    new, old = ready(world)
    start(new)
    assert world.run(10_000, lambda: matches(world["a1"], new) == 5)
    member = world["a1"]
    good = ReadyWanted(switch=switch_of(world, new))
    answer = asked(member, good, new)
    assert isinstance(answer, ReadyAnswer) and answer.ready is not None
    for wanted, source in [
        (good, world["a2"]),
        (ReadyWanted(switch=switch_of(world, new, address=Address("a2sas"))), new),
        (ReadyWanted(switch=switch_of(world, new, address=Address("nobodysas"))), new),
        (ReadyWanted(switch=switch_of(world, new, epoch=2**32 - 1)), new),
        (ReadyWanted(switch=switch_of(world, new, old_instance=new.instance)), new),
        (ReadyWanted(switch=switch_of(world, new, url="tcp://elsewhere:1")), new),
        (ReadyWanted(switch=switch_of(world, new, new_instance=old.instance)), new),
    ]:
        answer = asked(member, wanted, source)
        assert isinstance(answer, ReadyAnswer) and answer.ready is None and answer.code
    unready = asked(old, ReadyWanted(switch=switch_of(world, new, Mode.TAKEOVER)), new)
    assert isinstance(unready, ReadyAnswer) and unready.ready is None


def test_a_stranger_that_asks_for_words_makes_no_blocks() -> None:
    """Goal: on an idle chain only who may get a word is worth a block."""
    world = World()
    new, _ = ready(world)
    member = world["a1"]
    member.take(
        Requested(
            source=world["a2"].instance,
            route=(world["a2"], None),
            request=ReadyWanted(switch=switch_of(world, new)),
        )
    )
    kernel = member.machine.kernel
    assert kernel is not None
    kernel.now_ms += 8_000
    assert not kernel.wants_block()


def ready_lie(world: World, new: Copy, member: Copy, lie: str) -> ReadyAnswer:
    switch = switch_of(world, new)
    tip_ms = world["a1"].disk.blocks[-1].value.time_ms  # type: ignore[union-attr]
    word = sign_ready(switch, tip_ms, member.address, member.signer)
    if lie == "signature":
        word = replace(word, signature=Signature(bytes(64)))
    elif lie == "time":
        word = replace(word, time_ms=word.time_ms + 1)
    elif lie == "address":
        word = replace(word, address=Address("a2sas" if member.name == "a1" else "a1sas"))
    elif lie == "future":
        word = sign_ready(switch, tip_ms + 10**9, member.address, member.signer)
    elif lie == "unknown":
        word = replace(word, address=Address("nobodysas"))
    return ReadyAnswer(session=switch.session, ready=word, matches=1024, code="")


@pytest.mark.parametrize("lie", ["signature", "time", "address", "future", "unknown"])
def test_false_words_are_not_counted(lie: str) -> None:
    """Goal: a word counts if its member signed it at a block that is here; others do nothing."""
    world = World()
    new, _ = ready(world)
    for name in ("a0", "a1", "a2", "a3"):
        world.cut(name, "a0b")
    start(new)
    world.run(300)
    for name in ("a1", "a2", "a3"):
        answer = ready_lie(world, new, world[name], lie)
        new.take(Answered(source=world[name].instance, reply=answer))
    world.run(300)
    assert new.view.peers_ready == 0 and new.view.phase == "shadow"
    world.cuts.clear()
    assert world.run(20_000, lambda: over(new)) and ended(new) == ("done", None)
    world.check()


def test_a_member_that_dates_its_word_ahead_costs_nothing() -> None:
    """Goal: with one of four lying the other three words make the certificate."""
    world = World()
    new, _ = ready(world)
    start(new)
    world.run(100)
    new.take(
        Answered(source=world["a3"].instance, reply=ready_lie(world, new, world["a3"], "future"))
    )
    assert world.run(3_000, lambda: over(new)), new.view
    assert ended(new) == ("done", None)


@pytest.mark.parametrize("mode", [Mode.TAKEOVER, Mode.FORCED])
def test_the_old_copy_cannot_spoil_the_certificate_with_its_own_word(mode: Mode) -> None:
    """Goal: A's word counts in planned mode only; unasked for it must not end the claim."""
    world = World()
    new, old = ready(world)
    for name in ("a2", "a3"):
        world.cut(name, "a0b")
    words = cosigns(world, new, ["a1", "a2"]) if mode is Mode.FORCED else ()
    start(new, mode, cosigns=words)
    world.run(1500)
    switch = switch_of(world, new, mode)
    tip_ms = old.disk.blocks[-1].value.time_ms  # type: ignore[union-attr]
    word = sign_ready(switch, tip_ms, old.address, old.signer)
    answer = ReadyAnswer(session=switch.session, ready=word, matches=5, code="")
    new.take(Answered(source=old.instance, reply=answer))
    world.cuts -= {("a2", "a0b"), ("a0b", "a2")}
    world.run(300)
    assert not over(new), new.view
    world.cuts.clear()
    assert world.run(10_000, lambda: bool(turns(world))), new.view
    world.check()


def test_consent_for_strangers_is_refused() -> None:
    """Goal: only a connected copy of this address, for itself, within a minute, gets consent."""
    world = World()
    new, old = ready(world)
    fresh = Signer(key("a2 standby"), world.domain)
    foreign = Copy(world, "a2b", Address("a2sas"), {})
    foreign.signer = fresh
    old.take(PeerConnected(address=Address("a2sas"), instance=fresh.public, url=foreign.url))
    good = ConsentWanted(switch=switch_of(world, new), reason="")
    views = len(old.views)
    far_ms = EPOCH_MS + world.now_ms + 120_000
    for switch, source in [
        (good.switch, world["a1"]),
        (switch_of(world, new, new_instance=fresh.public), foreign),
        (switch_of(world, new, new_instance=fresh.public), new),
        (switch_of(world, new, address=Address("a1sas")), new),
        (switch_of(world, new, address=Address("nobodysas")), new),
        (switch_of(world, new, epoch=1), new),
        (switch_of(world, new, old_instance=world["a1"].instance), new),
        (switch_of(world, new, new_instance=world["a1"].instance), world["a1"]),
        (switch_of(world, new, expires_at_ms=far_ms), new),
    ]:
        answer = asked(old, ConsentWanted(switch=switch, reason=""), source)
        assert isinstance(answer, ConsentAnswer), switch
        assert answer.consent is None and not answer.waits and answer.code, switch
    assert len(old.views) == views
    answer = asked(old, good, new)
    assert isinstance(answer, ConsentAnswer) and answer.consent is not None


def consent_lie(world: World, new: Copy, lie: str) -> ConsentAnswer:
    switch = switch_of(world, new)
    other = switch_of(world, new, new_instance=world["a1"].instance)
    consent = sign_consent(switch, world["a1"].signer if lie == "signer" else world["a0"].signer)
    session = other.session if lie == "session" else switch.session
    return ConsentAnswer(session=session, consent=consent, waits=False, code="", text="")


@pytest.mark.parametrize("lie", ["signer", "session", "expiry", "source"])
def test_false_consent_is_not_taken(lie: str) -> None:
    """Goal: consent for another session, time or key, or from another peer, is none."""
    world = World(consent_asks=True)
    new, old = ready(world)
    start(new)
    assert world.run(10_000, lambda: "operator" in (new.view.waits_for or ""))
    source = world["a1"] if lie == "source" else old
    new.take(Answered(source=source.instance, reply=consent_lie(world, new, lie)))
    refusal = ConsentAnswer(
        session=switch_of(world, new).session, consent=None, waits=False, code="x", text=""
    )
    new.take(Answered(source=world["a1"].instance, reply=refusal))
    world.run(500)
    assert not over(new) and new.view.phase == "ready"
    assert turns(world) == []


def test_an_unknown_code_of_the_old_copy_is_a_refusal() -> None:
    """Goal: the session ends with a code of the contract, whatever the old copy wrote."""
    world = World(consent_asks=True)
    new, old = ready(world)
    start(new)
    assert world.run(10_000, lambda: "operator" in (new.view.waits_for or ""))
    answer = ConsentAnswer(
        session=switch_of(world, new).session,
        consent=None,
        waits=False,
        code="rm -rf",
        text="x" * 500,
    )
    new.take(Answered(source=old.instance, reply=answer))
    assert ended(new) == ("failed", "consent_refused")


def test_lies_about_what_was_signed_count_nothing() -> None:
    """Goal: any SignedAnswer, at any time, leaves the count unknown or right."""
    world = World()
    new, old = ready(world)
    lies = [
        SignedAnswer(first=0, since=0, stages=()),
        SignedAnswer(first=HEIGHT_MAX, since=HEIGHT_MAX, stages=(3,) * 1024),
        SignedAnswer(first=HEIGHT_MAX, since=0, stages=(0,)),
        SignedAnswer(first=0, since=0, stages=(0,)),
        SignedAnswer(first=1, since=HEIGHT_MAX, stages=(0,) * 1024),
    ]

    def lie() -> bool:
        for one in lies:
            new.take(Answered(source=old.instance, reply=one))
            new.take(Answered(source=world["a1"].instance, reply=one))
        return over(new)

    lie()
    start(new)
    assert world.run(10_000, lie)
    assert new.view.outcome == "done" and new.view.missed_ballots in (0, None)


def test_a_stranger_that_asks_what_was_signed_ends_no_key() -> None:
    """Goal: A's key waits for the new copy's question, whoever else asked before."""
    world = World()
    new, old = ready(world)
    answer = asked(old, SignedWanted(first=1, last=1024), world["a1"])
    assert isinstance(answer, SignedAnswer) and len(answer.stages) <= 1024
    asked(old, SignedWanted(first=HEIGHT_MAX, last=HEIGHT_MAX), world["a1"])
    assert old.machine.parts.handing.giving.told is None
    start(new)
    assert world.run(10_000, lambda: over(new)) and new.view.missed_ballots == 0


def test_its_links_outlive_the_answer_of_a_retired_copy() -> None:
    """Goal: what the old copy signed is known. Method: when it told, and when its key went."""
    world = World()
    new, old = ready(world)
    giving = old.machine.parts.handing.giving
    gone: list[int] = []

    def replaced() -> bool:
        if giving._replaced and not gone:
            gone.append(world.now_ms)
        return bool(gone) and over(new)

    start(new)
    assert world.run(10_000, replaced)
    assert giving.told is not None
    assert gone[0] - giving.told[1] >= TOLD_MS
    assert new.view.missed_ballots == 0


def test_oversized_numbers_are_no_messages() -> None:
    """Goal: what cannot be is refused where it is read."""
    good = {"first": 0, "since": 0, "stages": ()}
    for bad in [{"first": -1}, {"since": 2**70}, {"stages": (4,)}, {"stages": (1,) * 1025}]:
        with pytest.raises(ValueError, match=r"[a-z]"):
            SignedAnswer(**{**good, **bad})  # type: ignore[arg-type]
    for first, last in [(1, 0), (0, 1024), (-1, 3), (0, 2**70)]:
        with pytest.raises(ValueError, match=r"[a-z]"):
            SignedWanted(first=first, last=last)
    world = World()
    new, _ = ready(world)
    with pytest.raises(ValueError, match=r"[a-z]"):
        ConsentWanted(switch=switch_of(world, new), reason="x" * 201)
    with pytest.raises(ValueError, match=r"[a-z]"):
        ConsentWanted(switch=switch_of(world, new, Mode.TAKEOVER), reason="")
    with pytest.raises(ValueError, match=r"[a-z]"):
        ReadyAnswer(session=Hash(bytes(32)), ready=None, matches=2**40, code="")
    assert new.state is NodeState.SYNCING
