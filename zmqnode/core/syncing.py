"""Catching up: blocks from several peers, each proven by its voteproof, applied in order.

Every block is checked against the suffrage its predecessors lead to, so a peer can delay but never
mislead. Who claims a tip and does not serve a valid next block within 2 s is passed over; requests
go to several peers at once, so one liar holds nobody up. After a crash the same path replays what
the journal holds beyond the store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zmqnode.base.block import Block
from zmqnode.base.exchange import BlocksWanted
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import PublicKey
from zmqnode.base.point import Stage
from zmqnode.base.proposal import Value
from zmqnode.base.seal import Seal
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.effects import Ask
from zmqnode.core.events import Executed
from zmqnode.core.kernel import Kernel, Timer
from zmqnode.core.records import ValueHeld
from zmqnode.core.values import Values
from zmqnode.core.world import BLOCKS_AHEAD_MAX, BLOCKS_PER_ASK, SERVE_TIMEOUT_MS

ASKS_MAX = 4  # Peers asked at the same time.


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A block that waits for its predecessors; ``source`` None: from the own journal."""

    value: Value
    seals: tuple[Seal, ...]
    accept: Voteproof
    source: PublicKey | None
    named: Hash | None  # The hash of the manifest it came with.


@dataclass(slots=True, kw_only=True)
class Asked:
    """A request under way."""

    first: int
    last: int
    until_ms: int


