"""What users of the framework write against: ``App`` with its decorators, and ``Reject``.

An application is deterministic or the chain stops: every node executes every operation and all
must come to the same bytes. So an operation gets a ``Context`` and nothing else, its arguments
are of a closed set of types (``values``), and it must not use clocks, chance, floats, files, the
order of sets, or anything it kept from an earlier call. ``zmqnode app check`` looks for all that.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias, TypeVar

from zmqnode.app.schema import CALLS_MAX, Schema, Signature, signature_of
from zmqnode.app.state import HostFault, Read, Scan, View
from zmqnode.app.values import BadArgument, plain
from zmqnode.base.keys import public_text
from zmqnode.base.system import RESERVED_PREFIX
from zmqnode.errors import Invalid, Refused

REASON_CHARS_MAX: Final = 200  # Of a failed operation; longer texts are cut.
APP_NAME_CHARS_MAX: Final = 32

F = TypeVar("F", bound=Callable[..., Any])
# A function and its signature.
Call: TypeAlias = tuple[Callable[..., Any], Signature]


class Reject(Exception):
    """Raised by an operation to be undone whole, with a reason that goes into the block.

    Args:
        reason: 1 to 200 characters (longer ones are cut), the same on every node.
    """

    def __init__(self, reason: str) -> None:
        if type(reason) is not str:
            # str() of an object may hold its address, which differs between nodes.
            raise TypeError(f"a reason must be str, not {type(reason).__name__}")
        super().__init__(reason)


def reason_of(error: BaseException) -> str:
    """The reason a failed operation gets: Reject's text, or else the exception's class name.

    The texts of other exceptions differ between versions of Python, so they never get there.
    """
    text = type(error).__name__
    if isinstance(error, Reject) and error.args and type(error.args[0]) is str:
        text = error.args[0] or text
    # A lone surrogate cannot be encoded; it must not break the block that holds the reason.
    return text[:REASON_CHARS_MAX].encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer of a query.

    Attributes:
        result: a value of the query's type; the caller's own copy.
        type: the type's text, such as ``bytes | None``.
        keys: the stored keys that were read, which a proof has to cover.
        scanned: whether keys were listed as well; then no proof can cover the answer.
    """

    result: Any
    type: str
    keys: tuple[bytes, ...]
    scanned: bool


