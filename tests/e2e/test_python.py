"""Section 10: the names a program imports, against real nodes."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import zmqnode
from tests.e2e import answers
from tests.e2e.answers import check
from tests.e2e.local_net import LocalNet, named
from tests.e2e.test_node_run import make
from zmqnode import App, Client, Config, Node, Reject, SyncClient, errors

MITUM_PUBLIC = "GkhMcC4LDk22FsRGoQ4qAjuZ2BZERof7VSfmNy9HfW3F3MpQvmpu"


@asynccontextmanager
async def client_of(net: LocalNet, *names: str, **options: Any) -> AsyncIterator[Client]:
    targets = [str(net.dir / name) for name in names or ("n0",)]
    sign = f"file:{net.dir / 'client.key'}"
    async with Client(*targets, **{"sign": sign, **options}) as client:
        yield client


def play(scene: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(asyncio.wait_for(scene(), 120))


def test_the_public_names_are_there() -> None:
    names = ("App", "Client", "Config", "Node", "Reject", "SyncClient")
    assert set(names) <= set(zmqnode.__all__)
    for name, exit_code in (
        ("Refused", 1),
        ("Invalid", 2),
        ("Unreachable", 3),
        ("Undecided", 4),
        ("TimedOut", 5),
        ("Broken", 10),
    ):
        kind = getattr(errors, name)
        assert issubclass(kind, errors.ZmqnodeError)
        assert kind.exit_code == exit_code


@pytest.mark.parametrize("kind", [Client, SyncClient])
def test_the_signatures_are_the_contracts(kind: type) -> None:
    for name, expected in (
        ("__init__", ["targets", "sign", "copies", "timeout_ms"]),
        ("submit", ["operations", "wait", "timeout_ms"]),
        ("make", ["operations"]),
        ("info", []),
        ("suffrage", ["height"]),
        ("peers", []),
        ("block", ["which"]),
        ("blocks", ["first", "last"]),
        ("query", ["name", "arguments", "height", "proof"]),
        ("wait_height", ["h|height", "timeout_ms"]),
        ("wait_state", ["s|state", "timeout_ms"]),
        ("wait_synced", ["timeout_ms"]),
        ("wait_seal", ["hash|seal|seal_hash", "timeout_ms"]),
        ("stop", []),
    ):
        method = getattr(kind, name, None)
        assert method is not None, f"{kind.__name__}.{name}"
        found = [one for one in inspect.signature(method).parameters if one != "self"]
        for word in expected:
            assert set(word.split("|")) & set(found), (name, word, found)


def test_the_contracts_first_example(net: LocalNet) -> None:
    async def scene() -> None:
        async with client_of(net) as client:
            receipt = await client.submit(("put", {"key": "a", "value": b"1"}))
            assert receipt.ok and (await client.query("get", {"key": "a"})).result == b"1"

    play(scene)


def test_answers_are_frozen_and_have_the_jsons_names(net: LocalNet) -> None:
    async def scene() -> None:
        async with client_of(net) as client:
            receipt = await client.submit(("put", {"key": "s", "value": b"2"}))
            for answer, shape in (
                (receipt, answers.RECEIPT),
                (await client.info(), answers.NODE_INFO),
                (await client.suffrage(), answers.SUFFRAGE),
                (await client.suffrage(1), answers.SUFFRAGE),
                (await client.block(), answers.BLOCK),
                (await client.block(0), answers.BLOCK),
                (await client.block(receipt.block_hash), answers.BLOCK),
                (await client.query("get", {"key": "s"}, proof=True), answers.QUERY),
                (await client.wait_height(2), answers.WAITED),
                (await client.wait_state("CONSENSUS"), answers.WAITED),
                (await client.wait_synced(), answers.WAITED),
                (await client.wait_seal(receipt.seal), answers.RECEIPT),
            ):
                assert dataclasses.is_dataclass(answer)
                field = dataclasses.fields(answer)[0].name
                with pytest.raises(dataclasses.FrozenInstanceError):
                    setattr(answer, field, None)
                check(jsonable({"v": 1, **answer.json()}), shape)
            headers = await client.blocks(0, 3)
            assert [one.height for one in headers] == [0, 1, 2, 3]
            assert {one.address for one in await client.peers()} == {"n1sas", "n2sas", "n3sas"}

    play(scene)


def jsonable(value: dict[str, Any]) -> dict[str, Any]:
    """As the command line prints it: bytes as base64, ``v`` first and once."""
    import json

    from zmqnode.commands.terminal import json_line

    answer: dict[str, Any] = json.loads(json_line({k: v for k, v in value.items() if k != "v"}))
    return answer


def test_thousands_are_in_flight(net: LocalNet) -> None:
    async def scene() -> None:
        async with client_of(net, "n0", "n1", timeout_ms=60_000) as client:
            receipts = await asyncio.gather(
                *(client.submit(("put", {"key": f"t{i}", "value": b"x"})) for i in range(2000))
            )
            assert all(one.ok for one in receipts)
            assert len({one.seal for one in receipts}) == 2000
            height = max(one.height for one in receipts)
            keys = await client.query("keys", {"prefix": "t"}, height=height)
            assert len(keys.result) == 2000

    play(scene)


def test_a_seal_made_once_is_sent_as_often_as_one_likes(net: LocalNet) -> None:
    async def scene() -> None:
        async with client_of(net) as client:
            seal = await made(client.make(("append", {"key": "once", "value": b"+"})))
            first = await client.submit(seal)
            assert (await client.wait_seal(seal.hash)).seal == first.seal
            async with client_of(net, "n3") as other:
                again = await other.submit(seal)
            assert (again.seal, again.height) == (first.seal, first.height)
            got = await client.query("get", {"key": "once"}, height=first.height)
            assert got.result == b"+"

    play(scene)


async def made(seal: Any) -> Any:
    return await seal if inspect.isawaitable(seal) else seal


def test_a_thousand_operations_make_a_seal_and_no_more(net: LocalNet) -> None:
    async def scene() -> None:
        async with client_of(net, timeout_ms=30_000) as client:
            operations = [("put", {"key": f"m{i}", "value": b"x"}) for i in range(1000)]
            receipt = await client.submit(*operations)
            assert len(receipt.results) == 1000
            for wrong in ([*operations, operations[0]], []):
                with pytest.raises(errors.ZmqnodeError) as caught:
                    await client.submit(*wrong)
                assert caught.value.exit_code in (1, 2)

    play(scene)


def test_errors_have_their_class_and_their_code(net: LocalNet) -> None:
    async def scene() -> None:
        async with client_of(net) as client:
            undone = await client.submit(("delete", {"key": "not there"}))
            assert not undone.ok, "a result with ok false does not raise"
            for code, question in (
                ("unknown_operation", lambda: client.submit(("nope", {}))),
                ("bad_argument", lambda: client.submit(("put", {"key": 7, "value": b""}))),
                ("bad_argument", lambda: client.submit(("put", {"key": "k", "value": "text"}))),
                ("bad_argument", lambda: client.submit(("put", {"key": "k"}))),
                ("unknown_query", lambda: client.query("nope")),
                ("bad_argument", lambda: client.query("get", {"kee": "a"})),
                ("not_found", lambda: client.block(10**9)),
            ):
                with pytest.raises(errors.Refused) as caught:
                    await question()
                error = caught.value
                assert (error.code, error.exit_code) == (code, 1)
                assert error.message
                assert error.hint
                assert isinstance(error.details, dict)
            with pytest.raises(errors.TimedOut) as late:
                await client.wait_height(10**9, timeout_ms=200)
            assert late.value.code == "timeout"
            with pytest.raises(errors.TimedOut):
                await client.wait_seal("00" * 32, timeout_ms=200)

    play(scene)


def test_who_is_not_there(net: LocalNet) -> None:
    async def scene() -> None:
        shown = named(net.do("status"), "n0")
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            port = silent.getsockname()[1]
            other_key = shown["url"].replace("//", f"//{MITUM_PUBLIC}@")
            for target, connected, reason in (
                (f"tcp://{MITUM_PUBLIC}@127.0.0.1:1", False, None),
                (other_key, True, "other_key"),
                (f"tcp://{MITUM_PUBLIC}@127.0.0.1:{port}", True, "no_answer"),
            ):
                async with Client(target, timeout_ms=3000) as client:
                    with pytest.raises(errors.Unreachable) as caught:
                        await client.info()
                    details = caught.value.details
                    assert details["connected"] is connected, target
                    assert details.get("reason") == reason, target
        with pytest.raises(errors.Invalid):
            async with Client(f"tcp://nonsense@127.0.0.1:{port}") as client:
                await client.info()

    play(scene)


def test_targets_are_alternatives(net: LocalNet) -> None:
    async def scene() -> None:
        dead = f"tcp://{MITUM_PUBLIC}@127.0.0.1:1"
        async with Client(dead, str(net.dir / "n2")) as client:
            assert (await client.info()).address == "n2sas"

    play(scene)


def test_the_blocking_client(net: LocalNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZMQNODE_TESTNET", str(net.dir))
    with SyncClient() as client:
        receipt = client.submit(("put", {"key": "sync", "value": b"\x00"}))
        assert receipt.ok
        assert client.query("get", {"key": "sync"}, height=receipt.height).result == b"\x00"
        assert client.info().address == "n0sas"
        assert client.wait_height(receipt.height).height >= receipt.height
        with pytest.raises(errors.Refused):
            client.query("nope")
    with SyncClient("n3", copies=1) as client:
        assert client.submit(("put", {"key": "sync", "value": b"3"})).ok


def test_a_program_ends_although_its_client_was_never_closed(net: LocalNet) -> None:
    program = (
        "from zmqnode import SyncClient\n"
        f"client = SyncClient({str(net.dir / 'n0')!r})\n"
        "print(client.info().address)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "n0sas\n"), done.stderr
    assert "Traceback" not in done.stderr


APP = """
from zmqnode import App, Reject

