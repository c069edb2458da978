"""The client against real doors: answers, alternatives, seals in number, waits, control, errors."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fake_node import FakeChain, FakeNode, key, loopback_ports, served
from zmqnode.base.exchange import NodeState
from zmqnode.base.hashes import ZERO
from zmqnode.base.seal import seal_hash
from zmqnode.client import Client, Receipt, SyncClient
from zmqnode.client import submitting as submitting_module
from zmqnode.errors import Invalid, Refused, TimedOut, Undecided, Unreachable
from zmqnode.runtime import showing


@pytest.fixture(autouse=True)
def _sender(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZMQNODE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TEST_SENDER", key(3000).text())
    monkeypatch.setenv("TEST_IDENTITY", key(1000).text())
    monkeypatch.setenv("TEST_STRANGER", key(5000).text())


@asynccontextmanager
async def network(up: int = 4, n: int = 4) -> AsyncIterator[list[FakeNode]]:
    """A chain of n members of which the first ones have their doors open."""
    chain = FakeChain(n, ports=loopback_ports(n))
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(served(FakeNode(chain, i))) for i in range(up)]


def client_of(node: FakeNode, **options: Any) -> Client:
    return Client(node.chain.target(node.index), sign="env:TEST_SENDER", **options)


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scene())


def put(name: str = "k", value: bytes = b"v") -> tuple[str, dict[str, Any]]:
    return "put", {"key": name, "value": value}


def test_the_contracts_example_in_a_few_lines() -> None:
    async def scene() -> None:
        async with network() as nodes, client_of(nodes[0]) as client:
            receipt = await client.submit(("put", {"key": "a", "value": b"1"}))
            assert receipt.ok
            assert (await client.query("get", {"key": "a"})).result == b"1"
            assert (receipt.state, receipt.height) == ("committed", 1)
            assert set(receipt.json()) == {f.name for f in dataclasses.fields(Receipt)}
            json.dumps(receipt.json())

    play(scene)


def test_answers_are_frozen_and_have_the_contracts_json() -> None:
    async def scene() -> None:
        async with network(1) as (node,), client_of(node, copies=1) as client:
            await client.submit(put(value=b"\xff"), ("delete", {"key": "missing"}))
            info = await client.info()
            moving = {"suffrage": info.suffrage.json(), "signature": info.signature}
            assert info.json() == {**showing.node_info(node), **moving}
            with pytest.raises(dataclasses.FrozenInstanceError):
                info.height = 9  # type: ignore[misc]
            assert (await client.suffrage()).q == 3
            (peer,) = await client.peers()
            assert (peer.rtt_ms, "rtt_us" in peer.json()) == (1.5, False)
            block = await client.block()
            assert block == await client.block(1) == await client.block(block.block_hash)
            assert block.operations[0].arguments == {"key": "k", "value": b"\xff"}
            assert block.json()["operations"][0]["arguments"]["value"] == "/w=="
            assert [one.height for one in await client.blocks()] == [0, 1]
            with pytest.raises(Refused, match="not_found"):
                await client.block(7)
            with pytest.raises(Invalid, match="usage"):
                await client.block("nonsense")

    play(scene)


def test_headers_are_collected_page_by_page() -> None:
    async def scene() -> None:
        async with network(1) as (node,), client_of(node) as client:
            for _ in range(230):
                node.commit()
            assert [b.height for b in await client.blocks(5, 225)] == list(range(5, 226))
            assert [b.height for b in await client.blocks()] == list(range(211, 231))
            assert len(await client.blocks(0)) == 231

    play(scene)


# Seals.


def test_a_seal_goes_to_f_plus_1_nodes_or_to_one() -> None:
    async def scene() -> None:
        async with network() as nodes:
            for copies, expected in ((None, 2), (1, 1), (4, 4)):
                for node in nodes:
                    node.taken.clear()
                    node.auto_commit = False
                async with client_of(nodes[0], copies=copies) as client:
                    receipt = await client.submit(put(), wait="accepted")
                    assert (receipt.state, receipt.results) == ("accepted", ())
                    assert sum(len(node.taken) for node in nodes) == expected
                    assert len(nodes[0].taken) == 1

    play(scene)


def test_undone_operations_are_told_and_do_not_raise() -> None:
    async def scene() -> None:
        async with network(1) as (node,), client_of(node, copies=1) as client:
            receipt = await client.submit(put(), ("delete", {"key": "missing"}))
            assert not receipt.ok
            assert [(r.name, r.ok, r.reason) for r in receipt.results] == [
                ("put", True, None),
                ("delete", False, "no such key"),
            ]

    play(scene)


def test_a_seal_can_be_made_first_and_sent_again() -> None:
    async def scene() -> None:
        async with network() as nodes, client_of(nodes[0]) as client:
            seal = await client.make(put("a"), put("b"))
            assert (seal.hash, seal.data) == (seal_hash(seal.data).hex(), bytes(seal.data))
            first, again = await client.submit(seal), await client.submit(seal)
            assert (first.height, first.results) == (again.height, again.results)
            assert (await client.wait_seal(first.seal)).results == first.results
            assert first.seal == seal.hash, "a hash is text, as in every answer"
            assert (await client.wait_seal(seal.hash)).height == first.height

    play(scene)


def test_bad_operations_never_leave() -> None:
    async def scene() -> None:
        async with network(1) as (node,), client_of(node) as client:
            for code, operation in (
                ("unknown_operation", ("nothing", {})),
                ("bad_argument", ("put", {"key": "k"})),
                ("bad_argument", ("put", {"key": "k", "value": "text"})),
            ):
                with pytest.raises(Refused) as refused:
                    await client.submit(operation)
                assert refused.value.code == code
            with pytest.raises(Invalid, match="usage"):
                await client.submit()
            with pytest.raises(Invalid, match="usage"):
                await client.submit(put(), wait="forever")
            assert node.taken == []
        async with Client(node.chain.target()) as client:
            client._nodes._chain = None
        with pytest.raises(Unreachable):
            async with client_of(node, timeout_ms=500) as client:
                await client.make(put())

    play(scene)


def test_thousands_are_in_flight() -> None:
    """Goal: no request is lost or mixed up under number. Method: 3,000 at once, two copies each."""

    async def scene() -> None:
        async with network() as nodes, client_of(nodes[0]) as client:
            seals = [await client.make(put(str(number))) for number in range(3000)]
            receipts = await asyncio.gather(
                *(client.submit(one, timeout_ms=60_000) for one in seals)
            )
            assert [one.seal for one in receipts] == [one.hash for one in seals]
            assert len({one.height for one in receipts}) == 3000
            assert sum(len(node.taken) for node in nodes) <= 6000

    play(scene)


def test_a_dead_node_is_replaced_by_the_next_one() -> None:
    async def scene() -> None:
        async with network(3) as nodes, client_of(nodes[0]) as client:
            for number in range(20):  # n3 never opened its door.
                assert (await client.submit(put(str(number)), timeout_ms=5_000)).ok
            for node in nodes:
                node.auto_commit = False
            for number in range(6):
                receipt = await client.submit(put(f"a{number}"), wait="accepted", timeout_ms=5_000)
                assert receipt.ok
            assert sum(len(node.taken) for node in nodes[1:]) >= 6

    play(scene)


def test_targets_are_alternatives() -> None:
    async def scene() -> None:
        async with network(2) as nodes:
            chain = nodes[0].chain
            async with Client(
                chain.target(3), chain.target(1), sign="env:TEST_SENDER", timeout_ms=3000
            ) as client:
                assert (await client.info()).address == "n1sas"
                assert (await client.submit(put())).ok

    play(scene)


def test_a_full_pool_is_waited_for() -> None:
    async def scene() -> None:
        async with network(1, n=1) as (node,), client_of(node) as client:
            node.refusal = "pool_full"
            sending = asyncio.create_task(client.submit(put(), timeout_ms=10_000))
            while len(node.taken) < 3:
                await asyncio.sleep(0.01)
            node.refusal = None
            assert (await sending).ok
            node.refusal = "sender_quota"
            with pytest.raises(Refused) as refused:
                await client.submit(put(), timeout_ms=300)
            assert refused.value.code == "sender_quota"

    play(scene)


def test_a_refusal_counts_once_f_plus_1_nodes_say_so() -> None:
    async def scene() -> None:
        async with network() as nodes, client_of(nodes[0]) as client:
            await client.chain()
            nodes[0].refusal = "seal_expired"  # A liar, or a wrong clock.
            assert (await client.submit(put())).ok
            for node in nodes:
                node.refusal = "seal_expired"
            with pytest.raises(Refused) as refused:
                await client.submit(put())
            assert refused.value.code == "seal_expired"

    play(scene)


def test_silence_is_undecided_and_resent_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitting_module, "ATTEMPT_MS", 100)

    async def scene() -> None:
        async with network() as nodes, client_of(nodes[0]) as client:
            for number in range(4):  # All links are up; a busy machine takes its time for that.
                await client.submit(put(str(number)))
            for node in nodes:
                node.auto_commit = False
                node.taken.clear()
            with pytest.raises(Undecided) as undecided:
                await client.submit(put(), timeout_ms=1000)
            seal = undecided.value.details["seal"]
            assert nodes[0].taken[0].hash.hex() == seal
            assert all(node.taken for node in nodes), "every node was asked in turn"
            assert undecided.value.exit_code == 4

    play(scene)


def test_nobody_there_is_unreachable() -> None:
    async def scene() -> None:
        chain = FakeChain(ports=loopback_ports(4))
        async with Client(chain.target(), sign="env:TEST_SENDER") as client:
            for asking in (client.info(), client.submit(put(), timeout_ms=400)):
                with pytest.raises(Unreachable) as unreachable:
                    await asking
                assert unreachable.value.details["connected"] is False

    play(scene)


def test_another_key_is_told_apart() -> None:
    async def scene() -> None:
        async with network(1) as (node,):
            node.chain.identities[0] = key(77)
            async with client_of(node, timeout_ms=3000) as client:
                with pytest.raises(Unreachable) as unreachable:
                    await client.info()
            assert unreachable.value.details["reason"] == "other_key"

    play(scene)


# What a node says.


def test_a_forged_node_info_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = showing.node_info

    async def scene() -> None:
        async with network(1) as (node,), client_of(node) as client:
            monkeypatch.setattr(showing, "node_info", lambda view: {**honest(view), "height": 99})
            with pytest.raises(Refused) as refused:
                await client.info()
            assert refused.value.code == "bad_signature"

    play(scene)


def test_a_node_info_of_another_identity_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with network(2) as (node, other), client_of(node) as client:
            info = showing.node_info(other)
            monkeypatch.setattr(showing, "node_info", lambda view: info)
            with pytest.raises(Refused, match="bad_signature"):
                await client.info()

    play(scene)


def test_the_chain_met_first_is_the_only_one() -> None:
    async def scene() -> None:
        async with network(1) as (node,), client_of(node) as client:
            await client.chain()
            node.chain.domain = dataclasses.replace(node.chain.domain, genesis=ZERO)
            with pytest.raises(Refused) as refused:
                await client.info()
            assert refused.value.code == "genesis_mismatch"

    play(scene)


# Queries.


def test_proofs_are_checked_and_the_query_run_again() -> None:
    async def scene() -> None:
        async with network(1) as (node,), client_of(node, copies=1) as client:
            at_genesis = await client.query("get", {"key": "k"}, proof=True)
            assert (at_genesis.height, at_genesis.result) == (0, None)
            await client.submit(put())
            answer = await client.query("get", {"key": "k"}, proof=True)
            proof = answer.proof
            assert proof is not None
            assert (proof.verified, proof.result_checked) == (True, True)
            assert [(one.key, one.present) for one in proof.keys] == [("k", True)]
            assert proof.signers == ("n0sas", "n1sas", "n2sas", "n3sas")
            absent = await client.query("get", {"key": "no"}, proof=True)
            assert absent.proof is not None
            assert [one.present for one in absent.proof.keys] == [False]
            scan = await client.query("keys", {"prefix": ""}, proof=True)
            assert (scan.result, scan.proof) == (["k"], None)

    play(scene)


Forge = Callable[[dict[str, Any]], None]

FORGERIES: dict[str, Forge] = {
    "result": lambda body: body.update(result=b"forged"),
    "value": lambda body: body["proof"]["keys"][0].__setitem__(1, b"\xc4\x01x"),
    "no keys": lambda body: body["proof"].update(keys=[]),
    "height": lambda body: body.update(height=2),
    "root": lambda body: body.update(state_root="00" * 32),
    "genesis": lambda body: body["proof"].update(genesis=body["proof"]["manifest"]),
    "no votes": lambda body: body["proof"].update(accept_voteproof=b""),
    "suffrage": lambda body: body["proof"]["suffrage"].pop(),
    "junk": lambda body: body["proof"].update(keys=[[1, 2]]),
    "nothing": lambda body: body.update(proof={}),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_proof_is_invalid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from zmqnode.base.query import Told, told
    from zmqnode.runtime.queries import Queries

    honest = Queries._answer_query

    def forged(self: Queries, asked: Any) -> Any:
        answer = honest(self, asked)
        assert isinstance(answer, Told)
        FORGERIES[name](answer.body)
        return told(answer.body)

    async def scene() -> None:
        async with network(1) as (node,), client_of(node, copies=1) as client:
            await client.submit(put())
            monkeypatch.setattr(Queries, "_answer_query", forged)
            with pytest.raises(Refused) as refused:
                await client.query("get", {"key": "k"}, proof=True)
            assert refused.value.code == "proof_invalid"

    play(scene)


def test_too_few_votes_prove_nothing() -> None:
    async def scene() -> None:
        async with network(1) as (node,), client_of(node) as client:
            node.chain.commit([node.chain.seal()], signers=[0, 1])
            with pytest.raises(Refused, match="proof_invalid"):
                await client.query("get", {"key": "k"}, proof=True)

    play(scene)


def test_a_query_waits_for_a_height() -> None:
    async def scene() -> None:
        async with network(1) as (node,), client_of(node, copies=1) as client:
            asking = asyncio.create_task(client.query("get", {"key": "k"}, height=1))
            await asyncio.sleep(0.1)
            assert not asking.done()
            await client.submit(put())
            assert (await asking).result == b"v"
            with pytest.raises(TimedOut):
                await client.query("get", {"key": "k"}, height=9, timeout_ms=200)

    play(scene)


# Waiting and control.


def test_waits_follow_a_node_and_keep_trying_an_absent_one() -> None:
    async def scene() -> None:
        chain = FakeChain(ports=loopback_ports(4))
        node = FakeNode(chain)
        async with client_of(node) as client:
            waiting = asyncio.create_task(client.wait_height(2, timeout_ms=10_000))
            await asyncio.sleep(0.3)
            async with served(node):
                node.commit()
                await asyncio.sleep(0.2)
                assert not waiting.done()
                node.commit()
                standing = await waiting
                assert (standing.height, standing.role, standing.ok) == (2, "active", True)
                assert standing.seconds >= 0.4
                assert (await client.wait_synced()).state == "CONSENSUS"
                waiting = asyncio.create_task(client.wait_state("BROKEN"))
                await asyncio.sleep(0.1)
                node.state = NodeState.BROKEN
                assert node.queries is not None
                node.queries.changed()
                assert (await waiting).state == "BROKEN"
                with pytest.raises(TimedOut) as late:
                    await client.wait_height(99, timeout_ms=300)
                assert late.value.code == "timeout"
                with pytest.raises(Invalid):
                    await client.wait_state("ASLEEP")

    play(scene)


def test_control_needs_the_addresss_key() -> None:
    async def scene() -> None:
        async with network(1) as (node,):
            for sign in (None, "env:TEST_STRANGER"):
                async with Client(node.chain.target(), sign=sign) as client:
                    with pytest.raises(Refused) as refused:
                        await client.cut(["tcp://127.0.0.1:1"], [])
                    assert refused.value.code == "not_authorised"
            assert node.cuts == []
            async with Client(node.chain.target(), sign="env:TEST_IDENTITY") as client:
                await client.cut(["tcp://127.0.0.1:1"], [])
                await client.cut([], [])
            assert node.cuts == [(("tcp://127.0.0.1:1",), ()), ((), ())]

    play(scene)


def test_stop_returns_when_the_node_is_gone() -> None:
    async def scene() -> None:
        node = FakeNode(FakeChain(ports=loopback_ports(4)))
        async with Client(node.chain.target(), sign="env:TEST_IDENTITY") as client:
            async with served(node):
                stopping = asyncio.create_task(client.stop())
                while not node.stopped:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.2)
                assert not stopping.done()
            stopped = await stopping
            assert (stopped.address, stopped.height) == ("n0sas", 0)

    play(scene)


def test_an_interrupted_iteration_lets_go_of_what_it_holds() -> None:
    """Goal: Ctrl-C in a follow is its end, also while the source is still letting go."""
    closed = []

    async def source() -> AsyncGenerator[int, None]:
        try:
            yield 1
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.1)
            closed.append(True)

    interrupt = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    with SyncClient(FakeChain(ports=loopback_ports(4)).target()) as client:
        each = client._each(source())
        assert next(each) == 1
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            next(each)
    assert closed == [True]


def test_the_sync_client_does_the_same() -> None:
    async def scene() -> None:
        async with network(1) as (node,):

            def work() -> None:
                with SyncClient(node.chain.target(), sign="env:TEST_SENDER", copies=1) as client:
                    assert client.info().address == "n0sas"
                    receipt = client.submit(put())
                    assert client.query("get", {"key": "k"}, proof=True).result == b"v"
                    assert client.wait_seal(receipt.seal).height == receipt.height == 1
                    assert client.block().height == client.blocks()[-1].height == 1
                    assert client.suffrage(2).n == 4
                    with pytest.raises(Refused):
                        client.block(9)
                client.close()

            await asyncio.to_thread(work)

    play(scene)
