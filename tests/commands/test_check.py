"""``zmqnode check``: what is judged how, and every format's words and exit codes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.commands.at_door import Standing, standing
from tests.fake_node import FakeChain, FakeNode
from zmqnode.base.exchange import NodeState
from zmqnode.client import NodeInfo, PeerInfo
from zmqnode.client.answers import Trouble as TroubleInfo
from zmqnode.client.answers import read
from zmqnode.client.wording import with_rtt
from zmqnode.commands import health
from zmqnode.commands.health import Check, Limits, judged, worst
from zmqnode.commands.main import main
from zmqnode.runtime import showing
from zmqnode.runtime.view import Trouble

NOW_MS = 1_795_435_300_000
LIMITS = Limits(max_lag=5, min_margin=0, max_block_age_ms=30_000)


def info(**changed: Any) -> NodeInfo:
    """A node that is well: its block is one second old, all members are live."""
    told = read(NodeInfo, showing.node_info(FakeNode(FakeChain())))
    members = tuple(replace(one, live=True) for one in told.suffrage.members)
    suffrage = replace(told.suffrage, members=members, live=4, margin=1)
    well = {"suffrage": suffrage, "height": 7, "tip_height": 7, "proposed_at_ms": NOW_MS - 1000}
    return replace(told, **{**well, **changed})


def peer(**changed: Any) -> PeerInfo:
    (row,) = FakeNode(FakeChain()).peers()
    return replace(read(PeerInfo, with_rtt(showing.peer_row(row))), **changed)


def found(name: str, told: NodeInfo, *peers: PeerInfo, limits: Limits = LIMITS) -> Check:
    return next(one for one in judged(told, peers, NOW_MS, limits) if one.name == name)


def with_margin(margin: int) -> NodeInfo:
    told = info()
    members = [replace(one, live=i < margin + 3) for i, one in enumerate(told.suffrage.members)]
    suffrage = replace(told.suffrage, members=tuple(members), live=margin + 3, margin=margin)
    return replace(told, suffrage=suffrage)


def test_a_node_that_is_well_has_no_fault() -> None:
    checks = judged(info(), [peer()], NOW_MS, LIMITS)
    assert [one.name for one in checks] == ["state", "lag", "margin", "block_age", "clock"]
    assert {one.status for one in checks} == {"ok"}
    assert worst(checks) == "ok"


@pytest.mark.parametrize(
    ("role", "state", "status"),
    [
        ("active", "CONSENSUS", "ok"),
        ("active", "JOINING", "warning"),
        ("active", "SYNCING", "warning"),
        ("standby", "SYNCING", "ok"),
        ("standby", "HANDOVER", "ok"),
        ("observer", "SYNCING", "ok"),
        ("standby", "BOOTING", "warning"),
        ("active", "BROKEN", "critical"),
    ],
)
def test_states(role: str, state: str, status: str) -> None:
    broken = TroubleInfo(cause="the disk", way_out="another disk") if state == "BROKEN" else None
    check = found("state", info(role=role, state=state, broken=broken))
    assert (check.value, check.status) == (state, status)
    if broken is not None:
        assert "the disk" in check.message
        assert "another disk" in check.message


def test_lag() -> None:
    for lag, status in ((5, "ok"), (6, "critical")):
        check = found("lag", info(lag_blocks=lag))
        assert (check.status, check.value, check.limit) == (status, str(lag), "5")


def test_margin() -> None:
    for margin, least, status in ((0, 0, "ok"), (-1, 0, "critical"), (0, 1, "critical")):
        limits = replace(LIMITS, min_margin=least)
        check = found("margin", with_margin(margin), limits=limits)
        assert (check.status, check.value) == (status, str(margin))
    assert "away: n2sas, n3sas" in found("margin", with_margin(-1)).message


@pytest.mark.parametrize(
    ("age_ms", "empty_ms", "seals", "status"),
    [
        (30_000, 1000, 0, "ok"),
        (30_001, 1000, 0, "critical"),
        (30_001, 10_001, 0, "ok"),  # Three empty blocks are further apart than the limit.
        (30_004, 10_001, 0, "critical"),
        (10**9, 0, 0, "ok"),  # A network that makes no empty blocks rests.
        (10**9, 0, 1, "critical"),
    ],
)
def test_block_age(age_ms: int, empty_ms: int, seals: int, status: str) -> None:
    told = info(proposed_at_ms=NOW_MS - age_ms)
    params = {**told.params, "empty_block_interval_ms": empty_ms}
    told = replace(told, params=params, pool=replace(told.pool, seals=seals))
    assert found("block_age", told).status == status


def test_before_the_first_block_the_start_counts() -> None:
    for age_ms, status in ((29_000, "ok"), (31_000, "critical")):
        told = info(height=0, proposed_at_ms=None, started_at_ms=NOW_MS - age_ms)
        check = found("block_age", told)
        assert check.status == status
        assert "no block since the start" in check.message


def test_one_liar_among_the_peers_moves_no_clock() -> None:
    true = [peer(clock_offset_ms=offset) for offset in (-20, 10)]
    liar = peer(clock_offset_ms=10**9)
    assert found("clock", info(), *true, liar).status == "ok"
    off = [peer(clock_offset_ms=-600) for _ in range(2)]
    check = found("clock", info(), *off, liar)
    assert (check.status, check.value) == ("warning", "0.6")
    assert "ahead of" in check.message
    assert found("clock", info(), peer(clock_offset_ms=600, connected=False)).status == "ok"
    assert found("clock", info()).status == "ok"


def test_the_worst_names_all() -> None:
    def one(status: str) -> Check:
        return Check(name="x", status=status, value="", limit="", message="")

    assert worst([one("ok"), one("critical"), one("unknown"), one("warning")]) == "critical"
    assert worst([one("ok"), one("unknown"), one("warning")]) == "unknown"
    assert worst([one("ok"), one("warning")]) == "warning"
    assert worst([]) == "unknown"


PERFORMANCE = re.compile(r"[a-z_]+=-?[0-9.]+(s)?;[0-9.:-]*;[0-9.:-]*")


def test_nagios_performance_data_can_be_read() -> None:
    checks = judged(with_margin(-1), [peer(clock_offset_ms=-900)], NOW_MS, LIMITS)
    line = health.nagios_line("n0sas", worst(checks), checks)
    text, data = line.split(" | ")
    assert text.startswith("ZMQNODE CRITICAL - n0sas margin: 2 of 4 members are live, 3 must be")
    assert "clock: " in text
    assert all(PERFORMANCE.fullmatch(one) for one in data.split()), data
    assert "margin=-1;;0:" in data.split()
    assert "lag=0;;0:5" in data.split()
    assert "clock=0.9s;-0.5:0.5;" in data.split()


def test_prometheus_reads_the_answer() -> None:
    checks = judged(info(lag_blocks=9), [peer()], NOW_MS, LIMITS)
    text = health.prometheus_text("n0sas", worst(checks), checks)
    families = {one.name: one for one in text_string_to_metric_families(text)}
    (ok,) = families["zmqnode_check_ok"].samples
    assert (ok.value, ok.labels) == (0, {"address": "n0sas"})
    status = {one.labels["check"]: one.value for one in families["zmqnode_check_status"].samples}
    assert status == {"state": 0, "lag": 2, "margin": 0, "block_age": 0, "clock": 0}
    value = {one.labels["check"]: one.value for one in families["zmqnode_check_value"].samples}
    limit = {one.labels["check"]: one.value for one in families["zmqnode_check_limit"].samples}
    assert (value["lag"], limit["lag"], value["block_age"]) == (9, 5, 1)


# The command.


@pytest.fixture
def node(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Standing]:
    """A node that started now, without a block; two of its four members are live."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZMQNODE_HOME", str(tmp_path / "home"))
    with standing() as found:
        found.capsys = capsys
        found.node.started_at_ms = time.time_ns() // 1_000_000
        yield found


