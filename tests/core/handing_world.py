"""A network of copies in memory: every message takes a millisecond, every execution two.

Machines, chains and signatures are real; executing is the authority's part alone, as no application
runs here. Copies can be cut off, stopped and started again with what their disk holds.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any

from zmqnode.base.block import Block, Manifest
from zmqnode.base.exchange import BlocksAnswer, NodeState, SealsAnswer
from zmqnode.base.hashes import ZERO, Hash, tagged
from zmqnode.base.keys import Address, PublicKey, verify
from zmqnode.base.params import Params
from zmqnode.base.seal import make_seal, read_seal
from zmqnode.base.signing import Domain, Signer
from zmqnode.base.suffrage import Member, Suffrage
from zmqnode.base.system import system_operations
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.authority import Authority, Context, Step, advance, founded, suffrage
from zmqnode.core.effects import (
    Answer,
    Ask,
    Commit,
    Effect,
    Execute,
    Publish,
    PublishSeals,
    Record,
    ReplaceKey,
    ServeBlocks,
    ShowHandover,
)
from zmqnode.core.events import (
    Answered,
    BlocksReceived,
    Booted,
    ClockRead,
    Event,
    Executed,
    Heard,
    PeerConnected,
    PeerLost,
    Requested,
    SealsReceived,
    Woke,
)
from zmqnode.core.handover_view import SessionView
from zmqnode.core.machine import Machine
from zmqnode.core.records import BallotSigned, BlockSummary, JournalRecord, Recovery
from zmqnode.core.world import MachineConfig

from .harness import EPOCH_MS, key

DELAY_MS = 1
EXECUTION_MS = 2


@dataclass
class Disk:
    """What a copy keeps: its chain (all durable at once) and its journal."""

    blocks: list[Block] = field(default_factory=list)
    accepts: list[Voteproof | None] = field(default_factory=list)
    suffrages: dict[int, Suffrage] = field(default_factory=dict)
    authority: Authority | None = None
    steps: list[Step] = field(default_factory=list)
    records: list[JournalRecord] = field(default_factory=list)


class Copy:
    """One running copy of an address."""

    def __init__(self, world: World, name: str, address: Address, config: dict[str, Any]) -> None:
        self.world, self.name, self.address, self.extra = world, name, address, config
        self.keys = 0
        self.disk = Disk()
        self.up = False
        self.born = 0
        self.views: list[SessionView] = []
        self.effects: list[Effect] = []
        self._wake_ms: int | None = None
        self.signer = Signer(key(f"{name} {self.keys}"), world.domain)

    @property
    def instance(self) -> PublicKey:
        return self.signer.public

    @property
    def url(self) -> str:
        return f"tcp://{self.name}:1"

    @property
    def state(self) -> NodeState:
        return self.machine.state

    @property
    def tip(self) -> int:
        return len(self.disk.blocks) - 1

    @property
    def view(self) -> SessionView:
        return self.views[-1]

    def signed(self) -> list[tuple[int, int, int]]:
        """(height, round, stage) of every ballot ever signed here."""
        facts = [r.ballot.fact for r in self.disk.records if isinstance(r, BallotSigned)]
        return [(fact.height, fact.round, int(fact.stage)) for fact in facts]

    # Life.

    def start(self) -> None:
        world, disk = self.world, self.disk
        if not disk.blocks:
            disk.blocks, disk.accepts = [world.genesis], [None]
            disk.suffrages = {1: world.suffrage, 2: world.suffrage}
            disk.authority = founded(world.suffrage)
        self.up, self.born = True, self.born + 1
        self.results: dict[tuple[Hash, Hash], tuple[Executed, Block, tuple[Step, ...]]] = {}
        self.machine = Machine(
            MachineConfig(
                address=self.address,
                signer=self.signer,
                params=world.params,
                domain=world.domain,
                verify=verify,
                identity=Signer(key(f"identity {self.address}"), world.domain),
                url=self.url,
                **self.extra,
            )
        )
        tip = self.tip
        heights = range(max(0, tip - 8), tip + 1)
        recovery = Recovery(
            blocks=tuple(self._summary(height) for height in heights),
            suffrages=tuple((h, disk.suffrages[h]) for h in range(max(1, tip - 8), tip + 3)),
            records=tuple(r for r in disk.records if r.height > tip),
            watermark=next(
                (r.ballot for r in reversed(disk.records) if isinstance(r, BallotSigned)), None
            ),
            nonce=tagged(b"t", f"{self.name} {self.born}".encode()),
            authority=disk.authority,
        )
        self.take(Booted(recovery=recovery))
        self.take(ClockRead(offset_ms=EPOCH_MS))
        for other in world.copies:
            if other is not self and other.up:
                world.post(
                    self,
                    PeerConnected(address=other.address, instance=other.instance, url=other.url),
                )
                world.post(
                    other, PeerConnected(address=self.address, instance=self.instance, url=self.url)
                )

    def stop(self) -> None:
        """Its power is gone."""
        self.up = False
        for other in self.world.copies:
            if other.up:
                self.world.post(other, PeerLost(instance=self.instance))

    def take(self, event: Event) -> None:
        for effect in self.machine.step(event, self.world.now_ms):
            self.effects.append(effect)
            self._perform(effect)
        wake = self.machine.wake_at_ms
        if wake is not None and wake != self._wake_ms:
            self._wake_ms = wake
            self.world.at(max(wake, self.world.now_ms), self, Woke())

    # Effects.

    def _perform(self, effect: Effect) -> None:
        world = self.world
        match effect:
            case Record(record=record):
                self.disk.records.append(record)
            case Publish(message=message):
                world.broadcast(self, Heard(message=message, source=self.instance))
            case PublishSeals(seals=seals):
                world.broadcast(self, SealsReceived(seals=seals, source=self.instance))
            case Ask(instance=instance, request=request):
                other = world.by_instance(instance)
                if other is not None:
                    route = (self, request)
                    event = Requested(source=self.instance, route=route, request=request)
                    world.send(self, other, event)
            case Answer(route=(asker, _), reply=SealsAnswer() as reply):
                seals = tuple(read_seal(data) for data in reply.seals)
                world.send(
                    self,
                    asker,
                    SealsReceived(
                        seals=seals, source=self.instance, pulled=True, missing=reply.missing
                    ),
                )
            case Answer(route=(asker, _), reply=reply):
                assert not isinstance(reply, BlocksAnswer)
                world.send(self, asker, Answered(source=self.instance, reply=reply))
            case ServeBlocks(route=(asker, _), first=first, last=last):
                chosen = range(first, min(last, self.tip) + 1)
                blocks = tuple((self.disk.blocks[h], self.disk.accepts[h]) for h in chosen)
                world.send(
                    self,
                    asker,
                    BlocksReceived(source=self.instance, first=first, blocks=blocks),  # type: ignore[arg-type]
                )
            case Execute():
                self._execute(effect)
            case Commit():
                self._commit(effect)
            case ShowHandover(session=session):
                self.views.append(session)
            case ReplaceKey():
                world.at(world.now_ms + 5, self, None)
            case _:
                pass

    def _state_of(self, parent: Hash) -> Authority:
        if parent == self.disk.blocks[-1].hash:
            assert self.disk.authority is not None
            return self.disk.authority
        return next(
            found.authority
            for found, block, _ in self.results.values()
            if block.hash == parent and found.authority is not None
        )

    def _execute(self, effect: Execute) -> None:
        world, value = self.world, effect.value
        context = Context(
            height=value.height,
            time_ms=value.time_ms,
            params=world.params,
            domain=world.domain,
            verify=verify,
        )
        before = self._state_of(effect.parent)
        after, steps = advance(before, system_operations(effect.seals), value.accept, context)
        manifest = Manifest(
            height=value.height,
            parent=effect.parent,
            value=value.hash,
            results_root=ZERO,
            state_root=tagged(b"t", value.hash),
            suffrage=after.members.hash,
        )
        event = Executed(
            parent=effect.parent,
            value=value.hash,
            manifest=manifest,
            suffrage=after.members,
            elapsed_ms=EXECUTION_MS,
            authority=after,
            steps=steps,
        )
        block = Block(manifest=manifest, value=value, seals=effect.seals, results=())
        self.results[effect.parent, value.hash] = (event, block, steps)
        world.at(world.now_ms + EXECUTION_MS, self, event)

    def _commit(self, effect: Commit) -> None:
        event, block, steps = self.results[effect.parent, effect.value]
        disk = self.disk
        assert block.hash == effect.block and effect.height == self.tip + 1
        disk.blocks.append(block)
        disk.accepts.append(effect.accept)
        disk.authority = event.authority
        disk.suffrages[effect.height + 2] = event.suffrage
        disk.steps.extend(steps)
        self.results = {k: v for k, v in self.results.items() if k[0] == block.hash}

    def _summary(self, height: int) -> BlockSummary:
        block, accept = self.disk.blocks[height], self.disk.accepts[height]
        value = block.value
        return BlockSummary(
            height=height,
            hash=block.hash,
            value=block.manifest.value,
            time_ms=0 if value is None else value.time_ms,
            seals=tuple((seal.hash, seal.created_at_ms) for seal in block.seals),
            voters=() if value is None or value.accept is None else value.accept.addresses,
            accept=accept,
        )

    def replace_key(self) -> None:
        """As the runtime does: a new key, the same disk, in a moment."""
        self.stop()
        self.keys += 1
        self.signer = Signer(key(f"{self.name} {self.keys}"), self.world.domain)
        self.start()


class World:
    """``n`` members a0 .. and whatever standbys are added."""

    def __init__(self, n: int = 4, params: Params | None = None, **extra: Any) -> None:
        self.params = params or Params()
        self.now_ms = 1_000
        self._queue: list[tuple[int, int, Copy, int, Event | None]] = []
        self._count = 0
        self._nonces = 0
        self.cuts: set[tuple[str, str]] = set()
        self.copies: list[Copy] = []
        blank = Manifest(
            height=0, parent=ZERO, value=ZERO, results_root=ZERO, state_root=ZERO, suffrage=ZERO
        )
        self.domain = Domain(network_id="test", genesis=blank.hash)
        members = []
        for i in range(n):
            copy = self._made(f"a{i}", Address(f"a{i}sas"), extra)
            members.append(
                Member(
                    address=copy.address,
                    publickey=key(f"identity {copy.address}").public,
                    instance=copy.instance,
                    epoch=0,
                    url=copy.url,
                )
            )
        self.suffrage = Suffrage(members=tuple(members))
        self.genesis = Block(manifest=blank, value=None, seals=(), results=())

    def _made(self, name: str, address: Address, extra: dict[str, Any]) -> Copy:
        copy = Copy(self, name, address, extra)
        self.copies.append(copy)
        return copy

    def __getitem__(self, name: str) -> Copy:
        return next(copy for copy in self.copies if copy.name == name)

    def standby(self, of: str, name: str, **extra: Any) -> Copy:
        """A further copy of a member, started and synced."""
        copy = self._made(name, Address(f"{of}sas"), extra)
        copy.start()
        return copy

    def up(self) -> World:
        for copy in self.copies:
            copy.start()
        self.run(500)
        return self

    # Messages and time.

    def at(self, when_ms: int, copy: Copy, event: Event | None) -> None:
        self._count += 1
        heapq.heappush(self._queue, (when_ms, self._count, copy, copy.born, event))

    def post(self, copy: Copy, event: Event) -> None:
        self.at(self.now_ms + DELAY_MS, copy, event)

    def send(self, source: Copy, target: Copy, event: Event) -> None:
        if target.up and (source.name, target.name) not in self.cuts:
            self.post(target, event)

    def broadcast(self, source: Copy, event: Event) -> None:
        for other in self.copies:
            if other is not source:
                self.send(source, other, event)

    def by_instance(self, instance: PublicKey) -> Copy | None:
        return next((c for c in self.copies if c.up and c.instance == instance), None)

    def cut(self, left: str, right: str) -> None:
        """Nothing passes between two copies any more."""
        self.cuts |= {(left, right), (right, left)}

    def run(self, ms: int, until: Any = None) -> bool:
        """Let time pass; True as soon as ``until()`` holds."""
        end_ms = self.now_ms + ms
        while self._queue and self._queue[0][0] <= end_ms:
            when_ms, _, copy, born, event = heapq.heappop(self._queue)
            self.now_ms = max(self.now_ms, when_ms)
            if not copy.up or copy.born != born:
                continue
            if event is None:
                copy.replace_key()
            elif not isinstance(event, Woke) or self._due(copy):
                copy.take(event)
            if until is not None and until():
                return True
        self.now_ms = end_ms
        return until is not None and bool(until())

    def _due(self, copy: Copy) -> bool:
        wake = copy.machine.wake_at_ms
        copy._wake_ms = None
        if wake is not None and wake > self.now_ms:
            self.at(wake, copy, Woke())
            copy._wake_ms = wake
            return False
        return wake is not None

    def submit(self, to: str) -> Hash:
        """A client's seal; its hash."""
        self._nonces += 1
        seal = make_seal(
            [["put", ["k", b"x"]]],
            created_at_ms=EPOCH_MS + self.now_ms,
            nonce=self._nonces.to_bytes(16, "big"),
            key=key("client"),
            domain=self.domain,
        )
        self[to].take(SealsReceived(seals=(seal,), token="client"))
        return seal.hash

    # What must hold, always.

    def check(self) -> None:
        """No fork; per address one instance a height signs; every certificate by the entitled."""
        longest = max(self.copies, key=lambda copy: copy.tip).disk
        for copy in self.copies:
            for height, block in enumerate(copy.disk.blocks):
                assert block.hash == longest.blocks[height].hash, f"fork at {height}"
        entitled = {
            (height, m.address): (m.instance, m.epoch)
            for height, one in longest.suffrages.items()
            for m in one.members
        }
        for copy in self.copies:
            for record in copy.disk.records:
                if isinstance(record, BallotSigned):
                    ballot = record.ballot
                    at = (ballot.fact.height, ballot.address)
                    if at in entitled:
                        assert entitled[at] == (ballot.instance, ballot.epoch), at

    def missed(self, address: str, first: int, last: int) -> list[tuple[int, int]]:
        """(height, stage) at which no copy of an address signed."""
        signed = {
            (height, stage)
            for copy in self.copies
            if copy.address == address
            for height, _, stage in copy.signed()
        }
        wanted = [(height, stage) for height in range(first, last + 1) for stage in (1, 2)]
        return [one for one in wanted if one not in signed]

    def rounds(self) -> int:
        """The sum of the final rounds, of the longest chain."""
        longest = max(self.copies, key=lambda copy: copy.tip).disk
        return sum(vp.fact.round for vp in longest.accepts if vp is not None)


__all__ = ["Copy", "World", "suffrage"]
