"""What ``zmqnode check`` finds in what a node says of itself: pure judgments, and their formats.

A limit that is not met is critical: whoever asks has said what it must be. Without a limit of its
own, a copy that votes although it should not rest, or a clock beside the others', is a
warning. What one traitor could cause at every honest node at will (evidence, a result of its own)
is no check here: a health check that it could turn red would be its tool.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from zmqnode.client import NodeInfo, PeerInfo

OK: Final = "ok"
WARNING: Final = "warning"
UNKNOWN: Final = "unknown"
CRITICAL: Final = "critical"
WORSE: Final = (OK, WARNING, UNKNOWN, CRITICAL)  # In this order.
NAGIOS_EXITS: Final = {OK: 0, WARNING: 1, CRITICAL: 2, UNKNOWN: 3}
EMPTY_INTERVALS: Final = 3  # A network without work makes a block at least so often.


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a healthy node keeps to."""

    max_lag: int
    min_margin: int
    max_block_age_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One judgment. ``value`` and ``limit`` are texts: numbers (seconds for times) or words."""

    name: str
    status: str
    value: str
    limit: str
    message: str

    def json(self) -> dict[str, str]:
        """The object of the contract."""
        return {
            "name": self.name,
            "status": self.status,
            "value": self.value,
            "limit": self.limit,
            "message": self.message,
        }


def worst(checks: Iterable[Check]) -> str:
    """The status of all together."""
    return max((check.status for check in checks), key=WORSE.index, default=UNKNOWN)


def judged(
    info: NodeInfo, peers: Sequence[PeerInfo], now_ms: int, limits: Limits
) -> tuple[Check, ...]:
    """All checks of one node.

    Args:
        now_ms: Unix ms by the node's own clock.
    """
    return (
        _state(info),
        _lag(info, limits),
        _margin(info, limits),
        _block_age(info, now_ms, limits),
        _clock(info, peers),
    )


def _state(info: NodeInfo) -> Check:
    active = info.role == "active"
    wanted = ("CONSENSUS",) if active else ("SYNCING", "HANDOVER")
    status, message = OK, f"{info.role}, {info.state}"
    if info.broken is not None:
        status = CRITICAL
        message = f"votes no more: {info.broken.cause}; way out: {info.broken.way_out}"
    elif info.state not in wanted:
        status = WARNING
        message += ": it does not vote now" if active else ": it does not follow the chain now"
    return Check(
        name="state", status=status, value=info.state, limit=" ".join(wanted), message=message
    )


def _lag(info: NodeInfo, limits: Limits) -> Check:
    late = info.lag_blocks > limits.max_lag
    return Check(
        name="lag",
        status=CRITICAL if late else OK,
        value=str(info.lag_blocks),
        limit=str(limits.max_lag),
        message=f"at height {info.height}, the network at {info.tip_height}",
    )


def _margin(info: NodeInfo, limits: Limits) -> Check:
    suffrage = info.suffrage
    low = suffrage.margin < limits.min_margin
    away = [one.address for one in suffrage.members if not one.live]
    message = f"{suffrage.live} of {suffrage.n} members are live, {suffrage.q} must be"
    if away:
        message += f"; away: {', '.join(away)}"
    return Check(
        name="margin",
        status=CRITICAL if low else OK,
        value=str(suffrage.margin),
        limit=str(limits.min_margin),
        message=message,
    )


def _block_age(info: NodeInfo, now_ms: int, limits: Limits) -> Check:
    """How old the newest block is, unless there is nothing to make one for."""
    empty_ms = info.params.get("empty_block_interval_ms")
    limit_ms, resting = limits.max_block_age_ms, False
    if isinstance(empty_ms, int):
        limit_ms = max(limit_ms, EMPTY_INTERVALS * empty_ms)
        resting = empty_ms == 0 and info.pool.seals == 0
    since_ms = info.started_at_ms if info.proposed_at_ms is None else info.proposed_at_ms
    age_ms = max(0, now_ms - since_ms)
    old = age_ms > limit_ms and not resting
    message = f"block {info.height} was proposed {_seconds(age_ms)} s ago"
    if info.proposed_at_ms is None:
        message = f"no block since the start {_seconds(age_ms)} s ago"
    if resting:
        message += "; a network without work makes none"
    return Check(
        name="block_age",
        status=CRITICAL if old else OK,
        value=_seconds(age_ms),
        limit=_seconds(limit_ms),
        message=message,
    )


def _clock(info: NodeInfo, peers: Sequence[PeerInfo]) -> Check:
    """The others' clocks beside its own: the middle one, which no f of them can move at will."""
    tolerance_ms = info.params.get("time_tolerance_ms")
    offsets = [
        one.clock_offset_ms
        for one in peers
        if one.connected and one.role == "active" and one.clock_offset_ms is not None
    ]
    if not offsets or not isinstance(tolerance_ms, int):
        message = "no member's clock is known" if len(info.suffrage.members) > 1 else "it is alone"
        return Check(name="clock", status=OK, value="0", limit="0", message=message)
    offset_ms = -median_low(offsets)
    off = abs(offset_ms) > tolerance_ms
    where = "ahead of" if offset_ms > 0 else "behind"
    message = f"its clock is {_seconds(abs(offset_ms))} s {where} the members'"
    if off:
        message += "; set it by NTP: what it proposes is refused"
    return Check(
        name="clock",
        status=WARNING if off else OK,
        value=_seconds(offset_ms),
        limit=_seconds(tolerance_ms),
        message=message,
    )


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.3f}".rstrip("0").rstrip(".")


