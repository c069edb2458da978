"""Alert rules for Prometheus over the metrics of a node: what needs a person, and what to do.

Three severities: ``critical`` (votes or data are at stake, or the network stands), ``warning`` (it
would not survive the next fault), ``info``. As with the dashboard, a test looks for every metric
named here in what a real node exposes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

BLOCK_AGE_MAX_S: Final = 60
LAG_MAX: Final = 100
POOL_SHARE_MAX: Final = 0.8
EXTRA_ROUNDS_SHARE_MAX: Final = 0.1
SYNC_MAX_S: Final = 0.1
LOOP_LAG_MAX_S: Final = 0.25
CLOCK_OFFSET_MAX_S: Final = 0.4  # time_tolerance_ms is 500 by default.
DISK_FREE_MIN_BYTES: Final = 5 * 1024**3
STRIKES_PER_S_MAX: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One rule. ``lasting`` is how long it must hold; ``summary`` may name labels."""

    name: str
    expression: str
    severity: str
    summary: str
    todo: str
    lasting: str = "1m"


def alerts(job: str) -> tuple[Alert, ...]:
    """All rules for the nodes of a scrape job."""
    one = f'job="{job}"'
    return (
        *_standing(one),
        *_chain(one),
        *_members(one),
        *_faults(one),
        *_load(one),
        *_machine(one),
    )


def rules_text(job: str) -> str:
    """The rule file, as YAML.

    Args:
        job: the scrape job's name in prometheus.yml.
    """
    import yaml

    rules = [
        {
            "alert": alert.name,
            "expr": alert.expression,
            "for": alert.lasting,
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.summary, "description": alert.todo},
        }
        for alert in alerts(job)
    ]
    tree: dict[str, Any] = {"groups": [{"name": "zmqnode", "rules": rules}]}
    head = "# Alert rules for zmqnode, made by `zmqnode dashboard alerts`.\n"
    return head + yaml.safe_dump(tree, sort_keys=False, width=1000)


def _standing(one: str) -> tuple[Alert, ...]:
    return (
        Alert(
            name="ZmqnodeDown",
            expression=f"up{{{one}}} == 0",
            severity="critical",
            summary="{{ $labels.instance }} does not answer",
            todo="Is it running? Its log (journalctl -u, node.log) says why it ended.",
        ),
        Alert(
            name="ZmqnodeBroken",
            expression=f'zmqnode_state{{{one}, state="BROKEN"}} == 1',
            severity="critical",
            lasting="0m",
            summary="{{ $labels.instance }} stopped voting for safety",
            todo="`zmqnode node info` names the cause and the way out. Do not just restart it.",
        ),
        Alert(
            name="ZmqnodeNotVoting",
            expression=(
                f'zmqnode_role{{{one}, role="active"}} == 1 and on (job, instance) '
                f'zmqnode_state{{{one}, state="CONSENSUS"}} == 0'
            ),
            severity="warning",
            lasting="2m",
            summary="{{ $labels.instance }} is entitled to vote and does not",
            todo="`zmqnode node info`: SYNCING is behind, JOINING waits for q members.",
        ),
    )


def _chain(one: str) -> tuple[Alert, ...]:
    age = f"time() - zmqnode_block_timestamp_seconds{{{one}}}"
    idle = f"2 * zmqnode_empty_block_interval_seconds{{{one}}}"
    work = f"(zmqnode_pool_seals{{{one}}} > 0 or zmqnode_empty_block_interval_seconds{{{one}}} > 0)"
    return (
        Alert(
            name="ZmqnodeChainStands",
            expression=f"{age} > {BLOCK_AGE_MAX_S} + {idle} and {work}",
            severity="critical",
            summary="no block for {{ $value | humanizeDuration }} ({{ $labels.instance }})",
            todo="`zmqnode suffrage list`: are q members live? `zmqnode node info`: a split?",
        ),
        Alert(
            name="ZmqnodeBehind",
            expression=f"zmqnode_lag_blocks{{{one}}} > {LAG_MAX}",
            severity="warning",
            lasting="5m",
            summary="{{ $labels.instance }} is {{ $value }} blocks behind",
            todo="It catches up by itself; if the lag grows, its disk or processor is too slow.",
        ),
        Alert(
            name="ZmqnodeHandoverOpen",
            expression=f"zmqnode_handover_open{{{one}}} == 1",
            severity="warning",
            lasting="5m",
            summary="a handover has been open for 5 minutes at {{ $labels.instance }}",
            todo="`zmqnode handover status` says what it waits for; `handover cancel` ends it.",
        ),
    )


