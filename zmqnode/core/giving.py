"""The old copy's side: consent, veto, and what it still owes when it has given its vote away.

A consents to what the chain could take now: its own decided epoch, nothing open, a new key. Before
it does, it names all seals of its pool to the new copy. A live A that finds a takeover of its own
address pending vetoes it by itself; its ballots say the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from zmqnode.base.exchange import SEALS_ANNOUNCED_MAX, NodeState, SealsAnnounced
from zmqnode.base.handing import (
    ConsentAnswer,
    ConsentWanted,
    SignedAnswer,
    SignedWanted,
)
from zmqnode.base.handover import Mode, Switch, sign_consent, sign_veto
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import PublicKey, Signature
from zmqnode.core.authority_state import is_spent
from zmqnode.core.display import Display
from zmqnode.core.effects import Answer, Publish, ReplaceKey
from zmqnode.core.handing_in import HandingIn
from zmqnode.core.handover_view import SessionView, Trouble
from zmqnode.core.kernel import Kernel, Timer
from zmqnode.core.members import INSTANCES_PER_ADDRESS

T = TypeVar("T")

CONSENT_AHEAD_MAX_MS: Final = 60_000  # A consent is good for at most so long.
APPROVAL_MS: Final = 30_000  # How long an operator's answer holds for a new copy that asks again.
STOP_WAIT_MS: Final = 5_000  # A stop waits so long for the first height of the new copy.
REPLACE_KEY_MS: Final = 2500  # A spent key waits for so long to be asked what it signed,
TOLD_MS: Final = 100  # and for so long that its answer arrives.


class Giving:
    """Consent, veto, and the end of this instance's key."""

    def __init__(
        self,
        kernel: Kernel,
        display: Display,
        handing_in: HandingIn,
        voting: Callable[[], bool],
    ) -> None:
        self.kernel = kernel
        self.display = display
        self.handing_in = handing_in
        self.voting = voting
        # By session: when the new copy asked last, and when what it asked for expires (block time).
        self._asked: dict[Hash, tuple[int, int]] = {}
        self._answers: dict[Hash, tuple[bool, int]] = {}  # The operator's: refused, until when.
        self._spent_ms: int | None = None
        self.told: tuple[Hash, int] | None = None  # The session asked for, and when.
        self._replaced = False
        self._stop_ms: int | None = None

    # Consent.

    def serve_consent(self, route: object, wanted: ConsentWanted, source: PublicKey) -> None:
        """Answer the new copy that asks for the vote."""
        switch, kernel = wanted.switch, self.kernel
        trouble = self._refusal(switch, source)
        if trouble is None:
            _remember(self._asked, switch.session, (kernel.now_ms, switch.expires_at_ms))
        consent: Signature | None = None
        waits = False
        if trouble is None and kernel.config.consent_asks:
            waits, trouble = self._operator_says(switch)
        if trouble is None and not self.display.open:
            self._show(switch, wanted.reason)
        shown = self._shown() == switch.session  # Another copy may ask while one is waited for.
        if trouble is None and waits and shown:
            self.display.change(waits_for="consent of this copy's operator")
        elif trouble is None and not waits:
            self._stream_pool()
            consent = sign_consent(switch, kernel.config.signer)
            if shown:
                self.display.reach("consent", waits_for="a block that holds the handover")
        answer = ConsentAnswer(
            session=switch.session,
            consent=consent,
            waits=waits,
            code="" if trouble is None else trouble.code,
            text="" if trouble is None else trouble.message,
        )
        kernel.emit(Answer(route=route, reply=answer))

    def _refusal(self, switch: Switch, source: PublicKey) -> Trouble | None:
        kernel = self.kernel
        state = kernel.chain.authority
        member = state.members.by_address.get(kernel.config.address)
        if not kernel.bound:
            return Trouble(code="wrong_state", message="the old copy's data folder was copied")
        own = kernel.config.address
        copy = kernel.members.links.get(source, own) == own  # Its hello proved the identity key.
        if switch.address != own or source != switch.new_instance or not copy:
            return Trouble(code="not_authorised", message="asked by another copy than shall vote")
        if switch.mode is not Mode.PLANNED or member is None:
            return Trouble(code="consent_refused", message="only a planned handover has consent")
        decided = (member.epoch, member.instance)
        if decided != (switch.epoch, switch.old_instance) or member.instance != kernel.own:
            return Trouble(code="epoch_moved", message="this copy's vote was given away already")
        if state.session(switch.address) is not None:
            return Trouble(code="handover_open", message="a handover of this address is open")
        if state.is_used(switch.new_instance):
            return Trouble(code="not_standby", message="the new copy's key was used before")
        if switch.new_instance in state.cancelled_keys(switch.address):
            return Trouble(code="cancelled", message="handovers to this copy were cancelled")
        if switch.expires_at_ms > kernel.network_ms + CONSENT_AHEAD_MAX_MS:
            return Trouble(code="consent_refused", message="asked for longer than a minute")
        return None

    def _operator_says(self, switch: Switch) -> tuple[bool, Trouble | None]:
        """Whether to wait; a refusal is given once."""
        refused, until_ms = self._answers.get(switch.session, (False, 0))
        if self.kernel.now_ms >= until_ms:
            return True, None
        if not refused:
            return False, None
        del self._answers[switch.session]
        text = "the old copy's operator refused"
        return False, Trouble(code="consent_refused", message=text)

    def _shown(self) -> Hash | None:
        """The session that is shown here, open and not taken by a block yet."""
        view = self.display.view
        if view is None or view.outcome is not None or view.side != "old":
            return None
        return view.session if view.committed_height is None else None

    def settle(self) -> None:
        """What this copy was asked for ends here too if no block takes it."""
        kernel, view, session = self.kernel, self.display.view, self._shown()
        if view is None or session is None:
            return
        asked_ms, expires_ms = self._asked.get(session, (0, 0))
        if view.phase == "consent":
            if kernel.chain.tip.time_ms >= expires_ms:
                text = "no block took the handover in time"
                self.display.end("expired", Trouble(code="expired", message=text))
        elif kernel.now_ms - asked_ms > APPROVAL_MS:
            text = "the new copy does not ask any more"
            self.display.end("failed", Trouble(code="not_ready", message=text))

    def wants_block(self) -> bool:
        """Whether a consent is over by this copy's clock: only a block's time can end it."""
        view, session = self.display.view, self._shown()
        if view is None or session is None or view.phase != "consent":
            return False
        _, expires_ms = self._asked.get(session, (0, 0))
        return self.kernel.network_ms > expires_ms

    def decide(self, session: Hash | None, *, refuse: bool) -> bool:
        """The operator's answer to a session that waits for it; False if it does not.

        None is the session that is shown: of several, what the operator saw is what is answered.
        """
        now_ms, shown = self.kernel.now_ms, self._shown()
        session = session or shown
        asked = self._asked.get(session) if session is not None else None
        if session is None or asked is None or now_ms - asked[0] > APPROVAL_MS:
            return False
        view = self.display.view
        if session == shown and view is not None and view.phase == "consent":
            return False  # It is given: a block may hold it by now.
        _remember(self._answers, session, (refuse, now_ms + APPROVAL_MS))
        if refuse and session == shown:
            text = "this copy's operator refused"
            self.display.end("failed", Trouble(code="consent_refused", message=text))
        return True

    def _show(self, switch: Switch, reason: str) -> None:
        self.display.begin(
            SessionView(
                session=switch.session,
                mode=switch.mode,
                side="old",
                address=switch.address,
                epoch_before=switch.epoch,
                old_instance=switch.old_instance,
                new_instance=switch.new_instance,
                new_url=switch.url,
                reason=reason,
            )
        )

    def _stream_pool(self) -> None:
        """Name all waiting seals: who misses one, the new copy above all, pulls it."""
        pool = self.kernel.pool
        hashes = [seal.hash for seal in pool.oldest(len(pool))]
        for start in range(0, len(hashes), SEALS_ANNOUNCED_MAX):
            bundle = tuple(hashes[start : start + SEALS_ANNOUNCED_MAX])
            self.kernel.emit(Publish(message=SealsAnnounced(seals=bundle)))

    # Veto.

    def veto(self) -> None:
        """While a takeover of this voting copy is pending: say that it lives."""
        kernel = self.kernel
        session = kernel.chain.authority.session(kernel.config.address)
        if session is None or session.acts_height is not None or not self.voting():
            return
        if session.mode is not Mode.TAKEOVER or session.old_instance != kernel.own:
            return
        if kernel.state is not NodeState.CONSENSUS:
            return
        signer = kernel.config.signer
        self.handing_in.hand_in(
            lambda: sign_veto(session.address, session.epoch, session.new_instance, signer),
            signer,
            key=b"veto" + session.session,
        )

    # Afterwards.

    def serve_signed(self, route: object, wanted: SignedWanted, source: PublicKey) -> None:
        """What this copy signed at some heights."""
        kernel = self.kernel
        last = min(wanted.last, kernel.chain.tip.height)
        stages = tuple(kernel.signed.get(height, 0) for height in range(wanted.first, last + 1))
        answer = SignedAnswer(first=wanted.first, since=kernel.signed_since, stages=stages)
        kernel.emit(Answer(route=route, reply=answer))
        view = self.display.view
        if view is None or view.session is None or source != view.new_instance:
            return
        if last == wanted.last and (self.told is None or self.told[0] != view.session):
            self.told = (view.session, kernel.now_ms)
            if Timer.SHADOW not in kernel.deadlines:
                kernel.set_timer(Timer.SHADOW, TOLD_MS)

    def retired(self) -> None:
        """This copy's last height is committed: its certificate goes to everybody."""
        accept = self.kernel.chain.tip.accept
        if accept is not None:
            self.kernel.emit(Publish(message=accept))

    def may_stop(self) -> bool:
        """A stop waits while the vote is on its way: until the new copy's first height is there."""
        kernel = self.kernel
        session = kernel.chain.authority.session(kernel.config.address)
        if session is None or session.old_instance != kernel.own or session.acts_height is None:
            return True
        if kernel.chain.tip.height >= session.acts_height:
            return True
        if self._stop_ms is None:
            self._stop_ms = kernel.now_ms
        return kernel.now_ms - self._stop_ms >= STOP_WAIT_MS

    def replace_key(self, *, looking_on: bool) -> None:
        """Once this instance can never vote again, say so, once."""
        kernel = self.kernel
        if self._replaced or not looking_on or kernel.fault is not None:
            return
        state, tip = kernel.chain.authority, kernel.chain.tip.height
        if not is_spent(state, tip, kernel.config.address, kernel.own):
            self._spent_ms = None
            return
        if self._spent_ms is None:
            self._spent_ms = kernel.now_ms
        view = self.display.view
        asked_for = view is not None and view.side == "old" and view.mode is Mode.PLANNED
        if not asked_for or self._has_told() or kernel.now_ms - self._spent_ms >= REPLACE_KEY_MS:
            self._replaced = True
            kernel.emit_last(ReplaceKey())

    def _has_told(self) -> bool:
        """Whether the new copy knows what it asked for: links end with the key, and what is on its
        way in them is lost."""
        view, told = self.display.view, self.told
        if view is None or told is None or told[0] != view.session:
            return False
        return self.kernel.now_ms - told[1] >= TOLD_MS


def _remember(by_session: dict[Hash, T], session: Hash, what: T) -> None:
    """The newest of a session; the one that is oldest makes room."""
    by_session.pop(session, None)
    if len(by_session) >= INSTANCES_PER_ADDRESS:
        del by_session[next(iter(by_session))]
    by_session[session] = what
