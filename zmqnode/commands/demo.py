"""``zmqnode demo``: the vote of a running node goes to another copy and back; then a takeover.

Every scene is played on real processes, see ``demo_play``; here is the command and the screen.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from zmqnode.commands import deadline, guide, terminal
from zmqnode.commands.deferred import Deferred
from zmqnode.commands.options import JsonOption, TimeoutOption
from zmqnode.config.limits import NODES_MAX, TIMEOUT_LONG_MS

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from zmqnode.commands import local_network
    from zmqnode.commands.demo_play import Show
    from zmqnode.commands.local_network import LocalNetwork
else:
    local_network = Deferred("zmqnode.commands.local_network")

app = typer.Typer()

LOAD_MAX_S: Final = 600.0  # The load ends with the demo, long before.

TOLD: Final = {
    "up": "a network comes up; n0b, a second copy of n0, follows it",
    "load": "operations, all the time from here on",
    "planned": "n0 hands its vote to n0b, live",
    "forward": "operations sent to n0 alone, which does not vote any more",
    "handback": "n0b hands the vote back to n0",
    "kill": "n0 is killed (SIGKILL); the others go on",
    "takeover": "n0b takes the vote of the dead n0, which then comes back as a standby",
    "verify": "every operation and every chain is looked at",
}


@app.command("demo")
def demo(
    nodes: Annotated[
        int,
        # Fewer than 4 do not go on while one of them is dead, which is what is played.
        typer.Option("--nodes", min=4, max=NODES_MAX),
    ] = 4,
    rate: Annotated[int, typer.Option("--rate", min=1, help="Operations a second.")] = 100,
    folder: Annotated[
        Path | None, typer.Option("--dir", metavar="D", help="Default: a temporary folder.")
    ] = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace a running node under load, there and back; kill it, take over; lose nothing."""
    from zmqnode.commands.demo_play import Show, play
    from zmqnode.commands.load import Load, Plan

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
            deadline.playing(play(show, refresh), timeout_ms, "the demo")
        terminal.show(show.json(), as_panel=closing_panel, as_json=as_json)
    guide.next_step("zmqnode testnet up makes a network that stays", as_json=as_json)


@contextmanager
def _network(folder: Path | None, nodes: int) -> Iterator[LocalNetwork]:
    """A network that is stopped in the end, also on Ctrl-C; a temporary one is removed."""
    from zmqnode.commands import standbys

    with tempfile.TemporaryDirectory(prefix="zmqnode-demo-") as temporary:
        where = Path(temporary) / "testnet" if folder is None else folder
        network = local_network.make(where, nodes=nodes, base_port=None, app="kv", settings=[])
        network, _ = standbys.add(network, network.nodes[0])
        try:
            yield network
        finally:
            local_network.stop(network.nodes, 5_000)


# On the screen.


@contextmanager
def _panels(show: Show, *, as_json: bool) -> Iterator[Callable[[], None]]:
    """Live panels on a terminal; a line for each scene elsewhere; nothing for JSON."""
    if not sys.stderr.isatty() or as_json:
        said: list[str] = []

        def note() -> None:
            names = [step.name for step in show.steps]
            for name in names[len(said) :]:
                said.append(name)
                if not as_json:
                    terminal.note(f"{name}: {TOLD[name]}")

        yield note
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, highlight=False)
    live: Live
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield lambda: live.update(live_panel(show), refresh=True)


def live_panel(show: Show) -> RenderableType:
    """The scenes, the nodes, the handover that is under way."""
    from rich.console import Group

    from zmqnode.commands import handover_view, view

    scenes = [
        {
            "scene": step.name,
            "": TOLD[step.name],
            "seconds": step.seconds or None,
            "ok": step.ok if step.seconds else None,
        }
        for step in show.steps
    ]
    rows: list[dict[str, Any]] = [
        {
            "node": node.name,
            "state": info.state if info is not None else "-",
            "role": info.role if info is not None else None,
            "epoch": info.epoch if info is not None else 0,
            "height": info.height if info is not None else 0,
            "live": f"{info.suffrage.live}/{info.suffrage.n}" if info is not None else None,
            "pool": info.pool.seals if info is not None else 0,
        }
        for node, info in zip(show.network.nodes, show.infos or [None] * 99, strict=False)
    ]
    report = show.load.report
    grid = view.pairs()
    handover = None if show.session is None else handover_view.change_line(show.session)
    grid.add_row("handover", view.text(handover))
    grid.add_row("operations", view.text(f"{report.committed} committed of {report.sent} sent"))
    grid.add_row("seconds", view.text(round(time.monotonic() - show.began, 1)))
    return Group(*([view.table(scenes)] if scenes else []), view.table(rows), grid)


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
    rows = [
        {
            "scene": step["name"],
            "ok": step["ok"],
            "seconds": step["seconds"],
            "ballots missed": step["missed_ballots"],
            "extra rounds": step["extra_rounds"],
            "operations lost": step["lost_operations"],
            "epoch": _epochs(step),
        }
        for step in shown["steps"]
    ]
    errors = [view.text(f"{one['name']}: {one['error']}") for one in shown["steps"] if one["error"]]
    return Group(grid, view.table(rows), *errors)


def _epochs(step: dict[str, Any]) -> str | None:
    if step["epoch_after"] is None:
        return None
    return f"{step['epoch_before']} to {step['epoch_after']}"
