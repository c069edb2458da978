"""``events``, ``check`` and ``debug dump`` on a network of real processes."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from signal import SIGINT
from typing import Any

from tests.e2e.answers import check
from tests.e2e.local_net import LocalNet
from zmqnode.base.keys import base58_decode
from zmqnode.commands.scrub import FRAGMENT_CHARS

MOMENT = "kind, height, at*"
EVENT = {
    "block": f"{{{MOMENT}, block_hash, round, proposer, operations_count}}",
    "operation": (f"{{{MOMENT}, seal, index, name, ok, reason?, events [{{name, data {{..}}}}]}}"),
    "handover": f"{{{MOMENT}, session, address, mode, epoch_after, step}}",
    "state": f"{{{MOMENT}, state, previous, reason}}",
    "evidence": f"{{{MOMENT}, address, instance, epoch, round, stage}}",
}
CHECK = "{ok, status, checks [{name, status, value, limit, message}]}"
DUMP = "{file, size_bytes, files [text], missing [{what, code, message}]}"


def lines(out: str) -> list[dict[str, Any]]:
    """The events that were printed, each held to the contract's shape."""
    found = [json.loads(line) for line in out.splitlines()]
    for one in found:
        check(one, EVENT[one["kind"]])
    return found


def of(kind: str, events: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (one for one in events if one["kind"] == kind)


def test_events_of_a_restarted_node_have_no_hole_and_no_repetition(net: LocalNet) -> None:
    """Goal: who follows a chain follows it over a kill. Method: one process follows, n0 dies."""
    following = net.script.start("events", "--follow", "--from", "1", "--json", "-t", "n0")
    net.script.json("seal", "send", "put", "key=a", "value=1", "-t", "n1")
    net.do("kill", "n0")
    sent = net.script.json("seal", "send", "put", "key=b", "value=2", "-t", "n1")
    net.do("start", "n0")
    assert following.stdout is not None
    out = ""
    for line in following.stdout:
        out += line
        told = json.loads(line)  # A state's height is the one that is worked at.
        if told["kind"] == "block" and told["height"] > sent["height"]:
            following.send_signal(SIGINT)
            break
    rest, err = following.communicate(timeout=60)
    assert (following.returncode, err) == (0, "")
    followed = lines(out + rest)
    heights = [one["height"] for one in of("block", followed)]
    assert heights == list(range(1, len(heights) + 1))
    assert heights[-1] > sent["height"]
    assert [one["name"] for one in of("operation", followed)] == ["put", "put"]
    stored = net.script.run("events", "--from", 1, "--json", "-t", "n2")
    again = [one for one in followed if one["kind"] in ("block", "operation")]
    same = ("kind", "height", "at_ms", "block_hash", "seal", "index", "operations_count")
    assert [[one.get(key) for key in same] for one in again] == [
        [one.get(key) for key in same] for one in lines(stored.out)[: len(again)]
    ]


def test_kinds_and_heights_choose_events(net: LocalNet) -> None:
    sent = net.script.json("seal", "send", "delete", "key=missing", code=1)
    run = net.script.run("events", "--from", sent["height"], "--kind", "operation", "--json")
    (event,) = [one for one in lines(run.out) if one["seal"] == sent["seal"]]
    assert (event["ok"], event["reason"]) == (False, sent["results"][0]["reason"])
    text = net.script.run("events", "--from", sent["height"], "--kind", "operation")
    assert (text.code, text.err) == (0, "")
    assert "delete: undone" in text.out


def test_health_is_for_scripts(net: LocalNet) -> None:
    good = net.script.answer(CHECK, "check")
    assert (good["ok"], good["status"]) == (True, "ok")
    assert net.script.run("check", "--format", "nagios").out.startswith("ZMQNODE OK - n0sas")
    net.do("kill", "n2", "n3")
    try:
        net.ask(_margin_gone, "n0")
        bad = net.script.answer(CHECK, "check", code=1)
        named = {one["name"]: one for one in bad["checks"]}
        assert (named["margin"]["status"], named["margin"]["value"]) == ("critical", "-1")
        assert net.script.run("check", "--format", "nagios").code == 2
        net.script.refusal("unreachable", 3, "check", "-t", "n2")
        assert net.script.run("check", "--format", "nagios", "-t", "n2").code == 2
    finally:
        net.do("start", "n2", "n3")
        net.all_vote()


async def _margin_gone(client: Any) -> None:
    async for picture in client.follow(100):
        if picture.node.suffrage.margin < 0:
            return


def test_a_dump_of_a_running_node_holds_no_secret(net: LocalNet) -> None:
    files = [*net.dir.glob("*.key"), *net.dir.glob("n0/*.key")]
    assert {file.name for file in files} >= {"client.key", "node.key", "instance.key"}
    dump = net.script.answer(DUMP, "debug", "dump", "-t", "n0", "--out", "d.tar.gz")
    assert (dump["missing"], dump["files"]) == ([], ["genesis.yml", "node.log", "report.json"])
    for data in _opened(net.folder / "d.tar.gz"):
        for file in files:
            text = file.read_text().strip()
            seed = base58_decode(text[:-3])[1:33]
            for form in (text.encode(), seed, seed.hex().encode()):
                pieces = range(len(form) - FRAGMENT_CHARS + 1)
                assert not any(form[at : at + FRAGMENT_CHARS] in data for at in pieces), file


def _opened(file: Path) -> list[bytes]:
    with tarfile.open(file) as archive:
        found = [archive.extractfile(member) for member in archive]
        return [one.read() for one in found if one is not None]


def test_a_handover_is_told_step_by_step(own_net: LocalNet) -> None:
    own_net.do("up", "--set", "params.empty_block_interval_ms=250")
    own_net.do("add-standby", "n0")
    done = own_net.script.json("handover", "start", "-t", "n0b")
    run = own_net.script.run("events", "--from", 1, "--kind", "handover", "--json", "-t", "n1")
    steps = lines(run.out)
    assert [one["step"] for one in steps] == ["committed", "acting", "acknowledged"]
    assert [one["height"] for one in steps] == [
        done["committed_height"],
        done["committed_height"],
        done["acknowledged_height"],
    ]
    assert {(one["session"], one["address"], one["mode"], one["epoch_after"]) for one in steps} == {
        (done["session"], "n0sas", "planned", 1)
    }
