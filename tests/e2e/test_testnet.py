"""A local network of real processes, driven by the command line alone."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.answers import DEMO, check
from tests.e2e.run import Shell
from zmqnode import SyncClient

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NODE_KEYS = {
    *("name", "address", "dir", "url", "target", "pid", "state", "role", "epoch", "height"),
    "block_hash",
}


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A network of four that all tests of this file share; each leaves it whole."""
    shell = Shell(tmp_path_factory.mktemp("e2e"))
    shell.ok("testnet", "up")
    try:
        yield shell
    finally:
        ran = shell.run("testnet", "down", "--delete")
        assert ran.code == 0, ran
        assert not (shell.folder / "testnet").exists()


def states(shell: Shell) -> list[str | None]:
    return [node["state"] for node in shell.ok("testnet", "status")["nodes"]]


def info(shell: Shell, name: str) -> dict[str, Any]:
    return shell.ok("node", "info", "-t", name)


def test_a_network_is_up_and_votes(shell: Shell) -> None:
    status = shell.ok("testnet", "status")
    assert set(status) == {"v", "dir", "network_id", "app", "genesis_hash", "seconds", "nodes"}
    assert all(set(node) == NODE_KEYS for node in status["nodes"])
    assert [node["name"] for node in status["nodes"]] == ["n0", "n1", "n2", "n3"]
    assert states(shell) == ["CONSENSUS"] * 4
    ports = [int(node["url"].rpartition(":")[2]) for node in status["nodes"]]
    assert ports == [ports[0] + 3 * i for i in range(4)]
    folder = shell.folder / "testnet"
    assert (folder / "client.key").stat().st_mode & 0o777 == 0o600
    assert json.loads((folder / "testnet.json").read_text())["nodes"][1]["dir"] == "n1"
    assert shell.ok("testnet", "up")["network_id"] == status["network_id"]
    assert shell.fails(1, "testnet", "up", "--nodes", "7")["code"] == "already_exists"
    shown = shell.ok("node", "info", "-t", status["nodes"][2]["target"])
    assert (shown["address"], shown["genesis_hash"]) == ("n2sas", status["genesis_hash"])


def test_operations_are_sent_queried_and_proven(shell: Shell) -> None:
    receipt = shell.ok("seal", "send", "put", "key=greeting", "value=hello")
    assert receipt["results"] == [
        {"index": 0, "name": "put", "ok": True, "reason": None, "events": []}
    ]
    for name in ("n0", "n3"):
        words = ("query", "get", "key=greeting", "-t", name, "--height", str(receipt["height"]))
        answer = shell.ok(*words, "--proof")
        assert (answer["result"], answer["proof"]["verified"]) == ("aGVsbG8=", True)
        assert shell.run(*words).out == "hello\n"
    undone = shell.run("seal", "send", "delete", "key=missing", "--json")
    assert (undone.code, undone.json["ok"]) == (1, False)
    assert undone.json["results"][0]["reason"] == "no such key"
    again = shell.ok("wait", "seal", receipt["seal"], "-t", "n1")
    assert (again["height"], again["results"]) == (receipt["height"], receipt["results"])
    assert shell.fails(1, "seal", "send", "nothing", "a=1")["code"] == "unknown_operation"
    assert shell.fails(1, "query", "nothing")["code"] == "unknown_query"
    accepted = shell.ok("seal", "send", "put", "key=k", "value=v", "--wait", "accepted")
    # A block may be quicker than the second member's word.
    assert accepted["state"] in ("accepted", "committed")
    assert (accepted["height"] is None) == (accepted["state"] == "accepted")


