"""The command line as a script sees it: processes, exit codes, one JSON object on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        assert self.out.count("\n") == 1, (self.out, self.err)
        found: dict[str, Any] = json.loads(self.out)
        assert next(iter(found.items())) == ("v", 1)
        return found

    @property
    def error(self) -> dict[str, Any]:
        """The error object."""
        error: dict[str, Any] = self.json["error"]
        assert set(error) == {"code", "message", "hint", "details"}
        return error


class Shell:
    """Runs zmqnode in a folder, with a testnet in use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("ZMQNODE_")},
            "PYTHONPATH": str(ROOT),
            "ZMQNODE_HOME": str(folder / "home"),
            "COLUMNS": "200",
        }

    def begin(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "zmqnode", *words],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, seconds: float = 90) -> Ran:
        process = self.begin(*words)
        out, err = process.communicate(timeout=seconds)
        assert "Traceback" not in out + err, err
        return Ran(process.returncode, out, err)

    def ok(self, *words: str) -> dict[str, Any]:
        """The object of a command that succeeds."""
        ran = self.run(*words, "--json")
        assert ran.code == 0, (words, ran)
        return ran.json

    def fails(self, code: int, *words: str) -> dict[str, Any]:
        """The error of a command that fails with this exit code."""
        ran = self.run(*words, "--json")
        assert ran.code == code, (words, ran)
        return ran.error
