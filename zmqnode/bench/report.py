"""The report: floor and rows run after run, medians at the end.

Each run measures the floor first and then every row, so that a slow minute of the machine meets
all of them alike. A goal that depends on the floor is judged by the median floor of the same
report.
"""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from zmqnode.bench import floor
from zmqnode.bench.handovers import Handovers
from zmqnode.bench.rows import ROWS, Bar, Figure, Place, Row, Scale
from zmqnode.errors import Invalid

RUNS_MAX: Final = 100
NODES_MAX: Final = 16
SYNCS: Final = 50

Tell = Callable[[str], None]


def chosen(names: Sequence[str], nodes: int) -> tuple[Row, ...]:
    """The rows to measure, in their order.

    Args:
        names: of rows; none: all that need no naming and make sense with so many nodes.
    Raises:
        Invalid: ``usage``, no such row, or it needs more nodes.
    """
    by_name = {row.name: row for row in ROWS}
    for name in names:
        if name not in by_name:
            raise Invalid("usage", f"no row {name!r}", hint=f"rows: {', '.join(by_name)}")
        if by_name[name].nodes_min > nodes:
            least = by_name[name].nodes_min
            raise Invalid("usage", f"{name} needs {least} nodes", hint=f"--nodes {least}")
    if names:
        return tuple(row for row in ROWS if row.name in names)
    return tuple(row for row in ROWS if not row.only_named and row.nodes_min <= nodes)


async def measured(
    rows: Sequence[Row],
    *,
    nodes: int = 4,
    runs: int = 3,
    scale: Scale | None = None,
    floor_seconds: float = floor.MEASURED_S,
    tell: Tell = lambda text: None,
) -> dict[str, Any]:
    """Measure, and put the answer of ``bench`` together.

    Args:
        tell: hears each figure as it is measured.
    Raises:
        TimedOut: a network did not come up, or a node did not follow.
    """
    began = time.monotonic()
    floors: list[float] = []
    figures: dict[str, list[Figure]] = {row.name: [] for row in rows}
    with tempfile.TemporaryDirectory(prefix="zmqnode-bench-") as name:
        folder = Path(name)
        machine = machine_of(folder)
        for run in range(1, runs + 1):
            floors.append(floor.measure(folder, floor_seconds, nodes))
            tell(f"run {run}/{runs}: floor {floors[-1]:.0f} heights/s")
            shared: dict[str, Handovers] = {}
            for row in rows:
                place = Place(
                    folder=folder / row.name, nodes=nodes, scale=scale or Scale(), shared=shared
                )
                figure = await row.measure(place)
                figures[row.name].append(figure)
                tell(f"run {run}/{runs}: {row.name} {rounded(figure.value):g} {row.unit}")
    level = statistics.median(floors)
    return {
        "machine": machine,
        "floor": {
            "heights_per_s": round(level, 1),
            "runs": runs,
            "values": [round(one, 1) for one in floors],
        },
        "rows": [summary(row, figures[row.name], level) for row in rows],
        "seconds": round(time.monotonic() - began, 3),
    }


def summary(row: Row, figures: Sequence[Figure], level: float) -> dict[str, Any]:
    """One row of the answer; ``details`` holds medians of what was measured beside."""
    median = statistics.median(figure.value for figure in figures)
    details: dict[str, Any] = {}
    met = row.bar.met(median, level)
    for name in figures[0].details:
        told = [figure.details[name] for figure in figures]
        known = [one for one in told if one is not None]
        value = statistics.median(known) if known else None
        details[name] = {"median": None if value is None else rounded(value)}
        bar: Bar | None = row.bars.get(name)
        if bar is not None:
            reached = value is None or bar.met(value, level)
            details[name] |= {"goal": rounded(bar.at(level)), "met": reached}
            met = met and reached
    return {
        "name": row.name,
        "unit": row.unit,
        "median": rounded(median),
        "runs": len(figures),
        "goal": rounded(row.bar.at(level)),
        "met": met,
        "values": [rounded(figure.value) for figure in figures],
        "details": details,
    }


def rounded(value: float) -> float:
    """Four digits that count, and never fewer than the whole number."""
    return round(value, max(0, 3 - len(str(int(abs(value)))) + 1)) if value else 0.0


def machine_of(folder: Path) -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        "processor": _processor(),
        "filesystem": _filesystem(folder),
        "sync_ms": round(_sync_ms(folder), 3),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _filesystem(folder: Path) -> str:
    """The kind of file system a folder is on; empty if the system does not tell."""
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return ""
    mounts = {parts[1]: parts[2] for parts in (line.split() for line in lines) if len(parts) > 2}
    real = folder.resolve()
    for path in (real, *real.parents):
        if str(path) in mounts:
            return mounts[str(path)]
    return ""


def _sync_ms(folder: Path) -> float:
    """The median time of a write of 160 bytes and its fdatasync."""
    path = folder / "sync"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    times = []
    try:
        os.pwrite(handle, bytes(SYNCS * floor.BALLOT_BYTES), 0)
        os.fsync(handle)
        for number in range(SYNCS):
            began = time.perf_counter()
            os.pwrite(handle, bytes(floor.BALLOT_BYTES), number * floor.BALLOT_BYTES)
            os.fdatasync(handle)
            times.append((time.perf_counter() - began) * 1000)
    finally:
        os.close(handle)
        path.unlink()
    return statistics.median(times)
