"""The only door to the core: ``step(event, now_ms) -> effects``. No clock, chance, thread, file or
socket.

What is heard goes to :mod:`zmqnode.core.hearing`, what is asked for to whoever can answer.
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
    Reply,
    Request,
    SealsAnswer,
    SealsWanted,
    VotesAnswer,
    VotesWanted,
)
from zmqnode.base.handing import (
    ConsentAnswer,
    ConsentWanted,
    ReadyAnswer,
    ReadyWanted,
    SignedAnswer,
    SignedWanted,
)
from zmqnode.base.keys import Address, PublicKey
from zmqnode.base.proposal import Value
from zmqnode.base.seal import Seal
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.effects import AnswerClient, Commit, Effect, PublishSeals, ServeBlocks
from zmqnode.core.events import (
    Answered,
    BlocksReceived,
    Booted,
    CancelAsked,
    ClockRead,
    ConsentGiven,
    Event,
    Executed,
    ExecutionFailed,
    Faulted,
    HandoverAsked,
    Heard,
    PeerConnected,
    PeerLost,
    Requested,
    SealsReceived,
    StopAsked,
    Woke,
)
from zmqnode.core.hearing import Hearing
from zmqnode.core.kernel import Kernel, Timer
from zmqnode.core.parts import Parts
from zmqnode.core.phases import Phases
from zmqnode.core.records import BlockSummary, CertificateHeld
from zmqnode.core.voter import DIVERGED_WAY_OUT
from zmqnode.core.world import MachineConfig

UNBOUND_WAY_OUT = (
    "this data folder was copied or moved: run `zmqnode node adopt DIR --old-copy-destroyed` "
    "if no other copy will ever run, or start with an empty folder as a standby"
)
LOST_WAY_OUT = (
    "hand the vote over to a fresh instance: run an empty data folder as standby; "
    "or restore the whole folder as it was at this node's last moment"
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
        """Let one thing happen at ``now_ms`` (never less than before); what to do, in order."""
        if isinstance(event, Booted):
            self._boot(event, now_ms)
        kernel = self.kernel
        assert kernel is not None, "Booted comes first"
        kernel.now_ms = max(kernel.now_ms, now_ms)
        self._route(event)
        if kernel.silent and _one_more_ballot(event) and kernel.state is NodeState.CONSENSUS:
            return []  # It completed nothing, so it calls for no change of state.
        self.phases.settle()
        while self.hearing.hear_kept():
            self.phases.settle()
        return kernel.take_effects()

    def _boot(self, event: Booted, now_ms: int) -> None:
        assert self.kernel is None
        kernel = self.kernel = Kernel(self.config, event.recovery, now_ms)
        parts = self.parts = Parts(kernel, event.recovery, self._commit, self._sync_diverged)
        self.phases, self.hearing = Phases(parts), Hearing(parts)
        self.values, self.consensus, self.syncing = parts.values, parts.consensus, parts.syncing
        kernel.publish_status()
        if not event.recovery.bound:
            kernel.break_down("the data folder is bound to another machine", UNBOUND_WAY_OUT)
        elif event.recovery.votes_lost:
            kernel.break_down("the data folder has lost its vote journal", LOST_WAY_OUT)

    def _route(self, event: Event) -> None:
        kernel = self.kernel
        assert kernel is not None
        match event:
            case Booted():
                pass
            case ClockRead(offset_ms=offset_ms):
                kernel.set_clock(offset_ms)
            case Woke():
                self._wake()
            case PeerConnected(address=address, instance=instance, url=url):
                if url:
                    kernel.members.urls[instance] = url
                self._connected(address, instance)
            case PeerLost(instance=instance):
                kernel.members.links.pop(instance, None)
                kernel.members.urls.pop(instance, None)
            case Heard(message=message, source=source):
                self.hearing.hear(message, source)
            case Requested(source=source, route=route, request=request):
                self._serve(source, route, request)
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
                self.parts.stopping = True
            case HandoverAsked() | CancelAsked() | ConsentGiven():
                self.parts.handing.order(event)
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
                self.parts.resending.resend()
            elif timer is Timer.MISSING:
                self.parts.leading.still_missing()
            elif timer is Timer.TIP:
                self.parts.resending.ask_tip()
            elif timer is Timer.SHADOW:
                pass  # What is due then is found when the state settles.
            elif timer is Timer.ANNOUNCE:
                self.parts.resending.announce()
            else:
                self.consensus.fire(timer)

    def _tick(self) -> None:
        """Every 500 ms: status, expiry, questions that got no answer."""
        kernel = self.kernel
        assert kernel is not None
        kernel.pool.expire(kernel.clock_ms)
        kernel.publish_status()
        if kernel.state is not NodeState.CONSENSUS:
            if kernel.fault is None and not self.parts.joining.enough():
                self.parts.joining.ask()
        if self.consensus.votes is not None:
            self.parts.resending.ask_tip()

    def _connected(self, address: Address, instance: PublicKey) -> None:
        kernel = self.kernel
        assert kernel is not None
        kernel.members.links[instance] = address
        if kernel.deadlines.get(Timer.STATUS, 0) - kernel.now_ms > 50:
            kernel.set_timer(Timer.STATUS, 50)  # The new peer should not wait for the next one.
        if kernel.state is not NodeState.CONSENSUS and kernel.fault is None:
            self.parts.joining.ask(instance)

    # Requests and answers.

    def _serve(self, source: PublicKey, route: object, request: Request) -> None:
        kernel = self.kernel
        assert kernel is not None
        match request:
            case VotesWanted():
                self.parts.resending.serve_votes(route, request)
            case SealsWanted():
                self.parts.resending.serve_seals(route, request)
            case BlocksWanted(first=first, last=last):
                kernel.emit(ServeBlocks(route=route, first=first, last=last))
            case LastBallotWanted():
                self.parts.joining.serve(route, request)
            case ReadyWanted() | ConsentWanted() | SignedWanted():
                self.parts.handing.serve(route, request, source)
                self.consensus.work_arrived()  # A member's word may need a newer block.
            case _:
                assert_never(request)

    def _take_reply(self, source: PublicKey, reply: Reply) -> None:
        match reply:
            case VotesAnswer():
                for vp in reply.voteproofs:
                    self.hearing.hear_voteproof(vp, source)
                for proposal in reply.proposals:
                    self.hearing.hear_proposal(proposal)
                for ballot in reply.ballots:
                    self.hearing.hear_ballot(ballot, source)
            case LastBallotAnswer():
                self.parts.joining.take(reply)
            case ReadyAnswer() | ConsentAnswer() | SignedAnswer():
                self.parts.handing.take(source, reply)
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
            before, lane = len(kernel.pool), kernel.pool.lane
            waited = lane.get(seal.hash) is not None
            code = kernel.pool.add(seal, kernel.chain, kernel.clock_ms)
            if code is not None and event.pulled and self._named(seal.hash):
                kernel.pool.hold(seal)
            new = len(kernel.pool) > before or (not waited and lane.get(seal.hash) is not None)
            if new or (event.token is not None and self.parts.resending.lost(seal)):
                fresh.append(seal)
            if event.token is not None:
                kernel.emit(AnswerClient(token=event.token, seal=seal.hash, code=code))
        if event.source is None and fresh:
            kernel.emit(PublishSeals(seals=tuple(fresh)))
        self.parts.resending.announce_later()
        votes = self.consensus.votes
        if votes is None:
            return
        if event.missing and event.source is not None:
            self.parts.resending.not_served(event.source)
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
        kernel.emit_last(
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
        height, block = value.height, event.manifest.hash
        self.parts.handing.committed(height, block, vp.fact.round, event.steps)
        if votes is not None:
            self.consensus.votes = None
            self.phases.go_on()

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
        votes = self.consensus.votes
        failed = votes.values.get(event.value) if votes is not None else None
        if event.seal is not None:
            kernel.pool.quarantine((event.seal,))
        elif failed is not None:
            kernel.pool.quarantine(failed.seals)
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


def _one_more_ballot(event: Event) -> bool:
    return type(event) is Heard and type(event.message) is Ballot
