"""The types an argument, a result or a stored value may have, compiled into checks.

Theory. The set is closed: ``str int bytes bool list[T] dict[str, T] T | None``. There are no
floats: their text and their rounding differ between machines, and every node must compute the
same block.

Arguments are checked for every operation of every block, so each type is compiled into a closure
(``take``) that checks a value and copies containers in one walk. Copied, because the decoded seal
is shared: an operation that sorts the list it was given must not change what the next execution
of the same seal gets. Paths such as ``value[3].x`` are worked out after a mismatch only.
"""

import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from zmqnode.base.codec import INT_MAX, INT_MIN
from zmqnode.errors import Malformed, Refused

TYPE_DEPTH_MAX: Final = 16  # Nested list, dict and | None of one annotation.

Kind: TypeAlias = Literal["str", "int", "bytes", "bool", "list", "dict", "optional"]
Take: TypeAlias = Callable[[Any], Any]

_SCALARS: Final[dict[type, Kind]] = {str: "str", int: "int", bytes: "bytes", bool: "bool"}
ALLOWED: Final = "str, int, bytes, bool, list[T], dict[str, T] and T | None"


class BadArgument(Refused):
    """An argument that is missing, unknown or of another type than the application declared.

    Attributes:
        path: where, such as ``value[3].x``; empty if it is about the call as a whole.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__("bad_argument", f"{path}: {problem}" if path else problem, path=path)
        self.path = path
        self.problem = problem

    def __reduce__(self) -> tuple[object, ...]:
        return BadArgument, (self.path, self.problem)


class Mismatch(Exception):
    """Raised by a ``take``; the path grows while it passes the containers outwards."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    """One type of the closed set; ``item`` is T of ``list[T]``, ``dict[str, T]``, ``T | None``."""

    kind: Kind
    item: "Type | None" = None

    @property
    def text(self) -> str:
        """As an annotation spells it: ``dict[str, bytes | None]``."""
        match self.kind:
            case "list":
                return f"list[{self.of.text}]"
            case "dict":
                return f"dict[str, {self.of.text}]"
            case "optional":
                return f"{self.of.text} | None"
        return self.kind

    @property
    def of(self) -> "Type":
        """The item type; only containers and ``T | None`` have one."""
        assert self.item is not None
        return self.item

    def take(self) -> Take:
        """A closure that returns the value, containers copied, or raises the mismatch."""
        match self.kind:
            case "list":
                return _take_list(self.of.take(), self.text)
            case "dict":
                return _take_dict(self.of.take(), self.text)
            case "optional":
                return _take_optional(self.of.take())
        return _TAKES[self.kind]

    def check(self, value: object, path: str) -> Any:
        """The value, containers copied. Raises BadArgument with the path of what is wrong."""
        try:
            return self.take()(value)
        except Mismatch as wrong:
            raise BadArgument(path + wrong.path, wrong.problem) from None


def _take_str(value: object) -> object:
    if type(value) is not str:
        raise Mismatch("expected str")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Mismatch("expected str without lone surrogates") from None
    return value


def _take_int(value: object) -> object:
    # Exact types throughout: True is an int to Python, and 1 == True would be two encodings.
    if type(value) is not int:
        raise Mismatch("expected int")
    if not INT_MIN <= value <= INT_MAX:
        raise Mismatch("expected int from -2^63 to 2^64 - 1")
    return value


def _take_bytes(value: object) -> object:
    if type(value) is not bytes:
        raise Mismatch("expected bytes")
    return value


def _take_bool(value: object) -> object:
    if type(value) is not bool:
        raise Mismatch("expected bool")
    return value


_TAKES: Final[dict[str, Take]] = {
    "str": _take_str,
    "int": _take_int,
    "bytes": _take_bytes,
    "bool": _take_bool,
}


def _take_list(take: Take, text: str) -> Take:
    def taken(value: object) -> object:
        if type(value) is not list and type(value) is not tuple:
            raise Mismatch(f"expected {text}")
        copy: list[object] = []
        try:
            for item in value:
                copy.append(take(item))  # its length is the failing index
        except Mismatch as wrong:
            wrong.path = f"[{len(copy)}]{wrong.path}"
            raise
        return copy

    return taken


def _take_dict(take: Take, text: str) -> Take:
    def taken(value: object) -> object:
        if type(value) is not dict:
            raise Mismatch(f"expected {text}")
        for key in value:
            _take_str(key)
        copy = {}
        key = ""
        try:
            # Sorted, as on the wire: an operation may iterate over it.
            for key in sorted(value):
                copy[key] = take(value[key])
        except Mismatch as wrong:
            wrong.path = f".{key}{wrong.path}"
            raise
        return copy

    return taken


def _take_optional(take: Take) -> Take:
    def taken(value: object) -> object:
        return None if value is None else take(value)

    return taken


def type_of(annotation: object, depth: int = 0) -> Type:
    """The type an annotation means.

    Raises:
        ValueError: it is none of the allowed types; the text says which part.
    """
    if depth > TYPE_DEPTH_MAX:
        raise ValueError(f"nested deeper than {TYPE_DEPTH_MAX}")
    if isinstance(annotation, type) and annotation in _SCALARS:
        return Type(kind=_SCALARS[annotation])
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list and len(arguments) == 1:
        return Type(kind="list", item=type_of(arguments[0], depth + 1))
    if origin is dict and len(arguments) == 2 and arguments[0] is str:
        return Type(kind="dict", item=type_of(arguments[1], depth + 1))
    if origin in (typing.Union, types.UnionType):
        others = [one for one in arguments if one is not type(None)]
        if len(others) == 1 and len(arguments) == 2:
            return Type(kind="optional", item=type_of(others[0], depth + 1))
    shown = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    why = " (floats round differently; count in the smallest unit, as int)" * (annotation is float)
    raise ValueError(f"{shown} is none of {ALLOWED}{why}")


def type_from_text(text: object) -> Type:
    """The type a text such as ``dict[str, bytes | None]`` spells, as ``Type.text`` gives it.

    Raises:
        Malformed: no such type, nested deeper than 16, or spelled in another way.
    """
    if not isinstance(text, str) or len(text) > 16 * (TYPE_DEPTH_MAX + 1):
        raise Malformed("a type is a short text")
    found = _from_text(text, 0)
    if found.text != text:
        raise Malformed("a type spelled in another way than its own")
    return found


def _from_text(text: str, depth: int) -> Type:
    if depth > TYPE_DEPTH_MAX:
        raise Malformed(f"a type nested deeper than {TYPE_DEPTH_MAX}")
    for kind in _SCALARS.values():
        if text == kind:
            return Type(kind=kind)
    if text.endswith(" | None"):
        item = _from_text(text.removesuffix(" | None"), depth + 1)
        if item.kind == "optional":
            raise Malformed("None twice in one type")
        return Type(kind="optional", item=item)
    if text.endswith("]"):
        if text.startswith("list["):
            return Type(kind="list", item=_from_text(text[5:-1], depth + 1))
        if text.startswith("dict[str, "):
            return Type(kind="dict", item=_from_text(text[10:-1], depth + 1))
    raise Malformed("no type of an argument")


def plain(value: object, depth: int = 0) -> Any:
    """A copy of a value that may be stored or emitted: any argument type, dicts in key order.

    Raises:
        TypeError: a float, a set, a tuple's or dict's item of another type, a key that is no str.
        ValueError: an int beyond 64 bits, a lone surrogate, nested deeper than 16.
    Both do not depend on versions of Python or of msgpack: their names may end up in a block.
    """
    kind = type(value)
    if kind is bytes or kind is bool or value is None:
        return value
    if kind is str or kind is int:
        try:
            return _TAKES[kind.__name__](value)
        except Mismatch as wrong:
            raise ValueError(wrong.problem) from None
    if depth >= TYPE_DEPTH_MAX:
        raise ValueError(f"nested deeper than {TYPE_DEPTH_MAX}")
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, dict):
        for key in value:
            if type(key) is not str:
                raise TypeError(f"a dict's key must be str, not {type(key).__name__}")
        return {plain(key): plain(value[key], depth + 1) for key in sorted(value)}
    raise TypeError(f"{kind.__name__} is none of {ALLOWED}")
