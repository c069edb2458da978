"""The old copy is dead, silent or cut off: takeover, veto, spares; few nodes; one and two down."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator

import pytest
import yaml

from tests.e2e.answers import NODE_ADOPT, PREFLIGHT, SESSION
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
    until_failing,
    until_phase,
    voting,
    watched,
)
from tests.e2e.local_net import LocalNet, until
from tests.e2e.writers import Writers, check_promises
from tests.ports import free_ports
from zmqnode import Client


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNet]:
    net = net_in(tmp_path_factory.mktemp("takeover"))
    net.do("up", *QUICK)
    net.do("add-standby", "n0")
    yield net
    net.end()


def copies(net: LocalNet) -> tuple[str, str, int]:
    settle(net)
    active, epoch = voting(net)["n0sas"]
    return active, "n0b" if active == "n0" else "n0", epoch


def test_a_dead_copy_is_taken_over_and_comes_back_as_a_standby(net: LocalNet) -> None:
    dead, standby, epoch = copies(net)
    with Writers(net, clients=1, lanes=2, prefix="dead-") as writers:
        writers.wait(20)
        os.kill(net.pid(dead), signal.SIGKILL)
        refused(net, "old_unreachable", standby)
        begun = watched(net, standby, "--takeover")
        until_phase(begun, "pending")
        net.do("restart", standby)  # It goes on where it was.
        code, last = end_of(begun)
        assert (code, last["outcome"]) == (0, "done"), last
        writers.wait(20)
        net.do("start", dead)
        writers.wait(20)
    check_promises(net, writers.promised, prefix="dead-")
    assert history(net)[-1] == Moved("n0sas", "takeover", epoch + 1, "done")
    ends_well(net, active=standby, epoch=epoch + 1)
    assert net.infos(dead)[dead].state == "SYNCING"


def test_a_copy_that_lives_vetoes(net: LocalNet) -> None:
    active, standby, epoch = copies(net)
    told = refused(net, "vetoed", standby, "--takeover")
    assert told["outcome"] == "vetoed"
    assert history(net)[-1].outcome == "vetoed"
    ends_well(net, active=active, epoch=epoch)


def test_a_copy_cut_off_from_all_retires_by_itself(net: LocalNet) -> None:
    active, standby, epoch = copies(net)
    net.do("cut", active, "rest")
    try:
        until(lambda: not _live(net, "n1", "n0sas"), "n1 sees that it is gone")
        start(net, standby, "--takeover")
        assert net.infos(active)[active].state == "CONSENSUS", "it does not know"
    finally:
        net.do("heal")
    ends_well(net, active=standby, epoch=epoch + 1)
    assert net.infos(active)[active].state == "SYNCING"
    assert any(net.infos(name)[name].ignored_ballots for name in ("n1", "n2", "n3"))


def _live(net: LocalNet, name: str, address: str) -> bool:
    members = net.infos(name)[name].suffrage.members
    return next(one.live for one in members if one.address == address)


def test_a_copy_cut_off_from_its_standby_only(net: LocalNet) -> None:
    active, standby, epoch = copies(net)
    net.do("cut", active, standby)
    try:
        until_failing(net, standby, "old_unreachable")
        refused(net, "old_unreachable", standby)
        refused(net, "vetoed", standby, "--takeover")
    finally:
        net.do("heal")
    ends_well(net, active=active, epoch=epoch)


def test_a_hot_spare_takes_over_by_itself(net: LocalNet) -> None:
    active, standby, epoch = copies(net)
    file = net.dir / standby / "node.yml"
    tree = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**tree, "standby": {"auto": True, "after_ms": 1000}}))
    net.do("restart", standby)
    settle(net)
    os.kill(net.pid(active), signal.SIGKILL)
    net.script.json("wait", "state", "CONSENSUS", "-t", standby, "--timeout", "60s")
    file.write_text(yaml.safe_dump(tree))
    net.do("restart", standby)
    ends_well(net, active=standby, epoch=epoch + 1)


def test_one_of_four_down(net: LocalNet) -> None:
    _, standby, epoch = copies(net)
    net.do("kill", "n3")
    until_failing(net, standby, "margin_negative")
    told = net.script.answer(PREFLIGHT, "handover", "preflight", "-t", standby, code=1)
    assert (told["live_others"], told["margin"]) == (2, -1)
    refused(net, "margin_negative", standby)
    found = start(net, standby, "--accept-halt-risk")
    assert found["epoch_after"] == epoch + 1
    ends_well(net, active=standby, epoch=epoch + 1)


def test_two_of_four_down_is_impossible_and_said_so(net: LocalNet) -> None:
    active, standby, epoch = copies(net)
    net.do("kill", active, "n3")
    until(lambda: not _live(net, "n1", "n3sas"), "their death is noticed")
    run = net.script.run("handover", "start", "-t", standby, "--takeover")
    assert (run.code, run.out) == (1, "")
    assert "[no_quorum]" in run.err
    assert "adopt" in run.err
    ends_well(net, active=active, epoch=epoch)


def test_two_halves_with_a_copy_each(net: LocalNet) -> None:
    """Cut before it begins, neither half can do anything; cut on the way, the chain decides."""
    active, standby, epoch = copies(net)
    halves = (f"{active},n1", f"{standby},n2,n3")
    net.do("cut", *halves)
    try:
        until_failing(net, standby, "no_quorum", mode="takeover")
        refused(net, "no_quorum", standby)
        refused(net, "no_quorum", standby, "--takeover")
    finally:
        net.do("heal")
    settle(net)
    assert voting(net)["n0sas"] == (active, epoch)
    with Writers(net, clients=1, lanes=2, prefix="halves-") as writers:
        begun = watched(net, standby)
        until_phase(begun, "submitted")
        net.do("cut", *halves)
        net.do("heal")
        code, last = end_of(begun)
        assert (code, last["outcome"]) == (0, "done"), last
        writers.wait(20)
    check_promises(net, writers.promised, prefix="halves-")
    ends_well(net, active=standby, epoch=epoch + 1)


def test_two_of_four_down_and_one_moves_to_another_machine(net: LocalNet) -> None:
    """The way out: a dead member's folder, as it was, adopted elsewhere, brings the quorum back."""
    active, _, epoch = copies(net)
    net.do("kill", active, "n3")
    until(lambda: not _live(net, "n1", "n3sas"), "their death is noticed")
    shutil.move(net.dir / active, net.folder / "first machine")
    shutil.copytree(net.folder / "first machine", net.dir / active)
    file = net.dir / active / "node.yml"
    tree = yaml.safe_load(file.read_text())
    url = f"tcp://127.0.0.1:{free_ports()}"
    file.write_text(yaml.safe_dump({**tree, "network": {"url": url}}))
    words = ("node", "adopt", net.dir / active, "--old-copy-destroyed")
    assert net.script.answer(NODE_ADOPT, *words)["url"] == url
    net.do("start", active)
    with Writers(net, clients=1, lanes=2, prefix="moved-") as writers:
        writers.wait(20)
    peers = net.script.json("peers", "-t", "n1")["peers"]
    found = [(one["url"], one["connected"]) for one in peers if one["role"] == "active"]
    assert (url, True) in found, found
    settle(net)
    check_promises(net, writers.promised, prefix="moved-")
    ends_well(net, active=active, epoch=epoch)


