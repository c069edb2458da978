"""The scenes of the demo: the story of Mitum's page on real processes, under load throughout.

A votes, a second copy of it follows; the vote goes there and back, without a missed ballot; then A
dies and its copy takes over. In the end every acknowledged operation is looked for in the chain and
all chains are compared. A scene that fails does not hide what came before it: the story goes on to
the audit, and the table says which scene it was.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from zmqnode.client import Client
from zmqnode.client.auditing import verify_blocks
from zmqnode.commands import local_network, network_status
from zmqnode.commands.load import Load
from zmqnode.commands.local_network import LocalNetwork, Member
from zmqnode.config.genesis import load_genesis
from zmqnode.config.limits import TIMEOUT_LONG_MS
from zmqnode.errors import Refused, TimedOut, ZmqnodeError

if TYPE_CHECKING:
    from zmqnode.client import NodeInfo, Session

LOAD_S: Final = 3.0  # Undisturbed load.
SOME_S: Final = 1.0  # Load between two scenes.
FORWARDED: Final = 20  # Seals to the old copy alone.
REFRESH_S: Final = 0.25
POLL_S: Final = 0.05
TAKEOVER_MIN: Final = 3  # Members; with fewer nobody is left to agree.


@dataclass(slots=True, kw_only=True)
class Step:
    """One scene. What it has no number for is None; ``error`` is what ended it."""

    name: str
    ok: bool = False
    seconds: float = 0.0
    missed_ballots: int | None = None
    extra_rounds: int | None = None
    lost_operations: int = 0
    epoch_before: int | None = None
    epoch_after: int | None = None
    error: str | None = None

    def json(self) -> dict[str, Any]:
        """The row of the answer."""
        return {
            "name": self.name,
            "ok": self.ok,
            "seconds": round(self.seconds, 3),
            "missed_ballots": self.missed_ballots,
            "extra_rounds": self.extra_rounds,
            "lost_operations": self.lost_operations,
            "epoch_before": self.epoch_before,
            "epoch_after": self.epoch_after,
            "error": self.error,
        }


@dataclass(slots=True, kw_only=True)
class Show:
    """The demo as far as it is played."""

    network: LocalNetwork
    load: Load
    began: float = field(default_factory=time.monotonic)
    steps: list[Step] = field(default_factory=list)
    infos: Sequence[NodeInfo | None] = ()
    session: Session | None = None
    height: int = 0
    forks: int = 0

    @property
    def first(self) -> Member:
        """A: the copy that votes when the story begins."""
        return self.network.nodes[0]

    @property
    def second(self) -> Member:
        """A-sub: the other copy of the same address."""
        return self.network.nodes[-1]

    @property
    def members(self) -> int:
        """Addresses in the suffrage."""
        return len({node.address for node in self.network.nodes})

    @property
    def ok(self) -> bool:
        """Whether every scene went as it should."""
        return self.forks == 0 and self.load.report.ok and all(step.ok for step in self.steps)

    def json(self) -> dict[str, Any]:
        """The answer of ``demo``."""
        report = self.load.report
        return {
            "ok": self.ok,
            "network_id": self.network.network_id,
            "nodes": self.members,
            "seconds": round(time.monotonic() - self.began, 3),
            "height": self.height,
            "operations": {
                "sent": report.sent,
                "committed": report.committed,
                "rejected": report.rejected,
                "lost": report.lost,
                "doubled": report.doubled,
            },
            "forks": self.forks,
            "steps": [step.json() for step in self.steps],
        }


Scene = Callable[[Show, Step], Awaitable[bool]]


async def play(show: Show, refresh: Callable[[], None]) -> None:
    """Play it all; ``refresh`` is called whenever there is something new to see."""
    watching = asyncio.create_task(_watch(show, refresh))
    try:
        await _step(show, "up", _up)
        loading = asyncio.create_task(show.load.run())
        try:
            for name, scene in SCENES.items():
                await _step(show, name, scene)
                if loading.done() or not show.steps[-1].ok:
                    break
        finally:
            show.load.stopping = True
            if sys.exc_info()[0] is not None:
                loading.cancel()
        await loading
        await _step(show, "verify", _verify)
        for step in show.steps:
            step.lost_operations = show.load.lost_of.get(step.name, 0)
            step.ok = step.ok and step.lost_operations == 0
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _step(show: Show, name: str, scene: Scene) -> None:
    """Play one scene; what it raises is told in its row. Without a network there is no story."""
    step = Step(name=name)
    show.steps.append(step)
    show.load.label = name
    began = time.monotonic()
    try:
        step.ok = await scene(show, step)
    except ZmqnodeError as error:
        if name == "up":
            raise
        step.error = f"{error.message} [{error.code}]"
    finally:
        step.seconds = time.monotonic() - began


async def _watch(show: Show, refresh: Callable[[], None]) -> None:
    while True:
        show.infos = await network_status.infos(show.network.nodes)
        show.height = max([show.height, *(one.height for one in show.infos if one is not None)])
        refresh()
        await asyncio.sleep(REFRESH_S)


# The scenes.


async def _up(show: Show, step: Step) -> bool:
    """All members vote, and the second copy of the first one follows."""
    processes = [(node, local_network.start(node)) for node in show.network.nodes]

    def problem() -> ZmqnodeError | None:
        found = (
            local_network.ended(node, process) for node, process in processes if process is not None
        )
        return next((one for one in found if one is not None), None)

    await _until(show, lambda infos: network_status.settled(show.network.nodes, infos), problem)
    async with Client(str(show.first.folder)) as first:
        height = (await first.info()).height
    async with Client(str(show.second.folder)) as second:
        await second.wait_height(height)
        await second.wait_synced()
    return True


async def _load(show: Show, step: Step) -> bool:
    await asyncio.sleep(LOAD_S)
    return show.load.report.committed > 0


async def _planned(show: Show, step: Step) -> bool:
    """The running copy hands its vote to the other one."""
    async with Client(str(show.second.folder)) as client:
        session = await client.handover_start(
            reason="demo", accept_halt_risk=show.members < TAKEOVER_MIN, on_change=_seen(show)
        )
    _count(step, session)
    await asyncio.sleep(SOME_S)
    return await _votes(show, show.second, show.first)


async def _forward(show: Show, step: Step) -> bool:
    """Seals that reach only the copy that votes no more are committed all the same."""
    await show.load.send_alone(str(show.first.folder), FORWARDED)
    return True


async def _handback(show: Show, step: Step) -> bool:
    """And back: asked of the copy that votes now."""
    async with Client(str(show.second.folder)) as client:
        session = await client.handover_handback(
            reason="demo", accept_halt_risk=show.members < TAKEOVER_MIN, on_change=_seen(show)
        )
    _count(step, session)
    await asyncio.sleep(SOME_S)
    return await _votes(show, show.first, show.second)


async def _kill(show: Show, step: Step) -> bool:
    """SIGKILL the copy that votes; from three members on the others go on without it."""
    node = show.first
    pid = node.pid
    local_network.send(node, "KILL")
    if pid is not None:
        await asyncio.to_thread(local_network.await_end, pid, 5.0)
    if show.members < TAKEOVER_MIN:
        await asyncio.sleep(SOME_S)
        return True
    async with Client(str(show.second.folder)) as client:
        await client.wait_height((await client.info()).height + 2)
    return True


async def _takeover(show: Show, step: Step) -> bool:
    """The second copy takes the dead one's vote, which comes back as a standby."""
    try:
        async with Client(str(show.second.folder)) as client:
            session = await client.handover_start(
                mode="takeover", reason="demo", on_change=_seen(show)
            )
    except Refused as error:
        if show.members >= TAKEOVER_MIN or error.code != "no_quorum":
            raise
        # With one or two members nobody is left who could agree: the dead one is started again.
        local_network.start(show.first)
        await _until(show, lambda infos: network_status.settled(show.network.nodes, infos))
        return True
    _count(step, session)
    local_network.start(show.first)
    await _until(show, lambda infos: network_status.settled(show.network.nodes, infos))
    await asyncio.sleep(SOME_S)
    return await _votes(show, show.second, show.first)


