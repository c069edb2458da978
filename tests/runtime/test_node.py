"""Nodes on real sockets and disk, several in one process."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.fake_node import FakeChain
from tests.runtime.local import lay_out, until
from zmqnode.base.exchange import NodeState
from zmqnode.base.suffrage import Suffrage
from zmqnode.client import Client
from zmqnode.config import Config
from zmqnode.errors import Invalid, Refused, Unreachable
from zmqnode.network.pressure import machine_bytes
from zmqnode.runtime import Node
from zmqnode.runtime.assembly import door_memory_bytes_max
from zmqnode.runtime.dialling import Dialling
from zmqnode.runtime.folder import DataFolder, bind
from zmqnode.runtime.notebook import Notebook
from zmqnode.storage.segments import HEADER_BYTES


def test_four_nodes_agree_and_resume(tmp_path: Path) -> None:
    """Goal: one chain, and the same one after all four went and came back."""

    async def scene() -> None:
        folders = lay_out(tmp_path)
        first = await _live(folders, 3)
        again = await _live(folders, first + 3)
        assert again >= first + 3

    asyncio.run(scene())


async def _live(folders: list[Path], height: int) -> int:
    nodes = [Node(folder) for folder in folders]
    for node in nodes:
        await node.__aenter__()
    try:
        await until(lambda: all(node.standing.tip >= height for node in nodes))
        least = min(node.standing.tip for node in nodes)
        hashes = {node.ledger.store.block_hash(least) for node in nodes}
        assert len(hashes) == 1
        assert all(node.standing.state is NodeState.CONSENSUS for node in nodes)
        return least
    finally:
        for node in nodes:
            await node.__aexit__(None, None, None)
        assert [await node.stopped() for node in nodes] == [0] * len(nodes)


def test_a_node_that_was_away_catches_up(tmp_path: Path) -> None:
    """Goal: three go on without the fourth; it comes back with an old disk and votes again."""

    async def scene() -> None:
        folders = lay_out(tmp_path)
        nodes = [Node(folder) for folder in folders[:3]]
        for node in nodes:
            await node.__aenter__()
        await until(lambda: min(node.standing.tip for node in nodes) >= 5)
        async with Node(folders[3]) as late:
            await until(lambda: late.standing.state is NodeState.CONSENSUS)
            tip = late.standing.tip
            assert tip >= 5
            await until(lambda: late.standing.tip > tip + 2)
            ballot = late.standing.last_ballot
            assert ballot is not None and ballot.fact.height > 5
        for node in nodes:
            await node.__aexit__(None, None, None)

    asyncio.run(scene())


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """Goal: two processes (or nodes) never share a data folder."""

    async def scene() -> None:
        folders = lay_out(tmp_path, nodes=1)
        async with Node(folders[0]):
            with pytest.raises(Refused) as caught:
                async with Node(folders[0]):
                    pass
            assert caught.value.code == "folder_in_use"

    asyncio.run(scene())


def test_a_port_in_use_is_refused_and_the_folder_is_let_go(tmp_path: Path) -> None:
    """Goal: one clear error; nothing stays locked."""

    async def scene() -> None:
        folders = lay_out(tmp_path, nodes=1)
        text = (folders[0] / "node.yml").read_text()
        other = tmp_path / "other"
        other.mkdir()
        shutil.copy(folders[0] / "node.key", other / "node.key")
        (other / "node.yml").write_text(text)
        async with Node(folders[0]):
            with pytest.raises(Refused) as caught:
                async with Node(other):
                    pass
            assert caught.value.code == "address_in_use"
        async with Node(other) as standby:
            await until(lambda: standby.standing.state is NodeState.SYNCING)

    asyncio.run(scene())


def test_a_single_node_is_a_network(tmp_path: Path) -> None:
    """Goal: n = 1 commits by itself."""

    async def scene() -> None:
        async with Node(lay_out(tmp_path, nodes=1)[0]) as node:
            await until(lambda: node.standing.tip >= 5)

    asyncio.run(scene())


def test_a_node_short_of_memory_closes_its_door_and_votes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: the bound is switched on. Method: one that every process is over."""

    async def scene() -> None:
        folder = lay_out(tmp_path, nodes=1)[0]
        monkeypatch.setattr("zmqnode.runtime.node.door_memory_bytes_max", lambda: 1)
        async with Node(folder) as node:
            await until(lambda: node._door.closed_because == "memory")
            async with Client(str(folder)) as client:
                with pytest.raises(Unreachable):
                    await client.info()
            tip = node.standing.tip
            await until(lambda: node.standing.tip > tip + 1)
        monkeypatch.undo()
        async with Node(folder) as node, Client(str(folder)) as client:
            assert (await client.info()).address == "n0sas"

    asyncio.run(scene())


