"""``zmqnode demo``: a local network under load, a node killed and back, and nothing lost.

Every step is played on real processes; the load goes on through all of them, and in the end every
acknowledged operation is looked for in the chain and every node's chain is compared.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from zmqnode.commands import deadline, local_network, network_status, terminal
from zmqnode.commands.load import Load, Plan
from zmqnode.commands.local_network import LocalNetwork
from zmqnode.commands.options import JsonOption, TimeoutOption
from zmqnode.config.limits import TIMEOUT_LONG_MS
from zmqnode.errors import TimedOut

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from zmqnode.client import NodeInfo

app = typer.Typer()

LOAD_S: Final = 4.0  # Undisturbed load.
DEAD_S: Final = 2.0  # How long the killed node stays away.
LOAD_MAX_S: Final = 600.0  # The load ends with the demo, long before.
REFRESH_S: Final = 0.25


@dataclass(slots=True, kw_only=True)
class Step:
    """One step of the demo. What a step has no number for is None."""

    name: str
    ok: bool = False
    seconds: float = 0.0
    missed_ballots: int | None = None
    extra_rounds: int | None = None
    lost_operations: int = 0
    epoch_before: int | None = None
    epoch_after: int | None = None

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
        }


@dataclass(slots=True, kw_only=True)
class Show:
    """The demo as far as it is played."""

    network: LocalNetwork
    load: Load
    began: float = field(default_factory=time.monotonic)
    steps: list[Step] = field(default_factory=list)
    infos: Sequence[NodeInfo | None] = ()
    height: int = 0
    forks: int = 0

    @property
    def ok(self) -> bool:
        """Whether every step went as it should."""
        return self.forks == 0 and self.load.report.ok and all(step.ok for step in self.steps)

    def json(self) -> dict[str, Any]:
        """The answer of ``demo``."""
        report = self.load.report
        return {
            "ok": self.ok,
            "network_id": self.network.network_id,
            "nodes": len(self.network.nodes),
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


@app.command("demo")
def demo(
    nodes: Annotated[int, typer.Option("--nodes", min=1, max=local_network.NODES_MAX)] = 4,
    rate: Annotated[int, typer.Option("--rate", min=1, help="Operations a second.")] = 100,
    folder: Annotated[
        Path | None, typer.Option("--dir", metavar="D", help="Default: a temporary folder.")
    ] = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Play a local network under load: a node is killed and comes back; nothing is lost."""
    with _network(folder, nodes) as network:
        targets = [str(node.folder) for node in network.nodes]
        plan = Plan(
            rate=rate,
            seconds=LOAD_MAX_S,
            clients=min(4, rate),
            seal_ops=1,
            alone=False,
            drain_ms=TIMEOUT_LONG_MS,
        )
        show = Show(network=network, load=Load(targets, plan))
        with _panels(show, as_json=as_json) as refresh:
            deadline.playing(_play(show, refresh), timeout_ms, "the demo")
        terminal.show(show.json(), as_panel=closing_panel, as_json=as_json)


@contextmanager
def _network(folder: Path | None, nodes: int) -> Iterator[LocalNetwork]:
    """A network that is stopped in the end, also on Ctrl-C; a temporary one is removed."""
    with tempfile.TemporaryDirectory(prefix="zmqnode-demo-") as temporary:
        where = Path(temporary) / "testnet" if folder is None else folder
        network = local_network.make(where, nodes=nodes, base_port=None, app="kv", settings=[])
        try:
            yield network
        finally:
            local_network.stop(network.nodes, 5_000)


async def _play(show: Show, refresh: Callable[[], None]) -> None:
    watching = asyncio.create_task(_watch(show, refresh))
    try:
        await _step(show, "up", lambda: _up(show))
        loading = asyncio.create_task(show.load.run())
        try:
            await _step(show, "load", lambda: _load(show, loading))
            await _step(show, "kill", lambda: _kill(show, loading))
        finally:
            show.load.stopping = True
            if sys.exc_info()[0] is not None:
                loading.cancel()
        await _step(show, "verify", lambda: _verify(show, loading))
        for step in show.steps:
            step.lost_operations = show.load.lost_of.get(step.name, 0)
            step.ok = step.ok and step.lost_operations == 0
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _step(show: Show, name: str, play: Callable[[], Awaitable[bool]]) -> None:
    """Play one step; an error in it fails the step and ends the demo."""
    step = Step(name=name)
    show.steps.append(step)
    show.load.label = name
    began = time.monotonic()
    try:
        step.ok = await play()
    finally:
        step.seconds = time.monotonic() - began


