"""No message is forgotten: a ZeroMQ descriptor is edge-triggered, and calls swallow its edge.

The loop is kept busy (``time.sleep``) where a message must arrive before a call that swallows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from tests.network.conftest import (
    ANSWER_MS,
    Fleet,
    Heard,
    Served,
    fleet,
    target_of,
    until,
    until_pumped,
)
from zmqnode.network import ClientLink, PeerNetwork, new_context, parse_target

ARRIVES_S = 0.2
FILLING_MAX = 100_000
PAYLOAD = bytes(1000)


async def one_way(nodes: Fleet) -> tuple[PeerNetwork, Heard, PeerNetwork, Heard]:
    """a has dialled b, and b never dialled: all goes over one connection."""
    a, heard_a = nodes.start("asas")
    b, heard_b = nodes.start("bsas")
    a.connect("bsas", b.introduction.url)
    await until(lambda: heard_a.ups and heard_b.callers)
    return a, heard_a, b, heard_b


async def until_full(send: Callable[[], bool]) -> None:
    """Send until nothing more fits, and stays so while the loop and libzmq have their turns."""
    refused = 0
    for _ in range(FILLING_MAX):
        if send():
            refused = 0
            continue
        refused += 1
        if refused == 20:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never filled")


def test_what_came_before_a_dialler_s_send_that_failed_is_read() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, heard_a, b, heard_b = await one_way(nodes)
            b._router._reader.close()  # type: ignore[union-attr]
            to_b, to_a = heard_a.ups[0][0].instance, heard_b.callers[0][0].instance
            await until_full(lambda: a.send(to_b, PAYLOAD))
            b.send(to_a, b"while a is busy")
            time.sleep(ARRIVES_S)  # noqa: ASYNC251
            assert not a.send(to_b, PAYLOAD)
            await until(lambda: heard_a.pushes)

    asyncio.run(scene())


def test_what_came_before_a_listener_s_send_that_failed_is_read() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, heard_a, b, heard_b = await one_way(nodes)
            next(iter(a._links.values()))._dealer._readers[-1].close()  # type: ignore[union-attr]
            to_b, to_a = heard_a.ups[0][0].instance, heard_b.callers[0][0].instance
            session = b._callers.live()[0].session

            def send() -> bool:
                b.send(to_a, PAYLOAD)
                return not session.waiting

            await until_full(send)
            a.send(to_b, b"while b is busy")
            time.sleep(ARRIVES_S)  # noqa: ASYNC251
            b._router._flush_blocked()
            assert session.waiting
            await until(lambda: heard_b.pushes)

    asyncio.run(scene())


def test_what_comes_to_a_client_between_reading_and_sending_is_read() -> None:
    async def scene() -> None:
        async with fleet("asas") as nodes:
            a, _ = nodes.start("asas")
            served = Served()
            served.door = a.open_door(served)
            context = new_context()
            link = ClientLink(context, parse_target(target_of(a)))
            events: list[bytes] = []
            try:
                link.request(b"sub", ANSWER_MS, lambda _: None, events.append)
                await until_pumped(link, lambda: served.subscribed)
                served.door._router._reader.close()  # type: ignore[union-attr]

                def send() -> bool:
                    link.request(PAYLOAD, ANSWER_MS, lambda _: None)
                    link.pump()
                    return not link._unsent

                await until_full(send)
                read = link._read_messages

                def read_and_get_one_more() -> bool:
                    more = read()
                    assert served.door is not None
                    served.door.event(served.subscribed[0], b"late")
                    time.sleep(ARRIVES_S)
                    return more

                link._read_messages = read_and_get_one_more  # type: ignore[method-assign]
                assert link.pump(), "it knows that there is more to read"
                link._read_messages = read  # type: ignore[method-assign]
                link.pump()
                assert events == [b"late"]
            finally:
                link.close()
                context.term()

    asyncio.run(scene())