async def _verify(show: Show, step: Step) -> bool:
    """Every acknowledged operation is in the chain once; all nodes have one and the same chain."""
    genesis = load_genesis(show.network.genesis)
    chains: dict[int, set[str]] = {}
    verified = True
    for node in show.network.nodes:
        async with Client(str(node.folder)) as client:
            for header in await client.blocks(0):
                chains.setdefault(header.height, set()).add(header.block_hash)
            verified = (await verify_blocks(client, genesis=genesis)).ok and verified
    show.forks = sum(1 for hashes in chains.values() if len(hashes) > 1)
    show.height = max(chains, default=0)
    return verified and show.forks == 0


SCENES: Final[dict[str, Scene]] = {
    "load": _load,
    "planned": _planned,
    "forward": _forward,
    "handback": _handback,
    "kill": _kill,
    "takeover": _takeover,
}


# What the scenes share.


def _seen(show: Show) -> Callable[[Session], None]:
    def seen(session: Session) -> None:
        show.session = session

    return seen


def _count(step: Step, session: Session) -> None:
    step.missed_ballots = session.missed_ballots
    step.extra_rounds = session.extra_rounds
    step.epoch_before = session.epoch_before
    step.epoch_after = session.epoch_after


async def _votes(show: Show, active: Member, standby: Member) -> bool:
    """As on Mitum's page: it is over when one shows CONSENSUS and the other SYNCING."""

    def over(infos: Sequence[NodeInfo | None]) -> bool:
        found = dict(zip([node.name for node in show.network.nodes], infos, strict=True))
        one, other = found[active.name], found[standby.name]
        return (
            one is not None
            and other is not None
            and (one.role, one.state, other.state) == ("active", "CONSENSUS", "SYNCING")
        )

    await _until(show, over)
    return True


async def _until(
    show: Show,
    done: Callable[[Sequence[NodeInfo | None]], bool],
    problem: Callable[[], ZmqnodeError | None] = lambda: None,
) -> None:
    end = time.monotonic() + TIMEOUT_LONG_MS / 1000
    while not done(infos := await network_status.infos(show.network.nodes)):
        found = problem()
        if found is not None:
            raise found
        if time.monotonic() >= end:
            states = [
                f"{node.name} {info.state if info is not None else 'silent'}"
                for node, info in zip(show.network.nodes, infos, strict=True)
            ]
            text = f"not in {TIMEOUT_LONG_MS // 1000} s: {', '.join(states)}"
            raise TimedOut("timeout", text, hint="is the machine busy?")
        await asyncio.sleep(POLL_S)
