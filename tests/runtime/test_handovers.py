"""Handovers between real nodes in one process, commanded at the door by the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.local import lay_out, standby_of, until
from zmqnode import Client
from zmqnode.base.exchange import NodeState
from zmqnode.base.keys import public_text
from zmqnode.base.params import Params
from zmqnode.client.handover_answers import Session
from zmqnode.errors import Refused
from zmqnode.runtime import Node

PARAMS = Params(
    empty_block_interval_ms=50,
    veto_window_ms=600,
    ack_window_ms=2000,
    time_tolerance_ms=150,
    handover_cooldown_ms=60_000,
)


@asynccontextmanager
async def five(folder: Path, **settings: Any) -> AsyncIterator[list[Node]]:
    """n0 to n3 and n0b, a standby of n0, at the tip and linked; settings of node.yml for all."""
    folders = lay_out(folder, params=PARAMS)
    folders.append(standby_of(folders[0], folder / "n0b", 4))
    for home in folders:
        text = (home / "node.yml").read_text()
        lines = [f"{name}: {value}" for name, value in settings.items()]
        (home / "node.yml").write_text("\n".join([text, *lines, ""]))
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(Node(one)) for one in folders]
        await until(lambda: all(linked(node) == 4 for node in nodes))
        await until(lambda: following(nodes[-1]))
        yield nodes


def linked(node: Node) -> int:
    return sum(1 for one in node.standing.network.stats() if one.linked and one.calling)


def following(node: Node) -> bool:
    assert node.driver is not None
    machine = node.driver.machine
    if machine.kernel is None or machine.kernel.state is not NodeState.SYNCING:
        return False
    return machine.parts.handing.standing.looking_on()


def client_of(node: Node) -> Client:
    return Client(node.target, sign=f"file:{node.config.file.parent / 'node.key'}")


def names(session: Session) -> list[str]:
    return [phase.name for phase in session.phases]


def test_a_vote_is_handed_over_and_back(tmp_path: Path) -> None:
    """Goal: planned there, handed back by the voting copy; both copies and others tell the same."""

    async def scene() -> None:
        async with five(tmp_path) as nodes:
            old, new = nodes[0], nodes[-1]
            first_key = old.standing.signer.public
            async with client_of(new) as client, client_of(nodes[1]) as other:
                checked = await client.handover_preflight()
                assert checked.ok, checked
                assert (await other.handover_status()) is None
                async with client_of(old) as voting:  # It has replaced nobody.
                    with pytest.raises(Refused) as refused:
                        await voting.handover_handback()
                    assert refused.value.code == "not_found"
                session = await client.handover_start(reason="a test")
                assert session.outcome == "done" and session.side == "new"
                assert session.mode == "planned" and session.reason == "a test"
                assert (session.epoch_before, session.epoch_after) == (0, 1)
                assert names(session) == [
                    *("preflight", "shadow", "ready", "consent", "submitted"),
                    *("committed", "acting", "acknowledged"),
                ]
                assert session.missed_ballots == 0
                assert session.seconds is not None
                info = await client.info()
                assert (info.state, info.role, info.epoch) == ("CONSENSUS", "active", 1)
                await until(lambda: nodes[1].standing.tip >= (session.acknowledged_height or 0))
                seen = await other.handover_status()
                assert seen is not None and seen.side == "other" and seen.outcome == "done"
                assert seen.session == session.session and seen.reason == "a test"
                assert [one.session for one in await other.handover_history()] == [session.session]
            await until(lambda: old.standing.signer.public != first_key)
            await until(lambda: following(old))
            async with client_of(old) as client:
                info = await client.info()
                assert (info.state, info.role) == ("SYNCING", "standby")
                seen = await client.handover_status()
                assert seen is not None and seen.side == "old" and seen.outcome == "done"
            await until(lambda: all(linked(node) == 4 for node in nodes))
            async with client_of(new) as client:
                session = await client.handover_handback(reason="and back")
                assert session.outcome == "done" and session.epoch_after == 2
                assert session.new_url == old.config.url.url
                assert [one.reason for one in await client.handover_history()] == [
                    "a test",
                    "and back",
                ]
            assert old.standing.state is NodeState.CONSENSUS

    asyncio.run(scene())


def test_a_dead_copy_is_taken_over_from(tmp_path: Path) -> None:
    """Goal: planned is refused as the old copy is gone; a takeover works; it comes back as standby.

    While it lives, a takeover is vetoed by it, and the next one has to wait.
    """

    async def scene() -> None:
        async with five(tmp_path) as nodes:
            old, new = nodes[0], nodes[-1]
            async with client_of(new) as client:
                old.stop()
                await old.stopped()
                await until(lambda: new.standing.peers_up == 3)
                with pytest.raises(Refused) as caught:
                    await client.handover_start()
                assert caught.value.code == "old_unreachable"
                assert "--takeover" in caught.value.hint
                session = await client.handover_start(mode="takeover")
                assert session.outcome == "done" and "pending" in names(session)
                assert (await client.info()).role == "active"
            async with Node(old.config) as again:
                await until(
                    lambda: public_text(again.standing.signer.public) != session.old_instance
                )
                await until(lambda: following(again))
                async with client_of(again) as client:
                    assert (await client.info()).role == "standby"

    asyncio.run(scene())


def test_a_live_copy_vetoes(tmp_path: Path) -> None:
    """Goal: a takeover of a voting copy ends vetoed, its copies get new keys, cooldown is named."""

    async def scene() -> None:
        async with five(tmp_path) as nodes:
            old, new = nodes[0], nodes[-1]
            key = new.standing.signer.public
            async with client_of(new) as client:
                checked = await client.handover_preflight("takeover")
                assert {one.name: one.status for one in checked.checks}["old"] == "warning"
                with pytest.raises(Refused) as caught:
                    await client.handover_start(mode="takeover")
                assert caught.value.code == "vetoed"
                assert old.standing.state is NodeState.CONSENSUS
                await until(lambda: new.standing.signer.public != key)
                await until(lambda: following(new))
                await until(lambda: all(linked(node) == 4 for node in nodes))
                with pytest.raises(Refused) as caught:
                    await client.handover_start(mode="takeover")
                assert caught.value.code == "handover_cooldown"
                assert 0 < int(str(caught.value.details["wait_ms"])) <= 60_000
                assert (await client.handover_start()).outcome == "done"

    asyncio.run(scene())


def test_an_operator_is_asked_for_consent(tmp_path: Path) -> None:
    """Goal: with ``ask`` nothing moves before the old copy's operator said so; refusals end it."""

    async def scene() -> None:
        async with five(tmp_path, handover="{consent: ask}") as nodes:
            old, new = nodes[0], nodes[-1]
            async with client_of(new) as client, client_of(old) as operator:
                with pytest.raises(Refused) as caught:
                    await operator.handover_consent()
                assert caught.value.code == "none_open"
                session = await client.handover_start(wait=False)
                await until(lambda: waits(old))
                assert (await operator.info()).handover is not None
                await operator.handover_consent(refuse=True)
                await until(lambda: ended(new) == "failed")
                failed = await client.handover_status()
                assert failed is not None and failed.error is not None
                assert failed.error.code == "consent_refused"
                session = await client.handover_start(wait=False)
                assert session.outcome is None
                await until(lambda: waits(old))
                await operator.handover_consent()
                await until(lambda: ended(new) == "done")

    asyncio.run(scene())


