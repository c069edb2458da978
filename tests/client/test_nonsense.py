"""Values that no chain has end in one plain error, before anything is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.client.test_client import client_of, network, put
from tests.fake_node import key
from zmqnode.base.keys import public_text
from zmqnode.base.query import WAIT_MS_MAX
from zmqnode.client import Client
from zmqnode.client.auditing import verify_blocks
from zmqnode.errors import Invalid, Refused, Unreachable


@pytest.fixture(autouse=True)
def _sender(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZMQNODE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TEST_SENDER", key(3000).text())


async def first_event(client: Client, start: int) -> None:
    async for _ in client.events(start=start, follow=False):
        return


HEIGHTS: dict[str, Callable[[Client, int], Awaitable[Any]]] = {
    "query": lambda client, height: client.query("get", {"key": "k"}, height=height),
    "suffrage": lambda client, height: client.suffrage(height),
    "block": lambda client, height: client.block(height),
    "first": lambda client, height: client.blocks(height),
    "last": lambda client, height: client.blocks(None, height),
    "wait": lambda client, height: client.wait_height(height, timeout_ms=200),
    "events": first_event,
}


@pytest.mark.parametrize("height", [-1, 2**63, 10**30])
@pytest.mark.parametrize("name", HEIGHTS)
def test_a_height_that_no_block_has_is_a_usage_error(name: str, height: int) -> None:
    async def scene() -> None:
        async with network(1) as (node,), client_of(node, copies=1) as client:
            with pytest.raises(Invalid) as invalid:
                await HEIGHTS[name](client, height)
            assert (invalid.value.code, invalid.value.exit_code) == ("usage", 2)

    asyncio.run(scene())


def test_to_verify_from_beyond_the_newest_block_is_not_found() -> None:
    async def scene() -> None:
        async with network(1) as (node,), client_of(node, copies=1) as client:
            with pytest.raises(Refused, match="not_found"):
                await verify_blocks(client, 10**30)
            with pytest.raises(Invalid, match="usage"):
                await verify_blocks(client, 3, 2)

    asyncio.run(scene())


def test_a_query_may_be_given_more_time_than_a_node_waits() -> None:
    async def scene() -> None:
        async with network(1) as (node,), client_of(node, copies=1) as client:
            await client.submit(put())
            answer = await client.query("get", {"key": "k"}, timeout_ms=WAIT_MS_MAX + 1)
            assert answer.result == b"v"

    asyncio.run(scene())


@pytest.mark.parametrize("state", ["NOSUCH", "", "x" * 1000])
def test_a_state_that_no_node_has_is_not_waited_for(state: str) -> None:
    async def scene() -> None:
        async with network(1) as (node,), client_of(node, copies=1) as client:
            with pytest.raises(Invalid, match="usage") as invalid:
                await client.wait_state(state)
            assert "CONSENSUS" in invalid.value.hint

    asyncio.run(scene())


@pytest.mark.parametrize(
    "operation", ["put", ("put",), ("put", None), (1, {}), None, ("put", {1: b""}), ("put", [1])]
)
def test_what_is_no_operation_is_a_usage_error(operation: Any) -> None:
    async def scene() -> None:
        async with network(1) as (node,), client_of(node, copies=1) as client:
            with pytest.raises((Invalid, Refused)):
                await client.submit(operation)
            assert node.taken == []

    asyncio.run(scene())


@pytest.mark.parametrize("option", [{"timeout_ms": 0}, {"timeout_ms": -5}, {"copies": 0}])
def test_a_client_without_time_or_copies_is_a_usage_error(option: dict[str, int]) -> None:
    with pytest.raises(Invalid, match="usage"):
        Client(f"tcp://{public_text(key(1000).public)}@127.0.0.1:1", **option)


def test_a_node_that_never_answers_a_greeting_was_sent_no_seal() -> None:
    """Else "sent, no final answer" would name no seal, and nobody could look for it."""

    async def scene() -> None:
        async with network(1) as (node,), client_of(node, copies=1, timeout_ms=300) as client:
            assert node.queries is not None
            node.queries.client_request = lambda *_: None  # type: ignore[method-assign]
            for asked in (client.make(put()), client.submit(put(), timeout_ms=600)):
                with pytest.raises(Unreachable) as unreachable:
                    await asked
                assert unreachable.value.details["connected"] is True
                assert unreachable.value.details["reason"] == "no_answer"

    asyncio.run(scene())
