"""The own vote: what this instance has signed, and what it may sign next (D1, D2).

D2: never sign below the last point; at the same (height, round, stage) return the stored signature;
another fact there is refused. For one (height, value) never two block hashes, in whatever rounds.
"""

from __future__ import annotations

from collections.abc import Iterable

from zmqnode.base.ballot import Ballot, Fact, sign_ballot
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address
from zmqnode.base.point import Stage
from zmqnode.base.proposal import Proposal
from zmqnode.base.signing import Signs

DRIFTED_WAY_OUT = (
    "executing a value again gave another block than the one this node signed for "
    "(see the divergence report): start the version that signed"
)
DIVERGED_WAY_OUT = (
    "compare the divergence report with another node; start the version that agrees with the "
    "network, the node resumes when executing the block again gives its hash"
)
Position = tuple[int, int, int]


def position(fact: Fact) -> Position:
    """(height, round, stage): the order in which an instance signs."""
    return (fact.height, fact.round, int(fact.stage))


class Diverged(Exception):
    """Executing a value again gave another block than the one signed for (D2)."""


class Voter:
    """Own ballots and proposals of the current height, and the newest point ever signed."""

    def __init__(self, address: Address, signer: Signs) -> None:
        self.address = address
        self._signer = signer
        self.last: Ballot | None = None
        self._ballots: dict[tuple[int, Stage], Ballot] = {}
        self._blocks: dict[Hash, Hash] = {}
        self._proposals: dict[tuple[int, int, Hash], Proposal] = {}
        self._height = 0

    def restore(self, ballots: Iterable[Ballot], watermark: Ballot | None) -> None:
        """What the journal gave back, in order of writing."""
        if watermark is not None:
            self._advance(watermark)
        for ballot in ballots:
            self._enter(ballot.fact.height)
            self._remember(ballot)

    def restore_proposal(self, proposal: Proposal) -> None:
        """An own proposal that the journal gave back."""
        # It may be early (R11), one height above the ballots that are still being signed.
        key = (proposal.height, proposal.round, proposal.value.parent)
        self._proposals[key] = proposal

    def _enter(self, height: int) -> None:
        if height > self._height:
            self._height = height
            self._ballots.clear()
            self._blocks.clear()
            for key in [key for key in self._proposals if key[0] < height]:
                del self._proposals[key]

    def _advance(self, ballot: Ballot) -> None:
        if self.last is None or position(ballot.fact) > position(self.last.fact):
            self.last = ballot

    def _remember(self, ballot: Ballot) -> None:
        fact = ballot.fact
        if fact.height == self._height:
            self._ballots[fact.round, fact.stage] = ballot
            if fact.block is not None and fact.value is not None:
                self._blocks[fact.value] = fact.block
        self._advance(ballot)

    def ballot(self, height: int, round_: int, stage: Stage) -> Ballot | None:
        """What was signed at a point, if anything."""
        return self._ballots.get((round_, stage)) if height == self._height else None

    def block(self, value: Hash) -> Hash | None:
        """The block that an own ACCEPT of this height named for a value, if there is one."""
        return self._blocks.get(value)

    def ballots(self, height: int) -> tuple[Ballot, ...]:
        """All own ballots of a height in order of round and stage."""
        if height != self._height:
            return ()
        return tuple(self._ballots[key] for key in sorted(self._ballots))

    def proposal(self, height: int, round_: int, parent: Hash) -> Proposal | None:
        """The own proposal of a point on a parent, if one was signed."""
        return self._proposals.get((height, round_, parent))

    def sign(self, fact: Fact, epoch: int) -> tuple[Ballot, bool] | None:
        """The ballot of a fact and whether it is new (it must then be recorded before it is sent).

        Returns:
            None if signing is refused: below the last point, or another fact was signed there.
        Raises:
            Diverged: an earlier ACCEPT of this value named another block.
        """
        stored = self.ballot(fact.height, fact.round, fact.stage)
        if stored is not None:
            return (stored, False) if stored.fact == fact else None
        if self.last is not None and position(fact) <= position(self.last.fact):
            return None
        self._enter(fact.height)
        if fact.value is not None and fact.block is not None:
            if self._blocks.get(fact.value, fact.block) != fact.block:
                raise Diverged
        ballot = sign_ballot(fact, self.address, epoch, self._signer)
        self._remember(ballot)
        return ballot, True
