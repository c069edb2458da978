"""One run of sample operations in a process of its own: ``python -m zmqnode.app.sampling``.

``checking`` starts it several times, each under another hash seed, clock and time zone, and
compares what it writes to stdout. Everything is executed twice here as well: a node executes a
block again after a lost round or a restart, and must come to the same result in a process that
did so before.

Samples come from the types alone, by a counter that is hashed: the same in every process, few
different keys (so that operations meet one another's writes), and lists and dicts long enough for
an order to show.
"""

import hashlib
import os
import sys
import time
from typing import Any, Final

from zmqnode.app.application import App
from zmqnode.app.execution import Trace, Unexecutable
from zmqnode.app.loading import load_app
from zmqnode.app.trial import Trial
from zmqnode.app.values import Type
from zmqnode.base.codec import pack_sorted
from zmqnode.base.hashes import sha256
from zmqnode.errors import Invalid

SAMPLES: Final = 40  # Of every operation, in as many blocks.
CALLS_MAX: Final = 4000  # Of all operations; many operations get fewer samples each.
DAY_S: Final = 86_400 + 3_661  # How far apart the clocks of two runs are: day, hour, minute.

_STRINGS: Final = (
    "a",
    "b",
    "c",
    "alice",
    "bob",
    "carol",
    "x1",
    "x2",
    "x3",
    "",
    "\u00e9t\u00e9",
    "1",
)
_INTS: Final = (1, 2, 3, 5, 7, 10, 12, 100, 1000, 0, -1, 2**40)
_BYTES: Final = (b"a", b"b", b"1", b"value", b"", b"\x00\xff", b"x" * 300)


class Sampler:
    """An endless stream of choices that is the same in every process."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.count = 0

    def below(self, bound: int) -> int:
        """The next number from 0 to bound - 1."""
        self.count += 1
        digest = hashlib.sha256(f"{self.label} {self.count}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % bound

    def value(self, wanted: Type) -> Any:
        """The next value of a type."""
        match wanted.kind:
            case "str":
                return _STRINGS[self.below(len(_STRINGS))]
            case "int":
                return _INTS[self.below(len(_INTS))]
            case "bytes":
                return _BYTES[self.below(len(_BYTES))]
            case "bool":
                return self.below(2) == 1
            case "list":
                return [self.value(wanted.of) for _ in range(self.below(9))]
            case "dict":
                keys = [_STRINGS[self.below(len(_STRINGS))] for _ in range(self.below(7))]
                return {key: self.value(wanted.of) for key in keys}
        return self.value(wanted.of) if self.below(3) else None


def sample_blocks(app: App) -> list[list[list[Any]]]:
    """Blocks of operations [name, [argument, ..]], one of each operation in every block."""
    rounds = max(1, min(SAMPLES, CALLS_MAX // len(app.operations)))
    names = sorted(app.operations)[:CALLS_MAX]
    blocks = []
    for count in range(rounds):
        block = []
        for name in names:
            sampler = Sampler(f"{name} {count}")
            signature = app.operations[name][1]
            required = sum(one.required for one in signature.arguments)
            length = required + sampler.below(len(signature.arguments) - required + 1)
            values = [sampler.value(one.type) for one in signature.arguments[:length]]
            block.append([name, values])
        blocks.append(block)
    return blocks


def run_samples(app: App) -> list[Any]:
    """Execute all samples on an empty state: what each operation did.

    Returns:
        For every operation in order: [name, ok, reason or nil, events, writes], writes a list of
        [stored key, stored value or nil]; a last entry ["", ..] if the genesis or the machine
        refused, its reason the message.
    """
    found: list[Any] = []
    trace: Trace = []
    try:
        trial = Trial(app, time_ms=1_700_000_000_000, trace=trace)
    except Invalid:
        # It wants genesis data that only its author knows: begin without.
        founder, app.founder = app.founder, None
        trial = Trial(app, time_ms=1_700_000_000_000, trace=trace)
        app.founder = founder
    senders = [sha256(b"alice"), sha256(b"bob")]
    for number, block in enumerate(sample_blocks(app)):
        # One seal of up to 1000 operations each.
        for at in range(0, len(block), 1000):
            part = block[at : at + 1000]
            trace.clear()
            try:
                results = trial.block(part, senders[number % 2]).results
            except Unexecutable as error:
                return [*found, [error.operation, False, error.message, [], []]]
            writes = {index: written for _, index, written in trace}
            for index, (operation, (ok, reason, events)) in enumerate(
                zip(part, results, strict=True)
            ):
                written = [[key, value] for key, value in writes.get(index, {}).items()]
                told = [[name, data] for name, data in events]
                found.append([operation[0], ok, reason, told, written])
    return found


def main(arguments: list[str]) -> int:
    """Run the samples of MODULE:APP twice: ``arguments`` are it, the run's number, and folders."""
    name, run, *folders = arguments
    # What the application prints must not mix with the report.
    report = os.dup(1)
    os.dup2(2, 1)
    _shift_clock(int(run) * DAY_S)
    app = load_app(name, folders)
    data = pack_sorted([run_samples(app), run_samples(app)])
    with os.fdopen(report, "wb") as out:
        out.write(data)
    return 0


def _shift_clock(seconds: int) -> None:
    """Two runs within one second would read the same clock; let each read another day."""
    clock, clock_ns = time.time, time.time_ns
    time.time = lambda: clock() + seconds
    time.time_ns = lambda: clock_ns() + seconds * 10**9


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
