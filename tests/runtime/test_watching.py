"""The picture of a real node: what it says, what it remembers, what it does not grow beyond."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import pytest

from tests.runtime.local import lay_out, until
from zmqnode.base.codec import pack_sorted
from zmqnode.client import Client, Snapshot
from zmqnode.runtime import Node
from zmqnode.runtime.watching import (
    INTERVALS_KEPT,
    LOG_LINES_KEPT,
    LOG_TEXT_MAX,
    MINUTES_KEPT,
    Watch,
    _quantile,
)

MINUTE_US = 60_000_000


def test_a_node_shows_its_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: every part of the picture is alive. Method: four nodes, looked at over some blocks."""
    monkeypatch.setenv("ZMQNODE_HOME", str(tmp_path / "home"))

    async def scene() -> None:
        async with AsyncExitStack() as stack:
            nodes = [await stack.enter_async_context(Node(one)) for one in lay_out(tmp_path)]
            await until(lambda: min(node.standing.tip for node in nodes) >= 3)
            client = await stack.enter_async_context(Client(nodes[0].target))
            pictures = await stack.enter_async_context(aclosing(client.follow(100)))
            seen: list[Snapshot] = []
            async for one in pictures:
                seen.append(one)
                if len(seen) >= 3 and _is_complete(seen):
                    break
                assert len(seen) < 200, one
        _check(seen)

    asyncio.run(scene())


def _is_complete(seen: list[Snapshot]) -> bool:
    """Whether all that takes a while to be known is."""
    first, last = seen[0], seen[-1]
    heard = all(one.state == "CONSENSUS" for one in last.members.values())
    voted = last.votes["n0sas"].init is not None and last.votes["n0sas"].accept is not None
    met = last.members["n1sas"].rtt_ms is not None and len(last.peers) == 3
    worked = last.node.height > first.node.height and bool(last.stages)
    return heard and voted and met and worked


def _check(seen: list[Snapshot]) -> None:
    first, last = seen[0], seen[-1]
    assert last.blocks.interval_p99_ms >= last.blocks.interval_p50_ms > 0
    assert last.blocks.per_minute == sum(last.minutes) > 0
    assert len(last.minutes) == MINUTES_KEPT
    assert [stage.stage for stage in last.stages] == ["INIT", "ACCEPT", "DRAW"]
    assert {stage.needed for stage in last.stages} == {3}
    assert last.rounds >= 1
    assert last.leader in last.votes
    assert list(last.votes) == list(last.members) == ["n0sas", "n1sas", "n2sas", "n3sas"]
    assert last.members["n0sas"].rtt_ms is None
    newest = max(one.accept.height for one in last.votes.values() if one.accept is not None)
    assert last.node.height <= newest <= last.node.height + 1
    assert [one.address for one in last.peers] == ["n1sas", "n2sas", "n3sas"]
    assert any("CONSENSUS" in line.text for line in last.log)
    assert last.uptime_ms > first.uptime_ms
    assert (last.pool.seals, last.pool.refused, last.skipped) == (0, {}, 0)


def test_what_is_remembered_is_bounded(tmp_path: Path) -> None:
    """Goal: a year of blocks costs what a minute of them does. Method: a clock of the test's."""

    async def scene() -> None:
        (folder,) = lay_out(tmp_path, nodes=1)
        async with Node(folder) as node:
            await until(lambda: node.standing.tip >= 1)
            block = node.ledger.block(1)
            assert block is not None
            now = [0]
            watch = Watch(node.standing, now_us=lambda: now[0])
            for _ in range(3 * INTERVALS_KEPT):
                now[0] += MINUTE_US // 4
                watch.committed(block)
                watch.tick()
                watch.turn_over()
                watch.logged("info", "x" * 2 * LOG_TEXT_MAX)
            picture = watch.picture()
            assert picture["minutes"][-2:] == [4, 1]
            assert picture["minutes"][:-1] == [4] * (MINUTES_KEPT - 1)
            assert picture["blocks"] == {
                "interval_p50_us": MINUTE_US // 4,
                "interval_p99_us": MINUTE_US // 4,
                "per_minute": 4,
            }
            assert [len(line["text"]) for line in picture["log"]] == [LOG_TEXT_MAX] * LOG_LINES_KEPT
            assert len(pack_sorted(picture)) < 64 << 10
            now[0] += 5 * MINUTE_US
            assert watch.picture()["minutes"][-6:] == [1, 0, 0, 0, 0, 0]
            now[0] += 500 * MINUTE_US
            rested = watch.picture()
            assert (rested["minutes"], rested["blocks"]["per_minute"]) == ([0] * MINUTES_KEPT, 0)

    asyncio.run(scene())


def test_quantiles_are_values_that_were_seen() -> None:
    assert _quantile([], 50) == 0
    assert _quantile([7], 50) == _quantile([7], 99) == 7
    hundred = list(range(1, 101))
    assert (_quantile(hundred, 50), _quantile(hundred, 99)) == (50, 99)
