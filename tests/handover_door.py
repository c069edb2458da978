"""A node whose handover is played by the test: what it is commanded, what it tells, when.

It stands in a :class:`~tests.fake_node.FakeNode`, whose real door answers all else. Authority is
checked by the real control; only what a command does is the test's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from zmqnode.base.handover_query import HandoversAsked, SessionAsked
from zmqnode.base.instant import at
from zmqnode.base.keys import PrivateKey, public_text
from zmqnode.base.query import failed, told
from zmqnode.errors import ZmqnodeError
from zmqnode.runtime.control import Control
from zmqnode.runtime.queries import Queries

OLD = public_text(PrivateKey(b"\1" * 32).public)
NEW = public_text(PrivateKey(b"\2" * 32).public)
START_MS = 1_795_435_200_000
ID = "5b1e9c0d2f7a4e61"


def session(*phases: str, **values: Any) -> dict[str, Any]:
    """A told session that went through these phases, one each 100 ms and block."""
    found: dict[str, Any] = {
        "session": ID,
        "mode": "planned",
        "side": "new",
        "address": "n0sas",
        "epoch_before": 0,
        "epoch_after": 1,
        "old_instance": OLD,
        "new_instance": NEW,
        "new_url": "tcp://127.0.0.1:41012",
        "reason": "",
        "phase": phases[-1] if phases else None,
        "phases": [
            {"name": name, "height": 10 + index, **at("reached", START_MS + 100 * index)}
            for index, name in enumerate(phases)
        ],
        "waits_for": None,
        "peers_ready": 4,
        "peers_needed": 3,
        "shadow_matches": 5,
        "shadow_needed": 5,
        "committed_height": None,
        "acts_height": None,
        "acknowledged_height": None,
        "returned_height": None,
        "outcome": None,
        "error": None,
        "missed_ballots": None,
        "extra_rounds": None,
        "elapsed_ms": 100 * len(phases),
    }
    return {**found, **values}


def done(**values: Any) -> dict[str, Any]:
    """A session that ended as it should."""
    phases = ("preflight", "shadow", "ready", "consent", "submitted", "committed", "acting")
    ended = {
        "committed_height": 15,
        "acts_height": 17,
        "acknowledged_height": 18,
        "outcome": "done",
        "missed_ballots": 0,
        "extra_rounds": 0,
        **values,
    }
    return session(*phases, "acknowledged", **ended)


@dataclass
class Played:
    """What one node tells of handovers. ``show`` is a change that followers are told."""

    session: dict[str, Any] | None = None
    serial: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    commands: list[Any] = field(default_factory=list)
    obey: Callable[[Any], dict[str, Any] | None] = lambda command: None
    asked: list[int | None] = field(default_factory=list)
    silent: bool = False
    _waiting: list[tuple[Queries, Any]] = field(default_factory=list)

    def body(self) -> dict[str, Any]:
        return {"session": self.session, "serial": self.serial}

    def show(self, session: dict[str, Any] | None) -> None:
        """The next state of the session; whoever waits hears it."""
        self.session, self.serial = session, self.serial + 1
        waiting, self._waiting = self._waiting, []
        for queries, route in waiting:
            queries._send(route, told(self.body()))

    def answer(self, queries: Queries, route: Any, asked: SessionAsked) -> Any:
        self.asked.append(asked.after)
        if asked.after is None or self.serial > asked.after:
            return told(self.body())
        self._waiting.append((queries, route))
        return None


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    """Every door of this process plays this handover."""
    played = Played()
    real_answer, real_command = Queries._answer, Control._command

    def answer(self: Queries, client: bytes, route: Any, request: Any) -> Any:
        match request:
            case SessionAsked():
                return None if played.silent else played.answer(self, route, request)
            case HandoversAsked(address=address):
                rows = [one for one in played.history if address in (None, one["address"])]
                return told({"handovers": rows})
            case _:
                return real_answer(self, client, route, request)

    def command(self: Control, asked: Any, *more: Any) -> Any:
        played.commands.append(asked)
        try:
            body = played.obey(asked)
        except ZmqnodeError as error:
            return failed(error)
        return real_command(self, asked, *more) if body is None else told(body)

    monkeypatch.setattr(Queries, "_answer", answer)
    monkeypatch.setattr(Control, "_command", command)
    return played
