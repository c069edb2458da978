"""The handovers a node shows, as they go and as they went.

The sessions this copy has a part in come from the core, change by change; the newest of each side
is kept in ``session.json``, for display after a start and never as authority. All other sessions
are what the chain says. Every change has a *serial*, which also grows from start to start, so that
who waits for the next one (a long poll) misses none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from zmqnode.base.handover import Handover
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address
from zmqnode.base.query import Told, told
from zmqnode.base.system import system_operations
from zmqnode.core.authority import Step
from zmqnode.core.authority_state import Session
from zmqnode.core.handover_view import SessionView
from zmqnode.runtime.sessions import (
    SIDES,
    concluded,
    from_json,
    joined,
    session_row,
    sessions_of,
    to_json,
    undecided_until_ms,
)
from zmqnode.runtime.standing import Standing

SESSION_FILE: Final = "session.json"
HANDOVERS_TOLD_MAX: Final = 200
BLOCKS_READ_MAX: Final = 1_000  # With steps; a handover has four or so.
REASONS_KEPT_MAX: Final = 256


class Handovers:
    """The sessions one node shows."""

    def __init__(
        self,
        standing: Standing,
        *,
        folder: Path,
        changed: Callable[[], None],
        log: Callable[[str, str], None],
    ) -> None:
        self.standing = standing
        self.folder = folder
        self._changed = changed
        self._log = log
        self.serial = time.time_ns() // 1_000_000
        self._views: dict[str, SessionView] = {}  # By side; the newest last.
        self._unsure: dict[str, int] = {}  # Sides whose session a block may yet hold; until when.
        self._reasons: dict[Hash, str] = {}
        self._read()

    # What there is.

    def show(self, view: SessionView) -> None:
        """The core's session changed."""
        kept = self._views.pop(view.side, None)
        self._unsure.pop(view.side, None)
        self._views[view.side] = view if kept is None else joined(kept, view)
        moved = kept is None or kept.session != view.session or kept.outcome != view.outcome
        handed_in = view.phase == "submitted" and (kept is None or kept.phase != view.phase)
        if view.side in SIDES and (moved or handed_in):
            # A new file makes the vote journal's next sync wait for it: as few as will do.
            self._write()
        if kept is None or kept.phase != view.phase or kept.outcome != view.outcome:
            error = "" if view.error is None else f": {view.error.message} [{view.error.code}]"
            stands = view.outcome or view.phase
            self._log("info", f"{view.mode.text} handover, {view.side} copy: {stands}{error}")
        self._moved()

    def committed(self, steps: tuple[Step, ...]) -> None:
        """A block changed sessions, perhaps of other addresses."""
        if steps:
            self._moved()

    def _moved(self) -> None:
        self.serial += 1
        self._changed()

    @property
    def newest(self) -> SessionView | None:
        """This copy's open or last session, else the chain's last."""
        self._make_sure()
        if self._views:
            return next(reversed(self._views.values()))
        return self._chains_last()

    def open_row(self) -> dict[str, Any] | None:
        """NodeInfo's ``handover``: the session of this address that is open."""
        self._make_sure()
        view = next(reversed(self._views.values()), None)
        if view is None or view.outcome is not None:
            session = self.standing.ledger.authority.session(self.standing.address)
            view = None if session is None else self.on_chain(session.session)
        return None if view is None else self.row(view)

    def row(self, view: SessionView) -> dict[str, Any]:
        return session_row(view, self.standing.clock_ms())

    def told(self) -> Told:
        """The session as SessionAsked is answered."""
        view = self.newest
        return told({"session": None if view is None else self.row(view), "serial": self.serial})

    def history(self, address: Address | None) -> Told:
        """The newest 200 sessions of the chain, oldest first."""
        blocks = list(islice(self.standing.ledger.steps_back(), BLOCKS_READ_MAX))
        blocks.reverse()
        own = {view.session: view for view in self._views.values()}
        rows = []
        for view in sessions_of(blocks, self._reason):
            if address in (None, view.address):
                kept = own.get(view.session)
                rows.append(self.row(view if kept is None else joined(kept, view)))
        return told({"handovers": rows[-HANDOVERS_TOLD_MAX:]})

    def _chains_last(self) -> SessionView | None:
        for _, steps in self.standing.ledger.steps_back():
            return self.on_chain(steps[-1].session.session)
        return None

    def on_chain(self, session: Hash) -> SessionView | None:
        """What the chain says of one session, if it knows it."""
        blocks: list[tuple[int, tuple[Step, ...]]] = []
        for time_ms, steps in islice(self.standing.ledger.steps_back(), BLOCKS_READ_MAX):
            own = tuple(one for one in steps if one.session.session == session)
            if own:
                blocks.append((time_ms, own))
                if own[0].session.opened_height == own[0].height:
                    break
        blocks.reverse()
        found = sessions_of(blocks, self._reason)
        return found[0] if found else None

    def _reason(self, session: Session) -> str:
        """The reason its operation gives; read once from its block."""
        reason = self._reasons.get(session.session)
        if reason is None:
            reason = self._reason_of(session)
            if len(self._reasons) >= REASONS_KEPT_MAX:
                del self._reasons[next(iter(self._reasons))]
            self._reasons[session.session] = reason
        return reason

    def _reason_of(self, session: Session) -> str:
        block = self.standing.ledger.block(session.opened_height)
        for operation in () if block is None else system_operations(block.seals):
            if isinstance(operation, Handover) and operation.switch.session == session.session:
                return operation.reason
        return ""

    # The file.

    def _read(self) -> None:
        """What an earlier run showed last, after what the chain says of it now."""
        try:
            rows = json.loads((self.folder / SESSION_FILE).read_text(encoding="utf-8"))
            views = [from_json(row) for row in rows["sessions"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return  # It is for display alone: without it the chain's word is shown.
        for view in views:
            if view.side in SIDES:
                chain = None if view.session is None else self.on_chain(view.session)
                if chain is None and (until_ms := undecided_until_ms(view)) is not None:
                    # The store lags behind the journal: what was committed is known in a moment.
                    self._unsure[view.side] = until_ms
                    self._views[view.side] = replace(view, waits_for="the chain's word")
                else:
                    self._views[view.side] = concluded(view, chain)

    def _make_sure(self) -> None:
        """What the core does not follow for this copy is what the chain says of it."""
        for side, until_ms in list(self._unsure.items()):
            view = self._views[side]
            chain = None if view.session is None else self.on_chain(view.session)
            if chain is not None or self.standing.clock_ms() > until_ms:
                self._views[side] = concluded(view, chain)
                del self._unsure[side]
        old = self._views.get("old")
        if old is None or old.outcome is not None or old.session is None:
            return
        # A copy that was replaced by force goes on under another key before the session is over.
        chain = self.on_chain(old.session)
        if chain is not None and chain.outcome is not None:
            self._views["old"] = joined(old, chain)

    def _write(self) -> None:
        rows = [to_json(view) for side, view in self._views.items() if side in SIDES]
        file = self.folder / SESSION_FILE
        temporary = file.with_suffix(".new")
        try:
            temporary.write_text(json.dumps({"v": 1, "sessions": rows}), encoding="utf-8")
            temporary.replace(file)
        except OSError as error:
            self._log("warning", f"{file} could not be written: {error.strerror}")

    def of_side(self, side: str) -> SessionView | None:
        """This copy's newest session as the ``new`` or the ``old`` copy."""
        return self._views.get(side)

    def of_own_address(self) -> SessionView | None:
        """The newest session of this address: this copy's, or the open one of the chain."""
        self._make_sure()
        view = next(reversed(self._views.values()), None)
        if view is None or view.outcome is not None:
            session = self.standing.ledger.authority.session(self.standing.address)
            if session is not None:
                return self.on_chain(session.session)
        return view
