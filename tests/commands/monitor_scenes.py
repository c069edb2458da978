"""Hand-made snapshots: the scenes that the monitor's pictures are compared in."""

from __future__ import annotations

import copy
from typing import Any

from zmqnode.client.answers import read
from zmqnode.client.feed_answers import Snapshot
from zmqnode.commands.monitor_handover import PHASES
from zmqnode.commands.monitor_picture import NodePicture, Picture

NOW_MS = 1_795_435_471_360
STARTED_MS = NOW_MS - 252_000
KEYS = (
    "HSezVAD3nj4pYupmun9jm5WkB17AfghDa8nQEYYHehk8Fp7zjmpu",
    "GkhMcC4LDk22FsRGoQ4qAjuZ2BZERof7VSfmNy9HfW3F3MpQvmpu",
    "2rA9mHwwqm6ZXqcvwxkRj1MzFD9sP3nJQxVwLkq8TjVnL7cCMmpu",
    "8ZxKq4o5bRrGvTnE6hXb1cWmYpNfUdSaLtJi3Qk7HgV2eDyPBmpu",
)
NEW_KEY = "5PjDJaGfSPJj4tFzMRCiuuAasKg5n8dJKXKenhuwZexxmNM3jmpu"


def at(ms: int) -> str:
    return f"2026-11-23T12:04:{ms % 60_000 // 1000:02d}.{ms % 1000:03d}Z"


def member(index: int, *, live: bool = True, heard_ms: int = 120) -> dict[str, Any]:
    seen = NOW_MS - (0 if index == 0 else heard_ms)
    return {
        "address": f"n{index}sas",
        "publickey": KEYS[(index + 1) % 4],
        "instance": KEYS[index],
        "epoch": 0,
        "url": f"tcp://127.0.0.1:{21000 + 3 * index}",
        "live": live,
        "last_seen_at": at(seen),
        "last_seen_at_ms": seen,
    }


def peer(index: int, *, connected: bool = True) -> dict[str, Any]:
    return {
        "address": f"n{index}sas",
        "instance": KEYS[index],
        "role": "active",
        "epoch": 0,
        "url": f"tcp://127.0.0.1:{21000 + 3 * index}",
        "connected": connected,
        "height": 42 if connected else 31,
        "rtt_ms": 0.4 + index if connected else None,
        "last_seen_at": at(NOW_MS - 120),
        "last_seen_at_ms": NOW_MS - 120,
        "clock_offset_ms": index - 2,
        "queue_messages": index,
        "dropped": 0 if connected else 12,
        "strikes": 0,
    }


def node_info() -> dict[str, Any]:
    return {
        "v": 1,
        "address": "n0sas",
        "publickey": KEYS[1],
        "epoch": 0,
        "instance": KEYS[0],
        "url": "tcp://127.0.0.1:21000",
        "height": 42,
        "network_id": "testnet-3fa9c1",
        "genesis_hash": "9b" * 32,
        "state": "CONSENSUS",
        "role": "active",
        "block_hash": "5e3c" * 16,
        "state_root": "7701" * 16,
        "proposed_at": at(NOW_MS - 240),
        "proposed_at_ms": NOW_MS - 240,
        "tip_height": 42,
        "lag_blocks": 0,
        "last_ballot": {"height": 43, "round": 0, "stage": "ACCEPT", "draw": False},
        "handover": None,
        "peers": 3,
        "suffrage": {
            "height": 43,
            "n": 4,
            "f": 1,
            "q": 3,
            "live": 4,
            "margin": 1,
            "members": [member(index) for index in range(4)],
        },
        "broken": None,
        "split": None,
        "ignored_ballots": 0,
        "evidence": 0,
        "pool": {"seals": 2, "operations": 2, "bytes": 412},
        "version": "0.1.0",
        "app": {"name": "kv", "version": 1},
        "params": {"activation_lag": 2, "empty_block_interval_ms": 1000},
        "started_at": at(STARTED_MS),
        "started_at_ms": STARTED_MS,
        "signature": "a1" * 64,
    }


def told() -> dict[str, Any]:
    """A healthy network of four in the middle of height 43."""
    return {
        "at": at(NOW_MS),
        "at_ms": NOW_MS,
        "node": node_info(),
        "blocks": {"interval_p50_ms": 251.0, "interval_p99_ms": 312.5, "per_minute": 231.0},
        "stages": [
            {"stage": "INIT", "votes": 4, "needed": 3, "since_ms": 120},
            {"stage": "ACCEPT", "votes": 2, "needed": 3, "since_ms": 40},
            {"stage": "DRAW", "votes": 0, "needed": 3, "since_ms": 0},
        ],
        "rounds": 1,
        "round_state": "accept",
        "leader": "n1sas",
        "peers": [peer(index) for index in range(1, 4)],
        "minutes": [0] * 12 + [3, 40, 120, 235, 240, 238, 240, 200, 90, 160] + [231] * 8,
        "votes": {
            f"n{index}sas": {
                "init": {"height": 43, "round": 0},
                "accept": {"height": 43 if index < 2 else 42, "round": 0},
            }
            for index in range(4)
        },
        "members": {
            f"n{index}sas": {
                "state": "CONSENSUS",
                "height": 42,
                "rtt_ms": None if index == 0 else 0.4 + index,
                "clock_offset_ms": None if index == 0 else index - 2,
            }
            for index in range(4)
        },
        "pool": {
            "seals": 2,
            "operations": 2,
            "bytes": 412,
            "in_per_s": 12.2,
            "out_per_s": 11.8,
            "refused": {"pool_full": 3, "sender_quota": 1},
        },
        "log": [
            {"at_ms": NOW_MS - 9000, "level": "info", "text": "CONSENSUS: votes at height 3"},
            {"at_ms": NOW_MS - 5000, "level": "warning", "text": "n3sas is gone: link lost"},
            {"at_ms": NOW_MS - 2000, "level": "info", "text": "n3sas is back at height 40"},
        ],
        "uptime_ms": 252_000,
        "skipped": 0,
    }


