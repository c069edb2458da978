"""The committed chain as the core needs it: recent blocks, suffrages, executed seals, who leads.

Everything here follows from blocks alone (values carry the votes that count as presence), so all
nodes compute the same, whatever voteproofs they happen to hold.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address
from zmqnode.base.params import Params
from zmqnode.base.suffrage import Member, Suffrage
from zmqnode.core.authority import Authority, founded
from zmqnode.core.records import BlockSummary, Recovery

PRESENCE_FIRST: Final = 5  # Presence at H: carried by blocks H-5 ..
PRESENCE_LAST: Final = 2  # .. to H-2.
BLOCKS_KEPT: Final = 8


class Chain:
    """The tip and what judging the next heights needs. Grows by :meth:`append` only."""

    def __init__(self, recovery: Recovery, params: Params) -> None:
        assert recovery.blocks, "block 0 at least"
        self.params = params
        self._blocks: dict[int, BlockSummary] = {}
        self._suffrages: dict[int, Suffrage] = dict(recovery.suffrages)
        self._executed: dict[Hash, int] = {}
        self._expiring: deque[tuple[int, Hash]] = deque()
        self._orders: dict[int, tuple[Member, ...]] = {}
        self._moved: dict[Address, int] = {}  # First height of the newest voter, if seen to change.
        newest = recovery.blocks[-1].height + 2
        self.authority = recovery.authority or founded(self._suffrages[newest])
        for created_at_ms, seal in recovery.executed:
            self._executed[seal] = created_at_ms
        self._expiring.extend(recovery.executed)
        for summary in recovery.blocks:
            self._take(summary)

    def remembered(self) -> tuple[tuple[BlockSummary, ...], tuple[tuple[int, Hash], ...]]:
        """``blocks`` and ``executed`` of a Recovery by which another machine goes on from here."""
        blocks = tuple(self._blocks[height] for height in sorted(self._blocks))
        held = {seal for summary in blocks for seal, _ in summary.seals}
        return blocks, tuple(one for one in self._expiring if one[1] not in held)

    @property
    def tip(self) -> BlockSummary:
        """The newest committed block."""
        return self._tip

    def block(self, height: int) -> BlockSummary | None:
        """A recent block's summary; None if it is older than what is kept, or not there yet."""
        return self._blocks.get(height)

    def suffrage(self, height: int) -> Suffrage:
        """Who may vote at a height from tip - 5 to tip + 2; genesis names those of 1 and 2."""
        return self._suffrages[height]

    def newest_suffrage(self) -> Suffrage:
        """The suffrage of the highest height known, tip + 2."""
        return self._suffrages[self._tip.height + 2]

    def voter(self, address: Address, height: int) -> Member | None:
        """Who votes for an address at a height; None if nobody does, or it is too long ago."""
        suffrage = self._suffrages.get(height)
        if suffrage is None and 0 < self._moved.get(address, 0) <= height:
            suffrage = self.newest_suffrage()
        return None if suffrage is None else suffrage.by_address.get(address)

    def append(
        self, summary: BlockSummary, suffrage: Suffrage, authority: Authority | None = None
    ) -> None:
        """The next block, suffrage(height + 2) and the authority after it (None: unchanged)."""
        assert summary.height == self._tip.height + 1
        before = self._suffrages[summary.height + 1]
        if suffrage is not before:
            for member in suffrage.members:
                if before.by_address[member.address].instance != member.instance:
                    self._moved[member.address] = summary.height + 2
        self._suffrages[summary.height + 2] = suffrage
        if authority is not None:
            self.authority = authority
        self._take(summary)
        self._suffrages.pop(summary.height - BLOCKS_KEPT, None)
        self._orders.pop(summary.height - BLOCKS_KEPT, None)

    def _take(self, summary: BlockSummary) -> None:
        self._blocks[summary.height] = summary
        self._blocks.pop(summary.height - BLOCKS_KEPT, None)
        self._tip = summary
        for seal, created_at_ms in summary.seals:
            self._executed[seal] = created_at_ms
            self._expiring.append((created_at_ms, seal))
        self._expire(summary.time_ms - self.params.seal_ttl_ms)

    def _expire(self, before_ms: int) -> None:
        # Blocks name seals in no order of age: one young seal may hold older ones back a little,
        # for
        # seal_ttl + seal_ahead at most; keeping a hash longer than needed changes no verdict.
        while self._expiring and self._expiring[0][0] < before_ms:
            _, seal = self._expiring.popleft()
            self._executed.pop(seal, None)

    def executed(self, seal: Hash) -> bool:
        """Whether a seal that could still be valid stands in a block."""
        return seal in self._executed

    def timely(self, created_at_ms: int, time_ms: int) -> bool:
        """Whether a seal of that age may stand in a value of time ``time_ms``."""
        params = self.params
        return time_ms - params.seal_ttl_ms <= created_at_ms <= time_ms + params.seal_ahead_ms

    def leader(self, height: int, round_: int) -> Member:
        """Who proposes at (height, round), for heights from tip - 1 to tip + 2."""
        order = self._orders.get(height)
        if order is None:
            order = self._orders[height] = self._order(height)
        return order[round_ % len(order)]

    def _order(self, height: int) -> tuple[Member, ...]:
        suffrage = self.suffrage(height)
        heights = range(max(0, height - PRESENCE_FIRST), max(0, height - PRESENCE_LAST) + 1)
        voters: dict[Address, None] = {}
        for summary in filter(None, map(self._blocks.get, heights)):
            voters.update(dict.fromkeys(summary.voters))
        present = [m for m in suffrage.members if m.address in voters]
        if not present:
            return _rotated(list(suffrage.members), height)
        absent = [m for m in suffrage.members if m.address not in voters]
        return _rotated(present, height) + _rotated(absent, height)


def _rotated(members: list[Member], height: int) -> tuple[Member, ...]:
    at = height % len(members) if members else 0
    return tuple(members[at:] + members[:at])
