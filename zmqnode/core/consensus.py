"""One height after the other: the rules R0 to R7 of DESIGN.md section 3 (Simplex, one slot a
height).

Source: Chan and Pass, "Simplex Consensus", TCC 2023. Deviations: one slot per height, and ACCEPT
names the executed block. Why it is safe: ACCEPT VP and DRAW VP of one round would share an honest
signer of both, which the one-ACCEPT rule forbids. So after ACCEPT VP(h, r, v) no DRAW VP(h, r)
exists, every later justification must carry an INIT VP of a round >= r, and by induction its value
is v.
"""

from __future__ import annotations

from collections.abc import Callable

from zmqnode.base.ballot import Ballot, Fact, accept_fact, draw_fact, init_fact
from zmqnode.base.hashes import Hash
from zmqnode.base.point import Stage
from zmqnode.base.proposal import FRESH, Value
from zmqnode.base.suffrage import Member
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.authority import due_ms
from zmqnode.core.effects import Publish
from zmqnode.core.events import Executed
from zmqnode.core.executions import Executions, may_execute
from zmqnode.core.intake import has_work, others_went_on, sample_delay
from zmqnode.core.justification import justified
from zmqnode.core.kernel import Kernel, Timer
from zmqnode.core.records import CertificateHeld
from zmqnode.core.values import Values, Verdict
from zmqnode.core.voter import DIVERGED_WAY_OUT, DRIFTED_WAY_OUT, Diverged
from zmqnode.core.votes import HeightVotes

ROUND_TIMERS = (Timer.LEADER, Timer.ACCEPT, Timer.NEXT, Timer.JUDGE, Timer.MISSING)


