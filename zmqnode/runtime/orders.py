"""What a node's operators can make it do about handovers: check, start, cancel, consent, co-sign.

A command answers at once with the session as it stands, which its client then follows; what needs
another copy or the core's next turn is answered later. Who may command is checked before
(runtime/control).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, Final, Protocol, assert_never

from zmqnode.base.codec import decode, encode
from zmqnode.base.exchange import NodeState
from zmqnode.base.handback import StartAnswer, StartWanted
from zmqnode.base.handover import Cosign, Mode, session_id, sign_cosign
from zmqnode.base.handover_query import (
    CancelCommand,
    ConsentCommand,
    CosignCommand,
    HandbackCommand,
    HandoverCommand,
    PreflightCommand,
    StartCommand,
)
from zmqnode.base.instant import at
from zmqnode.base.keys import Address, PublicKey, public_text
from zmqnode.base.query import Answer, Failed, Told, failed, told
from zmqnode.core.events import CancelAsked, ConsentGiven, Event, HandoverAsked
from zmqnode.errors import Malformed, Refused, Undecided
from zmqnode.runtime.handovers import Handovers
from zmqnode.runtime.preflight import open_details, preflight, preflight_row
from zmqnode.runtime.situation import Check, Situation
from zmqnode.runtime.standing import Standing
from zmqnode.runtime.survey import survey

BLOCKS_READ_MAX: Final = 1_000  # With steps; a handover has four or so.
BEGIN_MS: Final = 5_000  # The core answers in its next turn.
HANDBACK_MS: Final = 15_000  # The other copy may have to settle first.
SETTLE_MS: Final = 4_000  # A new key is made, all links say hello anew, the first statuses come.
SETTLING_CODES: Final = (
    *("not_standby", "not_caught_up", "peers_unreachable", "old_unreachable"),
    *("no_quorum", "margin_negative"),
)
# What often passes by itself: a copy that is just back, a block that is on its way.
PATIENCE_MS: Final = {"old_unreachable": 2_000, "peers_unreachable": 2_000, "handover_open": 500}
COSIGN_TTL_MS: Final = 1_800_000  # Files are carried from machine to machine meanwhile.


class Later(Protocol):
    """How a command is answered that cannot be at once."""

    def until(
        self, met: Callable[[], bool], answer: Callable[[], Answer | None], within_ms: int
    ) -> None:
        """Answer as soon as ``met``, or as it stands when the time is over."""

    def reply(self, answer: Answer) -> None:
        """Answer now."""


class Copies(Protocol):
    """Other instances of this address, as the exchange reaches them."""

    def refusals(self) -> tuple[tuple[Address, str], ...]:
        """Hellos that failed last: (address, code)."""

    def ask_copy(
        self, instance: PublicKey, wanted: StartWanted, within_ms: int, take: Callable[[Any], None]
    ) -> bool:
        """Ask one; ``take`` gets its StartAnswer, or None. False: nothing was sent."""


class Orders:
    """One node's operators' commands."""

    def __init__(
        self,
        standing: Standing,
        shown: Handovers,
        copies: Copies,
        *,
        post: Callable[[Event], None],
        log: Callable[[str, str], None],
    ) -> None:
        self.standing = standing
        self.shown = shown
        self.copies = copies
        self._post = post
        self._log = log

    def obey(self, command: HandoverCommand, later: Later) -> Answer | None:
        """The answer of a command; None if it comes later. Raises Refused."""
        match command:
            case PreflightCommand(mode=mode):
                now = self._survey(StartCommand(mode=mode))
                return told(preflight_row(now, preflight(now)))
            case StartCommand():
                return self._start(command, later)
            case CancelCommand():
                return self._cancel()
            case ConsentCommand(refuse=refuse):
                return self._consent(refuse)
            case CosignCommand():
                return self._cosign(command)
            case HandbackCommand():
                return self._handback(command, later)
            case _:
                assert_never(command)

    def _survey(self, command: StartCommand) -> Situation:
        return survey(
            self.standing,
            mode=command.mode,
            folder=self.shown.folder,
            refusals=self.copies.refusals(),
            cosigns=_of_others(command, self.standing.address),
            accept_halt_risk=command.accept_halt_risk,
            when_synced=command.when_synced,
        )

    def _start(
        self, command: StartCommand, later: Later, *, since_ms: int | None = None
    ) -> Answer | None:
        """``since_ms``: when it was commanded, if that was waited for already."""
        now = self._survey(command)
        checks = preflight(now)
        failing = _first_failing(checks)
        clock_ms = self.standing.clock_ms()
        if failing is not None:
            patience_ms = _patience_ms(failing, now) if since_ms is None else 0
            if not patience_ms:
                raise _refused(failing, checks, now)
            later.until(
                lambda: self._passes(command),
                lambda: self._start(command, later, since_ms=clock_ms),
                patience_ms,
            )
            return None
        before = self.shown.serial
        self._post(
            HandoverAsked(
                mode=command.mode,
                url=self.standing.url,
                reason=command.reason,
                cosigns=now.cosigns,
                when_synced=command.when_synced,
                waited_ms=0 if since_ms is None else max(0, clock_ms - since_ms),
            )
        )

        def begun() -> bool:
            view = self.shown.of_side("new")
            return self.shown.serial > before and view is not None and view is self.shown.newest

        def answer() -> Answer:
            if begun():
                return self.shown.told()
            raise Undecided(
                "undecided",
                "the handover was not begun yet",
                hint="zmqnode handover status shows whether it is",
            )

        later.until(begun, answer, BEGIN_MS)
        return None

    def _passes(self, command: StartCommand) -> bool:
        if self.standing.driver.machine.kernel is None:
            return False
        return all(check.status != "failed" for check in preflight(self._survey(command)))

    def _cancel(self) -> Answer:
        """Ask for it; what becomes of it is the chain's to say, and shown as the session's end."""
        session = self.standing.ledger.authority.session(self.standing.address)
        view = self.shown.of_own_address()
        if session is None and (view is None or view.outcome is not None):
            raise self._none_open("there is no open handover")
        if session is not None and session.acts_height is not None:
            raise Refused(
                "too_late",
                f"the chain has decided: the new copy votes from height {session.acts_height} on",
                hint="once it is done, zmqnode handover handback brings the vote back",
                **({} if view is None else self.shown.row(view)),
            )
        self._post(CancelAsked())
        row = None if view is None else self.shown.row(view)
        return told({"session": row, "serial": self.shown.serial})

    def _consent(self, refuse: bool) -> Answer:
        view = self.shown.of_side("old")
        waits = view is not None and view.outcome is None and view.committed_height is None
        if view is None or not waits or any(one.name == "consent" for one in view.phases):
            raise self._none_open("no handover waits for this copy's consent")
        self._post(ConsentGiven(refuse=refuse, session=view.session))
        return told({"session": self.shown.row(view), "serial": self.shown.serial})

    def _none_open(self, text: str) -> Refused:
        return Refused(
            "none_open", text, hint="zmqnode handover status, on both copies, shows the sessions"
        )

    def _cosign(self, command: CosignCommand) -> Answer:
        standing = self.standing
        voting = standing.suffrage(standing.tip + 1)
        own = None if voting is None else voting.by_address.get(standing.address)
        if own is None or own.instance != standing.signer.public:
            text = f"this copy does not vote for {standing.address}: its word counts nothing"
            raise Refused("wrong_state", text, hint="ask the member's voting copy")
        if standing.state is NodeState.BROKEN:
            raise Refused("wrong_state", "this copy is BROKEN: it signs nothing")
        state = standing.ledger.authority
        member = state.members.by_address.get(command.address)
        if member is None:
            text = f"{command.address} is no member of this chain"
            raise Refused("not_found", text, hint="zmqnode suffrage list names the members")
        if command.address == standing.address:
            text = f"only other members can co-sign for {command.address}"
            raise Refused("bad_argument", text, hint="ask the operators of f + 1 other members")
        if command.instance == member.instance:
            raise Refused("already_active", f"this instance votes for {command.address} already")
        if state.is_used(command.instance):
            raise Refused(
                "not_standby",
                "this instance's key was used before, it can get no vote",
                hint="zmqnode node info, on the standby, names its instance",
            )
        expires_at_ms = standing.clock_ms() + COSIGN_TTL_MS
        session = session_id(
            command.address, member.epoch, Mode.FORCED, member.instance, command.instance
        )
        cosign = sign_cosign(
            command.address,
            member.epoch,
            session,
            expires_at_ms=expires_at_ms,
            member=standing.address,
            signer=standing.signer,
        )
        self._log("warning", f"co-signed a forced handover of {command.address}")
        body = {"epoch": member.epoch, **at("expires", expires_at_ms)}
        return told({**body, "cosign": encode(cosign).hex()})

    # The way back.

    def _handback(
        self, command: HandbackCommand, later: Later, *, patient: bool = True
    ) -> Answer | None:
        standing = self.standing
        voting = standing.suffrage(standing.tip + 1)
        own = None if voting is None else voting.by_address.get(standing.address)
        if own is None or own.instance != standing.signer.public:
            raise Refused(
                "wrong_state",
                f"this copy does not vote for {standing.address}: it has nothing to hand back",
                hint="ask the voting copy; zmqnode suffrage list shows its url",
            )
        if own.epoch == 0:  # The first of its address: nobody voted before.
            raise Refused(
                "not_found",
                "this copy has replaced no other: there is no way back",
                hint="to hand the vote to a standby: zmqnode handover start -t COPY",
            )
        if not self._copies() and patient:
            later.until(
                lambda: bool(self._copies()),
                lambda: self._handback(command, later, patient=False),
                SETTLE_MS,
            )
            return None
        copy, url = self._replaced_copy()
        wanted = StartWanted(
            command=StartCommand(
                mode=command.mode,
                reason=command.reason,
                cosigns=command.cosigns,
                accept_halt_risk=command.accept_halt_risk,
                when_synced=command.when_synced,
            )
        )

        def take(answer: Any) -> None:
            later.reply(_passed_on(answer, copy, url))

        if not self.copies.ask_copy(copy, wanted, HANDBACK_MS, take):
            raise self._no_copy()
        return None

    def _replaced_copy(self) -> tuple[PublicKey, str]:
        """The linked copy of this address that had the vote before, else any other."""
        standing = self.standing
        urls: list[str] = []
        for _, steps in islice(standing.ledger.steps_back(), BLOCKS_READ_MAX):
            for step in steps:
                if step.session.new_instance == standing.signer.public:
                    urls.append(step.session.old_url)
        copies = self._copies()
        if not copies:
            raise self._no_copy()
        return next((one for one in copies if one[1] in urls), copies[0])

    def _copies(self) -> list[tuple[PublicKey, str]]:
        """Other copies of this address that are linked."""
        return [
            (PublicKey(one.instance), one.url)
            for one in self.standing.network.stats()
            if one.linked and one.address == self.standing.address
        ]

    def _no_copy(self) -> Refused:
        return Refused(
            "not_found",
            f"no other copy of {self.standing.address} is linked to this one",
            hint="start it: zmqnode node run DIR; or ask it: zmqnode handover start -t COPY",
        )

    def start_wanted(self, wanted: StartWanted, later: Later) -> Answer | None:
        """The voting copy of this address wants this one to start."""
        self._log("info", "asked by the voting copy to take the vote back")
        return self.obey(wanted.command, later)


def _of_others(command: StartCommand, own: Address) -> tuple[Cosign, ...]:
    """Those that a forced handover may carry: one a member, not of its own address."""
    if command.mode is not Mode.FORCED:
        return ()
    found = {one.address: one for one in command.cosigns if one.address != own}
    return tuple(found.values())


def _first_failing(checks: tuple[Check, ...]) -> Check | None:
    """What a start is refused with: that one is open says more than that its copies are away."""
    failing = [check for check in checks if check.status == "failed"]
    if failing and failing[0].code == "old_unreachable":
        failing = [check for check in failing if check.code == "handover_open"] or failing
    return failing[0] if failing else None


def _patience_ms(failing: Check, now: Situation) -> int:
    """How long a failed check is waited for: who has just retired is about to be ready."""
    if now.unsettled and failing.code in SETTLING_CODES:
        return SETTLE_MS
    return PATIENCE_MS.get(failing.code or "", 0)


def _refused(check: Check, checks: tuple[Check, ...], now: Situation) -> Refused:
    details = open_details(now) if check.name == "open" else {}
    return Refused(
        check.code or "wrong_state",
        check.message,
        hint=check.hint or "",
        checks=[one.row() for one in checks],
        **details,
    )


def _passed_on(answer: Any, copy: PublicKey, url: str) -> Answer:
    """The other copy's answer, for the client that asked here."""
    if isinstance(answer, StartAnswer):
        try:
            said = decode(answer.answer)
        except Malformed:
            said = None
        if isinstance(said, Told):
            return told({**said.body, "url": url, "instance": public_text(copy)})
        if isinstance(said, Failed):
            return said
    text = f"the copy at {url} did not answer"
    hint = f"zmqnode handover status -t {url} shows whether it began"
    return failed(Undecided("undecided", text, hint=hint, url=url))
