"""The new copy's side: shadow, prove ready, ask consent, hand in.

Nothing here gives the vote; the chain does, and this only hands in what the chain asks for. So a
crash at any step loses nothing but the attempt: what is committed is followed from the chain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from zmqnode.base.exchange import NodeState
from zmqnode.base.handing import (
    CONSENT_CODES,
    ConsentAnswer,
    ConsentWanted,
    ReadyAnswer,
    sign_shadow,
)
from zmqnode.base.handover import (
    CONSENT_TAG,
    REASON_MAX_CHARS,
    Cosign,
    Mode,
    Ready,
    Switch,
    sign_handover,
    sign_possession,
)
from zmqnode.base.keys import Address, PublicKey, Signature
from zmqnode.base.suffrage import Suffrage
from zmqnode.core.display import Display
from zmqnode.core.effects import Ask, Publish
from zmqnode.core.events import HandoverAsked
from zmqnode.core.gathering import Gathering, voters
from zmqnode.core.handing_in import HandingIn
from zmqnode.core.handover_view import SHADOWS_NEEDED, SessionView, Trouble
from zmqnode.core.kernel import Kernel, Timer
from zmqnode.core.records import ShadowSigned

RENEW_MS: Final = 50  # How soon a handover whose words count no more is made anew.
SHADOW_MS: Final = 100  # How often a shadow ballot of an unchanged tip is repeated.
CONSENT_ASK_MS: Final = 200
OLD_LOST_MS: Final = 5_000  # Without a word of the old copy for so long, it is unreachable.
CLAIM_MS: Final = 30_000  # Readiness must be there within this.
OPERATOR_MS: Final = 600_000  # Consent must, if an operator is asked.
HANDOVER_TTL_MS: Final = 30_000  # A handover waits so long for its block.


@dataclass(slots=True)
class Claim:
    """One attempt, until the chain has decided on it."""

    mode: Mode
    url: str
    reason: str
    cosigns: tuple[Cosign, ...]
    epoch: int
    old_instance: PublicKey
    began_ms: int
    syncing: bool
    words: Gathering
    switch: Switch | None = None  # The one asked consent for, then handed in.
    consent: Signature | None = None
    waits: bool = False  # For the old copy's operator.
    heard_old_ms: int = 0
    consent_asked_ms: int = 0
    sealed_ms: int | None = None
    given_by: tuple[PublicKey, ...] = ()  # Whose words are in what was handed in.


class Claiming:
    """At most one claim at a time."""

    def __init__(
        self,
        kernel: Kernel,
        display: Display,
        handing_in: HandingIn,
        *,
        looking_on: Callable[[], bool],
        answered: Callable[[], bool],
    ) -> None:
        self.kernel = kernel
        self.display = display
        self.handing_in = handing_in
        self.looking_on = looking_on  # At the tip, executing every block live, not voting.
        self.answered = answered  # D6's answers are in.
        self.claim: Claim | None = None
        self._shadowed_ms = 0
        self._shadowed = -1

    # Beginning.

    def begin(self, asked: HandoverAsked) -> None:
        """An operator (or a spare) wants this copy to vote."""
        if self.claim is not None:
            return
        kernel = self.kernel
        member = kernel.chain.authority.members.by_address.get(kernel.config.address)
        if member is None or kernel.config.identity is None:
            return
        session = kernel.chain.authority.session(member.address)
        if session is not None and session.new_instance == kernel.own:
            return  # The chain has decided on this copy already.
        self.claim = Claim(
            mode=asked.mode,
            words=Gathering(kernel, asked.mode),
            url=asked.url,
            reason=asked.reason[:REASON_MAX_CHARS],
            cosigns=_of_members(asked, member.address, voters(kernel)),
            epoch=member.epoch,
            old_instance=member.instance,
            began_ms=kernel.now_ms,
            heard_old_ms=kernel.now_ms,
            syncing=asked.when_synced and not self.looking_on(),
        )
        view = SessionView(
            session=self._switch(0).session,
            mode=asked.mode,
            side="new",
            address=kernel.config.address,
            epoch_before=member.epoch,
            old_instance=member.instance,
            new_instance=kernel.own,
            new_url=asked.url,
            reason=asked.reason[:REASON_MAX_CHARS],
            peers_ready=0,
            peers_needed=voters(self.kernel).q,
            shadow_matches=0,
            shadow_needed=SHADOWS_NEEDED,
            began_ms=kernel.clock_ms - asked.waited_ms,
        )
        self.display.begin(view)
        trouble = self._refusal(asked)
        if trouble is not None:
            self.display.show()
            self.fail(trouble)
        elif self.claim.syncing:
            self.display.reach("sync", waits_for="the newest block")
        else:
            self.display.reach("preflight", waits_for="the members' word")

    def _refusal(self, asked: HandoverAsked) -> Trouble | None:
        assert self.claim is not None
        kernel = self.kernel
        state = kernel.chain.authority
        member = state.members.by_address[kernel.config.address]
        session = state.session(member.address)
        if kernel.fault is not None or not kernel.bound:
            return Trouble(code="wrong_state", message="this copy is BROKEN")
        if member.instance == kernel.own:
            return Trouble(code="already_active", message="this copy votes already")
        if state.is_used(kernel.own):
            return Trouble(code="not_standby", message="this copy's key is used up")
        if kernel.own in state.cancelled_keys(member.address):
            return Trouble(code="not_standby", message="this copy's key was cancelled")
        if session is not None and asked.mode is not Mode.FORCED and not self.claim.syncing:
            return Trouble(code="handover_open", message=f"a handover of {member.address} is open")
        if not self.looking_on() and not asked.when_synced:
            return Trouble(code="not_caught_up", message="this copy is behind")
        if asked.mode is not Mode.PLANNED and state.members.n < 3:
            return Trouble(code="no_quorum", message="no quorum is left without the old copy")
        needed = state.members.f + 1
        if asked.mode is Mode.FORCED and len(self.claim.cosigns) < needed:
            text = f"{needed} other members must co-sign this"
            return Trouble(code="cosign_missing", message=text)
        rest = state.rest(member.address)
        wait_ms = 0 if rest is None else rest.until_ms(asked.mode) - kernel.network_ms
        if wait_ms > 0 and not self.claim.syncing:
            text = f"the last {asked.mode.text} handover of {member.address} was not acknowledged"
            hint = f"try again in {wait_ms // 1000 + 1} s"
            return Trouble(code="handover_cooldown", message=text, hint=hint)
        return None

    def _switch(self, expires_at_ms: int) -> Switch:
        claim = self.claim
        assert claim is not None
        return Switch(
            address=self.kernel.config.address,
            epoch=claim.epoch,
            mode=claim.mode,
            old_instance=claim.old_instance,
            new_instance=self.kernel.own,
            url=claim.url,
            expires_at_ms=expires_at_ms,
        )

    # Ending.

    def fail(self, trouble: Trouble) -> None:
        """The claim ends without effect."""
        self.claim = None
        self.display.end("failed", trouble)

    def decided(self) -> None:
        """The chain took this copy's session, or ended it: the claim is done with."""
        self.claim = None

    # Time.

    def advance(self) -> None:
        """Do what is due now; called after every event."""
        claim, kernel = self.claim, self.kernel
        if claim is None:
            return
        moved = None if claim.syncing else self._moved(claim)
        if moved is not None:
            self.fail(moved)
        elif claim.syncing:
            self._await_sync(claim)
        elif kernel.fault is not None:
            self.claim = None  # What was handed in may still be taken: the chain has the word.
            self.display.change(waits_for="the chain's word; this copy is BROKEN")
        elif claim.sealed_ms is not None:
            self._await_block(claim)
        elif kernel.state is NodeState.HANDOVER:
            self._prepare(claim)
        else:
            self._check_deadline(claim)
        if self.claim is not None and Timer.SHADOW not in kernel.deadlines:
            kernel.set_timer(Timer.SHADOW, SHADOW_MS)

    def _moved(self, claim: Claim) -> Trouble | None:
        """Whether the chain went another way meanwhile."""
        kernel = self.kernel
        state = kernel.chain.authority
        member = state.members.by_address[kernel.config.address]
        session = state.session(member.address)
        if (member.epoch, member.instance) != (claim.epoch, claim.old_instance):
            text = f"{member.address} has another voting copy now, in epoch {member.epoch}"
            return Trouble(code="epoch_moved", message=text)
        if kernel.fault is not None and claim.sealed_ms is None:
            return Trouble(code="wrong_state", message="this copy is BROKEN")
        if session is not None and claim.mode is not Mode.FORCED and claim.sealed_ms is None:
            if session.new_instance != kernel.own:
                text = f"another copy's handover of {member.address} is open"
                return Trouble(code="handover_open", message=text)
        return None

    def _await_sync(self, claim: Claim) -> None:
        if self.looking_on() and self.answered():
            state = self.kernel.chain.authority
            member = state.members.by_address[self.kernel.config.address]
            # Who voted when the sync began may be long gone.
            claim.epoch, claim.old_instance = member.epoch, member.instance
            claim.syncing = False
            if member.url == claim.url:
                text = f"the voting copy's url is {claim.url} as well"
                self.fail(Trouble(code="same_url", message=text))
                return
            claim.began_ms = self.kernel.now_ms
            self.display.change(
                session=self._switch(0).session,
                epoch_before=member.epoch,
                old_instance=member.instance,
            )
            self.display.reach("preflight", waits_for="the members' word")

    def _check_deadline(self, claim: Claim) -> None:
        limit_ms = OPERATOR_MS if claim.waits else CLAIM_MS
        if self.kernel.now_ms - claim.began_ms < limit_ms:
            return
        if claim.waits:
            text = "the old copy's operator did not answer"
            self.fail(Trouble(code="consent_refused", message=text))
            return
        view = self.display.view
        assert view is not None
        text = f"{view.peers_ready} of {view.peers_needed} members hold this copy for ready"
        hint = "look at `zmqnode peers` and at the load here: every block must be executed in time"
        self.fail(Trouble(code="not_ready", message=text, hint=hint))

    def _prepare(self, claim: Claim) -> None:
        """Shadow, gather words, ask for consent, hand in."""
        self.display.reach("shadow", waits_for="the members' word")
        self.shadow()
        claim.words.ask(self._switch(0))
        ready = claim.words.words()
        if len(ready) < voters(self.kernel).q or not self.answered():
            self._check_deadline(claim)  # Without D6's answers it could not vote in time.
            return
        self.display.reach("ready")
        if claim.mode is Mode.PLANNED and claim.consent is None:
            self._ask_consent(claim)
            self._check_deadline(claim)
            return
        self._hand_in(claim, ready)

    # Shadow ballots.

    def shadow(self, *, height: int | None = None) -> None:
        """Publish a shadow ballot of a new tip (durable first), or repeat it every 100 ms."""
        kernel = self.kernel
        tip = kernel.chain.tip
        claim = self.claim
        if claim is None or (height is not None and kernel.state is not NodeState.HANDOVER):
            return
        fresh = tip.height != self._shadowed
        if not fresh and kernel.now_ms - self._shadowed_ms < SHADOW_MS:
            return
        shadow = sign_shadow(
            address=kernel.config.address,
            epoch=claim.epoch,
            height=tip.height,
            block=tip.hash,
            signer=kernel.config.signer,
        )
        if fresh:
            kernel.record(ShadowSigned(shadow=shadow), sync=True)
        self._shadowed, self._shadowed_ms = tip.height, kernel.now_ms
        kernel.emit(Publish(message=shadow))
        kernel.set_timer(Timer.SHADOW, SHADOW_MS)

    # Readiness.

    def take_ready(self, source: PublicKey, answer: ReadyAnswer) -> None:
        """A member's word, or how far it sees this copy."""
        claim = self.claim
        if claim is not None and claim.words.take(source, answer, self._switch(0)):
            words = claim.words
            self.display.change(peers_ready=len(words.words()), shadow_matches=words.matches)

    # Consent.

    def _ask_consent(self, claim: Claim) -> None:
        kernel = self.kernel
        if kernel.now_ms - claim.consent_asked_ms < CONSENT_ASK_MS:
            return
        if kernel.now_ms - claim.consent_asked_ms > OLD_LOST_MS:
            claim.heard_old_ms = kernel.now_ms  # Not asked for so long: its silence begins now.
        if kernel.now_ms - claim.heard_old_ms > OLD_LOST_MS:
            text = "the old copy does not answer"
            hint = "if it is dead: zmqnode handover start --takeover"
            self.fail(Trouble(code="old_unreachable", message=text, hint=hint))
            return
        claim.consent_asked_ms = kernel.now_ms
        held = claim.switch
        if held is None or held.expires_at_ms < kernel.network_ms + HANDOVER_TTL_MS // 2:
            # The same one for a while: an answer may take longer than the next question.
            claim.switch = self._switch(kernel.network_ms + HANDOVER_TTL_MS)
        assert claim.switch is not None
        wanted = ConsentWanted(switch=claim.switch, reason=claim.reason)
        kernel.emit(Ask(instance=claim.old_instance, request=wanted))
        if not claim.waits:
            self.display.change(waits_for="consent of the old copy")

    def take_consent(self, source: PublicKey, answer: ConsentAnswer) -> None:
        """The old copy's answer."""
        claim, kernel = self.claim, self.kernel
        if claim is None or source != claim.old_instance or claim.switch is None:
            return
        if answer.session != claim.switch.session or claim.sealed_ms is not None:
            return
        claim.heard_old_ms = kernel.now_ms
        if answer.code:
            hint = "zmqnode handover status, on the old copy, says more"
            code = answer.code if answer.code in CONSENT_CODES else "consent_refused"
            self.fail(Trouble(code=code, message=answer.text, hint=hint))
        elif answer.waits:
            if not claim.waits:
                claim.waits, claim.began_ms = True, kernel.now_ms
            self.display.change(waits_for="the old copy's operator: zmqnode handover consent")
        elif answer.consent is not None:
            config = kernel.config
            body = config.domain.message(CONSENT_TAG, claim.switch.consent_body())
            if config.verify(claim.old_instance, body, answer.consent):
                claim.consent = answer.consent
                self.display.reach("consent")

    # Handing in.

    def _hand_in(self, claim: Claim, ready: dict[Address, Ready]) -> None:
        """The whole operation, signed last by the identity key."""
        kernel = self.kernel
        identity = kernel.config.identity
        assert identity is not None
        if claim.switch is None:
            claim.switch = self._switch(kernel.network_ms + HANDOVER_TTL_MS)
        operation = sign_handover(
            claim.switch,
            possession=sign_possession(claim.switch, kernel.config.signer),
            consent=claim.consent,
            cosigns=claim.cosigns,
            ready=ready.values(),
            reason=claim.reason,
            signer=identity,
        )
        renewed = claim.sealed_ms is not None
        claim.sealed_ms, claim.given_by = kernel.now_ms, claim.words.instances(ready)
        code = self.handing_in.hand_in(lambda: operation, identity, key=b"handover", anew=True)
        self.display.reach("submitted", waits_for="a block that holds the handover")
        if not renewed:  # What was handed in before may still be taken.
            self._judged(claim, code)

    def _judged(self, claim: Claim, code: str | None) -> None:
        """The own lane's word: what it refuses for good, no block will take."""
        if code not in (None, "already_exists"):
            self.fail(Trouble(code=str(code), message="the chain would not take this handover"))

    def _await_block(self, claim: Claim) -> None:
        """Handed in: again and again until a block holds it, with newer words, till it expires."""
        kernel, switch = self.kernel, claim.switch
        assert switch is not None and claim.sealed_ms is not None
        if kernel.chain.tip.time_ms >= switch.expires_at_ms:
            self.claim = None
            text = "no block took the handover in time"
            self.display.end("expired", Trouble(code="expired", message=text))
            return
        if kernel.state is NodeState.HANDOVER:
            self.shadow()
            claim.words.ask(self._switch(0))
        ready = claim.words.words()
        members = voters(kernel)
        # While another address had the slot, its new copy came in place of one whose word this is.
        counted = sum(one in members.by_instance for one in claim.given_by)
        renew_ms = RENEW_MS if counted < members.q else kernel.params.ready_ttl_ms // 3
        if len(ready) >= members.q and kernel.now_ms - claim.sealed_ms >= renew_ms:
            self._hand_in(claim, ready)
        else:
            self.handing_in.again(b"handover")


def _of_members(asked: HandoverAsked, address: Address, members: Suffrage) -> tuple[Cosign, ...]:
    """The co-signatures that a forced handover may carry: one a member, none of its own."""
    if asked.mode is not Mode.FORCED:
        return ()
    known = {one.address: one for one in asked.cosigns if one.address in members.by_address}
    known.pop(address, None)
    return tuple(known.values())
