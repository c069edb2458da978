"""``zmqnode monitor`` at real doors: text, JSON, recordings, a connection that is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.at_door import Standing, standing
from tests.commands.monitor_scenes import NOW_MS, SCENES, many, picture, session, told
from tests.fake_node import FakeChain, FakeNode, loopback_ports, served
from zmqnode.client import Client
from zmqnode.commands import monitor_json
from zmqnode.commands.main import main
from zmqnode.commands.monitor_picture import Picture
from zmqnode.commands.monitor_record import Player, Recording, recording
from zmqnode.commands.monitor_watch import Watch, follow
from zmqnode.errors import Invalid, Refused, TimedOut


@pytest.fixture
def node(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Standing]:
    monkeypatch.chdir(tmp_path)
    with standing() as found:
        found.capsys = capsys
        yield found


def test_without_a_terminal_it_is_text_once(node: Standing) -> None:
    code, out, err = node.run("monitor")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert {len(line) for line in lines} == {160}
    assert "n0sas  active CONSENSUS" in out
    assert "8 log" in out
    assert "\x1b" not in out
    code, out, err = node.run("monitor", "--once", "--panel", "peers", "--panel", "pool", "--ascii")
    assert code == 0
    assert out.isascii()
    assert "7 peers" in out
    assert "6 pool" in out
    assert "suffrage" not in out


def test_json_once_is_the_contracts_object(node: Standing) -> None:
    code, found = node.json("monitor", "--once")
    assert code == 0
    (one,) = found
    assert list(one) == ["v", "at", "at_ms", "nodes", "blocks", "stages"]
    assert [info["address"] for info in one["nodes"]] == ["n0sas"]
    assert set(one["blocks"]) == {"interval_p50_ms", "interval_p99_ms", "per_minute"}
    assert {type(value) for value in one["blocks"].values()} == {float}
    assert all(set(stage) == {"stage", "votes", "needed", "since_ms"} for stage in one["stages"])


def test_a_recording_replayed_is_what_was_seen(node: Standing) -> None:
    path = Path("seen.jsonl")
    code, out, _ = node.run("monitor", "--once", "--record", str(path))
    assert code == 0
    assert node.capsys is not None
    assert main(["monitor", "--replay", str(path), "--once"]) == 0
    assert node.capsys.readouterr().out.splitlines()[2:] == out.splitlines()[2:]
    assert main(["monitor", "--replay", str(path), "--json", "--speed", "1000"]) == 0
    shown = node.capsys.readouterr().out.splitlines()
    assert json.loads(shown[-1])["nodes"][0]["address"] == "n0sas"
    assert main(["monitor", "--replay", str(path), "--once", "--svg", "p.svg"]) == 0
    assert Path("p.svg").read_text().startswith("<svg")
    code, _, err = node.run("monitor", "--once", "--record", str(path))
    assert (code, "[already_exists]" in err) == (1, True)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--panel", "nothing"], 2, "'nothing' is no panel [usage]"),
        (["--interval", "1ms"], 2, "an interval is 100 ms to 10 s [usage]"),
        (["--all", "-t", "n0"], 2, "--all watches the testnet in use"),
        (["--replay", "no.such"], 2, "[file_missing]"),
        (["--replay", "junk"], 2, "junk is no recording of the monitor [usage]"),
        (["--at", "3s"], 2, "--at goes with --replay and --once [usage]"),
        (["--svg", "x"], 2, "--svg goes with --once"),
        (["--size", "big"], 2, "is no size"),
        (["--all"], 2, "is no testnet [file_missing]"),
        ([], 2, "[no_target]"),
    ],
)
def test_what_cannot_be_shown_is_said(
    words: list[str],
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("junk").write_text('{"v":1}\n')
    assert main(["monitor", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "hint: " in err


def test_a_node_that_is_not_there_is_unreachable(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    target = FakeChain(ports=loopback_ports(4)).target()
    assert main(["monitor", "--once", "--timeout", "300ms", "-t", target]) in (3, 5)
    assert "error: " in capsys.readouterr().err


def test_a_lost_connection_leaves_the_last_picture_and_is_made_again() -> None:
    async def scene() -> None:
        chain = FakeChain(ports=loopback_ports(4))
        watch = Watch(("n0",), 100)

        async def until(problem: bool) -> None:
            async with asyncio.timeout(30):
                while (watch.node(0).problem != "") is not problem:
                    watch.changed.clear()
                    await watch.changed.wait()

        async with served(FakeNode(chain)):
            following = asyncio.create_task(
                follow(watch, 0, lambda: Client(chain.target(), timeout_ms=500), 100)
            )
            await watch.first(30_000)
            before = watch.node(0).snapshot
            assert before is not None
        await until(problem=True)
        kept = watch.picture()
        assert kept.node.snapshot is not None
        assert kept.old
        async with served(FakeNode(chain)):
            await until(problem=False)
            assert not watch.picture().old
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    asyncio.run(scene())


def test_a_watch_that_hears_nothing_is_over_in_time() -> None:
    async def scene() -> None:
        watch = Watch(("a", "b"), 250)
        with pytest.raises(TimedOut):
            await watch.first(20)
        refused = Refused("rate_limited", "too many feeds")
        watch.lose(0, "too many feeds", refused)
        watch.lose(1, "gone")
        with pytest.raises(Refused, match="too many feeds"):
            await watch.first(20)

    asyncio.run(scene())


def test_the_session_stays_when_the_node_shows_none_any_more() -> None:
    async def scene() -> None:
        watch = Watch(("n0",), 250)
        body = told()
        body["node"]["handover"] = session()
        opened, closed = picture(body).node.snapshot, picture(told()).node.snapshot
        assert opened is not None
        assert closed is not None
        watch.hear(0, opened)
        watch.hear(0, closed)
        assert (watch.node(0).session or {})["phase"] == "committed"
        watch.tell_session(0, session(8, outcome="done"))
        assert (watch.node(0).session or {})["outcome"] == "done"

    asyncio.run(scene())


def test_json_of_several_nodes_leaves_out_who_gives_no_answer() -> None:
    shown = monitor_json.told(many())
    assert [one["address"] for one in shown["nodes"]] == ["n0sas", "n1sas", "n2sas", "n0sas"]
    nobody = monitor_json.told(Picture(at_ms=NOW_MS, nodes=many().nodes[3:4]))
    assert (nobody["nodes"], nobody["stages"]) == ([], [])
    assert nobody["blocks"] == {"interval_p50_ms": 0.0, "interval_p99_ms": 0.0, "per_minute": 0.0}


def test_a_recording_adds_up_and_ends_where_it_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "r"
    seen = many()
    with recording(path, tuple(one.name for one in seen.nodes), 250) as recorder:
        for round_ in range(3):
            for index, one in enumerate(seen.nodes):
                recorder.heard(NOW_MS + round_, index, one)
    text = path.read_text()
    assert len(text.splitlines()[-1]) < 100, "only what changed is written"
    path.write_text(text[:-5])
    source = Recording(path)
    found = list(source.moments())
    assert len(found) == 14
    assert [one.node.snapshot for one in found[:5]] == [one.snapshot for one in seen.nodes]
    path.write_text(text.splitlines()[0] + '\n{"at_ms":1,"node":9,"set":{}}\n')
    with pytest.raises(Invalid, match=":2: this line cannot be read"):
        list(Recording(path).moments())


@pytest.mark.parametrize("scene", SCENES)
def test_what_is_recorded_is_read_back_as_it_was(scene: str, tmp_path: Path) -> None:
    seen = SCENES[scene]()
    with recording(tmp_path / "r", tuple(one.name for one in seen.nodes), 250) as recorder:
        for index, one in enumerate(seen.nodes):
            recorder.heard(NOW_MS, index, one)
    read_back = [one.node for one in Recording(tmp_path / "r").moments()]
    assert [(one.snapshot, one.problem, one.session) for one in read_back] == [
        (one.snapshot, one.problem, one.session) for one in seen.nodes
    ]


def test_a_recording_has_a_greatest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zmqnode.commands.monitor_record.RECORD_BYTES_MAX", 20_000)
    node = picture(told()).node
    with recording(tmp_path / "r", ("n0",), 250) as recorder:
        for number in range(1000):
            recorder.heard(NOW_MS + number, 0, node)
    assert recorder.full
    assert (tmp_path / "r").stat().st_size <= 20_000
    assert list(Recording(tmp_path / "r").moments())


def test_a_moment_of_a_recording_can_be_chosen(tmp_path: Path) -> None:
    with recording(tmp_path / "r", ("n0",), 250) as recorder:
        for number in range(5):
            body = told()
            body["node"]["height"] = number
            recorder.heard(NOW_MS + 1000 * number, 0, picture(body).node)

    async def height_at(seconds: float | None) -> int:
        watch = Watch(("n0",), 250)
        Player(watch, Recording(tmp_path / "r"), 1).skip(seconds)
        snapshot = watch.node(0).snapshot
        assert snapshot is not None
        return snapshot.node.height

    assert [asyncio.run(height_at(one)) for one in (0, 2.5, None)] == [0, 2, 4]
