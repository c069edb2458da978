"""What feeds yield: pictures of a node, and events, with the names of the command line's JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from zmqnode.client.answers import Answer, EventInfo, NodeInfo, PeerInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTimes(Answer):
    """How fast blocks are committed at a node: of the last 256, and in the last minute."""

    interval_p50_ms: float
    interval_p99_ms: float
    per_minute: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StageInfo(Answer):
    """Ballots of one stage (INIT, ACCEPT, DRAW) of the round a node is in.

    Attributes:
        needed: the quorum.
        since_ms: how long the stage has been under way; 0 if it has not begun.
    """

    stage: str
    votes: int
    needed: int
    since_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VotePoint(Answer):
    """Where a ballot was given."""

    height: int
    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberVotes(Answer):
    """The newest ballots of a member that a node knows of."""

    init: VotePoint | None
    accept: VotePoint | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberStanding(Answer):
    """A member's voting instance as a node last heard of it; ``height`` is the tip it claims."""

    state: str | None
    height: int | None
    rtt_ms: float | None
    clock_offset_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFlow(Answer):
    """A node's pool: what waits, seals in and out a second of the last 5, refusals by code."""

    seals: int
    operations: int
    bytes: int
    in_per_s: float
    out_per_s: float
    refused: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine(Answer):
    """One line of a node's log."""

    at_ms: int
    level: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Answer):
    """One picture of a node.

    Attributes:
        rounds: how many were begun at the height being worked at; 0: the node takes no part.
        round_state: what the round waits for: idle, proposing, init, executing, accept, or "".
        leader: who proposes in it.
        minutes: blocks committed in each of the last 30 minutes, the oldest first.
        votes, members: by address, of the suffrage in ``node``.
        log: at most 50 lines, the oldest first.
        skipped: pictures of this feed that were left out because its reader was behind.
    """

    at: str
    at_ms: int
    node: NodeInfo
    blocks: BlockTimes
    stages: tuple[StageInfo, ...]
    rounds: int
    round_state: str
    leader: str | None
    peers: tuple[PeerInfo, ...]
    minutes: tuple[int, ...]
    votes: dict[str, MemberVotes]
    members: dict[str, MemberStanding]
    pool: PoolFlow
    log: tuple[LogLine, ...]
    uptime_ms: int
    skipped: int


# Events. ``at`` is the block's time, or when the node saw it.


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockEvent(Answer):
    """A block was committed."""

    kind: str
    height: int
    at: str
    at_ms: int
    block_hash: str
    round: int
    proposer: str
    operations_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationEvent(Answer):
    """An operation of a block was executed, or undone for a reason."""

    kind: str
    height: int
    at: str
    at_ms: int
    seal: str
    index: int
    name: str
    ok: bool
    reason: str | None
    events: tuple[EventInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverEvent(Answer):
    """A block brought a handover one step on."""

    kind: str
    height: int
    at: str
    at_ms: int
    session: str
    address: str
    mode: str
    epoch_after: int
    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StateEvent(Answer):
    """The node changed its state."""

    kind: str
    height: int
    at: str
    at_ms: int
    state: str
    previous: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceEvent(Answer):
    """An instance signed two things it must not both have signed."""

    kind: str
    height: int
    at: str
    at_ms: int
    address: str
    instance: str
    epoch: int
    round: int
    stage: str


Event = BlockEvent | OperationEvent | HandoverEvent | StateEvent | EvidenceEvent

EVENT_OF: Final[dict[str, type[Event]]] = {
    "block": BlockEvent,
    "operation": OperationEvent,
    "handover": HandoverEvent,
    "state": StateEvent,
    "evidence": EvidenceEvent,
}
