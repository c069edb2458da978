"""Trying an application without a network: for the tests of its author, and for ``app check``."""

from collections.abc import Iterator
from typing import Any

from zmqnode.app.application import App
from zmqnode.app.execution import Execution, SealResult, Trace
from zmqnode.base.codec import pack_sorted, unpack
from zmqnode.base.hashes import sha256
from zmqnode.base.results import OperationResult
from zmqnode.errors import Refused

TRIAL_SENDER = sha256(b"zmqnode trial sender")


class Trial:
    """A chain of one process: every call of ``run`` is a block of one seal.

    Example::

        trial = Trial(app)
        ok, reason, events = trial.run("put", key="a", value=b"1")
        assert ok and trial.query("get", key="a") == b"1"
    """

    def __init__(
        self, app: App, *, genesis: bytes = b"", time_ms: int = 0, trace: Trace | None = None
    ) -> None:
        self.app = app
        self.height = 0
        self.time_ms = time_ms
        self.stored: dict[bytes, bytes] = {}
        self._trace = trace
        block = self._block()
        block.run_genesis(genesis)
        self._commit(block)

    def run(self, operation: str, /, **arguments: Any) -> OperationResult:
        """Execute one operation as a block: (ok, reason or None, events).

        Raises:
            Refused: ``unknown_operation`` or ``bad_argument``, as a client would see it.
        """
        signature = self.app.schema.operation(operation)
        return self.block([[operation, signature.positional(arguments)]]).results[0]

    def block(self, operations: list[Any], sender: bytes = TRIAL_SENDER) -> SealResult:
        """Execute 1 to 1000 operations [name, [argument, ..]] as one seal of one block."""
        self.height += 1
        self.time_ms += 1000
        wire = pack_sorted(operations)
        block = self._block()
        done = block.run_seal(sha256(self.height.to_bytes(8, "big") + wire), sender, unpack(wire))
        self._commit(block)
        return done

    def query(self, name: str, /, **arguments: Any) -> Any:
        """The result of a query on the state after the last block. Raises Refused."""
        values = self.app.schema.query(name).positional(arguments)
        return self.app.answer(name, values, self.stored.get, self._scan).result

    def admits(self, operation: str, /, **arguments: Any) -> bool:
        """Whether the application's ``check`` lets the operation into a pool."""
        values = self.app.schema.operation(operation).positional(arguments)
        try:
            self.app.admit(TRIAL_SENDER, [[operation, values]])
        except Refused as error:
            if error.code == "check_refused":
                return False
            raise
        return True

    def _block(self) -> Execution:
        read, scan = self.stored.get, self._scan
        return Execution(self.app, read, scan, self.height, self.time_ms, trace=self._trace)

    def _scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        keys = sorted(key for key in self.stored if key.startswith(prefix))
        return ((key, self.stored[key]) for key in keys)

    def _commit(self, block: Execution) -> None:
        for key, value in block.changes().items():
            if value is None:
                self.stored.pop(key, None)
            else:
                self.stored[key] = value
