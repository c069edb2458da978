"""``zmqnode service``: units and images that other programs can read, and that restart wisely."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from zmqnode.commands.main import main
from zmqnode.commands.service_docker import ENTRYPOINT
from zmqnode.config.node import node_text

SAMPLE = Path(__file__).parents[2] / "conf" / "networks" / "four" / "node.n0.yml"
ANALYZE = shutil.which("systemd-analyze")
INSTRUCTIONS = {"FROM", "COPY", "RUN", "STOPSIGNAL", "USER", "ENTRYPOINT", "CMD"}


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder whose name needs quoting in every format, with a genesis beside it."""
    folder = tmp_path / "it's 5% of $HOME"
    folder.mkdir()
    values = {
        "address": "n0sas",
        "network-id": "50%",
        "privatekey": "cred:identity",
        "network.url": "tcp://127.0.0.1:4000",
        "genesis": "../genesis.yml",
        "metrics.url": "http://127.0.0.1:9464",
    }
    (folder / "node.yml").write_text(node_text(values))
    return folder


def printed(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out


def unit(text: str) -> dict[str, list[str]]:
    """The settings of a unit file by name, without its sections."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_the_unit_restarts_a_crash_and_nothing_that_wants_a_person(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = printed(capsys, "service", "systemd", "--dir", SAMPLE)
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    parser.read_string(text)
    assert parser.sections() == ["Unit", "Service", "Install"]
    service = unit(text)
    assert service["Restart"] == ["on-failure"]
    assert service["RestartPreventExitStatus"] == ["2 10"]
    assert service["LoadCredential"] == ["identity:/etc/zmqnode/n0sas.key"]
    assert service["ExecStart"] == [
        f"{sys.executable} -m zmqnode node run {SAMPLE} --log-format json"
    ]
    assert service["ReadWritePaths"] == ["/var/lib/zmqnode"]
    assert service["NoNewPrivileges"] == service["PrivateDevices"] == ["yes"]
    assert service["ProtectSystem"] == ["strict"]


@pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze here")
def test_systemd_takes_the_unit(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, odd: Path
) -> None:
    """Goal: its own parser has nothing to say. Method: systemd-analyze, and a unit it refuses."""
    assert ANALYZE is not None
    for number, where in enumerate((SAMPLE, odd)):
        file = tmp_path / f"zmqnode-{number}.service"
        printed(capsys, "service", "systemd", "--dir", where, "--key", odd / "k", "--out", file)
        done = subprocess.run(
            [ANALYZE, "verify", file], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
    bad = tmp_path / "bad.service"
    bad.write_text(file.read_text().replace("ExecStart=", "ExecStrat="))
    done = subprocess.run([ANALYZE, "verify", bad], capture_output=True, text=True, check=False)
    assert done.returncode != 0


def test_a_unit_quotes_what_systemd_would_read_otherwise(
    capsys: pytest.CaptureFixture[str], odd: Path
) -> None:
    service = unit(printed(capsys, "service", "systemd", "--dir", odd, "--key", odd / "k"))
    plain = str(odd).replace("%", "%%")
    assert service["ExecStart"][0].endswith(
        f'"{plain.replace("$", "$$")}/node.yml" --log-format json'
    )
    assert service["WorkingDirectory"] == [plain]
    assert service["LoadCredential"] == [f"identity:{plain}/k"]
    assert service["Description"] == ["zmqnode n0sas of 50%%"]
    assert service["PrivateTmp"] == ["no" if odd.is_relative_to("/tmp") else "yes"]


def test_a_key_in_a_file_needs_no_credential_and_one_from_stdin_is_refused(
    capsys: pytest.CaptureFixture[str], odd: Path
) -> None:
    file = odd / "node.yml"
    file.write_text(file.read_text().replace("cred:identity", "file:node.key"))
    assert "LoadCredential" not in unit(printed(capsys, "service", "systemd", "--dir", odd))
    file.write_text(file.read_text().replace("file:node.key", "'-'"))
    assert main(["service", "systemd", "--dir", str(odd)]) == 2
    assert "[config_invalid]" in capsys.readouterr().err
    assert main(["service", "systemd", "--dir", str(SAMPLE), "--user", "a b"]) == 2
    assert main(["service", "compose", "--dir", str(odd / "none")]) == 2


def test_compose_mounts_what_the_node_reads_at_its_own_paths(
    capsys: pytest.CaptureFixture[str], odd: Path
) -> None:
    text = printed(capsys, "service", "compose", "--dir", odd, "--key", odd / "k")
    tree: dict[str, Any] = yaml.safe_load(text)
    service = tree["services"]["n0sas"]
    mounts = {one["source"]: one for one in service["volumes"]}
    folder = str(odd).replace("$", "$$")
    assert mounts[folder] == {"type": "bind", "source": folder, "target": folder}
    genesis = str(odd.parent / "genesis.yml")
    assert mounts[genesis]["read_only"] is True
    assert "/etc/machine-id" in mounts  # The instance key is bound to the machine.
    assert service["network_mode"] == "host"  # network.url is what others are told.
    assert service["restart"] == "on-failure"
    assert service["user"] == f"{os.getuid()}:{os.getgid()}"
    assert service["command"][:2] == ["node", "run"]
    assert service["environment"] == {"CREDENTIALS_DIRECTORY": "/run/secrets"}
    assert tree["secrets"] == {"identity": {"file": f"{folder}/k"}}
    assert "http://127.0.0.1:9464/healthz" in service["healthcheck"]["test"][-1]


def test_the_health_check_of_compose_is_a_program(
    capsys: pytest.CaptureFixture[str], odd: Path
) -> None:
    tree = yaml.safe_load(printed(capsys, "service", "compose", "--dir", odd))
    words = tree["services"]["n0sas"]["healthcheck"]["test"]
    compile(words[-1].replace("$$", "$"), "healthcheck", "exec")
    tree = yaml.safe_load(printed(capsys, "service", "compose", "--dir", SAMPLE))
    words = tree["services"]["n0sas"]["healthcheck"]["test"]
    assert words[:4] == ["CMD", "zmqnode", "wait", "synced"]
    assert words[4:] == ["-t", str(SAMPLE), "--timeout", "5s"]


def test_the_dockerfile_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "service", "dockerfile")
    assert text.startswith("# syntax=docker/dockerfile:1\n")
    outside = re.sub(r"(?s)(<<'EOF'[^\n]*\n).*?\nEOF\n", r"\1", text)
    words = [line.split()[0] for line in outside.splitlines() if line and line[0] != "#"]
    assert set(words) <= INSTRUCTIONS
    assert words[0] == "FROM"
    assert f"{ENTRYPOINT}EOF\n" in text


# The entrypoint, under a real shell.


def entrypoint(tmp_path: Path, program: str) -> tuple[list[str], dict[str, str]]:
    """The words and environment that run it around a program in place of zmqnode."""
    for name, text in (("zmqnode", f"#!/bin/sh\n{program}\n"), ("entry", ENTRYPOINT)):
        file = tmp_path / name
        file.write_text(text)
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    path = f"{tmp_path}:{os.environ['PATH']}"
    return [str(tmp_path / "entry"), "node", "run", "a b"], {**os.environ, "PATH": path}


@pytest.mark.parametrize(("code", "told"), [(0, 0), (1, 1), (2, 0), (10, 0), (70, 70), (143, 143)])
def test_the_entrypoint_tells_docker_what_not_to_start_again(
    tmp_path: Path, code: int, told: int
) -> None:
    words, environment = entrypoint(tmp_path, f'test "$3" = "a b" || exit 99\nexit {code}')
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == told
    assert ("not to be started again" in done.stderr) == (code != told)


def test_the_entrypoint_hands_sigterm_on_and_waits(tmp_path: Path) -> None:
    program = "trap 'sleep 0.3; echo drained; exit 0' TERM\necho up\nwhile :; do sleep 0.05; done"
    words, environment = entrypoint(tmp_path, program)
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        time.sleep(0.1)  # Until the shell waits.
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "drained\n"
        assert process.wait(30) == 0


def test_documents_are_told_as_json_written_once_and_never_over(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = printed(capsys, "service", "dockerfile")
    out = tmp_path / "Dockerfile"
    assert "Dockerfile" in printed(capsys, "service", "dockerfile", "--out", out)
    assert out.read_text() == text
    assert main(["service", "dockerfile", "--out", str(out)]) == 1
    assert "[already_exists]" in capsys.readouterr().err
    assert main(["service", "dockerfile", "--out", str(tmp_path / "no" / "f")]) == 2
    assert "[file_missing]" in capsys.readouterr().err
    answer = json.loads(printed(capsys, "service", "dockerfile", "--json"))
    assert answer == {"v": 1, "kind": "dockerfile", "file": None, "text": text}
