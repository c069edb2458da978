"""The shape of a config file as a table, and the one reader that checks a tree against it.

From the same table come the values, the findings with line and column, the origins ``config show``
prints and the JSON Schema. A scalar means what the table says: text stays text (``no``, ``007``),
an int is decimal digits.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import yaml

from zmqnode.base.keys import looks_private
from zmqnode.config.document import Document, Node, entries, join
from zmqnode.config.limits import TEXT_CHARS_MAX
from zmqnode.config.place import PORT_MAX
from zmqnode.config.secret import redact
from zmqnode.errors import ZmqnodeError

Check = Callable[[str], object]
"""Turns a text into the value to keep, or raises a ZmqnodeError that says why not."""

_INT: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_NOTHING: Final = ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One scalar, or a list of texts."""

    kind: str  # text int bool texts (a list of texts; a lone text is a list of one)
    doc: str
    default: object = None  # Kept when the key is absent; not checked.
    required: bool = False
    least: int | None = None
    greatest: int | None = None  # Of an int; of texts, how many.
    choices: tuple[str, ...] = ()
    check: Check | None = None  # Of each text.
    secret: bool = False  # Its text never stands in a finding.
    chars_max: int = TEXT_CHARS_MAX
    port_too: bool = False  # A text that may be a port alone: to a YAML reader that is an int.
    pattern: str = ""  # For the JSON Schema: what every right text matches (ECMA 262).


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A map with known keys."""

    doc: str
    fields: Mapping[str, Item]
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A list of maps, all with the same known keys."""

    doc: str
    row: Section
    least: int = 0
    greatest: int = 100
    required: bool = False


Item = Field | Section | Rows


@dataclass(slots=True, kw_only=True)
class Reading:
    """What came out of a file: nested values, and where each one stood."""

    document: Document
    origins: dict[str, yaml.Mark] = field(default_factory=dict)

    def section(
        self, node: yaml.MappingNode, section: Section, path: str = ""
    ) -> dict[str, object]:
        """The values of a map; absent keys have their defaults, wrong ones are findings."""
        values: dict[str, object] = {}
        for key, key_node, value in entries(self.document, node, path):
            item = section.fields.get(key)
            here = join(path, key)
            if item is None:
                shown, nearest = _unknown(key, section.fields, path)
                self.document.add(key_node.start_mark, here, shown, nearest)
                continue
            values[key] = self.item(value, item, here)
        for key, item in section.fields.items():
            if key not in values:
                values[key] = self._absent(node, item, join(path, key))
        return values

    def item(self, node: Node, item: Item, path: str) -> object:
        """The value of one key."""
        self.origins[path] = node.start_mark
        match item:
            case Field(kind="texts"):
                return self._texts(node, item, path)
            case Field():
                return self._scalar(node, item, path)
            case Section():
                if not isinstance(node, yaml.MappingNode):
                    known = ", ".join(item.fields)
                    self.document.add(node.start_mark, path, f"must be a map with keys of: {known}")
                    return self._absent(node, item, path)
                return self.section(node, item, path)
            case Rows():
                return self._rows(node, item, path)

    def _absent(self, node: Node, item: Item, path: str) -> object:
        if item.required and path not in self.origins:
            self.document.add(node.start_mark, path, f"is missing: {item.doc}")
        match item:
            case Field():
                return item.default
            case Rows():
                return ()
            case Section():
                # The keys of an absent map: said once, for the map.
                inner = {} if item.required else item.fields
                return {key: self._absent(node, one, join(path, key)) for key, one in inner.items()}

    def _rows(self, node: Node, rows: Rows, path: str) -> tuple[object, ...]:
        if not isinstance(node, yaml.SequenceNode):
            self.document.add(node.start_mark, path, "must be a list of maps (- in front of each)")
            return ()
        if not rows.least <= len(node.value) <= rows.greatest:
            message = f"has {len(node.value)} entries, not {rows.least} to {rows.greatest}"
            self.document.add(node.start_mark, path, message)
            return ()
        return tuple(
            self.item(child, rows.row, f"{path}[{index}]") for index, child in enumerate(node.value)
        )

    def _texts(self, node: Node, item: Field, path: str) -> tuple[object, ...]:
        if isinstance(node, yaml.MappingNode):
            self.document.add(node.start_mark, path, "must be a list of texts")
            return ()
        children = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if item.greatest is not None and len(children) > item.greatest:
            self.document.add(node.start_mark, path, f"has more than {item.greatest} entries")
            return ()
        return tuple(
            self._scalar(child, item, f"{path}[{index}]" if len(children) > 1 else path)
            for index, child in enumerate(children)
        )

    def _scalar(self, node: Node, item: Field, path: str) -> object:
        if not isinstance(node, yaml.ScalarNode):
            self.document.add(node.start_mark, path, f"must be {_NAMES[item.kind]}")
            return item.default
        try:
            return typed(node.value, item, plain=node.style is None)
        except ValueError as error:
            self.document.add(node.start_mark, path, str(error), _choice(node.value, item))
        except ZmqnodeError as error:
            self.document.add(node.start_mark, path, error.message)
        return item.default