async def begun(net: LocalNet, name: str) -> str | None:
    """How a handover to this copy ended."""
    async with Client(str(net.dir / name)) as client:
        return (await client.handover_start()).outcome


def test_seven_members_and_two_handovers_at_once(own_net: LocalNet) -> None:
    """One slot for two addresses, one of seven members away; who trusts the genesis follows."""
    own_net.do("up", *QUICK, "--nodes", 7)
    own_net.do("add-standby", "n0")
    own_net.do("add-standby", "n1")

    async def scene() -> None:
        sign = f"file:{own_net.dir / 'client.key'}"
        async with Client(str(own_net.dir / "n2"), sign=sign) as client:  # Met the chain once.
            await client.submit(("put", {"key": "a", "value": b"1"}))
            before = await client.query("get", {"key": "a"}, proof=True)
            own_net.do("kill", "n6")
            moves = asyncio.gather(*(begun(own_net, name) for name in ("n0b", "n1b")))
            await asyncio.to_thread(own_net.do, "start", "n6")
            assert await moves == ["done", "done"]
            await client.submit(("put", {"key": "a", "value": b"2"}))
            after = await client.query("get", {"key": "a"}, proof=True)
        assert (before.result, after.result) == (b"1", b"2")
        assert before.proof is not None and before.proof.verified
        assert after.proof is not None and after.proof.verified

    asyncio.run(scene())
    moved = history(own_net)
    assert sorted(moved, key=lambda one: one.address) == [
        Moved("n0sas", "planned", 1, "done"),
        Moved("n1sas", "planned", 1, "done"),
    ]
    ends_well(own_net, active="n0b", epoch=1)
    assert voting(own_net)["n1sas"] == ("n1b", 1)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_nodes(own_net: LocalNet, n: int) -> None:
    """With one or two members the risk has to be accepted, and nobody can be taken over."""
    own_net.do("up", *QUICK, "--nodes", n, *(["--set", "handover.consent=ask"] if n == 1 else []))
    own_net.do("add-standby", "n0")
    if n < 3:
        refused(own_net, "margin_negative", "n0b")
        refused(own_net, "no_quorum", "n0b", "--takeover", "--accept-halt-risk")
    if n == 1:
        consent_is_asked(own_net)
    else:
        start(own_net, "n0b", *(["--accept-halt-risk"] if n < 3 else []))
    ends_well(own_net, active="n0b", epoch=1)


