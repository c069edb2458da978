"""What a machine is given at birth: who it is, its chain's numbers, its own bounds. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from zmqnode.base.keys import Address
from zmqnode.base.params import Params
from zmqnode.base.signing import Domain, Signs, Verify

ROUNDS_AHEAD_MAX: Final = 2  # R9: ballots and proposals are kept for rounds 0..r+2 of the height.
NEXT_ROUNDS_MAX: Final = 2  # R9: and for rounds 0..1 of the next one.
STATUS_INTERVAL_MS: Final = 500
LIVE_MS: Final = 2000  # A member is live if its status or ballot came within this.
LEADER_HEIGHTS_MAX: Final = 3  # A leader unseen at this many heights is not waited for.
TIP_ASK_INTERVAL_MS: Final = 1000  # R8 at rest: how often a peer ahead is asked for its ACCEPT VP.
SERVE_TIMEOUT_MS: Final = 2000  # Who claims a tip and does not serve it within this is not counted.
DISBELIEF_MS: Final = 10_000  # And for so long.
BLOCKS_PER_ASK: Final = 64
BLOCKS_AHEAD_MAX: Final = 256  # Blocks of a catch-up buffered beyond the tip.
SEALS_KEPT_BLOCKS: Final = 3  # Seals of the newest blocks stay for peers that still miss them.
ANNOUNCE_MAX: Final = 64
SEALS_PULLED_MAX: Final = 500
EVIDENCE_MAX: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """Bounds of the pool of one node. They decide nothing on the chain."""

    seals_max: int = 50_000
    bytes_max: int = 64 * 1024 * 1024
    sender_seals_max: int = 25_000
    sender_bytes_max: int = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineConfig:
    """One instance of one address on one chain.

    Args:
        address: the member this instance belongs to (it need not be the one that votes for it).
        signer: the instance key bound to the chain.
        params: the chain's parameters.
        domain: network-id and genesis hash.
        verify: checks a signature; the simulator has one of its own.
        pool: the pool's bounds.
        identity: the address's identity key bound to the chain, to hand over with; None: without.
        consent_asks: whether this copy's operator is asked before it gives its vote away.
        standby_after_ms: after how much silence a standby takes over by itself; None: never.
        url: where this copy is found.
    """

    address: Address
    signer: Signs
    params: Params
    domain: Domain
    verify: Verify
    pool: PoolLimits = field(default_factory=PoolLimits)
    identity: Signs | None = None
    consent_asks: bool = False
    standby_after_ms: int | None = None
    url: str = ""
