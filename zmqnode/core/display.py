"""The session of this copy's address as people see it: kept while it goes, never authority.

What the chain does to a session comes as steps of blocks; what happens before it is in the chain,
from the session itself (core/claiming, core/giving).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from zmqnode.base.handing import SIGNED_ACCEPT, SIGNED_INIT, SignedAnswer
from zmqnode.base.handover import Mode
from zmqnode.core.authority_moves import Step, Turn
from zmqnode.core.authority_state import Session
from zmqnode.core.effects import ShowHandover
from zmqnode.core.handover_view import PHASES, PhaseReached, SessionView, Trouble, view_of
from zmqnode.core.kernel import Kernel

ROUNDS_KEPT: Final = 4096  # Heights whose final round is remembered.
MOVED = Trouble(code="epoch_moved", message="another handover replaced this one")
VETOED = Trouble(
    code="vetoed",
    message="the old copy is alive and vetoed the takeover",
    hint="hand over with its consent: zmqnode handover start; if it misbehaves: --forced",
)
RETURNED = Trouble(
    code="returned",
    message="the new copy did not acknowledge in time: the vote went back to the old one",
    hint="look at the new copy's log, then start again",
)
CANCELLED = Trouble(code="cancelled", message="the handover was cancelled")


class Display:
    """One session, the newest of this address; every change is shown."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.view: SessionView | None = None
        self._rounds: dict[int, int] = {}
        self._old: SignedAnswer | None = None
        self._acknowledged_ms = 0

    @property
    def open(self) -> bool:
        """Whether there is a session that is not over."""
        return self.view is not None and self.view.outcome is None

    def begin(self, view: SessionView) -> None:
        """A new session takes the place of the last."""
        self.view = replace(view, began_ms=view.began_ms or self.kernel.clock_ms)
        self._old = None

    def change(self, **changes: Any) -> None:
        """Something of it changed; shown if it really did."""
        assert self.view is not None
        changed = replace(self.view, **changes)
        if changed != self.view:
            self.view = changed
            self.show()

    def show(self) -> None:
        """Tell whoever watches."""
        assert self.view is not None
        self.kernel.emit_last(ShowHandover(session=self.view))  # After the commit it rests on.

    def reach(self, phase: str, **changes: Any) -> None:
        """A phase is reached, once; earlier ones of the order that were not seen stay out."""
        view = self.view
        assert view is not None
        if any(PHASES.index(one.name) >= PHASES.index(phase) for one in view.phases):
            return
        kernel = self.kernel
        height = kernel.chain.tip.height
        reached = PhaseReached(name=phase, height=height, at_ms=kernel.clock_ms)
        self.change(phases=(*view.phases, reached), **changes)

    def end(self, outcome: str, error: Trouble | None = None, **changes: Any) -> None:
        """It is over."""
        if self.open:
            now_ms = self.kernel.clock_ms
            over = {"outcome": outcome, "error": error, "waits_for": None, "ended_ms": now_ms}
            self.change(**{**over, **changes})

    # What the chain does.

    def take_step(self, step: Step) -> None:
        """A block did something to a session of this address."""
        session = step.session
        view = self.view
        own = view is not None and view.session == session.session
        if not own:
            if self.open and view is not None and view.phase == "sync":
                return  # Blocks of old, caught up with: the claim has not begun.
            self.conclude(0)  # What was acknowledged is done, whatever comes after it.
            if self.open and step.turn in (Turn.ACTING, Turn.RETURNED):
                self.end("failed", MOVED)
            if self.open or self._side(session) == "other":
                return  # What was handed in here waits on while another's takeover is pending.
            self.begin(view_of(session, self._side(session)))
            # It may have been committed while another one was shown here.
            self.reach("committed", committed_height=session.opened_height)
        elif step.turn is Turn.COMMITTED and not self.open:
            # Given up here, and taken by a block all the same: the chain's word counts.
            assert view is not None
            self.view = replace(view, outcome=None, error=None, ended_ms=None)
        self._turn(step)

    def _side(self, session: Session) -> str:
        own = self.kernel.own
        if own == session.new_instance:
            return "new"
        return "old" if own == session.old_instance else "other"

    def resume(self, session: Session) -> None:
        """After a start: the chain has an open session of this copy."""
        self.begin(view_of(session, self._side(session)))
        acting = session.acts_height is not None
        waits = "its first height" if acting else "the veto window"
        opened: dict[str, Any] = {"committed_height": session.opened_height, "waits_for": waits}
        self.reach("committed", **opened)
        self.reach("acting" if acting else "pending", acts_height=session.acts_height)

    def _turn(self, step: Step) -> None:
        session, height = step.session, step.height
        match step.turn:
            case Turn.COMMITTED:
                self.reach("committed", committed_height=height)
            case Turn.PENDING:
                self.reach("pending", waits_for="the veto window")
            case Turn.ACTING:
                waits = f"height {session.acts_height}"
                self.reach("acting", acts_height=session.acts_height, waits_for=waits)
            case Turn.ACKNOWLEDGED:
                waits = "the old copy's word on what it signed"
                self._acknowledged_ms = self.kernel.now_ms
                self.reach("acknowledged", acknowledged_height=height, waits_for=waits)
                self.conclude(0 if self._side(session) != "new" else 1)
            case Turn.VETOED:
                self.end("vetoed", VETOED)
            case Turn.CANCELLED:
                self.end("cancelled", CANCELLED)
            case Turn.RETURNED:
                self.end("returned", RETURNED, returned_height=height)
            case Turn.CLOSED:
                self.end("done")
            case Turn.REPLACED:
                self.end("failed", MOVED)

    def conclude(self, wait_ms: int) -> None:
        """Acknowledged: over once the old copy has said what it signed, or that long after."""
        view = self.view
        if view is None or view.outcome is not None or view.phase != "acknowledged":
            return
        if self.knows_old or self.kernel.now_ms - self._acknowledged_ms >= wait_ms:
            self.end("done", ended_ms=view.phases[-1].at_ms, **self._counted())

    # Missed ballots and extra rounds.

    def took_block(self, height: int, round_: int) -> None:
        """A block was committed in a round."""
        self._rounds[height] = round_
        if len(self._rounds) > ROUNDS_KEPT:
            del self._rounds[next(iter(self._rounds))]

    def take_signed(self, answer: SignedAnswer) -> None:
        """What the old copy signed."""
        self._old = answer

    @property
    def knows_old(self) -> bool:
        """Whether the old copy answered for all heights that were its own."""
        view, old = self.view, self._old
        if view is None or view.acts_height is None or view.committed_height is None:
            return False
        if view.mode is not Mode.PLANNED:
            return True
        first, last = view.committed_height, view.acts_height - 1
        if old is None or not old.since <= first or old.first > first:
            return False
        return old.first + len(old.stages) > last

    def _counted(self) -> dict[str, Any]:
        view = self.view
        assert view is not None
        if view.acts_height is None or view.committed_height is None:
            return {}
        first = view.committed_height if view.mode is Mode.PLANNED else view.acts_height
        last = view.acknowledged_height
        assert last is not None
        heights = range(first, last + 1)
        if len(heights) > ROUNDS_KEPT or any(height not in self._rounds for height in heights):
            return {}
        counted: dict[str, Any] = {"extra_rounds": sum(self._rounds[height] for height in heights)}
        kernel = self.kernel
        if view.side != "new" or not self.knows_old or kernel.signed_since > view.acts_height:
            return counted
        missed = 0
        for height in heights:
            if height >= view.acts_height:
                stages = kernel.signed.get(height, 0)
            else:
                assert self._old is not None
                stages = self._old.stages[height - self._old.first]
            missed += (not stages & SIGNED_INIT) + (not stages & SIGNED_ACCEPT)
        return {**counted, "missed_ballots": missed}
