"""Copies of a member that no testnet knows: made and run by hand, in folders of their own."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.local_net import LocalNet
from tests.ports import free_ports

APP_OF_ANOTHER_VERSION = """
from zmqnode import App

app = App("kv", version=2)


@app.op
def put(ctx, key: str, value: bytes):
    ctx.state[key] = value
"""


def stray(net: LocalNet, of: str, name: str, **settings: object) -> Path:
    """A folder for one more copy of a member, as its operator would make it.

    Args:
        settings: of its node.yml; ``url`` is that of its ``network``.
    """
    folder = net.folder / name
    folder.mkdir()
    shutil.copy(net.dir / of / "node.key", folder)
    shutil.copy(net.dir / "genesis.yml", folder)
    tree = yaml.safe_load((net.dir / of / "node.yml").read_text())
    url = settings.pop("url", None) or f"tcp://127.0.0.1:{free_ports()}"
    own = {"network": {"url": url}, "privatekey": "file:node.key", "genesis": "genesis.yml"}
    (folder / "node.yml").write_text(yaml.safe_dump({**tree, **own, **settings}))
    return folder


@contextmanager
def running(net: LocalNet, *folders: Path, under: Sequence[str] = ()) -> Iterator[None]:
    """Nodes in these folders; each is stopped as its operator would at the end."""
    begun = []
    try:
        for folder in folders:
            begun.append(net.script.start("node", "run", folder, under=under))
        yield
    finally:
        for process in begun:
            process.send_signal(signal.SIGTERM)
        ends = [process.communicate(timeout=60) for process in begun]
        assert all("Traceback" not in err for _, err in ends), ends


def changed_genesis(folder: Path, **changes: Any) -> None:
    """The genesis of a stray, with parameters of its own."""
    file = folder / "genesis.yml"
    tree = yaml.safe_load(file.read_text())
    tree["params"].update(changes)
    file.write_text(yaml.safe_dump(tree, sort_keys=False))


def of_another_network(net: LocalNet, folder: Path, network_id: str, *names: str) -> None:
    """The genesis of a stray: these members at their places, in a network of another name."""
    entries = []
    for name in names:
        made = folder / f"init-{name}"
        net.script.json(
            *("node", "init", made, "--address", f"{name}sas", "--url", net.url(name)),
            *("--network-id", network_id, "--privatekey", f"file:{net.dir / name / 'node.key'}"),
        )
        entries.append(made / "entry.yml")
    _assembled(net, folder, entries)


def of_fewer_members(net: LocalNet, folder: Path, *names: str) -> None:
    """The genesis of a stray: the same network and parameters, other members."""
    _assembled(net, folder, [net.dir / name / "entry.yml" for name in names])


def _assembled(net: LocalNet, folder: Path, entries: Sequence[Path]) -> None:
    (folder / "genesis.yml").unlink()
    params = yaml.safe_load((net.dir / "genesis.yml").read_text())["params"]
    words = [word for key, value in params.items() for word in ("--set", f"params.{key}={value}")]
    net.script.json("genesis", "assemble", *entries, "--out", folder / "genesis.yml", *words)


def of_another_version(folder: Path) -> None:
    """Application and genesis of a stray say version 2."""
    (folder / "two.py").write_text(APP_OF_ANOTHER_VERSION)
    file = folder / "genesis.yml"
    tree = yaml.safe_load(file.read_text())
    tree["app"]["version"] = 2
    file.write_text(yaml.safe_dump(tree, sort_keys=False))
