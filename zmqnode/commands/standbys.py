"""Standbys of a local network: a second copy of a member, in a folder of its own.

It is made as an operator would make one: the member's node.yml with another url, its identity key,
no instance key; the node makes that itself at its first start.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from string import ascii_lowercase
from typing import Any, Final

import yaml

from zmqnode.commands import local_network
from zmqnode.commands.local_network import PORTS_PER_NODE, LocalNetwork, Member
from zmqnode.config import Config
from zmqnode.config.node import NODE_FILE
from zmqnode.config.place import PORT_MAX, parse_place
from zmqnode.config.secret import write_secret_file
from zmqnode.errors import Invalid, Refused

KEY_FILE: Final = "node.key"
LETTERS: Final = ascii_lowercase[1:]  # n0b, n0c, ..
DOORS: Final = ("url", "peers", "publish")


def add(network: LocalNetwork, member: Member) -> tuple[LocalNetwork, Member]:
    """Make the next standby of a member's address; it is not started.

    Returns:
        The network with it, saved, and the standby.
    Raises:
        Refused: ``address_in_use``, its ports are taken; ``already_exists``, no letter or port is
            left, or its folder is there.
    """
    name = _name(network, member)
    folder = network.folder / name
    if folder.exists():
        hint = "remove it, if nothing in it is needed"
        raise Refused("already_exists", f"{folder} is there", hint=hint, file=str(folder))
    url = _url(network)
    config = Config.load(member.folder)
    tree = _settings(member.folder / NODE_FILE)
    tree["network"] = {
        **{key: value for key, value in tree["network"].items() if key not in DOORS},
        "url": url,
    }
    tree["privatekey"] = f"file:{KEY_FILE}"
    try:
        folder.mkdir(mode=0o700)
        write_secret_file(folder / KEY_FILE, config.privatekey.key().text())
        text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=1000)
        (folder / NODE_FILE).write_text(text, encoding="utf-8")
        (folder / NODE_FILE).chmod(0o600)  # As node init leaves it.
        standby = Member(name=name, address=member.address, folder=folder, url=url)
        grown = replace(network, nodes=(*network.nodes, standby))
        grown.save()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return grown, standby


def _name(network: LocalNetwork, member: Member) -> str:
    copies = [node.name for node in network.nodes if node.address == member.address]
    for letter in LETTERS:
        if f"{copies[0]}{letter}" not in copies:
            return f"{copies[0]}{letter}"
    raise Refused("already_exists", f"{copies[0]} has {len(LETTERS)} standbys", hint="enough")


def _url(network: LocalNetwork) -> str:
    """``P + 3i`` for the i-th node made."""
    first = parse_place(network.nodes[0].url)
    step = PORTS_PER_NODE * len(network.nodes)
    if first.port + step + PORTS_PER_NODE - 1 > PORT_MAX:
        raise Refused("already_exists", "no port is left for it", hint="take a lower --base-port")
    place = first.shifted(step)
    for door in range(PORTS_PER_NODE):
        if not local_network.is_free(place.port + door):
            text = f"port {place.port + door} is taken"
            hint = "end what listens there; the ports of a testnet are fixed"
            raise Refused("address_in_use", text, hint=hint)
    return place.url


def _settings(file: Path) -> dict[str, Any]:
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(tree, dict) or not isinstance(tree.get("network"), dict):
        raise Invalid("config_invalid", f"{file} has no network", hint="zmqnode config check")
    return tree
