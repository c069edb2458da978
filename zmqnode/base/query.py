"""The door protocol: what a client asks a node, and what it may hear.

A client sends one request message and gets one answer message; numbers that pair them belong to the
link below. Every request is bounded by its own fields, and every wait by the time it names, so
that a node can keep what waits in bounded tables.

Answers of fixed shape that come by the thousand (seals, raw blocks) are messages of their own. The
others are *told*: one object in the words of the command line's JSON (texts for hashes, keys and
moments, bytes for bytes), because they are shown, not computed with. A refusal is :class:`Failed`.

Reading needs no authority. What changes a node (*control*) is signed by the identity key of its
address or by the admin key in its data folder, over the instance it is meant for, the command
and a nonce that this instance gave to this client a moment ago and takes once: nothing said
to one node, or earlier, can be said again.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Final

from zmqnode.base.codec import decode, encode, message, pack, pack_sorted, unpack
from zmqnode.base.feed import FeedRequest
from zmqnode.base.handover_query import HandoverAsk, HandoverCommand
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import PrivateKey, PublicKey, Signature
from zmqnode.base.point import HEIGHT_MAX
from zmqnode.base.signing import Domain, Verify
from zmqnode.errors import Malformed, Refused, ZmqnodeError, from_json

CONTROL_TAG: Final = "control"

HEADERS_ASKED_MAX: Final = 100
RAW_BLOCKS_ASKED_MAX: Final = 256
RAW_BLOCKS_BYTES_MAX: Final = 9 << 20  # Of one answer; one block may be as large on its own.
WAIT_MS_MAX: Final = 3_600_000
NAME_MAX_CHARS: Final = 64
CUT_URLS_MAX: Final = 512
URL_MAX_CHARS: Final = 256


class Until(enum.IntEnum):
    """When a submitted seal is answered: taken into the pool, or in a committed block."""

    ACCEPTED = 1
    COMMITTED = 2


class Condition(enum.IntEnum):
    """What a client can wait for; the state's name and the height are fields beside it."""

    HEIGHT = 1
    STATE = 2
    SYNCED = 3


# Requests that read.


