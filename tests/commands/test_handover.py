"""``zmqnode handover``, ``node start-handover``: words, streams and exit codes, at a real door."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from tests.fake_node import NETWORK_ID, FakeChain, FakeNode, key, loopback_ports, served
from tests.handover_door import ID, NEW, Played, done, played, session
from zmqnode.base.codec import encode
from zmqnode.base.handover import Cosign, Mode
from zmqnode.base.handover_query import HandbackCommand, StartCommand
from zmqnode.base.keys import Address, Signature, public_text
from zmqnode.commands.main import main
from zmqnode.errors import Refused

__all__ = ["played"]


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZMQNODE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TEST_IDENTITY", key(1000).text())


@pytest.fixture
def node() -> Iterator[FakeNode]:
    """The first member of a chain, its door open, on a loop in another thread."""
    found = FakeNode(FakeChain(ports=loopback_ports(4)))
    ready: Future[Callable[[], object]] = Future()

    async def serve() -> None:
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with served(found):
            ready.set_result(lambda: loop.call_soon_threadsafe(over.set))
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    end = ready.result(10)
    yield found
    end()
    thread.join(10)


@pytest.fixture
def chain(node: FakeNode) -> FakeChain:
    return node.chain


class Run:
    """A command at the chain's first member."""

    def __init__(self, chain: FakeChain, capsys: pytest.CaptureFixture[str]) -> None:
        self.chain = chain
        self.capsys = capsys

    def __call__(self, *words: str, target: bool = True) -> tuple[int, str, str]:
        named = ["-t", self.chain.target(), "--sign", "env:TEST_IDENTITY"] if target else []
        if words[1] in ("status", "history", "info"):
            named = named[:2]
        code = main([*words, *named])
        return code, *self.capsys.readouterr()

    def json(self, *words: str, target: bool = True) -> tuple[int, list[dict[str, Any]], str]:
        code, out, err = self(*words, "--json", target=target)
        return code, [json.loads(line) for line in out.splitlines()], err


