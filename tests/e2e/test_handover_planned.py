"""A running copy hands its vote to another one, and back; what is refused, raced and cut short."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Iterator

import pytest

from tests.e2e.answers import HISTORY, NODE_INFO, PREFLIGHT, SESSION, check
from tests.e2e.conftest import net_in
from tests.e2e.copies import (
    QUICK,
    Moved,
    end_of,
    ends_well,
    history,
    refused,
    settle,
    submit,
    until_phase,
    voting,
    watched,
)
from tests.e2e.local_net import LocalNet, alive, until
from tests.e2e.writers import Writers, check_promises

PHASES = [
    *("preflight", "shadow", "ready", "consent", "submitted", "committed", "acting"),
    "acknowledged",
]
CANCELS = 3


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNet]:
    """Four nodes and a second copy of n0; whoever votes for n0sas when a test begins, may."""
    net = net_in(tmp_path_factory.mktemp("planned"))
    # So that what is between the commit and the switch takes its time, and can be met.
    net.do("up", *QUICK, "--set", "params.block_interval_ms=300")
    net.do("add-standby", "n0")
    yield net
    net.end()


def copies(net: LocalNet) -> tuple[str, str, int]:
    """The copy of n0sas that votes, the one that does not, and the epoch."""
    settle(net)
    active, epoch = voting(net)["n0sas"]
    return active, "n0b" if active == "n0" else "n0", epoch


def test_there_and_back_under_load_costs_nothing(net: LocalNet) -> None:
    before = len(history(net))
    _, _, epoch = copies(net)
    with Writers(net, clients=2, lanes=2, prefix="planned-") as writers:
        writers.wait(50)
        run = net.script.run("handover", "start", "-t", "n0b", "--reason", "upgrade", "--json")
        assert run.code == 0, str(run)
        assert [line.split()[0] for line in run.err.splitlines()] == PHASES
        there = net.script.answer(SESSION, "handover", "status", "-t", "n0b")
        assert [one["name"] for one in there["phases"]] == PHASES
        assert there["reason"] == "upgrade"
        writers.wait(50)
        submit(net, "n0", [f"to-the-old-copy-{number}" for number in range(3)])
        back = net.script.answer(SESSION, "handover", "handback", "-t", "n0b")
        writers.wait(50)
    for one, epochs in ((there, (epoch, epoch + 1)), (back, (epoch + 1, epoch + 2))):
        assert (one["outcome"], one["missed_ballots"], one["extra_rounds"]) == ("done", 0, 0)
        assert (one["epoch_before"], one["epoch_after"]) == epochs
        assert one["acts_height"] == one["committed_height"] + 2
        assert one["acknowledged_height"] >= one["acts_height"]
        assert one["peers_ready"] >= one["peers_needed"] == 3
        assert one["shadow_matches"] >= one["shadow_needed"]
    check_promises(net, writers.promised, prefix="planned-")
    words = ("handover", "history", "-t", "n1", "--address", "n0sas")
    assert len(net.script.answer(HISTORY, *words)["handovers"]) == before + 2
    assert history(net)[before:] == [
        Moved("n0sas", "planned", epoch + 1, "done"),
        Moved("n0sas", "planned", epoch + 2, "done"),
    ]
    ends_well(net, active="n0", epoch=epoch + 2)


def test_word_for_word_as_on_mitums_page(net: LocalNet) -> None:
    _, standby, epoch = copies(net)
    info = net.script.answer(NODE_INFO, "node", "info", "-t", "n1")
    key = f"file:{net.dir / 'n0' / 'node.key'}"
    words = ("node", "start-handover", "n0sas", key, info["network_id"], net.url(standby))
    found = net.script.answer(SESSION, *words)
    assert (found["outcome"], found["epoch_after"]) == ("done", epoch + 1)
    there = net.script.answer(NODE_INFO, "node", "info", "-t", standby)
    assert (there["state"], there["role"], there["epoch"]) == ("CONSENSUS", "active", epoch + 1)
    net.script.refusal("already_active", 1, *words)
    for index, other, code in (
        (2, "n1sas", "address_mismatch"),
        (4, "other-net", "network_mismatch"),
        (3, f"file:{net.dir / 'n1' / 'node.key'}", "identity_mismatch"),
    ):
        wrong = [*words]
        wrong[index] = other
        net.script.refusal(code, 1, *wrong)
    ends_well(net, active=standby, epoch=epoch + 1)


def test_preflight_names_what_fails(net: LocalNet) -> None:
    active, standby, _ = copies(net)
    good = net.script.answer(PREFLIGHT, "handover", "preflight", "-t", standby)
    assert (good["ok"], good["live_others"], good["q"], good["margin"]) == (True, 3, 3, 0)
    names = "network genesis params identity standby url synced disk clock peers old margin open"
    assert [one["name"] for one in good["checks"]] == [*names.split(), "cosign"]
    assert {one["status"] for one in good["checks"]} <= {"ok", "warning"}
    bad = net.script.answer(PREFLIGHT, "handover", "preflight", "-t", active, code=1)
    failed = next(one for one in bad["checks"] if one["status"] == "failed")
    assert failed["code"] == "already_active"
    refused(net, "already_active", active)
    refused(net, "cosign_missing", standby, "--forced")
    net.script.refusal("none_open", 1, "handover", "cancel", "-t", standby)
    net.script.refusal("none_open", 1, "handover", "consent", "-t", active)
    key = f"file:{net.dir / 'n1' / 'node.key'}"
    url = net.url(standby)
    told = net.script.json(
        *("handover", "start", "-t", url.replace("tcp://", f"tcp://{identity(net)}@")),
        *("--sign", key),
        code=1,
    )
    assert told["error"]["code"] == "not_authorised"


def identity(net: LocalNet) -> str:
    return str(net.script.json("node", "info", "-t", "n0")["publickey"])


def test_a_cancel_that_races_the_commit_says_what_the_chain_says(net: LocalNet) -> None:
    chance = random.Random(3)
    for turn in range(CANCELS):
        active, standby, epoch = copies(net)
        begun = watched(net, standby)
        until_phase(begun, "preflight" if turn else "shadow")
        time.sleep(chance.uniform(0.0, 0.1))
        cancelled = net.script.run("handover", "cancel", "-t", standby, "--json")
        code, last = end_of(begun)
        if cancelled.code == 0:
            assert '"outcome":"cancelled"' in cancelled.out
            assert (code, last["error"]["code"]) == (1, "cancelled")
            assert voting(net)["n0sas"] == (active, epoch)
        else:
            assert re.search('"code":"(too_late|none_open)"', cancelled.out), cancelled.out
            assert (code, last["outcome"]) == (0, "done")
            assert voting(net)["n0sas"] == (standby, epoch + 1)
    active, _, epoch = copies(net)
    ends_well(net, active=active, epoch=epoch)


def test_the_old_copy_paused_over_the_switch_is_no_second_voter(net: LocalNet) -> None:
    active, standby, epoch = copies(net)
    with Writers(net, clients=1, lanes=2, prefix=f"paused{epoch}-") as writers:
        begun = watched(net, standby)
        until_phase(begun, "consent")
        os.kill(net.pid(active), signal.SIGSTOP)
        try:
            code, last = end_of(begun)
            assert (code, last.get("outcome")) == (0, "done"), last
        finally:
            os.kill(net.pid(active), signal.SIGCONT)
        writers.wait(20)
    ends_well(net, active=standby, epoch=epoch + 1)
    check_promises(net, writers.promised, prefix=f"paused{epoch}-")


def test_all_die_between_the_commit_and_the_switch(net: LocalNet) -> None:
    _, standby, epoch = copies(net)
    begun = watched(net, standby)
    until_phase(begun, "committed")
    pids = [net.pid(name) for name in net.names()]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in pids), "the dead are gone")
    settle(net)
    code, last = end_of(begun)
    assert (code, last.get("outcome")) == (0, "done"), last
    ends_well(net, active=standby, epoch=epoch + 1)


@pytest.mark.parametrize("phase", ["shadow", "committed"])
def test_the_new_copy_dies_on_the_way_and_comes_back(net: LocalNet, phase: str) -> None:
    """Before the chain knows of it, it is off; once committed, it goes on where it was."""
    active, standby, epoch = copies(net)
    begun = watched(net, standby)
    until_phase(begun, phase)
    os.kill(net.pid(standby), signal.SIGKILL)
    settle(net)
    end_of(begun)
    if phase == "shadow":
        ends_well(net, active=active, epoch=epoch)
    else:
        ends_well(net, active=standby, epoch=epoch + 1)
    begun = watched(net, copies(net)[1])  # And the next one is free.
    assert end_of(begun)[0] == 0


def test_the_new_copy_dies_for_good_and_the_vote_returns(net: LocalNet) -> None:
    active, standby, epoch = copies(net)
    begun = watched(net, standby, "--timeout", "2s")
    until_phase(begun, "committed")
    os.kill(net.pid(standby), signal.SIGKILL)
    code, last = end_of(begun)
    assert (code, last["error"]["code"]) == (4, "undecided"), last
    net.script.json("wait", "state", "CONSENSUS", "-t", active, "--timeout", "60s")
    found = net.script.answer(SESSION, "handover", "status", "-t", active)
    assert (found["outcome"], found["acknowledged_height"]) == ("returned", None)
    assert found["returned_height"] > found["acts_height"]
    ends_well(net, active=active, epoch=epoch + 2)
    assert history(net)[-1] == Moved("n0sas", "planned", epoch + 2, "returned")


def test_two_standbys_at_once_one_wins(net: LocalNet) -> None:
    active, standby, epoch = copies(net)
    net.do("add-standby", "n0")
    begun = {name: watched(net, name) for name in (standby, "n0c")}
    ends = {name: end_of(process) for name, process in begun.items()}
    won = [name for name, (code, _) in ends.items() if code == 0]
    assert won != [], ends
    for code, last in ends.values():
        if code != 0:
            check(last, "{error {code, message, hint, details {..}}}")
            assert last["error"]["code"] in ("handover_open", "epoch_moved", "consent_refused")
    settle(net)
    names = {one.role for name, one in net.infos().items() if name in (active, standby, "n0c")}
    assert "active" in names
    last_active, last_epoch = voting(net)["n0sas"]
    assert (last_active in won, last_epoch) == (True, epoch + len(won))
    ends_well(net, active=last_active, epoch=last_epoch)
