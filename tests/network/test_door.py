"""The client door and both client links, on loopback."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import pytest

from tests.network.conftest import (
    ANSWER_MS,
    Fleet,
    Served,
    fleet,
    target_of,
    until,
    until_answered,
    until_pumped,
)
from tests.ports import free_ports
from zmqnode.base.keys import PrivateKey, public_text
from zmqnode.errors import Invalid, Refused, Undecided, Unreachable
from zmqnode.network import (
    AsyncClientLink,
    BlockingClientLink,
    ClientLink,
    NetworkLimits,
    PeerNetwork,
    Rate,
    Target,
    new_context,
    parse_target,
)
from zmqnode.network.client_link import SILENCE_MS
from zmqnode.network.curve import CurveKeys


def test_requests_answers_and_events_pass_the_door() -> None:
    async def scene() -> None:
        async with fleet("asas") as nodes:
            a, _ = nodes.start("asas")
            served = Served()
            served.door = a.open_door(served)
            context = new_context()
            link = AsyncClientLink(context, parse_target(target_of(a)))
            try:
                assert await link.ask(b"one", ANSWER_MS) == b"re:one"
                many = await asyncio.gather(*(link.ask(b"%d" % i, ANSWER_MS) for i in range(3000)))
                assert many == [b"re:%d" % i for i in range(3000)]

                events: list[bytes] = []
                ends: list[object] = []
                link.request(b"sub", 2000, ends.append, events.append)
                await until(lambda: served.subscribed)
                for i in range(500):
                    assert served.door.event(served.subscribed[0], b"%d" % i)
                await until(lambda: len(events) == 500)
                served.door.end(served.subscribed[0], b"bye")
                await until(lambda: ends)
                assert ends == [b"bye"]
                assert len(served.requests[0][0]) == 32

                served.door.refuse(served.subscribed[0], "pool_full")  # Long over: no callback.
                with pytest.raises(Undecided):
                    await link.ask(b"hold", 100)
            finally:
                link.close()
                context.term()
            await until(lambda: served.gone)

    asyncio.run(scene())


def serve(made: Served, node: PeerNetwork) -> None:
    made.door = node.open_door(made)


@contextmanager
def listener(answer: bytes | None) -> Iterator[int]:
    """A TCP server that is no node: says ``answer`` and closes, or (None) keeps silent."""
    server = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                one, _ = server.accept()
            except OSError:
                return
            if answer is None:
                kept.append(one)
            else:
                one.sendall(answer)
                one.close()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
        for one in kept:
            one.close()


def target_at(port: int, key: PrivateKey | None = None) -> Target:
    public = (key or PrivateKey(os.urandom(32))).public
    return parse_target(f"tcp://{public_text(public)}@127.0.0.1:{port}")


def ask_once(target: Target, timeout_ms: int) -> tuple[Unreachable, float]:
    """The error of a blocking ask, and how long it took in ms.

    How soon it comes is judged by what it must not wait for, not by what it takes on this machine.
    """
    link = BlockingClientLink(target)
    begun = time.monotonic()
    try:
        with pytest.raises(Unreachable) as raised:
            link.ask(b"x", timeout_ms)
    finally:
        link.close()
    return raised.value, (time.monotonic() - begun) * 1000


def test_nobody_there_is_known_at_once() -> None:
    error, took_ms = ask_once(target_at(free_ports()), 5000)
    assert error.code == "unreachable"
    assert error.details["connected"] is False
    assert "reason" not in error.details
    assert took_ms < SILENCE_MS


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["mute", "http"])
def test_no_node_there_is_another_key(answer: bytes) -> None:
    with listener(answer) as port:
        error, took_ms = ask_once(target_at(port), 5000)
    assert error.details["connected"] is True
    assert error.details["reason"] == "other_key"
    assert took_ms < SILENCE_MS


def test_another_key_is_known_after_two_refusals() -> None:
    async def scene() -> None:
        async with fleet("asas") as nodes:
            a, _ = nodes.start("asas")
            serve(Served(), a)
            target = target_at(parse_target(target_of(a)).place.port)
            error, took_ms = await asyncio.to_thread(ask_once, target, 5000)
            assert error.details["connected"] is True
            assert error.details["reason"] == "other_key"
            assert took_ms < SILENCE_MS

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("timeout_ms", "least_ms", "most_ms"), [(300, 300, SILENCE_MS), (20_000, SILENCE_MS, 20_000)]
)
def test_silence_ends_after_two_seconds_or_the_time_out(
    timeout_ms: int, least_ms: int, most_ms: int
) -> None:
    with listener(None) as port:
        error, took_ms = ask_once(target_at(port), timeout_ms)
    assert error.details["connected"] is True
    assert error.details["reason"] == "no_answer"
    assert least_ms - 1 <= took_ms < most_ms


def test_a_blocking_client_asks_and_is_told_undecided() -> None:
    async def scene() -> None:
        async with fleet("asas") as nodes:
            a, _ = nodes.start("asas")
            serve(Served(), a)

            def talk() -> None:
                link = BlockingClientLink(parse_target(target_of(a)))
                try:
                    for i in range(50):
                        assert link.ask(b"%d" % i, ANSWER_MS) == b"re:%d" % i
                    with pytest.raises(Undecided):
                        link.ask(b"hold", 50)
                finally:
                    link.close()

            await asyncio.to_thread(talk)

    asyncio.run(scene())


def test_a_client_sees_the_end_of_its_node_and_finds_it_again() -> None:
    async def scene() -> None:
        async with fleet("asas") as nodes, client_of(nodes) as (a, link):
            port = parse_target(target_of(a)).place.port
            held = asyncio.ensure_future(link.ask(b"hold", 5000))
            ends: list[object] = []
            link.request(b"sub", 5000, ends.append, lambda _: None)
            await until(lambda: a.connections)
            await asyncio.sleep(0)
            assert await link.ask(b"x", ANSWER_MS) == b"re:x"
            nodes.stop(a)
            with pytest.raises(Undecided):
                await held
            await until(lambda: ends)
            assert isinstance(ends[0], Undecided)
            with pytest.raises(Unreachable) as raised:
                await link.ask(b"x", 2000)
            assert raised.value.details["connected"] is False
            again, _ = nodes.start("asas", port=port)
            serve(Served(), again)
            assert await until_answered(lambda: link.ask(b"x", 500)) == b"re:x"

    asyncio.run(scene())


@asynccontextmanager
async def client_of(
    nodes: Fleet, served: Served | None = None, limits: NetworkLimits | None = None
) -> AsyncIterator[tuple[PeerNetwork, AsyncClientLink]]:
    """A node with a door, and an honest client."""
    a, _ = nodes.start("asas", limits=limits)
    serve(served or Served(), a)
    context = new_context()
    link = AsyncClientLink(context, parse_target(target_of(a)))
    try:
        yield a, link
    finally:
        link.close()
        context.term()


def test_over_the_rate_a_client_is_told_so_and_may_go_on_later() -> None:
    async def scene() -> None:
        limits = NetworkLimits(door_messages_rate=Rate(per_second=10, burst=20))
        begun = time.monotonic()
        async with fleet("asas") as nodes, client_of(nodes, limits=limits) as (a, link):
            asked = [link.ask(b"x", ANSWER_MS) for _ in range(60)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            refused = [one for one in answers if isinstance(one, Refused)]
            earned = 10 * (time.monotonic() - begun)
            assert 40 - earned <= len(refused) <= 41  # The ping was one, too.
            assert {one.code for one in refused} == {"rate_limited"}
            assert not a.guard_stats.cuts
            assert await until_answered(lambda: link.ask(b"x", ANSWER_MS)) == b"re:x"

    asyncio.run(scene())


def _has(answers: list[object], count: int) -> bool:
    return len(answers) >= count


def test_the_rate_holds_for_a_key_over_all_its_connections() -> None:
    async def scene() -> None:
        limits = NetworkLimits(door_messages_rate=Rate(per_second=1, burst=10))
        async with fleet("asas") as nodes:
            a, _ = nodes.start("asas", limits=limits)
            serve(Served(), a)
            context = new_context()
            keys = CurveKeys.ephemeral()
            answers: list[object] = []
            begun = time.monotonic()
            for _ in range(4):
                one = ClientLink(context, parse_target(target_of(a)), keys=keys)
                wanted = len(answers) + 8
                for _ in range(8):
                    one.request(b"x", ANSWER_MS, answers.append)
                await until_pumped(one, partial(_has, answers, wanted))
                one.close()
            context.term()
            answered = sum(isinstance(answer, bytes) for answer in answers)
            assert answered <= 10 + (time.monotonic() - begun)

    asyncio.run(scene())


def test_the_door_closes_under_pressure_says_so_and_opens_again() -> None:
    async def scene() -> None:
        served = Served()
        async with (
            fleet("asas", "bsas") as nodes,
            client_of(nodes, served, NetworkLimits(pressure_ms=50, door_reopen_ms=700)) as (
                a,
                link,
            ),
        ):
            b, heard_b = nodes.start("bsas")
            b.connect("asas", a.introduction.url)
            await until(lambda: heard_b.ups)
            assert await link.ask(b"x", ANSWER_MS) == b"re:x"
            door = served.door
            assert door is not None
            door.close_for("memory")
            assert served.changes == ["memory"]
            assert door.closed_because == "memory"
            assert served.gone, "its sessions are told"
            with pytest.raises((Unreachable, Undecided)):
                await link.ask(b"x", 500)
            answers: list[object] = []
            b.ask(heard_b.ups[0][0].instance, b"vote", ANSWER_MS, answers.append)
            await until(lambda: answers)
            assert answers == [b"re:vote"], "peers do not notice"
            await until(lambda: served.changes == ["memory", ""])
            assert door.closed_because == ""
            assert await until_answered(lambda: link.ask(b"x", 500)) == b"re:x"

    asyncio.run(scene())


@pytest.mark.parametrize("bound", ["memory", "descriptors"])
def test_pressure_is_noticed_by_itself(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with fleet("asas") as nodes:
            a, _ = nodes.start("asas")
            served = Served()
            served.door = a.open_door(served, memory_bytes_max=1 if bound == "memory" else None)
            if bound == "descriptors":
                monkeypatch.setattr("zmqnode.network.door.descriptors_used", lambda: 10**9)
            await until(lambda: served.changes == [bound])
            assert served.door.pressure() == bound

    asyncio.run(scene())


@pytest.mark.parametrize(
    "text", ["tcp://127.0.0.1:4000", "http://x", "tcp://abc@127.0.0.1:4000", "tcp://k@h:99999"]
)
def test_what_is_no_target_is_invalid(text: str) -> None:
    with pytest.raises(Invalid):
        parse_target(text)


def test_an_unknown_host_is_unreachable() -> None:
    text = f"tcp://{public_text(PrivateKey(bytes(32)).public)}@no-such-host.invalid:4000"
    with pytest.raises(Unreachable) as raised:
        BlockingClientLink(parse_target(text))
    assert raised.value.details["connected"] is False


def test_a_client_with_many_answers_in_its_first_moment_is_not_taken_for_a_stalled_one() -> None:
    """A regression: before the first tick nothing had been acknowledged, ever.

    There is no tick here; what it does for answers that wait (once libzmq was too busy to take
    them within a millisecond) is done by hand.
    """

    async def scene() -> None:
        limits = NetworkLimits(tick_ms=60_000, door_send_messages=4)
        async with fleet("asas") as nodes, client_of(nodes, limits=limits) as (a, link):
            asking = asyncio.gather(*(link.ask(b"x", ANSWER_MS) for _ in range(500)))
            router = a._door._router  # type: ignore[union-attr]
            assert router is not None
            await until(lambda: router._flush_blocked() or asking.done())
            assert await asking == [b"re:x"] * 500
            assert not a.guard_stats.cuts

    asyncio.run(scene())
