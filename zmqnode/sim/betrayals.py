"""The traitors by the names that plans and ``--faults`` know them by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from zmqnode.sim.adversary import Adversary
from zmqnode.sim.liars import (
    Amnesiac,
    ClockAhead,
    ClockBehind,
    Faker,
    Forger,
    Liar,
    Silent,
    Stale,
)
from zmqnode.sim.voters import BadLeader, Equivocator, Parrot, Twin, Withholder

if TYPE_CHECKING:
    from zmqnode.sim.cluster import Cluster

NAMES: Final[dict[str, type[Adversary]]] = {
    "equivocator": Equivocator,
    "silent": Silent,
    "stale": Stale,
    "forger": Forger,
    "bad-leader": BadLeader,
    "parrot": Parrot,
    "faker": Faker,
    "withholder": Withholder,
    "liar": Liar,
    "clock-ahead": ClockAhead,
    "clock-behind": ClockBehind,
    "twins": Twin,
    "amnesiac": Amnesiac,
}


def corrupt(cluster: Cluster) -> None:
    """Make traitors of the members that the plan names."""
    for betrayal in cluster.plan.betrayals:
        kind = NAMES[betrayal.name]
        nodes = [cluster.nodes[betrayal.node]]
        if kind is Twin:
            nodes.append(cluster.add_twin(betrayal.node))
        for node in nodes:
            node.honest = False
            node.adversary = kind(cluster, node)
            node.adversary.begin()
