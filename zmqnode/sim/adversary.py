"""What every traitor is: the honest machine inside, and a liar between it and the network.

A traitor owns its own instance key and nothing else: it signs whatever it likes with that key, and
may replay, withhold and misdirect anything it has seen. At most f members of a run are traitors (or
dead). Those with names are in voters.py (they betray with votes and proposals) and liars.py (with
all else).
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import TYPE_CHECKING, Final

from zmqnode.base.ballot import Ballot, Fact, sign_ballot
from zmqnode.base.block import Block
from zmqnode.base.exchange import (
    Published,
    Reply,
)
from zmqnode.base.point import Point
from zmqnode.base.proposal import Proposal, Value, sign_proposal
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.events import Event, Heard

if TYPE_CHECKING:
    from zmqnode.sim.cluster import Cluster
    from zmqnode.sim.node import SimNode

Served = tuple[tuple[Block, Voteproof], ...]
HEARD_MAX: Final = 200  # Messages a traitor keeps to replay or to build upon.
TICK_MS: Final = 40


class Adversary:
    """Does nothing wrong by itself; the names below override what they corrupt."""

    def __init__(self, cluster: Cluster, node: SimNode) -> None:
        self.cluster = cluster
        self.node = node
        self.random = Random(cluster.random.random())
        self.heard: deque[Published] = deque(maxlen=HEARD_MAX)
        self._echoed: dict[Fact, None] = {}

    # What the honest machine inside asks for.

    def publishes(self, message: Published) -> None:
        """The machine publishes: to all, as it is."""
        self.to_all(message)

    def answers(self, reply: Reply) -> Reply | None:
        """The machine answers somebody; None: it stays silent."""
        return reply

    def spreads_seals(self) -> bool:
        """Whether seals of its pool are published."""
        return True

    def serves(self, blocks: Served) -> Served | None:
        """It answers who catches up: with what its store holds; None: not at all."""
        return blocks

    def reaches(self, other: SimNode) -> bool:
        """Whether messages to and from another node pass at all right now."""
        return True

    def hears(self, event: Event) -> None:
        """Anything arrives at it, before its machine gets it."""

    def tick(self) -> None:
        """Every ``TICK_MS`` while it is up."""

    # Means.

    def begin(self) -> None:
        """Start ticking."""
        self.cluster.timeline.after(TICK_MS * 1000, self._tick)

    def _tick(self) -> None:
        if self.node.machine is not None:
            self.tick()
        self.cluster.timeline.after(TICK_MS * 1000, self._tick)

    def others(self) -> list[SimNode]:
        """All nodes that are not this member."""
        own = self.node.identity.instance
        return [node for node in self.cluster.nodes if node.identity.instance != own]

    def heard_event(self, message: Published) -> Event:
        """As the others will receive it."""
        return Heard(message=message, source=self.node.identity.instance)

    def to_all(self, message: Published) -> None:
        """Publish as an honest node would."""
        self.cluster.broadcast(self.node, self.heard_event(message))

    def to_halves(self, first: Published, second: Published) -> None:
        """One to a random half of the others, the other one to the rest."""
        event, other = self.heard_event(first), self.heard_event(second)
        for target in self.others():
            chosen = event if self.random.random() < 0.5 else other
            self.cluster.send(self.node, target, chosen)

    def ballot(self, fact: Fact) -> Ballot:
        """An own ballot of any fact."""
        who = self.node.identity
        return sign_ballot(fact, who.address, self.epoch(fact.height), who.signer)

    def epoch(self, height: int) -> int:
        """Of its address at a height, as far as anybody knows."""
        voter = self.cluster.checkers.epochs.voter(self.node.identity.address, height)
        return 0 if voter is None else voter[1]

    def echo(self, fact: Fact) -> None:
        """Vote as somebody else did; once, or two of a kind would never stop."""
        if fact not in self._echoed:
            if len(self._echoed) >= HEARD_MAX:
                self._echoed.clear()
            self._echoed[fact] = None
            self.to_all(self.ballot(fact))

    def proposal(
        self, point: Point, value: Value, pr: int, reasons: tuple[Voteproof, ...]
    ) -> Proposal:
        """An own proposal of any value."""
        who = self.node.identity
        return sign_proposal(
            point,
            value,
            pr=pr,
            justification=reasons,
            address=who.address,
            epoch=self.epoch(point.height),
            signer=who.signer,
        )

    def own(self, message: object) -> bool:
        """Whether a message is of this instance."""
        return getattr(message, "instance", None) == self.node.identity.instance
