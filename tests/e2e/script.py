"""The installed script as a person or another program runs it; every run is held to section 1."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.answers import ERROR, check

ROOT = Path(__file__).parents[2]
SCRIPT = Path(sys.executable).with_name("zmqnode")
COMMAND = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, str(ROOT / "cli.py")]
PATIENCE_SECONDS = 120.0  # Beyond every --timeout used here: a command that hangs is a bug.

ERROR_TEXT = re.compile(r"error: .+ \[([a-z_]+)\]\nhint: \S.*\n", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run that ended: what it printed and its exit code."""

    words: tuple[str, ...]
    out: str
    err: str
    code: int

    def __str__(self) -> str:
        line = " ".join(self.words)
        return f"zmqnode {line}\nexit {self.code}\nstdout: {self.out}\nstderr: {self.err}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """Runs ``zmqnode`` in a folder with variables of its own."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("ZMQNODE_")}
        home = {"ZMQNODE_HOME": str(self.folder / "home-of-the-test"), "COLUMNS": "200"}
        return {**kept, **home, "TMPDIR": str(self.folder), **self.variables}

    def start(
        self, *words: object, under: Sequence[str] = (), **options: Any
    ) -> subprocess.Popen[str]:
        """The command, begun, by another one if need be; the caller ends it."""
        return subprocess.Popen(
            [*under, *COMMAND, *map(str, words)],
            cwd=self.folder,
            env=self.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    def run(self, *words: object, stdin: str = "", bug: bool = False) -> Run:
        """The command, ended. No run may end in a bug or show a traceback, whatever it is told."""
        done = subprocess.run(
            [*COMMAND, *map(str, words)],
            cwd=self.folder,
            env=self.environment(),
            text=True,
            input=stdin,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        run = Run(
            words=tuple(map(str, words)), out=done.stdout, err=done.stderr, code=done.returncode
        )
        assert "Traceback" not in run.out + run.err, str(run)
        assert bug or run.code != 70, str(run)
        return run

    def json(self, *words: object, code: int = 0, stdin: str = "") -> dict[str, Any]:
        """The one object that ``--json`` prints; stderr holds warnings and progress at most."""
        run = self.run(*words, "--json", stdin=stdin)
        assert run.code == code, str(run)
        assert run.out.count("\n") == 1, str(run)
        assert run.out.startswith('{"v":1,'), str(run)
        assert "error:" not in run.err, str(run)
        answer = json.loads(run.out)
        assert isinstance(answer, dict)
        return answer

    def answer(self, shape: str, *words: object, code: int = 0, stdin: str = "") -> dict[str, Any]:
        """Like ``json``, held to the contract's shape."""
        answer = self.json(*words, code=code, stdin=stdin)
        # A session has an ``error`` of its own, null if it ended as it should.
        assert "error" not in answer or "session" in answer, answer
        check(answer, shape)
        return answer

    def refusal(self, code: str, exit_code: int, *words: object, stdin: str = "") -> dict[str, Any]:
        """The error that ``--json`` prints; its details are handed back."""
        answer = self.json(*words, code=exit_code, stdin=stdin)
        check(answer, ERROR)
        error = answer["error"]
        assert error["code"] == code, error
        assert error["message"] != ""
        assert error["hint"] != "", f"no hint: {error}"
        details = error["details"]
        assert isinstance(details, dict)
        return details

    def refusal_text(self, code: str, exit_code: int, *words: object, stdin: str = "") -> str:
        """The same without ``--json``: stdout empty, two lines on stderr, handed back."""
        run = self.run(*words, stdin=stdin)
        told = "".join(
            line for line in run.err.splitlines(keepends=True) if not line.startswith("warning: ")
        )
        found = ERROR_TEXT.fullmatch(told)
        assert run.out == "", str(run)
        assert found is not None, str(run)
        assert (found[1], run.code) == (code, exit_code), str(run)
        return run.err

    def usage(self, *words: object) -> None:
        """What the parser refuses is plain text, with or without ``--json``."""
        self.refusal_text("usage", 2, *words)

    def text(self, *words: object, code: int = 0, stdin: str = "") -> str:
        run = self.run(*words, stdin=stdin)
        assert run.code == code, str(run)
        return run.out
