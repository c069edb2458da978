"""Following a handover: what a node says of its session, until that is over.

A node tells a session beside a serial; whoever names the serial it knows is answered at the next
change. So one request is open at a time, no phase is missed while the connection holds, and when it
breaks the first answer afterwards says where things stand. Nothing here decides anything: the chain
does, and a follower who is cut off has lost sight, not the handover.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from zmqnode.base.codec import decode_as
from zmqnode.base.handover import REASON_MAX_CHARS, Cosign, Mode
from zmqnode.base.handover_query import COSIGNS_MAX, HandoversAsked, SessionAsked
from zmqnode.client.answers import read
from zmqnode.client.handover_answers import CosignInfo, Session
from zmqnode.client.node_link import ANSWER_MARGIN_MS, NodeLink, monotonic_ms
from zmqnode.client.nodes import NOT_YET, RETRY_MS
from zmqnode.client.wording import in_seconds
from zmqnode.config.document import read_text
from zmqnode.errors import Invalid, Malformed, Refused, TimedOut, Undecided, ZmqnodeError

FOLLOW_MS: Final = 2_000  # One wait at a node; then it is asked again, should it be another one.
ASK_MS: Final = 2_000
COSIGN_FILE_BYTES_MAX: Final = 16 * 1024
HEX_CHARS: Final = frozenset("0123456789abcdef")
DECIDED: Final = ("acting", "acknowledged")  # From here on nothing takes a handover back.

OnChange = Callable[[Session], None]


def mode_of(text: str) -> Mode:
    """``planned``, ``takeover`` or ``forced``; raises Invalid ``usage``."""
    try:
        return Mode[text.upper()]
    except KeyError:
        names = ", ".join(one.text for one in Mode)
        raise Invalid("usage", f"the mode is one of {names}, not {text[:40]!r}") from None


def session_of(row: object, link: NodeLink) -> Session | None:
    """The session of a told object, if it is one; raises Refused ``wrong_state``."""
    if row is None:
        return None
    try:
        return read(Session, in_seconds(row))
    except Malformed as error:
        raise link.strange(str(error)) from None


class Follower:
    """The session that some nodes show, change by change.

    Args:
        links: of nodes that can be asked, alternatives; the first is asked until it fails.
    """

    def __init__(self, links: Sequence[NodeLink]) -> None:
        self._links = list(links)
        self._serial: int | None = None
        self._last: Session | None = None
        self._begun = False

    @property
    def link(self) -> NodeLink:
        """Who is asked now."""
        return self._links[0]

    def told(self, body: dict[str, Any]) -> Session | None:
        """The session of an answer, which is now what is known."""
        session, serial = session_of(body.get("session"), self.link), body.get("serial")
        self._serial = serial if type(serial) is int else None
        self._last, self._begun = session, True
        return session

    async def changed(self, end_ms: int | None) -> Session | None:
        """The next session that differs from the last one (the first: at once).

        Args:
            end_ms: of the monotonic clock; None: as long as it takes.
        Raises:
            TimedOut: nothing changed until then.
        """
        while end_ms is None or monotonic_ms() < end_ms:
            left_ms = FOLLOW_MS if end_ms is None else end_ms - monotonic_ms()
            within_ms = max(0, min(left_ms, FOLLOW_MS))
            before, begun = self._last, self._begun
            asked = SessionAsked(after=self._serial, within_ms=within_ms)
            try:
                body = await self.link.told(asked, within_ms + ANSWER_MARGIN_MS)
            except ZmqnodeError as error:
                if error.code not in NOT_YET:
                    raise
                self._links.append(self._links.pop(0))
                self._serial = None  # Who answers next may count anew.
                await asyncio.sleep(RETRY_MS / 1000)
                continue
            session = self.told(body)
            same = before is None if session is None else session.alike(before)
            if not begun or not same:
                return session
        raise TimedOut("timeout", f"{self.link.url}: no change in time")

    async def until(
        self,
        session: Session,
        stop: Callable[[Session], bool],
        end_ms: int,
        on_change: OnChange | None = None,
    ) -> Session:
        """The session when ``stop`` says so, or when it is over.

        Raises:
            Undecided: not until ``end_ms``, or nobody asked knows it any more; details: it.
        """
        while not session.over and not stop(session):
            try:
                found = await self.changed(end_ms)
            except TimedOut:
                raise _lost_sight(session, self.link) from None
            if found is None or not _may_be(found, session):
                found = await self._in_history(session, stop, end_ms)
            session = found
            if on_change is not None:
                on_change(session)
        return session

    async def _in_history(
        self, session: Session, stop: Callable[[Session], bool], end_ms: int
    ) -> Session:
        """A session in whose place the node shows another one, or none, as the chain has it."""
        while (found := await self._row_of(session)) is not None:
            if found.over or stop(found):
                return found
            if monotonic_ms() >= end_ms:
                raise _lost_sight(found, self.link)
            await asyncio.sleep(RETRY_MS / 1000)
        raise Undecided(
            "undecided",
            f"{self.link.url} does not know this handover any more",
            hint=f"zmqnode handover history -t {self.link.text} shows what the chain decided",
            **session.json(),
        )

    async def _row_of(self, session: Session) -> Session | None:
        rows = (await self.link.told(HandoversAsked(address=None), ASK_MS)).get("handovers", [])
        for row in reversed(rows if isinstance(rows, list) else []):
            found = session_of(row, self.link)
            if found is not None and found.session == session.session is not None:
                return found
        return None


def _may_be(found: Session, session: Session) -> bool:
    """Whether a node still shows the session one follows; before it has an id, any open one is."""
    return session.session is None or found.session == session.session


def _lost_sight(session: Session, link: NodeLink) -> Undecided:
    waits = f", waiting for {session.waits_for}" if session.waits_for else ""
    return Undecided(
        "undecided",
        f"the handover of {session.address} goes on (phase {session.phase}{waits})",
        hint=f"zmqnode handover status --watch -t {link.text} shows it, handover cancel stops it",
        **session.json(),
    )


def ended_well(session: Session) -> Session:
    """The session if it is done; else raises Refused with its code, details: the session."""
    if session.outcome == "done":
        return session
    error = session.error
    raise Refused(
        error.code if error is not None else session.outcome or "wrong_state",
        error.message if error is not None else f"the handover was {session.outcome}",
        hint=error.hint if error is not None else "zmqnode handover status shows where it ended",
        **session.json(),
    )


# What a start is given.


def reason_of(text: str) -> str:
    """A reason that fits a block; raises Invalid ``usage``."""
    if len(text) > REASON_MAX_CHARS:
        message = f"the reason has {len(text)} characters; {REASON_MAX_CHARS} fit"
        raise Invalid("usage", message, hint="say it shorter; it is kept in the chain")
    return text


def cosigns_of(given: Iterable[CosignInfo | str | Path]) -> tuple[Cosign, ...]:
    """Co-signatures as answers, as hex, or as files that hold either.

    Raises:
        Invalid: ``file_missing``; ``usage``, more than a network has members.
        Refused: ``bad_argument``.
    """
    found = tuple(_cosign(one) for one in given)
    if len(found) > COSIGNS_MAX:
        hint = "f + 1 are needed; one a member"
        raise Invalid("usage", f"{len(found)} co-signatures; {COSIGNS_MAX} are taken", hint=hint)
    return found


def _cosign(given: CosignInfo | str | Path) -> Cosign:
    if isinstance(given, CosignInfo):
        text, name = given.cosign, "the co-signature"
    elif isinstance(given, str) and given and set(given) <= HEX_CHARS:
        text, name = given, "the co-signature"
    else:
        path = Path(given)
        text, name = _in_file(read_text(path, COSIGN_FILE_BYTES_MAX)), str(path)
    try:
        return decode_as(Cosign, bytes.fromhex(text))
    except (ValueError, Malformed):
        hint = "zmqnode handover cosign ADDRESS INSTANCE --out FILE, on a member, makes one"
        raise Refused("bad_argument", f"{name} is no co-signature", hint=hint) from None


def _in_file(text: str) -> str:
    """The hex in a file: alone, or as ``cosign`` of the object that the command prints."""
    import json

    try:
        tree = json.loads(text)
    except ValueError:
        return text.strip()
    found = tree.get("cosign") if isinstance(tree, dict) else None
    return found if isinstance(found, str) else ""
