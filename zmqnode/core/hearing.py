"""What is heard from others: the guard ladder.

A lower height is dropped (late ACCEPTs of the newest two are kept for the values to come), the
current one goes to consensus, the next one is buffered (rounds 0 and 1, R9), what is beyond is
kept until it is near, and tells that this node is behind (R10)."""

from __future__ import annotations

from typing import assert_never

from zmqnode.base.ballot import Ballot
from zmqnode.base.exchange import Published, SealsAnnounced, Status
from zmqnode.base.handing import Shadow
from zmqnode.base.keys import PublicKey
from zmqnode.base.proposal import Proposal
from zmqnode.base.suffrage import Suffrage
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.ahead import Word, point_of
from zmqnode.core.intake import next_height_kept
from zmqnode.core.parts import Parts
from zmqnode.core.votes import RoundVotes

LATE_HEIGHTS = 2  # Back from the tip: what comes for these is on its way as always (R9).


class Hearing:
    """Routes ballots, proposals, voteproofs, statuses and announcements by height."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.kernel = parts.kernel

    def hear(self, message: Published, source: PublicKey) -> None:
        """A message that was published, by ``source`` itself."""
        if isinstance(message, Ballot | Proposal | Voteproof):
            self._keep_ahead(message, source)
        match message:
            case Ballot():
                self.hear_ballot(message, source)
            case Proposal():
                self.hear_proposal(message)
            case Voteproof():
                self.hear_voteproof(message, source)
            case Status():
                self.hear_status(message, source)
            case Shadow():
                self.parts.handing.readiness.take(message, source)
            case SealsAnnounced():
                self.parts.resending.take_announced(source, message)
            case _:
                assert_never(message)

    def hear_kept(self) -> bool:
        """Hear what was kept for the heights that are within reach now; False if nothing was."""
        if self.parts.consensus.votes is None:
            return False
        due = self.parts.kept.due(self.kernel.chain.tip.height + 2)
        for word, source in due:
            self.hear(word, source)
        return bool(due)

    def _keep_ahead(self, word: Word, source: PublicKey) -> None:
        kernel = self.kernel
        tip = kernel.chain.tip.height
        if point_of(word).height > (tip if self.parts.consensus.votes is None else tip + 2):
            address = kernel.members.links.get(source)
            members = kernel.chain.newest_suffrage().by_address
            if address in members and members[address].instance == source:
                self.parts.kept.keep(word, source, tip)

    def hear_ballot(self, ballot: Ballot, source: PublicKey) -> None:
        kernel = self.kernel
        height, next_height = ballot.fact.height, kernel.chain.tip.height + 1
        seen = kernel.members.instances.get(ballot.instance)
        if seen is not None and source == ballot.instance:
            seen.heard_ms = kernel.now_ms
        if height < next_height:
            if self._of_no_voter(ballot, late=height < next_height - LATE_HEIGHTS):
                kernel.ignored_ballots += 1  # A zombie's: neither a vote nor evidence.
            else:
                self.parts.values.take_late(ballot)
        elif self.parts.consensus.votes is None or height > next_height + 1:
            if kernel.check_ballot(ballot, self._suffrage_of(height)):
                kernel.members.take_ballot(ballot, kernel.now_ms)
                self._seen_ahead(ballot.address, height)
                self.parts.resending.hurry()
        elif height == next_height:
            self.parts.taking.take_ballot(ballot)
        else:
            self._buffer_ballot(ballot)

    def _of_no_voter(self, ballot: Ballot, *, late: bool) -> bool:
        """Whether its instance had no vote there; if it comes late, or has none any more.

        A copy that was cut off or paused over its replacement still thinks that it votes.
        """
        chain = self.kernel.chain
        heights = (ballot.fact.height, chain.tip.height + 1)[: 1 + late]
        voters = [chain.voter(ballot.address, height) for height in heights]
        return any(one is not None and one.instance != ballot.instance for one in voters)

    def _suffrage_of(self, height: int) -> Suffrage:
        """Who votes at a height beyond the tip, as far as it is known here."""
        kernel = self.kernel
        return kernel.chain.suffrage(min(height, kernel.chain.tip.height + 2))

    def _buffer_ballot(self, ballot: Ballot) -> None:
        kernel = self.kernel
        if not next_height_kept(ballot.fact.round):
            return
        at = self.parts.next_rounds.setdefault(ballot.fact.round, RoundVotes())
        held = at.ballots(ballot.fact.stage)
        suffrage = kernel.chain.suffrage(ballot.fact.height)
        if ballot.address in held or not kernel.check_ballot(ballot, suffrage):
            return
        kernel.members.take_ballot(ballot, kernel.now_ms)
        held[ballot.address] = ballot
        if not at.holds(ballot.fact):
            vp = at.count(ballot.fact, suffrage)
            if vp is not None:
                at.keep(vp)

    def _seen_ahead(self, address: str, height: int) -> None:
        if height > self.parts.ahead.get(address, 0):
            self.parts.ahead[address] = height

    def hear_proposal(self, proposal: Proposal) -> None:
        kernel = self.kernel
        next_height = kernel.chain.tip.height + 1
        if proposal.height > next_height:
            # Its first certificate may be what this node misses (ACCEPT VP of the height before).
            for vp in proposal.justification[:1]:
                if vp.fact.height < proposal.height:
                    self.hear_voteproof(vp, proposal.instance)
            next_height = kernel.chain.tip.height + 1
        if self.parts.consensus.votes is None:
            return
        if proposal.height == next_height:
            self.parts.taking.take_proposal(proposal)
        elif proposal.height == next_height + 1 and next_height_kept(proposal.round):
            self._buffer_proposal(proposal)

    def _buffer_proposal(self, proposal: Proposal) -> None:
        kernel = self.kernel
        leader = kernel.chain.leader(proposal.height, proposal.round)
        at = self.parts.next_rounds.setdefault(proposal.round, RoundVotes())
        if proposal.instance != leader.instance:
            return
        held = at.proposal
        if held is not None and held.value.parent == proposal.value.parent:
            return  # R11: one on another parent counts as not sent, so it keeps none out.
        if proposal.address == leader.address and proposal.epoch == leader.epoch:
            if proposal.verified(kernel.config.domain, kernel.config.verify):
                at.proposal = proposal
                self.parts.resending.prefetch(proposal)

    def hear_voteproof(self, vp: Voteproof, source: PublicKey) -> None:
        kernel = self.kernel
        height, next_height = vp.fact.height, kernel.chain.tip.height + 1
        votes = self.parts.consensus.votes
        if height < next_height:
            return
        if votes is not None and height == next_height:
            self.parts.taking.take_voteproof(vp)
            if votes.final is not None and votes.final.fact == vp.fact:
                self.parts.proof = height, source
        elif votes is not None and height == next_height + 1:
            self._buffer_voteproof(vp)
        else:
            suffrage = self._suffrage_of(height)
            if kernel.check_voteproof(vp, suffrage):
                kernel.members.take_voteproof(vp, suffrage, kernel.now_ms)
                for address in vp.addresses:
                    self._seen_ahead(address, height)
                self.parts.resending.hurry()

    def _buffer_voteproof(self, vp: Voteproof) -> None:
        kernel = self.kernel
        if not next_height_kept(vp.fact.round):
            return
        at = self.parts.next_rounds.setdefault(vp.fact.round, RoundVotes())
        if not at.holds(vp.fact):
            known, suffrage = at.ballots(vp.fact.stage), kernel.chain.suffrage(vp.fact.height)
            if kernel.check_voteproof(vp, suffrage, known):
                at.keep(vp)
                kernel.members.take_voteproof(vp, suffrage, kernel.now_ms)

    def hear_status(self, status: Status, source: PublicKey) -> None:
        kernel = self.kernel
        member = kernel.chain.newest_suffrage().by_address.get(status.address)
        if member is None or status.instance == kernel.own:
            return
        # Anybody can make a key and sign with it; a hello proves whose instance a standby is.
        linked = kernel.members.links.get(status.instance) == status.address
        if member.instance != status.instance and not linked:
            return
        if not status.verified(self.kernel.config.domain, self.kernel.config.verify):
            kernel.bump("bad_signature")
            return
        relayed = source != status.instance
        if not kernel.members.take_status(status, kernel.now_ms, kernel.clock_ms, relayed=relayed):
            return
        if self.parts.consensus.votes is not None:  # Voting or looking on.
            self.parts.resending.ask_tip()
            if status.tip >= kernel.chain.tip.height + 3:
                self._seen_ahead(status.address, status.tip)
