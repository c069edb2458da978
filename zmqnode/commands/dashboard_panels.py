"""The Grafana dashboard: rows of panels over the metrics of a node, as values.

Every query names metrics of ``runtime.gauges`` and ``runtime.metering``; a test reads them out of
the dashboard and looks for each in what a real node exposes. Model: Grafana's dashboard JSON,
schema version 39 (Grafana 10.3); the data source, the job and the nodes are variables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

SCHEMA_VERSION: Final = 39
COLUMNS: Final = 24  # Of Grafana's grid.
PANEL_HEIGHT: Final = 8
STAT_HEIGHT: Final = 4
SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
NODES: Final = 'job=~"$job", instance=~"$node"'
RATE: Final = "$__rate_interval"
IN_CONSENSUS: Final = 'state="CONSENSUS"'
BROKEN: Final = 'state="BROKEN"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One expression; ``legend`` names a curve by its labels."""

    expression: str
    legend: str = "{{instance}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture. ``kind`` and ``unit`` are Grafana's words."""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: str = "timeseries"
    doc: str = ""
    width: int = 8
    steps: tuple[tuple[float | None, str], ...] = ()  # From which value on which colour.


def each(metric: str, labels: str = "", legend: str = "{{instance}}") -> Query:
    """A metric as it is, of the chosen nodes."""
    return Query(expression=of(metric, labels), legend=legend)


def of(metric: str, labels: str = "") -> str:
    """A selector of the chosen nodes."""
    return f"{metric}{{{NODES}{', ' + labels if labels else ''}}}"


def rate(metric: str, by: str = "instance") -> Query:
    """How fast a counter grows, per second, by a label."""
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    return Query(expression=f"sum by ({by}) (rate({of(metric)}[{RATE}]))", legend=legend)


def quantile(share: float, metric: str, by: str = "instance") -> Query:
    """A quantile of a histogram, by a label."""
    buckets = f"sum by (le, {by}) (rate({of(metric + '_bucket')}[{RATE}]))"
    legend = f"p{round(share * 100)} {{{{{by}}}}}"
    return Query(expression=f"histogram_quantile({share}, {buckets})", legend=legend)


GOOD_FROM_ONE: Final = ((None, "red"), (1, "green"))
GOOD_AT_ZERO: Final = ((None, "green"), (1, "red"))

OVERVIEW: Final = (
    Panel(
        title="Nodes in CONSENSUS",
        queries=(Query(expression=f"sum({of('zmqnode_state', IN_CONSENSUS)})"),),
        kind="stat",
        width=4,
        steps=GOOD_FROM_ONE,
    ),
    Panel(
        title="Height",
        queries=(Query(expression=f"max({of('zmqnode_height')})"),),
        kind="stat",
        width=4,
    ),
    Panel(
        title="Age of the newest block",
        queries=(Query(expression=f"time() - max({of('zmqnode_block_timestamp_seconds')})"),),
        unit="s",
        kind="stat",
        width=4,
        steps=((None, "green"), (30, "orange"), (60, "red")),
    ),
    Panel(
        title="Margin",
        doc="Live members beyond the quorum, as the worst informed node sees it.",
        queries=(Query(expression=f"min({of('zmqnode_suffrage_margin')})"),),
        kind="stat",
        width=4,
        steps=((None, "red"), (0, "orange"), (1, "green")),
    ),
    Panel(
        title="BROKEN",
        queries=(Query(expression=f"sum({of('zmqnode_state', BROKEN)})"),),
        kind="stat",
        width=4,
        steps=GOOD_AT_ZERO,
    ),
    Panel(
        title="Handover under way",
        queries=(Query(expression=f"max({of('zmqnode_handover_open')})"),),
        kind="stat",
        width=4,
    ),
)

CHAIN: Final = (
    Panel(title="Height", queries=(each("zmqnode_height"),)),
    Panel(title="Blocks per second", queries=(rate("zmqnode_blocks_total"),)),
    Panel(
        title="Operations per second",
        queries=(rate("zmqnode_operations_total"),),
        unit="ops",
    ),
    Panel(
        title="Block interval",
        queries=(
            quantile(0.5, "zmqnode_block_interval_seconds"),
            quantile(0.99, "zmqnode_block_interval_seconds"),
        ),
        unit="s",
    ),
    Panel(
        title="Stages of a round, p50",
        doc="Time to the proposal, from there to its INIT voteproof, from there to the commit.",
        queries=(quantile(0.5, "zmqnode_stage_seconds", by="stage"),),
        unit="s",
    ),
    Panel(
        title="Extra rounds per second",
        doc="A round that was given up: its leader was away, slow or lied.",
        queries=(rate("zmqnode_extra_rounds_total"),),
    ),
    Panel(title="Blocks behind", queries=(each("zmqnode_lag_blocks"),)),
    Panel(title="Round being worked at", queries=(each("zmqnode_round"),)),
    Panel(title="Different results of one value", queries=(each("zmqnode_split_results"),)),
)

MEMBERS: Final = (
    Panel(
        title="State",
        queries=(Query(expression=f"{of('zmqnode_state')} == 1", legend="{{instance}} {{state}}"),),
        kind="state-timeline",
        width=12,
    ),
    Panel(
        title="Members that are live",
        queries=(
            Query(
                expression=f"min by (address) ({of('zmqnode_member_live')})", legend="{{address}}"
            ),
        ),
        kind="state-timeline",
        width=12,
    ),
    Panel(
        title="Heights without a member's ballot, per second",
        queries=(rate("zmqnode_missed_heights_total", by="address"),),
    ),
    Panel(
        title="Ignored, per second",
        doc="Not entitled: ballots of an instance that does not vote for its address.",
        queries=(rate("zmqnode_ballots_ignored_total", by="instance, reason"),),
    ),
    Panel(title="Evidence of double signing", queries=(each("zmqnode_evidence_total"),)),
)