@message("ask.chain", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class ChainAsked:
    """Network-id, genesis hash, application schema, chain parameters: what a seal needs."""


@message("ask.info", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class InfoAsked:
    """NodeInfo, signed by the instance."""


@message("ask.suffrage", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class SuffrageAsked:
    """The suffrage of a height, at most the tip + 2; None: of the tip + 1."""

    height: int | None

    def __post_init__(self) -> None:
        _check_height(self.height)


@message("ask.peers", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class PeersAsked:
    """The node's links to other instances."""


@message("ask.block", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class BlockAsked:
    """One block with its operations, results and signers: by height, by hash, or the last."""

    height: int | None = None
    hash: Hash | None = None

    def __post_init__(self) -> None:
        _check_height(self.height)
        if self.height is not None and self.hash is not None:
            raise ValueError("a block is asked for by height or by hash")


@message("ask.headers", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class HeadersAsked:
    """Headers of blocks first to last, at most 100 an answer.

    ``first`` None: the 20 up to ``last``; ``last`` None: the tip.
    """

    first: int | None
    last: int | None

    def __post_init__(self) -> None:
        _check_height(self.first)
        _check_height(self.last)
        if self.first is not None and self.last is not None and self.first > self.last:
            raise ValueError("heights out of order")


@message("ask.raw_blocks", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class RawBlocksAsked:
    """Whole blocks and their voteproofs as stored, to verify; at most 256."""

    first: int
    last: int

    def __post_init__(self) -> None:
        _check_height(self.first)
        _check_height(self.last)
        if not 0 <= self.last - self.first < RAW_BLOCKS_ASKED_MAX:
            raise ValueError(f"expected 1 to {RAW_BLOCKS_ASKED_MAX} heights in order")


@message("ask.query", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class QueryAsked:
    """A query of the application, with positional arguments, on the newest state.

    With ``height``, once the node is there, within ``within_ms``.
    """

    name: str
    arguments: list[Any]
    height: int | None
    proof: bool
    within_ms: int

    def __post_init__(self) -> None:
        _check_height(self.height)
        _check_wait(self.within_ms)
        if not 1 <= len(self.name) <= NAME_MAX_CHARS:
            raise ValueError(f"name: expected 1 to {NAME_MAX_CHARS} characters")


# Requests that wait.


@message("ask.submit", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class SealSubmitted:
    """A seal's wire bytes; answered when it is accepted or committed, or with why it is refused.

    Submitting a seal again is harmless, also one that is long in a block.
    """

    seal: bytes
    until: Until
    within_ms: int

    def __post_init__(self) -> None:
        _check_wait(self.within_ms)


@message("ask.wait_seal", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class SealAwaited:
    """Answered with the receipt once a block holds the seal."""

    seal: Hash
    within_ms: int

    def __post_init__(self) -> None:
        _check_wait(self.within_ms)


@message("ask.wait", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionAwaited:
    """Answered once the node's height or state is as asked."""

    condition: Condition
    height: int
    state: str
    within_ms: int

    def __post_init__(self) -> None:
        _check_height(self.height)
        _check_wait(self.within_ms)
        if len(self.state) > NAME_MAX_CHARS:
            raise ValueError("state: too long")


# Control.


@message("ask.challenge", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeAsked:
    """A nonce for one control request of this client."""


@message("ask.control", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class ControlAsked:
    """A command (an encoded message of those below) with its authority."""

    command: bytes
    nonce: Hash
    signer: PublicKey
    signature: Signature

    def verified(self, domain: Domain, instance: PublicKey, verify: Verify) -> bool:
        """Whether the signer said this to this instance; says nothing about its right to."""
        body = control_body(self.command, self.nonce, instance)
        return verify(self.signer, domain.message(CONTROL_TAG, body), self.signature)


def control_body(command: bytes, nonce: Hash, instance: PublicKey) -> bytes:
    """The bytes a control request's signature covers beside tag, version and chain."""
    return pack([nonce, instance, command])


def sign_control(
    command: object, *, nonce: Hash, instance: PublicKey, domain: Domain, key: PrivateKey
) -> ControlAsked:
    """A command for one instance, signed by its identity or admin key."""
    data = encode(command)
    body = control_body(data, nonce, instance)
    return ControlAsked(
        command=data,
        nonce=nonce,
        signer=key.public,
        signature=key.sign(domain.message(CONTROL_TAG, body)),
    )


@message("control.stop", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class StopCommand:
    """Finish what is owed, then end the process. Told: height."""


@message("control.cut", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class CutCommand:
    """Fault injection: drop all peer traffic from and to these urls, and those cut before.

    Both empty heals all. Refused unless the node's config has ``faults``. Told: nothing.
    """

    muted_in: tuple[str, ...]
    muted_out: tuple[str, ...]

    def __post_init__(self) -> None:
        for urls in (self.muted_in, self.muted_out):
            if len(urls) > CUT_URLS_MAX or any(len(url) > URL_MAX_CHARS for url in urls):
                raise ValueError("too many urls")


Command = StopCommand | CutCommand | HandoverCommand

Request = (
    ChainAsked
    | InfoAsked
    | SuffrageAsked
    | PeersAsked
    | BlockAsked
    | HeadersAsked
    | RawBlocksAsked
    | QueryAsked
    | SealSubmitted
    | SealAwaited
    | ConditionAwaited
    | ChallengeAsked
    | ControlAsked
    | FeedRequest
    | HandoverAsk
)
_REQUESTS: Final = frozenset(Request.__args__)
_COMMANDS: Final = frozenset(Command.__args__)


# Answers.


@message("answer.told", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One object in the words of the command line's JSON; canonical, so with sorted keys."""

    body: dict[str, Any]


@message("answer.accepted", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The node checked the seal and keeps it in memory until it commits or expires."""

    seal: Hash


@message("answer.committed", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The seal is in a committed block; ``results`` as base.results encodes them."""

    seal: Hash
    height: int
    block_hash: Hash
    results: bytes

    def __post_init__(self) -> None:
        _check_height(self.height)


@message("answer.raw_blocks", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class RawBlocks:
    """Consecutive blocks from ``first`` on, as many as fit: (block, ACCEPT VP, INIT VP or empty).

    All encoded; block 0 has no voteproofs (empty bytes). At least one unless there is none.
    """

    first: int
    blocks: tuple[tuple[bytes, bytes, bytes], ...]

    def __post_init__(self) -> None:
        _check_height(self.first)
        if len(self.blocks) > RAW_BLOCKS_ASKED_MAX:
            raise ValueError("too many blocks")


@message("answer.challenge", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A nonce for one control request; good once, for some seconds."""

    nonce: Hash


@message("answer.failed", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An error of the documented codes, with the exit code that tells its kind."""

    exit_code: int
    code: str
    message: str
    hint: str
    details: dict[str, Any]

    def to_error(self) -> ZmqnodeError:
        """The exception to raise at the client."""
        said: dict[str, object] = {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "details": self.details,
        }
        return from_json(said, self.exit_code)


Answer = Told | Accepted | Committed | RawBlocks | Challenge | Failed
_ANSWERS: Final = frozenset(Answer.__args__)


def told(body: dict[str, Any]) -> Told:
    """An object as an answer; keys are put into canonical order.

    Raises:
        Refused: ``query_failed``, what is asked for cannot be told: too many lists and maps, or too
            deep. Applications and senders decide what a state and a block hold.
    """
    try:
        return Told(body=canonical(body))
    except ValueError as error:
        hint = "ask for less, or for the block as it is stored"
        raise Refused("query_failed", f"the answer cannot be told: {error}", hint=hint) from None


def failed(error: ZmqnodeError) -> Failed:
    """An error as an answer; details that cannot travel are left out."""
    details: dict[str, Any] = {}
    for name in sorted(error.details):
        try:
            details[name] = unpack(pack_sorted(error.details[name]))
        except (TypeError, ValueError, OverflowError):
            continue
    return Failed(
        exit_code=error.exit_code,
        code=error.code,
        message=error.message,
        hint=error.hint,
        details=details,
    )


def canonical(body: dict[str, Any]) -> dict[str, Any]:
    """A copy with all keys in canonical order, tuples as lists; errors as ``pack_sorted``."""
    # In a list, as in the message that carries it: so deep must fit.
    (ordered,) = unpack(pack_sorted([body]))
    assert type(ordered) is dict
    return ordered


def read_request(data: bytes) -> Any:
    """The request of its bytes; raises Malformed, also for messages that are no requests."""
    return _read(data, _REQUESTS, "request")


def read_command(data: bytes) -> Any:
    """The control command of its bytes; raises Malformed."""
    return _read(data, _COMMANDS, "control command")


def read_answer(data: bytes) -> Any:
    """The answer of its bytes; raises Malformed."""
    return _read(data, _ANSWERS, "answer")


def _read(data: bytes, kinds: frozenset[type], what: str) -> Any:
    found = decode(data)
    if type(found) not in kinds:
        raise Malformed(f"no {what}: {type(found).__name__}")
    return found


def _check_height(height: int | None) -> None:
    if height is not None and not 0 <= height <= HEIGHT_MAX:
        raise ValueError("height out of range")


def _check_wait(within_ms: int) -> None:
    if not 0 <= within_ms <= WAIT_MS_MAX:
        raise ValueError(f"within_ms: expected 0 to {WAIT_MS_MAX}")
