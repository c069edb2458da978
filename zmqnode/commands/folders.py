"""The folder of a node: node.yml, identity key, instance key, genesis entry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from zmqnode.base.genesis import sign_entry
from zmqnode.base.keys import PrivateKey, curve_public, parse_address, public_text
from zmqnode.config.genesis import entry_text
from zmqnode.config.node import NODE_FILE, node_text, parse_network_id
from zmqnode.config.place import parse_place
from zmqnode.config.secret import parse_secret, write_secret_file
from zmqnode.errors import Invalid, Refused
from zmqnode.runtime.folder import INSTANCE_FILE, make_instance_key

ENTRY_FILE: Final = "entry.yml"
KEY_FILE: Final = "node.key"


def init_folder(
    folder: Path,
    *,
    address: str,
    network_id: str,
    url: str,
    privatekey: str | None = None,
    settings: dict[str, object] | None = None,
) -> dict[str, Any]:
    """Make a node's folder; nothing that exists is touched.

    Args:
        privatekey: reference of the identity key; None: a new one is made, in node.key.
        settings: more of node.yml, dotted path to value.
    Returns:
        The answer of ``node init``.
    Raises:
        Refused: ``already_exists``.
        Invalid: ``config_invalid``, ``key_invalid``, ``file_missing``.
    """
    name, network, place = parse_address(address), parse_network_id(network_id), parse_place(url)
    key = PrivateKey(os.urandom(32)) if privatekey is None else _given(privatekey)
    curve_public(key.public)
    _make_empty(folder)
    instance = make_instance_key(folder)
    files = [INSTANCE_FILE]
    if privatekey is None:
        write_secret_file(folder / KEY_FILE, key.text())
        files.append(KEY_FILE)
        reference = f"file:{KEY_FILE}"
    else:
        reference = _reference(privatekey)
    values: dict[str, object] = {
        "address": name,
        "network-id": network,
        "privatekey": reference,
        "network.url": place.url,
        **(settings or {}),
    }
    entry = sign_entry(
        address=name, instance=instance.public, url=place.url, network_id=network, key=key
    )
    _write(folder / NODE_FILE, node_text(values), mode=0o600)
    _write(folder / ENTRY_FILE, entry_text(network, entry))
    return {
        "dir": str(folder),
        "address": name,
        "publickey": public_text(key.public),
        "instance": public_text(instance.public),
        "url": place.url,
        "network_id": network,
        "files": sorted([*files, NODE_FILE, ENTRY_FILE]),
    }


def _make_empty(folder: Path) -> None:
    """The folder, in which none of a node's files is yet."""
    for file in (NODE_FILE, KEY_FILE, ENTRY_FILE, INSTANCE_FILE):
        if (folder / file).exists():
            hint = "a node's folder is never overwritten; take another one"
            there = folder / file
            raise Refused("already_exists", f"there is a file {there}", hint=hint, file=str(there))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        text = f"cannot make {folder}: {error.strerror}"
        raise Invalid("file_missing", text, file=str(folder)) from None


def _given(privatekey: str) -> PrivateKey:
    return parse_secret(privatekey).key()


def _reference(privatekey: str) -> str:
    """How node.yml refers to the key: paths absolute, since it lies in another folder."""
    secret = parse_secret(privatekey)
    if secret.kind == "stdin":
        hint = "keep it in a file and write file:PATH"
        raise Invalid("key_invalid", "a node cannot read its key from stdin each time", hint=hint)
    return f"file:{secret.path.absolute()}" if secret.kind == "file" else privatekey


def _write(path: Path, text: str, *, mode: int = 0o644) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