async def _watch(show: Show, refresh: Callable[[], None]) -> None:
    while True:
        show.infos = await network_status.infos(show.network.nodes)
        show.height = max([show.height, *(one.height for one in show.infos if one is not None)])
        refresh()
        await asyncio.sleep(REFRESH_S)


async def _up(show: Show) -> bool:
    nodes = show.network.nodes
    processes = [(node, local_network.start(node)) for node in nodes]
    end = time.monotonic() + TIMEOUT_LONG_MS / 1000
    while not network_status.settled(nodes, await network_status.infos(nodes)):
        for node, process in processes:
            problem = None if process is None else local_network.ended(node, process)
            if problem is not None:
                raise problem
        if time.monotonic() >= end:
            raise TimedOut("timeout", "the network did not come up", hint="is the machine busy?")
        await asyncio.sleep(0.05)
    return True


async def _load(show: Show, loading: asyncio.Task[Any]) -> bool:
    await asyncio.wait([loading], timeout=LOAD_S)
    if loading.done():
        await loading
    return show.load.report.committed > 0


async def _kill(show: Show, loading: asyncio.Task[Any]) -> bool:
    """SIGKILL a node under load; it comes back by itself to where the others are."""
    node = show.network.nodes[-1]
    pid = node.pid
    local_network.send(node, "KILL")
    if pid is not None:
        await asyncio.to_thread(local_network.await_end, pid, 5.0)
    await asyncio.wait([loading], timeout=DEAD_S)
    local_network.start(node)
    await _until_settled(show)
    await asyncio.wait([loading], timeout=1.0)
    return True


async def _until_settled(show: Show) -> None:
    end = time.monotonic() + TIMEOUT_LONG_MS / 1000
    while not network_status.settled(
        show.network.nodes, await network_status.infos(show.network.nodes)
    ):
        if time.monotonic() >= end:
            raise TimedOut("timeout", "the killed node did not come back to CONSENSUS")
        await asyncio.sleep(0.05)


async def _verify(show: Show, loading: asyncio.Task[Any]) -> bool:
    """Every acknowledged operation is in the chain once; all nodes have one and the same chain."""
    from zmqnode.client import Client
    from zmqnode.client.auditing import verify_blocks
    from zmqnode.config.genesis import load_genesis

    await loading
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


# On the screen.


@contextmanager
def _panels(show: Show, *, as_json: bool) -> Iterator[Callable[[], None]]:
    """Live panels on a terminal; a line for each step elsewhere; nothing for JSON."""
    if not sys.stderr.isatty() or as_json:
        said: list[str] = []

        def note() -> None:
            names = [step.name for step in show.steps]
            for name in names[len(said) :]:
                said.append(name)
                if not as_json:
                    terminal.note(f"{name} ..")

        yield note
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, highlight=False)
    live: Live
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield lambda: live.update(live_panel(show), refresh=True)


def live_panel(show: Show) -> RenderableType:
    """The nodes, the load, the steps so far."""
    from rich.console import Group

    from zmqnode.commands import view

    rows: list[dict[str, Any]] = [
        {
            "node": node.name,
            "state": info.state if info is not None else "-",
            "height": info.height if info is not None else 0,
            "live": f"{info.suffrage.live}/{info.suffrage.n}" if info is not None else None,
            "pool": info.pool.seals if info is not None else 0,
        }
        for node, info in zip(show.network.nodes, show.infos or [None] * 99, strict=False)
    ]
    report = show.load.report
    grid = view.pairs()
    grid.add_row("step", view.text(" > ".join(step.name for step in show.steps)))
    grid.add_row("operations", view.text(f"{report.committed} committed of {report.sent} sent"))
    grid.add_row("seconds", view.text(round(time.monotonic() - show.began, 1)))
    return Group(grid, view.table(rows))


def closing_panel(shown: dict[str, Any]) -> RenderableType:
    """What was played and how it ended."""
    from rich.console import Group

    from zmqnode.commands import view

    operations = shown["operations"]
    grid = view.pairs()
    grid.add_row("all is well", view.text(shown["ok"]))
    grid.add_row("blocks", view.text(shown["height"]))
    for name in ("committed", "rejected", "lost", "doubled"):
        grid.add_row(f"operations {name}", view.text(operations[name]))
    grid.add_row("forks", view.text(shown["forks"]))
    grid.add_row("seconds", view.text(shown["seconds"]))
    columns = ("name", "ok", "seconds", "missed_ballots", "extra_rounds", "lost_operations")
    rows = [{key: step[key] for key in columns} for step in shown["steps"]]
    return Group(grid, view.table(rows))
