"""Section 4: one node by hand, and everything that keeps it from starting."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import Popen

import pytest

from tests.e2e import answers
from tests.e2e.local_net import until
from tests.e2e.script import Script

FIRST_PORT = 24_000  # Below the range from which connections get their ports.
PORTS = iter(range(FIRST_PORT + os.getpid() % 500 * 9, 32_700, 3))  # None is given twice.


def free_port() -> int:
    """The first of three free ports in a row, for one node."""
    for port in PORTS:
        with ExitStack() as held:
            try:
                for offset in range(3):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port + offset))
            except OSError:
                continue
            return port
    raise AssertionError("no free ports")


def make(script: Script, name: str = "a", network: str = "by-hand") -> dict[str, object]:
    """A folder for a network of one, with its genesis."""
    made = script.answer(
        *(answers.NODE_INIT, "node", "init", name, "--address", f"{name}sas"),
        *("--network-id", network, "--url", f"tcp://127.0.0.1:{free_port()}"),
    )
    words = ("genesis", "assemble", f"{name}/entry.yml", "--out", f"{name}/genesis.yml")
    script.answer(answers.GENESIS, *words)
    return made


@contextmanager
def running(script: Script, *words: object) -> Iterator[Popen[str]]:
    process = script.start("node", "run", *words)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: Popen[str], seconds: float = 60) -> tuple[int, str]:
    _, err = process.communicate(timeout=seconds)
    assert "Traceback" not in err
    return process.returncode, err


def test_a_node_runs_answers_and_stops(script: Script) -> None:
    made = make(script)
    target = f"{made['url']}".replace("//", f"//{made['publickey']}@")
    with running(script, "a") as process:
        script.answer(answers.WAITED, "wait", "height", 1, "-t", "./a", "--timeout", "60s")
        assert int((script.folder / "a" / "node.pid").read_text()) == process.pid
        info = script.answer(answers.NODE_INFO, "node", "info", "-t", target)
        assert info["instance"] == made["instance"]
        script.refusal("not_authorised", 1, "node", "stop", "-t", target)
        script.json("key", "new", "stranger.key")
        stranger = ("--sign", "file:stranger.key")
        script.refusal("not_authorised", 1, "node", "stop", "-t", target, *stranger)
        script.refusal("folder_in_use", 1, "node", "adopt", "a", "--old-copy-destroyed")
        script.refusal_text("folder_in_use", 1, "node", "run", "a")
        stopped = script.answer(answers.NODE_STOP, "node", "stop", "-t", "a/node.yml")
        assert stopped["address"] == "asas"
        assert ended(process)[0] == 0
    script.refusal("unreachable", 3, "node", "stop", "-t", "./a")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_stops_a_node_gracefully(script: Script, name: str) -> None:
    make(script)
    with running(script, "--log-format", "json", "a") as process:
        script.json("wait", "height", 1, "-t", "./a", "--timeout", "60s")
        process.send_signal(signal.Signals[name])
        code, err = ended(process)
        assert code == 0
        assert all(line.startswith("{") for line in err.splitlines())


def test_a_url_in_use(script: Script) -> None:
    made = make(script)
    for offset in range(3):
        port = int(str(made["url"]).rsplit(":", 1)[1]) + offset
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            taken.listen()
            script.refusal_text("address_in_use", 1, "node", "run", "a")


def test_a_key_that_is_not_the_addresss(script: Script) -> None:
    make(script)
    (script.folder / "a" / "node.key").unlink()
    script.json("key", "new", "a/node.key")
    run = script.run("node", "run", "a")
    assert run.code in (1, 2), str(run)
    assert "[key_invalid]" in run.err or "[identity_mismatch]" in run.err, str(run)


def test_key_files_that_cannot_be(script: Script) -> None:
    make(script)
    key = script.folder / "a" / "node.key"
    key.chmod(0o644)
    script.refusal_text("key_invalid", 2, "node", "run", "a")
    key.chmod(0o600)
    key.write_text("nonsense\n")
    script.refusal_text("key_invalid", 2, "node", "run", "a")
    key.unlink()
    script.refusal_text("file_missing", 2, "node", "run", "a")


def test_an_instance_key_open_to_others(script: Script) -> None:
    make(script)
    (script.folder / "a" / "instance.key").chmod(0o644)
    script.refusal_text("key_invalid", 2, "node", "run", "a")


def test_a_network_id_that_is_not_the_geneses(script: Script) -> None:
    make(script)
    file = script.folder / "a" / "node.yml"
    file.write_text(file.read_text().replace("by-hand", "another"))
    script.refusal_text("config_invalid", 2, "node", "run", "a")


def test_a_genesis_that_is_not_there_or_broken(script: Script) -> None:
    make(script)
    genesis = script.folder / "a" / "genesis.yml"
    good = genesis.read_text()
    genesis.write_text(good.replace("127.0.0.1", "127.0.0.2"))
    script.refusal_text("config_invalid", 2, "node", "run", "a")
    genesis.write_text("entries: [")
    script.refusal_text("config_invalid", 2, "node", "run", "a")
    genesis.unlink()
    script.refusal_text("file_missing", 2, "node", "run", "a")


def test_an_application_that_is_not_there(script: Script) -> None:
    make(script)
    script.refusal_text("config_invalid", 2, "node", "run", "a", "--app", "nope:app")
    (script.folder / "fails.py").write_text("raise RuntimeError('at import')\n")
    script.refusal_text("config_invalid", 2, "node", "run", "a", "--app", "fails:app")
    (script.folder / "other.py").write_text(
        "from zmqnode import App\napp = App('other', version=1)\n"
    )
    run = script.run("node", "run", "a", "--app", "other:app")
    assert run.code in (1, 2), str(run)


def test_folders_that_are_none(script: Script) -> None:
    script.refusal_text("file_missing", 2, "node", "run", "nope")
    script.refusal_text("file_missing", 2, "node", "run")
    (script.folder / "file.yml").write_text("address: n0sas\n")
    script.refusal_text("config_invalid", 2, "node", "run", "file.yml")


def test_a_folder_that_cannot_be_written(script: Script) -> None:
    make(script)
    config = script.folder / "a" / "node.yml"
    config.write_text(config.read_text() + "data: /proc/nowhere\n")
    run = script.run("node", "run", "a")
    assert run.code in (1, 2, 10), str(run)


def test_a_copied_folder_signs_nothing_until_adopted(script: Script) -> None:
    make(script)
    shutil.copytree(script.folder / "a", script.folder / "b")
    with running(script, "b") as process:
        script.json("wait", "state", "BROKEN", "-t", "./b", "--timeout", "60s")
        info = script.answer(answers.NODE_INFO, "node", "info", "-t", "./b")
        assert "node adopt" in info["broken"]["way_out"]
        process.send_signal(signal.SIGTERM)
        assert ended(process)[0] == 10
    script.answer(answers.NODE_ADOPT, "node", "adopt", "b", "--old-copy-destroyed")
    with running(script, "b"):
        script.json("wait", "height", 1, "-t", "./b", "--timeout", "60s")


def test_a_torn_journal_heals_and_a_damaged_one_is_said(script: Script) -> None:
    make(script)
    with running(script, "a"):
        script.json("wait", "height", 4, "-t", "./a", "--timeout", "60s")
    journal = newest(script.folder / "a" / "journal")
    data = bytearray(journal.read_bytes())
    used = len(bytes(data).rstrip(b"\0"))
    data[used // 2] ^= 0xFF
    journal.write_bytes(bytes(data))
    with running(script, "a") as process:
        until(lambda: process.poll() is not None or broken(script), "BROKEN or ended", 60)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        code, err = ended(process)
        assert code == 10, err


def newest(folder: Path) -> Path:
    files = [file for file in folder.rglob("*") if file.is_file() and file.stat().st_size > 0]
    return max(files, key=lambda file: len(file.read_bytes().rstrip(b"\0")))


def broken(script: Script) -> bool:
    run = script.run("node", "info", "-t", "./a", "--json")
    return run.code == 0 and '"state":"BROKEN"' in run.out