class Consensus:
    """The height being worked at. ``votes`` is None while this node does not take part."""

    def __init__(
        self, kernel: Kernel, values: Values, commit: Callable[[Executed, Voteproof], None]
    ) -> None:
        self.kernel = kernel
        self.values = values
        self.commit = commit
        self.votes: HeightVotes | None = None
        self.epoch: int | None = None  # None: this instance looks on and signs nothing.
        self.executions = Executions(kernel, values)
        self.propose: Callable[[], None] = lambda: None
        self.pull: Callable[[], None] = lambda: None

    # R0: entering.

    def begin(self, votes: HeightVotes, epoch: int | None) -> None:
        """Work at a height from where ``votes`` stands (round 0, or what a restart gave back)."""
        self.votes = votes
        self.epoch = epoch
        self.kernel.stop_timer(*ROUND_TIMERS, Timer.RESEND)
        if votes.round > 0 or has_work(self.kernel, votes):
            self.start_round(with_leader=True)
        else:
            self.rest()
        self.consider()
        self.check_certificates()

    def leave(self) -> None:
        """Take no part any more (SYNCING, BROKEN)."""
        self.votes = None
        self.kernel.stop_timer(*ROUND_TIMERS, Timer.RESEND, Timer.WORK, Timer.TIP)

    def enter_round(self, round_: int, certificate: Voteproof, *, with_leader: bool) -> None:
        """R0 for a later round: log the entry certificate, broadcast it once, start the timers."""
        votes = self.votes
        assert votes is not None and round_ > votes.round
        votes.round = round_
        votes.started_ms = None
        kernel = self.kernel
        kernel.record(CertificateHeld(voteproof=certificate), sync=False)
        kernel.emit(Publish(message=certificate))
        kernel.stop_timer(*ROUND_TIMERS)
        self.start_round(with_leader=with_leader)
        self.consider()

    def rest(self) -> None:
        """At round 0 without work: wait for it, or for the intervals."""
        params, since_ms = self.kernel.params, self.kernel.now_ms - self.kernel.committed_ms
        waits = [params.block_interval_ms, params.empty_block_interval_ms]
        ahead = [wait - since_ms for wait in waits if wait > since_ms]
        due = due_ms(self.kernel.chain.authority, params)
        if due is not None:  # A window of handover ends by block time.
            ahead.append(max(1, due - self.kernel.clock_ms))
        if ahead:
            self.kernel.set_timer(Timer.WORK, min(ahead))

    def work_arrived(self) -> None:
        """A seal, a proposal, a ballot, or an interval that is over: round 0 may start."""
        votes = self.votes
        if votes is None or votes.started_ms is not None:
            return
        if has_work(self.kernel, votes):
            self.start_round(with_leader=True)
        else:
            self.rest()

    def start_round(self, *, with_leader: bool) -> None:
        """Start t_l and t_a; the leader proposes; a leader known to be away is not waited for."""
        votes, kernel = self.votes, self.kernel
        assert votes is not None
        timing, round_ = kernel.timing, votes.round
        votes.started_ms = kernel.now_ms
        kernel.stop_timer(Timer.WORK, Timer.TIP)
        leader = self.leader()
        votes.leader_skipped = self.values.absent(leader, votes.height)
        wait_ms = timing.leader_ms(round_)
        if with_leader and votes.here.proposal is None:
            kernel.set_timer(Timer.LEADER, 0 if votes.leader_skipped else wait_ms)
        kernel.set_timer(Timer.ACCEPT, timing.accept_ms(round_))
        kernel.set_timer(Timer.RESEND, timing.resend_ms())
        if leader.instance == kernel.own:
            if votes.here.proposal is None:
                kernel.set_timer(Timer.MISSING, wait_ms // 2)
            self.propose()
        elif votes.leader_skipped and votes.here.proposal is None and with_leader:
            self.give_up()
        self.join_draws()

    def leader(self) -> Member:
        """Who proposes at the point this node is at."""
        votes = self.votes
        assert votes is not None
        return self.kernel.chain.leader(votes.height, votes.round)

    # R2: proposals.

    def proposal_arrived(self, round_: int) -> None:
        """The proposal of a round is here: round 0 has work, the current round can be judged."""
        votes = self.votes
        assert votes is not None
        if round_ == votes.round:
            votes.work = True
            self.work_arrived()
            self.kernel.stop_timer(Timer.LEADER)
        self.consider()

    def consider(self) -> None:
        """R2: check the proposal of this round; sign INIT, or DRAW if it is invalid.

        Once the height is decided, whatever came may be what its block was waiting for (R7).
        """
        votes = self.votes
        if votes is None:
            return
        if votes.final is not None:
            self.finish()
            return
        proposal = votes.here.proposal
        if proposal is not None:
            if not justified(self.kernel, votes, proposal):
                self.give_up()
            else:
                self.judge(proposal.value, proposal.pr)
        if self.votes is votes:
            self.execute_known()
            self.accept_if_certified()

    def judge(self, value: Value, pr: int) -> None:
        """Sign INIT for a valid value, DRAW for an invalid one, wait for what is missing."""
        votes, kernel = self.votes, self.kernel
        assert votes is not None
        vid = value.hash
        known = votes.verdicts.get(vid)
        if known is None:
            verdict = self.values.judge(value, fresh=pr == FRESH)
            if verdict is Verdict.SEALS_MISSING:
                self.pull()
                return
            if verdict is Verdict.TOO_EARLY:
                wait = value.time_ms - kernel.clock_ms - kernel.params.time_tolerance_ms
                kernel.set_timer(Timer.JUDGE, max(1, wait))
                return
            known = votes.verdicts[vid] = verdict is Verdict.VALID
            if known:
                self.values.keep(value)
        if not known:
            self.give_up()
        elif not may_execute(kernel, votes, vid, pr):
            self.give_up()  # D7: it died inside; no crash loop.
        else:
            self.sign_init(value)

    def sign_init(self, value: Value) -> None:
        """INIT, if no ACCEPT is signed at this point (R2)."""
        votes, voter = self.votes, self.kernel.voter
        assert votes is not None
        height, round_ = votes.height, votes.round
        if voter.ballot(height, round_, Stage.ACCEPT) is None:
            if voter.ballot(height, round_, Stage.INIT) is None:
                self.executions.hold(votes, value)
                self.sign(init_fact(votes.point, value.hash))

    # Signing and counting.

    def sign(self, fact: Fact) -> None:
        """Sign, publish and count one ballot, if this copy votes and the voter does not refuse."""
        if self.epoch is None:
            return
        try:
            ballot = self.kernel.sign(fact, self.epoch)
        except Diverged:
            self.diverged(fact, DRIFTED_WAY_OUT)
            return
        if ballot is not None:
            self.count(ballot)

    def diverged(self, fact: Fact, way_out: str) -> None:
        """Executing again gave another block than the one signed for, or than the network's."""
        value = fact.value.hex() if fact.value else ""
        cause = f"the block executed at height {fact.height} differs for value {value[:16]}"
        self.leave()
        self.kernel.break_down(cause, way_out)

    def count(self, ballot: Ballot) -> None:
        """Add a verified ballot; act on the certificate it completes."""
        votes = self.votes
        assert votes is not None
        fact = ballot.fact
        at = votes.at(fact.round)
        at.ballots(fact.stage)[ballot.address] = ballot
        if fact.round > votes.round:
            self.arm_next()
        if at.holds(fact):
            return
        vp = at.count(fact, votes.suffrage)
        if vp is not None:
            if fact.stage is Stage.INIT:
                sample_delay(self.kernel, votes, fact.round)
            at.keep(vp)
            self.certified(vp)
        elif fact.draw and fact.round == votes.round:
            self.join_draws()

    def join_draws(self) -> None:
        """The leader's own DRAW, or f+1 DRAWs, are joined by who holds no valid proposal."""
        votes = self.votes
        if votes is None or votes.started_ms is None:
            return
        here = votes.here
        proposal = here.proposal
        if proposal is not None and votes.verdicts.get(proposal.value.hash, True):
            return
        own = here.accept.get(self.leader().address)
        if here.draws() > votes.suffrage.f or (own is not None and own.fact.draw):
            self.give_up()

    # Certificates: R3, R5, R7.

    def certified(self, vp: Voteproof) -> None:
        """A valid certificate of this height, kept just now."""
        votes = self.votes
        assert votes is not None
        fact = vp.fact
        votes.work = True
        if fact.stage is Stage.INIT:
            if fact.round > votes.round:
                self.enter_round(fact.round, vp, with_leader=False)
            elif fact.round == votes.round:
                self.work_arrived()
                self.kernel.stop_timer(Timer.LEADER)
            if self.votes is votes and fact.round == votes.round:
                self.execute_known()
                self.accept_if_certified()
                self.arm_next()
        elif fact.draw:
            if fact.round >= votes.round:
                self.enter_round(fact.round + 1, vp, with_leader=True)
        else:
            votes.final = votes.final or vp
            self.finish()

    def check_certificates(self) -> None:
        """Act on what is already there when a height begins (restart, early arrivals)."""
        votes = self.votes
        if votes is None:
            return
        for round_ in sorted(votes.rounds):
            at = votes.rounds[round_]
            for vp in (at.accept_vp, at.draw_vp, at.init_vp):
                if vp is not None and self.votes is votes:
                    self.certified(vp)

    def execute_known(self) -> None:
        """R2, R3: execute at once what is proposed here or certified, in parallel with voting."""
        votes = self.votes
        assert votes is not None
        wanted: dict[Hash, int] = {}  # With the pr under which it is proposed (D7).
        here = votes.here
        if here.init_vp is not None and here.init_vp.fact.value is not None:
            wanted[here.init_vp.fact.value] = FRESH
        if here.proposal is not None and votes.verdicts.get(here.proposal.value.hash):
            wanted[here.proposal.value.hash] = here.proposal.pr
        for vid, pr in wanted.items():
            if may_execute(self.kernel, votes, vid, pr):
                self.execute(vid)

    def execute(self, vid: Hash) -> None:
        """Execute a value, or pull what is missing of it."""
        votes = self.votes
        assert votes is not None
        if not self.executions.start(votes, vid):
            self.pull()

    def executed(self, event: Executed) -> None:
        """The result is kept across rounds, per (parent, value)."""
        votes = self.votes
        if votes is None or event.parent != votes.parent.hash:
            return
        if event.value not in votes.executing:
            return  # Asked for before this node left the height and came back without its content.
        del votes.executing[event.value]
        votes.results[event.value] = event
        self.kernel.timing.execution.add(event.elapsed_ms)
        if votes.final is not None:
            self.finish()
        else:
            self.accept_if_certified()

    def execution_failed(self, parent: Hash, vid: Hash) -> bool:
        """R1 may drop the seals of a value that drew; False if the network decided it."""
        votes = self.votes
        if votes is None or parent != votes.parent.hash:
            return True
        votes.executing.pop(vid, None)
        votes.overrun[vid] = None
        votes.died[vid] = votes.round
        if votes.final is not None and votes.final.fact.value == vid:
            return False
        self.give_up()
        return True

    def accept_if_certified(self) -> None:
        """R3: an INIT VP of this round, the value held and executed, no ACCEPT signed here yet."""
        votes, kernel = self.votes, self.kernel
        if votes is None or votes.final is not None:
            return
        vp = votes.here.init_vp
        if vp is None or vp.fact.value is None:
            return
        vid = vp.fact.value
        if (result := votes.results.get(vid)) is None:
            if vid not in votes.values:
                self.pull()
            return
        if kernel.voter.ballot(votes.height, votes.round, Stage.ACCEPT) is not None:
            return
        self.executions.hold(votes, votes.values[vid])
        kernel.record(CertificateHeld(voteproof=vp), sync=False)
        point = votes.point
        self.sign(accept_fact(point, vid, result.manifest.hash))
        if self.votes is votes and votes.point == point:
            self.arm_next()

    def give_up(self) -> None:
        """R4: ACCEPT(DRAW), if no ACCEPT is signed at this point."""
        votes = self.votes
        if votes is None or votes.final is not None:
            return
        point = votes.point
        if self.kernel.voter.ballot(point.height, point.round, Stage.ACCEPT) is None:
            self.sign(draw_fact(point))
            if self.votes is votes and votes.point == point:
                self.arm_next()

    def arm_next(self) -> None:
        """R6: INIT VP and an own ACCEPT of this round, of either kind, without ACCEPT VP."""
        votes, kernel = self.votes, self.kernel
        if votes is None or votes.here.init_vp is None:
            return
        if kernel.voter.ballot(votes.height, votes.round, Stage.ACCEPT) is not None:
            wait_ms = 0 if others_went_on(votes) else kernel.timing.next_ms(votes.round)
            if not wait_ms or Timer.NEXT not in kernel.deadlines:
                kernel.set_timer(Timer.NEXT, wait_ms)

    def finish(self) -> None:
        """R7: fetch what is missing, execute, compare, sign what is owed, commit."""
        votes = self.votes
        assert votes is not None and votes.final is not None
        vp = votes.final
        vid = vp.fact.value
        assert vid is not None
        result = votes.results.get(vid)
        if result is None:
            self.execute(vid)
            return
        self.executions.hold(votes, votes.values[vid])  # D3: of every height above the store's.
        if result.manifest.hash != vp.fact.block:
            # What was decided is remembered: the version whose execution equals it resumes (R7).
            self.kernel.record(CertificateHeld(voteproof=vp), sync=True)
            self.diverged(vp.fact, DIVERGED_WAY_OUT)
            return
        if vp.fact.round == votes.round:
            self.sign_owed(vp)
        if self.votes is votes:
            self.commit(result, vp)

    def sign_owed(self, vp: Voteproof) -> None:
        """R7: a member that is only late misses nothing."""
        votes, voter = self.votes, self.kernel.voter
        assert votes is not None and vp.fact.value is not None and vp.fact.block is not None
        height, round_ = votes.height, votes.round
        if voter.ballot(height, round_, Stage.ACCEPT) is not None:
            return
        if voter.block(vp.fact.value) not in (None, vp.fact.block):
            return  # D2: an earlier version signed another result; only its ACCEPT is missing.
        # D3: what the ACCEPT rests on is durable on its sync; here the ACCEPT VP itself.
        self.kernel.record(CertificateHeld(voteproof=vp), sync=False)
        if voter.ballot(height, round_, Stage.INIT) is None:
            self.sign(init_fact(votes.point, vp.fact.value))
        if self.votes is votes:
            self.sign(accept_fact(votes.point, vp.fact.value, vp.fact.block))

    # Timers.

    def fire(self, timer: Timer) -> None:
        """R4 and R6."""
        votes = self.votes
        if votes is None:
            return
        if timer is Timer.LEADER:
            if votes.here.proposal is None:
                self.give_up()
        elif timer is Timer.ACCEPT:
            for vid in votes.executing:
                votes.overrun[vid] = None
            self.give_up()
        elif timer is Timer.NEXT:
            vp = votes.here.init_vp
            if vp is not None and votes.final is None:
                self.enter_round(votes.round + 1, vp, with_leader=True)
        elif timer is Timer.JUDGE:
            self.consider()
        elif timer is Timer.WORK:
            self.work_arrived()
