"""The node's side of feeds: what is pushed to whom, when, and how little a slow reader costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.fake_node import FakeChain, FakeNode
from tests.runtime.local import until
from zmqnode.base.ballot import draw_fact, sign_ballot
from zmqnode.base.codec import encode, unpack
from zmqnode.base.exchange import NodeState
from zmqnode.base.feed import EventsFollowed, FeedCancelled, StateFollowed
from zmqnode.base.keys import Address
from zmqnode.base.point import Point
from zmqnode.base.query import Failed, Told, read_answer
from zmqnode.base.signing import Signer
from zmqnode.core.authority_moves import Turn
from zmqnode.errors import Damaged
from zmqnode.runtime.feeds import (
    BACKLOG_MAX,
    CLIENT_FEEDS_MAX,
    FEEDS_MAX,
    LIVE_KEPT,
    MARK_BLOCKS,
    SESSION_FEEDS_MAX,
    Feeds,
)
from zmqnode.runtime.happenings import BATCH_EVENTS
from zmqnode.runtime.queries import Queries

CLIENT = b"c" * 32


@dataclass(frozen=True)
class Line:
    """A route of a test."""

    session: str
    number: int


@dataclass
class Door:
    """Pushes by route; a reader that reads as much as a test says."""

    node: FakeNode
    pushes: dict[Line, list[Any]] = field(default_factory=dict)
    ends: dict[Line, Any] = field(default_factory=dict)
    unread: dict[Line, int] = field(default_factory=dict)  # Of readers that do not read.
    gone: set[str] = field(default_factory=set)
    answers: list[Any] = field(default_factory=list)
    numbers: int = 0

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.feeds = self.node.feeds = Feeds(self.node, self, self.node.picture, loop)
        self.queries = self.node.queries = Queries(self.node, self)
        self.queries.feeds = self.feeds

    # The door.

    def answer(self, route: Line, payload: bytes) -> bool:
        self.answers.append(read_answer(payload))
        return True

    def event(self, route: Line, payload: bytes) -> bool:
        if route.session in self.gone:
            self.queries.client_gone(route.session)
            return False
        if route in self.unread:
            self.unread[route] += 1
        self.pushes.setdefault(route, []).append(read_answer(payload).body)
        return True

    def end(self, route: Line, payload: bytes = b"") -> bool:
        assert route not in self.ends
        self.ends[route] = read_answer(payload)
        return True

    def backlog(self, route: Line) -> int:
        return self.unread.get(route, 0)

    # Its clients.

    def say(
        self, request: object, session: str = "s", client: bytes = CLIENT, slow: bool = False
    ) -> Line:
        self.numbers += 1
        line = Line(session, self.numbers)
        if slow:
            self.unread[line] = 0
        assert self.queries.client_request(client, line, encode(request)) is None
        return line

    def state(self, interval_ms: int = 100, **options: Any) -> Line:
        return self.say(StateFollowed(interval_ms=interval_ms), **options)

    def events(
        self,
        start: int | None = None,
        kinds: tuple[str, ...] = (),
        follow: bool = True,
        **options: Any,
    ) -> Line:
        return self.say(EventsFollowed(start=start, kinds=kinds, follow=follow), **options)

    def told(self, line: Line) -> list[dict[str, Any]]:
        """The events pushed to a reader, in order."""
        return [event for push in self.pushes.get(line, []) for event in push["events"]]

    def heights(self, line: Line) -> list[int]:
        return [event["height"] for event in self.told(line)]


@asynccontextmanager
async def open_door(chain: FakeChain | None = None) -> AsyncIterator[Door]:
    door = Door(FakeNode(chain or FakeChain()))
    try:
        yield door
    finally:
        door.feeds.close()


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scene())


# The state.


def test_a_picture_comes_at_once_and_then_when_it_is_due() -> None:
    async def scene() -> None:
        async with open_door() as door:
            line = door.state()
            assert len(door.pushes[line]) == 1
            await until(lambda: len(door.pushes[line]) == 4)
            assert door.node.pictures == 4
            first = unpack(door.pushes[line][0]["picture"])
            assert first["node"]["address"] == "n0sas"
            door.say(FeedCancelled(number=line.number))
            assert door.answers == [Told(body={})]
            seen = len(door.pushes[line])
            await asyncio.sleep(0.25)
            assert (len(door.pushes[line]), len(door.feeds)) == (seen, 0)

    play(scene)


def test_one_picture_serves_all_who_are_due() -> None:
    async def scene() -> None:
        async with open_door() as door:
            lines = [door.state(session=str(i % 4), client=bytes([i % 4]) * 32) for i in range(40)]
            await until(lambda: all(len(door.pushes[line]) >= 3 for line in lines))
            assert door.node.pictures <= 6  # Of 120 pushes.

    play(scene)


def test_a_reader_that_is_behind_is_passed_over_and_told_so() -> None:
    async def scene() -> None:
        async with open_door() as door:
            line = door.state(slow=True)
            other = door.state()
            await until(lambda: len(door.pushes[other]) >= 4)
            assert len(door.pushes[line]) == 1
            door.unread[line] = 0
            await until(lambda: len(door.pushes[line]) == 2)
            assert door.pushes[line][1]["skipped"] >= 2

    play(scene)


def test_feeds_are_bounded_everywhere() -> None:
    async def scene() -> None:
        async with open_door() as door:
            for index in range(FEEDS_MAX):
                session, client = index // SESSION_FEEDS_MAX, index // CLIENT_FEEDS_MAX
                door.events(session=f"s{session}", client=bytes([client]) * 32)
            assert (len(door.feeds), door.answers) == (FEEDS_MAX, [])
            door.events(session="new", client=b"n" * 32)
            assert [one.code for one in door.answers] == ["rate_limited"]
            door.queries.client_gone("s0")
            assert len(door.feeds) == FEEDS_MAX - SESSION_FEEDS_MAX
            door.events(session="s1", client=b"n" * 32)
            assert len(door.answers) == 2, "this connection has its share"
            door.events(session="new", client=bytes([1]) * 32)
            assert len(door.answers) == 3, "this key has its share"
            door.state(session="new", client=b"n" * 32)
            assert len(door.answers) == 3

    play(scene)


def test_a_number_has_one_feed() -> None:
    async def scene() -> None:
        async with open_door() as door:
            line = door.state()
            again = encode(StateFollowed(interval_ms=100))
            door.queries.client_request(CLIENT, line, again)
            assert (door.answers[0].code, len(door.feeds)) == ("bad_argument", 1)

    play(scene)


def test_a_node_without_feeds_refuses() -> None:
    async def scene() -> None:
        async with open_door() as door:
            door.queries.feeds = None
            door.state()
            assert door.answers[0].code == "wrong_state"

    play(scene)


# Events.


def test_events_say_what_blocks_say_in_order() -> None:
    async def scene() -> None:
        chain = FakeChain()
        async with open_door(chain) as door:
            door.node.commit()
            seal = chain.seal(["put", ["k", b"v"]], ["delete", ["missing"]])
            block = door.node.commit([seal])
            line = door.events(start=0, follow=False)
            await until(lambda: line in door.ends)
            assert door.ends[line] == Told(body={})
            first, second, put, delete = door.told(line)
            assert (first["kind"], first["height"], first["operations_count"]) == ("block", 1, 0)
            assert second == {
                "kind": "block",
                "height": 2,
                "at": "2026-11-23T12:00:02.000Z",
                "at_ms": 1_795_435_202_000,
                "block_hash": block.hash.hex(),
                "round": 0,
                "proposer": "n2sas",
                "operations_count": 2,
            }
            assert put == {
                "kind": "operation",
                "height": 2,
                "at": second["at"],
                "at_ms": second["at_ms"],
                "seal": seal.hash.hex(),
                "index": 0,
                "name": "put",
                "ok": True,
                "reason": None,
                "events": [],
            }
            assert (delete["index"], delete["ok"], delete["reason"]) == (1, False, "no such key")
            assert len(door.feeds) == 0

    play(scene)


def test_only_new_blocks_without_a_start_and_all_of_them_with_one() -> None:
    async def scene() -> None:
        async with open_door() as door:
            for _ in range(5):
                door.node.commit()
            new, old, ahead = door.events(), door.events(start=3), door.events(start=7)
            assert door.pushes[new] == [{"block": 5, "first": 0, "last": True, "events": []}]
            for _ in range(3):
                door.node.commit()
            await until(lambda: door.heights(new) == [6, 7, 8])
            assert door.heights(old) == [3, 4, 5, 6, 7, 8]
            assert door.heights(ahead) == [7, 8]

    play(scene)


def test_kinds_are_chosen_and_silence_is_marked() -> None:
    async def scene() -> None:
        chain = FakeChain()
        async with open_door(chain) as door:
            for _ in range(MARK_BLOCKS + 5):
                door.node.commit()
            seal = chain.seal()
            door.node.commit([seal])
            line = door.events(start=1, kinds=("operation",))
            await until(lambda: bool(door.told(line)))
            assert [one["seal"] for one in door.told(line)] == [seal.hash.hex()]
            marks = [push["block"] for push in door.pushes[line] if not push["events"]]
            assert marks == [0, MARK_BLOCKS]

    play(scene)


def test_states_and_evidence_are_told_to_those_who_follow() -> None:
    async def scene() -> None:
        async with open_door() as door:
            door.node.commit()
            every, blocks, past = (
                door.events(),
                door.events(kinds=("block",)),
                door.events(start=1, follow=False),
            )
            door.feeds.state_changed(NodeState.SYNCING, NodeState.CONSENSUS, "fell behind")
            chain = door.node.chain
            signer = Signer(chain.instances[2], chain.domain)
            fact = draw_fact(Point(height=7, round=1))
            door.feeds.evidence(sign_ballot(fact, Address("n2sas"), 3, signer))
            await until(lambda: len(door.told(every)) == 2)
            state, evidence = door.told(every)
            assert (state["kind"], state["height"], state["reason"]) == ("state", 1, "fell behind")
            assert (state["state"], state["previous"]) == ("SYNCING", "CONSENSUS")
            assert (evidence["kind"], evidence["height"], evidence["round"]) == ("evidence", 7, 1)
            assert (evidence["stage"], evidence["epoch"]) == ("ACCEPT", 3)
            assert evidence["address"] == "n2sas"
            assert door.told(blocks) == []
            assert {one["kind"] for one in door.told(past)} == {"block"}

    play(scene)


def test_handovers_are_told_step_by_step() -> None:
    """Goal: what the chain decides is told as listed. Method: a planned handover on a chain."""

    async def scene() -> None:
        chain = FakeChain()
        async with open_door(chain) as door:
            line = door.events(kinds=("handover",))
            door.node.commit()
            door.node.commit([chain.handover(1, chain.new_instance(1))])
            door.node.commit()
            door.node.commit()
            door.node.commit([chain.ack(1)])
            await until(lambda: len(door.told(line)) >= 2)
            steps = [(one["step"], one["height"]) for one in door.told(line)]
            turns = [one.turn for at in sorted(chain.steps) for one in chain.steps[at]]
            assert steps[0] == ("committed", 2)
            assert steps[-1] == ("acknowledged", 5)
            assert len(steps) == len(turns)
            first = door.told(line)[0]
            assert (first["address"], first["mode"], first["epoch_after"]) == (
                "n1sas",
                "planned",
                1,
            )
            assert len(first["session"]) == 16

    play(scene)


def test_bookkeeping_of_the_chain_is_no_step() -> None:
    async def scene() -> None:
        chain = FakeChain()
        async with open_door(chain) as door:
            door.node.commit()
            door.node.commit([chain.handover(1, chain.new_instance(1))])
            (step, *_) = chain.steps[2]
            closed = [
                type(step)(turn=turn, height=3, epoch=1, session=step.session) for turn in Turn
            ]
            chain.steps[3] = tuple(closed)
            door.node.commit()
            line = door.events(start=3, kinds=("handover",), follow=False)
            await until(lambda: line in door.ends)
            assert {one["step"] for one in door.told(line)} == set(map(str, Turn)) - {
                "closed",
                "replaced",
            }

    play(scene)


# Readers that are slow, and blocks that are large.


def test_a_reader_that_stops_reading_costs_no_more_than_its_backlog() -> None:
    async def scene() -> None:
        async with open_door() as door:
            slow, quick = door.events(slow=True), door.events()
            for _ in range(5 * BACKLOG_MAX):
                door.node.commit()
            await until(lambda: len(door.heights(quick)) == 5 * BACKLOG_MAX)
            assert door.unread[slow] == BACKLOG_MAX
            for _ in range(2 * LIVE_KEPT):
                door.feeds.state_changed(NodeState.SYNCING, NodeState.CONSENSUS, "test")
            while len(door.heights(slow)) < 5 * BACKLOG_MAX + LIVE_KEPT:
                door.unread[slow] = 0
                await asyncio.sleep(0.01)
            blocks = [one["height"] for one in door.told(slow) if one["kind"] == "block"]
            assert blocks == list(range(1, 5 * BACKLOG_MAX + 1))
            assert len(door.told(slow)) - len(blocks) == LIVE_KEPT

    play(scene)


def test_a_replay_leaves_the_loop_between_slices() -> None:
    """Goal: votes do not wait for a reader of old blocks. Method: another task counts its turns."""

    async def scene() -> None:
        async with open_door() as door:
            for _ in range(400):
                door.node.commit()
            line = door.events(start=1)
            turns = 0
            while len(door.heights(line)) < 400:
                await asyncio.sleep(0)
                turns += 1
            assert turns >= 5

    play(scene)


def test_a_large_block_is_told_in_pieces() -> None:
    async def scene() -> None:
        chain = FakeChain()
        async with open_door(chain) as door:
            count = 2 * BATCH_EVENTS + 30
            line, other = door.events(), door.events()
            door.node.commit([chain.seal(*(["put", [f"k{i}", b""]] for i in range(count)))])
            await until(lambda: len(door.told(line)) == count + 1)
            pieces = [(push["first"], push["last"]) for push in door.pushes[line][1:]]
            assert pieces == [(0, False), (BATCH_EVENTS, False), (2 * BATCH_EVENTS, True)]
            assert [one["index"] for one in door.told(line)[1:]] == list(range(count))
            await until(lambda: door.pushes[other] == door.pushes[line])

    play(scene)


def test_what_is_too_deep_to_tell_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: no application stops a feed. Method: its events are nested as deep as a value may."""
    deep: Any = b"x"
    for _ in range(22):
        deep = [deep]

    def decoded(data: bytes) -> Any:
        return [(True, None, [("deep", {"value": deep})]), (True, None, [("flat", {"n": 1})])]

    async def scene() -> None:
        chain = FakeChain()
        async with open_door(chain) as door:
            door.node.commit([chain.seal(["put", ["a", b""]], ["put", ["b", b""]])])
            monkeypatch.setattr("zmqnode.runtime.happenings.decode_results", decoded)
            line = door.events(start=1, follow=False)
            await until(lambda: line in door.ends)
            _, first, second = door.told(line)
            assert (first["events"], first["events_left_out"]) == ([], 1)
            assert second["events"] == [{"name": "flat", "data": {"n": 1}}]
            assert [push["last"] for push in door.pushes[line]][-2:] == [False, True]

    play(scene)