def test_a_seal_is_made_shown_and_sent_from_a_file(shell: Shell) -> None:
    made = shell.ok("seal", "make", "put", "key=f", "value=@testnet/testnet.json", "--out", "s.bin")
    shown = shell.ok("seal", "cat", "s.bin")
    assert shown == made
    assert (shown["signature_ok"], shown["size_bytes"]) == (
        True,
        (shell.folder / "s.bin").stat().st_size,
    )
    assert shell.ok("seal", "send", "--seal", "s.bin", "--only")["seal"] == made["seal"]
    assert shell.ok("seal", "send", "--seal", "s.bin")["seal"] == made["seal"]
    (shell.folder / "junk.bin").write_bytes(b"junk")
    assert shell.fails(1, "seal", "cat", "junk.bin")["code"] == "seal_malformed"
    lines = [{"name": "put", "arguments": {"key": f"l{i}", "value": "AA=="}} for i in range(3)]
    (shell.folder / "ops").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert len(shell.ok("seal", "send", "--file", "ops")["results"]) == 3
    assert shell.fails(2, "seal", "send", "--file", "missing")["code"] == "file_missing"


def test_blocks_are_shown_listed_and_verified(shell: Shell) -> None:
    receipt = shell.ok("seal", "send", "put", "key=b", "value=v")
    shown = shell.ok("block", "show", str(receipt["height"]))
    assert shown["block_hash"] == receipt["block_hash"]
    assert shell.ok("block", "show", receipt["block_hash"])["operations"] == shown["operations"]
    assert shown["operations"][0]["arguments"] == {"key": "b", "value": "dg=="}
    assert len(shown["accept_voteproof"]["signers"]) >= 3
    assert len(shell.ok("block", "list", "--from", "0", "--to", "2")["blocks"]) == 3
    verified = shell.ok("block", "verify", "-t", "n2")
    assert (verified["ok"], verified["bad"]) == (True, None)
    assert verified["blocks"] == verified["last_height"] + 1
    assert shell.fails(1, "block", "show", "99999999")["code"] == "not_found"
    suffrage = shell.ok("suffrage", "list")
    assert (suffrage["n"], suffrage["q"], len(suffrage["members"])) == (4, 3, 4)


def test_waits_end_with_a_timeout(shell: Shell) -> None:
    tip = info(shell, "n0")["height"]
    assert shell.ok("wait", "height", str(tip + 2))["height"] >= tip + 2
    assert shell.ok("wait", "synced", "-t", "n3")["ok"] is True
    late = shell.fails(5, "wait", "height", "99999999", "--timeout", "300ms")
    assert late["code"] == "timeout"


def test_ctrl_c_detaches_a_wait_and_names_how_to_go_on(shell: Shell) -> None:
    shell.ok("testnet", "kill", "n1", "n2", "--signal", "STOP")
    try:
        sending = shell.begin("seal", "send", "put", "key=c", "value=v")
        time.sleep(2)
        sending.send_signal(signal.SIGINT)
        _, err = sending.communicate(timeout=10)
        assert sending.returncode == 130
        assert "zmqnode wait seal " in err
    finally:
        shell.ok("testnet", "kill", "n1", "n2", "--signal", "CONT")
    seal = err.partition("wait seal ")[2].split()[0]
    assert shell.ok("wait", "seal", seal)["ok"] is True


def test_a_killed_node_comes_back_to_where_the_others_are(shell: Shell) -> None:
    gone = shell.ok("testnet", "kill", "n1")
    assert gone["nodes"][0]["state"] == "STOPPED"
    receipt = shell.ok("seal", "send", "put", "key=dead", "value=v", "-t", "n0")
    shell.ok("testnet", "start", "n1")
    shell.ok("wait", "state", "CONSENSUS", "-t", "n1")
    shell.ok("wait", "height", str(receipt["height"]), "-t", "n1")
    assert shell.run("query", "get", "key=dead", "-t", "n1").out == "v\n"
    assert info(shell, "n1")["evidence"] == 0


def test_a_paused_node_is_silent_and_not_missed(shell: Shell) -> None:
    paused = shell.ok("testnet", "kill", "n2", "--signal", "STOP")["nodes"][0]
    try:
        assert (paused["state"], paused["pid"] is not None) == (None, True)
        silent = shell.fails(3, "node", "info", "-t", "n2")
        assert silent["details"]["reason"] == "no_answer"
        assert shell.ok("seal", "send", "put", "key=p", "value=v")["ok"] is True
    finally:
        shell.ok("testnet", "kill", "n2", "--signal", "CONT")
    shell.ok("wait", "state", "CONSENSUS", "-t", "n2")


