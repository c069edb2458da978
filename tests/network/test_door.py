"""The client door and both client links, on loopback."""

from __future__ import annotations

import asyncio

import pytest

from tests.network.conftest import Served, fleet, target_of, until
from zmqnode.errors import Undecided
from zmqnode.network import AsyncClientLink, new_context, parse_target


def test_requests_answers_and_events_pass_the_door() -> None:
    async def scene() -> None:
        async with fleet("asas") as nodes:
            a, _ = nodes.start("asas")
            served = Served()
            served.door = a.open_door(served)
            context = new_context()
            link = AsyncClientLink(context, parse_target(target_of(a)))
            try:
                assert await link.ask(b"one", 2000) == b"re:one"
                many = await asyncio.gather(*(link.ask(b"%d" % i, 5000) for i in range(3000)))
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
