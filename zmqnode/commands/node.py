"""``zmqnode node``: make, run, ask and stop one copy of a node."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from zmqnode.commands import guide, handover, terminal
from zmqnode.commands.asking import asking
from zmqnode.commands.options import (
    JsonOption,
    SignOption,
    TargetOption,
    TimeoutOption,
    parse_sign,
)
from zmqnode.errors import Invalid

if TYPE_CHECKING:
    from rich.console import RenderableType

    from zmqnode.client import NodeInfo

app = typer.Typer()

ENTRY_FILE: Final = "entry.yml"
KEY_FILE: Final = "node.key"

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder.")]


@app.command()
def init(
    folder: FolderArgument,
    address: Annotated[str, typer.Option("--address", metavar="A", help="Ends in sas.")],
    network_id: Annotated[str, typer.Option("--network-id", metavar="ID")],
    url: Annotated[str, typer.Option("--url", metavar="URL", help="tcp://HOST:PORT.")],
    privatekey: Annotated[
        str | None,
        typer.Option(
            "--privatekey",
            metavar="REF",
            parser=parse_sign,
            help="The address's identity key, if it has one; else a new one is made.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a node's folder: node.yml, its keys, and its entry for the genesis."""
    from zmqnode.commands.folders import init_folder

    made = init_folder(
        folder, address=address, network_id=network_id, url=url, privatekey=privatekey
    )
    terminal.show(made, as_json=as_json)
    where = shlex.quote(str(folder))
    guide.next_step(
        f"{where}/entry.yml goes to whoever runs zmqnode genesis assemble, the genesis.yml that "
        f"comes back into {where}; then zmqnode node run {where}",
        as_json=as_json,
    )


@app.command()
def run(
    where: Annotated[
        Path, typer.Argument(metavar="[NODE_YML|DIR]", help="Default: ./node.yml.")
    ] = Path("node.yml"),
    app_name: Annotated[
        str | None, typer.Option("--app", metavar="MODULE:APP", help="Instead of node.yml's.")
    ] = None,
    standby_auto: Annotated[
        bool, typer.Option("--standby-auto", help="Take over when the active copy is gone.")
    ] = False,
    log_format: Annotated[
        str | None, typer.Option("--log-format", metavar="text|json", help="Of the log on stderr.")
    ] = None,
) -> None:
    """Run a node in the foreground; SIGTERM and Ctrl-C stop it gracefully."""
    from dataclasses import replace

    from zmqnode.config import Config
    from zmqnode.runtime import Node

    if log_format not in (None, "text", "json"):
        raise typer.BadParameter(f"{log_format!r} is neither text nor json")
    config = Config.load(where)
    if standby_auto:
        config = replace(config, standby_auto=True)
    code = Node.run(config, app_name, log_format=log_format)
    if code:
        raise typer.Exit(code)


