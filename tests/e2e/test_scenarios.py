"""What operators live through, on real processes: kills, pauses, cuts, absences, under load."""

from __future__ import annotations

import os
import random
import signal

import pytest

from tests.e2e import answers
from tests.e2e.local_net import LocalNet, alive, command_of, named, until
from tests.e2e.writers import Writers, check_promises, heights_pass

ABSENCE_BLOCKS = 200
CRASHES_LONG = 20
CHAOS_TURNS_LONG = 60


def killed(net: LocalNet, *names: str) -> None:
    """SIGKILL from outside, to all of them in one breath."""
    pids = [net.pid(name) for name in names or net.names()]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in pids), "the dead are gone")


def no_evidence(net: LocalNet) -> None:
    for name, info in net.infos().items():
        found = (info.evidence, info.ignored_ballots, info.broken, info.split)
        assert found == (0, 0, None, None), name


def crash_of_all(net: LocalNet, prefix: str, operations: int) -> None:
    """Goal: committed means durable. Method: all four die at once under full load, and restart."""
    with Writers(net, clients=4, prefix=prefix) as writers:
        writers.wait(operations)
        killed(net)
        started = net.do("start")
        assert all(node["pid"] is not None for node in started["nodes"])
        writers.wait(20)
    net.all_vote()
    check_promises(net, writers.promised, prefix=prefix)


def test_all_die_at_once_under_load_and_nothing_committed_is_lost(net: LocalNet) -> None:
    crash_of_all(net, "crash-", 500)
    net.verify()
    no_evidence(net)


@pytest.mark.long
def test_all_die_at_once_under_load_twenty_times(own_net: LocalNet) -> None:
    own_net.do("up")
    chance = random.Random(1)
    for turn in range(CRASHES_LONG):
        crash_of_all(own_net, f"c{turn:02d}-", chance.randint(1, 400))
    own_net.verify()
    no_evidence(own_net)


def test_thousands_of_operations_while_nodes_die_one_by_one(net: LocalNet) -> None:
    chance = random.Random(7)
    with Writers(net, clients=4, prefix="one-") as writers:
        for name in chance.sample(net.names(), 2):
            writers.wait(300)
            killed(net, name)
            writers.wait(300)  # One of four is dead: the others go on.
            net.do("start", name)
            net.all_vote(name)
        writers.wait(500)
    check_promises(net, writers.promised, prefix="one-")
    net.verify()
    no_evidence(net)


def test_a_node_away_for_two_hundred_blocks_catches_up(net: LocalNet) -> None:
    net.do("stop", "n2")
    gone_at = net.infos("n0")["n0"].height
    with Writers(net, clients=1, prefix="away-") as writers:
        until(lambda: writers.promised.height >= gone_at + ABSENCE_BLOCKS, "200 blocks")
        net.do("start", "n2")
        net.all_vote("n2")
    net.all_vote()
    info = net.script.answer(answers.NODE_INFO, "node", "info", "-t", "n2")
    assert info["height"] >= gone_at + ABSENCE_BLOCKS
    check_promises(net, writers.promised, prefix="away-")


def test_a_cut_stops_who_is_too_few_until_it_heals(net: LocalNet) -> None:
    net.do("cut", "n0,n1", "n2,n3")
    lost = net.script.refusal(
        *("undecided", 4, "seal", "send", "put", "key=cut", "value=1", "--timeout", "2s")
    )
    assert "seal" in lost
    net.do("heal")
    done = net.script.answer(answers.RECEIPT, "wait", "seal", lost["seal"], "--timeout", "60s")
    assert done["ok"]
    net.do("cut", "n3", "rest")
    heights_pass(net, 3, "n0", "n1", "n2")
    infos = net.infos("n0", "n3")
    assert infos["n3"].height < infos["n0"].height
    net.do("heal")
    net.all_vote()
    net.do("cut", "n1", "rest", "--one-way")
    heights_pass(net, 3, "n0", "n2", "n3")
    net.do("restart", "n1")
    net.do("heal")
    net.all_vote()
    net.verify()
    no_evidence(net)


def test_a_paused_node_is_told_from_a_dead_one(net: LocalNet) -> None:
    paused = named(net.do("kill", "n1", "--signal", "STOP"), "n1")
    try:
        assert (paused["pid"] is not None, paused["state"]) == (True, None)
        told = net.script.refusal("unreachable", 3, "node", "info", "-t", "n1")
        assert (told["connected"], told["reason"]) == (True, "no_answer")
        with Writers(net, clients=2, prefix="paused-") as writers:
            writers.wait(200)
    finally:
        running = named(net.do("kill", "n1", "--signal", "CONT"), "n1")
    assert running["pid"] == paused["pid"]
    net.all_vote()
    check_promises(net, writers.promised, prefix="paused-")
    no_evidence(net)


def test_two_of_four_paused_stop_the_chain_and_not_for_good(net: LocalNet) -> None:
    net.do("kill", "n2", "n3", "--signal", "STOP")
    words = ("seal", "send", "put", "key=two", "value=1", "--timeout", "1500ms")
    lost = net.script.refusal("undecided", 4, *words)
    net.do("kill", "n2", "n3", "--signal", "CONT")
    net.script.json("wait", "seal", lost["seal"], "-t", "n3", "--timeout", "60s")
    net.all_vote()


