"""What a handover is refused for before it begins: one check at a time, on real processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.answers import PREFLIGHT
from tests.e2e.conftest import net_in
from tests.e2e.copies import (
    QUICK,
    Moved,
    end_of,
    ends_well,
    heal_alone,
    history,
    settle,
    until_failing,
    until_phase,
    voting,
    watched,
)
from tests.e2e.local_net import LocalNet, alive, until
from tests.e2e.strays import (
    changed_genesis,
    of_another_network,
    of_another_version,
    of_fewer_members,
    running,
    stray,
)

SMALL_DISK = 'mount -t tmpfs -o size=128m tmpfs {0} && exec "$@"'


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNet]:
    """Four nodes and a second copy of n0; n0 votes when a test begins, and when it ends."""
    net = net_in(tmp_path_factory.mktemp("refused"))
    net.do("up", *QUICK)
    net.do("add-standby", "n0")
    try:
        yield net
        moved = history(net)
        assert [one.outcome for one in moved] == ["done"] * len(moved)
        ends_well(net, active="n0", epoch=len(moved))
    finally:
        net.end()


def failed(net: LocalNet, target: object, *words: object) -> dict[str, Any]:
    """The one check that fails there; it has a hint."""
    answer = net.script.answer(PREFLIGHT, "handover", "preflight", "-t", target, *words, code=1)
    found = [one for one in answer["checks"] if one["status"] == "failed"]
    assert answer["ok"] is False
    assert found != []
    assert all(one["code"] and one["message"] and one["hint"] for one in found), found
    first: dict[str, Any] = found[0]
    return first


def refused_for(
    net: LocalNet, target: object, name: str, code: str, mode: str = "planned", sign: str = ""
) -> None:
    """Goal: the check is named with its code, and a start is refused with the same one."""
    until_failing(net, target, code, mode=mode, sign=sign or None)
    words = [*([f"--{mode}"] if mode != "planned" else []), *(["--sign", sign] if sign else [])]
    found = failed(net, target, *words)
    assert (found["name"], found["code"]) == (name, code)
    told = net.script.refusal(code, 1, "handover", "start", "-t", target, *words)
    assert next(one["name"] for one in told["checks"] if one["status"] == "failed") == name


def test_copies_of_another_chain(net: LocalNet) -> None:
    """Goal: another network-id, genesis, parameter or version: each copy is told which it is."""
    strays = {
        "network": stray(net, "n0", "s-network", **{"network-id": "another-net"}),
        "genesis": stray(net, "n1", "s-genesis"),
        "params": stray(net, "n2", "s-params"),
        "app": stray(net, "n3", "s-app", app="two:app"),
    }
    of_another_network(net, strays["network"], "another-net", "n0", "n1")
    of_fewer_members(net, strays["genesis"], "n1", "n2", "n3")
    changed_genesis(strays["params"], block_operations_max=1999)
    of_another_version(strays["app"])
    with running(net, *strays.values()):
        for name in ("network", "genesis", "params"):
            refused_for(net, strays[name], name, f"{name}_mismatch")
        refused_for(net, strays["app"], "params", "params_mismatch")
    assert voting(net)["n0sas"][0] == "n0"


def test_an_application_of_another_version_does_not_start(net: LocalNet) -> None:
    folder = stray(net, "n0", "s-version", app="two:app")
    of_another_version(folder)
    shutil.copy(net.dir / "genesis.yml", folder)
    run = net.script.run("node", "run", folder)
    assert run.code == 2
    assert "[config_invalid]" in run.err
    assert "version 2" in run.err


def test_the_url_of_the_voting_copy(net: LocalNet) -> None:
    folder = stray(net, "n3", "s-url", url=net.url("n3"))
    pid = net.pid("n3")
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), "n3 is gone, and its ports are free")
    with running(net, folder):
        refused_for(net, folder, "url", "same_url", "takeover")
    settle(net)


def test_members_that_do_not_reach_it(net: LocalNet) -> None:
    net.do("cut", "n0b", "n1,n2")
    try:
        refused_for(net, "n0b", "peers", "peers_unreachable")
    finally:
        net.do("heal")
    settle(net)


def test_a_copy_that_is_behind_is_refused_or_waits(net: LocalNet) -> None:
    """Method: it missed blocks, hears what goes on, and nobody hears its questions."""
    before = len(history(net))
    net.do("cut", "n0b", "rest")
    try:
        net.wait_height(net.infos("n1")["n1"].height + 8, "n1")
        heal_alone(net, "n0b")
        refused_for(net, "n0b", "synced", "not_caught_up")
        begun = watched(net, "n0b", "--when-synced")
        assert until_phase(begun, "sync")["phase"] == "sync"
    finally:
        net.do("heal")
    code, last = end_of(begun)
    assert (code, last["outcome"]) == (0, "done"), last
    assert [one["name"] for one in last["phases"]][:2] == ["sync", "preflight"]
    net.script.json("handover", "handback", "-t", "n0b")
    assert history(net)[before:] == [
        Moved("n0sas", "planned", 1, "done"),
        Moved("n0sas", "planned", 2, "done"),
    ]
    settle(net)


def test_a_disk_that_is_almost_full(net: LocalNet) -> None:
    """Method: the copy's data lie on a disk of 128 MiB, which no other process sees."""
    disk = net.folder / "small"
    disk.mkdir()
    under = ("unshare", "--user", "--map-root-user", "--mount")
    under = (*under, "sh", "-c", SMALL_DISK.format(disk), "sh")
    if not can_mount(disk):
        pytest.skip("this system lets no namespace mount a disk of its own")
    folder = stray(net, "n1", "s-disk", data=str(disk))
    shown = net.script.json("key", "show", f"file:{folder / 'node.key'}")
    place = (folder / "node.yml").read_text().split("tcp://")[1].split()[0]
    target = f"tcp://{shown['publickey']}@{place}"
    sign = f"file:{folder / 'node.key'}"
    with running(net, folder, under=under):
        net.script.json("wait", "synced", "-t", target, "--timeout", "60s")
        refused_for(net, target, "disk", "disk_low", sign=sign)
    assert list(disk.iterdir()) == [], "its data lay on the small disk"


def can_mount(disk: Path) -> bool:
    words = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs"]
    try:
        return subprocess.run([*words, disk], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