@app.command()
def info(
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a node where it stands; its signature is checked."""
    with asking(target, sign=sign, timeout_ms=timeout_ms) as client:
        terminal.show(client.info(), as_panel=info_panel, as_json=as_json)


@app.command()
def stop(
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop a node gracefully; returns when it is gone."""
    with asking(target, sign=sign) as client:
        terminal.show(client.stop(timeout_ms=timeout_ms), as_json=as_json)


@app.command("start-handover")
def start_handover(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Whose vote moves.")],
    privatekey: Annotated[
        str,
        typer.Argument(
            metavar="PRIVATEKEY", parser=parse_sign, help="The identity key: file:PATH, .."
        ),
    ],
    network_id: Annotated[str, typer.Argument(metavar="NETWORK-ID")],
    url: Annotated[str, typer.Argument(metavar="URL", help="Of the copy that shall vote.")],
    takeover: handover.TakeoverOption = False,
    forced: handover.ForcedOption = False,
    cosigns: handover.CosignOption = None,
    accept_halt_risk: handover.RiskOption = False,
    when_synced: handover.SyncedOption = False,
    reason: handover.ReasonOption = "",
    no_wait: handover.NoWaitOption = False,
    watch: handover.WatchOption = False,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a handover at the copy at URL, as handover start does."""
    options = handover.Start(
        takeover=takeover,
        forced=forced,
        cosigns=cosigns,
        accept_halt_risk=accept_halt_risk,
        when_synced=when_synced,
        reason=reason,
        no_wait=no_wait,
        watch=watch,
        timeout_ms=timeout_ms,
        as_json=as_json,
    )
    handover.begin_at(address, privatekey, network_id, url, options)


@app.command()
def adopt(
    folder: FolderArgument,
    destroyed: Annotated[
        bool,
        typer.Option("--old-copy-destroyed", help="Your word that no other copy will ever run."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Let a moved folder keep its instance key on this machine and at its new url."""
    from zmqnode.base.keys import public_text
    from zmqnode.config import Config
    from zmqnode.runtime.addresses import next_sequence
    from zmqnode.runtime.folder import DataFolder, bind

    if not destroyed:
        raise Invalid(
            "usage",
            "two running copies of one instance key could vote twice",
            hint="give --old-copy-destroyed once the old folder is destroyed for good",
        )
    config = Config.load(folder)
    if not config.data.is_dir():
        text = f"there is no data folder {config.data}"
        raise Invalid("file_missing", text, file=str(config.data))
    opened = DataFolder(config.data)
    try:
        bind(config.data)
        next_sequence(config.data)  # The node publishes its new url under it when it runs.
        answer = {
            "address": config.address,
            "instance": public_text(opened.instance.public),
            "url": config.url.url,
        }
    finally:
        opened.close()
    terminal.show(answer, as_json=as_json)


def info_panel(info: NodeInfo) -> RenderableType:
    """NodeInfo for a person: what matters first, members as a table."""
    from rich.console import Group

    from zmqnode.commands import view

    grid = view.pairs()
    suffrage = info.suffrage
    lag = f", {info.lag_blocks} behind" if info.lag_blocks else ""
    rows: list[tuple[str, object]] = [
        ("node", f"{info.address} ({info.role}, epoch {info.epoch}) at {info.url}"),
        ("state", info.state),
        ("height", f"{info.height}{lag}, proposed at {info.proposed_at or 'genesis'}"),
        ("block", info.block_hash),
        ("network", f"{info.network_id}, genesis {info.genesis_hash}"),
        ("app", f"{info.app.name} version {info.app.version}, zmqnode {info.version}"),
        ("suffrage", f"{suffrage.live} of {suffrage.n} live, {suffrage.q} needed"),
        ("margin", suffrage.margin),
        ("last ballot", _ballot(info)),
        ("pool", f"{info.pool.seals} seals, {info.pool.operations} operations"),
        ("peers", info.peers),
        ("started", info.started_at),
    ]
    if info.broken is not None:
        rows.insert(2, ("cause", info.broken.cause))
        rows.insert(3, ("way out", info.broken.way_out))
    if info.split:
        rows.append(("split", info.split))
    if info.handover:
        rows.append(("handover", _handover(info.handover)))
    for name, value in rows:
        grid.add_row(name, view.text(value))
    members: list[dict[str, Any]] = [
        {
            "member": member.address,
            "live": member.live,
            "epoch": member.epoch,
            "url": member.url,
            "last seen": member.last_seen_at,
        }
        for member in suffrage.members
    ]
    return Group(grid, view.table(members))


def _handover(told: dict[str, Any]) -> str:
    from zmqnode.client import Session
    from zmqnode.client.answers import read
    from zmqnode.commands import handover_view

    return handover_view.change_line(read(Session, told))


def _ballot(info: NodeInfo) -> str | None:
    ballot = info.last_ballot
    if ballot is None:
        return None
    draw = " (draw)" if ballot.draw else ""
    return f"{ballot.stage}{draw} at {ballot.height}, round {ballot.round}"
