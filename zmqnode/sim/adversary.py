"""Members that betray, by name. Each runs the honest machine and lies about what comes out of it.

A traitor owns its own instance key and nothing else: it signs whatever it likes with that key, and
may replay, withhold and misdirect anything it has seen. At most f members of a run are traitors (or
dead).
"""

from __future__ import annotations

import dataclasses
from collections import deque
from random import Random
from typing import TYPE_CHECKING, Final

from zmqnode.base.ballot import Ballot, Fact, accept_fact, draw_fact, init_fact, sign_ballot
from zmqnode.base.exchange import (
    NodeState,
    Published,
    Reply,
    SealsAnswer,
    Status,
    VotesAnswer,
    sign_status,
)
from zmqnode.base.hashes import Hash, tagged
from zmqnode.base.keys import Signature
from zmqnode.base.point import Point, Stage
from zmqnode.base.proposal import FRESH, Proposal, Value, sign_proposal
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.events import Event, Heard
from zmqnode.sim.clients import sign_seal

if TYPE_CHECKING:
    from zmqnode.sim.cluster import Cluster
    from zmqnode.sim.node import SimNode

HEARD_MAX: Final = 200  # Messages a traitor keeps to replay or to build upon.
TICK_MS: Final = 40
SLICE_MS: Final = 300  # How long a twin's mask lasts.
LIE: Final = 1000  # Heights a liar adds to its tip.
ACCEPT_SHARE: Final = 0.3  # Of the members that get a bad leader's ACCEPT of another's value.
FORWARD_MS: Final = 5_000  # How wrong a wrong clock is; far beyond the tolerance.


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

    def serves_blocks(self) -> bool:
        """Whether it answers who catches up."""
        return True

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
        return sign_ballot(fact, who.address, 0, who.signer)

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
            epoch=0,
            signer=who.signer,
        )

    def own(self, message: object) -> bool:
        """Whether a message is of this instance."""
        return getattr(message, "instance", None) == self.node.identity.instance


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


class Silent(Adversary):
    """Votes for a while, then says nothing at all; later speaks again."""

    def _quiet(self) -> bool:
        return bool(self.cluster.timeline.now_ms // 700 % 3)

    def publishes(self, message: Published) -> None:
        if not self._quiet():
            self.to_all(message)

    def answers(self, reply: Reply) -> Reply | None:
        return None if self._quiet() else reply

    def spreads_seals(self) -> bool:
        return not self._quiet()

    def serves_blocks(self) -> bool:
        return not self._quiet()


class Stale(Adversary):
    """Replays old messages, its own and those of others."""

    def publishes(self, message: Published) -> None:
        self.heard.append(message)
        self.to_all(message)

    def tick(self) -> None:
        for message in self.random.sample(list(self.heard), min(3, len(self.heard))):
            self.to_all(message)


class Forger(Adversary):
    """Ballots in others' names, of foreign keys, with broken signatures; hollow voteproofs."""

    def publishes(self, message: Published) -> None:
        self.to_all(message)
        if isinstance(message, Ballot) and self.own(message):
            for forged in self._forged(message):
                self.to_all(forged)
        elif isinstance(message, Voteproof):
            self.to_all(self._hollow(message))

    def _forged(self, ballot: Ballot) -> tuple[Published, ...]:
        others = self.others()
        victim = self.random.choice(others).identity
        fact = draw_fact(ballot.fact.point)
        stranger = self.cluster.keys.key("stranger").public
        own = self.ballot(fact)
        return (
            dataclasses.replace(own, address=victim.address, instance=victim.instance),
            dataclasses.replace(own, address=victim.address),
            dataclasses.replace(own, instance=stranger),
            dataclasses.replace(own, epoch=1),
            dataclasses.replace(own, signature=Signature(bytes(64))),
            Voteproof(fact=fact, signatures=((own.address, own.signature),)),
            self._in_all_names(fact, own.signature),
        )

    def _in_all_names(self, fact: Fact, signature: Signature) -> Voteproof:
        members = self.cluster.suffrage.members
        return Voteproof(fact=fact, signatures=tuple((m.address, signature) for m in members))

    def _hollow(self, vp: Voteproof) -> Voteproof:
        """The signatures of a true voteproof over another fact."""
        return Voteproof(fact=draw_fact(vp.fact.point), signatures=vp.signatures)


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


class Liar(Adversary):
    """Claims a tip far beyond the chain and serves no block of it."""

    def publishes(self, message: Published) -> None:
        if isinstance(message, Status) and self.own(message):
            who = self.node.identity
            message = sign_status(
                address=who.address,
                state=NodeState.CONSENSUS,
                height=message.height + LIE,
                tip=message.tip + LIE,
                clock_ms=message.clock_ms,
                signer=who.signer,
            )
        self.to_all(message)

    def serves_blocks(self) -> bool:
        return False


class ClockAhead(Adversary):
    """Honest but for a wall clock far ahead of time: its values are too early for all others."""

    def begin(self) -> None:
        self.node.offset_ms = FORWARD_MS


class ClockBehind(Adversary):
    """Honest but for a wall clock far behind."""

    def begin(self) -> None:
        self.node.offset_ms = -FORWARD_MS


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


class Amnesiac(Adversary):
    """Honest, but its disk lies: a planned crash forgets synced records. One of the f faulty."""


NAMES: Final[dict[str, type[Adversary]]] = {
    "equivocator": Equivocator,
    "silent": Silent,
    "stale": Stale,
    "forger": Forger,
    "bad-leader": BadLeader,
    "parrot": Parrot,
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
