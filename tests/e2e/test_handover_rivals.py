"""Several copies of one address: rivals, a third after two, force, broken ones and zombies."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.answers import COSIGN, HISTORY, NODE_ADOPT, NODE_INFO, SESSION
from tests.e2e.conftest import net_in
from tests.e2e.copies import (
    QUICK,
    Moved,
    end_of,
    ends_well,
    history,
    refused,
    settle,
    start,
    until_phase,
    until_ready,
    voting,
    watched,
)
from tests.e2e.local_net import LocalNet, alive, until
from tests.e2e.replay import recorded, sealed_anew, sent_again
from tests.e2e.strays import running
from tests.e2e.writers import Writers, check_promises, heights_pass
from tests.ports import free_ports

COPIES = ("n0", "n0b", "n0c")
LOSING = ("handover_open", "epoch_moved", "consent_refused")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNet]:
    """Four nodes and two more copies of n0; whoever votes for n0sas when a test begins, may."""
    net = net_in(tmp_path_factory.mktemp("rivals"))
    net.do("up", *QUICK, "--set", "params.ack_window_ms=3000")
    net.do("add-standby", "n0")
    net.do("add-standby", "n0")
    yield net
    net.end()


def copies(net: LocalNet) -> tuple[str, list[str], int]:
    """The copy of n0sas that votes, those that do not, and the epoch."""
    settle(net)
    active, epoch = voting(net)["n0sas"]
    return active, [name for name in COPIES if name != active], epoch


def killed(net: LocalNet, *names: str) -> None:
    pids = [net.pid(name) for name in names]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in pids), "the dead are gone")


def test_a_misbehaving_copy_is_replaced_by_force(net: LocalNet) -> None:
    """It lives and would veto; f + 1 others decide, and fewer do not."""
    old, (new, _), epoch = copies(net)
    before = history(net)
    instance = net.script.answer(NODE_INFO, "node", "info", "-t", new)["instance"]
    told = refused(net, "cosign_missing", new, "--forced")
    failing = next(one for one in told["checks"] if one["status"] == "failed")
    assert "zmqnode handover cosign n0sas" in failing["hint"]
    words = ("handover", "cosign", "n0sas", instance)
    files = []
    for member in ("n1", "n2"):
        files.append(net.folder / f"{member}.cosign")
        signed = net.script.answer(COSIGN, *words, "-t", member, "--out", files[-1])
        assert signed["epoch"] == epoch
    net.script.refusal("bad_argument", 1, *words, "-t", old)
    refused(net, "cosign_missing", new, "--forced", "--cosign", files[0], "--cosign", files[0])
    with Writers(net, clients=1, lanes=2, prefix="forced-") as writers:
        found = start(net, new, "--forced", "--cosign", files[0], "--cosign", files[1])
        writers.wait(20)
    assert "pending" not in [one["name"] for one in found["phases"]]
    check_promises(net, writers.promised, prefix="forced-")
    assert history(net)[len(before) :] == [Moved("n0sas", "forced", epoch + 1, "done")]
    ends_well(net, active=new, epoch=epoch + 1)
    refused(net, "cosign_missing", old, "--forced", "--cosign", files[0], "--cosign", files[1])


def test_three_standbys_at_once_one_wins(net: LocalNet) -> None:
    active, rivals, epoch = copies(net)
    net.do("add-standby", "n0")
    rivals = [*rivals, "n0d"]
    begun = {name: watched(net, name) for name in rivals}
    ends = {name: end_of(process) for name, process in begun.items()}
    won = [name for name, (code, _) in ends.items() if code == 0]
    assert won != [], ends
    settle(net)
    last, last_epoch = voting(net)["n0sas"]
    assert (last in won, last_epoch) == (True, epoch + len(won))
    for name, (code, last_object) in ends.items():
        if code != 0:
            assert last_object["error"]["code"] in LOSING, ends
            info = net.infos(name)[name]
            assert (info.state, info.role) == ("SYNCING", "standby")
    ends_well(net, active=last, epoch=last_epoch)
    net.do("stop", "n0d")
    if last == "n0d":
        start(net, active, "--takeover")
    forget(net, "n0d")


def forget(net: LocalNet, name: str) -> None:
    """The network is one copy smaller: what it left is of no use any more."""
    file = net.dir / "testnet.json"
    tree = json.loads(file.read_text())
    tree["nodes"] = [node for node in tree["nodes"] if node["name"] != name]
    file.write_text(json.dumps(tree))
    shutil.rmtree(net.dir / name)


def test_a_broken_copy_does_not_veto(net: LocalNet) -> None:
    """Method: its folder is a copy of itself, as after a move to another disk."""
    old, (new, _), epoch = copies(net)
    before = history(net)
    net.do("stop", old)
    shutil.move(net.dir / old, net.folder / "original")
    shutil.copytree(net.folder / "original", net.dir / old)
    net.do("start", old)
    info = net.script.answer(NODE_INFO, "node", "info", "-t", old)
    assert (info["state"], "node adopt" in info["broken"]["way_out"]) == ("BROKEN", True)
    start(net, new, "--takeover")
    assert history(net)[len(before) :] == [Moved("n0sas", "takeover", epoch + 1, "done")]
    net.do("stop", old)
    as_new(net, old)
    shutil.rmtree(net.folder / "original")
    ends_well(net, active=new, epoch=epoch + 1)


def as_new(net: LocalNet, name: str) -> None:
    """An empty folder but for what the operator writes."""
    for entry in (net.dir / name).iterdir():
        if entry.name in ("journal", "store"):
            shutil.rmtree(entry)
        elif entry.name not in ("node.yml", "node.key", "node.log"):
            entry.unlink()


def test_a_third_copy_follows_one_that_died_at_once(net: LocalNet) -> None:
    old, (second, third), epoch = copies(net)
    before = history(net)
    with Writers(net, clients=1, lanes=2, prefix="third-") as writers:
        killed(net, old)
        begun = watched(net, second, "--takeover", "--timeout", "10s")
        until_phase(begun, "pending")
        killed(net, second)  # The vote comes to it all the same.
        begun.kill()
        begun.communicate()
        until(
            lambda: len(history(net)) > len(before) and history(net)[-1].outcome == "done", "over"
        )
        until_ready(net, third, "takeover")
        start(net, third, "--takeover")
        writers.wait(20)
    settle(net)
    check_promises(net, writers.promised, prefix="third-")
    assert history(net)[len(before) :] == [
        Moved("n0sas", "takeover", epoch + 1, "done"),
        Moved("n0sas", "takeover", epoch + 2, "done"),
    ]
    rows = net.script.answer(HISTORY, "handover", "history", "-t", third)["handovers"]
    assert [row["acknowledged_height"] is None for row in rows[-2:]] == [True, False]
    ends_well(net, active=third, epoch=epoch + 2)


def double(net: LocalNet, name: str, folder: Path) -> Path:
    """A copy of a node's folder, at another url, that its operator falsely swears to be alone."""
    shutil.copytree(net.dir / name, folder)
    file = folder / "node.yml"
    tree = yaml.safe_load(file.read_text())
    tree["network"] = {"url": f"tcp://127.0.0.1:{free_ports()}"}
    tree["genesis"] = str(net.dir / "genesis.yml")
    file.write_text(yaml.safe_dump(tree))
    (folder / "node.pid").unlink(missing_ok=True)
    return folder


