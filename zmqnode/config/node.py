"""node.yml: what one copy of a node is told, as a frozen ``Config``.

Every key is in the table ``NODE``, with its meaning and default; the command line's ``config
schema`` prints the same table. Relative paths are relative to the file. Reading a config reads no
secret: ``privatekey`` stays a reference until ``Config.privatekey.key()``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import yaml

from zmqnode.base.keys import Address, parse_address
from zmqnode.config.document import Document, compose, read_text
from zmqnode.config.limits import (
    APP_PATHS_MAX,
    BOOTSTRAP_MAX,
    CONFIG_BYTES_MAX,
    NETWORK_ID_CHARS_MAX,
    STANDBY_AFTER_MAX_MS,
    STANDBY_AFTER_MIN_MS,
    STANDBY_AFTER_MS,
)
from zmqnode.config.place import PORT_MAX, Place, is_url, parse_http, parse_place
from zmqnode.config.schema import Field, Reading, Section, flat, nearest, typed
from zmqnode.config.secret import Secret, parse_secret, redact
from zmqnode.errors import Invalid

NODE_FILE: Final = "node.yml"
GENESIS_FILE: Final = "genesis.yml"
OPEN_METRICS_WARNING: Final = (
    "whoever reaches this address may read the metrics: nothing there is encrypted or asked for"
)


def parse_network_id(text: str) -> str:
    """A chain's name: 1 to 64 printable characters without spaces; raises ``config_invalid``."""
    plain = text.isprintable() and not any(char.isspace() for char in text)
    if not plain or not 1 <= len(text) <= NETWORK_ID_CHARS_MAX or redact(text) != text:
        message = f"a network-id is 1 to {NETWORK_ID_CHARS_MAX} printable characters, no spaces"
        raise Invalid("config_invalid", message)
    return text


def _own_place(text: str) -> Place:
    """A url, or a port alone, which is on the host of network.url (host empty until then)."""
    if text.isascii() and text.isdigit() and 1 <= int(text) <= PORT_MAX:
        return Place(host="", port=int(text))
    return parse_place(text)


def _target(text: str) -> str:
    if is_url(text):
        parse_place(text)
    return text


