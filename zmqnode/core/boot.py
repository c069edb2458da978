"""D3: what a restart resumes, from the journal's records above the store's tip.

Blocks that the journal proves (value, seals, ACCEPT VP) are replayed first. What is left belongs to
the height after them: own ballots and proposals, certificates, contents, and executions begun and
not finished (D7).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zmqnode.base.ballot import Ballot
from zmqnode.base.hashes import Hash
from zmqnode.base.point import Stage
from zmqnode.base.proposal import Proposal, Value
from zmqnode.base.seal import Seal, read_seal
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.kernel import Kernel
from zmqnode.core.records import (
    BallotSigned,
    CertificateHeld,
    ExecutionBegun,
    ProposalSigned,
    Recovery,
    ShadowSigned,
    ValueHeld,
)
from zmqnode.core.syncing import Syncing
from zmqnode.core.votes import HeightVotes


@dataclass(slots=True, kw_only=True)
class Restored:
    """Records above the tip, by kind."""

    ballots: list[Ballot] = field(default_factory=list)
    proposals: list[Proposal] = field(default_factory=list)
    values: dict[Hash, tuple[Value, tuple[Seal, ...]]] = field(default_factory=dict)
    certificates: list[Voteproof] = field(default_factory=list)
    begun: dict[Hash, ExecutionBegun] = field(default_factory=dict)  # And not finished, by value.

    def height_votes(self, kernel: Kernel) -> HeightVotes | None:
        """The height after the tip as the journal left it; None if it says nothing of it."""
        tip = kernel.chain.tip
        height = tip.height + 1
        votes = HeightVotes(tip, kernel.chain.suffrage(height), kernel.now_ms)
        found = False
        for value, seals in self.values.values():
            if value.height == height and value.parent == tip.hash:
                found = True
                votes.values[value.hash] = value
                votes.recorded[value.hash] = None
                for seal in seals:
                    kernel.pool.add(seal, kernel.chain, kernel.clock_ms)
                    kernel.pool.hold(seal)
        for vp in self.certificates:
            if vp.fact.height == height:
                found = True
                votes.at(vp.fact.round).keep(vp)
        found |= self._own(votes)
        for begun in self.begun.values():
            if begun.height == height:
                votes.died[begun.value] = begun.round
        votes.round = _resumed_round(votes, self.ballots)
        votes.work = found
        return votes if found else None

    def _own(self, votes: HeightVotes) -> bool:
        found = False
        for ballot in self.ballots:
            if ballot.fact.height == votes.height:
                found = True
                at = votes.at(ballot.fact.round)
                at.ballots(ballot.fact.stage)[ballot.address] = ballot
                vp = at.count(ballot.fact, votes.suffrage)
                if vp is not None:
                    at.keep(vp)
        for proposal in self.proposals:
            if proposal.height == votes.height and proposal.value.parent == votes.parent.hash:
                found = True
                votes.at(proposal.round).proposal = proposal
                votes.values.setdefault(proposal.value.hash, proposal.value)
        return found


def _resumed_round(votes: HeightVotes, ballots: list[Ballot]) -> int:
    """The higher of the last signed point and the newest certificate."""
    rounds = [ballot.fact.round for ballot in ballots if ballot.fact.height == votes.height]
    for round_, at in votes.rounds.items():
        if at.init_vp is not None:
            rounds.append(round_)
        if at.draw_vp is not None:
            rounds.append(round_ + 1)
    return max(rounds, default=0)


def restore(kernel: Kernel, recovery: Recovery, syncing: Syncing) -> Restored:
    """Give the voter its past, replay proven blocks, keep the rest for the next height."""
    found = Restored()
    for record in recovery.records:
        match record:
            case BallotSigned(ballot=ballot):
                if ballot.instance == kernel.own:  # An earlier key of this copy votes no more.
                    found.ballots.append(ballot)
                    kernel.remember_signed(ballot.fact.height, int(ballot.fact.stage))
                if ballot.fact.block is not None and ballot.fact.value is not None:
                    # D7: only an ACCEPT of the value proves that its execution ended; a DRAW may
                    # have been signed while it ran.
                    found.begun.pop(ballot.fact.value, None)
            case ProposalSigned(proposal=proposal):
                if proposal.instance == kernel.own:
                    found.proposals.append(proposal)
            case ValueHeld(value=value, seals=seals):
                found.values[value.hash] = (value, tuple(read_seal(data) for data in seals))
            case CertificateHeld(voteproof=vp):
                found.certificates.append(vp)
            case ExecutionBegun():
                found.begun[record.value] = record
            case ShadowSigned():
                pass  # It showed that this disk is quick enough; nothing rests on it.
    mark = recovery.watermark
    own_mark = mark if mark is not None and mark.instance == kernel.own else None
    kernel.voter.restore(found.ballots, own_mark)
    for proposal in found.proposals:
        kernel.voter.restore_proposal(proposal)
    for vp in found.certificates:
        fact = vp.fact
        if fact.stage is Stage.ACCEPT and fact.value is not None and fact.value in found.values:
            held, content = found.values[fact.value]
            syncing.replay(held, content, vp)
    for vp in found.certificates:
        if vp.fact.height <= kernel.chain.tip.height + 2:  # Of later ones nobody is known to vote.
            _remember(kernel, vp)
    for summary in recovery.blocks:
        if summary.accept is not None and summary.height >= kernel.chain.tip.height - 1:
            _remember(kernel, summary.accept)
    return found


def _remember(kernel: Kernel, vp: Voteproof) -> None:
    """Ballots in stored certificates answer D6 as well as those in memory."""
    kernel.members.take_voteproof(vp, kernel.chain.suffrage(vp.fact.height), kernel.now_ms)