def _members(one: str) -> tuple[Alert, ...]:
    margin = f"zmqnode_suffrage_margin{{{one}}}"
    missed = f"rate(zmqnode_missed_heights_total{{{one}}}[5m])"
    spare = f"zmqnode_suffrage_members{{{one}}} > zmqnode_suffrage_quorum{{{one}}}"
    return (
        Alert(
            name="ZmqnodeNoQuorum",
            expression=f"{margin} < 0",
            severity="critical",
            lasting="15s",
            summary="{{ $labels.instance }} sees fewer live members than the quorum",
            todo="The network waits, nothing is lost. `zmqnode suffrage list` names who is away.",
        ),
        Alert(
            name="ZmqnodeNoMargin",
            expression=f"{margin} == 0 and {spare}",
            severity="warning",
            summary="one member more and the network stands ({{ $labels.instance }})",
            todo="Bring the member back that `zmqnode suffrage list` shows as not live.",
        ),
        Alert(
            name="ZmqnodeMemberMissing",
            expression=f"max by (job, address) ({missed}) > 0",
            severity="warning",
            lasting="2m",
            summary="{{ $labels.address }} does not vote",
            todo="Is it running, is its network up? A standby can take its vote over.",
        ),
    )


def _faults(one: str) -> tuple[Alert, ...]:
    return (
        Alert(
            name="ZmqnodeExtraRounds",
            expression=(
                f"rate(zmqnode_extra_rounds_total{{{one}}}[10m]) / "
                f"rate(zmqnode_blocks_total{{{one}}}[10m]) > {EXTRA_ROUNDS_SHARE_MAX}"
            ),
            severity="warning",
            lasting="10m",
            summary="many blocks need more than one round ({{ $labels.instance }})",
            todo="A leader is slow or away, or links lose messages: `zmqnode peers`.",
        ),
        Alert(
            name="ZmqnodeDoubleSigning",
            expression=f"increase(zmqnode_evidence_total{{{one}}}[1h]) > 0",
            severity="critical",
            lasting="0m",
            summary="an instance signed two different messages at one point",
            todo="`zmqnode events --kind evidence` names it: it lies, or its key was copied.",
        ),
        Alert(
            name="ZmqnodeResultsDiffer",
            expression=f"zmqnode_split_results{{{one}}} > 1",
            severity="critical",
            lasting="15s",
            summary="members computed different results ({{ $labels.instance }})",
            todo="`zmqnode node info` (split) says who: another version of the application?",
        ),
    )


def _load(one: str) -> tuple[Alert, ...]:
    seals = f"zmqnode_pool_seals{{{one}}} / zmqnode_pool_seals_max{{{one}}}"
    size = f"zmqnode_pool_bytes{{{one}}} / zmqnode_pool_bytes_max{{{one}}}"
    return (
        Alert(
            name="ZmqnodePoolFull",
            expression=f"{seals} > {POOL_SHARE_MAX} or {size} > {POOL_SHARE_MAX}",
            severity="warning",
            lasting="5m",
            summary="the seal pool of {{ $labels.instance }} fills up",
            todo="More comes in than blocks take: slow the clients down.",
        ),
        Alert(
            name="ZmqnodeDoorClosed",
            expression=f"zmqnode_door_open{{{one}}} == 0",
            severity="warning",
            summary="{{ $labels.instance }} lets no clients in",
            todo="It is short of memory or descriptors; its log says which. It votes on.",
        ),
        Alert(
            name="ZmqnodeStrikes",
            expression=(
                f"sum by (job, instance, fault) (rate(zmqnode_strikes_total{{{one}}}[5m])) "
                f"> {STRIKES_PER_S_MAX}"
            ),
            severity="info",
            lasting="5m",
            summary="{{ $labels.instance }} counts faults of others: {{ $labels.fault }}",
            todo="`zmqnode peers` shows whose; the connections are cut by themselves.",
        ),
    )


def _machine(one: str) -> tuple[Alert, ...]:
    sync = f"rate(zmqnode_journal_sync_seconds_bucket{{{one}}}[5m])"
    lag = f"rate(zmqnode_loop_lag_seconds_bucket{{{one}}}[5m])"
    offset = f"abs(zmqnode_peer_clock_offset_seconds{{{one}}})"
    return (
        Alert(
            name="ZmqnodeSlowDisk",
            expression=f"histogram_quantile(0.99, {sync}) > {SYNC_MAX_S}",
            severity="warning",
            lasting="10m",
            summary="syncing the vote journal of {{ $labels.instance }} takes long",
            todo="Every vote waits for it: give the data folder a disk of its own.",
        ),
        Alert(
            name="ZmqnodeLoopLag",
            expression=f"histogram_quantile(0.99, {lag}) > {LOOP_LAG_MAX_S}",
            severity="warning",
            lasting="10m",
            summary="{{ $labels.instance }} is short of processor time",
            todo="Something else takes its core, or the application's operations are too long.",
        ),
        Alert(
            name="ZmqnodeDiskLow",
            expression=f"zmqnode_disk_free_bytes{{{one}}} < {DISK_FREE_MIN_BYTES}",
            severity="critical",
            lasting="5m",
            summary="{{ $labels.instance }} has {{ $value | humanize1024 }}B of disk left",
            todo="A node that cannot write stops voting for good: make room now.",
        ),
        Alert(
            name="ZmqnodeClock",
            expression=f"max by (job, instance) ({offset}) > {CLOCK_OFFSET_MAX_S}",
            severity="warning",
            lasting="5m",
            summary="clocks differ by {{ $value }} s as {{ $labels.instance }} sees it",
            todo="Blocks of a wrong clock are refused: check the time service there and here.",
        ),
    )