def test_a_double_of_the_voting_copy_gets_no_vote(net: LocalNet) -> None:
    """Goal: two processes with one instance key, and then one with a key that was replaced."""
    old, (new, _), epoch = copies(net)
    net.do("stop", old)
    zombie = double(net, old, net.folder / "zombie")
    net.do("start", old)
    settle(net)
    net.script.answer(NODE_ADOPT, "node", "adopt", zombie, "--old-copy-destroyed")
    with running(net, zombie):
        net.script.json("wait", "height", "1", "-t", zombie, "--timeout", "30s")
        heights_pass(net, 4, "n1")
        assert net.script.json("node", "info", "-t", zombie)["state"] != "CONSENSUS"
        assert voting(net)["n0sas"] == (old, epoch)
        found = start(net, new)
        assert found["missed_ballots"] == 0
        heights_pass(net, 4, "n1")
        assert net.script.json("node", "info", "-t", zombie)["state"] != "CONSENSUS"
    with running(net, zombie):  # Now nobody else has the key.
        net.script.json("wait", "height", "1", "-t", zombie, "--timeout", "30s")
        heights_pass(net, 4, "n1")
        assert net.script.json("node", "info", "-t", zombie)["state"] in ("SYNCING", "BROKEN")
    ends_well(net, active=new, epoch=epoch + 1)


def test_all_old_operations_again(net: LocalNet) -> None:
    """Goal: what the chain has decided stays. Method: every system seal it holds, sent again."""
    active, (new, _), epoch = copies(net)
    found = net.script.answer(SESSION, "handover", "start", "-t", new)
    assert found["outcome"] == "done"
    back = net.script.answer(SESSION, "handover", "handback", "-t", new)
    assert back["epoch_after"] == epoch + 2
    before, seals = history(net), recorded(net, "n1")
    assert len(seals) > len(before)
    words = set(sent_again(net, seals) + sent_again(net, sealed_anew(net, "n0", seals)))
    heights_pass(net, 5, "n1")
    assert recorded(net, "n1") == seals, words
    assert history(net) == before
    ends_well(net, active=active, epoch=epoch + 2)
