"""Feeds through real doors: pictures as they are due, events without hole or repetition."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, closing
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client.test_client import client_of, network, play, put
from tests.fake_node import FakeChain, FakeNode, key, loopback_ports, served
from tests.runtime.local import until
from zmqnode.base.exchange import NodeState
from zmqnode.client import BlockEvent, Client, Event, OperationEvent, StateEvent, SyncClient
from zmqnode.client import node_link as node_link_module
from zmqnode.client.answers import read
from zmqnode.client.feed_answers import Snapshot
from zmqnode.client.feeds import _Place
from zmqnode.errors import Invalid, Refused, Undecided, Unreachable, ZmqnodeError
from zmqnode.runtime.feeds import SESSION_FEEDS_MAX


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZMQNODE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TEST_SENDER", key(3000).text())


# The state.


def test_pictures_are_frozen_have_the_contracts_json_and_can_be_read_back() -> None:
    async def scene() -> None:
        async with network(1) as (node,), client_of(node) as client:
            async with aclosing(client.follow(100)) as pictures:
                first = await anext(pictures)
                second = await anext(pictures)
            assert first.node.address == "n0sas"
            assert (first.blocks.interval_p50_ms, first.blocks.per_minute) == (1.5, 7.0)
            assert (first.pool.in_per_s, first.pool.refused) == (1.25, {"pool_full": 3})
            assert first.peers[0].rtt_ms == 1.5
            assert first.votes["n0sas"].init is not None
            assert first.members["n0sas"].rtt_ms == 0.25
            shown = json.loads(json.dumps(second.json()))
            assert "rtt_us" not in shown["members"]["n0sas"]
            assert read(Snapshot, shown) == second

    play(scene)


def test_a_feed_that_nobody_reads_any_more_is_ended_at_the_node() -> None:
    async def scene() -> None:
        async with network(1) as (node,), client_of(node) as client:
            feeds = node.feeds
            assert feeds is not None
            for follow in (client.follow(100), client.events(start=0)):
                node.commit()
                async with aclosing(follow) as found:
                    await anext(found)
                    assert len(feeds) == 1
                await until(lambda: len(feeds) == 0)
            assert (await client.info()).address == "n0sas"

    play(scene)


def test_a_slow_reader_gets_the_newest_picture_alone() -> None:
    async def scene() -> None:
        async with network(1) as (node,), client_of(node) as client:
            pictures = client.follow(100)
            await anext(pictures)
            await until(lambda: node.pictures >= 5)
            node.commit()
            seen = node.pictures
            await until(lambda: node.pictures >= seen + 3)
            await asyncio.sleep(0.05)
            assert (await anext(pictures)).node.height == 1
            await pictures.aclose()

    play(scene)


def test_a_picture_that_its_instance_did_not_sign_is_refused() -> None:
    async def scene() -> None:
        async with network(1) as (node,), client_of(node) as client:
            true = node.picture
            node.feeds._picture = lambda: {**true(), "node": {**true()["node"], "height": 9}}  # type: ignore[union-attr]
            with pytest.raises(Refused, match="bad_signature"):
                async with aclosing(client.follow()) as pictures:
                    await anext(pictures)

    play(scene)


async def _last(pictures: AsyncIterator[Snapshot]) -> None:
    async for _ in pictures:
        continue


def test_pictures_end_with_the_connection_and_can_be_followed_again() -> None:
    async def scene() -> None:
        chain = FakeChain(ports=loopback_ports(4))
        node = FakeNode(chain)
        async with client_of(node) as client:
            with pytest.raises(Unreachable):
                await anext(client.follow())
            async with aclosing(client.follow(100)) as pictures:
                async with served(node):
                    await anext(pictures)
                with pytest.raises(Undecided, match="connection was lost"):
                    await _last(pictures)
            async with served(node), aclosing(client.follow(100)) as pictures:
                assert (await anext(pictures)).node.address == "n0sas"

    play(scene)


def test_too_many_feeds_are_refused_at_once() -> None:
    async def scene() -> None:
        async with network(1) as (node,), client_of(node) as client, AsyncExitStack() as stack:
            for _ in range(SESSION_FEEDS_MAX):
                found = await stack.enter_async_context(aclosing(client.follow(100)))
                await anext(found)
            for more in (client.follow(100), client.events(start=0)):
                with pytest.raises(Refused, match="rate_limited"):
                    await anext(more)
            with pytest.raises(Invalid, match="usage"):
                await anext(client.follow(99))
            with pytest.raises(Invalid, match="usage"):
                await anext(client.events(kinds=("weather",)))

    play(scene)


# Events.


def heights(events: list[Event]) -> list[int]:
    return [one.height for one in events if isinstance(one, BlockEvent)]


def test_events_of_the_past_end_and_those_of_the_future_follow() -> None:
    async def scene() -> None:
        async with network(1) as (node,), client_of(node, copies=1) as client:
            await client.submit(put(), ("delete", {"key": "missing"}))
            found = [one async for one in client.events(start=0, follow=False)]
            block, done, undone = found
            assert isinstance(block, BlockEvent)
            assert (block.kind, block.height, block.operations_count) == ("block", 1, 2)
            assert isinstance(done, OperationEvent)
            assert isinstance(undone, OperationEvent)
            assert (done.ok, undone.ok, undone.reason) == (True, False, "no such key")
            assert found == [one async for one in client.events(follow=False)]
            assert [one async for one in client.events(start=9, follow=False)] == []
            async with aclosing(client.events(kinds=("block", "state"))) as events:
                first = asyncio.ensure_future(anext(events))
                await until(lambda: len(node.feeds or ()) == 1)
                node.commit()
                assert (await first).height == 2
                assert node.feeds is not None
                node.feeds.state_changed(NodeState.SYNCING, NodeState.CONSENSUS, "test")
                state = await anext(events)
                assert isinstance(state, StateEvent)
                assert (state.state, state.previous) == ("SYNCING", "CONSENSUS")

    play(scene)


def test_events_go_on_at_any_node_without_hole_or_repetition() -> None:
    """Goal: restarts cost no event. Method: nodes come and go while blocks of many events do."""

    async def scene() -> None:
        chain = FakeChain(ports=loopback_ports(4))
        nodes = [FakeNode(chain, i) for i in range(2)]

        def commit() -> None:
            number = chain.tip
            seal = chain.seal(*(["put", [f"k{i}", b""]] for i in range(150)), nonce=number)
            block = chain.commit([seal])
            for node in nodes:
                if node.queries is not None:
                    node.queries.committed(block)

        targets = [chain.target(0), chain.target(1)]
        found: list[Event] = []
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(Client(*targets))
            up = await stack.enter_async_context(AsyncExitStack())
            await up.enter_async_context(served(nodes[0]))
            events = await stack.enter_async_context(aclosing(client.events(start=1)))

            async def reading() -> None:
                async for one in events:
                    found.append(one)

            task = asyncio.ensure_future(reading())
            for turn in range(6):
                commit()
                commit()
                await until(lambda: bool(found) and found[-1].height >= chain.tip - 1)
                await up.aclose()  # It goes in the middle of something,
                commit()  # the chain goes on,
                await up.enter_async_context(served(nodes[1 - turn % 2]))  # and another is there.
            await until(lambda: len(found) >= 18 * 151)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert heights(found) == list(range(1, 19))
        told = [(one.height, one.index) for one in found if isinstance(one, OperationEvent)]
        assert told == [(height, index) for height in range(1, 19) for index in range(150)]

    play(scene)


def test_a_reader_slower_than_its_node_misses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: bounded memory, all events. Method: room for 5 pushes, a burst, a pause per event."""
    monkeypatch.setattr(node_link_module, "STREAM_PUSHES_MAX", 5)

    async def scene() -> None:
        async with network(1) as (node,), client_of(node) as client:
            found: list[Event] = []
            async with aclosing(client.events(start=1, kinds=("block",))) as events:
                node.commit()
                found.append(await anext(events))
                for _ in range(60):
                    node.commit()
                while len(found) < 61:
                    found.append(await anext(events))
                    await asyncio.sleep(0.01)
            assert heights(found) == list(range(1, 62))

    play(scene)


