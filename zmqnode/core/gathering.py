"""The members' words for one claim: asked for, checked, and good for a while.

What the chain will count decides what counts here: words of the instances that vote on the next
block, dated by a block that is here, and of the own address in planned mode only.
"""

from __future__ import annotations

from typing import Final

from zmqnode.base.handing import ReadyAnswer, ReadyWanted
from zmqnode.base.handover import READY_TAG, Mode, Ready, Switch
from zmqnode.base.keys import Address, PublicKey
from zmqnode.base.suffrage import Suffrage
from zmqnode.core.effects import Ask
from zmqnode.core.kernel import Kernel

ASK_MS: Final = 100  # How often a member that has not given its word is asked.


def voters(kernel: Kernel) -> Suffrage:
    """Who votes on the next block."""
    chain = kernel.chain
    return chain.suffrage(chain.tip.height + 1)


class Gathering:
    """Words by address: at most one a member."""

    def __init__(self, kernel: Kernel, mode: Mode) -> None:
        self.kernel = kernel
        self.mode = mode
        self._matches: dict[Address, int] = {}
        self._words: dict[Address, tuple[PublicKey, Ready]] = {}
        self._asked: dict[Address, tuple[PublicKey, int]] = {}

    def ask(self, switch: Switch) -> None:
        """Ask every connected member whose word is missing or old, ten times a second."""
        kernel, fresh = self.kernel, self.words()
        for member in voters(kernel).members:
            if member.address in fresh or not self._counts(member.address):
                continue
            instance, asked_ms = self._asked.get(member.address, (None, 0))
            due = instance != member.instance or kernel.now_ms - asked_ms >= ASK_MS
            if due and member.instance in kernel.members.links:
                self._asked[member.address] = member.instance, kernel.now_ms
                kernel.emit(Ask(instance=member.instance, request=ReadyWanted(switch=switch)))

    def _counts(self, address: Address) -> bool:
        return self.mode is Mode.PLANNED or address != self.kernel.config.address

    def take(self, source: PublicKey, answer: ReadyAnswer, switch: Switch) -> bool:
        """A member's word, or how far it sees this copy; False if it is not for this claim."""
        config = self.kernel.config
        member = voters(self.kernel).by_instance.get(source)
        if member is None or answer.session != switch.session or not self._counts(member.address):
            return False
        self._matches[member.address] = answer.matches
        ready = answer.ready
        if ready is not None and ready.address == member.address:
            signed = config.domain.message(READY_TAG, switch.ready_body(ready.time_ms))
            if config.verify(member.instance, signed, ready.signature):
                self._words[member.address] = member.instance, ready
        return True

    def words(self) -> dict[Address, Ready]:
        """Those that the next block would count, and blocks after it for a while yet."""
        kernel = self.kernel
        tip_ms = kernel.chain.tip.time_ms
        oldest_ms = max(kernel.network_ms, tip_ms) - kernel.params.ready_ttl_ms // 2
        members = voters(kernel).by_address
        return {
            address: ready
            for address, (instance, ready) in self._words.items()
            if oldest_ms <= ready.time_ms <= tip_ms
            and address in members
            and members[address].instance == instance
        }

    def instances(self, words: dict[Address, Ready]) -> tuple[PublicKey, ...]:
        """Who gave these words."""
        return tuple(self._words[address][0] for address in words)

    @property
    def matches(self) -> int:
        """Right shadow ballots in a row as the q-th best of the members sees them."""
        q = voters(self.kernel).q
        seen = sorted(self._matches.values(), reverse=True)
        return seen[q - 1] if len(seen) >= q else 0
