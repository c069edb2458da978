"""Two real nodes on loopback: hello, streams, requests."""

from __future__ import annotations

import asyncio

from tests.network.conftest import fleet, joined, until
from zmqnode.network import Topic


def test_two_nodes_say_hello_publish_ask_and_push() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, heard_a = nodes.start("asas")
            b, heard_b = nodes.start("bsas")
            await joined(a, b, heard_a, heard_b)
            peer_b = heard_a.ups[0][0]
            assert peer_b.address == "bsas"
            assert peer_b.instance == b.introduction.instance

            b.publish(Topic.VOTES, b"vote")
            b.publish(Topic.SEALS, b"seal")
            await until(lambda: len(heard_a.messages) == 2)
            assert sorted(m[1:] for m in heard_a.messages) == [
                (Topic.SEALS, b"seal"),
                (Topic.VOTES, b"vote"),
            ]

            answers: list[object] = []
            assert a.ask(peer_b.instance, b"what", 2000, answers.append)
            await until(lambda: answers)
            assert answers == [b"re:what"]
            assert heard_b.requests[0][0].instance == a.introduction.instance

            assert a.send(peer_b.instance, b"take")
            await until(lambda: heard_b.pushes)
            assert heard_b.pushes[0][1] == b"take"
            one = a.stats()[0]
            assert one.linked
            assert one.calling
            assert one.rtt_ms is not None
            assert not heard_a.gaps
            assert not heard_a.refusals

    asyncio.run(scene())
