"""The signatures of an application's operations and queries, and its schema as a whole.

Theory. The annotations of an application's functions are read once, where a function is defined,
and become its *signature*: the wire schema of the operation (positional msgpack arguments), the
command line's typing and the client's.

A schema also travels (``Schema.to_wire``), so a client that only talks to a node can type its
arguments. What arrives there is a stranger's: every bound is checked and ``Malformed`` raised.
"""

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from zmqnode.app.values import (
    ALLOWED,
    BadArgument,
    Kind,
    Mismatch,
    Take,
    Type,
    type_from_text,
    type_of,
)
from zmqnode.errors import Invalid, Malformed, Refused

ARGUMENTS_MAX: Final = 64  # Of one operation or query.
CALLS_MAX: Final = 1000  # Operations, and queries, of one application.
NAME_CHARS_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument: its name, its type and, if it may be left out, its default."""

    name: str
    type: Type
    required: bool = True
    default: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """An operation or a query as its callers see it.

    Attributes:
        returns: the type of a query's result; None for an operation.
        kinds: the exact types of a whole call if all are str, bytes or bool, which is then all
            there is to check of decoded msgpack; else None, which equals no list of types.
    """

    name: str
    arguments: tuple[Argument, ...]
    returns: Type | None = None
    kinds: list[type] | None = field(init=False, repr=False, compare=False)
    _takes: tuple[Take, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        plain: dict[Kind, type] = {"str": str, "bytes": bytes, "bool": bool}
        kinds = [plain.get(one.type.kind) for one in self.arguments]
        known = [kind for kind in kinds if kind is not None]
        object.__setattr__(self, "kinds", known if len(known) == len(kinds) else None)
        object.__setattr__(self, "_takes", tuple(one.type.take() for one in self.arguments))

    def bind(self, values: Sequence[object]) -> list[Any]:
        """Positional wire arguments, checked and copied; left out trailing ones stay left out.

        Raises:
            BadArgument: too many, too few or of another type; ``path`` says where.
        """
        if len(values) > len(self.arguments):
            most = len(self.arguments)
            raise BadArgument("", f"{self.name}: at most {most} arguments, not {len(values)}")
        bound: list[Any] = []
        try:
            for take, value in zip(self._takes, values, strict=False):
                bound.append(take(value))  # its length is the failing index
        except Mismatch as wrong:
            path = self.arguments[len(bound)].name + wrong.path
            raise BadArgument(path, wrong.problem) from None
        for argument in self.arguments[len(values) :]:
            if argument.required:
                raise BadArgument(argument.name, f"missing, expected {argument.type.text}")
        return bound

    def positional(self, named: Mapping[str, object]) -> list[Any]:
        """The wire arguments of a call with keywords; trailing defaults are left out.

        Raises:
            BadArgument: an unknown name, a missing one, or a value of another type.
        """
        known = [one.name for one in self.arguments]
        for name in named:
            if name not in known:
                takes = ", ".join(known) or "none"
                raise BadArgument(str(name), f"{self.name} has no such argument (it has: {takes})")
        given = max((known.index(name) + 1 for name in named), default=0)
        return self.bind(
            [
                named[one.name] if one.name in named else self._default(one)
                for one in self.arguments[:given]
            ]
        )

    def _default(self, argument: Argument) -> object:
        if argument.required:
            raise BadArgument(argument.name, f"missing, expected {argument.type.text}")
        return argument.default

    def named(self, values: Sequence[object]) -> dict[str, Any]:
        """Wire arguments by name, those left out with their defaults. Raises BadArgument."""
        bound = self.bind(values)
        rest = self.arguments[len(bound) :]
        names = (one.name for one in self.arguments)
        found = dict(zip(names, bound, strict=False))
        return found | {one.name: one.default for one in rest}

    def to_wire(self) -> list[object]:
        """[name, [[argument, type] or [argument, type, default]..]], for queries also returns."""
        arguments = [
            [one.name, one.type.text] if one.required else [one.name, one.type.text, one.default]
            for one in self.arguments
        ]
        returns = [] if self.returns is None else [self.returns.text]
        return [self.name, arguments, *returns]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What can be called in an application: its operations and its queries, in sorted order."""

    name: str
    version: int
    operations: tuple[Signature, ...]
    queries: tuple[Signature, ...]

    def operation(self, name: str) -> Signature:
        """Raises Refused ``unknown_operation``, naming those there are."""
        return _found(name, self.operations, "unknown_operation", "operation", self.name)

    def query(self, name: str) -> Signature:
        """Raises Refused ``unknown_query``, naming those there are."""
        return _found(name, self.queries, "unknown_query", "query", self.name)

    def arguments(self, name: str, values: Sequence[object]) -> dict[str, Any]:
        """Arguments of a committed operation by name, whatever it is, for showing only.

        A block may hold operations that the application does not know or that have wrong types;
        their arguments are named by position: "0", "1", ..
        """
        try:
            return self.operation(name).named(values)
        except Refused:
            return {str(index): value for index, value in enumerate(values)}

    def to_wire(self) -> dict[str, object]:
        """A canonical msgpack value: name, operations, queries, version (keys in order)."""
        return {
            "name": self.name,
            "operations": [one.to_wire() for one in self.operations],
            "queries": [one.to_wire() for one in self.queries],
            "version": self.version,
        }

    @staticmethod
    def from_wire(value: object) -> "Schema":
        """The schema a node described. Raises Malformed for anything ``to_wire`` cannot give."""
        if not (isinstance(value, dict) and len(value) == 4):
            raise Malformed("no description of an application")
        match value:
            case {
                "name": str(name),
                "version": int(version),
                "operations": list(operations),
                "queries": list(queries),
            } if type(version) is int and max(len(operations), len(queries)) <= CALLS_MAX:
                return Schema(
                    name=name,
                    version=version,
                    operations=tuple(_signature_from_wire(one, 2) for one in operations),
                    queries=tuple(_signature_from_wire(one, 3) for one in queries),
                )
        raise Malformed("no description of an application")


