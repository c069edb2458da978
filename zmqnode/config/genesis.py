"""genesis.yml and entry.yml: YAML to ``base.genesis`` values, with line and column, and back.

A genesis file is assembled from entries, one per member, each signed by the member's identity key.
What those signatures cover, whether they are right and how the whole is hashed is said in ``base``;
here is the form alone.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

import yaml

from zmqnode.base.genesis import Entry, Genesis
from zmqnode.base.keys import (
    SIGNATURE_BYTES,
    Address,
    PublicKey,
    Signature,
    curve_public,
    parse_address,
    parse_public,
    public_text,
)
from zmqnode.base.params import BOUNDS, Params
from zmqnode.base.suffrage import MEMBERS_MAX
from zmqnode.config.document import Document, compose, read_text
from zmqnode.config.limits import CONFIG_BYTES_MAX, GENESIS_BYTES_MAX, GENESIS_DATA_BYTES_MAX
from zmqnode.config.node import parse_network_id
from zmqnode.config.place import parse_place
from zmqnode.config.schema import Field, Reading, Rows, Section, nearest, typed
from zmqnode.errors import Invalid

APP_VERSION_MAX: Final = 2**31 - 1


def _key(text: str) -> PublicKey:
    public = parse_public(text)
    curve_public(public)  # A key CURVE cannot use would cut its owner off.
    return public


def _signature(text: str) -> Signature:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != SIGNATURE_BYTES or text != raw.hex():
        raise Invalid("config_invalid", f"is no signature: {2 * SIGNATURE_BYTES} hex digits")
    return Signature(raw)


def _data(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Invalid("config_invalid", "is no base64 text") from None
    if len(data) > GENESIS_DATA_BYTES_MAX:
        raise Invalid("config_invalid", f"is larger than {GENESIS_DATA_BYTES_MAX} bytes")
    return data


def _url(text: str) -> str:
    return parse_place(text).url


_MEMBER: Final[Mapping[str, Field]] = {
    "address": Field(kind="text", doc="the member's name", required=True, check=parse_address),
    "publickey": Field(kind="text", doc="its identity key, ..mpu", required=True, check=_key),
    "instance": Field(
        kind="text", doc="the instance key that votes first", required=True, check=_key
    ),
    "url": Field(kind="text", doc="where it is, tcp://HOST:PORT", required=True, check=_url),
    "signature": Field(
        kind="text", doc="by the identity key, in hex", required=True, check=_signature
    ),
}
_NETWORK_ID: Final = Field(
    kind="text", doc="the chain's name", required=True, check=parse_network_id
)
_DEFAULTS: Final = Params().named()
_PARAMS: Final = {
    name: Field(
        kind="int",
        doc=f"chain parameter {name}",
        default=_DEFAULTS[name],
        least=least,
        greatest=greatest,
    )
    for name, (least, greatest) in BOUNDS.items()
}
ENTRY: Final = Section(
    doc="One member's genesis entry", fields={"network-id": _NETWORK_ID, **_MEMBER}
)
GENESIS: Final = Section(
    doc="The beginning of a chain",
    fields={
        "network-id": _NETWORK_ID,
        "app": Section(
            doc="the application",
            required=True,
            fields={
                "name": Field(kind="text", doc="its name", required=True, chars_max=64),
                "version": Field(
                    kind="int",
                    doc="its version",
                    required=True,
                    default=1,
                    least=1,
                    greatest=APP_VERSION_MAX,
                ),
            },
        ),
        "params": Section(doc="chain parameters", fields=_PARAMS),
        "entries": Rows(
            doc="the first members",
            row=Section(doc="a member", fields=_MEMBER),
            least=1,
            greatest=MEMBERS_MAX,
            required=True,
        ),
        "data": Field(
            kind="text",
            doc="base64, for the application's genesis",
            default=b"",
            check=_data,
            chars_max=2 * GENESIS_DATA_BYTES_MAX,
        ),
    },
)


def load_genesis(path: Path) -> Genesis:
    """Reads a genesis.yml.

    Raises:
        Invalid: ``file_missing``; ``config_invalid``, details ``findings``.
    """
    document, reading, values = _read(path, GENESIS, GENESIS_BYTES_MAX)
    app = cast(dict[str, object], values["app"])
    rows = cast(tuple[dict[str, object], ...], values["entries"])
    _distinct(reading, rows)
    params = _params(reading, cast(dict[str, int], values["params"]))
    document.refuse()
    entries = tuple(sorted((_entry(row) for row in rows), key=lambda entry: entry.address))
    return Genesis(
        network_id=cast(str, values["network-id"]),
        app=cast(str, app["name"]),
        app_version=cast(int, app["version"]),
        params=params,
        entries=entries,
        data=cast(bytes, values["data"]),
    )


def load_entry(path: Path) -> tuple[str, Entry]:
    """Reads an entry.yml: the network-id it is for, and the entry."""
    _, _, values = _read(path, ENTRY, CONFIG_BYTES_MAX)
    return cast(str, values["network-id"]), _entry(values)


def genesis_text(genesis: Genesis) -> str:
    """The text of a genesis.yml; :func:`load_genesis` gives the same value back."""
    tree: dict[str, object] = {
        "network-id": genesis.network_id,
        "app": {"name": genesis.app, "version": genesis.app_version},
        "params": genesis.params.named(),
        "entries": [_row(entry) for entry in genesis.entries],
    }
    if genesis.data:
        tree["data"] = base64.b64encode(genesis.data).decode()
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=1_000_000)


def entry_text(network_id: str, entry: Entry) -> str:
    """The text of an entry.yml."""
    tree = {"network-id": network_id, **_row(entry)}
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=1000)


def parse_param(text: str) -> tuple[str, int]:
    """``params.X=V`` of ``--set``; bounds between parameters are checked by ``Params.of``.

    Raises:
        Invalid: ``config_invalid``, with the nearest name as the hint.
    """
    path, equals, value = text.partition("=")
    name = path.removeprefix("params.")
    field = _PARAMS.get(name)
    if not equals or path == name or field is None:
        meant = nearest(name, list(_PARAMS))
        hint = f"did you mean params.{meant}=VALUE?" if meant else "write params.NAME=VALUE"
        raise Invalid("config_invalid", f"{path[:80]!r} is no chain parameter", hint=hint)
    try:
        return name, cast(int, typed(value, field))
    except ValueError as error:
        raise Invalid("config_invalid", f"{path} {error}", hint=field.doc) from None


def _read(path: Path, section: Section, limit: int) -> tuple[Document, Reading, dict[str, object]]:
    document = Document(file=str(path))
    root = compose(document, read_text(path, limit))
    reading = Reading(document=document)
    values = reading.section(root, section)
    document.refuse()
    return document, reading, values


def _params(reading: Reading, given: dict[str, int]) -> Params:
    """The parameters; what contradicts another one is a finding at the line of the section."""
    try:
        return Params.of(given)
    except Invalid as error:
        path = f"params.{error.details['parameter']}"
        mark = reading.origins.get(path, reading.origins.get("params"))
        reading.document.add(mark, path, error.message.removeprefix(f"{path} "))
        return Params()


def _distinct(reading: Reading, rows: tuple[dict[str, object], ...]) -> None:
    """No address stands there twice; keys and urls are judged by ``base.genesis``."""
    seen: dict[object, int] = {}
    for index, row in enumerate(rows):
        first = seen.setdefault(row["address"], index)
        if first != index:
            path = f"entries[{index}].address"
            message = f"is the same as that of entries[{first}]"
            reading.document.add(reading.origins.get(path), path, message)


def _entry(row: dict[str, object]) -> Entry:
    return Entry(
        address=cast(Address, row["address"]),
        publickey=cast(PublicKey, row["publickey"]),
        instance=cast(PublicKey, row["instance"]),
        url=cast(str, row["url"]),
        signature=cast(Signature, row["signature"]),
    )


def _row(entry: Entry) -> dict[str, object]:
    return {
        "address": entry.address,
        "publickey": public_text(entry.publickey),
        "instance": public_text(entry.instance),
        "url": entry.url,
        "signature": entry.signature.hex(),
    }
