"""A member's word about standbys: who shadows this address, and has it named the right blocks?

HANDOVER.md section 1: "I am connected to this instance, and its last 5 shadow ballots named the
right block, each within t_a of my own commit of it, or repeat my tip". One that does not resets the
count. A word carries the time of this member's newest block and is good for ``ready_ttl_ms`` of
block time: while somebody asks and the newest block is old, a next block is work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from zmqnode.base.exchange import NodeState
from zmqnode.base.handing import ReadyAnswer, ReadyWanted, Shadow
from zmqnode.base.handover import Mode, Switch, sign_ready
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import PublicKey
from zmqnode.core.effects import Answer
from zmqnode.core.handover_view import SHADOWS_NEEDED
from zmqnode.core.kernel import Kernel
from zmqnode.core.members import INSTANCES_PER_ADDRESS

AHEAD_MAX: Final = 16  # Shadow ballots of blocks this node has not committed yet, an instance.
ASKED_RECENTLY_MS: Final = 1000
COMMITS_KEPT: Final = 8  # As many heights as the chain keeps blocks for.


@dataclass(slots=True)
class _Seen:
    matches: int = 0
    ahead: dict[int, Hash] = field(default_factory=dict)


class Readiness:
    """Counts shadow ballots of connected standbys, and gives this member's word."""

    def __init__(self, kernel: Kernel, voting: Callable[[], bool]) -> None:
        self.kernel = kernel
        self.voting = voting  # Whether this copy votes at the next height.
        self._seen: dict[PublicKey, _Seen] = {}
        self._committed_ms: dict[int, int] = {kernel.chain.tip.height: kernel.now_ms}
        self._asked_ms: int | None = None

    def take(self, shadow: Shadow, source: PublicKey) -> None:
        """A shadow ballot: verified here if it can matter.

        Only from its author: an old one that a third sends again would undo the count.
        """
        kernel = self.kernel
        if source != shadow.instance:
            return
        member = kernel.chain.authority.members.by_address.get(shadow.address)
        if member is None or member.epoch != shadow.epoch or member.instance == shadow.instance:
            return
        if kernel.members.links.get(shadow.instance) != shadow.address:
            return
        if not shadow.verified(kernel.config.domain, kernel.config.verify):
            kernel.bump("bad_signature")
            return
        tip = kernel.chain.tip
        # No sign of life reaches further than a block ahead, whatever height it names.
        seen_height = min(shadow.height, tip.height + 1)
        kernel.members.saw_shadow(shadow.address, seen_height, kernel.now_ms)
        seen = self._of(shadow.instance, shadow.address)
        if shadow.height > tip.height:
            if len(seen.ahead) < AHEAD_MAX:
                seen.ahead[shadow.height] = shadow.block
        elif shadow.height == tip.height:
            self._count(seen, shadow.block == tip.hash)
        else:
            self._count(seen, self._timely(shadow))

    def _of(self, instance: PublicKey, address: str) -> _Seen:
        found = self._seen.get(instance)
        if found is None:
            links = self.kernel.members.links
            for gone in [one for one in self._seen if one not in links]:
                del self._seen[gone]  # So there are at most as many as links.
            own = [one for one in self._seen if links.get(one) == address]
            if len(own) >= INSTANCES_PER_ADDRESS:
                del self._seen[own[0]]
            found = self._seen[instance] = _Seen()
        return found

    def _timely(self, shadow: Shadow) -> bool:
        """Whether it names an older block of this chain, within t_a of its commit here."""
        kernel = self.kernel
        block = kernel.chain.block(shadow.height)
        committed_ms = self._committed_ms.get(shadow.height)
        if block is None or committed_ms is None or block.hash != shadow.block:
            return False
        return kernel.now_ms - committed_ms <= kernel.timing.accept_ms(0)

    def _count(self, seen: _Seen, right: bool) -> None:
        seen.matches = min(seen.matches + 1, SHADOWS_NEEDED) if right else 0

    def committed(self, height: int, block: Hash) -> None:
        """This node committed a block: those that named it before were in time."""
        self._committed_ms[height] = self.kernel.now_ms
        self._committed_ms.pop(height - COMMITS_KEPT, None)
        for seen in self._seen.values():
            named = seen.ahead.pop(height, None)
            if named is not None:
                self._count(seen, named == block)
            for old in [one for one in seen.ahead if one <= height]:
                del seen.ahead[old]

    def matches(self, instance: PublicKey) -> int:
        """How many right shadow ballots of a standby came last, in a row; 0 to 5."""
        seen = self._seen.get(instance)
        return 0 if seen is None else seen.matches

    def serve(self, route: object, wanted: ReadyWanted, source: PublicKey) -> None:
        """Give this member's word, or say how far the standby is."""
        switch, kernel = wanted.switch, self.kernel
        code = self._refusal(switch, source)
        if code in ("", "not_ready"):
            self._asked_ms = kernel.now_ms  # Nobody else is worth a block.
        ready = None
        if not code:
            time_ms = kernel.chain.tip.time_ms
            ready = sign_ready(switch, time_ms, kernel.config.address, kernel.config.signer)
        answer = ReadyAnswer(
            session=switch.session,
            ready=ready,
            matches=self.matches(switch.new_instance),
            code=code,
        )
        kernel.emit(Answer(route=route, reply=answer))

    def _refusal(self, switch: Switch, source: PublicKey) -> str:
        kernel = self.kernel
        member = kernel.chain.authority.members.by_address.get(switch.address)
        if kernel.fault is not None or not self.voting() or kernel.state != NodeState.CONSENSUS:
            return "wrong_state"
        if member is None or switch.new_instance != source:
            return "not_authorised"
        if (member.epoch, member.instance) != (switch.epoch, switch.old_instance):
            return "epoch_moved"
        if switch.address == kernel.config.address and switch.mode is not Mode.PLANNED:
            return "not_authorised"
        members = kernel.members
        linked = members.links.get(switch.new_instance) == switch.address
        if not linked or members.urls.get(switch.new_instance, switch.url) != switch.url:
            return "peers_unreachable"
        return "" if self.matches(switch.new_instance) >= SHADOWS_NEEDED else "not_ready"

    def wants_block(self) -> bool:
        """Whether somebody waits for a word, and the newest block is too old to date one by."""
        kernel = self.kernel
        if self._asked_ms is None or kernel.now_ms - self._asked_ms > ASKED_RECENTLY_MS:
            return False
        age_ms = kernel.network_ms - kernel.chain.tip.time_ms
        return age_ms > kernel.params.ready_ttl_ms // 2