def test_clients_that_left_are_forgotten() -> None:
    async def scene() -> None:
        async with open_door() as door:
            door.events(session="a")
            door.events(session="a")
            door.state(session="a")
            stays = door.events(session="b")
            door.gone.add("a")
            door.node.commit()
            await until(lambda: door.heights(stays) == [1])
            assert len(door.feeds) == 1
            door.node.commit()
            await until(lambda: door.heights(stays) == [1, 2])

    play(scene)


def test_a_store_that_fails_ends_the_feed_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with open_door() as door:
            door.node.commit()
            lines = [door.events(), door.events()]

            def broken(height: int) -> Any:
                raise Damaged("the disk is gone")

            monkeypatch.setattr(door.node, "stored", broken)
            door.node.commit()
            await until(lambda: len(door.ends) == 2)
            for line in lines:
                assert isinstance(door.ends[line], Failed)
                assert door.ends[line].message == "the disk is gone"

    play(scene)


@pytest.mark.parametrize(
    "fields", [{"start": -1}, {"kinds": ("weather",)}, {"kinds": ("block",) * 6}]
)
def test_feeds_of_nonsense_cannot_be_said(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"start|kinds"):
        EventsFollowed(**({"start": None, "kinds": (), "follow": True} | fields))
    for interval_ms in (99, 10_001):
        with pytest.raises(ValueError, match="interval_ms"):
            StateFollowed(interval_ms=interval_ms)
