"""``zmqnode testnet``: a local network of real processes, on loopback, for trying and testing."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from zmqnode.commands import guide, terminal
from zmqnode.commands.asking import asking
from zmqnode.commands.deferred import Deferred
from zmqnode.commands.options import JsonOption, TimeoutOption
from zmqnode.config.limits import TIMEOUT_ASK_MS, TIMEOUT_LONG_MS
from zmqnode.errors import Invalid, Refused

if TYPE_CHECKING:
    from zmqnode.commands import local_network, local_start, network_status, node_logs
    from zmqnode.commands.local_network import LocalNetwork, Member
else:
    local_network = Deferred("zmqnode.commands.local_network")
    local_start = Deferred("zmqnode.commands.local_start")
    network_status = Deferred("zmqnode.commands.network_status")
    node_logs = Deferred("zmqnode.commands.node_logs")

app = typer.Typer()

SIGNALS: Final = ("KILL", "TERM", "STOP", "CONT")
REST: Final = "rest"

DirOption = Annotated[
    Path | None, typer.Option("--dir", metavar="D", help="Default: the testnet in use.")
]
NodesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[NODE..]", help="Names; none: all.")
]


@app.command()
def up(
    folder: DirOption = None,
    nodes: Annotated[
        int | None, typer.Option("--nodes", metavar="N", min=1, help="Members; default 4.")
    ] = None,
    base_port: Annotated[
        int | None, typer.Option("--base-port", metavar="P", min=1, max=65_000)
    ] = None,
    app_name: Annotated[
        str | None, typer.Option("--app", metavar="APP", help="kv (the default), MODULE:APP.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="params.X, or a key of node.yml."),
    ] = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a network, or start what is down of one; returns when every address votes."""
    began = time.monotonic()
    where = local_network.in_use(folder)
    if local_network.exists(where):
        network = local_network.load(where)
        _same(network, nodes=nodes, app_name=app_name, fixed=[base_port, settings])
    else:
        network = local_network.make(
            where,
            nodes=nodes or 4,
            base_port=base_port,
            app=app_name or "kv",
            settings=settings or [],
        )
    _start(network, network.nodes, timeout_ms or TIMEOUT_LONG_MS, settled=True, as_json=as_json)
    _show(network, network.nodes, began, as_json=as_json)
    send = "put key=greeting value=hello" if network.app == "kv" else "OPERATION KEY=VALUE .."
    _next(folder, f"zmqnode monitor --all, or zmqnode seal send {send}", as_json=as_json)


@app.command()
def status(
    folder: DirOption = None, timeout_ms: TimeoutOption = None, as_json: JsonOption = False
) -> None:
    """Show what runs and where it stands."""
    began = time.monotonic()
    network = local_network.load(local_network.in_use(folder))
    shown = _answer(network, network.nodes, began, timeout_ms)
    terminal.show(shown, as_panel=network_panel, as_json=as_json)


