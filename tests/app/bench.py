"""One execution over a given state, and an application whose operations are plain bodies."""

from collections.abc import Callable, Iterator
from typing import Any

from zmqnode.app import App, Context, Execution, merge_scan
from zmqnode.app.values import plain
from zmqnode.base.codec import pack, unpack
from zmqnode.base.hashes import sha256

SENDER = sha256(b"sender")
SEAL = sha256(b"seal")

Body = Callable[[Context], object]


class Bench:
    """One execution over a given state, and an app whose operations are the bodies given."""

    def __init__(self, stored: dict[str, Any] | None = None) -> None:
        self.app = App("bench")
        self.below = {b"a" + key.encode(): pack(plain(v)) for key, v in (stored or {}).items()}
        self.below[b"s-system"] = b"\x01"
        self.execution = Execution(self.app, self.below.get, self.scan, 7, 1234)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return ((k, self.below[k]) for k in sorted(self.below) if k.startswith(prefix))

    def run(self, *bodies: Body) -> list[Any]:
        """Run the bodies as the operations of one seal; their results."""
        names = [f"op{index}" for index in range(len(bodies))]
        for name, body in zip(names, bodies, strict=True):

            def operation(ctx: Context, body: Body = body) -> None:
                body(ctx)

            # Registered by hand: the decorator would read the default as an argument.
            self.app.operations[name] = (operation, NO_ARGUMENTS)
        return list(self.execution.run_seal(SEAL, SENDER, [[name, []] for name in names]).results)

    def one(self, body: Body) -> Any:
        return self.run(body)[0]

    def state(self) -> dict[str, Any]:
        merged = dict(merge_scan(self.execution.changes(), self.scan(b"a"), b"a"))
        return {key[1:].decode(): unpack(value) for key, value in merged.items()}


def _nothing(ctx: Context) -> None: ...


NO_ARGUMENTS = (_app := App("none"), _app.op(_nothing), _app.operations["_nothing"][1])[2]


class Failing:
    """A snapshot whose reader fails, as a full disk or a lost file would."""

    def read(self, key: bytes) -> bytes | None:
        raise OSError("input/output error")

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        yield b"aa", b"\x01"
        raise OSError("input/output error")
