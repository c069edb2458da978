"""Four real nodes in one process: real sockets, real disk, free ports of this machine."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.ports import free_ports
from zmqnode.base.genesis import Genesis, sign_entry
from zmqnode.base.keys import Address, PrivateKey
from zmqnode.base.params import Params
from zmqnode.config import Config
from zmqnode.config.genesis import genesis_text
from zmqnode.config.node import node_text
from zmqnode.config.secret import write_secret_file
from zmqnode.runtime.folder import make_instance_key

NETWORK = "runtime-tests"


def lay_out(folder: Path, nodes: int = 4, params: Params | None = None) -> list[Path]:
    """Folders of a fresh network, ready for Node."""
    base = free_ports(nodes + 1)  # Room for a standby after the last.
    entries, folders = [], []
    for index in range(nodes):
        home = folder / f"n{index}"
        home.mkdir(parents=True)
        folders.append(home)
        key = PrivateKey(os.urandom(32))
        write_secret_file(home / "node.key", key.text())
        url = f"tcp://127.0.0.1:{base + 3 * index}"
        address = Address(f"n{index}sas")
        instance = make_instance_key(home).public
        entries.append(
            sign_entry(address=address, instance=instance, url=url, network_id=NETWORK, key=key)
        )
        values = {
            "address": address,
            "network-id": NETWORK,
            "privatekey": "file:node.key",
            "network.url": url,
            "genesis": "../genesis.yml",
        }
        (home / "node.yml").write_text(node_text(values))
    genesis = Genesis(
        network_id=NETWORK,
        app="kv",
        app_version=1,
        params=params or Params(empty_block_interval_ms=50),
        entries=tuple(entries),
    )
    (folder / "genesis.yml").write_text(genesis_text(genesis))
    return folders


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition; a deadline, not a sleep."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        assert loop.time() < end, "not in time"
        await asyncio.sleep(0.01)


def standby_of(member: Path, home: Path, place: int) -> Path:
    """The folder of another copy of a member, with the ports of a ``place`` in the row of nodes."""
    home.mkdir()
    shutil.copy(member / "node.key", home / "node.key")
    text = (member / "node.yml").read_text()
    index = int(member.name.removeprefix("n"))
    port = Config.load(member).url.port
    (home / "node.yml").write_text(text.replace(f":{port}", f":{port + 3 * (place - index)}"))
    return home
