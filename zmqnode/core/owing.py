"""R7 for who catches up: a member that is only late signs what it owes of blocks that are decided.

A stall of a few hundred milliseconds is enough for q others to go on by some heights without this
copy, which then takes their blocks instead of their votes (R10). It executes each of them and holds
its ACCEPT VP, which is all that R7 asks for: the INIT and the ACCEPT of the round that decided can
no longer change anything, and they tell everybody that the address was not without a voter. D2 and
D6 bind here as everywhere. Who was down, or behind by more than some heights, was away and owes
nothing: what it would sign is no sign of life of its address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from zmqnode.base.ballot import accept_fact, init_fact
from zmqnode.base.point import Stage
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.kernel import Kernel
from zmqnode.core.records import CertificateHeld

OWED_HEIGHTS_MAX: Final = 64  # Below the tip that f+1 others claim: so late is still late.


class Owing:
    """Signs, in a catch-up, for blocks this instance is entitled at.

    Args:
        claimed_tip: the tip that f+1 others claim, or None if too few do.
        owes: whether it stood at the tip before, in this run, with D6 answered.
    """

    def __init__(
        self, kernel: Kernel, claimed_tip: Callable[[], int | None], owes: Callable[[], bool]
    ) -> None:
        self.kernel = kernel
        self._claimed_tip = claimed_tip
        self._owes = owes

    def sign(self, accept: Voteproof) -> None:
        """Sign INIT and ACCEPT of the next block, which is executed, held, and decided by
        ``accept``."""
        kernel, voter, fact = self.kernel, self.kernel.voter, accept.fact
        point, value, block = fact.point, fact.value, fact.block
        assert value is not None and block is not None
        epoch = kernel.entitled(kernel.chain.suffrage(point.height))
        if epoch is None or kernel.fault is not None or not self._late(point.height):
            return
        if voter.ballot(point.height, point.round, Stage.ACCEPT) is not None:
            return
        if voter.block(value) not in (None, block):
            return  # D2: an earlier version signed another result.
        kernel.record(CertificateHeld(voteproof=accept), sync=False)  # What the ballots rest on.
        if voter.ballot(point.height, point.round, Stage.INIT) is None:
            kernel.sign(init_fact(point, value), epoch)  # Refused where it gave this round up.
        kernel.sign(accept_fact(point, value, block), epoch)

    def _late(self, height: int) -> bool:
        tip = self._claimed_tip()
        return self._owes() and tip is not None and tip - height < OWED_HEIGHTS_MAX
