"""What a client gets: frozen values with the names of the command line's JSON.

Hashes and keys are texts as they are shown, bytes are bytes; ``json()`` gives the object of the
contract (without ``v``), bytes as base64. Keys a node adds are ignored, missing ones are its fault.
"""

from __future__ import annotations

import base64
import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from zmqnode.errors import Malformed

A = TypeVar("A", bound="Answer")
Reader = Callable[[object], Any]


class Answer:
    """Base of all answers."""

    __slots__ = ()

    def json(self) -> dict[str, Any]:
        """The object of the command line's contract, without ``v``; bytes as base64."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return {field.name: _jsonable(getattr(self, field.name)) for field in fields}


def _jsonable(value: object) -> Any:
    match value:
        case Answer():
            return value.json()
        case bytes():
            return base64.b64encode(value).decode()
        case list() | tuple():
            return [_jsonable(one) for one in value]
        case Mapping():
            return {key: _jsonable(one) for key, one in value.items()}
        case _:
            return value


@dataclass(frozen=True, slots=True, kw_only=True)
class SealInfo(Answer):
    """A signed seal that was not sent yet: its hash, as a receipt names it, and its bytes."""

    hash: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EventInfo(Answer):
    """What an operation emitted."""

    name: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationResult(Answer):
    """What became of one operation of a seal; ``reason`` if it was undone."""

    index: int
    name: str
    ok: bool
    reason: str | None
    events: tuple[EventInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt(Answer):
    """A seal that was taken. ``ok`` false: at least one operation was undone."""

    ok: bool
    seal: str
    state: str  # accepted, committed
    height: int | None
    block_hash: str | None
    results: tuple[OperationResult, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberInfo(Answer):
    """One member of a suffrage as the node asked sees it."""

    address: str
    publickey: str
    instance: str
    epoch: int
    url: str
    live: bool
    last_seen_at: str | None
    last_seen_at_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SuffrageInfo(Answer):
    """Who may vote at a height; ``margin`` is live - q."""

    height: int
    n: int
    f: int
    q: int
    live: int
    margin: int
    members: tuple[MemberInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LastBallot(Answer):
    """Where a node voted last."""

    height: int
    round: int
    stage: str
    draw: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble(Answer):
    """Why a node is BROKEN, and the way out."""

    cause: str
    way_out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolInfo(Answer):
    """What waits in a node's pool."""

    seals: int
    operations: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AppInfo(Answer):
    """An application's name and version."""

    name: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInfo(Answer):
    """One node, in its own signed words (CLI.md section 5)."""

    v: int
    address: str
    publickey: str
    epoch: int
    instance: str
    url: str
    height: int
    network_id: str
    genesis_hash: str
    state: str
    role: str
    block_hash: str
    state_root: str
    proposed_at: str | None
    proposed_at_ms: int | None
    tip_height: int
    lag_blocks: int
    last_ballot: LastBallot | None
    handover: dict[str, Any] | None
    peers: int
    suffrage: SuffrageInfo
    broken: Trouble | None
    split: dict[str, Any] | None
    ignored_ballots: int
    evidence: int
    pool: PoolInfo
    version: str
    app: AppInfo
    params: dict[str, Any]
    started_at: str
    started_at_ms: int
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerInfo(Answer):
    """One of a node's links."""

    address: str
    instance: str
    role: str
    epoch: int
    url: str
    connected: bool
    height: int | None
    rtt_ms: float | None
    last_seen_at: str | None
    last_seen_at_ms: int | None
    clock_offset_ms: int | None
    queue_messages: int
    dropped: int
    strikes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerInfo(Answer):
    """Whose ballot is in a voteproof."""

    address: str
    instance: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteproofInfo(Answer):
    """A voteproof beside a block."""

    height: int
    round: int
    stage: str
    signers: tuple[SignerInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationInfo(Answer):
    """One operation of a block, with its result."""

    seal: str
    index: int
    sender: str
    name: str
    arguments: dict[str, Any]
    ok: bool
    reason: str | None
    events: tuple[EventInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockHeader(Answer):
    """A block without its content. Block 0 has no proposer and no time."""

    height: int
    block_hash: str
    parent_hash: str
    value_hash: str
    round: int
    proposer: str | None
    proposed_at: str | None
    proposed_at_ms: int | None
    results_root: str
    state_root: str
    next_suffrage_hash: str
    operations_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockInfo(BlockHeader):
    """A whole block."""

    seals: tuple[str, ...]
    operations: tuple[OperationInfo, ...]
    init_voteproof: VoteproofInfo | None
    accept_voteproof: VoteproofInfo | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenKey(Answer):
    """A state key that an answer rests on, and whether the state holds it."""

    key: str
    present: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofInfo(Answer):
    """What was checked of an answer.

    Attributes:
        verified: every key read is proven under a state root that a quorum signed, and that
            quorum follows from the genesis hash this client pinned.
        result_checked: the query was run again on the proven keys and gave the same result;
            false where the application's code is not here.
        signers: the members whose ballots certify the block.
    """

    verified: bool
    result_checked: bool
    keys: tuple[ProvenKey, ...]
    signers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryAnswer(Answer):
    """A query's result and the state it was read from; no proof unless asked for, or for a scan."""

    name: str
    result: Any
    type: str
    height: int
    block_hash: str
    state_root: str
    proof: ProofInfo | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing(Answer):
    """Where a node stood when what was waited for came true."""

    ok: bool
    state: str
    role: str
    epoch: int
    height: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(Answer):
    """A node that is gone."""

    address: str
    instance: str
    height: int
    seconds: float


# From what a node said.


def read(cls: type[A], body: object) -> A:
    """The answer of a told object; raises Malformed if keys are missing or of another type."""
    if type(body) is not dict:
        raise Malformed(f"{cls.__name__}: expected an object")
    values = {}
    for name, reader in _readers(cls):
        if name not in body:
            raise Malformed(f"{cls.__name__}: {name} is missing")
        try:
            values[name] = reader(body[name])
        except Malformed as error:
            raise Malformed(f"{cls.__name__}.{name}: {error}") from None
    return cls(**values)


_known: dict[type, tuple[tuple[str, Reader], ...]] = {}


def _readers(cls: type[Answer]) -> tuple[tuple[str, Reader], ...]:
    if cls not in _known:
        hints = typing.get_type_hints(cls)
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]
        _known[cls] = tuple((field.name, _reader(hints[field.name])) for field in fields)
    return _known[cls]


def _reader(hint: Any) -> Reader:
    if hint is Any:
        return lambda value: value
    if isinstance(hint, type) and issubclass(hint, Answer):
        return lambda value: read(hint, value)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        inner = _reader(next(one for one in arguments if one is not type(None)))
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        each = _reader(arguments[0])
        return lambda value: tuple(each(one) for one in _exactly(list, value))
    if origin is dict and isinstance(arguments[1], type) and issubclass(arguments[1], Answer):
        each = _reader(arguments[1])
        return lambda value: {key: each(one) for key, one in _exactly(dict, value).items()}
    return lambda value: _exactly(origin or hint, value)


def _exactly(kind: type, value: object) -> Any:
    if type(value) is not kind:
        raise Malformed(f"expected {kind.__name__}")
    return value
