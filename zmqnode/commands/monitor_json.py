"""The monitor for programs: the object of CLI.md section 8, of a picture."""

from __future__ import annotations

from typing import Any

from zmqnode.base.instant import rfc3339
from zmqnode.commands.monitor_picture import Picture


def told(picture: Picture) -> dict[str, Any]:
    """``at*``, NodeInfo of every node that answers, pace and stages of the first of them."""
    heard = [one.snapshot for one in picture.nodes if one.snapshot is not None and not one.problem]
    known = heard or [one.snapshot for one in picture.nodes if one.snapshot is not None]
    first = known[0] if known else None
    blocks = {"interval_p50_ms": 0.0, "interval_p99_ms": 0.0, "per_minute": 0.0}
    return {
        "at": rfc3339(picture.at_ms),
        "at_ms": picture.at_ms,
        "nodes": [one.node.json() for one in heard],
        "blocks": blocks if first is None else first.blocks.json(),
        "stages": [] if first is None else [stage.json() for stage in first.stages],
    }


def whole(picture: Picture) -> dict[str, Any]:
    """All that is known at one moment, as the key s saves it."""
    return {
        "at": rfc3339(picture.at_ms),
        "at_ms": picture.at_ms,
        "nodes": [
            {
                "name": one.name,
                "problem": one.problem,
                "age_ms": max(0, picture.at_ms - one.heard_ms) if one.snapshot else None,
                "handover": one.session,
                "snapshot": None if one.snapshot is None else one.snapshot.json(),
            }
            for one in picture.nodes
        ],
    }
