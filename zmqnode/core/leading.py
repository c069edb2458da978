"""R1: what a leader proposes, and with which justification."""

from __future__ import annotations

from zmqnode.base.hashes import Hash
from zmqnode.base.point import Point
from zmqnode.base.proposal import FRESH, Proposal, Value, sign_proposal
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.authority import Authority
from zmqnode.core.consensus import Consensus
from zmqnode.core.effects import Publish
from zmqnode.core.kernel import Kernel, Timer
from zmqnode.core.records import ProposalSigned, ValueHeld
from zmqnode.core.values import Values
from zmqnode.core.votes import HeightVotes


class Leading:
    """Proposes once per (height, round, parent), as soon as every piece is here."""

    def __init__(self, kernel: Kernel, values: Values, consensus: Consensus) -> None:
        self.kernel = kernel
        self.values = values
        self.consensus = consensus
        self.early = 0  # The height on whose result the next one was proposed already.

    def propose(self) -> None:
        """Propose if this node leads the round it is in and has not yet; pull what is missing."""
        votes = self.consensus.votes
        if votes is None or votes.started_ms is None or votes.final is not None:
            return
        if votes.here.proposal is not None or self.consensus.leader().instance != self.kernel.own:
            return
        stored = self.kernel.voter.proposal(votes.height, votes.round, votes.parent.hash)
        if stored is None:
            stored = self.fresh_or_certified(votes)
            if stored is None:
                self.consensus.pull()
                return
            self.remember(stored)
        self.kernel.stop_timer(Timer.MISSING)
        self.kernel.emit(Publish(message=stored))
        votes.here.proposal = stored
        votes.values.setdefault(stored.value.hash, stored.value)
        self.consensus.proposal_arrived(votes.round)

    def propose_early(self) -> Proposal | None:
        """R11: the next height's value on the own result of this one, once its INIT VP is here.

        It saves a hop; whoever decides this height otherwise takes it as not sent.
        """
        votes, kernel = self.consensus.votes, self.kernel
        if votes is None or votes.here.init_vp is None or self.early >= votes.height:
            return None
        vid = votes.here.init_vp.fact.value
        result = votes.results.get(vid) if vid is not None else None
        if vid is None or result is None:
            return None
        height = votes.height + 1
        leader, epoch = (
            kernel.chain.leader(height, 0),
            kernel.entitled(kernel.chain.suffrage(height)),
        )
        if leader.instance != kernel.own or epoch is None:
            return None
        parent = result.manifest.hash
        stored = kernel.voter.proposal(height, 0, parent)  # D1: one per (height, round, parent).
        if stored is not None:
            self.early = votes.height
            kernel.emit(Publish(message=stored))
            return stored
        value = self.early_value(votes.values[vid], parent, result.authority)
        if value is None:
            return None
        self.early = votes.height
        proposal = sign_proposal(
            Point(height=height, round=0),
            value,
            pr=FRESH,
            justification=(),
            address=kernel.config.address,
            epoch=epoch,
            signer=kernel.config.signer,
        )
        kernel.voter.restore_proposal(proposal)
        held = self.values.seals(value)
        kernel.pool.hold_next(held)
        seals = tuple(seal.data for seal in held)
        kernel.record(ValueHeld(value=value, seals=seals), sync=False)
        kernel.record(ProposalSigned(proposal=proposal), sync=True)
        kernel.emit(Publish(message=proposal))
        return proposal

    def early_value(self, before: Value, parent: Hash, authority: Authority | None) -> Value | None:
        """A value for the next height, if there will be work for it."""
        kernel = self.kernel
        params, age_ms = kernel.params, kernel.clock_ms - before.time_ms
        if age_ms < params.block_interval_ms:
            return None
        empty_ms = params.empty_block_interval_ms
        if kernel.pool.proposable <= len(before.seals) and not (empty_ms and age_ms >= empty_ms):
            return None
        height = before.height + 1
        value = self.values.build(height, parent, before.seals, before.time_ms, authority)
        if value is None or not (value.seals or (empty_ms and age_ms >= empty_ms)):
            return None
        return value

    def remember(self, proposal: Proposal) -> None:
        """D1: recorded, with its content, before it is sent."""
        votes, kernel = self.consensus.votes, self.kernel
        assert votes is not None
        kernel.timing.build.add(kernel.now_ms - (votes.started_ms or kernel.now_ms))
        kernel.voter.restore_proposal(proposal)
        if not self.values.missing(proposal.value):
            self.consensus.executions.hold(votes, proposal.value)
        kernel.record(ProposalSigned(proposal=proposal), sync=True)

    def fresh_or_certified(self, votes: HeightVotes) -> Proposal | None:
        """The proposal R1 asks for; None while a piece of it is missing."""
        if votes.round == 0:
            return self.first(votes)
        pr, dropped = self.certified_round(votes)
        draws = self.draws(votes, pr)
        if draws is None:
            return None
        if pr == FRESH:
            value = self.values.build(votes.height, votes.parent.hash, dropped)
            return None if value is None else self.signed(votes, value, pr, draws)
        vp = votes.at(pr).init_vp
        assert vp is not None and vp.fact.value is not None
        certified = votes.values.get(vp.fact.value)
        return None if certified is None else self.signed(votes, certified, pr, (vp, *draws))

    def first(self, votes: HeightVotes) -> Proposal | None:
        """Round 0: a fresh value, on the ACCEPT VP of the parent."""
        accept = votes.parent.accept
        if votes.height > 1 and accept is None:
            return None
        value = self.values.build(votes.height, votes.parent.hash)
        if value is None:
            return None
        reasons = () if votes.height == 1 or accept is None else (accept,)
        return self.signed(votes, value, FRESH, reasons)

    def certified_round(self, votes: HeightVotes) -> tuple[int, tuple[Hash, ...]]:
        """The highest earlier round whose INIT VP binds, or FRESH and the seals to leave out.

        A round that drew and whose value this node could not execute within its allowance does not
        bind: a value that stops every node must not stop the chain.
        """
        dropped: list[Hash] = []
        for round_ in range(votes.round - 1, -1, -1):
            at = votes.rounds.get(round_)
            if at is None or at.init_vp is None or at.init_vp.fact.value is None:
                continue
            vid = at.init_vp.fact.value
            value = votes.values.get(vid)
            slow = vid in votes.overrun or vid in votes.died
            slow |= value is not None and self.kernel.pool.fatal(value.seals)
            if at.draw_vp is None or not slow or vid in votes.results:
                return round_, ()
            if value is not None:
                dropped.extend(value.seals)
        return FRESH, tuple(dropped)

    def draws(self, votes: HeightVotes, pr: int) -> tuple[Voteproof, ...] | None:
        """The DRAW VPs of every round after ``pr`` and before this one; None if one is missing."""
        found = []
        for round_ in range(pr + 1, votes.round):
            at = votes.rounds.get(round_)
            if at is None or at.draw_vp is None:
                return None
            found.append(at.draw_vp)
        return tuple(found)

    def signed(
        self, votes: HeightVotes, value: Value, pr: int, reasons: tuple[Voteproof, ...]
    ) -> Proposal:
        """The proposal, signed by this instance."""
        assert self.consensus.epoch is not None, "who leads is entitled"
        return sign_proposal(
            votes.point,
            value,
            pr=pr,
            justification=reasons,
            address=self.kernel.config.address,
            epoch=self.consensus.epoch,
            signer=self.kernel.config.signer,
        )

    def still_missing(self) -> None:
        """Half of t_l is over and a piece is still missing: give the round up."""
        votes = self.consensus.votes
        if votes is not None and votes.here.proposal is None:
            self.consensus.give_up()
