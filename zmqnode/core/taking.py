"""What comes in for the height being worked at: is it worth a check, does it hold, whose is it."""

from __future__ import annotations

from zmqnode.base.ballot import Ballot
from zmqnode.base.point import Stage
from zmqnode.base.proposal import Proposal
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.consensus import Consensus
from zmqnode.core.intake import second_ballot, second_proposal
from zmqnode.core.kernel import Kernel
from zmqnode.core.world import ROUNDS_AHEAD_MAX


class Taking:
    """Proposals, ballots and voteproofs of others, checked once and handed to consensus."""

    def __init__(self, kernel: Kernel, consensus: Consensus) -> None:
        self.kernel = kernel
        self.consensus = consensus

    def take_proposal(self, proposal: Proposal) -> None:
        """A proposal of this height: the first of its round by its leader is kept."""
        votes, kernel = self.consensus.votes, self.kernel
        assert votes is not None and proposal.height == votes.height
        if proposal.round > votes.round + ROUNDS_AHEAD_MAX:
            return
        leader = kernel.chain.leader(proposal.height, proposal.round)
        if (proposal.address, proposal.instance) != (leader.address, leader.instance):
            kernel.bump("foreign_proposal")
            return
        if proposal.epoch != leader.epoch or proposal.value.parent != votes.parent.hash:
            return  # R11: on another parent it counts as not sent.
        at = votes.at(proposal.round)
        if at.proposal is not None:
            if at.proposal.signature != proposal.signature:
                if second_proposal(kernel, at.proposal, proposal):
                    self.take_content(proposal)
            return
        if not proposal.verified(kernel.config.domain, kernel.config.verify):
            kernel.bump("bad_signature")
            return
        at.proposal = proposal
        votes.values.setdefault(proposal.value.hash, proposal.value)
        kernel.members.saw(proposal.address, proposal.height, kernel.now_ms)
        for vp in proposal.justification:
            if vp.fact.height == proposal.height and self.consensus.votes is votes:
                self.take_voteproof(vp)
        if self.consensus.votes is votes:
            self.consensus.proposal_arrived(proposal.round)

    def take_content(self, proposal: Proposal) -> None:
        """A leader's second proposal: its value is taken if the round's INIT VP names it (R3)."""
        votes = self.consensus.votes
        assert votes is not None
        vp, value = votes.at(proposal.round).init_vp, proposal.value
        if vp is not None and vp.fact.value == value.hash and value.hash not in votes.values:
            votes.values[value.hash] = value
            self.consensus.consider()

    def take_ballot(self, ballot: Ballot) -> None:
        """A ballot of this height from somebody: check it if it can still matter, count it."""
        votes, kernel = self.consensus.votes, self.kernel
        assert votes is not None
        fact = ballot.fact
        if fact.round > votes.round + ROUNDS_AHEAD_MAX:
            return
        at = votes.at(fact.round)
        held = at.ballots(fact.stage).get(ballot.address)
        if held is not None:
            if held.fact != fact and (ballot.address, fact.stage) not in at.convicted:
                second_ballot(kernel, votes, held, ballot)
            return
        if at.settled(fact.stage):
            if fact.stage is Stage.INIT:
                return
            accept = at.accept_vp
            if accept is None or accept.fact != fact:
                return
        if not kernel.check_ballot(ballot, votes.suffrage):
            return
        kernel.members.take_ballot(ballot, kernel.now_ms)
        self.consensus.count(ballot)
        if self.consensus.votes is votes:
            votes.work = True
            self.consensus.work_arrived()

    def take_voteproof(self, vp: Voteproof) -> None:
        """A certificate of this height, of any round (R9)."""
        votes = self.consensus.votes
        assert votes is not None and vp.fact.height == votes.height
        known = votes.rounds.get(vp.fact.round)
        if known is not None and known.holds(vp.fact):
            return
        held = known.ballots(vp.fact.stage) if known is not None else None
        if not self.kernel.check_voteproof(vp, votes.suffrage, held):
            return
        at = votes.at(vp.fact.round)
        at.keep(vp)
        self.kernel.members.take_voteproof(vp, votes.suffrage, self.kernel.now_ms)
        self.consensus.certified(vp)
