"""Which node is meant: a url, a folder or its node.yml, a node of the testnet in use, a context.

A target is read by its shape, CLI.md section 1. What comes out says where the node is, which key it
must show, and by what right one may change it: a folder is authority (its private files can be
read), elsewhere a key has to sign. Nothing is asked over the network here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from zmqnode.base.keys import PrivateKey, PublicKey
from zmqnode.config.contexts import find_context
from zmqnode.config.document import read_text
from zmqnode.config.genesis import load_genesis
from zmqnode.config.limits import CONFIG_BYTES_MAX
from zmqnode.config.node import NODE_FILE, Config, node_file
from zmqnode.config.place import Place, is_url, parse_place
from zmqnode.config.secret import Secret, parse_secret
from zmqnode.errors import Invalid, Refused, Unreachable, ZmqnodeError

TARGET_VARIABLE: Final = "ZMQNODE_TARGET"
TESTNET_VARIABLE: Final = "ZMQNODE_TESTNET"
SIGN_VARIABLE: Final = "ZMQNODE_SIGN"
TESTNET_FILE: Final = "testnet.json"
CLIENT_KEY_FILE: Final = "client.key"
DEFAULT_TESTNET: Final = "testnet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A node to ask."""

    text: str  # As it was written, or found.
    place: Place  # With the key it must show; without one, only until :func:`read_target` returns.
    config: Config | None = None  # Of a folder: whoever could read it may control the node.
    context: str | None = None
    context_sign: str | None = None  # A reference.
    genesis: Mapping[str, str] = field(default_factory=dict)  # Pinned: public key text to hash.

    @property
    def publickey(self) -> PublicKey:
        """The identity key the node must show."""
        assert self.place.publickey is not None
        return self.place.publickey

    @property
    def folder(self) -> Path | None:
        """The data folder, where the running node keeps its admin key."""
        return None if self.config is None else self.config.data

    def signing(self, sign: str | None = None) -> Secret | None:
        """The key that signs: ``--sign``, ``ZMQNODE_SIGN``, the context's; None if there is none.

        Raises:
            Invalid: ``key_invalid``, that is no reference.
        """
        text = sign or os.environ.get(SIGN_VARIABLE) or self.context_sign
        return parse_secret(text) if text else None

    def seal_key(self, sign: str | None = None) -> PrivateKey:
        """The sender's key for seals: as :meth:`signing`, else the folder's ``../client.key``.

        Raises:
            Invalid: ``key_invalid``.
        """
        secret = self.signing(sign)
        if secret is None and self.config is not None:
            file = self.config.file.parent.parent / CLIENT_KEY_FILE
            if file.exists():
                secret = Secret(kind="file", name=str(file), folder=Path())
        if secret is None:
            hint = f"--sign file:PATH, or set {SIGN_VARIABLE}"
            raise Invalid("key_invalid", "no key to sign seals with", hint=hint)
        return secret.key()

    def control_key(self, sign: str | None = None) -> PrivateKey:
        """The identity key for a change to a node that is no folder here.

        Raises:
            Refused: ``not_authorised``.
        """
        secret = self.signing(sign)
        if secret is None:
            hint = "--sign with the address's identity key, or give the node's folder as the target"
            raise Refused("not_authorised", "this changes a node and needs its key", hint=hint)
        return secret.key()


def read_target(text: str | None = None, *, sign: str | None = None) -> Target:
    """The node a text means.

    Args:
        text: the target; None: ``ZMQNODE_TARGET``, ``./node.yml``, n0 of the testnet in use.
        sign: a key reference; its public key stands in where a url has none.
    Raises:
        Invalid: ``no_target unknown_context file_missing config_invalid key_invalid``.
        Unreachable: a url without a key that nothing else gives.
    """
    target = _found(text if text is not None else _default())
    if target.place.publickey is not None:
        return target
    publickey = _testnet_key(target.place)
    if publickey is None:
        secret = target.signing(sign)
        publickey = None if secret is None else secret.key().public
    if publickey is None:
        url = target.place.url
        raise Unreachable(
            "unreachable",
            f"the key of {url} is not known",
            hint=f"give it with the url: {url.replace('tcp://', 'tcp://PUBLICKEY@', 1)}",
            connected=False,
        )
    return replace(target, place=replace(target.place, publickey=publickey))


