"""A spent instance key is replaced: on disk step by step, and in a running node."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.runtime.local import lay_out, standby_of, until
from zmqnode import Client
from zmqnode.base.ballot import accept_fact, sign_ballot
from zmqnode.base.exchange import NodeState
from zmqnode.base.hashes import sha256
from zmqnode.base.keys import Address, PrivateKey, public_text
from zmqnode.base.point import Point
from zmqnode.base.signing import Domain, Signer
from zmqnode.core.records import BallotSigned, ExecutionBegun
from zmqnode.runtime import Node
from zmqnode.runtime.folder import (
    INSTANCE_FILE,
    NEXT_BINDING_FILE,
    NEXT_INSTANCE_FILE,
    DataFolder,
    is_bound,
    make_instance_key,
    replacing_steps,
)
from zmqnode.runtime.notebook import Notebook

STEPS = 4


@pytest.mark.parametrize("done", range(STEPS + 1))
def test_a_crash_between_the_steps_leaves_one_bound_key(tmp_path: Path, done: int) -> None:
    """Goal: whenever the power goes, the next start has one key, bound, and goes on."""
    old, new = make_instance_key(tmp_path), PrivateKey(os.urandom(32))
    steps = replacing_steps(tmp_path, new)
    for _ in range(done):
        next(steps)
    folder = DataFolder(tmp_path)
    try:
        named = done >= 3  # The third step gives the new key its name.
        assert folder.instance.public == (new if named else old).public
        assert folder.bound
        left = {path.name for path in tmp_path.iterdir()}
        assert not left & {NEXT_INSTANCE_FILE, NEXT_BINDING_FILE}
        assert (tmp_path / INSTANCE_FILE).stat().st_mode & 0o777 == 0o600
        again = folder.replace_instance()
    finally:
        folder.close()
    assert is_bound(tmp_path)
    reopened = DataFolder(tmp_path)
    reopened.close()
    assert reopened.instance.public == again.public and reopened.bound


@pytest.mark.parametrize("done", range(STEPS + 1))
def test_a_copy_made_in_the_middle_is_noticed(tmp_path: Path, done: int) -> None:
    """Goal: the binding that waits for its name binds no copied key either."""
    folder, copy = tmp_path / "folder", tmp_path / "copy"
    make_instance_key(folder)
    steps = replacing_steps(folder, PrivateKey(os.urandom(32)))
    for _ in range(done):
        next(steps)
    shutil.copytree(folder, copy)
    opened = DataFolder(copy)
    opened.close()
    assert not opened.bound


def test_the_binding_of_a_deleted_key_binds_no_file_that_got_its_inode(tmp_path: Path) -> None:
    """Goal: a copy made in the middle is noticed whatever inode its key gets.

    Method: the inode of one key, and another key in the very same file.
    """
    make_instance_key(tmp_path)
    assert is_bound(tmp_path)
    file = tmp_path / INSTANCE_FILE
    inode = file.stat().st_ino
    file.write_text(PrivateKey(os.urandom(32)).text())
    assert file.stat().st_ino == inode
    assert not is_bound(tmp_path)


def test_the_journal_tells_a_new_instance_nothing_of_the_old(tmp_path: Path) -> None:
    """Goal: ballots and watermark of a deleted key bind nobody; what is about the chain stays."""
    domain = Domain(network_id="net", genesis=sha256(b"genesis"))
    old, new = (Signer(PrivateKey(bytes([n]) * 32), domain) for n in (1, 2))
    fact = accept_fact(Point(height=7, round=0), sha256(b"value"), sha256(b"block"))
    ballot = sign_ballot(fact, Address("n0sas"), 0, old)
    begun = ExecutionBegun(height=7, round=0, value=sha256(b"value"))
    notebook = Notebook(tmp_path / "journal")
    notebook.append(BallotSigned(ballot=ballot))
    notebook.append(begun)
    notebook.close()
    notebook = Notebook(tmp_path / "journal")
    try:
        records, newest = notebook.recovered(5, old.public)
        assert records == (BallotSigned(ballot=ballot), begun) and newest == ballot
        assert notebook.recovered(5, new.public) == ((begun,), None)
    finally:
        notebook.close()


@asynccontextmanager
async def network_with_standby(folder: Path) -> AsyncIterator[list[Node]]:
    """Four nodes and a standby of the first, all at the tip."""
    folders = lay_out(folder)
    folders.append(standby_of(folders[0], folder / "n0b", 4))
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(Node(one)) for one in folders]
        await until(lambda: all(node.standing.peers_up == 4 for node in nodes))
        await until(lambda: nodes[-1].standing.tip >= 3)
        yield nodes


def test_a_running_node_goes_on_with_another_key(tmp_path: Path) -> None:
    """Goal: clients and their waits stay, peers meet the new instance, nobody else notices."""

    async def scene() -> None:
        async with network_with_standby(tmp_path) as nodes:
            standby = nodes[-1]
            before = standby.standing.signer.public
            async with Client(standby.target) as client:
                assert (await client.info()).instance == public_text(before)
                wanted = standby.standing.tip + 60
                assert standby.driver is not None and standby.driver.machine.kernel is not None
                timing = standby.driver.machine.kernel.timing
                waiting = asyncio.ensure_future(client.wait_height(wanted, timeout_ms=20_000))
                await until(lambda: len(standby.queries.waiters) == 1)
                standby._replace_key()
                assert (await client.info()).instance != public_text(before)
                assert (await waiting).height >= wanted
            own = standby.standing.signer.public
            assert own != before
            await until(lambda: all(node.standing.peers_up == 4 for node in nodes))
            seen = [{peer.instance for peer in node.standing.peers()} for node in nodes[:-1]]
            assert all(own in one and before not in one for one in seen)
            assert standby.standing.state is NodeState.SYNCING
            tip = standby.standing.tip
            await until(lambda: standby.standing.tip > tip + 2)
            assert standby.driver is not None
            kernel = standby.driver.machine.kernel
            assert kernel is not None and kernel.own == own
            assert kernel.timing is timing  # The network is the same.
            assert all(node.standing.state is NodeState.CONSENSUS for node in nodes[:-1])
        reopened = DataFolder(standby.config.data)
        reopened.close()
        assert reopened.instance.public == own and reopened.bound

    asyncio.run(scene())


def test_seals_that_wait_are_carried_over(tmp_path: Path) -> None:
    """Goal: what a client was told is kept is still there, and gets into a block."""

    async def scene() -> None:
        async with network_with_standby(tmp_path) as nodes:
            standby, key = nodes[-1], PrivateKey(os.urandom(32))
            async with Client(standby.target, sign=key.text(), copies=1) as client:
                # Nobody else hears of it: only the pool of the standby has it.
                network = standby._network
                assert network is not None and standby.driver is not None
                urls = tuple(node.config.url.url for node in nodes[:-1])
                network.cut(urls, urls)
                asking = asyncio.ensure_future(client.submit(("put", {"key": "a", "value": b"1"})))
                kernel = standby.driver.machine.kernel
                assert kernel is not None
                await until(lambda: len(kernel.pool) == 1)
                standby._replace_key()
                await until(lambda: standby.standing.pool.seals == 1)
                network.cut((), ())
                assert (await asking).ok

    asyncio.run(scene())
