"""A hot spare: a standby that takes over by itself once its address is silent.

Silent is: no ballot of the address at the last 3 heights, which q members signed, for
``standby_after_ms`` and a delay of up to half of it drawn from the instance's key, so that of
several spares one comes first. Idle is not silence. It is safe, since only the chain moves a vote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from zmqnode.base.handover import Mode
from zmqnode.core.claiming import Claiming
from zmqnode.core.events import HandoverAsked
from zmqnode.core.kernel import Kernel

if TYPE_CHECKING:
    from zmqnode.core.handover import Standing

SILENT_HEIGHTS: Final = 3
REASON: Final = "the voting copy is silent"


class Sparing:
    """Watches the own address; asks for a takeover when it is silent for long enough."""

    def __init__(self, kernel: Kernel, claiming: Claiming, standing: Standing) -> None:
        self.kernel = kernel
        self.claiming = claiming
        self.standing = standing
        self._since: int | None = None  # The tip when it began to look on.
        self._silent_ms: int | None = None
        after_ms = kernel.config.standby_after_ms or 0
        drawn = int.from_bytes(kernel.own[:4], "big")
        self.wait_ms = after_ms + drawn % (after_ms // 2 + 1)

    def look(self) -> None:
        """After every event."""
        kernel = self.kernel
        if kernel.config.standby_after_ms is None:
            return
        if not self._may() or not self._silent():
            self._silent_ms = None
        elif self._silent_ms is None:
            self._silent_ms = kernel.now_ms
        elif kernel.now_ms - self._silent_ms >= self.wait_ms:
            self._silent_ms = None  # Should it fail, the wait begins anew.
            asked = HandoverAsked(mode=Mode.TAKEOVER, url=kernel.config.url, reason=REASON)
            self.claiming.begin(asked)

    def _may(self) -> bool:
        kernel = self.kernel
        state = kernel.chain.authority
        if not self.standing.looking_on():
            self._since = None
            return False
        if self._since is None:
            self._since = kernel.chain.tip.height
        if self.claiming.claim is not None:
            return False
        address = kernel.config.address
        if address not in state.members.by_address or state.session(address) is not None:
            return False
        rest = state.rest(address)
        if rest is not None and rest.until_ms(Mode.TAKEOVER) > kernel.network_ms:
            return False
        return state.members.n >= 3 and not state.is_used(kernel.own)

    def _silent(self) -> bool:
        kernel = self.kernel
        height, address = kernel.chain.tip.height, kernel.config.address
        # Certificates of a catch-up may lack a slow member: what was looked on at counts.
        if self._since is None or height < self._since + SILENT_HEIGHTS:
            return False
        if kernel.members.balloted(address) > height - SILENT_HEIGHTS:
            return False
        self.standing.check_late()
        return kernel.members.balloted(address) <= height - SILENT_HEIGHTS
