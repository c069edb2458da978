"""``zmqnode completion``: the scripts, and bash asking through one."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from zmqnode.commands.main import main

BASH = shutil.which("bash")


def script(capsys: pytest.CaptureFixture[str], shell: str) -> str:
    assert main(["completion", shell]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize(
    ("shell", "first"),
    [("bash", "_zmqnode_completion() {"), ("zsh", "#compdef zmqnode"), ("fish", "complete ")],
)
def test_each_shell_has_its_script(
    capsys: pytest.CaptureFixture[str], shell: str, first: str
) -> None:
    text = script(capsys, shell)
    assert text.startswith(first)
    assert f"_ZMQNODE_COMPLETE=complete_{shell}" in text
    assert "_ZMQNODE_COMPLETE" not in os.environ


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "csh"]) == 2
    assert "[usage]" in capsys.readouterr().err


@pytest.mark.skipif(BASH is None, reason="no bash here")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["comp"], ["completion"]),
        (["con"], ["config"]),
        (["config", ""], ["check", "show", "schema"]),
        (["config", "sh"], ["show"]),
        (["config", "show", "--or"], ["--origin"]),
        (["nothing", "x"], []),
    ],
)
def test_bash_completes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, typed: list[str], offered: list[str]
) -> None:
    """Goal: what a person gets at TAB. Method: bash calls the function of the script."""
    program = tmp_path / "zmqnode"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m zmqnode "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    words = " ".join(f"'{word}'" for word in ["zmqnode", *typed])
    asked = (
        f"{script(capsys, 'bash')}\n"
        f"COMP_WORDS=({words}); COMP_CWORD={len(typed)}\n"
        f"_zmqnode_completion '{program}'\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
        "complete -p zmqnode\n"
    )
    assert BASH is not None
    run = [BASH, "--norc", "-c", asked]
    done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=60)
    *found, registered = done.stdout.splitlines()
    assert [one for one in found if one] == offered
    assert registered.endswith("-F _zmqnode_completion zmqnode")
