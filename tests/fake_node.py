"""A chain without consensus and nodes without a core, to test what clients see of the real ones.

``FakeChain`` executes seals with the real engine, state tree and formats; all members sign
every block. ``FakeNode`` is a ``NodeView`` of it, which a real door can serve.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.network.conftest import Heard
from tests.ports import free_ports
from zmqnode.app import App, Execution
from zmqnode.app.loading import load_app
from zmqnode.base.ballot import Ballot, accept_fact, init_fact, sign_ballot
from zmqnode.base.block import Block, Manifest, decode_block, encode_block
from zmqnode.base.codec import encode
from zmqnode.base.exchange import NodeState
from zmqnode.base.genesis import Genesis, found, sign_entry
from zmqnode.base.handover import (
    Mode,
    Switch,
    SystemOperation,
    sign_ack,
    sign_consent,
    sign_handover,
    sign_possession,
    sign_ready,
)
from zmqnode.base.hashes import ZERO, Hash
from zmqnode.base.keys import Address, PrivateKey, PublicKey, public_text, verify
from zmqnode.base.params import Params
from zmqnode.base.point import Point
from zmqnode.base.proposal import Value
from zmqnode.base.results import OK, encode_results, results_leaf, results_root
from zmqnode.base.seal import Seal, make_seal
from zmqnode.base.signing import Domain, Signer
from zmqnode.base.suffrage import Suffrage
from zmqnode.base.system import seal_system, system_operations
from zmqnode.base.tree import Proof
from zmqnode.base.voteproof import Voteproof, certify
from zmqnode.core.authority import Step, advance, founded
from zmqnode.core.authority_entries import changes
from zmqnode.core.authority_state import Authority, Context
from zmqnode.network import Endpoints, Introduction, NetworkLimits, PeerNetwork, new_context
from zmqnode.runtime import showing
from zmqnode.runtime.feeds import Feeds
from zmqnode.runtime.queries import Queries
from zmqnode.runtime.view import PeerRow, PoolCount, StoredBlock, Trouble
from zmqnode.storage.memory import MemoryStore
from zmqnode.storage.pages import StateTree
from zmqnode.storage.store import BlockRecord

NETWORK_ID = "fake-net"
START_MS = 1_795_435_200_000
NO_POOL = PoolCount(seals=0, operations=0, bytes=0)


def key(number: int) -> PrivateKey:
    return PrivateKey(number.to_bytes(32, "big"))


class FakeChain:
    """n members, one store, blocks at a call."""

    def __init__(
        self,
        n: int = 4,
        *,
        params: Params | None = None,
        app: App | None = None,
        ports: Sequence[int] | None = None,
    ) -> None:
        self.identities = [key(1000 + i) for i in range(n)]
        self.instances = [key(2000 + i) for i in range(n)]
        self.ports = [4000 + 3 * i for i in range(n)] if ports is None else list(ports)
        self.app = app or load_app("kv")
        self.params = params or Params()
        self.genesis = Genesis(
            network_id=NETWORK_ID,
            app=self.app.name,
            app_version=self.app.version,
            params=self.params,
            entries=tuple(
                sign_entry(
                    address=Address(f"n{i}sas"),
                    instance=self.instances[i].public,
                    url=f"tcp://127.0.0.1:{self.ports[i]}",
                    network_id=NETWORK_ID,
                    key=self.identities[i],
                )
                for i in range(n)
            ),
        )
        self.store = MemoryStore()
        self.tree = StateTree(self.store)
        self.accepts: dict[int, Voteproof] = {}
        self.inits: dict[int, Voteproof] = {}
        self.executed: set[Hash] = set()
        self.authority: Authority = founded(self.genesis.suffrage)
        self.suffrages = [(1, self.genesis.suffrage)]  # From which height on.
        self.keys = {one.public: one for one in (*self.identities, *self.instances)}
        self.steps: dict[int, tuple[Step, ...]] = {}
        overlay = self.tree.fork()
        founding = found(self.genesis, self._app_state, overlay.update)
        self.domain = Domain(network_id=NETWORK_ID, genesis=founding.hash)
        self._put(founding.block, overlay, founding.state, None, None)

    def _app_state(self, data: bytes) -> dict[bytes, bytes | None]:
        execution = Execution(self.app, self.store.get, self.store.scan, 0, 0)
        execution.run_genesis(data)
        return execution.changes()

    def _put(self, block: Block, overlay: Any, state: Any, accept: Any, init: Any) -> None:
        self.store.put_block(
            BlockRecord(
                height=block.height,
                block_hash=block.hash,
                block=encode_block(block),
                accept_vp=b"" if accept is None else encode(accept),
                init_vp=None if init is None else encode(init),
                seals=[seal.hash for seal in block.seals],
                state=state,
                pages=overlay.page_changes(),
            )
        )
        self.tree.promote(overlay)
        self.executed.update(seal.hash for seal in block.seals)

    @property
    def tip(self) -> int:
        return self.store.height

    @property
    def suffrage(self) -> Suffrage:
        """Of the next height."""
        return self.suffrage_at(self.tip + 1)

    def suffrage_at(self, height: int) -> Suffrage:
        return [one for first, one in self.suffrages if first <= height][-1]

    def block(self, height: int) -> Block | None:
        data = self.store.block(height)
        return None if data is None else decode_block(data)

    def commit(self, seals: Sequence[Seal] = (), *, signers: Sequence[int] | None = None) -> Block:
        """The next block, certified by all members (or those named)."""
        height = self.tip + 1
        parent = self.store.block_hash(self.tip)
        assert parent is not None
        value = Value(
            height=height,
            parent=Hash(parent),
            time_ms=START_MS + 1000 * height,
            seals=tuple(seal.hash for seal in seals),
            accept=self.accepts[height - 2] if height > 2 else None,
        )
        execution = Execution(self.app, self.store.get, self.store.scan, height, value.time_ms)
        operations = system_operations(seals)
        context = self.context(height)
        before = self.authority
        self.authority, steps = advance(before, operations, value.accept, context)
        plain = seals[len(operations) :]
        done = [execution.run_seal(s.hash, s.sender, s.operations).data for s in plain]
        results = (*(encode_results([OK]) for _ in operations), *done)
        leaves = zip(seals, results, strict=True)
        overlay = self.tree.fork()
        changed = {**execution.changes(), **changes(before, self.authority)}
        state_root = overlay.update(changed)
        manifest = Manifest(
            height=height,
            parent=Hash(parent),
            value=value.hash,
            results_root=results_root([results_leaf(seal.hash, data) for seal, data in leaves]),
            state_root=state_root,
            suffrage=self.authority.members.hash,
        )
        block = Block(
            manifest=manifest,
            value=value,
            seals=tuple(seals),
            results=results,
        )
        point = Point(height=height, round=0)
        who = range(len(self.instances)) if signers is None else signers
        accept = self._certify(accept_fact(point, value.hash, block.hash), who)
        init = self._certify(init_fact(point, value.hash), who)
        self.accepts[height], self.inits[height] = accept, init
        self._put(block, overlay, changed, accept, init)
        if steps:
            self.steps[height] = steps
        if self.authority.members != self.suffrages[-1][1]:
            self.suffrages.append((height + 2, self.authority.members))
        return block

    def context(self, height: int) -> Context:
        return Context(
            height=height,
            time_ms=START_MS + 1000 * height,
            params=self.params,
            domain=self.domain,
            verify=verify,
        )

    # Handover.

    def new_instance(self, number: int) -> PublicKey:
        """A key that no genesis names."""
        made = key(5000 + number)
        self.keys[made.public] = made
        return made.public

    def handover(self, index: int, new: PublicKey) -> Seal:
        """A planned handover of a member's vote, right in the next block."""
        members = self.authority.members.members
        old = members[index]
        switch = Switch(
            address=old.address,
            epoch=old.epoch,
            mode=Mode.PLANNED,
            old_instance=old.instance,
            new_instance=new,
            url=old.url,
            expires_at_ms=START_MS + 10**9,
        )
        voters = self.suffrage.members[: self.suffrage.q]
        operation = sign_handover(
            switch,
            possession=sign_possession(switch, self.signer_of(new)),
            consent=sign_consent(switch, self.signer_of(old.instance)),
            ready=tuple(
                sign_ready(
                    switch, START_MS + 1000 * self.tip, one.address, self.signer_of(one.instance)
                )
                for one in voters
            ),
            signer=self.signer_of(old.publickey),
        )
        return self._sealed(operation, old.publickey)

    def ack(self, index: int) -> Seal:
        """The acknowledgement of a member's open session."""
        session = self.authority.session(Address(f"n{index}sas"))
        assert session is not None
        signer = self.signer_of(session.new_instance)
        operation = sign_ack(session.address, session.new_epoch, session.session, signer)
        return self._sealed(operation, session.new_instance)

    def _sealed(self, operation: SystemOperation, sender: PublicKey) -> Seal:
        now_ms = START_MS + 1000 * self.tip
        return seal_system(operation, created_at_ms=now_ms, signer=self.signer_of(sender))

    def signer_of(self, public: PublicKey) -> Signer:
        return Signer(self.keys[public], self.domain)

    def _certify(self, fact: Any, who: Sequence[int] | range) -> Voteproof:
        members = self.suffrage_at(fact.height).members
        ballots = [
            sign_ballot(
                fact, members[i].address, members[i].epoch, self.signer_of(members[i].instance)
            )
            for i in who
        ]
        return certify(fact, {one.address: one.signature for one in ballots})

    def seal(
        self, *operations: list[Any], nonce: int = 0, created_at_ms: int | None = None
    ) -> Seal:
        """A seal by a fixed sender."""
        now_ms = time.time_ns() // 1_000_000
        return make_seal(
            list(operations) or [["put", ["k", b"v"]]],
            created_at_ms=now_ms if created_at_ms is None else created_at_ms,
            nonce=nonce.to_bytes(16, "big"),
            key=key(3000),
            domain=self.domain,
        )

    def target(self, index: int = 0) -> str:
        identity = public_text(self.identities[index].public)
        return f"tcp://{identity}@127.0.0.1:{self.ports[index]}"


