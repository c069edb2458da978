"""The parts of one machine, and what they share about the height and the one after it."""

from __future__ import annotations

from collections.abc import Callable

from zmqnode.base.keys import PublicKey
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.ahead import Ahead
from zmqnode.core.boot import Restored, restore
from zmqnode.core.consensus import Consensus
from zmqnode.core.events import Executed
from zmqnode.core.handover import Handing, Standing
from zmqnode.core.joining import Joining
from zmqnode.core.kernel import Kernel
from zmqnode.core.leading import Leading
from zmqnode.core.owing import Owing
from zmqnode.core.records import Recovery
from zmqnode.core.resending import Resending
from zmqnode.core.syncing import Syncing
from zmqnode.core.taking import Taking
from zmqnode.core.values import Values
from zmqnode.core.votes import HeightVotes, RoundVotes


class Parts:
    """Made once, at boot; only the machine and its parts touch it, inside a step."""

    def __init__(
        self,
        kernel: Kernel,
        recovery: Recovery,
        commit: Callable[[Executed, Voteproof], None],
        diverged: Callable[[Voteproof], None],
    ) -> None:
        self.kernel = kernel
        self.values = Values(kernel)
        self.consensus = Consensus(kernel, self.values, commit)
        self.taking = Taking(kernel, self.consensus)
        self.leading = Leading(kernel, self.values, self.consensus)
        self.resending = Resending(kernel, self.values, self.consensus)
        self.syncing = Syncing(kernel, self.values, commit)
        self.joining = Joining(kernel, self.values, recovery.nonce)
        self.consensus.propose = self.leading.propose
        self.consensus.pull = self.resending.pull
        self.handing = Handing(kernel, self._standing())
        kernel.wants_block = self.handing.wants_block
        self.syncing.diverged = diverged
        self.syncing.owed = Owing(kernel, self.syncing.claimed_tip, self._owes).sign
        self.next_rounds: dict[int, RoundVotes] = {}  # Of the next height (R9).
        self.kept = Ahead()  # Of heights beyond the next.
        self.ahead: dict[str, int] = {}  # Who was seen two heights on (R10).
        self.proof: tuple[int, PublicKey] | None = None  # Who sent the ACCEPT VP of this height.
        self.behind_ms: int | None = None
        self.paused: HeightVotes | None = None  # The height left for SYNCING.
        self.late = False  # It stood at the tip in this run, and others went on without it.
        self.stopping = False
        self.restored: Restored | None = restore(kernel, recovery, self.syncing)

    def _standing(self) -> Standing:
        consensus = self.consensus
        return Standing(
            looking_on=lambda: consensus.votes is not None and consensus.epoch is None,
            voting=lambda: self.entitled() is not None,
            answered=self.joining.enough,
            check_late=self.values.check_late,
            work_arrived=consensus.work_arrived,
        )

    def _owes(self) -> bool:
        """Who was away, or is not sure of what it signed (D6), does not."""
        return self.late and self.joining.enough()

    def entitled(self) -> int | None:
        """The epoch under which this copy votes on the next block; None if it does not."""
        chain = self.kernel.chain
        return self.kernel.entitled(chain.suffrage(chain.tip.height + 1))