def durable_text(text: str) -> str:
    """The target as a context keeps it: urls as they are, all else as an absolute path."""
    if is_url(text):
        return parse_place(text).text
    if _is_path(text):
        return str(Path(text).absolute())
    folder = local_nodes().get(text)
    if folder is None:
        hint = "a target is a url, a path (with a / in it) or a node of the testnet in use"
        raise Invalid("no_target", f"{text[:80]!r} is no target for a context", hint=hint)
    return str(folder.absolute())


def local_folder() -> Path:
    """The folder of the testnet in use, whether it exists or not."""
    return Path(os.environ.get(TESTNET_VARIABLE) or DEFAULT_TESTNET)


def local_nodes() -> dict[str, Path]:
    """The nodes of the testnet in use: name to folder, in the order of its file; none is empty."""
    folder = local_folder()
    file = folder / TESTNET_FILE
    if not file.is_file():
        return {}
    try:
        tree: Any = json.loads(read_text(file, CONFIG_BYTES_MAX))
        return {str(node["name"]): folder / str(node["dir"]) for node in tree["nodes"]}
    except (ValueError, KeyError, TypeError):
        hint = "zmqnode testnet up --dir ANOTHER, or mend the file"
        raise Invalid("config_invalid", f"{file} is no testnet file", hint=hint) from None


def _default() -> str:
    given = os.environ.get(TARGET_VARIABLE)
    if given:
        return given
    if Path(NODE_FILE).is_file():
        return f"./{NODE_FILE}"
    nodes = local_nodes()
    if nodes:
        return "n0" if "n0" in nodes else next(iter(nodes))
    hint = f"-t TARGET, {TARGET_VARIABLE}, or a local network: zmqnode testnet up"
    raise Invalid("no_target", "no node to ask was given", hint=hint)


def _found(text: str) -> Target:
    if is_url(text):
        return Target(text=text, place=parse_place(text))
    if _is_path(text):
        return _of_folder(text, Path(text).expanduser())
    nodes = local_nodes()
    if text in nodes:
        return _of_folder(text, nodes[text])
    context = find_context(text, list(nodes))
    if not is_url(context.target) and not _is_path(context.target):
        hint = f"zmqnode ctx rm {context.name}, then add it again"
        raise Invalid("config_invalid", f"the context {context.name} has no target", hint=hint)
    target = _found(context.target)
    return replace(
        target,
        text=text,
        context=context.name,
        context_sign=context.sign,
        genesis=context.genesis,
    )


def _is_path(text: str) -> bool:
    return "/" in text or text.endswith(".yml") or text in (".", "..")


def _of_folder(text: str, path: Path) -> Target:
    file = node_file(path)
    if not file.is_file():
        hint = "a path is a node's folder or its node.yml"
        raise Invalid("file_missing", f"there is no {file}", hint=hint, file=str(file))
    config = Config.load(file)
    place = replace(config.url, publickey=_key_of(config))
    return Target(text=text, place=place, config=config)


def _key_of(config: Config) -> PublicKey:
    """The identity key of a config's address: the genesis says it, else the private key does."""
    try:
        for entry in load_genesis(config.genesis).entries:
            if entry.address == config.address:
                return entry.publickey
    except ZmqnodeError:
        pass  # Without a readable genesis the key itself decides.
    return config.privatekey.key().public


def _testnet_key(place: Place) -> PublicKey | None:
    """The key of the testnet's node at a url."""
    for folder in local_nodes().values():
        file = folder / NODE_FILE
        if file.is_file():
            config = Config.load(file)
            if config.url.url == place.url:
                return _key_of(config)
    return None
