"""The contract's shapes as it writes them, ``{ok, height?, results [{index, name}]}``, checked.

A shape is the text of the contract. Types follow names, by the rules of its section 1; what a shape
says itself (``[text]``, ``{..}``, ``int``) goes before a name's rule. Keys not listed are ignored.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

INTEGERS = (
    *("*height", "*epoch*", "*_ms", "*_bytes", "*seed", "round", "index", "n", "f", "q", "pid"),
    *("line", "column"),
)
COUNTS = (
    *("sent", "accepted", "committed", "rejected", "refused", "undecided", "lost", "doubled"),
    *("blocks", "operations", "signatures", "handovers", "peers", "ignored_ballots", "evidence"),
    *("seals", "bytes", "margin", "live_others", "dropped", "queue_messages", "strikes"),
    *("operations_count", "lag_blocks", "passed", "runs", "missed_ballots", "extra_rounds"),
    *("lost_operations", "states", "transitions", "forks"),
    *("peers_ready", "peers_needed", "shadow_matches", "shadow_needed"),
)
FRACTIONS = ("seconds", "rtt_ms", "*_per_s", "*_per_hour", "p50", "p90", "p99", "max", "median")
BOOLEANS = ("ok", "live", "connected", "draw", "signature_ok", "verified", "complete", "met")
HASHES = ("*hash", "*_root", "seal", "digest")
KEYS = ("publickey", "*instance", "sender")

HASH = re.compile(r"[0-9a-f]{64}")
PUBLIC_KEY = re.compile(r"[1-9A-HJ-NP-Za-km-z]{40,60}mpu")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One listed key: its name, whether it may be null, what its value must be."""

    name: str
    nullable: bool
    shape: Shape | None  # None: the name's own rule.


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """An object with these keys, a list of a shape, or a named scalar."""

    keys: tuple[Key, ...] | None = None
    item: Shape | None = None
    scalar: str = ""


class Reader:
    """A recursive descent over the text of a shape."""

    def __init__(self, text: str, known: Mapping[str, str]) -> None:
        self.tokens = re.findall(r"\.\.|[A-Za-z_][A-Za-z0-9_]*|[{}\[\],*?]", text)
        self.known = known

    def take(self, token: str) -> bool:
        if self.tokens and self.tokens[0] == token:
            self.tokens.pop(0)
            return True
        return False

    def shape(self) -> Shape:
        if self.take("{"):
            keys: list[Key] = []
            while not self.take("}"):
                if not self.take(".."):
                    keys.extend(self.key())
                self.take(",")
            return Shape(keys=tuple(keys))
        if self.take("["):
            item = self.shape()
            assert self.take("]"), self.tokens
            return Shape(item=item)
        name = self.tokens.pop(0)
        if name in self.known:
            return read(self.known[name], self.known)
        return Shape(scalar=name)

    def key(self) -> list[Key]:
        name = self.tokens.pop(0)
        moment = self.take("*")
        nullable = self.take("?")
        shape = None
        if self.tokens[0] not in (",", "}", "?"):
            shape = self.shape()
        nullable = self.take("?") or nullable
        if moment:
            text, number = Shape(scalar="instant"), Shape(scalar="int")
            return [
                Key(name=name, nullable=nullable, shape=text),
                Key(name=f"{name}_ms", nullable=nullable, shape=number),
            ]
        return [Key(name=name, nullable=nullable, shape=shape)]


def read(text: str, known: Mapping[str, str]) -> Shape:
    reader = Reader(text, known)
    shape = reader.shape()
    assert reader.tokens == [], f"not read: {reader.tokens}"
    return shape


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    return is_int(value) or isinstance(value, float)


def is_text(value: object) -> bool:
    return isinstance(value, str)


def is_base64(value: object) -> bool:
    try:
        return isinstance(value, str) and base64.b64decode(value, validate=True) is not None
    except binascii.Error:
        return False


def fits(pattern: re.Pattern[str]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


SCALARS: dict[str, Callable[[object], bool]] = {
    "int": is_int,
    "number": is_number,
    "bool": lambda value: isinstance(value, bool),
    "text": is_text,
    "hash": fits(HASH),
    "key": fits(PUBLIC_KEY),
    "instant": fits(INSTANT),
    "base64": is_base64,
    "any": lambda value: True,
}


def rule_of(name: str) -> str:
    """The scalar a name stands for, by section 1."""
    for scalar, patterns in (
        ("number", FRACTIONS),
        ("bool", BOOLEANS),
        ("hash", HASHES),
        ("key", KEYS),
        ("int", INTEGERS),
        ("int", COUNTS),
    ):
        if matches(name, patterns):
            return scalar
    return "text"


def deviations(value: object, shape: Shape, path: str = "answer") -> list[str]:
    """Where a value is not what the shape says; empty if all is well."""
    if shape.keys is not None:
        if not isinstance(value, dict):
            return [f"{path}: no object: {value!r}"]
        found = []
        for key in shape.keys:
            found += deviations_of_key(value, key, path)
        return found
    if shape.item is not None:
        if not isinstance(value, list):
            return [f"{path}: no list: {value!r}"]
        return [
            line
            for index, item in enumerate(value)
            for line in deviations(item, shape.item, f"{path}[{index}]")
        ]
    scalar = shape.scalar if shape.scalar in SCALARS else rule_of(shape.scalar)
    return [] if SCALARS[scalar](value) else [f"{path}: not {scalar}: {value!r}"]


def deviations_of_key(value: dict[str, object], key: Key, path: str) -> list[str]:
    if key.name not in value:
        return [f"{path}.{key.name}: missing"]
    inner = value[key.name]
    if inner is None:
        return [] if key.nullable else [f"{path}.{key.name}: null"]
    shape = key.shape or Shape(scalar=rule_of(key.name))
    return deviations(inner, shape, f"{path}.{key.name}")
