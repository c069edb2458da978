"""From empty folders to a running chain by hand, as the operators of four machines would."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.e2e.run import Shell
from tests.ports import free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

KEY_OF_MITUMS_PAGE = "KyfqCLSEyfUhskZ63WtVH3m3pGgnurFHuTgkgu73Pgyjf8sxbp8Rmpr"
ITS_PUBLIC_KEY = "GkhMcC4LDk22FsRGoQ4qAjuZ2BZERof7VSfmNy9HfW3F3MpQvmpu"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def init(shell: Shell, name: str, *more: str) -> dict[str, object]:
    return shell.ok(
        *("node", "init", name, "--address", f"{name}sas", "--network-id", "by-hand"),
        *("--url", f"tcp://127.0.0.1:{free_ports()}", *more),
    )


def test_a_chain_of_one_is_made_run_asked_and_stopped(shell: Shell) -> None:
    made = init(shell, "a")
    assert made["files"] == ["entry.yml", "instance.key", "node.key", "node.yml"]
    assert shell.fails(1, "node", "init", "a", "--address", "asas", "--network-id", "x", "--url",
                       "tcp://127.0.0.1:9")["code"] == "already_exists"  # fmt: skip
    for name in ("node.key", "instance.key"):
        assert (shell.folder / "a" / name).stat().st_mode & 0o077 == 0
    assembled = shell.ok("genesis", "assemble", "a/entry.yml", "--out", "a/genesis.yml")
    assert (assembled["n"], assembled["f"], assembled["q"]) == (1, 0, 1)
    assert shell.ok("genesis", "show", "a/genesis.yml") == assembled
    assert shell.ok("genesis", "show", "-t", "./a")["genesis_hash"] == assembled["genesis_hash"]
    assert shell.ok("genesis", "verify", "a/genesis.yml")["ok"] is True
    unreachable = shell.fails(3, "node", "info", "-t", "./a")
    assert (unreachable["code"], unreachable["details"]["connected"]) == ("unreachable", False)
    node = shell.begin("node", "run", "a")
    try:
        height = shell.ok("wait", "height", "2", "-t", "./a", "--timeout", "20s")
        assert height["role"] == "active"
        info = shell.ok("node", "info", "-t", "./a")
        assert (info["instance"], info["publickey"]) == (made["instance"], made["publickey"])
        assert info["genesis_hash"] == assembled["genesis_hash"]
        in_use = shell.run("node", "run", "a")
        assert (in_use.code, "[folder_in_use]" in in_use.err) == (1, True)
        assert shell.fails(1, "node", "adopt", "a", "--old-copy-destroyed")["code"] == (
            "folder_in_use"
        )
        shell.ok("key", "new", "other.key")
        receipt = shell.ok(
            *("seal", "send", "put", "key=a", "value=0x00ff", "-t", "./a"),
            *("--sign", "file:other.key"),
        )
        assert (receipt["ok"], receipt["state"]) == (True, "committed")
        assert shell.run("query", "get", "key=a", "-t", "./a").out == "0x00ff\n"
        url = str(made["url"])
        assert shell.fails(3, "node", "info", "-t", url)["code"] == "unreachable"
        full = url.replace("tcp://", f"tcp://{made['publickey']}@")
        assert shell.ok("node", "info", "-t", full)["address"] == "asas"
        other = url.replace("tcp://", f"tcp://{ITS_PUBLIC_KEY}@")
        assert shell.fails(3, "node", "info", "-t", other)["details"]["reason"] == "other_key"
        assert shell.fails(1, "node", "stop", "-t", full)["code"] == "not_authorised"
        stranger = shell.fails(1, "node", "stop", "-t", full, "--sign", "file:other.key")
        assert stranger["code"] == "not_authorised"
        stopped = shell.ok("node", "stop", "-t", full, "--sign", "file:a/node.key")
        assert stopped["instance"] == made["instance"]
        assert node.wait(10) == 0
    finally:
        node.kill()
        node.communicate()


def test_sigterm_ends_a_node_gracefully(shell: Shell) -> None:
    init(shell, "a")
    shell.ok("genesis", "assemble", "a/entry.yml", "--out", "a/genesis.yml")
    node = shell.begin("node", "run", "a")
    try:
        shell.ok("wait", "state", "consensus", "-t", "./a", "--timeout", "20s")
        assert int((shell.folder / "a" / "node.pid").read_text()) == node.pid
        os.kill(node.pid, signal.SIGTERM)
        assert node.wait(10) == 0
    finally:
        node.kill()
        node.communicate()


def test_a_copied_folder_signs_nothing_until_it_is_adopted(shell: Shell) -> None:
    init(shell, "a")
    shell.ok("genesis", "assemble", "a/entry.yml", "--out", "a/genesis.yml")
    shutil.copytree(shell.folder / "a", shell.folder / "b")
    node = shell.begin("node", "run", "b")
    try:
        state = shell.ok("wait", "state", "BROKEN", "-t", "./b", "--timeout", "20s")
        assert state["height"] == 0
        assert "adopt" in str(shell.ok("node", "info", "-t", "./b")["broken"])
        shell.ok("node", "stop", "-t", "./b")
        assert node.wait(10) == 10
    finally:
        node.kill()
        node.communicate()
    assert shell.fails(2, "node", "adopt", "b")["code"] == "usage"
    assert shell.ok("node", "adopt", "b", "--old-copy-destroyed")["address"] == "asas"
    node = shell.begin("node", "run", "b")
    try:
        shell.ok("wait", "height", "1", "-t", "./b", "--timeout", "20s")
    finally:
        node.terminate()
        node.communicate()


def test_the_key_of_mitums_page_makes_a_node(shell: Shell) -> None:
    made = init(shell, "a", "--privatekey", KEY_OF_MITUMS_PAGE)
    assert made["publickey"] == ITS_PUBLIC_KEY
    assert "node.key" not in str(made["files"])
    ran = shell.run("config", "show", "a")
    assert KEY_OF_MITUMS_PAGE not in ran.out + ran.err


def test_wrong_geneses_are_refused(shell: Shell) -> None:
    for name in ("a", "b"):
        init(shell, name)
    twice = shell.fails(
        2, "genesis", "assemble", "a/entry.yml", "a/entry.yml", "--out", "genesis.yml"
    )
    assert twice["code"] == "config_invalid"
    entry = shell.folder / "a" / "entry.yml"
    entry.write_text(entry.read_text().replace("127.0.0.1", "127.0.0.2"))
    forged = shell.fails(2, "genesis", "assemble", "a/entry.yml", "--out", "genesis.yml")
    assert "signature" in forged["message"]
    assert not (shell.folder / "genesis.yml").exists()
    shell.ok("genesis", "assemble", "b/entry.yml", "--out", "genesis.yml", "--set",
             "params.block_interval_ms=7")  # fmt: skip
    genesis = shell.folder / "genesis.yml"
    assert shell.ok("genesis", "show", "genesis.yml")["params"]["block_interval_ms"] == 7
    again = shell.fails(1, "genesis", "assemble", "b/entry.yml", "--out", "genesis.yml")
    assert again["code"] == "already_exists"
    genesis.write_text(genesis.read_text().replace("network-id: by-hand", "network-id: other"))
    ran = shell.run("genesis", "verify", "genesis.yml", "--json")
    assert (ran.code, ran.json["ok"], len(ran.json["findings"])) == (1, False, 1)
    bad = shell.fails(2, "genesis", "assemble", "b/entry.yml", "--out", "g2.yml", "--set",
                      "params.activation_lag=3")  # fmt: skip
    assert bad["code"] == "config_invalid"
