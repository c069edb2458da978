"""What this node hears of the others: tips, states, clocks, when last, newest ballots, links."""

from __future__ import annotations

from dataclasses import dataclass

from zmqnode.base.ballot import Ballot
from zmqnode.base.exchange import NodeState, Status
from zmqnode.base.keys import Address, PublicKey
from zmqnode.base.suffrage import Suffrage
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.voter import position
from zmqnode.core.world import DISBELIEF_MS, LEADER_HEIGHTS_MAX, LIVE_MS, SERVE_TIMEOUT_MS

INSTANCES_PER_ADDRESS = 4  # DESIGN.md section 2: so many may be live at once.


@dataclass(slots=True, kw_only=True)
class Seen:
    """One instance as seen from here; times are this machine's."""

    address: Address
    state: NodeState | None = None
    height: int = 0
    tip: int = 0
    clock_offset_ms: int = 0
    status_ms: int | None = None
    status_clock_ms: int = -1  # What its newest status said its clock was.
    heard_ms: int | None = None
    last: Ballot | None = None
    failed_tip: int = 0  # It claimed this tip and did not serve it,
    failed_ms: int | None = None  # seen last at this time,
    failing: bool = False  # and has served nothing since.

    @property
    def claim(self) -> int:
        """The highest tip it claims: by status, or by a ballot, as who votes at h has block h - 1.

        Statuses alone are half a second old: by then a busy network is a hundred blocks further.
        """
        voted = 0 if self.last is None else self.last.fact.height - 1
        return max(self.tip, voted)

    def disbelieved(self, now_ms: int) -> bool:
        """Whether it failed to serve what it claims, a short while ago.

        Not for good: one lost answer would do, and a claim cannot grow where the chain waits for
        the very node that does not believe it.
        """
        if self.claim > self.failed_tip or self.failed_ms is None:
            return False
        return now_ms - self.failed_ms <= DISBELIEF_MS


