"""The bench: what it says, and that tiny runs of it are sane. No figure is judged here."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from zmqnode.bench import report
from zmqnode.bench.rows import ROWS, Bar, Figure, Place, Row, Scale
from zmqnode.commands.main import main
from zmqnode.errors import Invalid

CONTRACT = (
    "empty_heights_per_s",
    "finality_p50_ms",
    "ops_per_s_seals_of_100",
    "ops_per_s_seals_of_1",
    "handover_missed_ballots",
    "handover_extra_rounds",
    "handover_lost_operations",
    "handover_seconds",
    "one_down_ratio",
    "catch_up_ratio",
    "memory_bytes",
    "sim_seeds_per_hour",
)
TINY = Scale(
    seconds=0.5,
    lone=3,
    lone_idle=2,
    idle_ms=10,
    keys=200,
    in_flight={100: 2, 1: 5},
    signed_per_s={100: 10, 1: 50},
    live_blocks=30,
    memory_blocks=20,
    seeds=2,
    handovers=1,
)


def row(value: float = 1.0, name: str = "made_up", **fields: Any) -> Row:
    async def measure(place: Place) -> Figure:
        return Figure(value=value, details={"beside": value, "unknown": None})

    return Row(
        name=name,
        unit="things/s",
        bar=fields.pop("bar", Bar(at_least=True, fixed=2.0)),
        measure=measure,
        **fields,
    )


def test_the_rows_have_the_contracts_names() -> None:
    assert [one.name for one in ROWS] == list(CONTRACT)


def test_only_what_makes_sense_is_chosen() -> None:
    def names(*asked: str, nodes: int = 4) -> list[str]:
        return [one.name for one in report.chosen(asked, nodes)]

    assert names() == list(CONTRACT[:10])
    assert "one_down_ratio" not in names(nodes=3)
    assert names("memory_bytes", "finality_p50_ms") == ["finality_p50_ms", "memory_bytes"]
    with pytest.raises(Invalid):
        names("one_down_ratio", nodes=3)
    with pytest.raises(Invalid, match="nothing"):
        names("nothing")


@pytest.mark.parametrize(
    ("bar", "value", "met"),
    [
        (Bar(at_least=True, fixed=2.0), 2.0, True),
        (Bar(at_least=True, fixed=2.0), 1.9, False),
        (Bar(at_least=True, fixed=2.0, floors=0.5), 49.0, False),
        (Bar(at_least=True, fixed=60.0, floors=0.5), 50.0, False),
        (Bar(at_least=False, fixed=2.0), 2.0, True),
        (Bar(at_least=False, fixed=2.0), 2.1, False),
    ],
)
def test_a_goal_is_the_harder_of_the_two(bar: Bar, value: float, met: bool) -> None:
    assert bar.met(value, floor=100.0) is met


def test_a_row_is_met_if_its_figure_and_its_bars_are() -> None:
    lax, strict = Bar(at_least=False, fixed=9.0), Bar(at_least=False, fixed=2.0)
    figures = [Figure(value=value, details={"beside": value}) for value in (3.0, 1.0, 8.0)]
    good = report.summary(row(bars={"beside": lax}), figures, 100.0)
    assert good["met"] is True
    assert good["median"] == 3.0
    assert good["runs"] == 3
    assert good["values"] == [3.0, 1.0, 8.0]
    assert good["details"] == {"beside": {"median": 3.0, "goal": 9.0, "met": True}}
    bad = report.summary(row(bars={"beside": strict}), figures, 100.0)
    assert bad["met"] is False


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.0, 0.0), (0.12345, 0.123), (1.23456, 1.235), (123.456, 123.5), (123456.7, 123457.0)],
)
def test_figures_have_four_digits(value: float, told: float) -> None:
    assert report.rounded(value) == told


def test_the_command_answers_as_the_contract_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = (row(3.0), row(1.0, "other", bar=Bar(at_least=True, floors=0.5)))
    monkeypatch.setattr(report, "ROWS", made_up)
    monkeypatch.setattr(report.floor, "measure", lambda *_: 250.0)
    assert main(["bench", "--runs", "2", "--json"]) == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert list(answer) == ["v", "machine", "floor", "rows", "seconds"]
    assert answer["floor"]["heights_per_s"] == 250.0
    assert answer["floor"]["runs"] == 2
    assert list(answer["rows"][0])[:6] == ["name", "unit", "median", "runs", "goal", "met"]
    told = [(one["name"], one["goal"], one["met"]) for one in answer["rows"]]
    assert told == [("made_up", 2.0, True), ("other", 125.0, False)]
    assert answer["machine"]["sync_ms"] >= 0
    assert err.count("\n") == 6

    assert main(["bench", "--only", "other", "--runs", "1"]) == 0
    out, _ = capsys.readouterr()
    assert "other" in out
    assert "made_up" not in out

    assert main(["bench", "--only", "nothing", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage"


def test_the_floor_counts_heights(tmp_path: Path) -> None:
    assert report.floor.measure(tmp_path, 0.2) > 0
    assert report.floor.measure(tmp_path, 0.1, 1) > 0
    assert list(tmp_path.iterdir()) == []


def test_the_floor_has_nothing_of_the_node() -> None:
    source = Path(report.floor.__file__).read_text()
    assert "from zmqnode" not in source
    assert "import zmqnode" not in source


@pytest.mark.e2e
@pytest.mark.parametrize("name", CONTRACT)
def test_a_tiny_run_of_each_row_is_sane(name: str, tmp_path: Path) -> None:
    one = next(one for one in ROWS if one.name == name)
    place = Place(folder=tmp_path / "network", nodes=4, scale=TINY)
    figure = asyncio.run(one.measure(place))  # type: ignore[arg-type]
    assert figure.value > 0 or one.bar == Bar(at_least=False)
    assert set(one.bars) <= set(figure.details)
    known = [value for value in figure.details.values() if value is not None]
    if os.path.exists("/proc/self/stat"):
        assert len(known) == len(figure.details)
    assert all(value >= 0 for value in known)
    assert not (tmp_path / "network").exists()