@dataclass
class FakeNode:
    """Member ``index`` of a chain as its clients see it. What it is told is written down."""

    chain: FakeChain
    index: int = 0
    admin: PublicKey | None = field(default_factory=lambda: key(4000).public)
    faults: bool = True
    state: NodeState = NodeState.CONSENSUS
    tip_ahead: int = 0
    retired: bool = False
    last_ballot: Ballot | None = None
    broken: Trouble | None = None
    handover: dict[str, Any] | None = None
    split: dict[Hash, tuple[Address, ...]] = field(default_factory=dict)
    ignored_ballots: int = 0
    evidence: int = 0
    pool: PoolCount = NO_POOL
    started_at_ms: int = START_MS
    auto_commit: bool = True  # A taken seal is in a block at once.
    refusal: str | None = None
    taken: list[Seal] = field(default_factory=list)
    stopped: bool = False
    cuts: list[Any] = field(default_factory=list)
    offset_ms: int = 0
    queries: Queries | None = None
    feeds: Feeds | None = None
    pictures: int = 0  # How many were made.

    @property
    def address(self) -> Address:
        return Address(f"n{self.index}sas")

    @property
    def identity(self) -> PublicKey:
        return self.chain.identities[self.index].public

    @property
    def signer(self) -> Signer:
        return Signer(self.chain.instances[self.index], self.chain.domain)

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.chain.ports[self.index]}"

    @property
    def app(self) -> App:
        return self.chain.app

    @property
    def params(self) -> Params:
        return self.chain.params

    @property
    def tip(self) -> int:
        return self.chain.tip

    @property
    def tip_known(self) -> int:
        return self.chain.tip + self.tip_ahead

    @property
    def peers_up(self) -> int:
        return len(self.chain.identities) - 1

    def peers(self) -> tuple[PeerRow, ...]:
        return (
            PeerRow(
                address=Address("n1sas"),
                instance=self.chain.instances[1].public,
                role="active",
                epoch=0,
                url="tcp://127.0.0.1:1",
                connected=True,
                height=self.tip,
                rtt_us=1500,
                last_seen_ms=START_MS,
                clock_offset_ms=3,
                queue_messages=0,
                dropped=1,
                strikes=2,
            ),
        )

    def last_seen_ms(self, instance: PublicKey) -> int | None:
        return self.clock_ms() - 100 if instance == self.chain.instances[1].public else None

    def clock_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset_ms

    def block(self, height: int) -> Block | None:
        return self.chain.block(height)

    def stored(self, height: int) -> StoredBlock | None:
        block, vps = self.chain.store.block(height), self.chain.store.voteproofs(height)
        if block is None or vps is None:
            return None
        return StoredBlock(block=block, accept_vp=vps.accept, init_vp=vps.init or b"")

    def height_of(self, block: Hash) -> int | None:
        return self.chain.store.height_of(block)

    def seal_height(self, seal: Hash) -> int | None:
        return self.chain.store.seal_height(seal)

    def steps(self, height: int) -> tuple[Step, ...]:
        return self.chain.steps.get(height, ())

    def suffrage(self, height: int) -> Suffrage | None:
        return self.chain.suffrage_at(height) if 1 <= height <= self.tip + 2 else None

    def suffrage_changes(self, after: int, most: int) -> tuple[int, ...]:
        decided = [first - 2 for first, _ in self.chain.suffrages[1:]]
        return tuple(height for height in decided if height > after)[:most]

    def read(self, key: bytes) -> bytes | None:
        return self.chain.store.get(key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self.chain.store.scan(prefix)

    def prove(self, key: bytes) -> Proof:
        return self.chain.tree.prove(key)

    def take_seal(self, seal: Seal, token: object) -> None:
        assert self.queries is not None
        self.taken.append(seal)
        self.queries.seal_judged(token, seal.hash, self.refusal, "by order of the test")
        if self.refusal is None and self.auto_commit and seal.hash not in self.chain.executed:
            self.commit([seal])

    def commit(self, seals: Sequence[Seal] = ()) -> Block:
        """The next block, as this node tells its clients."""
        assert self.queries is not None
        block = self.chain.commit(seals)
        self.queries.committed(block)
        return block

    def picture(self) -> dict[str, Any]:
        """As runtime.watching makes it, of a node that takes no part."""
        self.pictures += 1
        info = showing.node_info(self)
        return {
            "at": "2026-11-23T12:04:31.120Z",
            "at_ms": START_MS,
            "node": info,
            "blocks": {"interval_p50_us": 1500, "interval_p99_us": 2500, "per_minute": 7},
            "stages": [{"stage": "INIT", "votes": 2, "needed": 3, "since_ms": 5}],
            "rounds": 1,
            "round_state": "init",
            "leader": "n1sas",
            "peers": [showing.peer_row(one) for one in self.peers()],
            "minutes": [0] * 29 + [7],
            "votes": {"n0sas": {"init": {"height": 1, "round": 0}, "accept": None}},
            "members": {
                "n0sas": {"state": "SYNCING", "height": 4, "rtt_us": 250, "clock_offset_ms": 0}
            },
            "pool": {
                **info["pool"],
                "in_milli_per_s": 1250,
                "out_milli_per_s": 0,
                "refused": {"pool_full": 3},
            },
            "log": [{"at_ms": START_MS, "level": "info", "text": "started"}],
            "uptime_ms": 10,
        }

    def stop(self) -> None:
        self.stopped = True

    def cut(self, muted_in: tuple[str, ...], muted_out: tuple[str, ...]) -> None:
        self.cuts.append((muted_in, muted_out))


def loopback_ports(n: int) -> list[int]:
    """First ports of n nodes; each has the next two free, too."""
    return [free_ports() for _ in range(n)]


@asynccontextmanager
async def served(node: FakeNode) -> AsyncIterator[FakeNode]:
    """The node with a real door on its port."""
    loop = asyncio.get_running_loop()
    context = new_context()
    chain = node.chain
    network = PeerNetwork(
        context,
        loop,
        introduction=Introduction(
            network_id=NETWORK_ID,
            genesis=chain.domain.genesis,
            params=ZERO,
            app=chain.app.name,
            app_version=chain.app.version,
            address=node.address,
            instance=node.signer.public,
            incarnation=bytes(8),
            url=node.url,
            publish_port=1,
        ),
        identity=chain.identities[node.index],
        instance=chain.instances[node.index],
        endpoints=Endpoints.from_port("127.0.0.1", chain.ports[node.index]),
        listed={f"n{i}sas": one.public for i, one in enumerate(chain.identities)},
        hooks=Heard(),
        limits=NetworkLimits(door_messages_rate=None),
    )
    hooks = _Hooks()
    door = network.open_door(hooks)
    node.queries = hooks.queries = Queries(node, door)
    node.feeds = node.queries.feeds = Feeds(node, door, node.picture, loop)
    ticking = loop.create_task(_tick(node))
    try:
        yield node
    finally:
        ticking.cancel()
        node.feeds.close()
        network.close()
        context.term()


class _Hooks:
    queries: Queries

    def client_request(self, client: bytes, route: Any, payload: bytes) -> Any:
        return self.queries.client_request(client, route, payload)

    def client_gone(self, session: object) -> None:
        self.queries.client_gone(session)

    def door_changed(self, reason: str) -> None:
        pass


async def _tick(node: FakeNode) -> None:
    while True:
        await asyncio.sleep(0.05)
        assert node.queries is not None
        node.queries.tick(node.clock_ms())