def typed(text: str, item: Field, *, plain: bool = True) -> object:
    """The value a text has where ``item`` is expected.

    Args:
        text: the scalar as it was written, without its quotes.
        plain: whether it was written without quotes; ints and bools are.
    Raises:
        ValueError: it is no such value; the message may quote the text, but no secret.
        ZmqnodeError: the field's own check refused it.
    """
    shown = "this" if item.secret else repr(redact(text)[:60])
    if plain and text in _NOTHING:
        raise ValueError(f"has no value; it must be {_NAMES[item.kind]}")
    match item.kind:
        case "int":
            return _int(text, item, shown, plain=plain)
        case "bool":
            if not plain or text not in ("true", "false"):
                raise ValueError(f"must be true or false, not {shown}")
            return text == "true"
        case _:
            if len(text) > item.chars_max or not text.isprintable():
                raise ValueError(f"must be printable text of at most {item.chars_max} characters")
            if item.choices and text not in item.choices:
                raise ValueError(f"must be one of {', '.join(item.choices)}, not {shown}")
            return text if item.check is None else item.check(text)


def json_schema(item: Item) -> dict[str, object]:
    """The JSON Schema of a table (draft 2020-12); cross checks between keys are not in it."""
    match item:
        case Field():
            return _field_schema(item)
        case Rows():
            return {
                "type": "array",
                "description": item.doc,
                "items": json_schema(item.row),
                "minItems": item.least,
                "maxItems": item.greatest,
            }
        case Section():
            required = [key for key, one in item.fields.items() if one.required]
            return {
                "type": "object",
                "description": item.doc,
                "properties": {key: json_schema(one) for key, one in item.fields.items()},
                "required": required,
                "additionalProperties": False,
            }


def flat(section: Section, prefix: str = "") -> dict[str, Field]:
    """All scalar fields by dotted path; rows have none."""
    found: dict[str, Field] = {}
    for key, item in section.fields.items():
        if isinstance(item, Field):
            found[prefix + key] = item
        elif isinstance(item, Section):
            found.update(flat(item, f"{prefix}{key}."))
    return found


def nearest(word: str, known: list[str]) -> str | None:
    """The known word that was probably meant."""
    plain = {_plain(one): one for one in reversed(known)}
    found = difflib.get_close_matches(_plain(word), list(plain), n=1, cutoff=0.6)
    return plain[found[0]] if found else None


_NAMES: Final = {
    "text": "a text",
    "texts": "a list of texts",
    "int": "an int",
    "bool": "true or false",
}


def _int(text: str, item: Field, shown: str, *, plain: bool) -> int:
    if not plain or _INT.fullmatch(text) is None:
        raise ValueError(f"must be an int in decimal digits, not {shown}")
    value = int(text)
    if item.least is not None and value < item.least:
        raise ValueError(f"must be at least {item.least}, not {value}")
    if item.greatest is not None and value > item.greatest:
        raise ValueError(f"must be at most {item.greatest}, not {value}")
    return value


def _nearest(key: str, fields: Mapping[str, Item], path: str) -> str | None:
    """A key of this map, or the dotted path of one further in (``url`` for ``network.url``)."""
    inner = flat(Section(doc="", fields=fields))
    # Of two with one last word the first in the table is meant.
    last = {dotted.rpartition(".")[2]: dotted for dotted in reversed(inner)}
    found = nearest(key, [*fields, *inner, *last])
    if found is None:
        return None
    return join(path, found if found in fields else last.get(found, found))


def _unknown(key: str, fields: Mapping[str, Item], path: str) -> tuple[str, str | None]:
    """What to say of a key that is not there, and what was probably meant."""
    if key in flat(Section(doc="", fields=fields)):
        return "no such key: write it as maps within maps, without the dot", None
    nearest = None if looks_private(key) else _nearest(key, fields, path)
    return ("no such key" if nearest else f"no such key; known here: {', '.join(fields)}"), nearest


def _choice(text: str, item: Field) -> str | None:
    return nearest(text, list(item.choices)) if item.choices and not item.secret else None


def _plain(word: str) -> str:
    return word.lower().replace("_", "-")


def _field_schema(item: Field) -> dict[str, object]:
    schema: dict[str, object] = {"description": item.doc}
    one: dict[str, object] = {"type": "string", "maxLength": item.chars_max}
    if item.pattern:
        one["pattern"] = item.pattern
    match item.kind:
        case "int":
            schema["type"] = "integer"
            bounds = {"minimum": item.least, "maximum": item.greatest}
            schema.update({name: bound for name, bound in bounds.items() if bound is not None})
        case "bool":
            schema["type"] = "boolean"
        case "texts":
            schema["anyOf"] = [one, {"type": "array", "items": one, "maxItems": item.greatest}]
        case _ if item.port_too:
            schema["anyOf"] = [one, {"type": "integer", "minimum": 1, "maximum": PORT_MAX}]
        case _:
            schema.update(one)
            if item.choices:
                schema["enum"] = list(item.choices)
    if isinstance(item.default, (str, int, bool)):
        schema["default"] = item.default
    return schema