def test_a_cut_holds_until_it_is_healed(shell: Shell) -> None:
    shell.ok("testnet", "cut", "n0,n1", "n2,n3")
    tip = info(shell, "n0")["height"]
    time.sleep(3)
    stuck = info(shell, "n0")
    assert stuck["height"] <= tip + 1, "two of four decide nothing"
    assert stuck["suffrage"]["live"] == 2
    shell.ok("testnet", "heal")
    assert shell.ok("wait", "height", str(stuck["height"] + 2), "-t", "n3")["ok"] is True
    shell.ok("testnet", "cut", "n3", "rest", "--one-way")
    time.sleep(3)
    assert info(shell, "n0")["suffrage"]["live"] == 3
    assert info(shell, "n3")["suffrage"]["live"] == 4, "it hears, and is not heard"
    shell.ok("testnet", "heal")
    assert shell.fails(2, "testnet", "cut", "n0", "n0,n1")["code"] == "usage"
    assert shell.fails(1, "testnet", "cut", "n0", "n9")["code"] == "not_found"
    shell.ok("wait", "state", "CONSENSUS", "-t", "n3")


def test_stop_restart_and_logs(shell: Shell) -> None:
    stopped = shell.ok("testnet", "stop", "n3")
    assert (stopped["nodes"][0]["state"], stopped["nodes"][0]["pid"]) == ("STOPPED", None)
    up = shell.ok("testnet", "up")
    assert [node["state"] for node in up["nodes"]] == ["CONSENSUS"] * 4
    pid = up["nodes"][0]["pid"]
    assert shell.ok("testnet", "restart", "n0")["nodes"][0]["pid"] != pid
    shell.ok("wait", "state", "CONSENSUS", "-t", "n0")
    logs = shell.run("testnet", "logs", "n0", "--json").out.splitlines()
    assert all(json.loads(line)["name"] == "n0" for line in logs)
    assert any("CONSENSUS" in json.loads(line)["message"] for line in logs)
    gone = shell.ok("node", "stop", "-t", "n2")
    assert gone["address"] == "n2sas"
    assert states(shell)[2] == "STOPPED"
    shell.ok("testnet", "up")


def test_load_loses_and_doubles_nothing_while_a_node_dies(shell: Shell) -> None:
    load = shell.begin("testnet", "load", "--rate", "100", "--seconds", "6", "--json")
    time.sleep(2)
    shell.ok("testnet", "kill", "n3")
    out, err = load.communicate(timeout=90)
    shell.ok("testnet", "start", "n3")
    report = json.loads(out)
    assert load.returncode == 0, (out, err)
    assert (report["ok"], report["lost"], report["doubled"]) == (True, 0, 0)
    assert report["accepted"] == report["committed"] >= 300
    assert set(report["latency_ms"]) == {"p50", "p90", "p99", "max"}
    alone = shell.ok("testnet", "load", "--seconds", "1", "--to", "n1", "--seal-ops", "10")
    assert alone["sent"] >= 50


def test_the_python_client_of_the_contract(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shell.folder)
    with SyncClient("testnet/n0", sign="file:testnet/client.key") as client:
        receipt = client.submit(("put", {"key": "a", "value": b"1"}))
        assert receipt.ok
        assert client.query("get", {"key": "a"}).result == b"1"
        assert client.info().suffrage.n == 4
    with SyncClient("n1") as client:
        assert client.submit(("put", {"key": "a", "value": b"2"})).ok


def test_contexts_pin_the_chain(shell: Shell) -> None:
    target = shell.ok("testnet", "status")["nodes"][0]["target"]
    shell.ok("ctx", "add", "main", target)
    genesis = shell.ok("node", "info", "-t", "main")["genesis_hash"]
    contexts = shell.folder / "home" / "contexts.yml"
    assert genesis in contexts.read_text()
    contexts.write_text(contexts.read_text().replace(genesis, "00" * 32))
    assert shell.fails(1, "node", "info", "-t", "main")["code"] == "genesis_mismatch"
    shell.ok("ctx", "rm", "main")