# Formats.


def nagios_line(subject: str, status: str, checks: Sequence[Check], message: str = "") -> str:
    """One line for Nagios and its heirs: status, what is wrong (or what is), performance data.

    Source: Monitoring Plugins Development Guidelines, sections 2 and 5.
    """
    wrong = [f"{one.name}: {one.message}" for one in checks if one.status != OK]
    text = message or "; ".join(wrong) or (checks[0].message if checks else "")
    # One line, and the bar begins the performance data: neither is a text's to break.
    line = " ".join(f"ZMQNODE {status.upper()} - {subject} {text}".replace("|", "/").split())
    data = " ".join(_performance(one) for one in checks if one.name in _UNITS)
    return f"{line} | {data}" if data else line


_UNITS: Final = {"lag": "", "margin": "", "block_age": "s", "clock": "s"}


def _performance(check: Check) -> str:
    """``label=value[unit];warn;crit``, with ranges outside of which it is bad."""
    allowed = {
        "lag": f";0:{check.limit}",
        "margin": f";{check.limit}:",
        "block_age": f";0:{check.limit}",
        "clock": f"-{check.limit}:{check.limit};",
    }[check.name]
    return f"{check.name}={check.value}{_UNITS[check.name]};{allowed}"


def prometheus_text(address: str, status: str, checks: Sequence[Check]) -> str:
    """Prometheus text, for the textfile collector of node_exporter."""
    from zmqnode.metrics import Registry

    registry = Registry()
    all_ok = registry.gauge("zmqnode_check_ok", "1 if no check is critical.", ("address",))
    states = registry.gauge(
        "zmqnode_check_status",
        "0 ok, 1 warning, 2 critical, 3 unknown.",
        ("address", "check"),
    )
    values = registry.gauge(
        "zmqnode_check_value", "What was found, times in seconds.", ("address", "check")
    )
    limits = registry.gauge(
        "zmqnode_check_limit", "What it must keep to, times in seconds.", ("address", "check")
    )
    all_ok.set(int(status in (OK, WARNING)), address)
    for one in checks:
        states.set(NAGIOS_EXITS[one.status], address, one.name)
        if one.name in _UNITS:
            values.set(float(one.value), address, one.name)
            limits.set(float(one.limit), address, one.name)
    return registry.text()
