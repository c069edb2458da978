"""Ballots of one round, counted once each; and all that is known of one height.

Ballots of a stage are not checked any more once q equal ones are there: a signature check is what a
vote costs. A second, different ballot of one instance at one stage is evidence, kept once, never
counted.
"""

from __future__ import annotations

from zmqnode.base.ballot import Ballot, Fact
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address
from zmqnode.base.point import Point, Stage
from zmqnode.base.proposal import Proposal, Value
from zmqnode.base.suffrage import Suffrage
from zmqnode.base.voteproof import Voteproof, certify
from zmqnode.core.events import Executed
from zmqnode.core.records import BlockSummary


class RoundVotes:
    """Verified ballots by stage and address, and the certificates of one round."""

    __slots__ = ("accept", "accept_vp", "convicted", "draw_vp", "init", "init_vp", "proposal")

    def __init__(self) -> None:
        self.init: dict[Address, Ballot] = {}
        self.accept: dict[Address, Ballot] = {}
        self.init_vp: Voteproof | None = None
        self.draw_vp: Voteproof | None = None
        self.accept_vp: Voteproof | None = None
        self.proposal: Proposal | None = None
        self.convicted: dict[tuple[Address, Stage], None] = {}

    def ballots(self, stage: Stage) -> dict[Address, Ballot]:
        """The ballots of a stage by address."""
        return self.init if stage is Stage.INIT else self.accept

    def settled(self, stage: Stage) -> bool:
        """Whether q equal ballots of the stage are there already."""
        if stage is Stage.INIT:
            return self.init_vp is not None
        return self.accept_vp is not None or self.draw_vp is not None

    def count(self, fact: Fact, suffrage: Suffrage) -> Voteproof | None:
        """The certificate that the ballots for a fact give, if they reach q."""
        votes = self.ballots(fact.stage)
        signatures = {a: b.signature for a, b in votes.items() if b.fact == fact}
        return certify(fact, signatures) if len(signatures) >= suffrage.q else None

    def draws(self) -> int:
        """How many members gave this round up."""
        return sum(1 for ballot in self.accept.values() if ballot.fact.draw)

    def keep(self, vp: Voteproof) -> bool:
        """Keep a valid certificate; False if there was one of its kind."""
        if vp.fact.stage is Stage.INIT:
            if self.init_vp is not None:
                return False
            self.init_vp = vp
        elif vp.fact.draw:
            if self.draw_vp is not None:
                return False
            self.draw_vp = vp
        else:
            if self.accept_vp is not None:
                return False
            self.accept_vp = vp
        return True

    def holds(self, fact: Fact) -> bool:
        """Whether the certificate of this fact's kind is here."""
        if fact.stage is Stage.INIT:
            return self.init_vp is not None
        return (self.draw_vp if fact.draw else self.accept_vp) is not None


class HeightVotes:
    """All rounds of one height. ``round`` is where this node stands in it."""

    def __init__(self, parent: BlockSummary, suffrage: Suffrage, now_ms: int) -> None:
        self.height = parent.height + 1
        self.parent = parent
        self.suffrage = suffrage
        self.round = 0
        self.entered_ms = now_ms
        self.started_ms: int | None = None  # When the timers of this round began.
        self.rounds: dict[int, RoundVotes] = {}
        self.values: dict[Hash, Value] = {}
        self.verdicts: dict[Hash, bool] = {}
        self.results: dict[Hash, Executed] = {}
        self.executing: dict[Hash, int] = {}
        self.overrun: dict[Hash, None] = {}  # Not executed within the allowance, or died inside.
        self.died: dict[Hash, int] = {}  # Executed in an earlier life, at that round (D7).
        self.recorded: dict[Hash, None] = {}  # Values whose content is in the journal.
        self.final: Voteproof | None = None
        self.leader_skipped = False
        self.work = False

    @property
    def point(self) -> Point:
        """Where this node stands."""
        return Point(height=self.height, round=self.round)

    def at(self, round_: int) -> RoundVotes:
        """The votes of a round, made when first asked for."""
        votes = self.rounds.get(round_)
        if votes is None:
            votes = self.rounds[round_] = RoundVotes()
        return votes

    @property
    def here(self) -> RoundVotes:
        """The votes of the round this node is in."""
        return self.at(self.round)

    def newest(self, kind: str) -> Voteproof | None:
        """The ``init_vp`` or ``draw_vp`` of the highest round that has one."""
        for round_ in sorted(self.rounds, reverse=True):
            found: Voteproof | None = getattr(self.rounds[round_], kind)
            if found is not None:
                return found
        return None

    def split(self) -> dict[Hash, tuple[Address, ...]]:
        """Block hash -> who accepted it, while members' results of one value differ; else empty."""
        by_value: dict[Hash, dict[Hash, list[Address]]] = {}
        for votes in self.rounds.values():
            for address, ballot in votes.accept.items():
                value, block = ballot.fact.value, ballot.fact.block
                if value is not None and block is not None:
                    by_value.setdefault(value, {}).setdefault(block, []).append(address)
        for blocks in by_value.values():
            if len(blocks) > 1:
                return {block: tuple(sorted(set(who))) for block, who in blocks.items()}
        return {}
