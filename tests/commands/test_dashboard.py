"""``zmqnode dashboard``: what it names exists in what a real node exposes, labels included."""

from __future__ import annotations

import asyncio
import json
import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from tests.ports import free_ports
from tests.runtime.local import lay_out, until
from zmqnode.commands.main import main
from zmqnode.runtime import Node

TARGET_LABELS = {"job", "instance"}  # Prometheus gives them to every sample.
NAME = re.compile(r"\b(?:zmqnode|process)_[a-z_]+\b")
SELECTOR = re.compile(r"\b((?:zmqnode|process)_[a-z_]+)\{([^}]*)\}")
MATCHER = re.compile(r'([a-z_]+)(=~|=)"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|on) \(([^)]*)\)")
LEGEND = re.compile(r"\{\{([a-z_]+)\}\}")


@cache
def exposed() -> tuple[str, dict[str, set[str]]]:
    """A real node's exposition, over its port; and of each family its declared labels."""

    async def scene() -> tuple[str, dict[str, set[str]]]:
        with TemporaryDirectory() as folder:
            home, port = lay_out(Path(folder), nodes=1)[0], free_ports()
            file = home / "node.yml"
            file.write_text(f"{file.read_text()}metrics:\n  url: {port}\n")
            async with Node(home) as node:
                await until(lambda: node.standing.tip >= 2)
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
                text = (await reader.read()).decode()
                writer.close()
                assert node._metrics is not None
                families = node._metrics.meter.registry.families
                return text, {family.name: set(family.labels) for family in families}

    return asyncio.run(scene())


def families() -> dict[str, set[str]]:
    """Every name a query may have, with its labels; from the text that was served."""
    text, labels = exposed()
    found: dict[str, set[str]] = {}
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        found[name] = labels[name]
        if kind == "histogram":
            del found[name]
            found |= {f"{name}_{part}": labels[name] for part in ("sum", "count")}
            found[f"{name}_bucket"] = labels[name] | {"le"}
    return found


def check(expression: str) -> None:
    """That metrics, their labels and label values of an expression are there."""
    known, text = families(), exposed()[0]
    names = NAME.findall(expression)
    assert set(names) <= set(known), expression
    assert names or expression.startswith("up{")
    for name, matchers in SELECTOR.findall(expression):
        for label, operator, value in MATCHER.findall(matchers):
            assert label in known[name] | TARGET_LABELS, expression
            if operator == "=" and label not in TARGET_LABELS:
                assert f'{name}{{{label}="{value}"}}' in text, expression
    for group in GROUPING.findall(expression):
        for label in group.split(","):
            assert any(label.strip() in known[one] | TARGET_LABELS for one in names), expression


def test_the_check_itself_can_fail() -> None:
    for wrong in (
        "zmqnode_heights",
        "zmqnode_loop_lag_seconds",  # A histogram has no sample of its bare name.
        'zmqnode_state{stat="BROKEN"}',
        'zmqnode_state{state="BROKE"}',
        "sum by (reason) (rate(zmqnode_blocks_total[5m]))",
    ):
        with pytest.raises(AssertionError):
            check(wrong)


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["dashboard", *words]) == 0
    return capsys.readouterr().out


def test_every_panel_asks_for_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    tree: dict[str, Any] = json.loads(printed(capsys, "grafana"))
    known = families()
    asked: set[str] = set()
    for panel in tree["panels"]:
        assert bool(panel.get("targets")) == (panel["type"] != "row")
        for target in panel.get("targets", []):
            check(target["expr"])
            names = NAME.findall(target["expr"])
            asked |= set(names)
            for label in LEGEND.findall(target["legendFormat"]):
                assert label in TARGET_LABELS | set().union(*(known[one] for one in names))
    for variable in tree["templating"]["list"]:
        assert set(NAME.findall(str(variable["query"]))) <= {"zmqnode_info"}
    # And the other way: what a node tells is shown, but for what only alerts look at.
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    assert {name for name in exposed()[1] if name not in shown} == {
        "zmqnode_connections",
        "zmqnode_connections_accepted_total",
        "zmqnode_empty_block_interval_seconds",
        "zmqnode_epoch",
        "zmqnode_handshakes_refused_total",
        "zmqnode_pool_bytes_max",
        "zmqnode_pool_operations",
        "zmqnode_pool_seals_max",
        "zmqnode_role",
        "zmqnode_seals_total",
        "zmqnode_suffrage_live",
        "zmqnode_suffrage_members",
        "zmqnode_suffrage_quorum",
        "zmqnode_tip_height",
        "zmqnode_turns_total",
        "process_start_time_seconds",
    }


def test_panels_lie_beside_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    tree = json.loads(printed(capsys, "grafana"))
    taken: dict[tuple[int, int], str] = {}
    for panel in tree["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, (panel["title"], taken[x, y])
                taken[x, y] = panel["title"]
    numbers = [panel["id"] for panel in tree["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_every_alert_watches_what_there_is_and_says_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tree = yaml.safe_load(printed(capsys, "alerts", "--job", "my nodes"))
    rules = [rule for group in tree["groups"] for rule in group["rules"]]
    names = [rule["alert"] for rule in rules]
    assert len(set(names)) == len(names) > 10
    for rule in rules:
        check(rule["expr"])
        assert rule["expr"].count('job="my nodes"') == len(SELECTOR.findall(rule["expr"])) + (
            rule["alert"] == "ZmqnodeDown"
        )
        assert re.fullmatch(r"\d+[sm]", rule["for"])
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["description"].endswith((".", "?"))
        _check_words(rule["annotations"]["description"])


def _check_words(text: str) -> None:
    """That the commands an alert names are there."""
    for words in re.findall(r"`zmqnode ([a-z ]+)[^`]*`", text):
        assert main([*words.split(), "--help"]) == 0


def test_a_job_that_would_break_the_rules_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboard", "alerts", "--job", 'a"} or up{job="b']) == 2
    assert "[usage]" in capsys.readouterr().err


def test_dashboards_are_told_as_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    plain = printed(capsys, "grafana")
    told = json.loads(printed(capsys, "grafana", "--json"))
    assert told == {"v": 1, "kind": "grafana", "file": None, "text": plain}
