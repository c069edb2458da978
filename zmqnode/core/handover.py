"""The session of one copy: shadow, prove ready, ask consent, hand in, take over or retire.

Authority is the chain's alone (core/authority): this part only hands in what the chain asks for,
and follows what it decides. The parts: ``readiness`` (a member's word about standbys), ``claiming``
(the new copy), ``concluding`` (acknowledgement, cancel), ``giving`` (the old copy), ``sparing`` (a
standby that takes over by itself), ``handing_in`` (system seals until a block holds them),
``display`` (what people see).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zmqnode.base.exchange import NodeState, Reply
from zmqnode.base.handing import (
    ConsentAnswer,
    ConsentWanted,
    HandoverRequest,
    ReadyAnswer,
    ReadyWanted,
    SignedAnswer,
    SignedWanted,
)
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import PublicKey
from zmqnode.core.authority_moves import Step
from zmqnode.core.claiming import SHADOW_MS, Claiming
from zmqnode.core.concluding import Concluding
from zmqnode.core.display import Display
from zmqnode.core.events import CancelAsked, ConsentGiven, HandoverAsked
from zmqnode.core.giving import Giving
from zmqnode.core.handing_in import HandingIn
from zmqnode.core.handover_view import SessionView
from zmqnode.core.kernel import Kernel, Timer
from zmqnode.core.readiness import Readiness
from zmqnode.core.sparing import Sparing


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the other parts know of this copy, asked when needed."""

    looking_on: Callable[[], bool]  # At the tip, executing every block live, not voting.
    voting: Callable[[], bool]  # Entitled at the next height.
    answered: Callable[[], bool]  # D6.
    check_late: Callable[[], None]  # Late ballots are signs of life.
    work_arrived: Callable[[], None]  # Something handed in may be a reason for a block.


class Handing:
    """What this copy does about its address's handover."""

    def __init__(self, kernel: Kernel, standing: Standing) -> None:
        self.kernel = kernel
        self.standing = standing
        self.display = Display(kernel)
        self.handing_in = HandingIn(kernel)
        self.readiness = Readiness(kernel, standing.voting)
        self.giving = Giving(kernel, self.display, self.handing_in, standing.voting)
        self.claiming = Claiming(
            kernel,
            self.display,
            self.handing_in,
            looking_on=standing.looking_on,
            answered=standing.answered,
        )
        self.concluding = Concluding(kernel, self.display, self.handing_in, self.claiming)
        self.sparing = Sparing(kernel, self.claiming, standing)
        session = kernel.chain.authority.session(kernel.config.address)
        if session is not None and kernel.own in (session.new_instance, session.old_instance):
            self.display.resume(session)

    @property
    def view(self) -> SessionView | None:
        """The newest session of this address that this copy had a part in."""
        return self.display.view

    def wants_block(self) -> bool:
        """Whether a next block is work for a handover's sake that the chain does not know of."""
        return self.readiness.wants_block() or self.giving.wants_block()

    def order(self, event: HandoverAsked | CancelAsked | ConsentGiven) -> None:
        """What an operator wants."""
        match event:
            case HandoverAsked():
                self.claiming.begin(event)
            case CancelAsked():
                self.concluding.cancel()
            case ConsentGiven(refuse=refuse, session=session):
                self.giving.decide(session, refuse=refuse)

    def serve(self, route: object, request: HandoverRequest, source: PublicKey) -> None:
        """A peer's question."""
        match request:
            case ReadyWanted():
                self.readiness.serve(route, request, source)
            case ConsentWanted():
                self.giving.serve_consent(route, request, source)
            case SignedWanted():
                self.giving.serve_signed(route, request, source)

    def take(self, source: PublicKey, reply: Reply) -> None:
        """A peer's answer."""
        match reply:
            case ReadyAnswer():
                self.claiming.take_ready(source, reply)
            case ConsentAnswer():
                self.claiming.take_consent(source, reply)
            case SignedAnswer():
                self.concluding.take_signed(source, reply)
            case _:
                pass

    def committed(self, height: int, block: Hash, round_: int, steps: tuple[Step, ...]) -> None:
        """A block is the tip now: what it did to handovers, and what is owed for it."""
        self.readiness.committed(height, block)
        self.display.took_block(height, round_)
        own = [step for step in steps if step.session.address == self.kernel.config.address]
        for step in own:
            self.display.take_step(step)
            if self.kernel.own == step.session.new_instance:
                self.claiming.decided()
        self.claiming.shadow(height=height)
        self.concluding.acknowledge()

    def settle(self) -> None:
        """After every event."""
        kernel, claiming = self.kernel, self.claiming
        if not self._busy():
            return
        self._enter_or_leave()
        claiming.advance()
        self._enter_or_leave()
        if kernel.chain.authority.sessions:
            self.concluding.acknowledge()
            self.giving.veto()
            self.standing.work_arrived()
            if Timer.SHADOW not in kernel.deadlines:
                kernel.set_timer(Timer.SHADOW, SHADOW_MS)
        if self.display.open:
            self.concluding.settle_cancel()
            self.concluding.count()
            self.giving.settle()
            if self.giving.wants_block():
                self.standing.work_arrived()
        self.sparing.look()
        self.giving.replace_key(looking_on=self.standing.looking_on())

    def _busy(self) -> bool:
        """Whether there is anything to do: a voting copy in a quiet chain has nothing."""
        kernel = self.kernel
        if kernel.state is not NodeState.CONSENSUS or self.claiming.claim is not None:
            return True
        return bool(kernel.chain.authority.sessions) or self.display.open

    def _enter_or_leave(self) -> None:
        """HANDOVER while this copy claims and looks on; else SYNCING again."""
        kernel, claim = self.kernel, self.claiming.claim
        prepares = claim is not None and not claim.syncing
        waits = self._acts_later()
        looking_on = self.standing.looking_on()
        if kernel.state is NodeState.SYNCING and prepares and looking_on:
            kernel.enter_state(NodeState.HANDOVER, "told to take over the vote")
        elif kernel.state is NodeState.HANDOVER and not (prepares or waits):
            kernel.enter_state(NodeState.SYNCING, "another instance votes")

    def _acts_later(self) -> bool:
        """Whether the chain gave the vote to this copy, from a height on that is not here yet."""
        kernel = self.kernel
        session = kernel.chain.authority.session(kernel.config.address)
        return session is not None and session.new_instance == kernel.own
