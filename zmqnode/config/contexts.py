"""Contexts: a person's names for targets, in ``$ZMQNODE_HOME/contexts.yml``.

``ZMQNODE_HOME`` is by default the folder ``zmqnode`` in the user's config folder. A context holds a
target, perhaps a reference to the key that signs (never a key), and the genesis hashes seen there,
by public key: who is met again must be of the same chain.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, cast

import yaml

from zmqnode.base.keys import looks_private
from zmqnode.config.document import Document, compose, entries, read_text
from zmqnode.config.limits import CONFIG_BYTES_MAX, CONTEXTS_MAX
from zmqnode.config.schema import Field, Reading, Section, nearest
from zmqnode.config.secret import parse_secret, redact
from zmqnode.errors import Invalid, Refused

HOME_VARIABLE: Final = "ZMQNODE_HOME"
CONTEXTS_FILE: Final = "contexts.yml"
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def _pin(text: str) -> str:
    if re.fullmatch(r"\S{1,80}=[0-9a-f]{64}", text) is None:
        raise Invalid("config_invalid", "is no PUBLICKEY=HASH")
    return text


def _reference(text: str) -> str:
    parse_secret(text)
    if looks_private(text):
        raise Invalid("config_invalid", "a key does not belong here; write file:PATH or env:NAME")
    return text


_CONTEXT: Final = Section(
    doc="A name for a target",
    fields={
        "target": Field(kind="text", doc="a url or an absolute path", required=True),
        "sign": Field(
            kind="text", doc="reference to the signing key", check=_reference, secret=True
        ),
        "genesis": Field(
            kind="texts", doc="PUBLICKEY=HASH as first met", default=(), greatest=100, check=_pin
        ),
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a name stands for."""

    name: str
    target: str
    sign: str | None = None  # A reference, no key.
    genesis: Mapping[str, str] = field(default_factory=dict)  # Public key text to genesis hash.

    def json(self) -> dict[str, object]:
        """The object of ``ctx``."""
        return {"name": self.name, "target": self.target, "sign": self.sign}


def home() -> Path:
    """The folder of this user's own files; it need not exist."""
    given = os.environ.get(HOME_VARIABLE)
    if given:
        return Path(given)
    folder = os.environ.get("XDG_CONFIG_HOME")
    return Path(folder if folder else Path.home() / ".config") / "zmqnode"


def load_contexts() -> dict[str, Context]:
    """All contexts by name, in name order; none if there is no file.

    Raises:
        Invalid: ``config_invalid``, the file was damaged by hand.
    """
    file = home() / CONTEXTS_FILE
    if not file.exists():
        return {}
    text = read_text(file, CONFIG_BYTES_MAX)
    if not text.strip() or text.strip() == "{}":
        return {}
    document = Document(file=str(file))
    root = compose(document, text)
    reading = Reading(document=document)
    found: dict[str, Context] = {}
    for name, key, node in entries(document, root, ""):
        if NAME.fullmatch(name) is None:
            document.add(key.start_mark, "", "is no name for a context")
        elif not isinstance(node, yaml.MappingNode):
            document.add(node.start_mark, name, "must be a map with a target")
        else:
            found[name] = _context(name, reading.section(node, _CONTEXT, name))
    document.refuse()
    return dict(sorted(found.items()))


def find_context(name: str, nodes: Sequence[str] = ()) -> Context:
    """One context; raises Invalid ``unknown_context`` with the nearest name as the hint.

    Args:
        nodes: names that would have meant nodes of the testnet in use.
    """
    contexts = load_contexts()
    if name not in contexts:
        known = [*nodes, *contexts]
        meant = nearest(name, known)
        hint = f"there are: {', '.join(known)}" if known else "zmqnode ctx add NAME TARGET"
        if meant and len(name) > 2:  # Of two letters, everything is near.
            hint = f"did you mean {meant}?"
        if Path(name).is_dir():
            hint = f"a folder is named by a path: ./{name}"
        shown = repr(redact(name)[:80])
        raise Invalid(
            "unknown_context", f"{shown} is no node of a testnet and no context", hint=hint
        )
    return contexts[name]


def add_context(context: Context) -> None:
    """A new context.

    Raises:
        Refused: ``already_exists``.
        Invalid: ``usage`` for a name that cannot be.
    """
    if NAME.fullmatch(context.name) is None or redact(context.name) != context.name:
        hint = "letters, digits, - and _, at most 64, so that it is no url and no path"
        shown = repr(redact(context.name)[:80])
        raise Invalid("usage", f"{shown} is no name for a context", hint=hint)
    contexts = load_contexts()
    if context.name in contexts:
        hint = f"zmqnode ctx rm {context.name}"
        text = f"there is a context {context.name}"
        raise Refused("already_exists", text, hint=hint, name=context.name)
    if len(contexts) >= CONTEXTS_MAX:
        raise Refused("already_exists", f"there are {CONTEXTS_MAX} contexts; remove one first")
    _save({**contexts, context.name: context})


def remove_context(name: str) -> Context:
    """Forgets a context; raises Invalid ``unknown_context``."""
    gone = find_context(name)
    _save({key: one for key, one in load_contexts().items() if key != name})
    return gone


def pin_genesis(name: str, publickey: str, genesis_hash: str) -> None:
    """Remembers the chain first met behind a context's key; a hash that is there stays."""
    contexts = load_contexts()
    context = contexts.get(name)
    if context is not None and publickey not in context.genesis:
        pins = {**context.genesis, publickey: genesis_hash}
        _save({**contexts, name: replace(context, genesis=pins)})


def _context(name: str, values: dict[str, object]) -> Context:
    pins = [text.partition("=") for text in cast(tuple[str, ...], values["genesis"])]
    return Context(
        name=name,
        target=cast(str, values["target"]),
        sign=cast(str | None, values["sign"]),
        genesis={key: value for key, _, value in pins},
    )


def _save(contexts: Mapping[str, Context]) -> None:
    """Replaces the file in one step; two commands at once lose no file, only one's change."""
    tree: dict[str, dict[str, object]] = {}
    for name, context in sorted(contexts.items()):
        row: dict[str, object] = {"target": context.target}
        if context.sign is not None:
            row["sign"] = context.sign
        if context.genesis:
            row["genesis"] = [f"{key}={value}" for key, value in sorted(context.genesis.items())]
        tree[name] = row
    folder = home()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, path = tempfile.mkstemp(dir=folder, prefix=".contexts-")
    except OSError as error:
        raise Invalid("file_missing", f"cannot write in {folder}: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        yaml.safe_dump(tree, file, sort_keys=False, allow_unicode=True, width=1000)
    Path(path).replace(folder / CONTEXTS_FILE)
