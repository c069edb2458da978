"""What happened, as one running hash: two runs are the same run if their digests are equal."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from zmqnode.base.ballot import Ballot, Fact
from zmqnode.base.exchange import SealsAnnounced, Status
from zmqnode.base.proposal import Proposal
from zmqnode.base.voteproof import Voteproof

Teller = Callable[[str], None]


class Transcript:
    """Hashes every effect of every node in order; tells them in words to ``tell``, if given."""

    def __init__(self, tell: Teller | None = None) -> None:
        self._hash = blake2b(digest_size=32)
        self.tell = tell

    def note(self, time_us: int, node: int, what: bytes, detail: bytes) -> None:
        """One thing that happened at a node."""
        self._hash.update(b"%d %d %s %d " % (time_us, node, what, len(detail)))
        self._hash.update(detail)

    def digest(self) -> str:
        """64 hex digits over all notes so far."""
        return self._hash.copy().hexdigest()


def trace_of(message: object) -> bytes:
    """Bytes that tell one published message from another."""
    if isinstance(message, Ballot | Proposal | Status):
        return message.signature
    if isinstance(message, Voteproof):
        return b"".join(signature for _, signature in message.signatures)
    if isinstance(message, SealsAnnounced):
        return b"".join(message.seals)
    return type(message).__name__.encode()


def words_of(message: object) -> str:
    """A published message for human readers."""
    if isinstance(message, Ballot):
        return f"{words_of_fact(message.fact)} of {message.address}"
    if isinstance(message, Voteproof):
        return f"VP {words_of_fact(message.fact)} by {','.join(message.addresses)}"
    if isinstance(message, Proposal):
        value, reasons = message.value, [words_of_fact(vp.fact) for vp in message.justification]
        return (
            f"PROPOSAL {message.height}/{message.round} {value.hash.hex()[:6]}"
            f" of {message.address} pr={message.pr} seals={len(value.seals)} J={reasons}"
        )
    if isinstance(message, Status):
        return f"status {message.state.name} tip {message.tip} of {message.address}"
    return str(message)


def words_of_fact(fact: Fact) -> str:
    """A fact for human readers."""
    name = "DRAW" if fact.draw else fact.stage.name
    value = "" if fact.value is None else " " + fact.value.hex()[:6]
    block = "" if fact.block is None else ">" + fact.block.hex()[:6]
    return f"{name} {fact.height}/{fact.round}{value}{block}"


def where(error: Exception) -> str:
    """The innermost line of the core that an exception came from."""
    trace, found = error.__traceback__, ""
    while trace is not None:
        frame = trace.tb_frame
        found = f"({frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno})"
        trace = trace.tb_next
    return found