class Members:
    """Instances by key, links, and for each address the last height a ballot of it was seen at."""

    def __init__(self, own: PublicKey, now_ms: int) -> None:
        self.own = own
        self.born_ms = now_ms
        self.instances: dict[PublicKey, Seen] = {}
        self.links: dict[PublicKey, Address] = {}
        self.urls: dict[PublicKey, str] = {}  # Where the links lead.
        self._balloted: dict[Address, int] = {}
        self._shadowed: dict[Address, int] = {}
        self._signed_ms: dict[Address, int] = {}

    def seen(self, instance: PublicKey, address: Address) -> Seen | None:
        """The record of an instance, made when first heard of.

        An address has 4 at most: a fifth takes the place of the one that voted longest ago and was
        not heard of for longest; None if all are connected.
        """
        found = self.instances.get(instance)
        if found is None and self._room(address):
            found = self.instances[instance] = Seen(address=address)
        return found

    def _room(self, address: Address) -> bool:
        own = [i for i, seen in self.instances.items() if seen.address == address]
        if len(own) < INSTANCES_PER_ADDRESS:
            return True
        rest = [instance for instance in own if instance not in self.links]
        if not rest:
            return False
        del self.instances[min(rest, key=self._worth)]
        return True

    def _worth(self, instance: PublicKey) -> tuple[tuple[int, int, int], int]:
        seen = self.instances[instance]
        last = (-1, 0, 0) if seen.last is None else position(seen.last.fact)
        return last, -1 if seen.heard_ms is None else seen.heard_ms

    def take_status(
        self, status: Status, now_ms: int, clock_ms: int, *, relayed: bool = False
    ) -> bool:
        """Remember a verified status; False if it is relayed and no newer than the last.

        Only from its author may a status go back in time: somebody set its clock.
        """
        seen = self.seen(status.instance, status.address)
        if seen is None or (relayed and status.clock_ms <= seen.status_clock_ms):
            return False
        seen.status_clock_ms = status.clock_ms
        seen.state = status.state
        seen.height = status.height
        seen.tip = status.tip
        seen.clock_offset_ms = status.clock_ms - clock_ms
        seen.status_ms = seen.heard_ms = now_ms
        self._signed_ms[status.address] = now_ms
        return True

    def take_ballot(self, ballot: Ballot, now_ms: int) -> None:
        """Remember a verified ballot of an entitled instance."""
        self.saw(ballot.address, ballot.fact.height, now_ms)
        seen = self.seen(ballot.instance, ballot.address)
        if seen is not None:
            seen.heard_ms = max(seen.heard_ms or 0, now_ms)
            if seen.last is None or position(ballot.fact) > position(seen.last.fact):
                seen.last = ballot

    def take_voteproof(self, vp: Voteproof, suffrage: Suffrage, now_ms: int) -> None:
        """Remember the ballots that a verified voteproof of a suffrage stands for."""
        for ballot in vp.ballots(suffrage):
            self.take_ballot(ballot, now_ms)

    def saw(self, address: Address, height: int, now_ms: int) -> None:
        """A ballot of an address at a height was seen, directly or in a certificate."""
        if height > self._balloted.get(address, -1):
            self._balloted[address] = height
        self._signed_ms[address] = max(self._signed_ms.get(address, 0), now_ms)

    def saw_shadow(self, address: Address, height: int, now_ms: int) -> None:
        """A shadow ballot of an address: whoever will vote for it is there."""
        if height > self._shadowed.get(address, -1):
            self._shadowed[address] = height
        self._signed_ms[address] = now_ms

    def balloted(self, address: Address) -> int:
        """The last height at which a ballot of an address was seen; -1 if none was."""
        return self._balloted.get(address, -1)

    def absent(self, address: Address, height: int, now_ms: int) -> bool:
        """Whether no ballot was seen at the last 3 heights, nor anything signed for 2 s."""
        newest = max(self._balloted.get(address, -1), self._shadowed.get(address, -1))
        if newest >= height - LEADER_HEIGHTS_MAX:
            return False
        return now_ms - self._signed_ms.get(address, self.born_ms) > LIVE_MS

    def live(self, instance: PublicKey, now_ms: int) -> bool:
        """Whether a voting instance's status or ballot came within 2 s; the own one always."""
        if instance == self.own:
            return True
        seen = self.instances.get(instance)
        if seen is None or seen.heard_ms is None or now_ms - seen.heard_ms > LIVE_MS:
            return False
        voting = (NodeState.JOINING, NodeState.CONSENSUS)
        return seen.state is None or seen.state in voting

    def claimed_tips(self, suffrage: Suffrage, now_ms: int) -> list[int]:
        """Tips that other members claim and have not failed to serve of late, highest first.

        One an address: of its instance in ``suffrage``, or of a connected one, whose hello proved
        the address. Who is behind knows who voted long ago; that key may be gone since.
        """
        tips: dict[Address, int] = {}
        for instance, seen in self.instances.items():
            fresh = seen.heard_ms is not None and now_ms - seen.heard_ms <= 2 * LIVE_MS
            if instance == self.own or not fresh or seen.disbelieved(now_ms):
                continue
            member = suffrage.by_address.get(seen.address)
            if member is None:
                continue
            if member.instance == instance or self.links.get(instance) == seen.address:
                tips[seen.address] = max(seen.claim, tips.get(seen.address, 0))
        return sorted(tips.values(), reverse=True)

    def own_clock_moved(self, by_ms: int) -> None:
        """Others are as much less ahead of it."""
        for seen in self.instances.values():
            seen.clock_offset_ms -= by_ms

    def clock_offsets(self, suffrage: Suffrage, now_ms: int) -> list[int]:
        """How far the clocks of members who vote are ahead of the own one, least first."""
        offsets = []
        for member in suffrage.members:
            seen = self.instances.get(member.instance)
            if member.instance == self.own:
                offsets.append(0)
            elif seen is not None and seen.status_ms is not None:
                if now_ms - seen.status_ms <= 2 * LIVE_MS:
                    offsets.append(seen.clock_offset_ms)
        return sorted(offsets)

    def failing(self, instance: PublicKey) -> bool:
        """Whether it failed to serve what it claimed, and has served nothing since."""
        seen = self.instances.get(instance)
        return seen is not None and seen.failing

    def serving(self, height: int) -> list[PublicKey]:
        """Connected instances whose claimed tip is at least ``height``, highest tip first.

        Those that failed to serve what they claimed come last: one lost answer must not make a peer
        useless for good, and a liar costs a request now and then.
        """
        found = []
        for instance in self.links:
            seen = self.instances.get(instance)
            if seen is not None and seen.claim >= height:
                found.append((seen.failing, -seen.claim, instance))
        return [instance for _, _, instance in sorted(found)]

    def served(self, instance: PublicKey) -> None:
        """It served a block it claimed: its claims count again."""
        seen = self.instances.get(instance)
        if seen is not None:
            seen.failed_tip = 0
            seen.failing = False

    def resting(self, instance: PublicKey, now_ms: int) -> int:
        """How long not to ask it again, in ms: no failure is repeated at the speed of the wire."""
        seen = self.instances.get(instance)
        if seen is None or seen.failed_ms is None:
            return 0
        return max(0, seen.failed_ms + SERVE_TIMEOUT_MS - now_ms)

    def fail_tip(self, instance: PublicKey, height: int, now_ms: int) -> None:
        """It claimed a block and did not serve a valid one: its claims up to there do not count."""
        seen = self.instances.get(instance)
        if seen is not None:
            seen.failed_tip = max(seen.claim, height)
            seen.failed_ms = now_ms
            seen.failing = True


__all__ = ["SERVE_TIMEOUT_MS", "Members", "Seen"]
