"""Executing the seals of one block over a snapshot, seal by seal, with every operation undoable.

Theory. An execution is a pure function of snapshot, height, time and seals: it reads through two
functions, writes into an overlay of its own and can be thrown away at any time. So one block can
be executed speculatively, several values at once, and only the decided one is kept.

An operation ends in one of three ways:

* it returns: its writes and events stay;
* it raises: it is undone whole, and its reason is the text given to Reject, or else the class name
  of the exception. That holds for every exception that is the operation's own doing, also for
  SystemExit: no operation can stop a node;
* ``Unexecutable``: MemoryError, RecursionError and a failing snapshot depend on the machine, the
  depth of its stack and its load, so making a result of them would fork the chain. The execution
  is void. Before an ACCEPT voteproof names the value, the caller treats it as a value it could not
  execute (it signs DRAW); after that, the node goes to BROKEN. KeyboardInterrupt passes as it is.

Measured (2-core machine, CPython 3.11): see tests/bench_app.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from zmqnode.app.application import App, reason_of, sender_text
from zmqnode.app.state import HostFault, Read, Scan, State
from zmqnode.app.values import BadArgument, plain
from zmqnode.base.codec import pack
from zmqnode.base.hashes import ZERO, Hash
from zmqnode.base.results import OK, Event, OperationResult, encode_results
from zmqnode.errors import Broken, Invalid

EVENTS_MAX: Final = 100  # Of one operation.
EVENTS_BYTES_MAX: Final = 65_536  # Of one operation, encoded.
BLOCK_EVENTS_BYTES_MAX: Final = 1024 * 1024  # Of one block: it must fit one answer to a peer.
EVENT_NAME_CHARS_MAX: Final = 64
CAUSES_MAX: Final = 16  # Looked at of a chain of exceptions.

UNKNOWN_OPERATION: Final[OperationResult] = (False, "unknown_operation", ())
BAD_ARGUMENT: Final[OperationResult] = (False, "bad_argument", ())

# Of every operation that was kept: seal, index, what it wrote (None: deleted).
Trace: TypeAlias = list[tuple[bytes, int, dict[bytes, bytes | None]]]


class Unexecutable(Broken):
    """This machine could not execute an operation, for a reason other nodes may not share.

    Attributes:
        seal, index, operation: where it happened; index -1 is the genesis.
    """

    def __init__(self, seal: bytes, index: int, operation: str, cause: BaseException) -> None:
        inner = cause.cause if isinstance(cause, HostFault) else cause
        kind = type(inner).__name__
        super().__init__(
            "broken",
            f"operation {index} ({operation}) of seal {seal.hex()} could not be executed: {kind}",
            hint="free memory or fix the app, then start the node: it executes the block anew",
            cause=f"{operation}: {kind}",
            way_out="free memory or fix the app, then start the node again",
            seal=seal.hex(),
            index=index,
            operation=operation,
        )
        self.seal = seal
        self.index = index
        self.operation = operation

    def __reduce__(self) -> tuple[object, ...]:
        return Broken, (self.code, self.message)


class Context:
    """What an operation gets: ``state``, ``sender``, ``height``, ``time_ms``, ``hash``, ``emit``.

    It belongs to one execution and is the same object for every operation of it.
    """

    __slots__ = (
        "_block_bytes",
        "_emitted",
        "_emitted_bytes",
        "_height",
        "_seal",
        "_sender",
        "_state",
        "_time_ms",
    )

    def __init__(self, state: State, height: int, time_ms: int) -> None:
        self._state = state
        self._height = height
        self._time_ms = time_ms
        self._seal: bytes = ZERO
        self._sender: bytes = b""
        self._emitted: list[Event] = []
        self._emitted_bytes = 0
        self._block_bytes = 0  # Of the events kept so far.

    @property
    def state(self) -> State:
        """str keys to values of any argument type; what this block wrote so far is there."""
        return self._state

    @property
    def sender(self) -> str:
        """The public key text of who signed the seal; empty in genesis."""
        return sender_text(self._sender) if self._sender else ""

    @property
    def height(self) -> int:
        """Of the block; 0 in genesis."""
        return self._height

    @property
    def time_ms(self) -> int:
        """The block's time in Unix milliseconds, the same on every node."""
        return self._time_ms

    @property
    def hash(self) -> str:
        """The seal's hash, 64 lower-case hex digits; zeros in genesis."""
        return self._seal.hex()

    def emit(self, name: str, /, **data: Any) -> None:
        """Tell the sender and all who watch; forgotten if the operation fails.

        Args:
            name: 1 to 64 characters.
            data: values of any argument type.
        Raises:
            TypeError, ValueError: a value of another type; more than 100 events or 64 KiB of an
                operation, or 1 MiB of a block.
        """
        if type(name) is not str:
            raise TypeError(f"an event's name must be str, not {type(name).__name__}")
        if not 1 <= len(name) <= EVENT_NAME_CHARS_MAX:
            raise ValueError(f"an event's name has 1 to {EVENT_NAME_CHARS_MAX} characters")
        event: Event = (plain(name), plain(data))
        self._emitted_bytes += len(pack(event))
        if len(self._emitted) >= EVENTS_MAX or self._emitted_bytes > EVENTS_BYTES_MAX:
            raise ValueError(f"more than {EVENTS_MAX} events or {EVENTS_BYTES_MAX} bytes of them")
        if self._block_bytes + self._emitted_bytes > BLOCK_EVENTS_BYTES_MAX:
            raise ValueError(f"more than {BLOCK_EVENTS_BYTES_MAX} bytes of events in a block")
        self._emitted.append(event)


