"""The chain on this machine: executes values, commits blocks, reads them back.

An execution runs seal by seal over the state after its parent, which may itself be an executed
block that is not committed yet: reads go through the overlays first, the store second. Its result
stays until a block of its height is committed; then one is promoted and the others are dropped.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from zmqnode.app import App, Execution
from zmqnode.app.state import merge_scan
from zmqnode.base.block import Block, Manifest, decode_block, encode_block
from zmqnode.base.codec import decode_as, encode, from_wire, pack, to_wire, unpack
from zmqnode.base.genesis import Founding, Genesis, found
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import verify
from zmqnode.base.proposal import Value
from zmqnode.base.results import OK, encode_results, results_leaf, results_root
from zmqnode.base.seal import Seal
from zmqnode.base.signing import Domain
from zmqnode.base.suffrage import Member, Suffrage
from zmqnode.base.system import is_system, system_operations
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.authority import Authority, Context, Step, advance
from zmqnode.core.authority_entries import SYSTEM_PREFIX, read_entries
from zmqnode.core.authority_entries import changes as authority_changes
from zmqnode.core.authority_moves import Turn
from zmqnode.core.authority_state import ACTIVATION_LAG, Session
from zmqnode.core.effects import Commit, Execute
from zmqnode.core.events import Executed
from zmqnode.core.records import BlockSummary
from zmqnode.errors import Damaged, Malformed
from zmqnode.runtime.hazards import Hazards
from zmqnode.storage.memory import MemoryStore
from zmqnode.storage.pages import Overlay, StateTree
from zmqnode.storage.store import BlockRecord, Store

STEPS_KEY: Final = b"steps:"  # + height: [height of the block with steps before, time, steps].
STEPS_NEWEST_KEY: Final = b"steps.newest"  # The newest height with steps, packed.
SYSTEM_RESULTS: Final = encode_results([OK])  # One in a block has effect.
SUFFRAGES_KEY: Final = b"suffrages"  # [[first height, members]..] in order of height.
GENESIS_MISMATCH_HINT: Final = "this data folder belongs to another network: use one of its own"


@dataclass(slots=True, kw_only=True)
class Result:
    """An executed value: everything a commit needs."""

    value: Value
    seals: tuple[Seal, ...]
    manifest: Manifest
    results: tuple[bytes, ...]
    changes: dict[bytes, bytes | None]
    tree: Overlay
    parent: Result | None
    authority: Authority
    steps: tuple[Step, ...]


def founding_of(genesis: Genesis, app: App) -> Founding:
    """Block 0 of a genesis under its application."""

    def app_state(data: bytes) -> Mapping[bytes, bytes | None]:
        execution = Execution(app, lambda key: None, lambda prefix: iter(()), 0, 0)
        execution.run_genesis(data)
        return execution.changes()

    def state_root(state: Mapping[bytes, bytes]) -> Hash:
        return StateTree(MemoryStore()).fork().update(state)

    return found(genesis, app_state, state_root)


class Ledger:
    """Blocks, state and suffrages of one chain.

    Raises:
        Damaged: the store holds another genesis, or its tree is not what its newest block names.
    """

    def __init__(self, store: Store, app: App, genesis: Genesis) -> None:
        self.store = store
        self.app = app
        self.hazards: Hazards | None = None  # A node's; what only reads the chain has none.
        self.params = genesis.params
        self.founding = founding_of(genesis, app)
        if store.height < 0:
            self._found(genesis)
        elif store.block_hash(0) != self.founding.hash:
            raise Damaged("the store holds a chain of another genesis", hint=GENESIS_MISMATCH_HINT)
        self.domain = Domain(network_id=genesis.network_id, genesis=self.founding.hash)
        self.tree = StateTree.open(store)
        self.suffrages = self._read_suffrages()
        self.authority = read_entries(store.scan(SYSTEM_PREFIX))
        found = store.meta(STEPS_NEWEST_KEY)
        self._steps_newest: int | None = None if found is None else _height(found)
        newest = self.block(store.height)
        if newest is None or newest.manifest.state_root != self.tree.root:
            raise Damaged("the stored state is not the one its newest block names")
        self.tip: Hash = newest.hash
        self._results: dict[tuple[Hash, Hash], Result] = {}
        self._by_block: dict[Hash, Result] = {}

    def _found(self, genesis: Genesis) -> None:
        tree = StateTree(self.store)
        overlay = tree.fork()
        overlay.update(self.founding.state)
        self.store.put_block(
            BlockRecord(
                height=0,
                block_hash=self.founding.hash,
                block=encode_block(self.founding.block),
                accept_vp=b"",
                state=self.founding.state,
                pages=overlay.page_changes(),
                meta={SUFFRAGES_KEY: _pack_suffrages([(1, genesis.suffrage)])},
            )
        )
        self.store.flush()

    @property
    def height(self) -> int:
        """The newest committed height."""
        return self.store.height

    @property
    def genesis_hash(self) -> Hash:
        """Names the chain."""
        return self.founding.hash

    # Suffrages.

    def _read_suffrages(self) -> list[tuple[int, Suffrage]]:
        data = self.store.meta(SUFFRAGES_KEY)
        if data is None:
            raise Damaged("the store names no suffrage")
        return _unpack_suffrages(data)

    def suffrage(self, height: int) -> Suffrage | None:
        """Who may vote at a height from 1 to tip + 2."""
        if not 1 <= height <= self.height + 2:
            return None
        known = [suffrage for first, suffrage in self.suffrages if first <= height]
        return known[-1] if known else None

    def suffrage_changes(self, after: int, most: int) -> tuple[int, ...]:
        """The first ``most`` heights above ``after`` whose block decided another suffrage."""
        decided = [first - ACTIVATION_LAG for first, _ in self.suffrages[1:]]
        at = bisect_right(decided, after)
        return tuple(decided[at : at + most])

    # Executing.

    def knows(self, block: Hash) -> bool:
        """Whether a block can be executed upon: the tip, or executed and not committed yet."""
        return block == self.tip or block in self._by_block

    def begin(self, effect: Execute) -> Running:
        """Start an execution; the caller steps it and finishes it."""
        parent = None if effect.parent == self.tip else self._by_block.get(effect.parent)
        assert parent is not None or effect.parent == self.tip, "the parent was executed"
        return Running(self, effect, parent)

    def finish(self, running: Running, elapsed_ms: int) -> Executed:
        """The result of an execution whose seals are all done; kept until its height is over."""
        result = running.result()
        key = (running.effect.parent, result.manifest.value)
        self._results[key] = result
        self._by_block[result.manifest.hash] = result
        return Executed(
            parent=running.effect.parent,
            value=result.manifest.value,
            manifest=result.manifest,
            suffrage=result.authority.members,
            elapsed_ms=elapsed_ms,
            authority=result.authority,
            steps=result.steps,
        )

    def commit(self, effect: Commit) -> Block:
        """Make an executed block the tip and put it into the store."""
        result = self._results[effect.parent, effect.value]
        block = Block(
            manifest=result.manifest,
            value=result.value,
            seals=result.seals,
            results=result.results,
        )
        self.tree.promote(result.tree)
        meta = {}
        self.authority = result.authority
        if result.authority.members != self.suffrages[-1][1]:
            self.suffrages.append((effect.height + 2, result.authority.members))
            meta[SUFFRAGES_KEY] = _pack_suffrages(self.suffrages)
        if result.steps:
            meta[_steps_key(effect.height)] = _pack_steps(
                self._steps_newest, result.value.time_ms, result.steps
            )
            meta[STEPS_NEWEST_KEY] = pack(effect.height)
            self._steps_newest = effect.height
        self.store.put_block(
            BlockRecord(
                height=effect.height,
                block_hash=effect.block,
                block=encode_block(block),
                accept_vp=encode(effect.accept),
                init_vp=None if effect.init is None else encode(effect.init),
                seals=result.value.seals,
                state=result.changes,
                pages=result.tree.page_changes(),
                meta=meta,
            )
        )
        self.tip = effect.block
        keep = {key: one for key, one in self._results.items() if key[0] == effect.block}
        for one in keep.values():
            one.parent = None
        self._results = keep
        self._by_block = {one.manifest.hash: one for one in keep.values()}
        return block

    # Reading.

    def block(self, height: int) -> Block | None:
        """A stored block."""
        data = self.store.block(height) if height >= 0 else None
        if data is None:
            return None
        try:
            return decode_block(data)
        except Malformed as error:
            raise Damaged(f"block {height} in the store cannot be read: {error}") from None

    def accept_vp(self, height: int) -> Voteproof | None:
        """The ACCEPT VP stored beside a block; None for block 0."""
        stored = self.store.voteproofs(height)
        return decode_as(Voteproof, stored.accept) if stored and stored.accept else None

    def steps(self, height: int) -> tuple[Step, ...]:
        """What a block did to handover sessions, in order; empty for most."""
        if self._steps_newest is None or height > self._steps_newest:
            return ()
        data = self.store.meta(_steps_key(height))
        return () if data is None else _unpack_steps(height, data)[2]

    def steps_back(self) -> Iterator[tuple[int, tuple[Step, ...]]]:
        """Time of a block and what it did to handover sessions, the newest such block first."""
        height = self._steps_newest
        while height is not None:
            data = self.store.meta(_steps_key(height))
            if data is None:
                raise Damaged(f"the store does not hold what block {height} did to handovers")
            height, time_ms, steps = _unpack_steps(height, data)
            yield time_ms, steps

    def summary(self, height: int) -> BlockSummary:
        """What the core keeps of a block."""
        block = self.block(height)
        assert block is not None
        value = block.value
        return BlockSummary(
            height=height,
            hash=block.hash,
            value=block.manifest.value,
            time_ms=0 if value is None else value.time_ms,
            seals=tuple((seal.hash, seal.created_at_ms) for seal in block.seals),
            voters=() if value is None or value.accept is None else value.accept.addresses,
            accept=self.accept_vp(height),
        )

    def summaries(self, window_ms: int, least: int = 8) -> tuple[BlockSummary, ...]:
        """Summaries up to the tip, back over ``window_ms`` of block time and ``least`` blocks."""
        found = [self.summary(self.height)]
        oldest_ms = found[0].time_ms - window_ms
        while found[-1].height > 0:
            if len(found) >= least and found[-1].time_ms < oldest_ms:
                break
            found.append(self.summary(found[-1].height - 1))
        return tuple(reversed(found))


class Running:
    """One execution under way: :meth:`step` until it says that it is done, then the result."""

    def __init__(self, ledger: Ledger, effect: Execute, parent: Result | None) -> None:
        self.ledger = ledger
        self.effect = effect
        self._parent = parent
        self._next = 0
        value = effect.value
        self._execution = Execution(ledger.app, self._read, self._scan, value.height, value.time_ms)
        self._updating: Iterator[None] | None = None

    def _read(self, key: bytes) -> bytes | None:
        one = self._parent
        while one is not None:
            if key in one.changes:
                return one.changes[key]
            one = one.parent
        return self.ledger.store.get(key)

    def _scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        layers = []
        one = self._parent
        while one is not None:
            layers.append(one.changes)
            one = one.parent
        merged = self.ledger.store.scan(prefix)
        for changes in reversed(layers):
            merged = merge_scan(changes, merged, prefix)
        return merged

    def step(self) -> bool:
        """Execute the next seal, or change a piece of the state tree; True when all is done."""
        seals = self.effect.seals
        if self._next < len(seals):
            seal = seals[self._next]
            if not is_system(seal):
                self._run(seal)
            self._next += 1
            return False
        if self._updating is None:
            self._updating = self._sum_up()
        for _ in self._updating:
            return False
        return True

    def _run(self, seal: Seal) -> None:
        hazards = self.ledger.hazards
        if hazards is not None:
            hazards.enter(seal)  # Should it take the process with it, the next start knows.
        try:
            self._execution.run_seal(seal.hash, seal.sender, seal.operations)
        finally:
            if hazards is not None:
                hazards.leave()

    def _sum_up(self) -> Iterator[None]:
        """What the block changes, and the state tree with it, piece by piece."""
        effect, ledger, parent = self.effect, self.ledger, self._parent
        value = effect.value
        before = ledger.authority if parent is None else parent.authority
        self._system = system_operations(effect.seals)
        context = Context(
            height=value.height,
            time_ms=value.time_ms,
            params=ledger.params,
            domain=ledger.domain,
            verify=verify,
        )
        self._authority, self._steps = advance(before, self._system, value.accept, context)
        self._changes = {
            **self._execution.changes(),
            **authority_changes(before, self._authority),
        }
        self._tree = ledger.tree.fork() if parent is None else parent.tree.fork()
        return self._tree.updating(self._changes)

    def result(self) -> Result:
        """The manifest and all that a commit needs, once :meth:`step` said that all is done."""
        value = self.effect.value
        done = tuple(done.data for done in self._execution.results)
        results = (*(SYSTEM_RESULTS for _ in self._system), *done)
        leaves = [results_leaf(seal, data) for seal, data in zip(value.seals, results, strict=True)]
        manifest = Manifest(
            height=value.height,
            parent=self.effect.parent,
            value=value.hash,
            results_root=results_root(leaves),
            state_root=self._tree.root,
            suffrage=self._authority.members.hash,
        )
        return Result(
            value=value,
            seals=self.effect.seals,
            manifest=manifest,
            results=results,
            changes=self._changes,
            tree=self._tree,
            parent=self._parent,
            authority=self._authority,
            steps=self._steps,
        )


def _pack_suffrages(suffrages: list[tuple[int, Suffrage]]) -> bytes:
    return pack([[first, [to_wire(m) for m in one.members]] for first, one in suffrages])


def _unpack_suffrages(data: bytes) -> list[tuple[int, Suffrage]]:
    return [
        (first, Suffrage(members=tuple(from_wire(Member, row) for row in rows)))
        for first, rows in unpack(data)
    ]


def _steps_key(height: int) -> bytes:
    return STEPS_KEY + height.to_bytes(8, "big")


def _pack_steps(before: int | None, time_ms: int, steps: tuple[Step, ...]) -> bytes:
    rows = [[one.turn.value, one.epoch, to_wire(one.session)] for one in steps]
    return pack([before, time_ms, rows])


def _unpack_steps(height: int, data: bytes) -> tuple[int | None, int, tuple[Step, ...]]:
    before, time_ms, rows = unpack(data)
    steps = tuple(
        Step(turn=Turn(turn), height=height, epoch=epoch, session=from_wire(Session, session))
        for turn, epoch, session in rows
    )
    return before, time_ms, steps


def _height(data: bytes) -> int:
    height = unpack(data)
    if type(height) is not int:
        raise Damaged("the store names no height")
    return height