NODE: Final = Section(
    doc="One copy of a node",
    fields={
        "address": Field(
            kind="text",
            doc="the member's name, ending in sas",
            required=True,
            check=parse_address,
            pattern="^[A-Za-z0-9_-]{1,61}sas$",
        ),
        "network-id": Field(
            kind="text", doc="the chain's name", required=True, check=parse_network_id
        ),
        "privatekey": Field(
            kind="text",
            doc="the address's identity key: file:PATH, env:NAME, cred:NAME, - or the key itself",
            required=True,
            check=parse_secret,
            secret=True,
        ),
        "network": Section(
            doc="where the node listens",
            required=True,
            fields={
                "url": Field(
                    kind="text",
                    doc="the client door, tcp://HOST:PORT",
                    required=True,
                    check=parse_place,
                ),
                "peers": Field(
                    kind="text",
                    doc="the peers' door, a url or a port (default: the next port)",
                    check=_own_place,
                    port_too=True,
                ),
                "publish": Field(
                    kind="text",
                    doc="the PUB socket, a url or a port (default: the port after that)",
                    check=_own_place,
                    port_too=True,
                ),
                "bootstrap": Field(
                    kind="texts",
                    doc="targets to ask first (default: the urls of the genesis)",
                    default=(),
                    greatest=BOOTSTRAP_MAX,
                    check=_target,
                ),
            },
        ),
        "genesis": Field(kind="text", doc="path of the genesis file", default=GENESIS_FILE),
        "data": Field(kind="text", doc="data folder (default: the file's folder)", default="."),
        "app": Field(kind="text", doc="kv, currency or MODULE:APP", default="kv"),
        "app-path": Field(
            kind="texts", doc="folders searched for MODULE", default=(), greatest=APP_PATHS_MAX
        ),
        "standby": Section(
            doc="what a standby does by itself",
            fields={
                "auto": Field(
                    kind="bool", doc="take over when the active copy is gone", default=False
                ),
                "after_ms": Field(
                    kind="int",
                    doc="how long it must be gone",
                    default=STANDBY_AFTER_MS,
                    least=STANDBY_AFTER_MIN_MS,
                    greatest=STANDBY_AFTER_MAX_MS,
                ),
            },
        ),
        "handover": Section(
            doc="how the active copy answers a standby",
            fields={
                "consent": Field(
                    kind="text",
                    doc="auto, or ask: wait for `handover consent`",
                    default="auto",
                    choices=("auto", "ask"),
                ),
            },
        ),
        "log": Section(
            doc="the log on stderr",
            fields={
                "level": Field(
                    kind="text",
                    doc="least level written",
                    default="info",
                    choices=("debug", "info", "warning", "error"),
                ),
                "format": Field(
                    kind="text",
                    doc="text for people, json for machines",
                    default="text",
                    choices=("text", "json"),
                ),
            },
        ),
        "metrics": Section(
            doc="the port that Prometheus reads; without a url there is none",
            fields={
                "url": Field(
                    kind="text",
                    doc="http://HOST:PORT, or a port on 127.0.0.1; serves /metrics and /healthz",
                    check=parse_http,
                    port_too=True,
                ),
            },
        ),
        "faults": Field(
            kind="bool", doc="obey `testnet cut`; for local networks only", default=False
        ),
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A node.yml that was read and found right; all paths absolute."""

    file: Path
    address: Address
    network_id: str
    privatekey: Secret
    url: Place  # The client door.
    peers: Place  # The peers' door.
    publish: Place  # The PUB socket.
    bootstrap: tuple[str, ...]  # Targets; empty: the urls of the genesis.
    genesis: Path
    data: Path
    app: str
    app_path: tuple[Path, ...]
    standby_auto: bool
    standby_after_ms: int
    handover_consent: str  # auto ask
    log_level: str  # debug info warning error
    log_format: str  # text json
    metrics: Place | None  # The HTTP port of metrics; None: there is none.
    faults: bool

    @classmethod
    def load(cls, path: str | Path) -> Config:
        """Reads node.yml, or the one in a folder.

        Raises:
            Invalid: ``file_missing``; ``config_invalid``, details ``findings`` (file, line,
            column, path, message,
                suggestion).
        """
        config, _ = load_node(Path(path))
        return config

    def json(self) -> dict[str, object]:
        """All values under the keys of the file; the private key as its reference."""
        return {
            "address": self.address,
            "network-id": self.network_id,
            "privatekey": self.privatekey.shown,
            "network": {
                "url": self.url.text,
                "peers": self.peers.text,
                "publish": self.publish.text,
                "bootstrap": self.bootstrap,
            },
            "genesis": str(self.genesis),
            "data": str(self.data),
            "app": self.app,
            "app-path": tuple(str(path) for path in self.app_path),
            "standby": {"auto": self.standby_auto, "after_ms": self.standby_after_ms},
            "handover": {"consent": self.handover_consent},
            "log": {"level": self.log_level, "format": self.log_format},
            "metrics": {"url": None if self.metrics is None else self.metrics.http},
            "faults": self.faults,
        }

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line each, for stderr."""
        found = []
        if self.privatekey.warning is not None:
            found.append(f"{self.file}: privatekey: {self.privatekey.warning}")
        if self.metrics is not None and not self.metrics.is_loopback:
            found.append(f"{self.file}: metrics.url: {OPEN_METRICS_WARNING}")
        return tuple(found)


def node_file(path: Path) -> Path:
    """The node.yml a path means: itself, or the one in the folder."""
    return path / NODE_FILE if path.is_dir() else path


def load_node(path: Path) -> tuple[Config, dict[str, str]]:
    """The config, and where each value stood by dotted path: ``FILE:LINE:COLUMN``, ``default``."""
    file = node_file(path)
    document = Document(file=str(file))
    root = compose(document, read_text(file, CONFIG_BYTES_MAX))
    reading = Reading(document=document)
    values = reading.section(root, NODE)
    document.refuse()
    places = _places(reading, cast(Mapping[str, object], values["network"]))
    _check_metrics(reading, cast(Mapping[str, object], values["metrics"]), places)
    document.refuse()
    origins = {dotted: _origin(reading, str(file), dotted) for dotted in flat(NODE)}
    return _config(file, values, places), origins


def _config(file: Path, values: dict[str, object], places: tuple[Place, ...]) -> Config:
    folder = file.parent.absolute()
    read = cast(dict[str, dict[str, object]], values)
    secret = cast(Secret, values["privatekey"])
    return Config(
        file=file.absolute(),
        address=cast(Address, values["address"]),
        network_id=cast(str, values["network-id"]),
        privatekey=Secret(kind=secret.kind, name=secret.name, folder=folder),
        url=places[0],
        peers=places[1],
        publish=places[2],
        bootstrap=cast(tuple[str, ...], read["network"]["bootstrap"]),
        genesis=_path(folder, values["genesis"]),
        data=_path(folder, values["data"]),
        app=cast(str, values["app"]),
        app_path=tuple(_path(folder, one) for one in cast(tuple[str, ...], values["app-path"])),
        standby_auto=cast(bool, read["standby"]["auto"]),
        standby_after_ms=cast(int, read["standby"]["after_ms"]),
        handover_consent=cast(str, read["handover"]["consent"]),
        log_level=cast(str, read["log"]["level"]),
        log_format=cast(str, read["log"]["format"]),
        metrics=cast("Place | None", read["metrics"]["url"]),
        faults=cast(bool, values["faults"]),
    )


def _path(folder: Path, text: object) -> Path:
    # No resolve(): a link in the operator's text stays as it was written in messages.
    return Path(str(folder / Path(cast(str, text)).expanduser()))


def _places(reading: Reading, network: Mapping[str, object]) -> tuple[Place, ...]:
    """The three doors; ports not given follow the first."""
    url = cast(Place, network["url"])
    mark = reading.origins["network.url"]
    doors = [url]
    for step, name in ((1, "peers"), (2, "publish")):
        given = cast(Place | None, network[name])
        if given is None and url.port + step > PORT_MAX:
            message = f"leaves no port for network.{name}; give one"
            reading.document.add(mark, "network.url", message)
            continue
        place = url.shifted(step) if given is None else given
        doors.append(place if place.host else Place(host=url.host, port=place.port))
        if (doors[-1].host, doors[-1].port) in [(door.host, door.port) for door in doors[:-1]]:
            where = reading.origins.get(f"network.{name}", mark)
            reading.document.add(
                where, f"network.{name}", f"{doors[-1].url} is taken by another door"
            )
    return tuple(doors)


def _check_metrics(
    reading: Reading, metrics: Mapping[str, object], doors: tuple[Place, ...]
) -> None:
    """The port of metrics is none of the doors'."""
    place = cast(Place | None, metrics["url"])
    if place is not None and (place.host, place.port) in [(one.host, one.port) for one in doors]:
        message = f"{place.host}:{place.port} is a door of the network; take another port"
        reading.document.add(reading.origins["metrics.url"], "metrics.url", message)


def _origin(reading: Reading, file: str, dotted: str) -> str:
    mark = reading.origins.get(dotted)
    return "default" if mark is None else f"{file}:{mark.line + 1}:{mark.column + 1}"


def parse_setting(text: str) -> tuple[str, object]:
    """``PATH=VALUE`` for a node.yml, with the value as the file would hold it.

    Raises:
        Invalid: ``config_invalid``, with the nearest path as the hint.
    """
    path, equals, value = text.partition("=")
    fields = flat(NODE)
    field = fields.get(path)
    if not equals or field is None:
        meant = nearest(path, list(fields))
        shown = repr(redact(path)[:80])
        hint = f"did you mean {meant}=VALUE?" if meant else "write PATH=VALUE"
        raise Invalid("config_invalid", f"{shown} is no setting of node.yml", hint=hint)
    try:
        checked = typed(value, field)
    except ValueError as error:
        raise Invalid("config_invalid", f"{path} {error}", hint=field.doc) from None
    if field.kind == "texts":
        return path, [value]
    return path, value if field.kind == "text" else checked


def node_text(values: Mapping[str, object]) -> str:
    """The text of a node.yml.

    Args:
        values: dotted paths (``network.url``) to texts, ints, bools or lists of texts.
    """
    tree: dict[str, object] = {}
    for path, value in values.items():
        *folders, last = path.split(".")
        place = tree
        for folder in folders:
            place = cast(dict[str, object], place.setdefault(folder, {}))
        place[last] = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=1000)