@app.command()
def down(
    folder: DirOption = None,
    delete: Annotated[bool, typer.Option("--delete", help="Remove the folder, too.")] = False,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop all nodes gracefully."""
    began = time.monotonic()
    network = local_network.load(local_network.in_use(folder))
    _stop(network.nodes, timeout_ms, as_json=as_json)
    shown = _answer(network, network.nodes, began)
    if delete:
        local_network.remove(network)
    terminal.show(shown, as_panel=network_panel, as_json=as_json)
    if not delete:
        _next(folder, "zmqnode testnet up starts it again", as_json=as_json)


@app.command()
def start(
    names: NodesArgument = None,
    folder: DirOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start nodes; returns when each answers."""
    began = time.monotonic()
    network = local_network.load(local_network.in_use(folder))
    nodes = network.chosen(names or [])
    _start(network, nodes, timeout_ms or TIMEOUT_LONG_MS, settled=False, as_json=as_json)
    _show(network, nodes, began, as_json=as_json)
    _next(folder, f"zmqnode wait synced -t {nodes[0].name}, then testnet status", as_json=as_json)


@app.command("add-standby")
def add_standby(
    name: Annotated[str, typer.Argument(metavar="NODE", help="Whose address it stands by for.")],
    folder: DirOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make and start a second copy of a node; returns when it follows the chain."""
    from zmqnode.commands import standbys

    began = time.monotonic()
    limit_ms = timeout_ms or TIMEOUT_LONG_MS
    network = local_network.load(local_network.in_use(folder))
    (member,) = network.chosen([name])
    network, standby = standbys.add(network, member)
    _start(network, [standby], limit_ms, settled=False, as_json=as_json)
    heights = [one.height for one in asyncio.run(network_status.infos(network.nodes)) if one]
    with guide.progress(as_json=as_json) as say, asking(str(standby.folder)) as client:
        # A copy that has met nobody yet is as high as it knows: the others say how high that is.
        say(f"{standby.name} fetches the chain, to height {max(heights, default=0)}")
        client.wait_height(max(heights, default=0), timeout_ms=_left_ms(began, limit_ms))
        client.wait_synced(timeout_ms=_left_ms(began, limit_ms))
    _show(network, network.nodes, began, as_json=as_json)
    _next(folder, f"zmqnode handover start -t {standby.name}", as_json=as_json)


@app.command()
def stop(
    names: NodesArgument = None,
    folder: DirOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop nodes gracefully."""
    began = time.monotonic()
    network = local_network.load(local_network.in_use(folder))
    nodes = network.chosen(names or [])
    _stop(nodes, timeout_ms, as_json=as_json)
    _show(network, nodes, began, as_json=as_json)
    _next(folder, f"zmqnode testnet start {nodes[0].name}", as_json=as_json)


@app.command()
def restart(
    names: NodesArgument = None,
    folder: DirOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop nodes gracefully and start them again; returns when each answers."""
    began = time.monotonic()
    network = local_network.load(local_network.in_use(folder))
    nodes = network.chosen(names or [])
    _stop(nodes, None, as_json=as_json)
    _start(network, nodes, timeout_ms or TIMEOUT_LONG_MS, settled=False, as_json=as_json)
    _show(network, nodes, began, as_json=as_json)


@app.command()
def kill(
    names: NodesArgument = None,
    name: Annotated[
        str, typer.Option("--signal", metavar="SIGNAL", help="KILL, TERM, STOP or CONT.")
    ] = "KILL",
    folder: DirOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a signal to nodes: end (KILL, TERM), pause (STOP) or go on (CONT)."""
    began = time.monotonic()
    wanted = name.upper().removeprefix("SIG")
    if wanted not in SIGNALS:
        raise Invalid("usage", f"{name:.20} is none of {', '.join(SIGNALS)}")
    network = local_network.load(local_network.in_use(folder))
    nodes = network.chosen(names or [])
    pids = [pid for node in nodes if (pid := node.pid) is not None]
    for node in nodes:
        local_network.send(node, wanted)
    if wanted in ("KILL", "TERM"):
        for pid in pids:
            local_network.await_end(pid, (timeout_ms or local_network.STOP_MS) / 1000)
    _show(network, nodes, began, as_json=as_json)
    if wanted in ("KILL", "TERM"):
        _next(folder, f"zmqnode testnet start {nodes[0].name}", as_json=as_json)


@app.command()
def cut(
    first: Annotated[str, typer.Argument(metavar="A", help="Nodes, with commas between.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Nodes, or rest.")],
    one_way: Annotated[bool, typer.Option("--one-way", help="Only from A to B.")] = False,
    folder: DirOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cut all peer traffic between A and B, until heal or restart; clients still get in."""
    began = time.monotonic()
    network = local_network.load(local_network.in_use(folder))
    left = network.chosen(_names(first))
    right = (
        tuple(node for node in network.nodes if node not in left)
        if second == REST
        else network.chosen(_names(second))
    )
    both = [node.name for node in left if node in right]
    if both:
        raise Invalid("usage", f"{both[0]} is on both sides of the cut")
    urls = {"left": [node.url for node in left], "right": [node.url for node in right]}
    back: list[str] = [] if one_way else urls["right"]
    for node in left:
        _mute(node, timeout_ms, muted_in=back, muted_out=urls["right"])
    for node in right:
        left_out: list[str] = [] if one_way else urls["left"]
        _mute(node, timeout_ms, muted_in=urls["left"], muted_out=left_out)
    _show(network, network.nodes, began, as_json=as_json)


@app.command()
def heal(
    folder: DirOption = None, timeout_ms: TimeoutOption = None, as_json: JsonOption = False
) -> None:
    """Undo all cuts."""
    began = time.monotonic()
    network = local_network.load(local_network.in_use(folder))
    for node in network.nodes:
        _mute(node, timeout_ms, muted_in=[], muted_out=[])
    _show(network, network.nodes, began, as_json=as_json)


@app.command()
def logs(
    names: NodesArgument = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what comes.")] = False,
    folder: DirOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the nodes' logs, the last lines first; a stream."""
    network = local_network.load(local_network.in_use(folder))
    nodes = network.chosen(names or [])
    with terminal.streaming():
        for node, line in node_logs.lines(nodes, timeout_ms, follow=follow):
            if as_json:
                terminal.write(_stdout(), terminal.json_line(node_logs.parsed(node, line)))
            else:
                terminal.line(f"{node.name} {node_logs.plain(line)}")


@app.command("load")
def load_command(
    rate: Annotated[
        int, typer.Option("--rate", min=0, help="Operations a second; 0: all it takes.")
    ] = 100,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1)] = 10,
    clients: Annotated[int, typer.Option("--clients", min=1, max=64)] = 4,
    seal_ops: Annotated[int, typer.Option("--seal-ops", min=1, max=1000)] = 1,
    to: Annotated[str | None, typer.Option("--to", metavar="NODE", help="To it alone.")] = None,
    folder: DirOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put the network under load, then look for every operation in the chain."""
    from zmqnode.commands import load

    network = local_network.load(local_network.in_use(folder))
    targets = network.chosen([to]) if to is not None else network.nodes
    plan = load.Plan(
        rate=rate,
        seconds=seconds,
        clients=clients,
        seal_ops=seal_ops,
        alone=to is not None,
        drain_ms=timeout_ms or TIMEOUT_LONG_MS,
    )
    with guide.progress(as_json=as_json) as say:
        report = asyncio.run(load.run([str(node.folder) for node in targets], plan, say))
    terminal.show(report.json(), as_json=as_json)
    _next(folder, "zmqnode block verify", as_json=as_json)


# Together.


def _start(
    network: LocalNetwork,
    nodes: Sequence[Member],
    timeout_ms: int,
    *,
    settled: bool,
    as_json: bool,
) -> None:
    with guide.progress(as_json=as_json) as say:
        local_start.start(network, nodes, timeout_ms, say, settled=settled)


def _stop(nodes: Sequence[Member], timeout_ms: int | None, *, as_json: bool) -> None:
    with guide.progress(as_json=as_json) as say:
        say(f"stopping {', '.join(node.name for node in nodes)}: each finishes what it owes")
        local_network.stop(nodes, timeout_ms or local_network.STOP_MS)


def _next(folder: Path | None, text: str, *, as_json: bool) -> None:
    """What makes sense now; with the folder where commands would not find it."""
    where = "" if folder is None else f"export ZMQNODE_TESTNET={shlex.quote(str(folder))}; "
    guide.next_step(where + text, as_json=as_json)


def _mute(
    node: Member, timeout_ms: int | None, *, muted_in: Sequence[str], muted_out: Sequence[str]
) -> None:
    """Cut at one node; one that does not run has no links, and starts without a cut."""
    from zmqnode.client import Client

    async def ask() -> None:
        limit_ms = timeout_ms or TIMEOUT_ASK_MS
        async with Client(str(node.folder), timeout_ms=limit_ms) as client:
            await client.cut(muted_in, muted_out)

    if node.pid is not None:
        asyncio.run(ask())


def _answer(
    network: LocalNetwork, nodes: Sequence[Member], began: float, timeout_ms: int | None = None
) -> dict[str, Any]:
    answers = asyncio.run(network_status.infos(nodes, timeout_ms))
    return network_status.answer(network, nodes, answers, time.monotonic() - began)


def _show(network: LocalNetwork, nodes: Sequence[Member], began: float, *, as_json: bool) -> None:
    terminal.show(_answer(network, nodes, began), as_panel=network_panel, as_json=as_json)


def network_panel(shown: dict[str, Any]) -> Any:
    """A local network for a person."""
    from rich.console import Group

    from zmqnode.commands import view

    grid = view.pairs()
    for name in ("dir", "network_id", "app", "genesis_hash"):
        grid.add_row(name.replace("_", " "), view.text(shown[name]))
    columns = ("name", "state", "role", "epoch", "height", "pid", "url", "block_hash")
    rows = [
        {
            key: (node[key][:12] if key == "block_hash" and node[key] else node[key])
            for key in columns
        }
        for node in shown["nodes"]
    ]
    return Group(grid, view.table(rows))


def _left_ms(began: float, limit_ms: int) -> int:
    return max(1, limit_ms - round((time.monotonic() - began) * 1000))


def _same(
    network: LocalNetwork, *, nodes: int | None, app_name: str | None, fixed: Sequence[object]
) -> None:
    """An existing network is started as it was made."""
    members = len({node.address for node in network.nodes})
    other = (
        (nodes is not None and nodes != members)
        or (app_name is not None and app_name != network.app)
        or any(one for one in fixed)
    )
    if other:
        raise Refused(
            "already_exists",
            f"{network.folder} is a network of {members} nodes with app {network.app} already",
            hint="without these options it is started as it is; or take another --dir",
        )


def _names(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if not names:
        raise Invalid("usage", "names of nodes, with commas between them")
    return names


def _stdout() -> Any:
    import sys

    return sys.stdout
