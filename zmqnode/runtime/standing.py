"""A running node as its clients see it: the NodeView of the door's queries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

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
from zmqnode.core.events import SealsReceived
from zmqnode.network import PeerNetwork
from zmqnode.runtime.driver import Driver
from zmqnode.runtime.ledger import Ledger
from zmqnode.runtime.view import PeerRow, PoolCount, StoredBlock, Trouble

if TYPE_CHECKING:
    from zmqnode.runtime.handovers import Handovers


class Standing:
    """Reads the machine, the ledger and the network; changes nothing but through the driver."""

    def __init__(
        self,
        *,
        driver: Driver,
        ledger: Ledger,
        network: PeerNetwork,
        signer: Signs,
        address: Address,
        identity: PublicKey,
        admin: PublicKey,
        url: str,
        params: Params,
        faults: bool,
        stop: Callable[[], None],
    ) -> None:
        self.driver = driver
        self.ledger = ledger
        self.network = network
        self.signer: Signs = signer
        self.address = address
        self.identity = identity
        self.admin: PublicKey | None = admin
        self.url = url
        self.params = params
        self.faults = faults
        self.started_at_ms = time.time_ns() // 1_000_000
        self._stop = stop
        self._ignored = 0  # By instances of this process before this one.
        self._evidence = 0
        self.handovers: Handovers | None = None  # Set before the first request.

    def become(self, signer: Signs, *, ignored: int, evidence: int) -> None:
        """This node is another instance of its address now; what it counted stays counted."""
        self.signer = signer
        self._ignored, self._evidence = ignored, evidence

    @property
    def app(self) -> App:
        return self.ledger.app

    @property
    def state(self) -> NodeState:
        return self.driver.machine.state

    @property
    def tip(self) -> int:
        return self.ledger.height

    @property
    def tip_known(self) -> int:
        kernel = self.driver.machine.kernel
        if kernel is None:
            return self.tip
        suffrage = kernel.chain.newest_suffrage()
        tips = kernel.members.claimed_tips(suffrage, kernel.now_ms)
        # f claims may be lies: the (f+1)-th highest is certified by an honest node.
        return max(self.tip, tips[suffrage.f] if len(tips) > suffrage.f else 0)

    @property
    def retired(self) -> bool:
        state, own = self.ledger.authority, self.signer.public
        if not state.is_used(own):
            return False
        session = state.session(self.address)
        return session is None or session.new_instance != own

    @property
    def last_ballot(self) -> Ballot | None:
        kernel = self.driver.machine.kernel
        return kernel.voter.last if kernel is not None else None

    @property
    def broken(self) -> Trouble | None:
        kernel = self.driver.machine.kernel
        if kernel is None or kernel.fault is None:
            return None
        return Trouble(cause=kernel.fault.cause, way_out=kernel.fault.way_out)

    @property
    def handover(self) -> dict[str, Any] | None:
        return None if self.handovers is None else self.handovers.open_row()

    @property
    def split(self) -> Mapping[Hash, tuple[Address, ...]]:
        machine = self.driver.machine
        if machine.kernel is None or machine.consensus.votes is None:
            return {}
        return machine.consensus.votes.split()

    @property
    def peers_up(self) -> int:
        return len(self.network.peers())

    @property
    def ignored_ballots(self) -> int:
        kernel = self.driver.machine.kernel
        return self._ignored + (kernel.ignored_ballots if kernel is not None else 0)

    @property
    def evidence(self) -> int:
        kernel = self.driver.machine.kernel
        return self._evidence + (len(kernel.evidence) if kernel is not None else 0)

    @property
    def pool(self) -> PoolCount:
        kernel = self.driver.machine.kernel
        if kernel is None:
            return PoolCount(seals=0, operations=0, bytes=0)
        pool = kernel.pool
        return PoolCount(seals=len(pool), operations=pool.operations, bytes=pool.bytes)

    def peers(self) -> tuple[PeerRow, ...]:
        """Every other instance this node is linked to or called by."""
        kernel = self.driver.machine.kernel
        rows = []
        for one in self.network.stats():
            instance = PublicKey(one.instance)
            seen = kernel.members.instances.get(instance) if kernel is not None else None
            role, epoch = self._role(one.address, instance)
            rows.append(
                PeerRow(
                    address=Address(one.address),
                    instance=instance,
                    role=role,
                    epoch=epoch,
                    url=one.url,
                    connected=one.linked,
                    height=None if seen is None or seen.status_ms is None else seen.tip,
                    rtt_us=None if one.rtt_ms is None else int(one.rtt_ms * 1000),
                    last_seen_ms=self.last_seen_ms(instance),
                    clock_offset_ms=None if seen is None else seen.clock_offset_ms,
                    queue_messages=one.queue,
                    dropped=one.dropped,
                    strikes=one.strikes,
                )
            )
        return tuple(rows)

    def _role(self, address: str, instance: PublicKey) -> tuple[str, int]:
        suffrage = self.ledger.suffrage(self.tip + 1)
        member = suffrage.by_address.get(Address(address)) if suffrage is not None else None
        if member is None:
            return "observer", 0
        return ("active" if member.instance == instance else "standby"), member.epoch

    def last_seen_ms(self, instance: PublicKey) -> int | None:
        kernel = self.driver.machine.kernel
        seen = kernel.members.instances.get(instance) if kernel is not None else None
        if kernel is None or seen is None or seen.heard_ms is None:
            return None
        if seen.state not in (None, NodeState.JOINING, NodeState.CONSENSUS):
            return None
        return seen.heard_ms + kernel.clock_offset_ms

    def clock_ms(self) -> int:
        return time.time_ns() // 1_000_000

    # Stored things.

    def block(self, height: int) -> Block | None:
        return self.ledger.block(height)

    def stored(self, height: int) -> StoredBlock | None:
        store = self.ledger.store
        block = store.block(height) if height >= 0 else None
        if block is None:
            return None
        proofs = store.voteproofs(height)
        return StoredBlock(
            block=block,
            accept_vp=b"" if proofs is None else proofs.accept,
            init_vp=b"" if proofs is None or proofs.init is None else proofs.init,
        )

    def height_of(self, block: Hash) -> int | None:
        return self.ledger.store.height_of(block)

    def seal_height(self, seal: Hash) -> int | None:
        return self.ledger.store.seal_height(seal)

    def steps(self, height: int) -> tuple[Step, ...]:
        return self.ledger.steps(height)

    def suffrage(self, height: int) -> Suffrage | None:
        return self.ledger.suffrage(height)

    def suffrage_changes(self, after: int, most: int) -> tuple[int, ...]:
        return self.ledger.suffrage_changes(after, most)

    def read(self, key: bytes) -> bytes | None:
        return self.ledger.store.get(key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self.ledger.store.scan(prefix)

    def prove(self, key: bytes) -> Proof:
        return self.ledger.tree.prove(key)

    # What it can be made to do.

    def take_seal(self, seal: Seal, token: object) -> None:
        self.driver.post(SealsReceived(seals=(seal,), token=token))

    def stop(self) -> None:
        self._stop()

    def cut(self, muted_in: tuple[str, ...], muted_out: tuple[str, ...]) -> None:
        self.network.cut(muted_in, muted_out)
