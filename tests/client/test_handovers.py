"""The client's handover calls against a real door: what is asked, followed, raised."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fake_node import FakeChain, FakeNode, key, loopback_ports, served
from tests.handover_door import ID, NEW, Played, done, played, session
from zmqnode.base.codec import encode
from zmqnode.base.handover import Cosign, Mode
from zmqnode.base.handover_query import CancelCommand, ConsentCommand, StartCommand
from zmqnode.base.keys import Address, Signature
from zmqnode.client import Client, CosignInfo, Session, SyncClient
from zmqnode.errors import Invalid, Refused, Undecided, Unreachable
from zmqnode.runtime.control import Control

__all__ = ["played"]

COSIGN = Cosign(address=Address("n1sas"), expires_at_ms=5, signature=Signature(bytes(64)))


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZMQNODE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TEST_IDENTITY", key(1000).text())
    monkeypatch.setenv("TEST_STRANGER", key(5000).text())


@asynccontextmanager
async def copy() -> AsyncIterator[Client]:
    chain = FakeChain(ports=loopback_ports(4))
    async with served(FakeNode(chain)), client_of(chain) as client:
        yield client


def client_of(chain: FakeChain) -> Client:
    return Client(chain.target(), sign="env:TEST_IDENTITY")


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scene())


def test_a_start_is_followed_to_its_end(played: Played) -> None:
    def obey(command: Any) -> dict[str, Any]:
        played.show(session("preflight"))
        return played.body()

    async def scene() -> None:
        played.obey = obey
        seen: list[Session] = []
        async with copy() as client:
            work = asyncio.create_task(
                client.handover_start(reason="upgrade", on_change=seen.append)
            )
            for phases in (("shadow",), ("shadow", "ready"), ("shadow", "ready", "consent")):
                while len(seen) < len(phases):
                    await asyncio.sleep(0.01)
                played.show(session("preflight", *phases))
            while len(seen) < 4:
                await asyncio.sleep(0.01)
            assert not work.done()
            played.show(done())
            found = await work
        assert [one.phase for one in seen] == [
            *("preflight", "shadow", "ready", "consent", "acknowledged")
        ]
        assert (found.outcome, found.missed_ballots, found.seconds) == ("done", 0, 0.8)
        assert found == seen[-1]
        assert played.commands == [StartCommand(mode=Mode.PLANNED, reason="upgrade")]

    play(scene)


def test_answers_have_the_contracts_names(played: Played) -> None:
    played.session = done()
    played.history = [done(), done(address="n1sas")]

    async def scene() -> None:
        async with copy() as client:
            found = await client.handover_status()
            assert found is not None
            shown = found.json()
            assert shown.pop("seconds") == 0.8
            told = done()
            del told["elapsed_ms"]
            assert shown == told
            assert found.phases[0].name == "preflight"
            with pytest.raises(dataclasses.FrozenInstanceError):
                found.phase = "x"  # type: ignore[misc]
            assert len(await client.handover_history()) == 2
            (one,) = await client.handover_history("n1sas")
            assert one.address == "n1sas"
            played.session = None
            assert await client.handover_status() is None

    play(scene)


def test_a_failed_check_is_raised_with_its_code(played: Played) -> None:
    def obey(command: Any) -> None:
        raise Refused("margin_negative", "two others live, three needed", hint="--accept-halt-risk")

    async def scene() -> None:
        played.obey = obey
        async with copy() as client:
            with pytest.raises(Refused) as refused:
                await client.handover_start(mode="takeover")
            assert (refused.value.code, refused.value.hint) == (
                *("margin_negative", "--accept-halt-risk"),
            )
            assert played.asked == []

    play(scene)


@pytest.mark.parametrize(
    ("outcome", "error", "code"),
    [
        ("vetoed", {"code": "vetoed", "message": "n0 lives", "hint": "stop it"}, "vetoed"),
        ("failed", {"code": "not_ready", "message": "2 of 3", "hint": ""}, "not_ready"),
        ("returned", None, "returned"),
    ],
)
def test_a_session_that_ends_otherwise_is_an_error(
    played: Played, outcome: str, error: dict[str, str] | None, code: str
) -> None:
    def obey(command: Any) -> dict[str, Any]:
        played.show(session("preflight", "shadow", outcome=outcome, error=error))
        return played.body()

    async def scene() -> None:
        played.obey = obey
        async with copy() as client:
            with pytest.raises(Refused) as refused:
                await client.handover_start()
        told = refused.value
        assert (told.code, told.exit_code) == (code, 1)
        assert told.hint != ""
        assert (told.details["session"], told.details["outcome"]) == (ID, outcome)

    play(scene)


def test_time_over_is_undecided_and_no_wait_returns_at_once(played: Played) -> None:
    def obey(command: Any) -> dict[str, Any]:
        played.show(session("preflight", "shadow", waits_for="ready members"))
        return played.body()

    async def scene() -> None:
        played.obey = obey
        async with copy() as client:
            begun = await client.handover_start(wait=False)
            assert (begun.outcome, begun.phase) == (None, "shadow")
            with pytest.raises(Undecided) as undecided:
                await client.handover_start(timeout_ms=300)
        told = undecided.value
        assert (told.exit_code, told.details["session"]) == (4, ID)
        assert "ready members" in told.message

    play(scene)


def test_a_lost_connection_is_no_end(played: Played) -> None:
    """Goal: the follower finds the session again. Method: the door closes and opens meanwhile."""

    def obey(command: Any) -> dict[str, Any]:
        played.serial = 500
        played.show(session("preflight"))
        return played.body()

    async def scene() -> None:
        played.obey = obey
        chain = FakeChain(ports=loopback_ports(4))
        async with client_of(chain) as client:
            async with served(FakeNode(chain)):
                work = asyncio.create_task(client.handover_start(timeout_ms=20_000))
                while len(played.asked) < 1:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
            played._waiting.clear()
            played.serial = 0  # The new process counts anew.
            played.show(done())
            async with served(FakeNode(chain)):
                assert (await work).outcome == "done"
            assert played.asked[0] == 501
            assert None in played.asked[1:]

    play(scene)


def test_a_session_another_one_replaced_is_looked_for_in_the_chain(played: Played) -> None:
    def obey(command: Any) -> dict[str, Any]:
        played.show(session("preflight"))
        return played.body()

    async def scene(history: list[dict[str, Any]]) -> Session:
        played.obey, played.history = obey, history
        async with copy() as client:
            work = asyncio.create_task(client.handover_start(timeout_ms=5_000))
            while not played._waiting:
                await asyncio.sleep(0.01)
            played.show(session("preflight", session="0" * 16))
            return await work

    assert asyncio.run(scene([done(session="1" * 16), done()])).session == ID
    with pytest.raises(Undecided) as undecided:
        asyncio.run(scene([]))
    assert undecided.value.details["session"] == ID


@pytest.mark.parametrize("changes", [1, 2])
def test_a_node_that_changes_its_key_under_an_order_is_asked_again(
    played: Played, monkeypatch: pytest.MonkeyPatch, changes: int
) -> None:
    """Goal: a copy that has just retired refuses nobody. Method: its instance key changes between
    the answer that names it and the order that was signed for it; twice is a real refusal."""
    chain = FakeChain(ports=loopback_ports(4))
    node, real = FakeNode(chain), Control.challenge
    asked: list[bytes] = []

    def challenge(self: Control, client: bytes) -> Any:
        asked.append(client)
        if len(asked) <= changes:
            chain.instances[node.index] = key(7000 + len(asked))
        return real(self, client)

    def obey(command: Any) -> dict[str, Any]:
        played.show(done())
        return played.body()

    async def scene() -> str | None:
        played.obey = obey
        async with served(node), client_of(chain) as client:
            return (await client.handover_start()).outcome

    monkeypatch.setattr(Control, "challenge", challenge)
    if changes == 1:
        assert asyncio.run(scene()) == "done"
    else:
        with pytest.raises(Refused) as refused:
            asyncio.run(scene())
        assert refused.value.code == "not_authorised"
    assert len(asked) == 2


@pytest.mark.parametrize("ends", [True, False])
def test_one_that_is_open_in_the_chain_is_waited_for(played: Played, ends: bool) -> None:
    """Goal: another session shown in its place says nothing of how this one ends."""

    def obey(command: Any) -> dict[str, Any]:
        played.show(session("preflight"))
        return played.body()

    async def scene() -> Session:
        played.obey = obey
        played.history = [session("preflight", "committed", waits_for="its first height")]
        async with copy() as client:
            work = asyncio.create_task(client.handover_start(timeout_ms=1_500))
            while not played._waiting:
                await asyncio.sleep(0.01)
            played.show(session("preflight", session="0" * 16))
            await asyncio.sleep(0.3)
            assert not work.done()
            if ends:
                played.history = [done()]
            return await work

    if ends:
        assert asyncio.run(scene()).outcome == "done"
        return
    with pytest.raises(Undecided) as undecided:
        asyncio.run(scene())
    assert undecided.value.details["phase"] == "committed"


def test_a_session_gets_its_id_on_the_way(played: Played) -> None:
    """``--when-synced`` begins before the copy knows whom it replaces."""

    def obey(command: Any) -> dict[str, Any]:
        assert command.when_synced
        played.show(session("sync", session=None))
        return played.body()

    async def scene() -> None:
        played.obey = obey
        async with copy() as client:
            work = asyncio.create_task(client.handover_start(when_synced=True))
            while not played._waiting:
                await asyncio.sleep(0.01)
            played.show(done())
            assert (await work).session == ID

    play(scene)


def test_handback_is_followed_at_the_copy_that_started(played: Played) -> None:
    async def scene() -> None:
        first, second = FakeChain(ports=loopback_ports(4)), loopback_ports(1)[0]
        other = FakeNode(first)
        url = f"tcp://127.0.0.1:{second}"

        def obey(command: Any) -> dict[str, Any]:
            played.show(session("preflight"))
            return {**played.body(), "url": url, "instance": NEW}

        played.obey = obey
        async with served(FakeNode(first)), client_of(first) as client:
            first.ports[0] = second
            async with served(other):
                work = asyncio.create_task(client.handover_handback(accept_halt_risk=True))
                while not played._waiting:
                    await asyncio.sleep(0.01)
                assert played._waiting[0][0] is other.queries
                played.show(done(side="new"))
                assert (await work).side == "new"
        assert played.commands[0].accept_halt_risk

    play(scene)


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        (session("preflight", "submitted", outcome="cancelled"), None),
        (session("preflight", "submitted", "committed", "acting"), "too_late"),
        (done(), "too_late"),
        (session("preflight", "submitted", outcome="expired"), "too_late"),
    ],
)
def test_cancel_says_what_the_chain_says(
    played: Played, shown: dict[str, Any], code: str | None
) -> None:
    def obey(command: Any) -> dict[str, Any]:
        assert command == CancelCommand()
        played.show(session("preflight", "submitted"))
        return played.body()

    async def scene() -> None:
        played.obey = obey
        async with copy() as client:
            work = asyncio.create_task(client.handover_cancel())
            while not played._waiting:
                await asyncio.sleep(0.01)
            played.show(shown)
            if code is None:
                assert (await work).outcome == "cancelled"
            else:
                with pytest.raises(Refused) as refused:
                    await work
                assert (refused.value.code, refused.value.details["session"]) == (code, ID)

    play(scene)


def test_consent_and_cosign(played: Played) -> None:
    def obey(command: Any) -> dict[str, Any]:
        if isinstance(command, (ConsentCommand, StartCommand)):
            played.show(session("shadow", side="old"))
            return played.body()
        return {
            "epoch": 3,
            "expires_at": "2026-11-23T12:04:31.120Z",
            "expires_at_ms": 1_795_435_471_120,
            "cosign": encode(COSIGN).hex(),
        }

    Path("plain").write_text(encode(COSIGN).hex() + "\n")
    Path("object").write_text('{"v":1,"cosign":"' + encode(COSIGN).hex() + '"}\n')
    Path("junk").write_text("{}")

    async def scene() -> None:
        played.obey = obey
        async with copy() as client:
            assert (await client.handover_consent(refuse=True)).side == "old"
            assert played.commands[-1].refuse
            word = await client.handover_cosign("n1sas", NEW)
            assert word.epoch == 3
            given: list[CosignInfo | str | Path] = [word, word.cosign, Path("plain"), "object"]
            await client.handover_start(mode="forced", cosigns=given, wait=False)
            assert played.commands[-1].cosigns == (COSIGN,) * 4
            with pytest.raises(Refused) as refused:
                await client.handover_start(mode="forced", cosigns=[Path("junk")])
            assert refused.value.code == "bad_argument"
            with pytest.raises(Invalid) as invalid:
                await client.handover_start(mode="forced", cosigns=[Path("none")])
            assert invalid.value.code == "file_missing"
            for wrong in ({"reason": "x" * 201}, {"cosigns": [word] * 101}):
                for call in (client.handover_start, client.handover_handback):
                    with pytest.raises(Invalid) as invalid:
                        await call(**wrong)  # type: ignore[arg-type]
                    assert invalid.value.code == "usage"
            with pytest.raises(Invalid) as invalid:
                await client.handover_cosign("n1sas", "junk")
            assert invalid.value.code == "key_invalid"

    play(scene)


def test_preflight_and_modes(played: Played) -> None:
    def obey(command: Any) -> dict[str, Any]:
        check = {"name": "margin", "status": "failed", "code": "margin_negative"}
        return {
            "ok": False,
            "mode": command.mode.text,
            "address": "n0sas",
            "instance": NEW,
            "live_others": 2,
            "q": 3,
            "margin": -1,
            "checks": [{**check, "message": "too few", "hint": None}],
        }

    async def scene() -> None:
        played.obey = obey
        async with copy() as client:
            found = await client.handover_preflight("takeover")
            assert (found.ok, found.mode, found.checks[0].code) == (
                *(False, "takeover", "margin_negative"),
            )
            with pytest.raises(Invalid):
                await client.handover_preflight("sudden")
            with pytest.raises(Invalid):
                await client.handover_start(mode="")

    play(scene)


def test_no_key_no_handover_and_nobody_there(played: Played) -> None:
    async def scene() -> None:
        chain = FakeChain(ports=loopback_ports(4))
        async with served(FakeNode(chain)):
            for sign in (None, "env:TEST_STRANGER"):
                async with Client(chain.target(), sign=sign) as client:
                    with pytest.raises(Refused) as refused:
                        await client.handover_start()
                    assert refused.value.code == "not_authorised"
        assert played.commands == []
        async with client_of(chain) as client:
            with pytest.raises(Unreachable):
                await client.handover_start()

    play(scene)


def test_the_sync_client_has_the_same_calls(played: Played) -> None:
    async def scene() -> None:
        chain = FakeChain(ports=loopback_ports(4))
        played.session = done()
        played.obey = lambda command: played.body()

        def work() -> None:
            with SyncClient(chain.target(), sign="env:TEST_IDENTITY") as client:
                assert client.handover_start(reason="x").outcome == "done"
                assert client.handover_handback().outcome == "done"
                found = client.handover_status()
                assert found is not None
                assert client.handover_history() == ()
                with pytest.raises(Refused):
                    client.handover_cancel()

        async with served(FakeNode(chain)):
            await asyncio.to_thread(work)

    play(scene)
