"""The only door to the core: ``step(event, now_ms) -> effects``. No clock, chance, thread, file or
socket.

The guard ladder for what is heard: a lower height is dropped (late ACCEPTs of the newest two are
kept for the values to come), the current one goes to consensus, the next one is buffered (rounds 0
and 1), what is beyond tells only that this node is behind (R10).
"""

from __future__ import annotations

from typing import assert_never

from zmqnode.base.ballot import Ballot
from zmqnode.base.block import Block
from zmqnode.base.exchange import (
    BlocksAnswer,
    BlocksWanted,
    LastBallotAnswer,
    LastBallotWanted,
    NodeState,
    Published,
    Reply,
    Request,
    SealsAnnounced,
    SealsAnswer,
    SealsWanted,
    Status,
    VotesAnswer,
    VotesWanted,
)
from zmqnode.base.keys import Address, PublicKey
from zmqnode.base.proposal import Proposal, Value
from zmqnode.base.seal import Seal
from zmqnode.base.suffrage import Suffrage
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.boot import Restored, restore
from zmqnode.core.consensus import DIVERGED_WAY_OUT, Consensus
from zmqnode.core.effects import AnswerClient, Commit, Effect, PublishSeals, ServeBlocks, Stop
from zmqnode.core.events import (
    Answered,
    BlocksReceived,
    Booted,
    ClockRead,
    Event,
    Executed,
    ExecutionFailed,
    Faulted,
    Heard,
    PeerConnected,
    PeerLost,
    Requested,
    SealsReceived,
    StopAsked,
    Woke,
)
from zmqnode.core.intake import next_height_kept
from zmqnode.core.joining import Joining
from zmqnode.core.kernel import Kernel, Timer
from zmqnode.core.leading import Leading
from zmqnode.core.records import BlockSummary, CertificateHeld
from zmqnode.core.resending import Resending
from zmqnode.core.syncing import Syncing
from zmqnode.core.values import Values
from zmqnode.core.votes import HeightVotes, RoundVotes
from zmqnode.core.world import MachineConfig

UNBOUND_WAY_OUT = (
    "this data folder was copied or moved: run `zmqnode node adopt DIR --old-copy-destroyed` if no other copy "
    "will ever run, or start with an empty folder as a standby"
)


