"""When a local network has settled: what ``testnet up`` waits for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from zmqnode.commands.local_network import Member
from zmqnode.commands.network_status import settled


@dataclass(frozen=True)
class Told:
    """What matters of a NodeInfo."""

    role: str
    state: str
    height: int = 7


VOTES, FOLLOWS = Told("active", "CONSENSUS"), Told("standby", "SYNCING")
ADDRESSES = ("n0sas", "n0sas", "n1sas")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ((VOTES, FOLLOWS, VOTES), True),
        ((FOLLOWS, VOTES, VOTES), True),
        ((VOTES, Told("retired", "HANDOVER"), VOTES), True),
        ((FOLLOWS, FOLLOWS, VOTES), False),
        ((VOTES, FOLLOWS, Told("active", "CONSENSUS", 0)), False),
        ((VOTES, FOLLOWS, Told("active", "JOINING")), False),
        ((VOTES, Told("standby", "BOOTING"), VOTES), False),
        ((VOTES, None, VOTES), False),
        ((VOTES, VOTES, VOTES), False),  # One was away, and does not know yet.
    ],
)
def test_settled(told: tuple[Any, ...], expected: bool) -> None:
    nodes = [
        Member(name=f"n{index}", address=address, folder=Path(), url="")
        for index, address in enumerate(ADDRESSES)
    ]
    assert settled(nodes, told) is expected
