"""``zmqnode events``: what there is, what comes, how it reads, how it ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.at_door import Standing, standing
from zmqnode.base.exchange import NodeState
from zmqnode.commands import events as events_module
from zmqnode.commands.events import event_line


@pytest.fixture
def node(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Standing]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZMQNODE_HOME", str(tmp_path / "home"))
    with standing() as found:
        found.capsys = capsys
        yield found


def test_what_there_is_is_printed_and_that_is_the_end(node: Standing) -> None:
    node.do(node.node.commit)
    seal = node.chain.seal(["put", ["k", b"v"]], ["delete", ["missing"]])
    node.do(lambda: node.node.commit([seal]))
    code, found = node.json("events")
    assert code == 0
    assert [(one["kind"], one["height"]) for one in found] == [
        ("block", 1),
        ("block", 2),
        ("operation", 2),
        ("operation", 2),
    ]
    assert [next(iter(one)) for one in found] == ["v"] * 4
    assert set(found[0]) == {
        "v",
        "kind",
        "height",
        "at",
        "at_ms",
        "block_hash",
        "round",
        "proposer",
        "operations_count",
    }
    assert set(found[2]) == {
        "v",
        "kind",
        "height",
        "at",
        "at_ms",
        "seal",
        "index",
        "name",
        "ok",
        "reason",
        "events",
    }
    assert node.json("events", "--from", "2", "--kind", "block") == (0, [found[1]])
    assert node.json("events", "--from", "9") == (0, [])
    assert node.json("events", "--from", "0", "--kind", "block,operation")[1] == found
    assert node.json("events", "--kind", "block", "--kind", "operation")[1] == found


def test_people_read_lines(node: Standing) -> None:
    node.do(lambda: node.node.commit([node.chain.seal(["delete", ["missing"]])]))
    code, out, err = node.run("events")
    assert (code, err) == (0, "")
    block, operation = out.splitlines()
    assert block.startswith("2026-11-23T12:00:01.000Z       1  block      ")
    assert block.endswith(" round 0 by n1sas, 1 operation")
    assert operation.endswith("/0 delete: undone: no such key")


def test_a_follower_hears_what_comes_until_its_time_is_over(node: Standing) -> None:
    def later() -> None:
        feeds = node.node.feeds
        assert feeds is not None
        while not len(feeds):
            threading.Event().wait(0.01)
        node.do(node.node.commit)
        node.do(lambda: feeds.state_changed(NodeState.SYNCING, NodeState.CONSENSUS, "fell behind"))

    node.do(node.node.commit)
    thread = threading.Thread(target=later)
    thread.start()
    code, found = node.json("events", "--follow", "--timeout", "1s")
    thread.join()
    assert code == 0
    assert [(one["kind"], one["height"]) for one in found] == [("block", 2), ("state", 2)]
    assert (found[1]["state"], found[1]["previous"]) == ("SYNCING", "CONSENSUS")
    assert set(found[1]) == {"v", "kind", "height", "at", "at_ms", "state", "previous", "reason"}


def test_ctrl_c_ends_a_stream_well(node: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(event: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(events_module, "event_line", interrupted)
    node.do(node.node.commit)
    code, out, err = node.run("events", "--follow", "--from", "1")
    assert (code, out, err) == (0, "", "")


def test_what_is_refused_says_what_to_do(node: Standing) -> None:
    code, out, err = node.run("events", "--kind", "weather")
    assert (code, out) == (2, "")
    assert err == (
        "error: 'weather' is no kind of event [usage]\n"
        "hint: one of block, operation, handover, state, evidence\n"
    )


def test_nobody_there_is_told_at_once(node: Standing) -> None:
    port = node.chain.ports[3]
    target = node.chain.target().rsplit(":", 1)[0] + f":{port}"
    node.chain.target = lambda index=0: target  # type: ignore[method-assign]
    for words in (["events"], ["events", "--follow", "--from", "1"]):
        code, (error,) = node.json(*words)
        assert (code, error["error"]["code"]) == (3, "unreachable")


def test_every_kind_has_its_line() -> None:
    common = {"height": 7, "at": "2026-11-23T12:00:01.000Z", "at_ms": 0}
    handover = {
        "kind": "handover",
        "session": "5b1e9c0d2f7a4e61",
        "address": "n0sas",
        "mode": "planned",
        "epoch_after": 1,
        "step": "committed",
    }
    state = {"kind": "state", "state": "SYNCING", "previous": "CONSENSUS", "reason": "why\nnot"}
    evidence = {
        "kind": "evidence",
        "address": "n2sas",
        "instance": "Xmpu",
        "epoch": 3,
        "round": 1,
        "stage": "ACCEPT",
    }
    operation = {
        "kind": "operation",
        "seal": "ab" * 32,
        "index": 0,
        "name": "put",
        "ok": True,
        "reason": None,
        "events": [{"name": "stored", "data": {"key": "k", "size": 3}}],
    }
    lines = [event_line({**common, **one}) for one in (handover, state, evidence, operation)]
    head = "2026-11-23T12:00:01.000Z       7  "
    assert lines == [
        f"{head}handover   5b1e9c0d2f7a4e61 planned of n0sas: committed, to epoch 1",
        f"{head}state      CONSENSUS -> SYNCING: why not",
        f"{head}evidence   n2sas (epoch 3) signed two things as ACCEPT of round 1: Xmpu",
        f"{head}operation  {'ab' * 8}/0 put: ok; stored key=k, size=3",
    ]
