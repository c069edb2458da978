"""Sessions as told and as kept: the words of CLI.md section 6, and what a start makes of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zmqnode.base.handover import Mode
from zmqnode.base.hashes import sha256
from zmqnode.base.keys import Address, PrivateKey
from zmqnode.core.claiming import HANDOVER_TTL_MS
from zmqnode.core.handover_view import PhaseReached, SessionView, Trouble
from zmqnode.runtime.handovers import SESSION_FILE, Handovers
from zmqnode.runtime.sessions import (
    REPLAY_MS,
    concluded,
    from_json,
    joined,
    session_row,
    to_json,
    undecided_until_ms,
)

VIEW = SessionView(
    session=sha256(b"session"),
    mode=Mode.PLANNED,
    side="new",
    address=Address("n0sas"),
    epoch_before=4,
    old_instance=PrivateKey(b"\1" * 32).public,
    new_instance=PrivateKey(b"\2" * 32).public,
    new_url="tcp://127.0.0.1:41012",
    phases=(PhaseReached(name="preflight", height=9, at_ms=1_000),),
    waits_for="the members' word",
    peers_ready=1,
    began_ms=900,
)
KEYS = [
    "session",
    "mode",
    "side",
    "address",
    "epoch_before",
    "epoch_after",
    "old_instance",
    "new_instance",
    "new_url",
    "reason",
    "phase",
    "phases",
    "waits_for",
    "peers_ready",
    "peers_needed",
    "shadow_matches",
    "shadow_needed",
    "committed_height",
    "acts_height",
    "acknowledged_height",
    "returned_height",
    "outcome",
    "error",
    "missed_ballots",
    "extra_rounds",
    "elapsed_ms",
]


def test_a_session_has_the_keys_of_the_contract() -> None:
    row = session_row(VIEW, 1_900)
    assert list(row) == KEYS
    assert row["phase"] == "preflight" and row["elapsed_ms"] == 1_000
    assert row["session"] == sha256(b"session").hex()[:16] and len(row["session"]) == 16


@pytest.mark.parametrize(
    ("outcome", "acts", "epoch"),
    [
        (None, None, 5),
        ("done", 12, 5),
        ("returned", 12, 6),
        ("vetoed", None, 4),
        ("cancelled", None, 4),
    ],
)
def test_the_epoch_it_leads_to(outcome: str | None, acts: int | None, epoch: int) -> None:
    view = replace(VIEW, outcome=outcome, acts_height=acts)
    assert session_row(view, 0)["epoch_after"] == epoch


def test_the_file_gives_back_what_was_kept() -> None:
    error = Trouble(code="vetoed", message="alive", hint="ask it")
    for view in (VIEW, replace(VIEW, session=None), replace(VIEW, outcome="vetoed", error=error)):
        assert from_json(json.loads(json.dumps(to_json(view)))) == view


def test_a_start_gives_up_what_the_chain_does_not_know() -> None:
    """Goal: an attempt that died with the process is shown as failed; others stay."""
    found = concluded(VIEW, None)
    assert found.outcome == "failed" and found.error is not None
    over = replace(VIEW, outcome="done", ended_ms=2_000)
    assert concluded(over, None) == over


@pytest.mark.parametrize(("side", "left"), [("new", "submitted"), ("old", "consent")])
def test_what_has_left_a_copy_may_be_in_a_block(side: str, left: str) -> None:
    """Goal: no start calls failed what its own journal is about to say was committed."""
    phases = (PhaseReached(name="preflight", height=9, at_ms=900),)
    handed_in = (*phases, PhaseReached(name=left, height=10, at_ms=1_000))
    assert undecided_until_ms(replace(VIEW, side=side, phases=phases)) is None
    view = replace(VIEW, side=side, phases=handed_in)
    assert undecided_until_ms(view) == 1_000 + HANDOVER_TTL_MS + REPLAY_MS
    assert undecided_until_ms(replace(view, outcome="done")) is None
    assert undecided_until_ms(replace(view, session=None)) is None


def test_a_start_waits_for_the_chains_word_and_not_for_ever(tmp_path: Path) -> None:
    handed_in = PhaseReached(name="submitted", height=10, at_ms=1_000)
    view = replace(VIEW, phases=(handed_in,))
    (tmp_path / SESSION_FILE).write_text(json.dumps({"v": 1, "sessions": [to_json(view)]}))
    clock = [2_000]
    standing: Any = SimpleNamespace(
        address=VIEW.address,
        clock_ms=lambda: clock[0],
        ledger=SimpleNamespace(steps_back=lambda: iter(())),
    )
    shown = Handovers(standing, folder=tmp_path, changed=lambda: None, log=lambda level, text: None)
    assert shown.newest is not None
    assert (shown.newest.outcome, shown.newest.waits_for) == (None, "the chain's word")
    clock[0] = 1_001 + HANDOVER_TTL_MS + REPLAY_MS
    assert shown.newest.outcome == "failed"


def test_the_end_of_a_session_that_outlives_its_old_copys_key_is_the_chains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: a copy that was replaced by force does not show the session as open for good."""
    standing: Any = SimpleNamespace(address=VIEW.address, clock_ms=lambda: 9_000)
    old = replace(VIEW, side="old", committed_height=11)
    chain = [replace(VIEW, side="other", committed_height=11, acts_height=13)]
    monkeypatch.setattr(Handovers, "on_chain", lambda self, session: chain[-1])
    shown = Handovers(standing, folder=tmp_path, changed=lambda: None, log=lambda *_: None)
    shown.show(old)
    assert shown.newest is not None and shown.newest.outcome is None
    chain.append(replace(chain[-1], outcome="done", acknowledged_height=14))
    assert (shown.newest.side, shown.newest.outcome) == ("old", "done")
    assert shown.newest.acknowledged_height == 14


def test_the_chain_adds_to_what_was_kept_and_takes_nothing() -> None:
    phase = PhaseReached(name="committed", height=11, at_ms=1_500)
    chain = replace(
        VIEW, side="other", phases=(phase,), peers_ready=None, began_ms=0, committed_height=11
    )
    found = joined(VIEW, chain)
    assert [one.name for one in found.phases] == ["preflight", "committed"]
    assert (found.side, found.peers_ready, found.began_ms) == ("new", 1, 900)
    other = replace(chain, session=sha256(b"another"))
    assert joined(VIEW, other) == other
