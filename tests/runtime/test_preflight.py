"""What a handover is refused for before it begins, check by check, on real nodes."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.runtime.local import NETWORK, lay_out, standby_of, until
from tests.runtime.test_handovers import PARAMS, client_of, five
from zmqnode import Client
from zmqnode.base.exchange import NodeState
from zmqnode.base.genesis import Genesis, sign_entry
from zmqnode.base.handover import Mode
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address, PrivateKey, PublicKey, parse_private
from zmqnode.base.suffrage import Suffrage
from zmqnode.client.handover_answers import Preflight
from zmqnode.config.genesis import genesis_text, load_genesis
from zmqnode.core.authority import Authority
from zmqnode.core.authority_judging import Lift, Refusal
from zmqnode.core.authority_state import Session
from zmqnode.errors import Refused
from zmqnode.runtime import Node
from zmqnode.runtime import preflight as checks
from zmqnode.runtime.orders import _first_failing
from zmqnode.runtime.preflight import preflight, preflight_row
from zmqnode.runtime.situation import Situation
from zmqnode.runtime.survey import survey

NAMES = [
    *("network", "genesis", "params", "identity", "standby", "url", "synced", "disk", "clock"),
    *("peers", "old", "margin", "open", "cosign"),
]
STRANGER = PublicKey(b"\7" * 32)


def failed(found: Preflight) -> dict[str, str | None]:
    """Failed checks and their codes; each has a hint that names a command."""
    bad = [one for one in found.checks if one.status == "failed"]
    assert all(one.hint and ("zmqnode " in one.hint or "df -h" in one.hint) for one in bad)
    return {one.name: one.code for one in bad}


async def refusal(client: Client, **options: Any) -> str:
    """The code a start is refused with; it names all checks."""
    with pytest.raises(Refused) as caught:
        await client.handover_start(**options)
    assert [one["name"] for one in caught.value.details["checks"]] == NAMES  # type: ignore[attr-defined]
    return caught.value.code


def test_checks_of_a_healthy_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: all fine; then a full disk, the voting copy asked, and forced without co-signatures."""

    async def scene() -> None:
        async with five(tmp_path) as nodes:
            old, new = nodes[0], nodes[-1]
            async with client_of(new) as client, client_of(old) as voting:
                found = await client.handover_preflight()
                assert found.ok and [one.name for one in found.checks] == NAMES
                assert all(one.code is None for one in found.checks)
                assert (found.live_others, found.q, found.margin) == (3, 3, 0)
                assert failed(await voting.handover_preflight())["standby"] == "already_active"
                assert await refusal(voting) == "already_active"
                forced = failed(await client.handover_preflight("forced"))
                assert forced == {"cosign": "cosign_missing"}
                usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
                monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
                assert failed(await client.handover_preflight()) == {"disk": "disk_low"}
                assert await refusal(client) == "disk_low"
                monkeypatch.undo()
                assert (await client.handover_preflight()).ok

    asyncio.run(scene())


def test_members_that_cannot_reach_it(tmp_path: Path) -> None:
    """Goal: two of four blocked: who is not reached is named; one gone: the margin is too small."""

    async def scene() -> None:
        async with five(tmp_path) as nodes:
            new = nodes[-1]
            network = new._network
            assert network is not None
            urls = [node.config.url.url for node in nodes[2:4]]
            async with client_of(new) as client:
                network.cut(urls, urls)
                await until(lambda: "peers" in codes(new))
                assert codes(new)["peers"] == "peers_unreachable"
                assert await refusal(client) == "peers_unreachable"
                network.cut((), ())
                await until(lambda: codes(new) == {})
                nodes[3].stop()
                await nodes[3].stopped()
                await until(lambda: codes(new) == {"margin": "margin_negative"})
                assert await refusal(client) == "margin_negative"
                session = await client.handover_start(accept_halt_risk=True)
                assert session.outcome == "done"

    asyncio.run(scene())


def codes(node: Node, mode: Mode = Mode.PLANNED) -> dict[str, str | None]:
    return failing(situation(node, mode))


def situation(node: Node, mode: Mode = Mode.PLANNED) -> Situation:
    refusals = node.exchange.refusals()
    return survey(node.standing, mode=mode, folder=node.config.data, refusals=refusals)


def settled(node: Node) -> Situation:
    """As it is known once nothing is young any more."""
    return replace(situation(node), young=False)


def all_heard(now: Situation) -> bool:
    """Whether every member's first status is here."""
    others = [one.instance for one in now.suffrage.members if one.instance != now.instance]
    return all(one in now.heard and one in now.linked & now.calling for one in others)


def failing(now: Situation) -> dict[str, str | None]:
    return {one.name: one.code for one in preflight(now) if one.status == "failed"}


