"""J: why a leader may propose a value at a round (R2)."""

from __future__ import annotations

from zmqnode.base.point import Stage
from zmqnode.base.proposal import FRESH, Proposal
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.kernel import Kernel
from zmqnode.core.votes import HeightVotes


def justified(kernel: Kernel, votes: HeightVotes, proposal: Proposal) -> bool:
    """J: whether the leader may propose this value at this round.

    Round 0: the ACCEPT VP of the height before. Later: DRAW VPs of every round after ``pr``,
    and for pr >= 0 its INIT VP naming this very value.
    """
    reasons = proposal.justification
    if proposal.round == 0:
        return extends_parent(votes, reasons)
    expected = [(Stage.ACCEPT, k) for k in range(proposal.pr + 1, proposal.round)]
    if proposal.pr != FRESH:
        expected.insert(0, (Stage.INIT, proposal.pr))
    found = [(vp.fact.stage, vp.fact.round) for vp in reasons]
    if found != expected:
        return False
    for vp in reasons:
        if vp.fact.stage is Stage.INIT and vp.fact.value != proposal.value.hash:
            return False
        if vp.fact.stage is Stage.ACCEPT and not vp.fact.draw:
            return False
        if not holds_here(kernel, votes, vp):
            return False
    return True


def extends_parent(votes: HeightVotes, reasons: tuple[Voteproof, ...]) -> bool:
    """Whether round 0's justification is the ACCEPT VP of the parent (nothing at height 1)."""
    if votes.height == 1:
        return not reasons
    if not reasons:
        return True  # R11: early; the certificate held here proves its parent.
    if len(reasons) != 1:
        return False
    vp = reasons[0]
    parent = votes.parent
    if vp.fact.height != parent.height or vp.fact.block != parent.hash or vp.fact.draw:
        return False
    # The certificate held here proves the parent; the leader's own may have other signers.
    return True


def holds_here(kernel: Kernel, votes: HeightVotes, vp: Voteproof) -> bool:
    """Whether a certificate of this height is valid (the one held is, and is not checked twice)."""
    if vp.fact.height != votes.height:
        return False
    at = votes.rounds.get(vp.fact.round)
    if at is not None:
        held = at.init_vp if vp.fact.stage is Stage.INIT else at.draw_vp
        if held is not None and held.fact == vp.fact:
            return True
    known = at.ballots(vp.fact.stage) if at is not None else None
    return kernel.check_voteproof(vp, votes.suffrage, known)
