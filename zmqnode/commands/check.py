"""``zmqnode check``: whether a node is well, for people, scripts and monitoring systems."""

from __future__ import annotations

import enum
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from zmqnode.commands import health, terminal
from zmqnode.commands.asking import asking
from zmqnode.commands.options import (
    JsonOption,
    SignOption,
    TargetOption,
    TimeoutOption,
    parse_time_ms,
)
from zmqnode.errors import TimedOut, Undecided, Unreachable, ZmqnodeError

if TYPE_CHECKING:
    from rich.console import RenderableType

MAX_BLOCK_AGE_MS: Final = 30_000
SILENT: Final = (Unreachable, Undecided, TimedOut)

app = typer.Typer()


class Format(enum.StrEnum):
    """How the answer is printed."""

    TEXT = "text"
    NAGIOS = "nagios"
    PROMETHEUS = "prometheus"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="For whom.")]
LagOption = Annotated[
    int, typer.Option("--max-lag", metavar="BLOCKS", min=0, help="How far behind it may be.")
]
MarginOption = Annotated[
    int,
    typer.Option("--min-margin", metavar="N", help="Live members beyond the quorum, at least."),
]
AgeOption = Annotated[
    int | None,
    typer.Option(
        "--max-block-age",
        metavar="TIME",
        parser=parse_time_ms,
        help="How old the newest block may be; default 30s.",
    ),
]


@app.command("check")
def check(
    form: FormatOption = Format.TEXT,
    max_lag: LagOption = 5,
    min_margin: MarginOption = 0,
    max_block_age_ms: AgeOption = None,
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check that a node votes or follows, keeps up, and has a live quorum around it.

    Exit 0 if it is well (a warning is well), 1 if not, 3 if it cannot be reached. With --format
    nagios: 0 ok, 1 warning, 2 critical (also: cannot be reached), 3 unknown.
    """
    limits = health.Limits(
        max_lag=max_lag,
        min_margin=min_margin,
        max_block_age_ms=max_block_age_ms or MAX_BLOCK_AGE_MS,
    )
    as_json = as_json or form is Format.JSON
    nagios = form is Format.NAGIOS
    try:
        address, checks = _asked(target, sign, timeout_ms, limits)
    except ZmqnodeError as error:
        if not nagios:
            raise
        _fail_nagios(error, as_json=as_json)
    status = health.worst(checks)
    well = status in (health.OK, health.WARNING)
    answer = {"ok": well, "status": status, "checks": [one.json() for one in checks]}
    if as_json:
        terminal.write(sys.stdout, terminal.json_line(answer))
    elif nagios:
        terminal.line(health.nagios_line(address, status, checks))
    elif form is Format.PROMETHEUS:
        terminal.write(sys.stdout, health.prometheus_text(address, status, checks))
    else:
        # Its own exit code: the one below.
        terminal.show({**answer, "ok": True}, as_panel=check_panel)
    raise typer.Exit(health.NAGIOS_EXITS[status] if nagios else 0 if well else 1)


def _asked(
    target: str | None, sign: str | None, timeout_ms: int | None, limits: health.Limits
) -> tuple[str, tuple[health.Check, ...]]:
    """The node's address and its checks."""
    with asking(target, sign=sign, timeout_ms=timeout_ms) as client:
        chain = client.run(client.client.chain())
        info, peers = client.info(), client.peers()
    now_ms = time.time_ns() // 1_000_000 + chain.clock_offset_ms
    return info.address, health.judged(info, peers, now_ms, limits)


def _fail_nagios(error: ZmqnodeError, *, as_json: bool) -> NoReturn:
    """A node that does not answer is critical; a check that could not be made is unknown."""
    status = health.CRITICAL if isinstance(error, SILENT) else health.UNKNOWN
    if as_json:
        terminal.fail(error, as_json=True)
    else:
        terminal.line(health.nagios_line("", status, (), f"{error.message} [{error.code}]"))
    raise typer.Exit(health.NAGIOS_EXITS[status])


def check_panel(answer: dict[str, Any]) -> RenderableType:
    """The checks as a table, what is wrong in words."""
    from rich.console import Group

    from zmqnode.commands import view

    rows = [
        {key: one[key] for key in ("name", "status", "value", "limit", "message")}
        for one in answer["checks"]
    ]
    return Group(view.text(answer["status"].upper()), view.table(rows))