class Machine:
    """One instance. Feed it :class:`Booted` first."""

    def __init__(self, config: MachineConfig) -> None:
        self.config = config
        self.kernel: Kernel | None = None

    @property
    def state(self) -> NodeState:
        """The node's state."""
        return self.kernel.state if self.kernel is not None else NodeState.BOOTING

    @property
    def wake_at_ms(self) -> int | None:
        """When the machine wants a Woke; None: not before something else happens."""
        if self.kernel is None or not self.kernel.deadlines:
            return None
        return min(self.kernel.deadlines.values())

    def step(self, event: Event, now_ms: int) -> list[Effect]:
        """Let one thing happen at ``now_ms`` (never less than before); what to do about it, in order."""
        if isinstance(event, Booted):
            self._boot(event, now_ms)
        kernel = self.kernel
        assert kernel is not None, "Booted comes first"
        kernel.now_ms = max(kernel.now_ms, now_ms)
        self._route(event)
        self._settle()
        return kernel.take_effects()

    def _boot(self, event: Booted, now_ms: int) -> None:
        assert self.kernel is None
        kernel = self.kernel = Kernel(self.config, event.recovery, now_ms)
        self.values = Values(kernel)
        self.consensus = Consensus(kernel, self.values, self._commit)
        self.leading = Leading(kernel, self.values, self.consensus)
        self.resending = Resending(kernel, self.values, self.consensus)
        self.syncing = Syncing(kernel, self.values, self._commit)
        self.joining = Joining(kernel, self.values, event.recovery.nonce)
        self.consensus.propose = self.leading.propose
        self.consensus.pull = self.resending.pull
        self.syncing.diverged = self._sync_diverged
        self.next_rounds: dict[int, RoundVotes] = {}
        self.ahead: dict[str, int] = {}
        self.proof: tuple[int, PublicKey] | None = None  # Who sent the ACCEPT VP of this height.
        self.behind_ms: int | None = None
        self.paused: HeightVotes | None = None  # The height left for SYNCING.
        self.stopping = False
        self.restored: Restored | None = restore(kernel, event.recovery, self.syncing)
        kernel.publish_status()
        if not event.recovery.bound:
            kernel.break_down("the data folder is bound to another machine", UNBOUND_WAY_OUT)

    def _route(self, event: Event) -> None:
        kernel = self.kernel
        assert kernel is not None
        match event:
            case Booted():
                pass
            case ClockRead(offset_ms=offset_ms):
                kernel.clock_offset_ms = offset_ms
            case Woke():
                self._wake()
            case PeerConnected(address=address, instance=instance):
                self._connected(address, instance)
            case PeerLost(instance=instance):
                kernel.members.links.pop(instance, None)
            case Heard(message=message, source=source):
                self._hear(message, source)
            case Requested(source=_, route=route, request=request):
                self._serve(route, request)
            case Answered(source=source, reply=reply):
                self._take_reply(source, reply)
            case BlocksReceived(source=source, first=first, blocks=blocks):
                self._take_blocks(source, first, blocks)
            case SealsReceived():
                self._take_seals(event)
            case Executed(parent=parent, value=value):
                kernel.executed(parent, value)
                if not self.syncing.executed(event):
                    self.consensus.executed(event)
            case ExecutionFailed():
                self._execution_failed(event)
            case Faulted(cause=cause, way_out=way_out):
                self.consensus.leave()
                kernel.break_down(cause, way_out)
            case StopAsked():
                self.stopping = True
            case _:
                assert_never(event)

    # Time.

    def _wake(self) -> None:
        kernel = self.kernel
        assert kernel is not None
        for timer in Timer:
            due = kernel.deadlines.get(timer)
            if due is None or due > kernel.now_ms:
                continue
            del kernel.deadlines[timer]
            if timer is Timer.STATUS:
                self._tick()
            elif timer is Timer.SYNC:
                self.syncing.advance()
            elif timer is Timer.RESEND:
                self.resending.resend()
            elif timer is Timer.MISSING:
                self.leading.still_missing()
            elif timer is Timer.TIP:
                self.resending.ask_tip()
            else:
                self.consensus.fire(timer)

    def _tick(self) -> None:
        """Every 500 ms: status, expiry, questions that got no answer."""
        kernel = self.kernel
        assert kernel is not None
        kernel.pool.expire(kernel.clock_ms)
        kernel.publish_status()
        if kernel.state in (NodeState.BOOTING, NodeState.SYNCING, NodeState.JOINING):
            if kernel.fault is None and not self.joining.enough():
                self.joining.ask()
        if self.consensus.votes is not None:
            self.resending.ask_tip()

    def _settle(self) -> None:
        """After every event: the changes of state that what is known now calls for."""
        kernel = self.kernel
        assert kernel is not None
        if self.stopping:
            self.stopping = False
            kernel.emit(Stop())
        if kernel.fault is not None:
            if self.consensus.votes is not None:
                self.consensus.leave()  # Whatever comes now, nothing more is signed.
            return
        if kernel.state is NodeState.BOOTING:
            self.syncing.apply()
            if self.syncing.idle() and not self._at_tip():
                kernel.enter_state(NodeState.SYNCING, self._why_syncing())
        if kernel.state is NodeState.SYNCING and self.consensus.votes is None:
            self._follow()
        elif kernel.state is NodeState.BOOTING and self.syncing.idle() and self._at_tip():
            kernel.enter_state(NodeState.JOINING, "at the tip and entitled to vote")
        if kernel.state is NodeState.JOINING:
            self._join()
        if kernel.state is NodeState.CONSENSUS:
            self.leading.propose()
            early = self.leading.propose_early()
            if early is not None:
                self.next_rounds.setdefault(0, RoundVotes()).proposal = early
        if self.consensus.votes is not None:
            self._check_behind()

    def _follow(self) -> None:
        """SYNCING: catch up; at the tip vote if entitled, else look on, height by height."""
        kernel = self.kernel
        assert kernel is not None
        self.syncing.advance()
        if not self.syncing.idle():
            return
        if self._at_tip():
            kernel.enter_state(NodeState.JOINING, "at the tip and entitled to vote")
        elif self._entitled() is None and self.syncing.at_tip() and self._heard_enough():
            self.syncing.forget()
            self._begin_height(None)
            self.resending.ask_votes(self.resending.peers())

    def _entitled(self) -> int | None:
        kernel = self.kernel
        assert kernel is not None
        return kernel.entitled(kernel.chain.suffrage(kernel.chain.tip.height + 1))

    def _at_tip(self) -> bool:
        """Entitled to vote on the tip, and as far as the others say it is the tip."""
        return self._entitled() is not None and self.syncing.at_tip()

    def _why_syncing(self) -> str:
        return "behind" if self._entitled() is not None else "another instance votes"

    def _heard_enough(self) -> bool:
        """Whether q - 1 other members said where they are: one that did not may be far ahead.

        D6 waits for as many; its answers name no tip.
        """
        kernel = self.kernel
        assert kernel is not None
        suffrage, instances = kernel.chain.newest_suffrage(), kernel.members.instances
        heard = 0
        for member in suffrage.members:
            seen = instances.get(member.instance)
            heard += seen is not None and seen.status_ms is not None
        return heard >= suffrage.q - 1

    def _join(self) -> None:
        """D6 is answered: vote, from where a restart left off."""
        kernel = self.kernel
        assert kernel is not None
        epoch = self._entitled()
        if epoch is None or not self._at_tip():
            kernel.enter_state(NodeState.SYNCING, self._why_syncing())
            return
        if not self.joining.enough() or not self._heard_enough():
            return
        self.syncing.forget()
        kernel.enter_state(NodeState.CONSENSUS, "the members answered")
        self._begin_height(epoch)
        self.resending.resend()
        self.resending.ask_votes(self.resending.peers())

    def _begin_height(self, epoch: int | None) -> None:
        kernel = self.kernel
        assert kernel is not None
        tip = kernel.chain.tip
        votes = None
        if self.restored is not None:
            votes = self.restored.height_votes(kernel)
            self.restored = None
        paused, self.paused = self.paused, None
        if votes is None and paused is not None and paused.parent.hash == tip.hash:
            votes = paused
            votes.executing.clear()  # A result that came meanwhile went by.
        if votes is None:
            votes = HeightVotes(tip, kernel.chain.suffrage(tip.height + 1), kernel.now_ms)
        for round_, at in self.next_rounds.items():
            if at.proposal is not None and at.proposal.value.parent != tip.hash:
                at.proposal = None  # R11: on another parent it counts as not sent.
            votes.rounds.setdefault(round_, at)
            if at.proposal is not None:
                vid = at.proposal.value.hash
                votes.values.setdefault(vid, at.proposal.value)
                if at.proposal.instance == kernel.own and not self.values.missing(
                    at.proposal.value
                ):
                    votes.recorded[vid] = None
            votes.work = True
        self.next_rounds = {}
        self.consensus.begin(votes, epoch)

    def _check_behind(self) -> None:
        """R10: for longer than t_r certain that the others are two heights on."""
        kernel = self.kernel
        assert kernel is not None
        height = kernel.chain.tip.height + 1
        ahead = [address for address, seen in self.ahead.items() if seen >= height + 2]
        proven = False
        if self.proof is not None and self.proof[0] == height:
            sender = kernel.members.instances.get(self.proof[1])
            proven = sender is not None and sender.tip >= height + 2
        if len(ahead) <= kernel.chain.newest_suffrage().f and not proven:
            self.behind_ms = None
        elif self.behind_ms is None:
            self.behind_ms = kernel.now_ms
        elif kernel.now_ms - self.behind_ms > kernel.timing.resend_ms():
            self.behind_ms = None
            self._leave("behind")

    def _leave(self, reason: str) -> None:
        kernel = self.kernel
        assert kernel is not None
        self.ahead.clear()
        self.proof = None
        self.paused = self.consensus.votes  # If nothing more is decided, it goes on from here.
        self.consensus.leave()
        self.next_rounds = {}
        kernel.enter_state(NodeState.SYNCING, reason)

    def _connected(self, address: Address, instance: PublicKey) -> None:
        kernel = self.kernel
        assert kernel is not None
        kernel.members.links[instance] = address
        if kernel.deadlines.get(Timer.STATUS, 0) - kernel.now_ms > 50:
            kernel.set_timer(Timer.STATUS, 50)  # The new peer should not wait for the next one.
        if kernel.state is not NodeState.CONSENSUS and kernel.fault is None:
            self.joining.ask()

    # What is heard.

    def _hear(self, message: Published, source: PublicKey) -> None:
        match message:
            case Ballot():
                self._hear_ballot(message, source)
            case Proposal():
                self._hear_proposal(message)
            case Voteproof():
                self._hear_voteproof(message, source)
            case Status():
                self._hear_status(message, source)
            case SealsAnnounced():
                self.resending.take_announced(source, message)
            case _:
                assert_never(message)

    def _hear_ballot(self, ballot: Ballot, source: PublicKey) -> None:
        kernel = self.kernel
        assert kernel is not None
        height, next_height = ballot.fact.height, kernel.chain.tip.height + 1
        seen = kernel.members.instances.get(ballot.instance)
        if seen is not None and source == ballot.instance:
            seen.heard_ms = kernel.now_ms
        if height < next_height:
            self.values.take_late(ballot)
        elif self.consensus.votes is None or height > next_height + 1:
            if kernel.check_ballot(ballot, self._suffrage_of(height)):
                kernel.members.take_ballot(ballot, kernel.now_ms)
                self._seen_ahead(ballot.address, height)
        elif height == next_height:
            self.consensus.take_ballot(ballot)
        else:
            self._buffer_ballot(ballot)

    def _suffrage_of(self, height: int) -> Suffrage:
        """Who votes at a height beyond the tip, as far as it is known here."""
        kernel = self.kernel
        assert kernel is not None
        return kernel.chain.suffrage(min(height, kernel.chain.tip.height + 2))

    def _buffer_ballot(self, ballot: Ballot) -> None:
        kernel = self.kernel
        assert kernel is not None
        if not next_height_kept(ballot.fact.round):
            return
        at = self.next_rounds.setdefault(ballot.fact.round, RoundVotes())
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
        if height > self.ahead.get(address, 0):
            self.ahead[address] = height

    def _hear_proposal(self, proposal: Proposal) -> None:
        kernel = self.kernel
        assert kernel is not None
        next_height = kernel.chain.tip.height + 1
        if proposal.height > next_height:
            # Its first certificate may be what this node misses (ACCEPT VP of the height before).
            for vp in proposal.justification[:1]:
                if vp.fact.height < proposal.height:
                    self._hear_voteproof(vp, proposal.instance)
            next_height = kernel.chain.tip.height + 1
        if self.consensus.votes is None:
            return
        if proposal.height == next_height:
            self.consensus.take_proposal(proposal)
        elif proposal.height == next_height + 1 and next_height_kept(proposal.round):
            self._buffer_proposal(proposal)

    def _buffer_proposal(self, proposal: Proposal) -> None:
        kernel = self.kernel
        assert kernel is not None
        leader = kernel.chain.leader(proposal.height, proposal.round)
        at = self.next_rounds.setdefault(proposal.round, RoundVotes())
        if proposal.instance != leader.instance:
            return
        held = at.proposal
        if held is not None and held.value.parent == proposal.value.parent:
            return  # R11: one on another parent counts as not sent, so it keeps none out.
        if proposal.address == leader.address and proposal.epoch == leader.epoch:
            if proposal.verified(kernel.config.domain, kernel.config.verify):
                at.proposal = proposal
                self.resending.prefetch(proposal)

    def _hear_voteproof(self, vp: Voteproof, source: PublicKey) -> None:
        kernel = self.kernel
        assert kernel is not None
        height, next_height = vp.fact.height, kernel.chain.tip.height + 1
        votes = self.consensus.votes
        if height < next_height:
            return
        if votes is not None and height == next_height:
            self.consensus.take_voteproof(vp)
            if votes.final is not None and votes.final.fact == vp.fact:
                self.proof = height, source
        elif votes is not None and height == next_height + 1:
            self._buffer_voteproof(vp)
        else:
            suffrage = self._suffrage_of(height)
            if kernel.check_voteproof(vp, suffrage):
                kernel.members.take_voteproof(vp, suffrage, kernel.now_ms)
                for address in vp.addresses:
                    self._seen_ahead(address, height)

    def _buffer_voteproof(self, vp: Voteproof) -> None:
        kernel = self.kernel
        assert kernel is not None
        if not next_height_kept(vp.fact.round):
            return
        at = self.next_rounds.setdefault(vp.fact.round, RoundVotes())
        if not at.holds(vp.fact):
            known, suffrage = at.ballots(vp.fact.stage), kernel.chain.suffrage(vp.fact.height)
            if kernel.check_voteproof(vp, suffrage, known):
                at.keep(vp)
                kernel.members.take_voteproof(vp, suffrage, kernel.now_ms)

    def _hear_status(self, status: Status, source: PublicKey) -> None:
        kernel = self.kernel
        assert kernel is not None
        member = kernel.chain.newest_suffrage().by_address.get(status.address)
        if member is None or status.instance == kernel.own:
            return
        # Anybody can make a key and sign with it; a hello proves whose instance a standby is.
        linked = kernel.members.links.get(status.instance) == status.address
        if member.instance != status.instance and not linked:
            return
        if not status.verified(self.config.domain, self.config.verify):
            kernel.bump("bad_signature")
            return
        relayed = source != status.instance
        if not kernel.members.take_status(status, kernel.now_ms, kernel.clock_ms, relayed=relayed):
            return
        if kernel.state is NodeState.CONSENSUS:
            self.resending.ask_tip()
            if status.tip >= kernel.chain.tip.height + 3:
                if member.instance == status.instance:
                    self._seen_ahead(status.address, status.tip)

    # Requests and answers.

    def _serve(self, route: object, request: Request) -> None:
        kernel = self.kernel
        assert kernel is not None
        match request:
            case VotesWanted():
                self.resending.serve_votes(route, request)
            case SealsWanted():
                self.resending.serve_seals(route, request)
            case BlocksWanted(first=first, last=last):
                kernel.emit(ServeBlocks(route=route, first=first, last=last))
            case LastBallotWanted():
                self.joining.serve(route, request)
            case _:
                assert_never(request)

    def _take_reply(self, source: PublicKey, reply: Reply) -> None:
        match reply:
            case VotesAnswer():
                for vp in reply.voteproofs:
                    self._hear_voteproof(vp, source)
                for proposal in reply.proposals:
                    self._hear_proposal(proposal)
                for ballot in reply.ballots:
                    self._hear_ballot(ballot, source)
            case LastBallotAnswer():
                self.joining.take(reply)
            case SealsAnswer() | BlocksAnswer():
                pass  # They come decoded, as SealsReceived and BlocksReceived.
            case _:
                assert_never(reply)

    def _take_blocks(
        self, source: PublicKey, first: int, blocks: tuple[tuple[Block, Voteproof], ...]
    ) -> None:
        votes, kernel = self.consensus.votes, self.kernel
        assert kernel is not None
        if kernel.fault is not None:
            return
        if votes is None:
            self.syncing.take(source, first, blocks)
            return
        if votes.final is None or first != votes.height or not blocks:
            return
        block = blocks[0][0]
        final = votes.final.fact
        if block.hash != final.block or block.value is None:
            return
        value = block.value
        if value.hash == final.value:
            votes.values.setdefault(value.hash, value)
            for seal in block.seals:
                if seal.hash in value.seals and self.values.genuine(seal):
                    kernel.pool.hold(seal)
            self.consensus.finish()

    def _take_seals(self, event: SealsReceived) -> None:
        kernel = self.kernel
        assert kernel is not None
        fresh = []
        for seal in event.seals:
            before = len(kernel.pool)
            code = kernel.pool.add(seal, kernel.chain, kernel.clock_ms)
            if code is not None and event.pulled and self._named(seal.hash):
                kernel.pool.hold(seal)
            if len(kernel.pool) > before:
                fresh.append(seal)
            if event.token is not None:
                kernel.emit(AnswerClient(token=event.token, seal=seal.hash, code=code))
        if event.source is None and fresh:
            kernel.emit(PublishSeals(seals=tuple(fresh)))
        votes = self.consensus.votes
        if votes is None:
            return
        if event.missing and event.source is not None:
            self.resending.not_served(event.source)
        if votes.final is not None:
            self.consensus.finish()
            return
        self.consensus.work_arrived()
        self.consensus.consider()

    def _named(self, seal: bytes) -> bool:
        """Whether a value of the current height names a seal: then bounds do not keep it out."""
        votes = self.consensus.votes
        return votes is not None and any(seal in value.seals for value in votes.values.values())

    # Commit.

    def _commit(self, event: Executed, vp: Voteproof) -> None:
        """R7, the end: the block is decided, executed and equal; go on with the next height."""
        kernel, votes = self.kernel, self.consensus.votes
        assert kernel is not None
        value, seals, init = self._content(event, vp)
        accepts = votes.at(vp.fact.round).accept if votes is not None else {}
        kernel.record(CertificateHeld(voteproof=vp), sync=False)
        kernel.emit(
            Commit(
                height=value.height,
                parent=event.parent,
                value=event.value,
                block=event.manifest.hash,
                accept=vp,
                init=init,
            )
        )
        summary = BlockSummary(
            height=value.height,
            hash=event.manifest.hash,
            value=event.value,
            time_ms=value.time_ms,
            seals=tuple((seal.hash, seal.created_at_ms) for seal in seals),
            voters=value.accept.addresses if value.accept is not None else (),
            accept=vp,
        )
        self.values.committed(vp, accepts)
        suffrage = kernel.chain.suffrage(value.height)
        kernel.members.take_voteproof(vp, suffrage, kernel.now_ms)
        kernel.chain.append(summary, event.suffrage, event.authority)
        kernel.pool.committed(seals, kernel.chain)
        kernel.committed_ms = kernel.now_ms
        if votes is not None:
            self.consensus.votes = None
            self._go_on()

    def _go_on(self) -> None:
        """The next height: vote, look on, or (a right to vote that is new) answer D6 first."""
        kernel, epoch = self.kernel, self._entitled()
        assert kernel is not None
        if epoch is None and kernel.state is NodeState.CONSENSUS:
            reason = "retired: another instance votes for this address"
            kernel.enter_state(NodeState.SYNCING, reason)
        elif epoch is not None and kernel.state is not NodeState.CONSENSUS:
            if not self.joining.enough():
                self.consensus.leave()
                kernel.enter_state(NodeState.JOINING, "entitled to vote")
                return
            kernel.enter_state(NodeState.CONSENSUS, "this instance votes from here on")
        self._begin_height(epoch)

    def _content(
        self, event: Executed, vp: Voteproof
    ) -> tuple[Value, tuple[Seal, ...], Voteproof | None]:
        votes = self.consensus.votes
        if votes is None:
            item = self.syncing.last_applied
            assert item is not None and item.value.hash == event.value
            return item.value, item.seals, None
        value = votes.values[event.value]
        return value, self.values.seals(value), votes.at(vp.fact.round).init_vp

    def _execution_failed(self, event: ExecutionFailed) -> None:
        """A speculative execution that fails costs a round; one the network decided, the vote."""
        kernel = self.kernel
        assert kernel is not None
        kernel.executed(event.parent, event.value)
        item = self.syncing.executing
        decided = item is not None and item.value.hash == event.value
        if decided or not self.consensus.execution_failed(event.parent, event.value):
            self.consensus.leave()
            kernel.break_down(event.cause, event.way_out)

    def _sync_diverged(self, vp: Voteproof) -> None:
        kernel = self.kernel
        assert kernel is not None
        cause = f"executing block {vp.fact.height} gave another result than the network's"
        kernel.break_down(cause, DIVERGED_WAY_OUT)