@dataclass(frozen=True, slots=True)
class SealResult:
    """What became of one seal.

    Attributes:
        seal: its hash, 32 bytes.
        results: one (ok, reason or None, events) an operation, in order.
        data: their canonical bytes, for ``results_leaf``.
    """

    seal: Hash
    results: tuple[OperationResult, ...]
    data: bytes


class Execution:
    """One block's execution over the state of its parent.

    Args:
        app: the application.
        read: the stored value of a stored key at the parent, or None.
        scan: all (stored key, stored value) with a prefix at the parent, in byte order.
        height: of the block.
        time_ms: of the block.
        trace: a list that receives the writes of every operation, for divergence reports.

    ``read`` and ``scan`` must give the parent's state for as long as the execution is used.
    """

    __slots__ = ("_calls", "_context", "_state", "_trace", "app", "results")

    def __init__(
        self,
        app: App,
        read: Read,
        scan: Scan,
        height: int,
        time_ms: int,
        *,
        trace: Trace | None = None,
    ) -> None:
        self.app = app
        self.results: list[SealResult] = []
        self._state = State(read, scan)
        self._context = Context(self._state, height, time_ms)
        self._calls = app.operations
        self._trace = trace

    def changes(self) -> dict[bytes, bytes | None]:
        """Stored key (``b"a"`` and the key's UTF-8) to stored value, None for deleted."""
        return dict(self._state.overlay)

    def run_genesis(self, data: bytes) -> None:
        """Let the application fill the state of block 0.

        Raises:
            Invalid: ``config_invalid``, the application refuses the data or expects none.
            Unexecutable: as for a seal.
        """
        founder = self.app.founder
        if founder is None:
            if data:
                raise Invalid("config_invalid", f"app {self.app.name} takes no genesis data")
            return
        self._context._seal, self._context._sender = ZERO, b""
        try:
            founder(self._context, data)
        except BaseException as error:
            reason = self._undone(error, ZERO, -1, "genesis")[1]
            message = f"app {self.app.name} refuses the genesis data: {reason}"
            raise Invalid("config_invalid", message, reason=reason) from error
        self._check_fault(ZERO, -1, "genesis")
        self._context._emitted.clear()
        self._state.merge()

    def run_seal(
        self, seal_hash: Hash, sender_public: bytes, operations: Sequence[Sequence[Any]]
    ) -> SealResult:
        """Execute the operations of one seal in order; each is kept or undone by itself.

        Args:
            seal_hash: 32 bytes.
            sender_public: 32 bytes, the key that signed the seal.
            operations: [name, [argument, ..]] as decoded from the wire, which is left as it is.
        Raises:
            Unexecutable: this execution is void and must be thrown away.
        """
        context, state, trace = self._context, self._state, self._trace
        context._seal, context._sender = seal_hash, sender_public
        overlay, pending, emitted = state.overlay, state.pending, context._emitted
        find = self._calls.get
        results: list[OperationResult] = []
        keep = results.append
        for name, arguments in operations:
            call = find(name)
            if call is None:
                keep(UNKNOWN_OPERATION)
                continue
            function, signature = call
            if list(map(type, arguments)) != signature.kinds:
                try:
                    arguments = signature.bind(arguments)  # checked copies
                except BadArgument:
                    keep(BAD_ARGUMENT)
                    continue
            try:
                function(context, *arguments)
            except BaseException as error:  # noqa: BLE001 - sorted out in _undone
                keep(self._undone(error, seal_hash, len(results), name))
                continue
            if trace is not None:
                trace.append((seal_hash, len(results), dict(pending)))
            if pending:
                overlay.update(pending)
                pending.clear()
            if emitted:
                context._block_bytes += context._emitted_bytes
                keep((True, None, tuple(emitted)))
                self._forget_events()
            else:
                keep(OK)
        self._check_fault(seal_hash, len(results), "the last")
        done = SealResult(seal_hash, tuple(results), encode_results(results))
        self.results.append(done)
        return done

    def _undone(
        self, error: BaseException, seal: bytes, index: int, operation: str
    ) -> OperationResult:
        """The result of an operation that raised, its writes and events gone."""
        self._state.pending.clear()
        self._forget_events()
        if isinstance(error, KeyboardInterrupt):
            raise error
        cause: BaseException | None = error
        for _ in range(CAUSES_MAX):
            if isinstance(cause, (MemoryError, RecursionError, HostFault)):
                raise Unexecutable(seal, index, operation, cause) from error
            # What came of catching one of them is no more deterministic than itself.
            cause = cause.__cause__ or cause.__context__ if cause is not None else None
        return (False, reason_of(error), ())

    def _forget_events(self) -> None:
        self._context._emitted.clear()
        self._context._emitted_bytes = 0

    def _check_fault(self, seal: bytes, index: int, operation: str) -> None:
        """A bare ``except:`` in an operation may have swallowed what voids the execution."""
        if self._state.fault is not None:
            raise Unexecutable(seal, index, operation, self._state.fault)
