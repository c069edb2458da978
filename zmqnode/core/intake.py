"""Small questions about what came in: is there work, how long did it take, is it evidence."""

from __future__ import annotations

from zmqnode.base.ballot import Ballot
from zmqnode.base.keys import Address
from zmqnode.base.proposal import Proposal
from zmqnode.core.kernel import Kernel
from zmqnode.core.votes import HeightVotes
from zmqnode.core.world import NEXT_ROUNDS_MAX


def next_height_kept(round_: int) -> bool:
    """R9: of the next height only rounds 0 and 1 are kept."""
    return round_ < NEXT_ROUNDS_MAX


def has_work(kernel: Kernel, votes: HeightVotes) -> bool:
    """DESIGN.md section 4: whether round 0 may start (later rounds always do)."""
    since_ms = kernel.now_ms - kernel.committed_ms
    if since_ms < kernel.params.block_interval_ms:
        return False
    empty_ms = kernel.params.empty_block_interval_ms
    if votes.height == 1 or kernel.pool.proposable or votes.work or kernel.wants_block():
        return True
    if empty_ms and since_ms >= empty_ms:
        return True
    return kernel.pool.system_work(kernel.chain, kernel.clock_ms)


def sample_delay(kernel: Kernel, votes: HeightVotes, round_: int) -> None:
    """D follows the time from the start of the round's timers to its q-th INIT."""
    here = round_ == votes.round and votes.here.proposal is not None
    if here and votes.started_ms is not None:
        kernel.timing.sample_delay(kernel.now_ms - votes.started_ms)


def others_went_on(votes: HeightVotes) -> bool:
    """Whether f + 1 members were seen in later rounds of the height: so an honest one was.

    Then t_n (R6) is not waited for: this changes nothing but time, and rounds that fell apart, as
    one member's D is 250 ms and another's 2 s, come together sooner.
    """
    seen: dict[Address, None] = {}
    for round_, at in votes.rounds.items():
        if round_ > votes.round:
            seen.update(dict.fromkeys((*at.init, *at.accept)))
    return len(seen) > votes.suffrage.f


def second_ballot(kernel: Kernel, votes: HeightVotes, first: Ballot, second: Ballot) -> None:
    """Two facts at one stage by one instance: evidence, once."""
    if second.instance != first.instance or not kernel.check_ballot(second, votes.suffrage):
        return
    fact = first.fact
    votes.at(fact.round).convicted[first.address, fact.stage] = None
    at = (fact.height, fact.round, int(fact.stage))
    kernel.convict(first.instance, first, second, at)


def second_proposal(kernel: Kernel, first: Proposal, second: Proposal) -> bool:
    """A different proposal of one point and parent is equivocation; False if it is not signed."""
    if not second.verified(kernel.config.domain, kernel.config.verify):
        return False
    at = (first.height, first.round, 0)
    kernel.convict(first.instance, first, second, at)
    return True
