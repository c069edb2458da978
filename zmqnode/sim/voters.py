"""Traitors that betray with votes and proposals."""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import TYPE_CHECKING, Final

from zmqnode.base.ballot import Ballot, Fact, accept_fact, draw_fact, init_fact
from zmqnode.base.exchange import (
    Published,
    Reply,
    SealsAnswer,
    VotesAnswer,
)
from zmqnode.base.hashes import Hash, tagged
from zmqnode.base.point import Point, Stage
from zmqnode.base.proposal import FRESH, Proposal, Value
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.events import Event, Heard
from zmqnode.sim.adversary import HEARD_MAX, Adversary
from zmqnode.sim.clients import sign_seal

if TYPE_CHECKING:
    from zmqnode.sim.cluster import Cluster
    from zmqnode.sim.node import SimNode

SLICE_MS: Final = 300  # How long a twin's mask lasts.
ACCEPT_SHARE: Final = 0.3  # Of the members that get a bad leader's ACCEPT of another's value.


class Equivocator(Adversary):
    """Two ballots at every point and two proposals, to different halves."""

    def publishes(self, message: Published) -> None:
        match message:
            case Ballot() if self.own(message):
                self.to_halves(message, self.ballot(self._conflicting(message.fact)))
            case Proposal() if self.own(message):
                self.heard.append(message)
                value = dataclasses.replace(message.value, time_ms=message.value.time_ms + 1)
                pr, reasons = message.pr, message.justification
                twin = self.proposal(message.point, value, pr, reasons)
                self.heard.append(twin)
                self.to_halves(message, twin)
                for one in (message, twin):
                    if self.random.random() < 0.7:
                        self.to_all(self.ballot(init_fact(one.point, one.value.hash)))
            case _:
                self.to_all(message)

    def _conflicting(self, fact: Fact) -> Fact:
        values = [
            p.value.hash
            for p in self.heard
            if isinstance(p, Proposal) and p.height == fact.height and p.value.hash != fact.value
        ]
        other = self.random.choice(values) if values else tagged(b"no-value", b"%d" % fact.round)
        if fact.stage is Stage.INIT:
            return init_fact(fact.point, other)
        if fact.draw or self.random.random() < 0.5:
            return accept_fact(fact.point, other, tagged(b"no-block", other))
        return draw_fact(fact.point)


class BadLeader(Adversary):
    """Leads later rounds with what it must not: fresh values, wrong rounds, no reasons.

    It keeps its ACCEPTs of other values from most members, so that rounds are lost, proposes as
    soon as somebody enters a round that it leads, and votes for its own value with whoever follows
    it.
    """

    def __init__(self, cluster: Cluster, node: SimNode) -> None:
        super().__init__(cluster, node)
        self._values: deque[Value] = deque(maxlen=HEARD_MAX)
        self._bad: deque[Hash] = deque(maxlen=HEARD_MAX)
        self._led: deque[tuple[int, int]] = deque(maxlen=HEARD_MAX)

    def publishes(self, message: Published) -> None:
        match message:
            case Proposal(round=round_) if self.own(message):
                if round_ > 0:
                    self._lead(message.height, round_, message.justification)
                elif self.random.random() < 0.5:
                    self.to_all(message)
            case Voteproof(fact=fact) if fact.block is not None:
                pass  # Nobody learns from it what was decided.
            case Ballot(fact=fact) if self.own(message) and fact.stage is Stage.ACCEPT:
                event = self.heard_event(message)
                for target in self.others():
                    if self.random.random() < ACCEPT_SHARE:
                        self.cluster.send(self.node, target, event)
            case _:
                self.to_all(message)

    def answers(self, reply: Reply) -> Reply | None:
        return None if isinstance(reply, VotesAnswer) else reply

    def hears(self, event: Event) -> None:
        match event:
            case Heard(message=Proposal(value=value)):
                self._values.append(value)
            case Heard(message=Voteproof(fact=fact) as vp) if fact.block is None:
                self._lead(fact.height, fact.round + 1, (vp,))
            case Heard(message=Ballot(fact=fact)) if fact.value in self._bad:
                self.echo(fact)
            case _:
                pass

    def _lead(self, height: int, round_: int, reasons: tuple[Voteproof, ...]) -> None:
        """A bad proposal at a point that this member leads, once."""
        values = [value for value in self._values if value.height == height]
        kernel = self.node.machine.kernel if self.node.machine is not None else None
        if not values or kernel is None or (height, round_) in self._led:
            return
        if not kernel.chain.tip.height - 1 <= height <= kernel.chain.tip.height + 2:
            return
        if kernel.chain.leader(height, round_).instance != self.node.identity.instance:
            return
        self._led.append((height, round_))
        old = self.random.choice(values)
        fresh = dataclasses.replace(old, time_ms=old.time_ms + self.random.randint(1, 20))
        value, pr, chosen = self.random.choice(
            (
                (fresh, FRESH, reasons),
                (fresh, FRESH, ()),
                (fresh, FRESH, reasons[1:]),
                (fresh, round_ - 1, reasons),
                (old, round_ - 1, ()),
                (old, FRESH, reasons),
            )
        )
        point = Point(height=height, round=round_)
        self._bad.append(value.hash)
        self.to_all(self.proposal(point, value, pr, chosen))
        self.to_all(self.ballot(init_fact(point, value.hash)))


class Parrot(Adversary):
    """Signs whatever it hears anybody sign, contradictions and all."""

    def hears(self, event: Event) -> None:
        match event:
            case Heard(message=Ballot(fact=fact)):
                self.echo(fact)
            case _:
                pass


class Withholder(Adversary):
    """Proposes seals that nobody else has, and serves them to one member at most."""

    def publishes(self, message: Published) -> None:
        if isinstance(message, Proposal) and self.own(message) and message.pr == FRESH:
            cluster = self.cluster
            seal = sign_seal(
                cluster.keys.key("accomplice"),
                cluster.domain,
                max(0, message.value.time_ms - 1),
                self.random.randbytes(16),
                1,
            )
            seals = (*message.value.seals, seal.hash)
            value = dataclasses.replace(message.value, seals=seals)
            self.to_all(self.proposal(message.point, value, FRESH, message.justification))
            return
        self.to_all(message)

    def answers(self, reply: Reply) -> Reply | None:
        if isinstance(reply, SealsAnswer) and self.random.random() < 0.7:
            return None
        return reply

    def spreads_seals(self) -> bool:
        return False


class Twin(Adversary):
    """One of two honest machines under one key; each reaches some of the others, by turns."""

    _mask = 0
    _slice = -1

    def reaches(self, other: SimNode) -> bool:
        now = self.cluster.timeline.now_ms // SLICE_MS
        if now != self._slice:
            self._slice = now
            self._mask = self.random.getrandbits(len(self.cluster.nodes))
        return bool(self._mask >> other.index & 1)
