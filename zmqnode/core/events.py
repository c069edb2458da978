"""All that can happen to the machine: a closed type. Names are past participles.

Whoever drives the machine (the real node, the simulator) has checked form, size and, for seals, the
signature. Ballots, proposals, voteproofs and statuses are checked by the core itself, because
whether a signature is worth its price depends on the chain (DESIGN.md section 4: not once q are
there).
"""

from __future__ import annotations

from dataclasses import dataclass

from zmqnode.base.block import Block, Manifest
from zmqnode.base.exchange import Published, Reply, Request
from zmqnode.base.handover import Cosign, Mode
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address, PublicKey
from zmqnode.base.seal import Seal
from zmqnode.base.suffrage import Suffrage
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.authority_moves import Step
from zmqnode.core.authority_state import Authority
from zmqnode.core.records import Recovery


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """The first event: what disk gave back."""

    recovery: Recovery


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockRead:
    """Wall clock minus the machine's time, in ms; sent at start and whenever it changes."""

    offset_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Woke:
    """The time that ``Machine.wake_at_ms`` named has come (or any later one)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerConnected:
    """A link to an instance is up; its hello proved address and instance."""

    address: Address
    instance: PublicKey
    url: str = ""  # Where the link leads.


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerLost:
    """The link to an instance is down."""

    instance: PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Something published, from any peer (it need not be its author)."""

    message: Published
    source: PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """A peer's request; ``route`` is opaque and goes back in the Answer."""

    source: PublicKey
    route: object
    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A peer's answer to an Ask. BlocksAnswer comes as :class:`BlocksReceived` instead."""

    source: PublicKey
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class BlocksReceived:
    """Decoded blocks of a BlocksAnswer, in order, with their ACCEPT VPs; nothing verified yet."""

    source: PublicKey
    first: int
    blocks: tuple[tuple[Block, Voteproof], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealsReceived:
    """Seals whose form and signature are right and that the application's ``check`` let through.

    ``token`` is set when a client waits for a Reply (then there is one seal); ``source`` is the
    peer that published or served them, None for a client. ``pulled``: they answer SealsWanted.
    """

    seals: tuple[Seal, ...]
    source: PublicKey | None = None
    token: object = None
    pulled: bool = False
    missing: tuple[Hash, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """The answer to Execute: the manifest, and suffrage(height + 2) after it."""

    parent: Hash
    value: Hash
    manifest: Manifest
    suffrage: Suffrage
    elapsed_ms: int
    authority: Authority | None = None  # None: as after the parent.
    steps: tuple[Step, ...] = ()  # What the block did to handovers.


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFailed:
    """This machine could not execute a value (memory, recursion): the execution is void.

    ``seal``: the one it failed in; None: not known, or of none.
    """

    parent: Hash
    value: Hash
    cause: str
    way_out: str
    seal: Hash | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Faulted:
    """Something of this node's own failed (application, disk): it must not vote any more."""

    cause: str
    way_out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAsked:
    """A graceful stop: finish what is owed, then Stopped may be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverAsked:
    """An operator wants this copy to vote in its address's place; the runtime's preflight passed.

    ``url`` is where this copy is found. ``when_synced``: wait until it has caught up.
    ``waited_ms``: how long the command waited before.
    """

    mode: Mode
    url: str
    reason: str = ""
    cosigns: tuple[Cosign, ...] = ()
    when_synced: bool = False
    waited_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAsked:
    """An operator takes the open handover of this address back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentGiven:
    """The old copy's operator answers a session that waits for it; None: the one that is shown."""

    refuse: bool = False
    session: Hash | None = None


Event = (
    Booted
    | ClockRead
    | Woke
    | PeerConnected
    | PeerLost
    | Heard
    | Requested
    | Answered
    | BlocksReceived
    | SealsReceived
    | Executed
    | ExecutionFailed
    | Faulted
    | StopAsked
    | HandoverAsked
    | CancelAsked
    | ConsentGiven
)
