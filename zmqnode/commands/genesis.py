"""``zmqnode genesis``: assemble a chain's beginning from entries, show it, verify it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zmqnode.commands import guide, terminal
from zmqnode.commands.options import JsonOption, TargetOption
from zmqnode.errors import Invalid, Refused, ZmqnodeError

if TYPE_CHECKING:
    from zmqnode.app import App
    from zmqnode.base.genesis import Genesis

app = typer.Typer()


@app.command()
def assemble(
    entries: Annotated[
        list[Path], typer.Argument(metavar="ENTRY..", help="The members' entry.yml files.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The new genesis file.")],
    app_name: Annotated[str, typer.Option("--app", help="kv, or MODULE:APP.")] = "kv",
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FILE", help="For the application's genesis.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="params.X=V", help="A chain parameter.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a genesis file of signed entries; every member must use the same file."""
    from zmqnode.app.loading import load_app
    from zmqnode.base.genesis import Genesis, check_genesis
    from zmqnode.base.keys import verify
    from zmqnode.base.params import Params
    from zmqnode.config.genesis import genesis_text, load_entry, parse_param

    loaded = load_app(app_name, [Path.cwd()])
    read = [load_entry(file) for file in entries]
    networks = sorted({network_id for network_id, _ in read})
    if len(networks) > 1:
        text = f"the entries are of several networks: {', '.join(networks)}"
        hint = "one genesis is of one network-id"
        raise Refused("network_mismatch", text, hint=hint, network_ids=networks)
    try:
        genesis = Genesis(
            network_id=networks[0],
            app=loaded.name,
            app_version=loaded.version,
            params=Params.of(dict(parse_param(text) for text in settings or [])),
            entries=tuple(sorted((entry for _, entry in read), key=lambda one: one.address)),
            data=b"" if data is None else _read_data(data),
        )
    except ValueError as error:
        raise Invalid("config_invalid", str(error), hint="give each entry once") from None
    _refuse_wrong(check_genesis(genesis, verify))
    shown = described(out, genesis, loaded)
    _write_new(out, genesis_text(genesis))
    terminal.show(shown, as_json=as_json)
    guide.next_step(
        f"{out} goes beside every member's node.yml; all compare the genesis hash, "
        "then zmqnode node run",
        as_json=as_json,
    )


@app.command()
def show(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Without it, the target folder's.")
    ] = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a genesis: its hash, members and parameters."""
    from zmqnode.config.genesis import load_genesis

    path, folder_app = _named(file, target)
    genesis = load_genesis(path)
    terminal.show(described(path, genesis, _app_of(genesis, folder_app)), as_json=as_json)


@app.command("verify")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    as_json: JsonOption = False,
) -> None:
    """Check signatures, keys and form of a genesis; exit 1 if something is wrong."""
    from zmqnode.base.genesis import check_genesis
    from zmqnode.base.keys import verify
    from zmqnode.config.genesis import load_genesis

    try:
        findings = list(check_genesis(load_genesis(file), verify))
    except Invalid as error:
        if error.code != "config_invalid":
            raise
        listed = error.details.get("findings")
        findings = [str(error.message)]
        if isinstance(listed, (list, tuple)) and listed:
            findings = [_finding(one) for one in listed]
    terminal.show({"ok": not findings, "findings": findings}, as_json=as_json)


def _write_new(out: Path, text: str) -> None:
    """A new file; raises Refused ``already_exists``, Invalid ``file_missing``."""
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        hint = "a genesis is never overwritten; take another name"
        message = f"there is a file {out}"
        raise Refused("already_exists", message, hint=hint, file=str(out)) from None
    except OSError as error:
        message = f"cannot write {out}: {error.strerror}"
        raise Invalid("file_missing", message, file=str(out)) from None


def _refuse_wrong(findings: Sequence[str]) -> None:
    if findings:
        hint = "let the member make its entry anew: zmqnode node init"
        raise Invalid("config_invalid", findings[0], hint=hint, findings=list(findings))


def described(file: Path, genesis: Genesis, loaded: App) -> dict[str, Any]:
    """The answer of assemble and show."""
    from zmqnode.base.keys import public_text
    from zmqnode.runtime.ledger import founding_of

    suffrage = genesis.suffrage
    return {
        "file": str(file),
        "genesis_hash": founding_of(genesis, loaded).hash.hex(),
        "network_id": genesis.network_id,
        "app": {"name": genesis.app, "version": genesis.app_version},
        "n": suffrage.n,
        "f": suffrage.f,
        "q": suffrage.q,
        "members": [
            {
                "address": member.address,
                "publickey": public_text(member.publickey),
                "instance": public_text(member.instance),
                "url": member.url,
            }
            for member in suffrage.members
        ],
        "params": genesis.params.named(),
    }


def _named(file: Path | None, target: str | None) -> tuple[Path, App | None]:
    """The file that is meant, and the application of the target's folder."""
    from zmqnode.commands.asking import app_of
    from zmqnode.config.target import read_target

    try:
        config = read_target(target).config
    except ZmqnodeError:
        if file is None or target is not None:
            raise
        config = None
    if file is None and config is None:
        hint = "give a FILE, or a data folder as the target"
        raise Invalid("no_target", "no genesis file was given", hint=hint)
    path = file if file is not None or config is None else config.genesis
    assert path is not None
    try:
        return path, None if config is None else app_of(config)
    except Invalid:
        return path, None


def _app_of(genesis: Genesis, folder_app: App | None) -> App:
    """The application whose genesis makes block 0."""
    from zmqnode.app.loading import BUILT_IN, load_app

    wanted = (genesis.app, genesis.app_version)
    built_in = load_app(genesis.app) if genesis.app in BUILT_IN else None
    for one in (folder_app, built_in):
        if one is not None and (one.name, one.version) == wanted:
            return one
    raise Invalid(
        "config_invalid",
        f"block 0 is made by app {genesis.app} version {genesis.app_version}, which is not here",
        hint="name a node of the network with -t: its node.yml says where the app is",
    )


def _read_data(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        text = f"cannot read {file}: {error.strerror}"
        raise Invalid("file_missing", text, file=str(file)) from None


def _finding(one: object) -> str:
    if isinstance(one, dict):
        where = f"{one.get('line')}:{one.get('column')}: {one.get('path')}"
        return f"{where}: {one.get('message')}"
    return str(one)