class App:
    """An application: named operations that change the state, and queries that read it.

    Args:
        name: 1 to 32 of ``a-z 0-9 _ -``, a letter first; part of the genesis.
        version: at least 1; raise it with every change of what any operation does.
    Raises:
        Invalid: ``config_invalid`` for a bad name or version, and from the decorators, where a
            function is defined, for types that cannot travel.

    Example::

        app = App("kv", version=1)

        @app.op
        def put(ctx, key: str, value: bytes):
            ctx.state[key] = value

        @app.query
        def get(view, key: str) -> bytes | None:
            return view.get(key)
    """

    def __init__(self, name: str, version: int = 1) -> None:
        if re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", name) is None:
            allowed = f"1 to {APP_NAME_CHARS_MAX} of a-z, 0-9, _ and -, a letter first"
            raise Invalid("config_invalid", f"an app's name is {allowed}, not {name!r:.60}")
        if type(version) is not int or not 1 <= version < 2**31:
            raise Invalid("config_invalid", f"app {name}: its version is an int of at least 1")
        self.name = name
        self.version = version
        self.operations: dict[str, Call] = {}
        self.queries: dict[str, Call] = {}
        self.checker: Callable[[str, str, dict[str, Any]], object] | None = None
        self.founder: Callable[[Any, bytes], object] | None = None

    def op(self, function: F) -> F:
        """Register an operation: ``function(ctx, argument: type, ..)``, named as the function."""
        return self._register(function, "operation", self.operations)

    def query(self, function: F) -> F:
        """Register a query: ``function(view, argument: type, ..) -> type``."""
        return self._register(function, "query", self.queries)

    def check(self, function: F) -> F:
        """Register the pool's guard: ``function(sender, name, arguments)`` may raise Reject.

        It keeps unwanted operations out of this node's pool. Other nodes may differ: whatever is
        in a block is executed without asking it, so operations check for themselves, too.
        """
        if self.checker is not None:
            raise Invalid("config_invalid", f"app {self.name} has two functions for check")
        self.checker = function
        return function

    def genesis(self, function: F) -> F:
        """Register ``function(ctx, data: bytes)``, which fills the state of block 0."""
        if self.founder is not None:
            raise Invalid("config_invalid", f"app {self.name} has two functions for genesis")
        self.founder = function
        return function

    def _register(
        self, function: F, what: Literal["operation", "query"], calls: dict[str, Call]
    ) -> F:
        signature = signature_of(function, what)
        if signature.name.startswith(RESERVED_PREFIX):
            raise Invalid(
                "config_invalid",
                f"app {self.name}: names of {RESERVED_PREFIX}* are the system's own, "
                f"not {signature.name:.80}",
                hint="give it another name",
            )
        if signature.name in calls:
            raise Invalid("config_invalid", f"app {self.name}: two of {what} {signature.name}")
        if len(calls) >= CALLS_MAX:
            raise Invalid("config_invalid", f"app {self.name}: more than {CALLS_MAX} functions")
        calls[signature.name] = (function, signature)
        return function

    @property
    def schema(self) -> Schema:
        """What can be called, sorted by name."""
        return Schema(
            name=self.name,
            version=self.version,
            operations=tuple(self.operations[name][1] for name in sorted(self.operations)),
            queries=tuple(self.queries[name][1] for name in sorted(self.queries)),
        )

    def describe(self) -> dict[str, object]:
        """The schema as a canonical msgpack value; ``Schema.from_wire`` reads it."""
        return self.schema.to_wire()

    def admit(self, sender: bytes, operations: Sequence[Sequence[Any]]) -> None:
        """Whether the pool may take a seal: operations known, arguments typed, ``check`` content.

        Args:
            sender: 32 bytes, the public key.
            operations: 1 to 1000 of [name, [argument, ..]], decoded from the wire.
        Raises:
            Refused: ``unknown_operation``, ``bad_argument`` or ``check_refused``;
                details.index is the operation's.
        """
        for index, (name, arguments) in enumerate(operations):
            call = self.operations.get(name)
            if call is None:
                names = ", ".join(sorted(self.operations))
                message = f"{self.name} has no operation {name!r:.80}"
                hint = f"it has: {names}"
                raise Refused("unknown_operation", message, hint=hint, index=index, name=name[:80])
            signature = call[1]
            try:
                if list(map(type, arguments)) != signature.kinds:
                    signature.bind(arguments)
                if self.checker is not None:
                    self.checker(sender_text(sender), name, signature.named(arguments))
            except BadArgument as wrong:
                wrong.details["index"] = index
                raise
            except Exception as error:  # a check that fails refuses
                reason = reason_of(error)
                message = f"operation {index} ({name}): {reason}"
                raise Refused("check_refused", message, index=index, reason=reason) from error

    def answer(self, name: str, arguments: Sequence[Any], read: Read, scan: Scan) -> Answer:
        """Run a query on a snapshot.

        Args:
            arguments: positional, decoded from the wire; ``Signature.positional`` makes them.
            read, scan: the snapshot, as for ``Execution``.
        Raises:
            Refused: ``unknown_query``, ``bad_argument`` or ``query_failed``.
            Exception: whatever ``read`` or ``scan`` raised, as it was.
        """
        signature = self.schema.query(name)
        bound = signature.bind(arguments)
        assert signature.returns is not None
        view = View(read, scan)
        try:
            result = plain(self.queries[name][0](view, *bound))
            signature.returns.check(result, "result")
        except HostFault as fault:
            raise fault.cause from None
        except BadArgument as wrong:
            raise Refused("query_failed", f"query {name}: {wrong.message}") from None
        except Exception as error:  # the query's own fault, whatever it is
            reason = reason_of(error)
            raise Refused("query_failed", f"query {name}: {reason}", reason=reason) from error
        return Answer(
            result=result,
            type=signature.returns.text,
            keys=tuple(view.reads),
            scanned=view.scanned,
        )


@lru_cache(maxsize=1024)
def sender_text(public: bytes) -> str:
    """The key text of a sender; base58 is slow, and senders come back."""
    return public_text(public)
