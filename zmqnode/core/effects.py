"""All that the machine can ask for: a closed type. Names are imperatives.

The ordering contract: effects are performed in the order of the list. ``Record`` with ``sync`` is a
barrier: nothing after it happens before it, and all records before it, are durable; one sync may
serve all barriers of a turn as long as what follows the first of them waits. Nothing re-enters:
answers come back as events. A Publish does not come back to its sender.
"""

from __future__ import annotations

from dataclasses import dataclass

from zmqnode.base.exchange import NodeState, Published, Reply, Request
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import PublicKey
from zmqnode.base.proposal import Value
from zmqnode.base.seal import Seal
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.handover_view import SessionView
from zmqnode.core.records import JournalRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Append to the vote journal; with ``sync``, durable before the next effect."""

    record: JournalRecord
    sync: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Send to every connected peer, on the votes stream (SealsAnnounced: on the seals stream)."""

    message: Published


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSeals:
    """Send seals to every connected peer, on the seals stream."""

    seals: tuple[Seal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Send a request to one instance; silently nothing if no link is up. No answer is promised."""

    instance: PublicKey
    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Answer the request that came by ``route``."""

    route: object
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeBlocks:
    """Answer a BlocksWanted from the store (BlocksAnswer; empty if it has none of them)."""

    route: object
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Execute:
    """Run a value on the state after ``parent`` (a committed block, or an executed one not yet
    committed) and answer with Executed. The same (parent, value) is asked for once at a time.
    """

    parent: Hash
    value: Value
    seals: tuple[Seal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """Make the executed (parent, value) the tip; drop other results on the same parent.

    The store may lag; the journal holds what a restart needs (D3).
    """

    height: int
    parent: Hash
    value: Hash
    block: Hash
    accept: Voteproof
    init: Voteproof | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerClient:
    """A client's seal was taken into the pool (``code`` None) or refused with a code of CLI.md."""

    token: object
    seal: Hash
    code: str | None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterState:
    """The node's state changed, and why."""

    state: NodeState
    previous: NodeState
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """The node must not vote any more: cause and way out, for its operator."""

    cause: str
    way_out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportEvidence:
    """Two things one instance must not both have signed; one per (instance, point, stage)."""

    first: object
    second: object


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowHandover:
    """The session of this copy's address changed; for display, resume and who waits for it."""

    session: SessionView


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceKey:
    """This instance's key is spent, it can never vote again: delete it, go on with a new one.

    Said once; until then this machine follows the chain and signs nothing that counts.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Nothing is owed any more; the process may end."""


Effect = (
    Record
    | Publish
    | PublishSeals
    | Ask
    | Answer
    | ServeBlocks
    | Execute
    | Commit
    | AnswerClient
    | EnterState
    | Break
    | ReportEvidence
    | ShowHandover
    | ReplaceKey
    | Stop
)