def session(phases: int = 6, **changes: Any) -> dict[str, Any]:
    names = PHASES["planned"]
    reached = [
        {
            "name": name,
            "height": 36 + index,
            "reached_at": at(NOW_MS - 900 + 100 * index),
            "reached_at_ms": NOW_MS - 900 + 100 * index,
        }
        for index, name in enumerate(names[:phases])
    ]
    return {
        "v": 1,
        "session": "5b1e9c0d2f7a4e61",
        "mode": "planned",
        "side": "old",
        "address": "n0sas",
        "epoch_before": 0,
        "epoch_after": 1,
        "old_instance": KEYS[0],
        "new_instance": NEW_KEY,
        "new_url": "tcp://127.0.0.1:21012",
        "reason": "",
        "phase": names[phases - 1],
        "phases": reached,
        "waits_for": None,
        "peers_ready": 4,
        "peers_needed": 3,
        "shadow_matches": 5,
        "shadow_needed": 5,
        "committed_height": 42 if phases > 5 else None,
        "acts_height": 44 if phases > 5 else None,
        "acknowledged_height": None,
        "returned_height": None,
        "outcome": None,
        "error": None,
        "missed_ballots": 0,
        "extra_rounds": 0,
        "seconds": 0.84,
        **changes,
    }


def snapshot(body: dict[str, Any]) -> Snapshot:
    return read(Snapshot, copy.deepcopy(body))


def picture(body: dict[str, Any], **changes: Any) -> Picture:
    node = NodePicture(
        name="n0",
        snapshot=snapshot(body),
        heard_ms=NOW_MS,
        session=body["node"]["handover"],
        problem=changes.pop("problem", ""),
    )
    return Picture(at_ms=changes.pop("at_ms", NOW_MS), nodes=(node,), **changes)


def healthy() -> Picture:
    return picture(told())


def handing_over() -> Picture:
    body = told()
    body["node"]["handover"] = session()
    return picture(body)


def one_down() -> Picture:
    """A member is silent, and the round was given up once."""
    body = told()
    body["node"]["suffrage"]["members"][3] = member(3, live=False, heard_ms=9_400)
    body["node"]["suffrage"] |= {"live": 3, "margin": 0}
    body["members"]["n3sas"] |= {"height": 31, "rtt_ms": None}
    body["peers"][2] = peer(3, connected=False)
    body |= {"rounds": 2, "round_state": "init", "leader": "n2sas"}
    body["stages"] = [
        {"stage": "INIT", "votes": 2, "needed": 3, "since_ms": 1_340},
        {"stage": "ACCEPT", "votes": 0, "needed": 3, "since_ms": 0},
        {"stage": "DRAW", "votes": 1, "needed": 3, "since_ms": 1_340},
    ]
    body["votes"]["n1sas"]["init"]["round"] = 1
    return picture(body)


def broken() -> Picture:
    """Stopped for safety: it takes no part and has nothing to show in many panels."""
    body = told()
    body["node"] |= {"state": "BROKEN", "last_ballot": None, "lag_blocks": 7, "tip_height": 49}
    body["node"]["broken"] = {"cause": "the disk is full", "way_out": "free space, then restart"}
    body["node"]["suffrage"] |= {"live": 3, "margin": 0}
    body |= {"stages": [], "rounds": 0, "round_state": "", "leader": None, "peers": []}
    body["minutes"] = [0] * 30
    body["blocks"] = {"interval_p50_ms": 0.0, "interval_p99_ms": 0.0, "per_minute": 0.0}
    body["votes"] = {name: {"init": None, "accept": None} for name in body["votes"]}
    body["pool"] |= {"refused": {}, "in_per_s": 0.0, "out_per_s": 0.0}
    body["log"] = []
    return picture(body)


def lost() -> Picture:
    """The connection is gone; the last picture stays."""
    gone = "the connection was lost"
    return picture(told(), at_ms=NOW_MS + 7_400, problem=gone)


def many() -> Picture:
    """Every node of a testnet: a standby follows, one node gives no answer."""
    standby = told()
    standby["node"] |= {"role": "standby", "state": "SYNCING", "instance": NEW_KEY}
    standby["node"] |= {"last_ballot": None, "url": "tcp://127.0.0.1:21012"}
    others = []
    for index in (1, 2):
        body = told()
        body["node"] |= {"address": f"n{index}sas", "instance": KEYS[index]}
        body["node"] |= {"url": f"tcp://127.0.0.1:{21000 + 3 * index}", "height": 42 - index % 2}
        others.append(body)
    nodes = (
        NodePicture(name="n0", snapshot=snapshot(told()), heard_ms=NOW_MS),
        NodePicture(name="n1", snapshot=snapshot(others[0]), heard_ms=NOW_MS),
        NodePicture(name="n2", snapshot=snapshot(others[1]), heard_ms=NOW_MS),
        NodePicture(name="n3", problem="nobody answers at tcp://127.0.0.1:21009"),
        NodePicture(name="n0b", snapshot=snapshot(standby), heard_ms=NOW_MS),
    )
    return Picture(at_ms=NOW_MS, nodes=nodes)


SCENES = {
    "healthy": healthy,
    "handover": handing_over,
    "one-down": one_down,
    "broken": broken,
    "lost": lost,
    "many": many,
}