@pytest.mark.parametrize(("machine_mib", "bound_mib"), [(64 * 1024, 16 * 1024), (1024, 512)])
def test_the_door_may_hold_a_share_of_the_machine(
    machine_mib: int, bound_mib: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 2**28 < machine_bytes() < 2**50
    monkeypatch.setattr("zmqnode.runtime.assembly.machine_bytes", lambda: machine_mib << 20)
    assert door_memory_bytes_max() == bound_mib << 20


def test_who_a_new_suffrage_names_is_dialled_and_kept() -> None:
    """Goal: the copy that got the vote is found, and a hint that is no url harms nobody."""
    chain = FakeChain()
    network = Dialled()
    ledger = SimpleNamespace(
        suffrages=chain.suffrages, height=0, suffrage=lambda height: chain.suffrage_at(height)
    )
    dialling = Dialling(network, ledger, "tcp://127.0.0.1:4000")  # type: ignore[arg-type]
    first = {(f"n{i}sas", f"tcp://127.0.0.1:{4000 + 3 * i}") for i in (1, 2, 3)}
    assert network.kept == network.connected == first
    moved = [replace(one, url="tcp://h:1") for one in chain.suffrage.members]
    moved[3] = replace(moved[3], url="nonsense")
    chain.suffrages.append((9, Suffrage(members=tuple(moved))))
    ledger.height = 7
    dialling.look()
    added = {(f"n{i}sas", "tcp://h:1") for i in (0, 1, 2)}
    assert network.kept == first | added, "who votes until 9 is still needed"
    assert network.connected == first | added
    network.connected.clear()
    dialling.look()
    assert network.connected == set(), "nothing new, nothing done"


class Dialled:
    """What a network was told."""

    def __init__(self) -> None:
        self.kept: set[tuple[str, str]] = set()
        self.connected: set[tuple[str, str]] = set()

    def keep(self, places: Iterable[tuple[str, str]]) -> None:
        self.kept = set(places)

    def connect(self, address: str, url: str) -> None:
        self.connected.add((address, url))


def test_a_copied_folder_signs_nothing_until_it_is_adopted(tmp_path: Path) -> None:
    """Goal: a copy is noticed (BROKEN, both ways on named); ``bind`` is what adopting does."""

    async def scene() -> None:
        folder = lay_out(tmp_path, nodes=1)[0]
        async with Node(folder) as node:
            await until(lambda: node.standing.tip >= 2)
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        async with Node(copy) as node:
            await until(lambda: node.standing.state is NodeState.BROKEN)
            trouble = node.standing.broken
            assert trouble is not None and "node adopt" in trouble.way_out
            last = node.standing.last_ballot
            await asyncio.sleep(0.3)
            assert node.standing.last_ballot == last
            node.stop()
            assert await node.stopped() == 10
        bind(copy)
        async with Node(copy) as node:
            tip = node.standing.tip
            await until(lambda: node.standing.tip > tip + 1)

    asyncio.run(scene())


@pytest.mark.parametrize("how", ["missing", "empty", "no segment", "no record"])
def test_a_folder_without_its_journal_signs_nothing_more(tmp_path: Path, how: str) -> None:
    """Goal: forgotten votes are never given again. Method: a real folder, its journal taken away.

    It says so at every start, also when the journal that the first one made is there.
    """

    async def scene() -> None:
        folder = lay_out(tmp_path, nodes=1)[0]
        async with Node(folder) as node:
            await until(lambda: node.standing.tip >= 2)
        journal = folder / "journal"
        segments = sorted(journal.glob("*.journal"))
        if how == "missing":
            shutil.rmtree(journal)
        elif how == "no record":
            for path in segments:
                size = path.stat().st_size
                os.truncate(path, HEADER_BYTES)
                os.truncate(path, size)
        else:
            for path in journal.iterdir() if how == "empty" else segments:
                path.unlink()
        for _ in range(2):
            async with Node(folder) as node:
                await until(lambda: node.standing.state is NodeState.BROKEN)
                trouble = node.standing.broken
                assert trouble is not None and "vote journal" in trouble.cause
                assert "standby" in trouble.way_out
                tip = node.standing.tip
                await asyncio.sleep(0.3)
                assert (node.standing.tip, node.standing.last_ballot) == (tip, None)
                node.stop()
                assert await node.stopped() == 10

    asyncio.run(scene())


def test_a_start_that_died_before_it_made_the_store_is_no_loss(tmp_path: Path) -> None:
    """Goal: no false alarm. Method: what is there after each step of the first start."""

    async def scene() -> None:
        folder = lay_out(tmp_path, nodes=1)[0]
        opened = DataFolder(folder)
        assert not opened.votes_lost
        opened.close()
        Notebook(folder / "journal").close()
        for _ in range(2):
            async with Node(folder) as node:
                await until(lambda: node.standing.tip >= 2)
        assert not (folder / "votes.lost").exists()

    asyncio.run(scene())


def test_a_loss_is_of_the_instance_that_voted(tmp_path: Path) -> None:
    """Goal: a spent key's lost votes do not bind its successor."""
    folder = lay_out(tmp_path, nodes=1)[0]
    (folder / "store").mkdir()
    opened = DataFolder(folder)
    assert opened.votes_lost
    opened.replace_instance()
    opened.close()
    (folder / "store").rmdir()
    again = DataFolder(folder)
    assert not again.votes_lost
    again.close()


def test_a_missing_instance_key_is_never_made_again(tmp_path: Path) -> None:
    """Goal: a folder with a chain but without its key must not become a second voter."""

    async def scene() -> None:
        folder = lay_out(tmp_path, nodes=1)[0]
        async with Node(folder) as node:
            await until(lambda: node.standing.tip >= 1)
        (folder / "instance.key").unlink()
        with pytest.raises(Invalid) as caught:
            async with Node(folder):
                pass
        assert caught.value.code == "key_invalid"

    asyncio.run(scene())


def test_a_standby_follows_the_chain_and_signs_nothing(tmp_path: Path) -> None:
    """Goal: a second copy of an address looks on live (SYNCING); its instance never votes."""

    async def scene() -> None:
        folders = lay_out(tmp_path)
        standby = tmp_path / "n0b"
        standby.mkdir()
        shutil.copy(folders[0] / "node.key", standby / "node.key")
        text = (folders[0] / "node.yml").read_text()
        port = Config.load(folders[0]).url.port
        (standby / "node.yml").write_text(text.replace(f":{port}", f":{port + 12}"))
        nodes = [Node(folder) for folder in [*folders, standby]]
        for node in nodes:
            await node.__aenter__()
        copy = nodes[-1].standing
        await until(lambda: copy.tip >= 10)
        tip = nodes[0].standing.tip
        await until(lambda: copy.tip > tip)
        assert copy.state is NodeState.SYNCING and copy.last_ballot is None
        assert copy.peers_up == 4
        for node in nodes:
            await node.__aexit__(None, None, None)

    asyncio.run(scene())
