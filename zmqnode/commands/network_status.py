"""What the nodes of a local network say of themselves, asked all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from zmqnode.client import Client, NodeInfo
from zmqnode.commands.local_network import LocalNetwork, Member
from zmqnode.errors import ZmqnodeError

ASK_MS: Final = 1_500
ACTIVE: Final = "CONSENSUS"
WAITING: Final = ("SYNCING", "HANDOVER")

T = TypeVar("T")


async def ask_each(
    nodes: Sequence[Member], ask: Callable[[Client], Awaitable[T]], timeout_ms: int = ASK_MS
) -> list[T | ZmqnodeError]:
    """The answer of every node, or why there is none."""

    async def one(node: Member) -> T | ZmqnodeError:
        try:
            async with Client(str(node.folder), timeout_ms=timeout_ms) as client:
                return await ask(client)
        except ZmqnodeError as error:
            return error

    return list(await asyncio.gather(*(one(node) for node in nodes)))


async def infos(nodes: Sequence[Member], timeout_ms: int | None = None) -> list[NodeInfo | None]:
    """NodeInfo of every node; None: no process, or no answer."""
    running = [node for node in nodes if node.pid is not None]
    answers = await ask_each(running, lambda client: client.info(), timeout_ms or ASK_MS)
    found = {
        node.name: answer
        for node, answer in zip(running, answers, strict=True)
        if isinstance(answer, NodeInfo)
    }
    return [found.get(node.name) for node in nodes]


def settled(nodes: Sequence[Member], answers: Iterable[NodeInfo | None]) -> bool:
    """Whether every address votes at height 1 or more, and all other copies follow.

    Two copies of an address that both say they vote: one was away, and has not heard of it yet.
    """
    voting: dict[str, bool] = {}
    for node, info in zip(nodes, answers, strict=True):
        if info is None:
            return False
        voting.setdefault(node.address, False)
        if info.role == "active":
            if info.state != ACTIVE or info.height < 1 or voting[node.address]:
                return False
            voting[node.address] = True
        elif info.state not in WAITING:
            return False
    return all(voting.values())


def answer(
    network: LocalNetwork,
    nodes: Sequence[Member],
    answers: Iterable[NodeInfo | None],
    seconds: float,
) -> dict[str, Any]:
    """The answer of all testnet commands."""
    rows = []
    genesis = None
    for node, info in zip(nodes, answers, strict=True):
        rows.append(_row(network, node, info))
        genesis = genesis or (info.genesis_hash if info is not None else None)
    return {
        "dir": str(network.folder),
        "network_id": network.network_id,
        "app": network.app,
        "genesis_hash": genesis or genesis_hash(network),
        "seconds": round(seconds, 3),
        "nodes": rows,
    }


def _row(network: LocalNetwork, node: Member, info: NodeInfo | None) -> dict[str, Any]:
    pid = node.pid
    state = info.state if info is not None else None if pid is not None else "STOPPED"
    key = network.identity(node)
    return {
        "name": node.name,
        "address": node.address,
        "dir": str(node.folder),
        "url": node.url,
        "target": node.url.replace("tcp://", f"tcp://{key}@", 1),
        "pid": pid,
        "state": state,
        "role": None if info is None else info.role,
        "epoch": None if info is None else info.epoch,
        "height": None if info is None else info.height,
        "block_hash": None if info is None else info.block_hash,
    }


def genesis_hash(network: LocalNetwork) -> str:
    """The hash of block 0, worked out from the genesis file."""
    from zmqnode.commands.asking import app_of
    from zmqnode.config import Config
    from zmqnode.config.genesis import load_genesis
    from zmqnode.runtime.ledger import founding_of

    app = app_of(Config.load(network.nodes[0].folder))
    return founding_of(load_genesis(network.genesis), app).hash.hex()
