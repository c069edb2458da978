"""What the parts of the machine share: time, effects, timers, the chain, the pool, the own vote.

One step collects its effects here. Records come out before everything else of the step, so that one
sync serves all that the step signs; a commit comes out last, as the votes of the next height rest
on records alone; the order of the others is the order in which they were asked for.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from zmqnode.base.ballot import BALLOT_TAG, Ballot, Fact
from zmqnode.base.exchange import NodeState, sign_status
from zmqnode.base.handing import SIGNED_HEIGHTS_MAX
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address, PublicKey
from zmqnode.base.proposal import Value
from zmqnode.base.seal import Seal
from zmqnode.base.suffrage import Suffrage
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.authority_lane import remembering
from zmqnode.core.authority_state import ACTIVATION_LAG, Context
from zmqnode.core.chain import Chain
from zmqnode.core.effects import (
    Break,
    Effect,
    EnterState,
    Execute,
    Publish,
    Record,
    ReportEvidence,
)
from zmqnode.core.members import Members
from zmqnode.core.pool import Pool
from zmqnode.core.records import BallotSigned, JournalRecord, Recovery
from zmqnode.core.timing import Timing
from zmqnode.core.voter import Voter
from zmqnode.core.world import EVIDENCE_MAX, STATUS_INTERVAL_MS, MachineConfig


class Timer(enum.IntEnum):
    """What the machine may wait for; at most one deadline each, fired in this order."""

    LEADER = 1  # t_l
    ACCEPT = 2  # t_a
    NEXT = 3  # t_n
    RESEND = 4  # t_r
    WORK = 5  # block interval, empty block interval
    JUDGE = 6  # a value's time is still ahead
    MISSING = 7  # half of t_l: the leader still misses pieces
    STATUS = 8
    SYNC = 9
    TIP = 10
    SHADOW = 11  # what a handover repeats while it waits
    ANNOUNCE = 12  # seals that wait at a copy which does not vote


@dataclass(slots=True, kw_only=True)
class Fault:
    """Why this node must not vote any more."""

    cause: str
    way_out: str


class Kernel:
    """Shared by the parts of one machine; only they touch it, inside a step."""

    def __init__(self, config: MachineConfig, recovery: Recovery, now_ms: int) -> None:
        self.config = config
        self.params = config.params
        self.now_ms = now_ms
        self.clock_offset_ms = 0
        self.clock_known = False
        self.state = NodeState.BOOTING
        self.chain = Chain(recovery, config.params)
        self._remembered = remembering(config.verify)
        self.pool = Pool(config.pool, config.params, self.context)
        self.pool.deaths.update(recovery.deaths)
        self.members = Members(config.signer.public, now_ms)
        self.timing = recovery.timing or Timing()
        self.voter = Voter(config.address, config.signer)
        self.deadlines: dict[Timer, int] = {}
        self.fault: Fault | None = None
        self.committed_ms = now_ms  # When this node saw the tip committed.
        # False: the folder was copied, or has lost its votes; nothing may be given away.
        self.bound = recovery.bound and not recovery.votes_lost
        self.signed: dict[int, int] = {}  # What this copy signed at the newest heights, by stage.
        self.signed_since = self.chain.tip.height + 1  # The first height it can speak for.
        self.ignored_ballots = 0
        self.wants_block: Callable[[], bool] = lambda: False  # A member's word needs a newer block.
        self.evidence: dict[tuple[PublicKey, int, int, int], None] = {}
        self.counters: dict[str, int] = {}
        self._running: dict[tuple[Hash, Hash], None] = {}  # (parent, value) being executed.
        self._records: list[Effect] = []
        self._effects: list[Effect] = []
        self._last: list[Effect] = []

    @property
    def clock_ms(self) -> int:
        """The wall clock."""
        return max(0, self.now_ms + self.clock_offset_ms)

    def set_clock(self, offset_ms: int) -> None:
        """The own wall clock was read, or set; how far others are ahead of it changes as much."""
        self.members.own_clock_moved(offset_ms - self.clock_offset_ms)
        self.clock_offset_ms = offset_ms
        if not self.clock_known:
            self.clock_known = True
            self.publish_status()

    @property
    def network_ms(self) -> int:
        """The wall clock of the members, as their statuses tell it: what to date by for a block.

        A copy whose own clock is wrong is handed the vote all the same; of fewer than f + 1 known
        clocks one lie could be all there is, so then it is the own one.
        """
        suffrage = self.chain.suffrage(self.chain.tip.height + 1)
        known = self.members.clock_offsets(suffrage, self.now_ms)
        ahead_ms = known[len(known) // 2] if len(known) > suffrage.f else 0
        return max(0, self.clock_ms + ahead_ms)

    @property
    def silent(self) -> bool:
        """Whether this step asked for nothing so far."""
        return not (self._effects or self._records or self._last)

    @property
    def own(self) -> PublicKey:
        """This instance."""
        return self.config.signer.public

    def context(self, height: int, time_ms: int) -> Context:
        """The block that system operations are judged for."""
        return Context(
            height=height,
            time_ms=time_ms,
            params=self.params,
            domain=self.config.domain,
            verify=self._remembered,
        )

    # Effects.

    def emit(self, effect: Effect) -> None:
        """Ask for something, after the records of this step."""
        self._effects.append(effect)

    def emit_last(self, effect: Effect) -> None:
        """Ask for something after all else of this step: others need not wait for it."""
        self._last.append(effect)

    def record(self, record: JournalRecord, *, sync: bool) -> None:
        """Remember something; with ``sync`` durable before anything of this step is sent."""
        self._records.append(Record(record=record, sync=sync))

    def execute(self, parent: Hash, value: Value, seals: tuple[Seal, ...]) -> None:
        """Run a value on the state after ``parent``, unless that is under way already."""
        key = (parent, value.hash)
        if key not in self._running:
            self._running[key] = None
            self.emit(Execute(parent=parent, value=value, seals=seals))

    def executed(self, parent: Hash, value: Hash) -> None:
        """An execution is over."""
        self._running.pop((parent, value), None)

    def take_effects(self) -> list[Effect]:
        """The effects of this step, records first, commits last; empties the lists."""
        effects = [*self._records, *self._effects, *self._last]
        if effects:
            self._records, self._effects, self._last = [], [], []
        return effects

    def bump(self, counter: str) -> None:
        """Count something for NodeInfo and metrics."""
        self.counters[counter] = self.counters.get(counter, 0) + 1

    # Timers.

    def set_timer(self, timer: Timer, in_ms: int) -> None:
        """Fire once, ``in_ms`` from now; replaces the timer's last deadline."""
        self.deadlines[timer] = self.now_ms + in_ms

    def stop_timer(self, *timers: Timer) -> None:
        """Do not fire."""
        for timer in timers:
            self.deadlines.pop(timer, None)

    # Rights and checks.

    def entitled(self, suffrage: Suffrage) -> int | None:
        """The epoch under which this instance votes in a suffrage; None if it does not."""
        member = suffrage.by_address.get(self.config.address)
        if member is None or member.instance != self.own:
            return None
        return member.epoch

    def check_ballot(self, ballot: Ballot, suffrage: Suffrage) -> bool:
        """Whether a ballot is signed, by the instance that votes for its address there."""
        member = suffrage.by_address.get(ballot.address)
        if member is None or member.instance != ballot.instance or member.epoch != ballot.epoch:
            if ballot.fact.height <= self.chain.tip.height + ACTIVATION_LAG:
                self.ignored_ballots += 1  # Beyond what is decided here it may have the vote.
            return False
        if not ballot.verified(self.config.domain, self.config.verify):
            self.bump("bad_signature")
            return False
        return True

    def check_voteproof(
        self, vp: Voteproof, suffrage: Suffrage, known: dict[Address, Ballot] | None = None
    ) -> bool:
        """Whether a voteproof holds; those of ``known`` verified ballots are not checked again."""
        if len(vp.signatures) < suffrage.q:
            return False
        for address, signature in vp.signatures:
            member = suffrage.by_address.get(address)
            if member is None:
                return False
            held = known.get(address) if known else None
            if held is not None and held.signature == signature and held.fact == vp.fact:
                continue
            body = vp.fact.body(address, member.epoch)
            signed = self.config.domain.message(BALLOT_TAG, body)
            if not self.config.verify(member.instance, signed, signature):
                self.bump("bad_voteproof")
                return False
        return True

    def convict(
        self, instance: PublicKey, first: object, second: object, at: tuple[int, int, int]
    ) -> None:
        """Report evidence once per (instance, point, stage); the oldest are forgotten."""
        key = (instance, *at)
        if key not in self.evidence:
            if len(self.evidence) >= EVIDENCE_MAX:
                del self.evidence[next(iter(self.evidence))]
            self.evidence[key] = None
            self.emit(ReportEvidence(first=first, second=second))

    def sign(self, fact: Fact, epoch: int) -> Ballot | None:
        """Sign a fact, record and publish the ballot; None if it is not new, or not allowed (D2).

        Raises:
            Diverged: see :meth:`Voter.sign`.
        """
        signed = self.voter.sign(fact, epoch)
        if signed is None or not signed[1]:
            return None
        ballot = signed[0]
        self.record(BallotSigned(ballot=ballot), sync=True)
        self.remember_signed(fact.height, int(fact.stage))
        self.emit(Publish(message=ballot))
        self.members.take_ballot(ballot, self.now_ms)
        return ballot

    def remember_signed(self, height: int, stage: int) -> None:
        """An own ballot of any round, so that a handover can tell what was missed."""
        self.signed[height] = self.signed.get(height, 0) | stage
        if len(self.signed) > SIGNED_HEIGHTS_MAX:
            del self.signed[next(iter(self.signed))]
            self.signed_since = next(iter(self.signed))

    # State.

    def enter_state(self, state: NodeState, reason: str) -> None:
        """Change the node's state, tell everybody."""
        if state is self.state:
            return
        previous, self.state = self.state, state
        self.emit(EnterState(state=state, previous=previous, reason=reason))
        self.publish_status()

    def publish_status(self) -> None:
        """Say where this instance stands; again every 500 ms.

        Not before the clock is read: others date by it (:attr:`network_ms`).
        """
        self.set_timer(Timer.STATUS, STATUS_INTERVAL_MS)
        if not self.clock_known:
            return
        tip = self.chain.tip.height
        status = sign_status(
            address=self.config.address,
            state=self.state,
            height=tip + 1,
            tip=tip,
            clock_ms=self.clock_ms,
            signer=self.config.signer,
        )
        self.emit(Publish(message=status))

    def break_down(self, cause: str, way_out: str) -> None:
        """Stop voting for good; keep answering."""
        if self.fault is not None:
            return
        self.fault = Fault(cause=cause, way_out=way_out)
        for timer in Timer:
            if timer is not Timer.STATUS:
                self.stop_timer(timer)
        self.enter_state(NodeState.BROKEN, cause)
        self.emit(Break(cause=cause, way_out=way_out))