def consent_is_asked(net: LocalNet) -> None:
    begun = watched(net, "n0b", "--accept-halt-risk")
    until_phase(begun, "ready")
    until(lambda: "operator" in str(net.script.json("handover", "status", "-t", "n0")), "asked")
    net.script.json("handover", "consent", "--refuse", "-t", "n0")
    code, last = end_of(begun)
    assert (code, last["error"]["code"]) == (1, "consent_refused")
    begun = watched(net, "n0b", "--accept-halt-risk")
    until_phase(begun, "ready")
    until(lambda: "operator" in str(net.script.json("handover", "status", "-t", "n0")), "asked")
    net.script.answer(SESSION, "handover", "consent", "-t", "n0")
    assert end_of(begun)[0] == 0


@pytest.mark.long
def test_a_hundred_handovers_and_twenty_under_load(own_net: LocalNet) -> None:
    own_net.do("up")
    own_net.do("add-standby", "n0")
    for turn in range(100):
        found = start(own_net, ("n0b", "n0")[turn % 2])
        assert (found["missed_ballots"], found["extra_rounds"]) == (0, 0), found
    ends_well(own_net, active="n0", epoch=100)
    with Writers(own_net, clients=4, prefix="load-") as writers:
        for turn in range(20):
            found = start(own_net, ("n0b", "n0")[turn % 2])
            assert (found["missed_ballots"], found["extra_rounds"]) == (0, 0), found
            writers.wait(20)
    check_promises(own_net, writers.promised, prefix="load-")
    ends_well(own_net, active="n0", epoch=120)


@pytest.mark.long
def test_all_four_are_replaced_one_after_the_other(own_net: LocalNet) -> None:
    """Goal: who trusts the genesis hash follows to the end. Method: none of the first copies is
    left, and every chain is verified from the genesis file on."""
    own_net.do("up")
    own_net.verify()
    with Writers(own_net, clients=2, lanes=4, prefix="rolling-") as writers:
        for index in range(4):
            own_net.do("add-standby", f"n{index}")
            found = start(own_net, f"n{index}b")
            assert (found["missed_ballots"], found["extra_rounds"]) == (0, 0), found
            writers.wait(20)
    settle(own_net)
    assert voting(own_net) == {f"n{index}sas": (f"n{index}b", 1) for index in range(4)}
    check_promises(own_net, writers.promised, prefix="rolling-")
    assert all(one["handovers"] == 4 for one in own_net.verify().values())
