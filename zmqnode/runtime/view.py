"""What the door may see and do of a node: the contract between :class:`Queries` and the node.

The node implements :class:`NodeView`; tests implement it with a dictionary. All calls come on the
loop's thread and must not block for long: a lookup in the store, never a wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from zmqnode.app import App
from zmqnode.base.ballot import Ballot
from zmqnode.base.block import Block
from zmqnode.base.exchange import NodeState
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address, PublicKey
from zmqnode.base.params import Params
from zmqnode.base.seal import Seal
from zmqnode.base.signing import Signs
from zmqnode.base.suffrage import Suffrage
from zmqnode.base.tree import Proof
from zmqnode.core.authority import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolCount:
    """What waits in the pool."""

    seals: int
    operations: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlock:
    """A block and its voteproofs as the store keeps them, encoded; empty where there is none."""

    block: bytes
    accept_vp: bytes
    init_vp: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRow:
    """One other instance as this node sees it. ``epoch`` and ``height`` as it last said."""

    address: Address
    instance: PublicKey
    role: str
    epoch: int
    url: str
    connected: bool
    height: int | None
    rtt_us: int | None
    last_seen_ms: int | None  # Unix ms.
    clock_offset_ms: int | None
    queue_messages: int
    dropped: int
    strikes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a node is BROKEN, and the ways out, for its operator."""

    cause: str
    way_out: str


class NodeView(Protocol):
    """A node, as far as its clients are concerned. Heights are 0 to ``tip``."""

    # Who it is: the same for a process's life.

    @property
    def address(self) -> Address: ...

    @property
    def identity(self) -> PublicKey:
        """The identity key of the address; may control the node."""

    @property
    def admin(self) -> PublicKey | None:
        """The admin key of the data folder; may control the node."""

    @property
    def signer(self) -> Signs:
        """The instance key, bound to the chain: its ``domain`` has network-id and genesis hash."""

    @property
    def url(self) -> str: ...

    @property
    def app(self) -> App: ...

    @property
    def params(self) -> Params: ...

    @property
    def faults(self) -> bool:
        """Whether the config allows fault injection."""

    @property
    def started_at_ms(self) -> int: ...

    # Where it stands.

    @property
    def state(self) -> NodeState: ...

    @property
    def tip(self) -> int:
        """Height of the newest committed block."""

    @property
    def tip_known(self) -> int:
        """Highest certified height it knows of; at least ``tip``."""

    @property
    def retired(self) -> bool:
        """Whether this instance was replaced and has not made its next key yet."""

    @property
    def last_ballot(self) -> Ballot | None:
        """The newest own ballot."""

    @property
    def broken(self) -> Trouble | None: ...

    @property
    def handover(self) -> dict[str, Any] | None:
        """The open session, in the words of the command line."""

    @property
    def split(self) -> Mapping[Hash, tuple[Address, ...]]:
        """Who computed which result, while results of the height differ; else empty."""

    @property
    def peers_up(self) -> int: ...

    @property
    def ignored_ballots(self) -> int: ...

    @property
    def evidence(self) -> int: ...

    @property
    def pool(self) -> PoolCount: ...

    def peers(self) -> tuple[PeerRow, ...]: ...

    def last_seen_ms(self, instance: PublicKey) -> int | None:
        """Unix ms of an instance's newest status (JOINING, CONSENSUS) or ballot; None: never."""

    def clock_ms(self) -> int:
        """The wall clock, Unix ms."""

    # What it stores. Reads show the newest committed block.

    def block(self, height: int) -> Block | None: ...

    def stored(self, height: int) -> StoredBlock | None: ...

    def height_of(self, block: Hash) -> int | None: ...

    def seal_height(self, seal: Hash) -> int | None:
        """The height of the block that holds a seal."""

    def steps(self, height: int) -> tuple[Step, ...]:
        """What a stored block did to handover sessions."""

    def suffrage(self, height: int) -> Suffrage | None:
        """Who may vote at a height from 1 to ``tip`` + 2."""

    def suffrage_changes(self, after: int, most: int) -> tuple[int, ...]:
        """The first heights above ``after`` whose block decided another suffrage."""

    def read(self, key: bytes) -> bytes | None: ...

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]: ...

    def prove(self, key: bytes) -> Proof: ...

    # What it can be made to do.

    def take_seal(self, seal: Seal, token: object) -> None:
        """Hand a checked seal to the core. Answered by ``Queries.seal_judged(token, ..)``."""

    def stop(self) -> None:
        """Begin a graceful stop."""

    def cut(self, muted_in: tuple[str, ...], muted_out: tuple[str, ...]) -> None:
        """Drop peer traffic from and to these urls; both empty: heal."""