def test_the_answer_and_its_exit_code(node: Standing) -> None:
    code, (bad,) = node.json("check")
    assert (code, bad["ok"], bad["status"]) == (1, False, "critical")
    assert list(bad) == ["v", "ok", "status", "checks"]
    for one in bad["checks"]:
        assert {key: type(value) for key, value in one.items()} == dict.fromkeys(
            ("name", "status", "value", "limit", "message"), str
        )
    code, (good,) = node.json("check", "--min-margin", "-1")
    assert (code, good["ok"], good["status"]) == (0, True, "ok")
    assert node.json("check", "--format", "json", "--min-margin", "-1")[0] == 0
    node.node.state = NodeState.JOINING
    code, (warned,) = node.json("check", "--min-margin", "-1")
    assert (code, warned["ok"], warned["status"]) == (0, True, "warning")
    node.node.tip_ahead = 6
    assert node.json("check", "--min-margin", "-1")[0] == 1
    assert node.json("check", "--min-margin", "-1", "--max-lag", "6")[0] == 0


def test_people_read_a_table(node: Standing) -> None:
    code, out, err = node.run("check")
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert lines[0] == "CRITICAL"
    margin = next(line for line in lines if line.strip().startswith("margin"))
    assert margin.split()[:4] == ["margin", "critical", "-1", "0"]


def test_nagios_exits_0_to_3(node: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("check", "--format", "nagios")
    code, out, err = node.run(*words)
    assert (code, out.count("\n"), err) == (2, 1, "")
    assert out.startswith("ZMQNODE CRITICAL - n0sas margin: ")
    code, out, _ = node.run(*words, "--min-margin", "-1")
    assert (code, out[:12]) == (0, "ZMQNODE OK -")
    node.node.state = NodeState.JOINING
    code, out, _ = node.run(*words, "--min-margin", "-1")
    assert (code, out[:17]) == (1, "ZMQNODE WARNING -")
    node.node.broken = Trouble(cause="a|b\nc", way_out="d")
    code, out, _ = node.run(*words)
    assert (code, out.count("\n"), out.count("|")) == (2, 1, 1)
    there = node.chain.target()
    nobody = there.rsplit(":", 1)[0] + f":{node.chain.ports[3]}"
    monkeypatch.setattr(node.chain, "target", lambda: nobody)
    code, out, err = node.run(*words)
    assert (code, err) == (2, "")
    assert "nobody listens" in out
    code, (error,) = node.json(*words)
    assert (code, error["error"]["code"]) == (2, "unreachable")
    assert node.json("check")[0] == 3
    monkeypatch.setattr(node.chain, "target", lambda: "no-such-name")
    code, out, _ = node.run(*words)
    assert (code, out[:17]) == (3, "ZMQNODE UNKNOWN -")
    assert node.run("check")[0] == 2


def test_prometheus_text_comes_alone(node: Standing) -> None:
    code, out, err = node.run("check", "--format", "prometheus")
    assert (code, err) == (1, "")
    assert {one.name for one in text_string_to_metric_families(out)} == {
        "zmqnode_check_ok",
        "zmqnode_check_status",
        "zmqnode_check_value",
        "zmqnode_check_limit",
    }


def test_what_the_parser_refuses_is_told_in_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Newer versions of Typer read values through another library, whose words are not ours."""
    assert main(["check", "--format", "xml"]) == 2
    said = capsys.readouterr().err
    assert "'xml'" in said
    assert "Value error" not in said