@pytest.fixture
def run(chain: FakeChain, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(chain, capsys)


def playing(played: Played, *rest: dict[str, Any]) -> Callable[[Any], dict[str, Any]]:
    """A command begins the session; what is in ``rest`` follows at each ask."""
    left = list(rest)

    def obey(command: Any) -> dict[str, Any]:
        played.show(session("preflight"))
        return played.body()

    real = played.answer

    def answer(queries: Any, route: Any, asked: Any) -> Any:
        found = real(queries, route, asked)
        if found is None and left:
            played.show(left.pop(0))
        return found

    played.answer = answer  # type: ignore[method-assign]
    return obey


def test_start_tells_each_phase_once_and_answers_with_the_session(run: Run, played: Played) -> None:
    played.obey = playing(played, session("preflight", "shadow"), done())
    code, (answer,), err = run.json("handover", "start", "--reason", "upgrade")
    assert (code, answer["v"], answer["session"], answer["seconds"]) == (0, 1, ID, 0.8)
    phases = [one["name"] for one in answer["phases"]]
    assert [line.split()[0] for line in err.splitlines()] == phases
    (command,) = played.commands
    assert command == StartCommand(mode=Mode.PLANNED, reason="upgrade")


def test_start_for_a_person(run: Run, played: Played) -> None:
    played.obey = playing(played, done())
    code, out, err = run("handover", "start", "--takeover", "--accept-halt-risk", "--when-synced")
    assert code == 0
    assert "done after 0.80 s" in out
    assert "votes from height 17" in err
    (command,) = played.commands
    assert (command.mode, command.accept_halt_risk, command.when_synced) == (
        *(Mode.TAKEOVER, True, True),
    )
    # The phases were told as they came, on stderr; the answer does not tell them again.
    assert "acknowledged at height" in err
    assert "reached at" not in out


def test_watch_is_a_stream_of_every_change(run: Run, played: Played) -> None:
    shadow = session("preflight", "shadow", shadow_matches=2)
    played.obey = playing(played, shadow, session("preflight", "shadow"), done())
    code, lines, _ = run.json("handover", "start", "--watch")
    assert code == 0
    assert [(one["phase"], one["shadow_matches"]) for one in lines] == [
        *(("preflight", 5), ("shadow", 2), ("shadow", 5), ("acknowledged", 5)),
    ]
    played.obey = playing(played, done(outcome="vetoed"))
    code, lines, _ = run.json("handover", "start", "--watch")
    assert (code, lines[-1]["error"]["code"], lines[-2]["outcome"]) == (1, "vetoed", "vetoed")
    played.obey = playing(played, done())
    code, out, err = run("handover", "start", "--watch")
    assert (code, err, out.count("\n")) == (0, "", 2)


def test_a_session_that_ends_otherwise_is_an_error(run: Run, played: Played) -> None:
    told = {"code": "vetoed", "message": "n0sas lives", "hint": "stop it first"}
    played.obey = playing(played, session("preflight", outcome="vetoed", error=told))
    code, (answer,), _ = run.json("handover", "start", "--takeover")
    error = answer["error"]
    assert (code, error["code"], error["details"]["session"]) == (1, "vetoed", ID)
    played.obey = playing(played, session("preflight", outcome="vetoed", error=told))
    code, out, err = run("handover", "start", "--takeover")
    assert (code, out) == (1, "")
    assert err.splitlines()[1:] == ["error: n0sas lives [vetoed]", "hint: stop it first"]


def test_time_over_and_no_wait(run: Run, played: Played) -> None:
    played.obey = playing(played)
    code, (answer,), _ = run.json("handover", "start", "--timeout", "200ms")
    error = answer["error"]
    assert (code, error["code"], error["details"]["session"]) == (4, "undecided", ID)
    assert "handover status --watch" in error["hint"]
    code, (answer,), _ = run.json("handover", "start", "--no-wait")
    assert (code, answer["outcome"], answer["phase"]) == (0, None, "preflight")


def test_handback(run: Run, played: Played) -> None:
    played.obey = playing(played, done())
    code, (answer,), _ = run.json("handover", "handback", "--reason", "done with it")
    assert (code, answer["outcome"]) == (0, "done")
    assert played.commands == [HandbackCommand(mode=Mode.PLANNED, reason="done with it")]


def test_a_failed_check_names_its_code(run: Run, played: Played) -> None:
    def obey(command: Any) -> None:
        raise Refused("same_url", "n0sas is there", hint="network.url in node.yml", checks=[])

    played.obey = obey
    code, out, err = run("handover", "start")
    assert (code, out) == (1, "")
    assert err == "error: n0sas is there [same_url]\nhint: network.url in node.yml\n"


def test_preflight_fails_with_exit_1(run: Run, played: Played) -> None:
    row = {"name": "margin", "status": "failed", "code": "margin_negative"}
    found = {
        "ok": False,
        "mode": "planned",
        "address": "n0sas",
        "instance": NEW,
        "live_others": 2,
        "q": 3,
        "margin": -1,
        "checks": [{**row, "message": "2 live, 3 needed", "hint": "--accept-halt-risk"}],
    }
    played.obey = lambda command: found
    assert run.json("handover", "preflight") == (1, [{"v": 1, **found}], "")
    code, out, _ = run("handover", "preflight")
    assert code == 1
    assert "2 live, 3 needed [margin_negative]" in out
    assert "FAILED" in out


def test_status_and_its_watch(run: Run, played: Played) -> None:
    assert run.json("handover", "status") == (0, [{"v": 1, "session": None}], "")
    assert run("handover", "status") == (0, "no handover\n", "")
    assert run.json("handover", "status", "--watch") == (1, [{"v": 1, "session": None}], "")
    played.show(session("preflight", "shadow", waits_for="5 shadow ballots"))
    code, (answer,), _ = run.json("handover", "status")
    assert (code, answer["outcome"]) == (0, None)
    assert "waits for 5 shadow ballots" in run("handover", "status")[1]
    playing(played, done())
    code, lines, _ = run.json("handover", "status", "--watch")
    assert (code, [one["outcome"] for one in lines]) == (0, [None, "done"])
    played.show(done(outcome="expired"))
    assert run.json("handover", "status", "--watch")[0] == 1
    played.show(session("preflight"))
    code, lines, _ = run.json("handover", "status", "--watch", "--timeout", "200ms")
    assert (code, lines[-1]["error"]["code"]) == (5, "timeout")


def test_history(run: Run, played: Played) -> None:
    assert run.json("handover", "history") == (0, [{"v": 1, "handovers": []}], "")
    assert run("handover", "history")[1] == "no handover\n"
    played.history = [done(), done(address="n1sas")]
    _, (answer,), _ = run.json("handover", "history", "--address", "n1sas")
    assert [one["address"] for one in answer["handovers"]] == ["n1sas"]
    assert run("handover", "history")[1].count(ID) == 2
    assert run.json("handover", "history", "--address", "x")[0] == 2


def test_cancel_and_consent(run: Run, played: Played) -> None:
    played.obey = playing(played, session("preflight", outcome="cancelled"))
    code, (answer,), _ = run.json("handover", "cancel")
    assert (code, answer["outcome"]) == (0, "cancelled")
    played.obey = playing(played, session("preflight", "committed", "acting"))
    code, (answer,), _ = run.json("handover", "cancel")
    assert (code, answer["error"]["code"]) == (1, "too_late")
    played.obey = playing(played)
    code, (answer,), _ = run.json("handover", "consent", "--refuse")
    assert (code, played.commands[-1].refuse) == (0, True)


def test_cosign_writes_what_start_reads(run: Run, played: Played) -> None:
    word = Cosign(address=Address("n1sas"), expires_at_ms=5, signature=Signature(bytes(64)))
    told = {"epoch": 1, "expires_at": "2026-11-23T12:04:31.120Z", "expires_at_ms": 1}
    played.obey = lambda command: {**told, "cosign": encode(word).hex()}
    code, (answer,), _ = run.json("handover", "cosign", "n0sas", NEW, "--out", "one")
    assert (code, answer["epoch"]) == (0, 1)
    Path("two").write_text(json.dumps(answer))
    played.obey = playing(played, done())
    assert run.json("handover", "start", "--forced", "--cosign", "one", "--cosign", "two")[0] == 0
    assert played.commands[-1].cosigns == (word, word)
    code, (answer,), _ = run.json("handover", "start", "--forced", "--cosign", "three")
    assert (code, answer["error"]["code"]) == (2, "file_missing")
    Path("three").write_text("junk")
    code, (answer,), _ = run.json("handover", "start", "--forced", "--cosign", "three")
    assert (code, answer["error"]["code"]) == (1, "bad_argument")
    played.obey = lambda command: {**told, "cosign": encode(word).hex()}
    code, (answer,), _ = run.json("handover", "cosign", "n0sas", NEW, "--out", "no/where")
    assert (code, answer["error"]["code"]) == (2, "file_missing")


def test_a_reason_too_long_for_a_block_is_usage(run: Run) -> None:
    for word in ("start", "handback"):
        code, (answer,), _ = run.json("handover", word, "--reason", "x" * 201)
        assert (code, answer["error"]["code"]) == (2, "usage")


def test_two_modes_are_usage(run: Run) -> None:
    for word in ("start", "handback", "preflight"):
        code, (answer,), _ = run.json("handover", word, "--takeover", "--forced")
        assert (code, answer["error"]["code"]) == (2, "usage")


def test_node_info_shows_the_open_session(run: Run, node: FakeNode, played: Played) -> None:
    node.handover = session("preflight", "shadow", waits_for="ready members")
    code, out, _ = run("node", "info")
    assert (code, "waits for ready members" in out) == (0, True)
    _, (answer,), _ = run.json("node", "info")
    assert (answer["handover"]["session"], answer["handover"]["seconds"]) == (ID, 0.2)


# As on Mitum's page.


def start_handover(run: Run, *words: str) -> tuple[int, dict[str, Any], str]:
    code, lines, err = run.json("node", "start-handover", *words, target=False)
    return code, lines[-1], err


def test_start_handover_word_for_word(run: Run, chain: FakeChain, played: Played) -> None:
    played.obey = playing(played, done())
    url = f"https://127.0.0.1:{chain.ports[0]}#tls_insecure"
    literal = key(1000).text()
    code, answer, err = start_handover(run, "n0sas", literal, NETWORK_ID, url)
    assert (code, answer["outcome"]) == (0, "done")
    assert [line for line in err.splitlines() if line.startswith("warning: ")] != []
    assert literal not in json.dumps(answer) + err
    played.obey = playing(played, done())
    code, answer, err = start_handover(
        run, "n0sas", "env:TEST_IDENTITY", NETWORK_ID, chain.target(), "--accept-halt-risk"
    )
    assert (code, answer["outcome"], "warning" in err) == (0, "done", False)
    assert played.commands[-1].accept_halt_risk


@pytest.mark.parametrize(
    ("changed", "code", "exit_code"),
    [
        ({"address": "n1sas"}, "address_mismatch", 1),
        ({"network_id": "other-net"}, "network_mismatch", 1),
        ({"privatekey": key(1001).text()}, "identity_mismatch", 1),
        ({"address": "n0"}, "config_invalid", 2),
        ({"privatekey": "file:none"}, "file_missing", 2),
        ({"privatekey": key(1000).text()[:-5]}, "key_invalid", 2),
        ({"url": "tcp://127.0.0.1"}, "config_invalid", 2),
        ({"address": key(1000).text()}, "config_invalid", 2),
        ({"url": key(1000).text()}, "config_invalid", 2),
    ],
)
@pytest.mark.parametrize("with_key", [False, True])
def test_start_handover_refuses_what_is_not_meant(
    run: Run,
    chain: FakeChain,
    played: Played,
    changed: dict[str, str],
    code: str,
    exit_code: int,
    with_key: bool,
) -> None:
    url = chain.target() if with_key else f"tcp://127.0.0.1:{chain.ports[0]}"
    words = {
        "address": "n0sas",
        "privatekey": "env:TEST_IDENTITY",
        "network_id": NETWORK_ID,
        "url": url,
        **changed,
    }
    found, answer, err = start_handover(run, *words.values())
    assert (found, answer["error"]["code"]) == (exit_code, code), answer
    assert answer["error"]["hint"] != ""
    shown = json.dumps(answer) + err
    assert key(1000).text()[:12] not in shown
    assert key(1001).text()[:12] not in shown
    assert played.commands == []


def test_start_handover_where_nobody_is(run: Run, played: Played) -> None:
    url = f"tcp://{public_text(key(1000).public)}@127.0.0.1:{loopback_ports(1)[0]}"
    code, answer, _ = start_handover(run, "n0sas", "env:TEST_IDENTITY", NETWORK_ID, url)
    assert (code, answer["error"]["code"]) == (3, "unreachable")
