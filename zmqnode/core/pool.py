"""Seals that wait for a block, in order of arrival, within bounds on all sides.

The pool's bounds decide nothing on the chain: a value is judged by its content alone. What a bound
refuses gets a reason code that the client can act on. Seals of the newest blocks are kept a little
longer for peers that still miss them.

A seal inside whose execution this process died may be one that kills whoever executes it (D7). Once
may be chance (somebody killed the process just then): it is proposed alone, when nothing else
waits, so that no other seal shares its fate. Twice is none: it is not proposed again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from zmqnode.base.hashes import Hash
from zmqnode.base.keys import PublicKey
from zmqnode.base.params import Params
from zmqnode.base.seal import Seal
from zmqnode.base.system import is_system, read_system
from zmqnode.core.authority import Authority, chain_waits
from zmqnode.core.authority_lane import Lane
from zmqnode.core.authority_state import Context
from zmqnode.core.chain import Chain
from zmqnode.core.world import SEALS_KEPT_BLOCKS, PoolLimits
from zmqnode.errors import Malformed

DEATHS_MAX: Final = 2  # Inside one seal: then it is the seal.


class Pool:
    """Seals by body hash, oldest arrival first."""

    def __init__(
        self, limits: PoolLimits, params: Params, context: Callable[[int, int], Context]
    ) -> None:
        self.limits = limits
        self.lane = Lane()  # System seals, beside the others and their bounds.
        self._context = context
        self.params = params
        self._seals: dict[Hash, Seal] = {}
        self._by_sender: dict[PublicKey, list[int]] = {}
        self._recent: deque[dict[Hash, Seal]] = deque(maxlen=SEALS_KEPT_BLOCKS)
        self._quarantined: dict[Hash, None] = {}  # Of those that wait: this node cannot execute.
        self.deaths: dict[Hash, int] = {}  # How often this process died inside a seal.
        self._held_next: dict[Hash, Seal] = {}  # Of an early proposal of the next height (R11).
        self._held: dict[Hash, Seal] = {}  # Pulled for a value of this height, beyond the bounds.
        self.bytes = 0
        self.operations = 0
        self.refused: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._seals)

    @property
    def proposable(self) -> int:
        """How many seals wait that this node may propose: work for a block."""
        return len(self._seals) - len(self._quarantined)

    def __iter__(self) -> Iterator[Seal]:
        return iter(self._seals.values())

    def get(self, seal: Hash) -> Seal | None:
        """A seal that is waiting, held for a value, or of one of the newest blocks."""
        found = self._seals.get(seal) or self._held.get(seal) or self.lane.get(seal)
        found = found or self._held_next.get(seal)
        if found is None:
            for block in self._recent:
                found = block.get(seal)
                if found is not None:
                    break
        return found

    def add(self, seal: Seal, chain: Chain, clock_ms: int) -> str | None:
        """Take a seal whose form and signature are right; the code of the refusal, or None.

        A seal that waits already, or stands in a block, is no refusal: sending again is harmless.
        """
        if seal.hash in self._seals or chain.executed(seal.hash):
            return None
        if is_system(seal):
            return self._add_system(seal, chain, clock_ms)
        code = self._judge(seal, clock_ms)
        if code is not None:
            self.refused[code] = self.refused.get(code, 0) + 1
            return code
        self._seals[seal.hash] = seal
        if self.fatal((seal.hash,)):
            self._quarantined[seal.hash] = None
        share = self._by_sender.setdefault(seal.sender, [0, 0])
        share[0] += 1
        share[1] += len(seal.data)
        self.bytes += len(seal.data)
        self.operations += len(seal.operations)
        return None

    def _add_system(self, seal: Seal, chain: Chain, clock_ms: int) -> str | None:
        """Into the lane of system seals; the code of the refusal, or None."""
        time_ms = max(chain.tip.time_ms + 1, clock_ms)
        if not chain.timely(seal.created_at_ms, time_ms):
            return "seal_expired" if seal.created_at_ms < time_ms else "seal_too_early"
        try:
            operation = read_system(seal)
        except Malformed:
            return "seal_malformed"
        context = self._context(chain.tip.height + 1, time_ms)
        refusal = self.lane.add(seal, operation, chain.authority, context)
        if refusal is None:
            return None
        self.refused[refusal.code] = self.refused.get(refusal.code, 0) + 1
        return refusal.code

    def system_work(self, chain: Chain, clock_ms: int) -> bool:
        """Whether a block is worth making for handover's sake: a waiting operation, a window."""
        if chain_waits(chain.authority, chain.tip.height, clock_ms, self.params):
            return True
        if not len(self.lane):
            return False
        context = self._context(chain.tip.height + 1, max(chain.tip.time_ms + 1, clock_ms))
        return self.lane.has_work(chain.authority, context)

    def choose_system(
        self, state: Authority, height: int, time_ms: int, without: Iterable[Hash] = ()
    ) -> tuple[Seal, ...]:
        """System seals of a fresh value at a height, on the state after its parent."""
        if not len(self.lane):
            return ()
        return self.lane.choose(state, self._context(height, time_ms), dict.fromkeys(without))

    def _judge(self, seal: Seal, clock_ms: int) -> str | None:
        size = len(seal.data)
        if size > self.params.seal_bytes_max:
            return "seal_too_large"
        if seal.created_at_ms + self.params.seal_ttl_ms < clock_ms:
            return "seal_expired"
        if seal.created_at_ms > clock_ms + self.params.seal_ahead_ms:
            return "seal_too_early"
        if len(self._seals) >= self.limits.seals_max or self.bytes + size > self.limits.bytes_max:
            return "pool_full"
        count, held = self._by_sender.get(seal.sender, (0, 0))
        if count >= self.limits.sender_seals_max or held + size > self.limits.sender_bytes_max:
            return "sender_quota"
        return None

    def hold(self, seal: Seal) -> None:
        """Keep a seal that a proposal of this height names, until the height is over.

        That it waits here as well is no reason not to: it may expire before the height is decided.

        The caller bounds it: only what a proposal names, at most ``block_operations_max`` seals.
        """
        self._held[seal.hash] = seal

    def hold_next(self, seals: Iterable[Seal]) -> None:
        """Keep what an early proposal of the next height names, until that height is over.

        A newer system seal of its kind may displace one in the lane, everywhere, the proposer too.
        """
        self._held_next = {seal.hash: seal for seal in seals}

    def quarantine(self, seals: Iterable[Hash]) -> None:
        """Propose these no more: executing them failed here. Until they are executed, or expire.

        Other nodes, which may be able to, propose them; every block of this one would fail again.
        """
        for seal in seals:
            if seal in self._seals:
                self._quarantined[seal] = None

    def fatal(self, seals: Iterable[Hash]) -> bool:
        """Whether executing one of these is known to kill this process."""
        deaths = self.deaths
        return bool(deaths) and any(deaths.get(seal, 0) >= DEATHS_MAX for seal in seals)

    def _drop(self, seal: Hash) -> Seal | None:
        found = self._seals.pop(seal, None)
        self._quarantined.pop(seal, None)
        if found is not None:
            self.bytes -= len(found.data)
            self.operations -= len(found.operations)
            share = self._by_sender[found.sender]
            share[0] -= 1
            share[1] -= len(found.data)
            if not share[0]:
                del self._by_sender[found.sender]
        return found

    def committed(self, seals: Iterable[Seal], chain: Chain) -> None:
        """A block with these seals was committed: they wait no longer."""
        if len(self.lane):
            context = self._context(chain.tip.height + 1, chain.tip.time_ms + 1)
            self.lane.prune(chain.authority, context)
        block = {}
        for seal in seals:
            self._drop(seal.hash)
            block[seal.hash] = seal
        self._recent.append(block)
        self._held, self._held_next = self._held_next, {}

    def expire(self, clock_ms: int) -> None:
        """Drop what no block can take any more, so that it is neither work nor in the way.

        All are looked at, as seals arrive in no order of age: some 2 ms at 50,000, twice a second.
        """
        before_ms = clock_ms - self.params.seal_ttl_ms
        gone = [seal.hash for seal in self._seals.values() if seal.created_at_ms < before_ms]
        for seal_hash in gone:
            self._drop(seal_hash)

    def choose(
        self,
        chain: Chain,
        time_ms: int,
        without: Iterable[Hash] = (),
        system: tuple[Seal, ...] = (),
    ) -> tuple[Seal, ...]:
        """Seals for a fresh value of that time, oldest arrival first, within the block's bounds.

        ``system`` seals are in it already.
        """
        left_out = dict.fromkeys(without)
        operations = self.params.block_operations_max - len(system)
        size = self.params.block_bytes_max - sum(len(seal.data) for seal in system)
        chosen: list[Seal] = []
        suspect: Seal | None = None
        for seal in self._seals.values():
            if seal.hash in left_out or seal.hash in self._quarantined:
                continue
            if not chain.timely(seal.created_at_ms, time_ms):
                continue
            if seal.hash in self.deaths:
                suspect = suspect or seal
                continue
            if len(seal.operations) > operations or len(seal.data) > size:
                break  # Later, smaller ones must not overtake for ever.
            operations -= len(seal.operations)
            size -= len(seal.data)
            chosen.append(seal)
        if suspect is not None and not chosen and not system:
            chosen.append(suspect)
        return tuple(chosen)

    def waits(self, seal: Hash) -> bool:
        """Whether a seal is here for a block to come."""
        return seal in self._seals or self.lane.get(seal) is not None

    def announced(self, count: int) -> tuple[Seal, ...]:
        """What to announce again: system seals, then the first by arrival, at most ``count``."""
        system = tuple(self.lane)[:count]
        return system + self.oldest(count - len(system))

    def oldest(self, count: int) -> tuple[Seal, ...]:
        """The first ``count`` seals by arrival."""
        found: list[Seal] = []
        for seal in self._seals.values():
            if len(found) >= count:
                break
            found.append(seal)
        return tuple(found)
