"""Traitors that betray with silence, lies, forgeries and wrong clocks."""

from __future__ import annotations

import dataclasses
from typing import Final

from zmqnode.base.ballot import Ballot, Fact, accept_fact, draw_fact
from zmqnode.base.block import Block
from zmqnode.base.exchange import (
    LastBallotAnswer,
    NodeState,
    Published,
    Reply,
    SealsAnswer,
    Status,
    VotesAnswer,
    sign_status,
)
from zmqnode.base.keys import PublicKey, Signature
from zmqnode.base.point import Point
from zmqnode.base.seal import seal_hash
from zmqnode.base.voteproof import Voteproof
from zmqnode.sim.adversary import Adversary, Served

LIE: Final = 1000  # Heights a liar adds to its tip.
FORWARD_MS: Final = 5_000  # How wrong a wrong clock is; far beyond the tolerance.


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

    def serves(self, blocks: Served) -> Served | None:
        return None if self._quiet() else blocks


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


class Faker(Adversary):
    """Answers with what never was: other blocks, other people's newest ballots, others' votes."""

    def answers(self, reply: Reply) -> Reply | None:
        match reply:
            case LastBallotAnswer():
                return dataclasses.replace(reply, ballot=self._never_cast(reply.instance))
            case VotesAnswer(voteproofs=voteproofs):
                hollow = tuple(self._hollow(vp) for vp in voteproofs)
                return dataclasses.replace(reply, voteproofs=hollow)
            case SealsAnswer(seals=seals):
                missing = tuple(seal_hash(data) for data in seals)
                return SealsAnswer(seals=(), missing=(*reply.missing, *missing))
            case _:
                return reply

    def serves(self, blocks: Served) -> Served | None:
        return tuple(self._faked(block, accept) for block, accept in blocks)

    def _never_cast(self, instance: PublicKey) -> Ballot | None:
        """A ballot far ahead in the asker's name; signed with the key that is at hand."""
        for member in self.cluster.suffrage.members:
            if member.instance == instance:
                point = Point(height=self.node.disk.height + 5, round=0)
                return dataclasses.replace(
                    self.ballot(draw_fact(point)), address=member.address, instance=instance
                )
        return None

    @staticmethod
    def _hollow(vp: Voteproof) -> Voteproof:
        return Voteproof(fact=draw_fact(vp.fact.point), signatures=vp.signatures)

    def _faked(self, block: Block, accept: Voteproof) -> tuple[Block, Voteproof]:
        value, manifest = block.value, block.manifest
        assert value is not None
        lie = self.random.randrange(5)
        if lie == 0:  # Another value under the true block's voteproof.
            value = dataclasses.replace(value, time_ms=value.time_ms + 1)
        elif lie == 1:  # A consistent block that nobody voted for.
            value = dataclasses.replace(value, time_ms=value.time_ms + 1)
            manifest = dataclasses.replace(manifest, value=value.hash)
            fact = accept_fact(accept.fact.point, value.hash, manifest.hash)
            accept = Voteproof(fact=fact, signatures=accept.signatures)
        elif lie == 2:  # The true block, hardly signed.
            accept = Voteproof(fact=accept.fact, signatures=accept.signatures[:1])
        elif lie == 3:  # The true block without its content.
            return dataclasses.replace(block, seals=()), accept
        return dataclasses.replace(block, value=value, manifest=manifest), accept


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

    def serves(self, blocks: Served) -> Served | None:
        return None


class ClockAhead(Adversary):
    """Honest but for a wall clock far ahead of time: its values are too early for all others."""

    def begin(self) -> None:
        self.node.offset_ms = FORWARD_MS


class ClockBehind(Adversary):
    """Honest but for a wall clock far behind."""

    def begin(self) -> None:
        self.node.offset_ms = -FORWARD_MS


class Amnesiac(Adversary):
    """Honest, but its disk lies: a planned crash forgets synced records. One of the f faulty."""
