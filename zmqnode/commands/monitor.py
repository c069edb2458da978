"""``zmqnode monitor``: a node, or every node of a local network, live on the terminal.

The command only reads what was typed; what it does is in ``monitor_run``, loaded when it runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from zmqnode.commands import terminal
from zmqnode.commands.options import (
    JsonOption,
    SignOption,
    TargetOption,
    TimeoutOption,
    parse_time_ms,
)

app = typer.Typer()

INTERVAL_MS: Final = 250
SPEED_MIN: Final = 0.1
SPEED_MAX: Final = 1000.0
COLUMNS_MAX: Final = 1000
LINES_MAX: Final = 1000
_SIZE: Final = re.compile(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was typed. ``size`` is columns and lines, None: the terminal's."""

    target: str | None
    every: bool
    once: bool
    as_json: bool
    panels: tuple[str, ...]
    interval_ms: int
    record: Path | None
    replay: Path | None
    speed: float
    at_ms: int | None
    ascii_only: bool
    control: bool
    sign: str | None
    timeout_ms: int | None
    svg: Path | None
    size: tuple[int, int] | None


def _parse_size(text: str | None) -> tuple[int, int] | None:
    """COLUMNSxLINES; raises typer.BadParameter."""
    if text is None:
        return None
    found = _SIZE.fullmatch(text)
    if found is None or int(found[1]) > COLUMNS_MAX or int(found[2]) > LINES_MAX:
        raise typer.BadParameter(f"{text!r} is no size; write COLUMNSxLINES, such as 100x30")
    return int(found[1]), int(found[2])


AllOption = Annotated[bool, typer.Option("--all", help="Every node of the testnet in use.")]
OnceOption = Annotated[bool, typer.Option("--once", help="One picture as text, then end.")]
PanelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--panel",
        metavar="NAME",
        help="Only these: suffrage, height, blocks, ballots, handover, pool, peers, log.",
    ),
]
IntervalOption = Annotated[
    int | None,
    typer.Option(
        "--interval", metavar="TIME", parser=parse_time_ms, help="100ms to 10s; default 250ms."
    ),
]
RecordOption = Annotated[
    Path | None, typer.Option("--record", metavar="F", help="Write all that comes to a file.")
]
ReplayOption = Annotated[
    Path | None, typer.Option("--replay", metavar="F", help="Play such a file; asks no node.")
]
SpeedOption = Annotated[
    float, typer.Option("--speed", min=SPEED_MIN, max=SPEED_MAX, help="Of the replay.")
]
AtOption = Annotated[
    int | None,
    typer.Option(
        "--at", metavar="TIME", parser=parse_time_ms, help="With --replay --once: the moment."
    ),
]
AsciiOption = Annotated[bool, typer.Option("--ascii", help="No characters but ASCII.")]
ControlOption = Annotated[bool, typer.Option("--control", help="H may start a handover.")]
SvgOption = Annotated[
    Path | None, typer.Option("--svg", metavar="FILE", help="With --once: a picture as SVG.")
]
SizeOption = Annotated[
    str | None,
    typer.Option("--size", metavar="CxL", help="Of a picture with --once: 100x30."),
]


@app.command("monitor")
def monitor(
    target: TargetOption = None,
    every: AllOption = False,
    once: OnceOption = False,
    panels: PanelOption = None,
    interval_ms: IntervalOption = None,
    record: RecordOption = None,
    replay: ReplayOption = None,
    speed: SpeedOption = 1.0,
    at_ms: AtOption = None,
    ascii_only: AsciiOption = False,
    control: ControlOption = False,
    svg: SvgOption = None,
    size: SizeOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Watch a node live: ? shows the keys. Without a terminal: text, once."""
    from zmqnode.commands import monitor_run

    asked = Asked(
        target=target,
        every=every,
        once=once,
        as_json=as_json,
        panels=tuple(panels or ()),
        interval_ms=INTERVAL_MS if interval_ms is None else interval_ms,
        record=record,
        replay=replay,
        speed=speed,
        at_ms=at_ms,
        ascii_only=ascii_only,
        control=control,
        sign=sign,
        timeout_ms=timeout_ms,
        svg=svg,
        size=_parse_size(size),
    )
    with terminal.streaming():
        monitor_run.run(asked)