def test_one_thing_wrong_at_a_time(tmp_path: Path) -> None:
    """Goal: each check fails for its own reason alone, with the code of the contract."""

    async def scene() -> None:
        async with five(tmp_path) as nodes:
            new = nodes[-1]
            await until(lambda: all_heard(settled(new)))
            now = settled(new)
            assert failing(now) == {}
        member = now.member
        assert member is not None
        url = {"url": "same_url"}
        assert failing(replace(now, url=member.url)) == url
        assert failing(replace(now, following=False, lag=9)) == {"synced": "not_caught_up"}
        assert failing(replace(now, following=False, lag=9, when_synced=True)) == {}
        stale = replace(now, following=False, lag=9, when_synced=True, url=member.url)
        assert failing(stale) == {}  # Of long ago: looked at again at the tip.
        assert [one.name for one in preflight(stale) if one.status == "warning"] == [
            "url",
            "synced",
        ]
        assert failing(replace(now, address=Address("x9sas")))["identity"] == "address_mismatch"
        assert failing(replace(now, identity=STRANGER)) == {"identity": "identity_mismatch"}
        assert failing(replace(now, open=True)) == {"open": "handover_open"}
        assert failing(replace(now, broken="the disk")) == {"standby": "not_standby"}
        gone = replace(
            now, heard={one: s for one, s in now.heard.items() if one != member.instance}
        )
        assert failing(gone) == {"old": "old_unreachable"}
        assert failing(replace(gone, mode=Mode.TAKEOVER)) == {}
        assert failing(replace(gone, following=False, when_synced=True)) == {}
        slow = replace(now, clock_offsets=(900, 900, 900))
        assert failing(slow) == {}
        assert [one.name for one in preflight(slow) if one.status == "warning"] == ["clock"]
        dead = replace(gone, mode=Mode.TAKEOVER, live=frozenset([Address("n1sas")]))
        dead = replace(dead, heard={}, linked=frozenset(list(dead.linked)[:0]))
        assert failing(dead)["peers"] == "peers_unreachable"
        one = now.suffrage.members[1]
        alone = frozenset([one.instance])
        left = replace(dead, linked=alone, calling=alone, heard={one.instance: NodeState.CONSENSUS})
        assert failing(left)["peers"] == "no_quorum"
        assert "node adopt" in str(preflight_row(left, preflight(left))["checks"])
        for code, hint in (("instances_max", "stop one"), ("instance_twice", "empty folder")):
            said = tuple((one.address, code) for one in now.suffrage.members)
            none = replace(now, linked=frozenset(), calling=frozenset(), refusals=said)
            (check,) = [one for one in preflight(none) if one.name == "peers"]
            assert (check.code, hint in str(check.hint)) == ("peers_unreachable", True), check
        two = Suffrage(members=now.suffrage.members[:2])
        small = replace(gone, mode=Mode.TAKEOVER, suffrage=two, authority=Authority(members=two))
        assert failing(small)["margin"] == "no_quorum"
        for code, name in (
            ("network_mismatch", "network"),
            ("genesis_mismatch", "genesis"),
            ("params_mismatch", "params"),
        ):
            said = tuple((Address(f"n{i}sas"), code) for i in range(1, 3))
            assert failing(replace(now, refusals=said)) == {name: code}
            assert failing(replace(now, refusals=said[:1])) == {}  # That one may be wrong itself.

    asyncio.run(scene())


@pytest.mark.parametrize("kind", ["network", "genesis", "params"])
def test_a_copy_of_another_chain(tmp_path: Path, kind: str) -> None:
    """Goal: another network-id, genesis or parameters: members refuse it, and it says which."""

    async def scene() -> None:
        folders = lay_out(tmp_path, params=PARAMS)
        other = tmp_path / "other"
        other.mkdir()
        (other / "genesis.yml").write_text(genesis_text(changed(tmp_path, kind)))
        stray = standby_of(folders[0], other / "n0b", 4)
        if kind == "network":
            text = (stray / "node.yml").read_text()
            (stray / "node.yml").write_text(text.replace(NETWORK, "another"))
        nodes = [Node(folder) for folder in [*folders, stray]]
        for node in nodes:
            await node.__aenter__()
        try:
            copy = nodes[-1]
            await until(lambda: len(copy.exchange.refusals()) >= 3)
            await until(lambda: not situation(copy).young)
            async with client_of(copy) as client:
                found = failed(await client.handover_preflight())
                assert found[kind] == f"{kind}_mismatch"
                assert await refusal(client) == f"{kind}_mismatch"
        finally:
            for node in nodes:
                await node.__aexit__(None, None, None)

    asyncio.run(scene())