class Syncing:
    """Blocks beyond the tip and the requests for them."""

    def __init__(
        self, kernel: Kernel, values: Values, commit: Callable[[Executed, Voteproof], None]
    ) -> None:
        self.kernel = kernel
        self.values = values
        self.commit = commit
        self.waiting: dict[int, Waiting] = {}
        self.asked: dict[PublicKey, Asked] = {}
        self.executing: Waiting | None = None
        self.last_applied: Waiting | None = None
        self.diverged: Callable[[Voteproof], None] = lambda vp: None
        self.owed: Callable[[Voteproof], None] = lambda vp: None

    def idle(self) -> bool:
        """Whether nothing is being applied."""
        return self.executing is None

    def forget(self) -> None:
        """Take part in consensus: what waits here is not needed."""
        self.waiting.clear()
        self.asked.clear()
        self.kernel.stop_timer(Timer.SYNC)

    def at_tip(self) -> bool:
        """Own tip >= the (f+1)-th highest tip claimed by the other members who serve."""
        tip = self.claimed_tip()
        return tip is None or self.kernel.chain.tip.height >= tip

    def claimed_tip(self) -> int | None:
        """The tip that f+1 other members who serve claim; None if fewer claim any."""
        suffrage = self.kernel.chain.newest_suffrage()
        tips = self.kernel.members.claimed_tips(suffrage, self.kernel.now_ms)
        return None if len(tips) <= suffrage.f else tips[suffrage.f]

    # Asking.

    def advance(self) -> None:
        """Apply what can be applied, ask for what comes next."""
        self.apply()
        self.ask()

    def ask(self) -> None:
        """Keep a few peers busy with the next blocks, different ones each."""
        kernel = self.kernel
        self.expire_asked()
        tip = kernel.chain.tip.height
        first = tip + 1
        limit = tip + BLOCKS_AHEAD_MAX
        for instance in kernel.members.serving(first):
            if len(self.asked) >= ASKS_MAX:
                break
            if instance in self.asked or kernel.members.resting(instance, kernel.now_ms):
                continue
            seen = kernel.members.instances[instance]
            start = self.first_gap(first, min(seen.claim, limit))
            if start is None:
                continue
            last = self.end_of_gap(start, min(seen.claim, limit, start + BLOCKS_PER_ASK - 1))
            until_ms = kernel.now_ms + SERVE_TIMEOUT_MS
            self.asked[instance] = Asked(first=start, last=last, until_ms=until_ms)
            kernel.emit(Ask(instance=instance, request=BlocksWanted(first=start, last=last)))
        waits = [asked.until_ms - kernel.now_ms for asked in self.asked.values()]
        waits += [kernel.members.resting(peer, kernel.now_ms) for peer in kernel.members.links]
        waits = [wait for wait in waits if wait > 0]
        if waits:
            kernel.set_timer(Timer.SYNC, min(waits))

    def covered(self, height: int) -> bool:
        """Whether a block is here or on its way from a peer that serves what it claims."""
        if height in self.waiting:
            return True
        return any(
            asked.first <= height <= asked.last
            for instance, asked in self.asked.items()
            if not self.kernel.members.failing(instance)  # A liar's word keeps no other from it.
        )

    def first_gap(self, first: int, last: int) -> int | None:
        """The first height from ``first`` to ``last`` that is neither here nor asked for."""
        executing = self.executing.value.height if self.executing is not None else 0
        for height in range(first, last + 1):
            if height != executing and not self.covered(height):
                return height
        return None

    def end_of_gap(self, start: int, last: int) -> int:
        """The last height from ``start`` on before one that is here or asked for."""
        end = start
        while end < last and not self.covered(end + 1):
            end += 1
        return end

    def expire_asked(self) -> None:
        """Who did not answer in time is not counted for what it claimed."""
        for instance in list(self.asked):
            asked = self.asked[instance]
            if asked.until_ms <= self.kernel.now_ms:
                del self.asked[instance]
                asked_ms = asked.until_ms - SERVE_TIMEOUT_MS  # It was waited for since then.
                self.kernel.members.fail_tip(instance, asked.last, asked_ms)
            elif instance not in self.kernel.members.links:
                del self.asked[instance]

    # Receiving.

    def take(
        self, source: PublicKey, first: int, blocks: tuple[tuple[Block, Voteproof], ...]
    ) -> None:
        """Blocks a peer served; form is right, nothing else is known yet."""
        asked = self.asked.get(source)
        if asked is None or first != asked.first:
            return  # Not what it was asked for: that is waited for till its time is over.
        del self.asked[source]
        if not blocks:
            self.fail(source, asked.last)
        tip = self.kernel.chain.tip.height
        for height, (block, accept) in enumerate(blocks, start=first):
            if height > asked.last or block.value is None or not _consistent(height, block, accept):
                self.fail(source, asked.last)
                self.kernel.bump("bad_block")
                break
            if height > tip and height not in self.waiting:
                self.waiting[height] = Waiting(
                    value=block.value,
                    seals=block.seals,
                    accept=accept,
                    source=source,
                    named=block.hash,
                )
        self.advance()

    def replay(self, value: Value, seals: tuple[Seal, ...], accept: Voteproof) -> None:
        """A block of the own journal that the store does not have yet."""
        self.waiting[value.height] = Waiting(
            value=value, seals=seals, accept=accept, source=None, named=None
        )

    # Applying.

    def apply(self) -> None:
        """Execute the next block if it is here and proven."""
        kernel = self.kernel
        if self.executing is not None:
            return
        tip = kernel.chain.tip
        item = self.waiting.pop(tip.height + 1, None)
        if item is None:
            return
        if not self.proven(item):
            kernel.bump("bad_block")
            if item.source is not None:
                self.fail(item.source, tip.height + 1)
                for height in sorted(self.waiting):
                    if self.waiting[height].source == item.source:
                        del self.waiting[height]
            return
        if item.source is not None:
            kernel.members.served(item.source)
        self.executing = item
        kernel.execute(tip.hash, item.value, item.seals)

    def proven(self, item: Waiting) -> bool:
        """Whether it follows the tip, and voteproof and seals of a peer's copy are signed."""
        tip = self.kernel.chain.tip
        if item.value.parent != tip.hash:
            return False
        if item.source is None:
            return True
        suffrage = self.kernel.chain.suffrage(tip.height + 1)
        if not self.kernel.check_voteproof(item.accept, suffrage):
            return False
        return all(self.values.genuine(seal) for seal in item.seals)

    def fail(self, source: PublicKey, height: int) -> None:
        """It claimed a block and did not serve a valid one."""
        self.kernel.members.fail_tip(source, height, self.kernel.now_ms)

    def executed(self, event: Executed) -> bool:
        """The result of a block applied here; False if it is not one of these."""
        item = self.executing
        if item is None or event.value != item.value.hash:
            return False
        if event.parent != self.kernel.chain.tip.hash:
            return False
        self.executing = None
        if event.manifest.hash != item.accept.fact.block:
            self.diverged(item.accept)
            return True
        for seal in item.seals:
            self.kernel.pool.hold(seal)
        if item.source is not None:
            # D3: the store may lag behind blocks of a catch-up as well.
            data = tuple(seal.data for seal in item.seals)
            self.kernel.record(ValueHeld(value=item.value, seals=data), sync=False)
            self.owed(item.accept)
        self.last_applied = item
        self.commit(event, item.accept)
        return True


def _consistent(height: int, block: Block, accept: Voteproof) -> bool:
    """Whether the parts of a served block belong together."""
    manifest, value, fact = block.manifest, block.value, accept.fact
    if value is None or value.height != height or manifest.height != height:
        return False
    if fact.stage is not Stage.ACCEPT or fact.height != height or fact.block != block.hash:
        return False
    if manifest.value != value.hash or fact.value != value.hash or manifest.parent != value.parent:
        return False
    return tuple(seal.hash for seal in block.seals) == value.seals
