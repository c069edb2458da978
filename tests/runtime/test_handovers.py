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
from zmqnode.base.params import Params
from zmqnode.client.handover_answers import Session
from zmqnode.config import Config
from zmqnode.errors import Refused
from zmqnode.runtime import Node, survey
from zmqnode.runtime.folder import DataFolder

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
        lines = [f"{name.replace('__', '.')}: {value}" for name, value in settings.items()]
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