def waits(node: Node) -> bool:
    view = node.handovers.of_side("old")
    return view is not None and view.outcome is None and view.phase != "consent"


def ended(node: Node) -> str | None:
    view = node.handovers.of_side("new")
    return None if view is None else view.outcome


def test_a_handover_is_cancelled(tmp_path: Path) -> None:
    """Goal: before the chain has it, either copy takes it back; afterwards there is none to."""

    async def scene() -> None:
        async with five(tmp_path, handover="{consent: ask}") as nodes:
            old, new = nodes[0], nodes[-1]
            async with client_of(new) as client, client_of(old) as operator:
                with pytest.raises(Refused) as caught:
                    await client.handover_cancel()
                assert caught.value.code == "none_open"
                await client.handover_start(wait=False)
                await until(lambda: waits(old))
                assert (await client.handover_cancel()).outcome == "cancelled"
                key = new.standing.signer.public
                await client.handover_start(wait=False)
                await until(lambda: waits(old))
                assert (await operator.handover_cancel()).outcome == "cancelled"
                await until(lambda: ended(new) == "cancelled")
                await until(lambda: new.standing.signer.public != key)

    asyncio.run(scene())


def test_a_misbehaving_copy_is_replaced_by_force(tmp_path: Path) -> None:
    """Goal: f + 1 other members co-sign, no veto; with fewer it does not begin."""

    async def scene() -> None:
        async with five(tmp_path) as nodes:
            new = nodes[-1]
            async with client_of(new) as client:
                instance = (await client.info()).instance
                given = []
                for member in nodes[1:3]:
                    async with client_of(member) as other:
                        given.append(await other.handover_cosign("n0sas", instance))
                with pytest.raises(Refused) as caught:
                    await client.handover_start(mode="forced", cosigns=given[:1])
                assert caught.value.code == "cosign_missing" and instance in caught.value.hint
                session = await client.handover_start(mode="forced", cosigns=given)
                assert session.outcome == "done" and session.mode == "forced"
            async with client_of(nodes[0]) as own:
                with pytest.raises(Refused) as caught:
                    await own.handover_cosign("n1sas", instance)
                assert caught.value.code == "wrong_state"

    asyncio.run(scene())
