"""Who votes at which height: a twin of the authority, kept from committed blocks and their seals.

It shares no code with core/authority and is written for the eye: one table of rows a height long,
one attempt per session id, the rules of HANDOVER.md section 1 in the order in which a block is
read. What a block must not hold is a finding; so is a manifest whose suffrage is another one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from zmqnode.base.block import Block
from zmqnode.base.handover import Ack, Cancel, Handover, Mode, Veto
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address, PublicKey
from zmqnode.base.params import Params
from zmqnode.base.proposal import Value
from zmqnode.base.signing import Domain, Verify
from zmqnode.base.suffrage import Member, Suffrage, tolerated
from zmqnode.base.system import system_operations
from zmqnode.errors import Malformed

LAG: Final = 2  # What block h decides is in force at h + 2.
CANCELLED_MOST: Final = 16
Voter = tuple[PublicKey, int]  # Instance, epoch.


class Wrong(Exception):
    """A committed block holds what it must not hold."""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """A committed handover. ``outcome``: None while it is open."""

    operation: Handover
    height: int
    time_ms: int
    acts_height: int | None = None
    acking_ms: int | None = None
    outcome: str | None = None
    ended_height: int | None = None

    @property
    def pending(self) -> bool:
        """Whether it is a takeover in its veto window."""
        return self.acts_height is None


@dataclass(slots=True, kw_only=True)
class Place:
    """One address. ``rows``: (first height, instance, epoch), oldest first."""

    address: Address
    identity: PublicKey
    rows: list[tuple[int, PublicKey, int]]
    open: Attempt | None = None
    closed_height: int | None = None
    cool_ms: dict[Mode, int] = field(default_factory=dict)
    cancelled: list[PublicKey] = field(default_factory=list)

    def at(self, height: int) -> Voter:
        """Who votes for this address at a height."""
        _, instance, epoch = next(row for row in reversed(self.rows) if row[0] <= height)
        return instance, epoch

    @property
    def decided(self) -> Voter:
        """The newest decision, in force or not."""
        return self.rows[-1][1], self.rows[-1][2]

    def decide(self, instance: PublicKey, height: int) -> None:
        """Block ``height`` gives the vote to an instance."""
        epoch = self.rows[-1][2] + 1
        if self.rows[-1][0] == height + LAG:
            self.rows.pop()
        self.rows.append((height + LAG, instance, epoch))
        self.cancelled.clear()


class Epochs:
    """The table after the newest block that :meth:`take` got, block after block from 1 on."""

    def __init__(self, suffrage: Suffrage, params: Params, domain: Domain, verify: Verify) -> None:
        self.params = params
        self.domain = domain
        self.verify = verify
        self.height = 0
        self.time_ms = 0
        self.places = {
            m.address: Place(
                address=m.address, identity=m.publickey, rows=[(0, m.instance, m.epoch)]
            )
            for m in suffrage.members
        }
        self.n = len(self.places)
        self.f = tolerated(self.n)
        self.q = (self.n + self.f) // 2 + 1
        self.used: dict[PublicKey, None] = {}
        for member in suffrage.members:
            self.used[member.instance] = self.used[member.publickey] = None
        self.ever: dict[PublicKey, Address] = {m.instance: m.address for m in suffrage.members}
        self.attempts: dict[Hash, Attempt] = {}
        self.took_back: dict[tuple[Address, PublicKey], None] = {}  # Confirmed cancels of keys.
        self._hashes: dict[int, Hash] = {}

    # Questions.

    def voter(self, address: Address, height: int) -> Voter | None:
        """Who votes for an address at a height up to two above the newest block."""
        place = self.places.get(address)
        if place is None or height > self.height + LAG:
            return None
        return place.at(height)

    def suffrage_hash(self, height: int) -> Hash:
        """What the manifest of block ``height`` must name: suffrage(height + 2)."""
        members = []
        for place in self.places.values():
            instance, epoch = place.at(height + LAG)
            members.append(
                Member(
                    address=place.address,
                    publickey=place.identity,
                    instance=instance,
                    epoch=epoch,
                    url="",
                )
            )
        return Suffrage(members=tuple(members)).hash

    def spent(self, address: Address, key: PublicKey, height: int) -> bool:
        """Whether a key can never vote again, for who has executed block ``height`` <= newest.

        Judged on the newest state: what was spent once stays so, so a younger state is as good.
        """
        if key not in self.used and (address, key) not in self.took_back:
            return False
        for place in self.places.values():
            for ahead in range(LAG + 1):
                if place.at(height + ahead)[0] == key:
                    return False
            attempt = place.open
            if attempt is not None:
                switch = attempt.operation.switch
                if key == switch.new_instance:
                    return False
                if key == switch.old_instance and switch.mode is Mode.PLANNED:
                    return False
        return True

    def must_go(self, address: Address, key: PublicKey, height: int) -> bool:
        """Whether its holder has to have deleted a key by now.

        A cancel holds until the epoch moves, which may be in the very block that takes it: then the
        key may be named again, and nobody has to delete it.
        """
        held = key in self.used or key in self.places[address].cancelled
        return held and self.spent(address, key, height)

    @property
    def quiet(self) -> bool:
        """Whether no handover is open and all that was decided is in force at the next height."""
        return all(
            place.open is None and place.rows[-1][0] <= self.height + 1
            for place in self.places.values()
        )

    # Blocks.

    def take(self, block: Block) -> None:
        """The next block; raises :class:`Wrong`."""
        value = block.value
        assert value is not None and block.height == self.height + 1
        changed = self._take(block, value)
        self.height = block.height
        self.time_ms = value.time_ms
        if changed or not self._hashes:
            self._hashes[0] = self.suffrage_hash(block.height)
        if block.manifest.suffrage != self._hashes[0]:
            raise Wrong("the manifest names another suffrage")

    def _take(self, block: Block, value: Value) -> bool:
        try:
            operations = system_operations(block.seals)
        except Malformed as error:
            raise Wrong(str(error)) from None
        if len(operations) > self.n:
            raise Wrong(f"{len(operations)} system operations")
        for operation in operations:
            if operation.address not in self.places:
                raise Wrong("an operation of no member")
            if not operation.verified(self.domain, self.verify):
                raise Wrong(f"a forged {type(operation).__name__}")
            place = self.places[operation.address]
            match operation:
                case Handover():
                    self._handover(place, operation, block.height, value.time_ms)
                case Veto():
                    self._veto(place, operation, block.height, value.time_ms)
                case Ack():
                    self._ack(place, operation, block.height, value.time_ms)
                case Cancel():
                    self._cancel(place, operation, block.height, value.time_ms)
        before = [place.decided for place in self.places.values()]
        self._carried(value)
        self._windows(block.height, value.time_ms)
        after = [place.decided for place in self.places.values()]
        return bool(operations) or before != after

    # Operations.

    def _handover(self, place: Place, operation: Handover, height: int, time_ms: int) -> None:
        switch, mode = operation.switch, operation.switch.mode
        if (switch.old_instance, switch.epoch) != place.decided:
            raise Wrong("a handover of another instance or epoch than the decided one")
        if time_ms > switch.expires_at_ms:
            raise Wrong("an expired handover")
        if switch.new_instance in self.used or switch.new_instance in place.cancelled:
            raise Wrong("a handover to a key that was used or cancelled")
        if operation.identity != place.identity:
            raise Wrong("a handover that another identity signed")
        self._may_open(place, mode, height, time_ms)
        self._certified(operation, height, time_ms)
        if place.open is not None:
            self._close(place, "replaced", height, time_ms)
        attempt = Attempt(operation=operation, height=height, time_ms=time_ms)
        place.open = self.attempts[switch.session] = attempt
        self.used[switch.new_instance] = None
        if mode is not Mode.TAKEOVER:
            self._act(place, attempt, height)

    def _may_open(self, place: Place, mode: Mode, height: int, time_ms: int) -> None:
        forced = mode is Mode.FORCED
        if mode is not Mode.PLANNED and self.n < 3:
            raise Wrong("a takeover among one or two members")
        if place.open is not None:
            if not forced:
                raise Wrong("a second handover of one address")
            return
        slots = max(1, min(self.params.open_handovers_max, self.f))
        if sum(one.open is not None for one in self.places.values()) >= slots:
            raise Wrong("more open handovers than slots")
        if forced:
            return
        if place.closed_height is not None and height < place.closed_height + self.f + 1:
            raise Wrong("the next handover of an address too soon")
        if time_ms < place.cool_ms.get(mode, 0):
            raise Wrong("a handover within its cooldown")

    def _certified(self, operation: Handover, height: int, time_ms: int) -> None:
        switch = operation.switch
        voters = {address: place.at(height)[0] for address, place in self.places.items()}

        def good(key: PublicKey | None, tag: str, body: bytes, signature: bytes | None) -> bool:
            if key is None or signature is None:
                return False
            return self.verify(key, self.domain.message(tag, body), signature)

        new = switch.new_instance
        if not good(new, "handover.possession", switch.possession_body(), operation.possession):
            raise Wrong("no proof of possession")
        if switch.mode is Mode.PLANNED:
            old, body = switch.old_instance, switch.consent_body()
            if not good(old, "handover.consent", body, operation.consent):
                raise Wrong("a planned handover without consent")
        others = {a: key for a, key in voters.items() if a != operation.address}
        ready = sum(
            good(
                (voters if switch.mode is Mode.PLANNED else others).get(one.address),
                "handover.ready",
                switch.ready_body(one.time_ms),
                one.signature,
            )
            for one in operation.ready
            if time_ms - self.params.ready_ttl_ms <= one.time_ms < time_ms
        )
        if ready < self.q:
            raise Wrong(f"a handover with {ready} words of readiness")
        signed = sum(
            good(
                others.get(one.address),
                "handover.cosign",
                switch.cosign_body(one.expires_at_ms),
                one.signature,
            )
            for one in operation.cosigns
            if time_ms <= one.expires_at_ms
        )
        if switch.mode is Mode.FORCED and signed < self.f + 1:
            raise Wrong(f"a forced handover with {signed} co-signatures")

    def _veto(self, place: Place, operation: Veto, height: int, time_ms: int) -> None:
        attempt = place.open
        if attempt is None or not attempt.pending:
            raise Wrong("a veto with nothing pending")
        if attempt.operation.switch.session != operation.session:
            raise Wrong("a veto of another takeover")
        self._close(place, "vetoed", height, time_ms)

    def _ack(self, place: Place, operation: Ack, height: int, time_ms: int) -> None:
        attempt = place.open
        if attempt is None or attempt.acts_height is None or height < attempt.acts_height:
            raise Wrong("an ack with nothing to acknowledge")
        switch = attempt.operation.switch
        named = (switch.session, switch.new_instance, switch.epoch + 1)
        if named != (operation.session, operation.instance, operation.epoch):
            raise Wrong("an ack of another session")
        self._close(place, "acknowledged", height, time_ms)

    def _cancel(self, place: Place, operation: Cancel, height: int, time_ms: int) -> None:
        key, attempt = operation.new_instance, place.open
        if operation.identity != place.identity or operation.epoch != place.decided[1]:
            raise Wrong("a cancel of another identity or epoch")
        if attempt is not None and attempt.pending:
            if attempt.operation.switch.new_instance == key:
                self._close(place, "cancelled", height, time_ms)
                return
        if key in self.used or key in place.cancelled or len(place.cancelled) >= CANCELLED_MOST:
            raise Wrong("a cancel that comes too late")
        place.cancelled.append(key)
        self.took_back[place.address, key] = None

    # What follows.

    def _act(self, place: Place, attempt: Attempt, height: int) -> None:
        attempt.acts_height = height + LAG
        self._decide(place, attempt.operation.switch.new_instance, height)

    def _decide(self, place: Place, instance: PublicKey, height: int) -> None:
        place.decide(instance, height)
        self.ever[instance] = place.address

    def _close(self, place: Place, outcome: str, height: int, time_ms: int) -> None:
        attempt = place.open
        assert attempt is not None
        attempt.outcome, attempt.ended_height = outcome, height
        place.open, place.closed_height = None, height
        mode = attempt.operation.switch.mode
        if outcome != "acknowledged" and mode is not Mode.FORCED:
            place.cool_ms[mode] = time_ms + self.params.handover_cooldown_ms

    def _carried(self, value: Value) -> None:
        if value.accept is None:
            return
        height = value.accept.fact.height
        for place in self.places.values():
            attempt = place.open
            if attempt is None or not attempt.pending or height <= attempt.height:
                continue
            switch = attempt.operation.switch
            if place.address in value.accept.addresses:
                if place.at(height) == (switch.old_instance, switch.epoch):
                    self._close(place, "vetoed", value.height, value.time_ms)

    def _windows(self, height: int, time_ms: int) -> None:
        for place in self.places.values():
            attempt = place.open
            if attempt is None:
                continue
            switch = attempt.operation.switch
            if attempt.acts_height is None:
                late = time_ms >= attempt.time_ms + self.params.veto_window_ms
                if late and height >= attempt.height + self.n:
                    self._act(place, attempt, height)
            elif attempt.acts_height == height:
                attempt.acking_ms = time_ms
            elif attempt.acking_ms is not None:
                late = time_ms >= attempt.acking_ms + self.params.ack_window_ms
                if late and height >= attempt.acts_height + self.n:
                    planned = switch.mode is Mode.PLANNED
                    if planned:
                        self._decide(place, switch.old_instance, height)
                    self._close(place, "returned" if planned else "closed", height, time_ms)
