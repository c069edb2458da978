"""``app check``: will every node come to the same result?

Three looks: at the source (``lint``); at sample operations run in processes that differ in hash
seed, clock and time zone (``sampling``); and at the same samples run twice in one process, where
something kept in a module variable shows.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from zmqnode.app.lint import Finding, lint
from zmqnode.app.loading import load_app
from zmqnode.app.state import KEY_PREFIX
from zmqnode.base.codec import unpack
from zmqnode.errors import Invalid, Malformed

RUNS_MAX: Final = 100
RUN_TIMEOUT_S: Final = 60

_ZONES: Final = ("UTC", "Asia/Tokyo", "America/Los_Angeles", "Asia/Kolkata")


@dataclass(frozen=True, slots=True, kw_only=True)
class AppCheck:
    """What ``app check`` found.

    Attributes:
        app, version: of the application.
        operations, queries: their names, sorted.
        runs: processes that were compared.
        findings: empty if nothing speaks against the application.
    """

    app: str
    version: int
    operations: tuple[str, ...]
    queries: tuple[str, ...]
    runs: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def json(self) -> dict[str, Any]:
        """The object of the command's answer."""
        return {
            "ok": self.ok,
            "app": self.app,
            "version": self.version,
            "operations": list(self.operations),
            "queries": list(self.queries),
            "runs": self.runs,
            "findings": [asdict(one) for one in self.findings],
        }


def app_check(name: str, runs: int = 2, search_paths: Sequence[str | Path] = ()) -> AppCheck:
    """Check an application for what makes nodes disagree.

    Args:
        name: built in, or ``module:app``.
        runs: processes to compare, 2 to 100.
        search_paths: folders to look for the module in.
    Raises:
        Invalid: ``config_invalid`` as ``load_app``; ``usage`` for another number of runs.
    """
    if not 2 <= runs <= RUNS_MAX:
        raise Invalid("usage", f"runs must be 2 to {RUNS_MAX}, not {runs}")
    with redirect_stdout(sys.stderr):  # What a module prints is no part of the answer.
        app = load_app(name, search_paths)
    findings = lint(app)
    outcomes = []
    for run in range(runs):
        outcome = _run(name, run, search_paths)
        if isinstance(outcome, Finding):
            findings.append(outcome)
            break
        outcomes.append(outcome)
    findings += _compare(outcomes)
    schema = app.schema
    return AppCheck(
        app=app.name,
        version=app.version,
        operations=tuple(one.name for one in schema.operations),
        queries=tuple(one.name for one in schema.queries),
        runs=runs,
        findings=tuple(findings),
    )


def _run(name: str, run: int, search_paths: Sequence[str | Path]) -> Any:
    """The two traces of one process, or the finding that it came to no end."""
    environment = os.environ | {"PYTHONHASHSEED": str(run), "TZ": _ZONES[run % len(_ZONES)]}
    folders = [str(Path(one).resolve()) for one in search_paths]
    command = [sys.executable, "-m", "zmqnode.app.sampling", name, str(run), *folders]
    # The child must find the same zmqnode, installed or not.
    package = str(Path(__file__).resolve().parent.parent.parent)
    known = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join([package, known] if known else [package])
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, timeout=RUN_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        message = f"sample operations did not end within {RUN_TIMEOUT_S} s"
        return Finding(operation="", key="", message=message)
    try:
        if done.returncode == 0:
            return unpack(done.stdout)
    except Malformed:
        pass
    lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
    message = f"sample operations ended the process (exit {done.returncode}): {lines[-1][:300]}"
    return Finding(operation="", key="", message=message)


def _compare(outcomes: list[Any]) -> list[Finding]:
    """The first difference of every operation, between processes and within them."""
    found: dict[str, Finding] = {}
    for first, again in outcomes:
        _differences(first, again, "executed again in the same process", found)
    for other, _ in outcomes[1:]:
        _differences(outcomes[0][0], other, "executed by another process", found)
    if outcomes:
        for operation, _, reason, _, _ in outcomes[0][0]:
            if isinstance(reason, str) and "could not be executed" in reason:
                found.setdefault(operation, Finding(operation=operation, key="", message=reason))
    return list(found.values())


def _differences(one: list[Any], other: list[Any], when: str, found: dict[str, Finding]) -> None:
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left == right:
            continue
        operation = left[0]
        key, what = _difference(left, right)
        where = f"sample {index}: " + what
        message = f"{where} when {when}"
        found.setdefault(operation, Finding(operation=operation, key=key, message=message))
        # From here on the states differ, and what follows from that is no new finding.
        return


def _difference(left: list[Any], right: list[Any]) -> tuple[str, str]:
    """(state key or empty, what differs) of one operation's two outcomes."""
    _, ok, reason, events, writes = left
    if (ok, reason) != (right[1], right[2]):
        return "", f"its result is {_outcome(ok, reason)}, and {_outcome(*right[1:3])}"
    if events != right[3]:
        return "", "its events differ"
    ours, theirs = dict(map(tuple, writes)), dict(map(tuple, right[4]))
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key, b"") != theirs.get(key, b""):
            return key.removeprefix(KEY_PREFIX).decode(errors="replace"), "it writes another value"
    return "", "it writes in another order"


def _outcome(ok: bool, reason: str | None) -> str:
    return "ok" if ok else f"undone ({reason})"