def changed(folder: Path, kind: str) -> Genesis:
    """The genesis of the network with one thing changed."""
    genesis = load_genesis(folder / "genesis.yml")
    if kind == "params":
        return replace(genesis, params=replace(genesis.params, empty_block_interval_ms=51))
    network_id = "another" if kind == "network" else NETWORK
    entries = tuple(
        sign_entry(
            address=one.address,
            instance=PrivateKey(bytes([index + 1]) * 32).public,
            url=one.url,
            network_id=network_id,
            key=parse_private((folder / f"n{index}" / "node.key").read_text().strip()),
        )
        for index, one in enumerate(genesis.entries)
    )
    return replace(genesis, network_id=network_id, entries=entries)


def test_a_copy_that_is_behind(tmp_path: Path) -> None:
    """Goal: told to start before it has caught up, it waits with --when-synced, and is done."""

    async def scene() -> None:
        folders = lay_out(tmp_path, params=PARAMS)
        async with AsyncExitStack() as stack:
            nodes = [await stack.enter_async_context(Node(one)) for one in folders]
            await until(lambda: nodes[0].standing.tip > 40)
            stray = standby_of(folders[0], tmp_path / "n0b", 4)
            copy = await stack.enter_async_context(Node(stray))
            await until(lambda: copy.standing.driver.machine.kernel is not None)
            behind = situation(copy)
            assert not behind.following and failing(behind)["synced"] == "not_caught_up"
            async with client_of(copy) as client:
                session = await client.handover_start(when_synced=True)
                assert session.outcome == "done"

    asyncio.run(scene())


def test_while_a_new_copy_is_waited_for(tmp_path: Path) -> None:
    """Goal: whoever asks hears that the handover is open, and no key that may vote is called spent.

    Method: the old copy, and a third one, while the new one is dead and did not acknowledge.
    """

    async def scene() -> None:
        async with five(tmp_path) as nodes:
            await until(lambda: all(all_heard(settled(one)) for one in (nodes[-1], nodes[0])))
            third, old = settled(nodes[-1]), settled(nodes[0])
        member = old.member
        assert member is not None
        dead = replace(member, instance=STRANGER, epoch=1, url="tcp://127.0.0.1:9")
        rest = [one for one in old.suffrage.members if one.address != member.address]
        members = Suffrage(members=(dead, *rest))
        session = Session(
            address=member.address,
            session=Hash(bytes(32)),
            mode=Mode.PLANNED,
            epoch=0,
            old_instance=member.instance,
            old_url=member.url,
            new_instance=STRANGER,
            new_url=dead.url,
            opened_height=1,
            opened_ms=1,
            acts_height=3,
        )
        waits = replace(old.authority, members=members, sessions=(session,))
        for copy in (old, third):
            now = replace(copy, authority=waits, suffrage=members, following=True)
            assert failing(now) == {"old": "old_unreachable", "open": "handover_open"}
            first = _first_failing(preflight(now))
            assert first is not None and first.code == "handover_open"
        over = replace(old.authority, members=members, used=frozenset([member.instance]))
        assert failing(replace(old, authority=over, suffrage=members))["standby"] == "not_standby"

    asyncio.run(scene())


def test_a_voting_copy_that_is_just_back_is_waited_for(tmp_path: Path) -> None:
    """Goal: nobody is told to take a living copy over. Method: links cut, healed a moment later."""

    async def scene() -> None:
        async with five(tmp_path) as nodes:
            new, network = nodes[-1], nodes[-1]._network
            assert network is not None
            urls = [nodes[0].config.url.url]
            network.cut(urls, urls)
            await until(lambda: codes(new) == {"old": "old_unreachable"})
            async with client_of(new) as client:
                asyncio.get_running_loop().call_later(0.3, network.cut, (), ())
                session = await client.handover_start()
                assert session.outcome == "done" and (session.seconds or 0) >= 0.3

    asyncio.run(scene())


def test_a_cooldown_is_not_hidden_by_the_blocks_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: what preflight lets pass, start does not refuse f+1 blocks later."""
    soon = Refusal(code="handover_open", message="in block 9", lift=Lift.HEIGHT)
    later = Refusal(
        code="handover_cooldown", message="cooling", lift=Lift.CHANGE, details={"wait_ms": 700}
    )
    for name, found in (("slot_free", None), ("address_rested", soon), ("mode_cooled", later)):
        monkeypatch.setattr(checks, name, lambda *_, found=found: found)
    monkeypatch.setattr(checks, "_operation", lambda now: object())
    now: Any = SimpleNamespace(open=False, authority=None, context=None)
    check = checks._open(now)
    assert (check.status, check.code) == ("failed", "handover_cooldown")
    assert checks.open_details(now) == {"wait_ms": 700}