def test_events_of_nobody_are_unreachable() -> None:
    async def scene() -> None:
        chain = FakeChain(ports=loopback_ports(4))
        async with Client(chain.target(0)) as client:
            with pytest.raises(Unreachable):
                await anext(client.events(start=0))

    play(scene)


class _Link:
    """What a place asks of a link: how to blame it."""

    def strange(self, what: str) -> ZmqnodeError:
        return Refused("wrong_state", what)


BLOCKS = {height: height * 3 % 5 for height in range(1, 6)}  # How many events each has.


def pushes(start: int, size: int) -> Iterator[dict[str, Any]]:
    """What a node pushes from a height on, in pieces of a size."""
    yield {"block": start - 1, "first": 0, "last": True, "events": []}
    for height in range(start, 6):
        events = [
            {"kind": "operation", "height": height, "at": "", "at_ms": 0, "seal": "", "index": i}
            | {"name": "n", "ok": True, "reason": None, "events": []}
            for i in range(BLOCKS[height])
        ]
        for first in range(0, len(events), size):
            over = first + size >= len(events)
            some = events[first : first + size]
            yield {"block": height, "first": first, "last": over, "events": some}


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 8), st.integers(0, 3)), max_size=12))
def test_a_place_is_kept_through_any_interruptions(cuts: list[tuple[int, int, int]]) -> None:
    """Goal: no hole, no repetition. Method: feeds that end after any push, or any event of it."""
    place, link = _Place(1), _Link()
    found = []
    for size, count, within in [*cuts, (2, 99, 0)]:
        assert place.height is not None
        for index, body in enumerate(pushes(place.height, size)):
            taken = place.take(link, body)  # type: ignore[arg-type]
            if index == count:
                found += list(islice(taken, within))
                taken.close()  # type: ignore[attr-defined]
                break
            found += list(taken)
    told = [(one.height, one.index) for one in found if isinstance(one, OperationEvent)]
    assert told == [(height, index) for height in BLOCKS for index in range(BLOCKS[height])]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"block": 3, "first": 0, "last": True, "events": [{"kind": "weather"}]},
        {"block": 4, "first": 2, "last": True, "events": []},
        {"block": 4, "first": 0, "last": True, "events": [7]},
        {"block": "4", "first": 0, "last": True, "events": []},
    ],
)
def test_what_no_honest_node_pushes_is_said_to_be_strange(body: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="wrong_state"):
        list(_Place(4).take(_Link(), body))  # type: ignore[arg-type]


# Plain code.


def test_plain_code_follows_too() -> None:
    async def scene() -> None:
        async with network(1) as (node,):
            node.commit()
            loop = asyncio.get_running_loop()

            def plain() -> list[int]:
                with SyncClient(node.chain.target()) as client:
                    with closing(client.follow(100)) as pictures:
                        first = next(pictures)
                    found = [first.node.height]
                    with closing(client.events(start=1)) as events:
                        found += [next(events).height]
                        loop.call_soon_threadsafe(node.commit)
                        found += [next(events).height]
                    found += [one.height for one in client.events(follow=False)]
                    left = client.events(start=1)
                    next(left)
                left.close()  # After the client: harmless.
                return found

            assert await asyncio.to_thread(plain) == [1, 1, 2, 1, 2]

    play(scene)
