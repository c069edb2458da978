"""What comes for heights that this node cannot judge yet is kept until it can.

R9 keeps the height after the current one: beyond it leader and suffrage are not certain. Who stands
still for a moment, or executes while others go on, finds more than that at its sockets, all that
one peer said before the first word of the next: what was said of two heights on and more would be
lost, every height would have to be asked for by itself, and on a quick chain the node would never
be level again. So what members say of some heights more waits here unjudged, and is heard again
when its height is the next. Bounded by height, speaker and kind: who says too much crowds out only
itself.
"""

from __future__ import annotations

from typing import Final

from zmqnode.base.ballot import Ballot
from zmqnode.base.keys import PublicKey
from zmqnode.base.point import Point
from zmqnode.base.proposal import Proposal
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.intake import next_height_kept

HEIGHTS_KEPT: Final = 16  # Beyond the tip.
PROPOSALS_KEPT: Final = 2  # Of a round: R11's early one, and one on the block that was decided.

Word = Ballot | Proposal | Voteproof
Kind = tuple[int, int, int]


class Ahead:
    """Words for heights beyond the next one, and who said them."""

    def __init__(self) -> None:
        self._heights: dict[int, dict[tuple[PublicKey, Kind], Word]] = {}

    def keep(self, word: Word, source: PublicKey, tip: int) -> None:
        """Keep a word of a member that votes; the first of its kind, not too far beyond the tip."""
        point = point_of(word)
        if point.height > tip + HEIGHTS_KEPT or not next_height_kept(point.round):
            return
        held = self._heights.get(point.height)
        if held is None:
            held = self._heights[point.height] = {}
            for height in [one for one in self._heights if one <= tip]:
                del self._heights[height]  # It came here by blocks, and asked for nothing kept.
        kind = _kind(word, point.round)
        if isinstance(word, Proposal):
            known = held.get((source, kind))
            if isinstance(known, Proposal) and known.signature != word.signature:
                kind = (*kind[:2], PROPOSALS_KEPT - 1)
        held.setdefault((source, kind), word)

    def due(self, last: int) -> list[tuple[Word, PublicKey]]:
        """Give out what was kept for heights up to ``last``, in their order."""
        found: list[tuple[Word, PublicKey]] = []
        for height in sorted(self._heights):
            if height > last:
                break
            held = self._heights.pop(height)
            found.extend((word, source) for (source, _), word in held.items())
        return found


def point_of(word: Word) -> Point:
    """What a word is about."""
    return word.point if isinstance(word, Proposal) else word.fact.point


def _kind(word: Word, round_: int) -> Kind:
    if isinstance(word, Proposal):
        return (round_, 0, 0)
    fact = word.fact
    return (round_, 1 + isinstance(word, Voteproof), 2 * int(fact.stage) + fact.draw)
