"""What follows the chain's decision: acknowledgement, the count of what was missed, cancel."""

from __future__ import annotations

from typing import Final

from zmqnode.base.handing import SignedAnswer, SignedWanted
from zmqnode.base.handover import sign_ack, sign_cancel
from zmqnode.base.keys import PublicKey
from zmqnode.core.claiming import Claiming
from zmqnode.core.display import CANCELLED, Display
from zmqnode.core.effects import Ask
from zmqnode.core.handing_in import HandingIn
from zmqnode.core.kernel import Kernel, Timer

SIGNED_ASK_MS: Final = 25  # How often the old copy is asked what it signed,
SIGNED_WAIT_MS: Final = 2000  # and for how long after the acknowledgement, as it keeps its key.


class Concluding:
    """Of a session that the chain holds, or shall not hold any more."""

    def __init__(
        self, kernel: Kernel, display: Display, handing_in: HandingIn, claiming: Claiming
    ) -> None:
        self.kernel = kernel
        self.display = display
        self.handing_in = handing_in
        self.claiming = claiming
        self._signed_asked_ms = 0

    # Acknowledging.

    def acknowledge(self) -> None:
        """From this copy's first height on, until the session is closed."""
        kernel = self.kernel
        session = kernel.chain.authority.session(kernel.config.address)
        if session is None or session.new_instance != kernel.own or session.acts_height is None:
            return
        if kernel.chain.tip.height + 1 < session.acts_height or kernel.fault is not None:
            return
        if not self.claiming.answered():
            return
        signer = kernel.config.signer
        self.handing_in.hand_in(
            lambda: sign_ack(session.address, session.new_epoch, session.session, signer),
            signer,
            key=b"ack" + session.session,
        )

    def count(self) -> None:
        """What the old copy signed at its last heights, to count what was missed."""
        kernel, view = self.kernel, self.display.view
        if view is None or view.side != "new" or view.committed_height is None:
            return
        if view.acts_height is None or kernel.chain.tip.height + 1 < view.acts_height:
            return
        if not self.display.knows_old and kernel.now_ms - self._signed_asked_ms >= SIGNED_ASK_MS:
            self._signed_asked_ms = kernel.now_ms
            wanted = SignedWanted(first=view.committed_height, last=view.acts_height - 1)
            kernel.emit(Ask(instance=view.old_instance, request=wanted))
        if view.phase == "acknowledged":
            self.display.conclude(SIGNED_WAIT_MS)
            kernel.set_timer(Timer.SHADOW, SIGNED_ASK_MS)

    def take_signed(self, source: PublicKey, answer: SignedAnswer) -> None:
        """The old copy's record."""
        view = self.display.view
        if view is not None and source == view.old_instance:
            self.display.take_signed(answer)

    # Cancelling.

    def cancel(self) -> None:
        """Take the open handover back: at once before it is handed in, else by the chain."""
        claim, kernel = self.claiming.claim, self.kernel
        session = kernel.chain.authority.session(kernel.config.address)
        if session is not None:
            if session.acts_height is None:
                self._hand_in_cancel(session.new_instance)
            return
        if claim is not None and claim.consent is None and claim.sealed_ms is None:
            self.claiming.claim = None
            self.display.end("cancelled", CANCELLED)
            return
        view = self.display.view
        if view is not None and view.outcome is None:
            self._hand_in_cancel(view.new_instance)

    def _hand_in_cancel(self, new_instance: PublicKey) -> None:
        kernel = self.kernel
        identity, address = kernel.config.identity, kernel.config.address
        if identity is None:
            return
        epoch = kernel.chain.authority.members.by_address[address].epoch
        self.handing_in.hand_in(
            lambda: sign_cancel(address, epoch, new_instance, identity),
            identity,
            key=b"cancel",
            anew=True,
        )
        if self.display.open:  # Not where another copy's handover is cancelled.
            self.display.change(waits_for="the chain's word on the cancel")

    def settle_cancel(self) -> None:
        """Whether the chain cancelled this session's key before any block took its handover."""
        view, kernel = self.display.view, self.kernel
        if view is None or view.outcome is not None or view.committed_height is not None:
            return
        if view.new_instance in kernel.chain.authority.cancelled_keys(view.address):
            self.claiming.claim = None
            self.display.end("cancelled", CANCELLED)
        else:
            self.handing_in.again(b"cancel")