HANDOVER: Final = (
    Panel(
        title="Phase",
        queries=(
            Query(
                expression=f"{of('zmqnode_handover_phase')} == 1",
                legend="{{instance}} {{phase}}",
            ),
        ),
        kind="state-timeline",
        width=12,
    ),
    Panel(
        title="Epoch by member",
        doc="One more: another copy votes for the address.",
        queries=(
            Query(
                expression=f"max by (address) ({of('zmqnode_member_epoch')})", legend="{{address}}"
            ),
        ),
        width=12,
    ),
)

POOL: Final = (
    Panel(title="Seals waiting", queries=(each("zmqnode_pool_seals"),)),
    Panel(title="Bytes waiting", queries=(each("zmqnode_pool_bytes"),), unit="bytes"),
    Panel(
        title="Refused per second", queries=(rate("zmqnode_pool_refused_total", "instance, code"),)
    ),
)

NETWORK: Final = (
    Panel(title="Peers", queries=(each("zmqnode_peers"),)),
    Panel(
        title="Round trip",
        queries=(each("zmqnode_peer_rtt_seconds", legend="{{instance}} to {{address}} {{copy}}"),),
        unit="s",
    ),
    Panel(
        title="Clock offset",
        queries=(
            each(
                "zmqnode_peer_clock_offset_seconds",
                legend="{{instance}} sees {{address}} {{copy}}",
            ),
        ),
        unit="s",
    ),
    Panel(title="Clients", queries=(each("zmqnode_clients"),)),
    Panel(title="Strikes per second", queries=(rate("zmqnode_strikes_total", "instance, fault"),)),
    Panel(
        title="Connections cut per second",
        queries=(rate("zmqnode_connections_cut_total", "instance, fault"),),
    ),
    Panel(
        title="Messages lost or dropped per second",
        queries=(rate("zmqnode_messages_lost_total"), rate("zmqnode_messages_dropped_total")),
    ),
    Panel(
        title="Answers waiting for a peer",
        queries=(
            each("zmqnode_peer_queue_messages", legend="{{instance}} for {{address}} {{copy}}"),
        ),
    ),
    Panel(title="Door open", queries=(each("zmqnode_door_open"),)),
)

MACHINE: Final = (
    Panel(
        title="Journal sync",
        queries=(
            quantile(0.5, "zmqnode_journal_sync_seconds"),
            quantile(0.99, "zmqnode_journal_sync_seconds"),
        ),
        unit="s",
    ),
    Panel(
        title="Application and state tree, per block",
        queries=(quantile(0.99, "zmqnode_block_execution_seconds"),),
        unit="s",
    ),
    Panel(title="Loop lag", queries=(quantile(0.99, "zmqnode_loop_lag_seconds"),), unit="s"),
    Panel(
        title="Signature checks per second",
        queries=(rate("zmqnode_signature_checks_total", "instance, result"),),
    ),
    Panel(title="Processor", queries=(rate("process_cpu_seconds_total"),), unit="percentunit"),
    Panel(title="Memory", queries=(each("process_resident_memory_bytes"),), unit="bytes"),
    Panel(title="Disk free", queries=(each("zmqnode_disk_free_bytes"),), unit="bytes"),
    Panel(title="Open descriptors", queries=(each("process_open_fds"),)),
    Panel(
        title="Who",
        queries=(each("zmqnode_info", legend="{{address}} {{version}} {{app}} {{app_version}}"),),
    ),
)

ROWS: Final = {
    "Overview": OVERVIEW,
    "Chain": CHAIN,
    "Members": MEMBERS,
    "Handover": HANDOVER,
    "Pool": POOL,
    "Network": NETWORK,
    "Machine": MACHINE,
}


def dashboard() -> dict[str, Any]:
    """The dashboard, ready for ``json.dumps``."""
    return {
        "title": "zmqnode",
        "uid": "zmqnode",
        "tags": ["zmqnode"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": _variables()},
        "panels": _placed(),
    }


def _variables() -> list[dict[str, Any]]:
    job = _chosen("job", "label_values(zmqnode_info, job)")
    node = _chosen("node", 'label_values(zmqnode_info{job=~"$job"}, instance)')
    return [
        {"name": "source", "label": "Source", "type": "datasource", "query": "prometheus"},
        {**job, "label": "Job"},
        {**node, "label": "Node"},
    ]


def _chosen(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _placed() -> list[dict[str, Any]]:
    """Rows and panels from top to bottom, left to right."""
    found: list[dict[str, Any]] = []
    top = 0
    for title, panels in ROWS.items():
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        found.append(_row(len(found) + 1, title, place))
        top, left = top + 1, 0
        height = STAT_HEIGHT if panels[0].kind == "stat" else PANEL_HEIGHT
        for panel in panels:
            if left + panel.width > COLUMNS:
                top, left = top + height, 0
            place = {"x": left, "y": top, "w": panel.width, "h": height}
            found.append(_drawn(len(found) + 1, panel, place))
            left += panel.width
        top += height
    return found


def _row(number: int, title: str, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": place,
        "panels": [],
    }


def _drawn(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.steps:
        steps = [{"value": value, "color": colour} for value, colour in panel.steps]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": SOURCE,
            "expr": query.expression,
            "legendFormat": query.legend,
        }
        for index, query in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.doc,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": targets,
    }