def test_no_target_is_said(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    assert shell.fails(2, "node", "info")["code"] == "no_target"
    assert shell.fails(2, "testnet", "status")["code"] == "file_missing"


def test_what_does_not_come_up_leaves_nothing_running(tmp_path: Path) -> None:
    """Goal: no orphans. Method: a port that is taken stops one of the nodes at its start."""
    import socket

    shell = Shell(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = shell.fails(1, "testnet", "up", "--nodes", "2", "--base-port", str(port - 3))
    assert error["code"] == "address_in_use"
    assert states(shell) == ["STOPPED", "STOPPED"]


def test_an_application_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "bank.py").write_text(
        "from zmqnode import App, Reject\n"
        "app = App('bank', version=3)\n"
        "@app.genesis\n"
        "def begin(ctx, data: bytes):\n"
        "    ctx.state['total'] = 7\n"
        "@app.op\n"
        "def add(ctx, amount: int, note: str | None = None):\n"
        "    if amount < 0:\n"
        "        raise Reject('not below zero')\n"
        "    ctx.state['total'] = ctx.state['total'] + amount\n"
        "    ctx.emit('added', amount=amount)\n"
        "@app.query\n"
        "def total(view) -> int:\n"
        "    return view['total']\n"
    )
    shell = Shell(tmp_path)
    up = shell.ok("testnet", "up", "--nodes", "1", "--app", "bank:app", "--set", "log.level=debug",
                  "--set", "params.empty_block_interval_ms=100")  # fmt: skip
    try:
        receipt = shell.ok("seal", "send", "add", "amount=5")
        assert receipt["results"][0]["events"] == [{"name": "added", "data": {"amount": 5}}]
        assert shell.run("query", "total").out == "12\n"
        refused = shell.run("seal", "send", "add", "amount=-1", "--json")
        assert refused.json["results"][0]["reason"] == "not below zero"
        assert shell.fails(1, "seal", "send", "add", "amount=x")["code"] == "bad_argument"
        proof = shell.ok("query", "total", "--proof")["proof"]
        assert (proof["verified"], proof["result_checked"]) == (True, False)
        shown = shell.ok("genesis", "show")
        assert (shown["app"], shown["genesis_hash"]) == (
            {"name": "bank", "version": 3},
            up["genesis_hash"],
        )
        assert shown["params"]["empty_block_interval_ms"] == 100
        assert "level: debug" in (tmp_path / "testnet" / "n0" / "node.yml").read_text()
    finally:
        shell.ok("testnet", "down", "--delete")


def test_the_demo_plays_and_cleans_up(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    report = shell.ok("demo", "--rate", "50", "--dir", "net")
    assert report["ok"] is True
    check(report, DEMO)
    assert [step["name"] for step in report["steps"]] == [
        *("up", "load", "planned", "forward", "handback", "kill", "takeover", "verify")
    ]
    moved = {step["name"]: step for step in report["steps"] if step["epoch_after"] is not None}
    assert [(name, one["epoch_after"]) for name, one in moved.items()] == [
        *(("planned", 1), ("handback", 2), ("takeover", 3)),
    ]
    for name in ("planned", "handback"):
        assert (moved[name]["missed_ballots"], moved[name]["extra_rounds"]) == (0, 0)
    assert report["nodes"] == 4
    assert (report["operations"]["lost"], report["operations"]["doubled"]) == (0, 0)
    assert report["forks"] == 0
    shell.env["ZMQNODE_TESTNET"] = "net"
    assert states(shell) == ["STOPPED"] * 5


def test_ctrl_c_in_the_demo_stops_everything(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    demo = shell.begin("demo", "--dir", "net", "--nodes", "4")
    end = time.monotonic() + 30
    while not (tmp_path / "net" / "n1" / "node.pid").exists() and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(1)
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=30)
    assert demo.returncode == 130
    shell.env["ZMQNODE_TESTNET"] = "net"
    assert states(shell) == ["STOPPED"] * 5