def test_a_graceful_stop_start_and_restart(net: LocalNet) -> None:
    before = {node["name"]: node["pid"] for node in net.do("status")["nodes"]}
    stopped = named(net.do("stop", "n0"), "n0")
    assert (stopped["pid"], stopped["state"]) == (None, "STOPPED")
    assert not alive(before["n0"])
    net.script.refusal("unreachable", 3, "node", "info", "-t", "n0")
    with Writers(net, clients=2, prefix="stop-") as writers:
        writers.wait(50)
        started = named(net.do("start", "n0"), "n0")
        assert started["pid"] not in (None, before["n0"])
        writers.wait(50)
        restarted = net.do("restart")
        assert all(node["pid"] != before[node["name"]] for node in restarted["nodes"])
        writers.wait(50)
    net.all_vote()
    check_promises(net, writers.promised, prefix="stop-")
    after = net.do("up")
    assert [node["pid"] for node in after["nodes"]] == [
        node["pid"] for node in restarted["nodes"]
    ], "up starts only what is down"


def test_load_finds_everything_again(net: LocalNet) -> None:
    words = ("testnet", "load", "--rate", "200", "--seconds", "2", "--clients", "3")
    told = net.script.answer(answers.LOAD, *words)
    assert (told["ok"], told["lost"], told["doubled"]) == (True, 0, 0)
    assert told["sent"] >= 300
    assert told["committed"] == told["accepted"] > 0
    words = ("testnet", "load", "--rate", "0", "--seconds", "1", "--seal-ops", "10", "--to", "n3")
    assert net.script.answer(answers.LOAD, *words)["ok"]


def test_logs_are_streamed(net: LocalNet) -> None:
    run = net.script.run("testnet", "logs", "n1", "--json")
    lines = run.out.splitlines()
    assert run.code == 0
    assert lines != []
    assert all(line.startswith('{"v":1,') for line in lines)
    follow = net.script.start("testnet", "logs", "--follow", "--json")
    try:
        assert follow.stdout is not None
        assert follow.stdout.readline().startswith('{"v":1,')
        follow.send_signal(signal.SIGINT)
        _, err = follow.communicate(timeout=30)
        assert (follow.returncode, "Traceback" in err) == (0, False)
    finally:
        follow.kill()
        follow.communicate()


@pytest.mark.parametrize(
    ("code", "exit_code", "words"),
    [
        ("not_found", 1, ["stop", "n9"]),
        ("not_found", 1, ["cut", "n0", "n9"]),
        ("usage", 2, ["cut", "n0", "n0"]),
        ("not_found", 1, ["logs", "n9"]),
        ("already_exists", 1, ["up", "--nodes", "7"]),
        ("not_found", 1, ["load", "--to", "n9"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_refusals(net: LocalNet, code: str, exit_code: int, words: list[str]) -> None:
    net.script.refusal(code, exit_code, "testnet", *words)


def test_down_leaves_nothing(own_net: LocalNet) -> None:
    up = own_net.do("up", "--nodes", "2", "--set", "log.level=debug")
    ports = [int(node["url"].rsplit(":", 1)[1]) for node in up["nodes"]]
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        ephemeral = int(file.read().split()[0])
    assert ports[1] == ports[0] + 3
    assert max(ports) + 2 < ephemeral
    assert "level: debug" in (own_net.dir / "n1" / "node.yml").read_text()
    down = own_net.do("down")
    assert {node["state"] for node in down["nodes"]} == {"STOPPED"}
    assert (own_net.dir / "n0" / "node.yml").exists()
    again = own_net.do("up")
    assert again["genesis_hash"] == up["genesis_hash"]
    assert [node["url"] for node in again["nodes"]] == [node["url"] for node in up["nodes"]]
    own_net.do("down", "--delete")
    assert not own_net.dir.exists()
    left = [pid for pid in own_net.pids if str(own_net.dir) in command_of(pid)]
    assert left == []
    own_net.script.refusal("file_missing", 2, "testnet", "status")


def test_networks_made_at_the_same_moment_do_not_collide(own_net: LocalNet) -> None:
    words = ("testnet", "up", "--nodes", "1", "--json", "--dir")
    begun = [own_net.script.start(*words, own_net.folder / f"net{i}") for i in range(3)]
    try:
        ends = [process.communicate(timeout=120) for process in begun]
        assert [process.returncode for process in begun] == [0, 0, 0], ends
    finally:
        for index in range(3):
            own_net.script.run(
                "testnet", "down", "--delete", "--dir", own_net.folder / f"net{index}"
            )


@pytest.mark.long
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_chaos(own_net: LocalNet, seed: int) -> None:
    """Goal: no fork, no loss, no halt for good. Method: seeded faults, one after the other."""
    own_net.do("up")
    chance = random.Random(seed)
    with Writers(own_net, clients=4, prefix="chaos-") as writers:
        for _ in range(CHAOS_TURNS_LONG // 3):
            fault(own_net, chance)
            writers.wait(30)
        own_net.all_vote()
    check_promises(own_net, writers.promised, prefix="chaos-")
    own_net.verify()
    no_evidence(own_net)


def fault(net: LocalNet, chance: random.Random) -> None:
    """One fault and its end; the network may stand still meanwhile."""
    some = chance.sample(net.names(), chance.randint(1, 3))
    match chance.choice(["kill", "kill", "pause", "cut", "one-way", "restart"]):
        case "kill":
            killed(net, *some)
            net.do("start", *some)
        case "pause":
            net.do("kill", *some, "--signal", "STOP")
            net.do("kill", *some, "--signal", "CONT")
        case "cut":
            net.do("cut", ",".join(some), "rest")
            net.do("heal")
        case "one-way":
            net.do("cut", ",".join(some), "rest", "--one-way")
            net.do("heal")
        case "restart":
            net.do("restart", *some)
