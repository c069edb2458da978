"""Section 1, time: what ends a command ends the command alone, and it says how to go on."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen

import pytest

from tests.e2e import answers
from tests.e2e.local_net import LocalNet, alive, until
from tests.e2e.script import Script

DEMO = (
    "{ok, network_id, nodes int, seconds, height, operations {sent, committed, rejected, lost, "
    "doubled}, forks, steps [{name, ok, seconds, missed_ballots?, extra_rounds?, "
    "lost_operations, epoch_before?, epoch_after?}]}"
)


@contextmanager
def begun(script: Script, *words: object) -> Iterator[Popen[str]]:
    process = script.start(*words)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def stuck(net: LocalNet) -> Iterator[None]:
    """Two of four are paused: nothing commits."""
    net.do("kill", "n1", "n2", "--signal", "STOP")
    try:
        yield
    finally:
        net.do("kill", "n1", "n2", "--signal", "CONT")
        net.all_vote()


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_ends_a_wait_and_not_what_it_began(net: LocalNet, name: str, code: int) -> None:
    with stuck(net):
        words = ("seal", "send", "put", f"key={name}", "value=1", "--timeout", "60s", "-t", "n0")
        with begun(net.script, *words) as sending:
            until(lambda: net.infos("n0")["n0"].pool.seals > 0, "the seal is in the pool")
            sending.send_signal(signal.Signals[name])
            out, err = sending.communicate(timeout=30)
        assert (sending.returncode, out, "Traceback" in err) == (code, "", False), err
        if name == "SIGINT":
            assert "zmqnode wait seal " in err
    until(lambda: value_of(net, name) is not None, "it is committed all the same")


def value_of(net: LocalNet, key: str) -> object:
    return net.script.json("query", "get", f"key={key}")["result"]


def test_the_time_of_a_wait_is_its_own(net: LocalNet) -> None:
    with stuck(net):
        words = ("seal", "send", "put", "key=late", "value=1", "-t", "n0")
        details = net.script.refusal("undecided", 4, *words, "--timeout", "1s")
        net.script.refusal_text("undecided", 4, *words, "--timeout", "700ms")
    done = net.script.answer(answers.RECEIPT, "wait", "seal", details["seal"])
    assert done["state"] == "committed"


def test_a_reader_that_leaves_ends_a_stream(net: LocalNet) -> None:
    with begun(net.script, "testnet", "logs", "--follow") as logs:
        assert logs.stdout is not None
        assert logs.stdout.readline() != ""
        logs.stdout.close()
        # The next line has no reader; a restart of a node writes some.
        net.do("restart", "n3")
        assert logs.wait(30) == 0
        assert logs.stderr is not None
        assert logs.stderr.read() == ""
    net.all_vote()


def test_a_context_pins_its_chain(net: LocalNet) -> None:
    target = net.do("status")["nodes"][0]["target"]
    net.script.json("ctx", "add", "main", target)
    genesis = net.script.json("node", "info", "-t", "main")["genesis_hash"]
    file = net.folder / "home-of-the-test" / "contexts.yml"
    assert genesis in file.read_text()
    file.write_text(file.read_text().replace(genesis, "00" * 32))
    net.script.refusal("genesis_mismatch", 1, "node", "info", "-t", "main")
    net.script.json("ctx", "rm", "main")


def test_what_does_not_come_up_leaves_nothing_running(own_net: LocalNet) -> None:
    """A port that is taken stops one of the nodes at its start."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        base = taken.getsockname()[1] - 3
        words = ("up", "--nodes", "2", "--base-port", base)
        own_net.script.refusal("address_in_use", 1, "testnet", *words)
    pids = own_net.pids_in_files()
    until(lambda: not any(alive(pid) for pid in pids), "nothing runs")


def test_what_does_not_come_up_in_time_leaves_nothing_running(own_net: LocalNet) -> None:
    own_net.script.refusal("timeout", 5, "testnet", "up", "--timeout", "300ms")
    until(lambda: not any(alive(pid) for pid in own_net.pids_in_files()), "nothing runs")


def test_the_demo_plays_and_cleans_up(own_net: LocalNet) -> None:
    run = own_net.script.run("demo", "--rate", "50", "--dir", own_net.dir, "--json")
    assert run.code == 0, str(run)
    answers.check(json.loads(run.out), DEMO)
    told = json.loads(run.out)
    assert (told["ok"], told["forks"]) == (True, 0)
    assert (told["operations"]["lost"], told["operations"]["doubled"]) == (0, 0)
    assert all(step["ok"] for step in told["steps"])
    assert not any(alive(pid) for pid in own_net.pids_in_files())


def test_ctrl_c_in_the_demo_stops_everything(own_net: LocalNet) -> None:
    with begun(own_net.script, "demo", "--dir", own_net.dir, "--nodes", "2") as demo:
        until(lambda: len(own_net.pids_in_files()) == 2, "both nodes run")
        pids = own_net.pids_in_files()
        demo.send_signal(signal.SIGINT)
        _, err = demo.communicate(timeout=60)
        assert (demo.returncode, "Traceback" in err) == (130, False), err
    assert not any(alive(pid) for pid in pids | own_net.pids_in_files())


def test_a_tiny_bench(script: Script) -> None:
    words = ("bench", "--only", "finality_p50_ms", "--nodes", "1", "--runs", "1")
    told = script.answer(answers.BENCH, *words)
    (row,) = told["rows"]
    assert (row["name"], row["unit"] != "") == ("finality_p50_ms", True)
    assert row["median"] > 0
    script.refusal("usage", 2, "bench", "--only", "nonsense")
