"""Starting the processes of a local network, and waiting until they are what was asked for."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from zmqnode.commands import local_network, network_status
from zmqnode.errors import TimedOut

if TYPE_CHECKING:
    from zmqnode.client import NodeInfo
    from zmqnode.commands.guide import Say
    from zmqnode.commands.local_network import LocalNetwork, Member

POLL_S: Final = 0.05


def start(
    network: LocalNetwork, nodes: Sequence[Member], timeout_ms: int, say: Say, *, settled: bool
) -> None:
    """Start nodes and wait until they answer, or until the whole network votes.

    Args:
        say: told how it goes, whenever that changes.
        settled: every address must vote; else nothing of what was begun is left running.
    Raises:
        TimedOut: they do not in time.
        ZmqnodeError: what a process said when it ended.
    """
    started = [(node, process) for node in nodes if (process := local_network.start(node))]
    try:
        asyncio.run(_answering(network, nodes, started, timeout_ms, say, settled=settled))
    except BaseException:
        if settled:
            for _, process in started:
                process.kill()
                process.wait()
        raise


async def _answering(
    network: LocalNetwork,
    nodes: Sequence[Member],
    started: Sequence[tuple[Member, subprocess.Popen[bytes]]],
    timeout_ms: int,
    say: Say,
    *,
    settled: bool,
) -> None:
    end = time.monotonic() + timeout_ms / 1000
    asked = network.nodes if settled else nodes
    while True:
        for node, process in started:
            problem = local_network.ended(node, process)
            if problem is not None:
                raise problem
        answers = await network_status.infos(asked)
        if settled and network_status.settled(network.nodes, answers):
            return
        if not settled and all(info is not None for info in answers):
            return
        standing = ", ".join(
            f"{node.name} {_stands(info)}" for node, info in zip(asked, answers, strict=True)
        )
        if time.monotonic() >= end:
            text = f"the network is not up within {timeout_ms / 1000:g} s: {standing}"
            raise TimedOut("timeout", text, hint=f"see node.log under {network.folder}")
        say(f"starting: {standing}")
        await asyncio.sleep(POLL_S)


def _stands(info: NodeInfo | None) -> str:
    return info.state if info is not None else "silent"