app = App("bank", version=2)


@app.genesis
def begin(ctx, data: bytes):
    ctx.state["total"] = 7


@app.check
def check(sender, name, arguments):
    if arguments.get("amount") == 13:
        raise Reject("unlucky")


@app.op
def add(ctx, amount: int, tags: list[str], notes: dict[str, int], who: str | None, sure: bool):
    if amount < 0:
        raise Reject("not below zero")
    if amount == 99:
        raise KeyError("a text that differs between versions")
    ctx.state["total"] = ctx.state["total"] + amount
    ctx.state["last"] = {"tags": tags, "notes": notes, "who": who, "sure": sure}
    ctx.state["sender"] = ctx.sender
    ctx.emit("added", amount=amount, hash=ctx.hash, height=ctx.height)


@app.query
def total(view) -> int:
    return view["total"]


@app.query
def last(view) -> dict[str, list[str] | dict[str, int] | str | bool | None]:
    return view["last"]


@app.query
def names(view, prefix: str) -> list[str]:
    return view.keys(prefix)


@app.query
def fails(view) -> int:
    return view["nothing is here"]
"""


def test_an_application_in_a_users_module(own_net: LocalNet) -> None:
    module = APP.replace(
        "dict[str, list[str] | dict[str, int] | str | bool | None]", "str"
    ).replace('return view["last"]', 'return str(sorted(view["last"].items()))')
    (own_net.folder / "bank.py").write_text(module)
    own_net.do(
        "up", "--nodes", 1, "--app", "bank:app", "--set", "params.empty_block_interval_ms=50"
    )
    script = own_net.script
    words = ("seal", "send", "add", 'tags=["a","b"]', 'notes={"x":1}', "who=null", "sure=true")
    receipt = script.answer(answers.RECEIPT, *words, "amount=5")
    (event,) = receipt["results"][0]["events"]
    assert event["name"] == "added"
    assert event["data"] == {"amount": 5, "hash": receipt["seal"], "height": receipt["height"]}
    assert script.text("query", "total") == "12\n"
    assert "('who', None)" in script.text("query", "last")
    assert script.json("query", "names", "prefix=")["result"] == ["last", "sender", "total"]
    undone = script.answer(answers.RECEIPT, *words, "amount=-1", code=1)
    assert undone["results"][0]["reason"] == "not below zero"
    undone = script.answer(answers.RECEIPT, *words, "amount=99", code=1)
    assert undone["results"][0]["reason"] == "KeyError"
    assert script.text("query", "total") == "12\n", "an undone operation leaves nothing"
    script.refusal("check_refused", 1, *words, "amount=13")
    script.refusal("query_failed", 1, "query", "fails")
    for wrong in (["amount=x"], ["amount=1.5"], ["amount=99999999999999999999999"]):
        script.refusal("bad_argument", 1, *words, *wrong)
    script.refusal("bad_argument", 1, *words[:-1], "sure=maybe", "amount=1")
    script.refusal("bad_argument", 1, *words[:3], "tags={}", *words[4:], "amount=1")
    own_net.do("down", "--delete")


def test_a_config_is_loaded(net: LocalNet) -> None:
    config = Config.load(net.dir / "n0" / "node.yml")
    assert config.address == "n0sas"
    secret = (net.dir / "n0" / "node.key").read_text().strip()
    assert secret not in repr(config) + str(config)
    assert Config.load(str(net.dir / "n0")) is not None
    with pytest.raises(errors.Invalid) as caught:
        Config.load(net.dir / "nope.yml")
    assert caught.value.code == "file_missing"


def app_of_one() -> App:
    app = App("mine", version=1)

    @app.op
    def put(ctx: Any, key: str) -> None:
        if not key:
            raise Reject("a key has letters")
        ctx.state[key] = True

    @app.query
    def has(view: Any, key: str) -> bool:
        return key in view

    return app


def test_nodes_run_in_the_process(tmp_path: Path, net: LocalNet) -> None:
    script = dataclasses.replace(net.script, folder=tmp_path)
    make(script, "a")
    make(script, "b")

    async def scene() -> None:
        a, b = (Config.load(tmp_path / name / "node.yml") for name in ("a", "b"))
        async with Node(a) as one, Node(b, "kv") as two:
            for node in (one, two):
                async with Client(node.target, sign=f"file:{net.dir / 'client.key'}") as client:
                    assert (await client.submit(("put", {"key": "k", "value": b"v"}))).ok
                    assert (await client.info()).address == (await told(node)).address
            folder = tmp_path / "a"
            async with Client(str(folder)) as client:  # The node runs in this very process.
                stopped = await client.stop()
            assert stopped.address == one.config.address
            assert await asyncio.wait_for(one.stopped(), 30) == 0
            assert not (folder / "node.pid").exists()
            assert (await told(two)).state == "CONSENSUS"
            run_again(folder)
            # From elsewhere: this process lives on, but its node is gone.
            run = await asyncio.to_thread(script.run, "node", "stop", "-t", "./b", "--json")
            assert (run.code, json.loads(run.out)["address"]) == (0, two.config.address), run

    play(scene)


def run_again(folder: Path) -> None:
    """Another process takes over the folder of a node that is stopped."""
    program = (
        "import asyncio, sys\nfrom zmqnode import Node\n"
        "async def scene():\n"
        "    async with Node(sys.argv[1]) as node:\n"
        "        print(node.info().address)\n"
        "asyncio.run(scene())\n"
    )
    words = [sys.executable, "-c", program, str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"{folder.name}sas\n"), done.stderr


async def told(node: Node) -> Any:
    info = node.info()
    return await info if inspect.isawaitable(info) else info


def test_node_run_is_the_command(tmp_path: Path, net: LocalNet) -> None:
    script = dataclasses.replace(net.script, folder=tmp_path)
    make(script, "a")
    program = (
        "import sys\nfrom zmqnode import Config, Node\n"
        f"sys.exit(Node.run(Config.load({str(tmp_path / 'a' / 'node.yml')!r}), 'kv'))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    try:
        script.json("wait", "height", 1, "-t", "./a", "--timeout", "60s")
        process.terminate()
        _, err = process.communicate(timeout=60)
        assert (process.returncode, "Traceback" in err) == (0, False), err
    finally:
        process.kill()
        process.communicate()