def _found(name: str, known: tuple[Signature, ...], code: str, what: str, app: str) -> Signature:
    for one in known:
        if one.name == name:
            return one
    names = ", ".join(one.name for one in known) or "none"
    raise Refused(
        code, f"{app} has no {what} {name!r:.80}", hint=f"it has: {names}", name=str(name)[:80]
    )


def _signature_from_wire(value: object, length: int) -> Signature:
    if not (isinstance(value, list) and len(value) == length):
        raise Malformed("no signature of an operation or query")
    name, arguments = value[0], value[1]
    if not (isinstance(arguments, list) and len(arguments) <= ARGUMENTS_MAX):
        raise Malformed("the arguments of a signature are a list")
    found = tuple(_argument_from_wire(one) for one in arguments)
    if len({one.name for one in found}) != len(found):
        raise Malformed("two arguments of one name")
    returns = type_from_text(value[2]) if length == 3 else None
    return Signature(name=_name(name), arguments=found, returns=returns)


def _argument_from_wire(value: object) -> Argument:
    match value:
        case [name, text]:
            return Argument(name=_name(name), type=type_from_text(text))
        case [name, text, default]:
            found = type_from_text(text)
            try:
                kept = found.check(default, "default")
            except BadArgument as wrong:
                raise Malformed(wrong.message) from None
            return Argument(name=_name(name), type=found, required=False, default=kept)
    raise Malformed("no argument of a signature")


def _name(value: object) -> str:
    if isinstance(value, str) and value.isidentifier() and len(value) <= NAME_CHARS_MAX:
        return value
    raise Malformed("no name of an operation, query or argument")


def signature_of(function: Callable[..., Any], what: Literal["operation", "query"]) -> Signature:
    """The signature of an application's function, without its first parameter (ctx or view).

    Raises:
        Invalid: ``config_invalid``, the message names function, argument and what is wrong.
    """
    name = getattr(function, "__name__", "?")

    def wrong(problem: str) -> Invalid:
        code = getattr(function, "__code__", None)
        where = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
        return Invalid("config_invalid", f"{what} {name}: {problem}{where}")

    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise wrong("it must be a plain function, not async: nothing may happen in between")
    if inspect.isgeneratorfunction(function):
        raise wrong("it must be a plain function, not a generator")
    if not name.isidentifier() or len(name) > NAME_CHARS_MAX:
        raise wrong(f"its name must be an identifier of at most {NAME_CHARS_MAX} characters")
    try:
        hints = typing.get_type_hints(function)
        parameters = list(inspect.signature(function).parameters.values())
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise wrong(f"an annotation cannot be read: {error}") from None
    if not parameters or len(parameters) > ARGUMENTS_MAX + 1:
        raise wrong(f"expected ctx or view first, then at most {ARGUMENTS_MAX} arguments")
    arguments = tuple(_argument_of(one, hints, wrong) for one in parameters[1:])
    return Signature(name=name, arguments=arguments, returns=_returns_of(what, hints, wrong))


def _returns_of(what: str, hints: dict[str, Any], wrong: Callable[[str], Invalid]) -> Type | None:
    if what == "operation":
        if hints.get("return", type(None)) is not type(None):
            raise wrong("an operation returns nothing; tell its caller with ctx.emit")
        return None
    if "return" not in hints:
        raise wrong("a query names the type it returns, as in -> bytes | None")
    try:
        return type_of(hints["return"])
    except ValueError as error:
        raise wrong(f"the type it returns: {error}") from None


def _argument_of(
    parameter: inspect.Parameter, hints: dict[str, Any], wrong: Callable[[str], Invalid]
) -> Argument:
    name = parameter.name
    if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
        raise wrong(f"argument {name}: plain positional arguments only, no *, ** or keyword-only")
    if name not in hints:
        raise wrong(f"argument {name}: its type is missing; allowed are {ALLOWED}")
    try:
        found = type_of(hints[name])
    except ValueError as error:
        raise wrong(f"argument {name}: {error}") from None
    if parameter.default is parameter.empty:
        return Argument(name=name, type=found)
    if isinstance(parameter.default, (list, dict)):
        raise wrong(f"argument {name}: calls would share the default; use {found.text} | None")
    try:
        found.check(parameter.default, name)
    except BadArgument as error:
        raise wrong(f"default of argument {error.message}") from None
    return Argument(name=name, type=found, required=False, default=parameter.default)
