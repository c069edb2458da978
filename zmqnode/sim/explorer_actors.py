"""Who signs in the explored world: symbolic operations become real, signed ones.

The explorer thinks in operations like "takeover of n0 from a to b in epoch 0"; the authority judges
signed messages. Every state is explored at one base height and time (relative ages are all that
counts), so each operation is signed once and kept. A forgery is an operation right in all but one
thing; the authority must refuse each of them in every state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from zmqnode.base.handover import (
    Cosign,
    Handover,
    Mode,
    Ready,
    Switch,
    SystemOperation,
    sign_ack,
    sign_cancel,
    sign_consent,
    sign_cosign,
    sign_handover,
    sign_possession,
    sign_ready,
    sign_veto,
)
from zmqnode.base.hashes import ZERO
from zmqnode.base.keys import Address, PublicKey
from zmqnode.base.params import Params
from zmqnode.base.signing import Domain
from zmqnode.base.suffrage import Member, Suffrage
from zmqnode.core import authority_state
from zmqnode.core.authority_state import Authority, Context
from zmqnode.sim.signing import KeyTable, SimSigner

BASE_HEIGHT: Final = 1_000  # Every explored state is the one after this block ..
BASE_MS: Final = 10_000_000  # .. of this time.
AHEAD_MS: Final = 3_600_000  # No block explored here comes so late.
NEVER_MS: Final = 1_000_000_000
INSTANCES: Final = "abcdefgh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """A system operation as the explorer names it.

    Args:
        kind: ``handover``, ``veto``, ``ack`` or ``cancel``.
        member: whose vote, by its place in the suffrage.
        mode: of the session; None for a cancel.
        old, new: instances, ``a`` is the one of genesis; old is empty for a cancel.
        epoch: the expected one, the old instance's (also for an ack).
        expires_ms: of a handover, relative to the newest block; None: never.
    """

    kind: str
    member: int
    mode: Mode | None
    old: str
    new: str
    epoch: int
    expires_ms: int | None = None

    def __str__(self) -> str:
        mode = "" if self.mode is None else f" {self.mode.text}"
        return f"{self.kind}{mode} n{self.member} {self.old}>{self.new} epoch {self.epoch}"


class Actors:
    """Keys and signatures of one small world; ``n`` members, each with the same instance names."""

    def __init__(self, n: int, params: Params) -> None:
        self.params = params
        self.keys = KeyTable()
        self.domain = Domain(network_id="explored", genesis=ZERO)
        self._holders: dict[PublicKey, SimSigner] = {}
        self._names: dict[PublicKey, str] = {}
        for member in range(n):
            for name in INSTANCES:
                holder = self._signer(f"n{member}.{name}")
                self._holders[holder.public] = holder
                self._names[holder.public] = name
        self._made: dict[tuple[Op, tuple[PublicKey, ...]], SystemOperation] = {}
        self.founding = Suffrage(members=tuple(self._founder(index) for index in range(n)))
        self._stranger = self._signer("stranger").sign("handover", b"")

    def _signer(self, name: str) -> SimSigner:
        return SimSigner(self.keys.key(name), self.domain)

    def _founder(self, index: int) -> Member:
        return Member(
            address=Address(f"n{index}sas"),
            publickey=self._signer(f"n{index}").public,
            instance=self.key(index, "a"),
            epoch=0,
            url=f"tcp://n{index}.a:1",
        )

    def key(self, member: int, name: str) -> PublicKey:
        """The key of an instance."""
        return self.keys.key(f"n{member}.{name}").public

    def name(self, key: PublicKey) -> str:
        """The instance of a key, without its member."""
        return self._names[key]

    def context(self, dt_ms: int) -> Context:
        """Of the block after the base."""
        return Context(
            height=BASE_HEIGHT + 1,
            time_ms=BASE_MS + dt_ms,
            params=self.params,
            domain=self.domain,
            verify=self.keys.verify,
        )

    # True operations.

    def signed(self, op: Op, state: Authority) -> SystemOperation:
        """The operation as its signers would make it now."""
        voters = authority_state.suffrage(state, BASE_HEIGHT + 1).members
        named = (op, tuple(one.instance for one in voters))
        made = self._made.get(named)
        if made is None:
            made = self._made[named] = self._sign(op, voters)
        return made

    def _sign(self, op: Op, voters: tuple[Member, ...]) -> SystemOperation:
        address = voters[op.member].address
        new = self.key(op.member, op.new)
        match op.kind:
            case "handover":
                return self._handover(self.switch(op), voters)
            case "veto":
                return sign_veto(address, op.epoch, new, self._holder(op.member, op.old))
            case "ack":
                session = self.switch(op).session
                return sign_ack(address, op.epoch + 1, session, self._holder(op.member, op.new))
            case _:
                return sign_cancel(address, op.epoch, new, self._signer(f"n{op.member}"))

    def _holder(self, member: int, name: str) -> SimSigner:
        return self._holders[self.key(member, name)]

    def switch(self, op: Op) -> Switch:
        """What a handover changes."""
        assert op.mode is not None
        expires_ms = NEVER_MS if op.expires_ms is None else max(0, BASE_MS + op.expires_ms)
        return Switch(
            address=self.founding.members[op.member].address,
            epoch=op.epoch,
            mode=op.mode,
            old_instance=self.key(op.member, op.old),
            new_instance=self.key(op.member, op.new),
            url=f"tcp://n{op.member}.{op.new}:1",
            expires_at_ms=expires_ms,
        )

    def _handover(self, switch: Switch, voters: tuple[Member, ...], **wrong: Any) -> Handover:
        """Right in all but the parts given."""
        own = self._own(switch)
        others = [i for i in range(len(voters)) if i != own]
        f, q = self.founding.f, self.founding.q
        planned = switch.mode is Mode.PLANNED
        parts: dict[str, Any] = {
            "possession": sign_possession(switch, self._holders[switch.new_instance]),
            "ready": self._words(switch, ([*others, own] if planned else others)[:q], voters),
        }
        if planned:
            parts["consent"] = sign_consent(switch, self._holders[switch.old_instance])
        if switch.mode is Mode.FORCED:
            parts["cosigns"] = self._cosigns(switch, others[: f + 1], voters)
        return sign_handover(switch, signer=self._signer(f"n{own}"), **(parts | wrong))

    def _own(self, switch: Switch) -> int:
        return [one.address for one in self.founding.members].index(switch.address)

    def _words(
        self,
        switch: Switch,
        members: list[int],
        voters: tuple[Member, ...],
        time_ms: int = BASE_MS,
    ) -> list[Ready]:
        return [
            sign_ready(switch, time_ms, voters[i].address, self._holders[voters[i].instance])
            for i in members
        ]

    def _cosigns(
        self,
        switch: Switch,
        members: list[int],
        voters: tuple[Member, ...],
        expires_at_ms: int = NEVER_MS,
    ) -> list[Cosign]:
        return [
            sign_cosign(
                switch.address,
                switch.epoch,
                switch.session,
                expires_at_ms=expires_at_ms,
                member=voters[i].address,
                signer=self._holders[voters[i].instance],
            )
            for i in members
        ]

    # Forgeries.

    def forgeries(self, op: Op, state: Authority) -> Iterator[tuple[str, SystemOperation]]:
        """What a true operation becomes with one thing wrong, and which."""
        good = self.signed(op, state)
        yield "signed by another", replace(good, signature=self._stranger)
        if not isinstance(good, Handover):
            return
        voters = authority_state.suffrage(state, BASE_HEIGHT + 1).members
        for what, switch in self._wrong_switches(good.switch):
            yield what, self._handover(switch, voters)
        for what, part in self._wrong_parts(good.switch, voters, state):
            yield what, self._handover(good.switch, voters, **part)

    def _wrong_switches(self, switch: Switch) -> Iterator[tuple[str, Switch]]:
        own = self._own(switch)
        elsewhere = self.key((own + 1) % self.founding.n, "a")
        yield "of an epoch to come", replace(switch, epoch=switch.epoch + 1)
        yield "of another instance", replace(switch, old_instance=self.key(own, INSTANCES[-1]))
        yield "expired", replace(switch, expires_at_ms=BASE_MS)
        yield "to a key of another address", replace(switch, new_instance=elsewhere)

    def _wrong_parts(
        self, switch: Switch, voters: tuple[Member, ...], state: Authority
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        own, q, f = self._own(switch), self.founding.q, self.founding.f
        others = [i for i in range(len(voters)) if i != own]
        planned = switch.mode is Mode.PLANNED
        vouching = [*others, own] if planned else others
        yield "without possession", {"possession": self._stranger}
        yield "with few ready", {"ready": self._words(switch, vouching[: q - 1], voters)}
        stale_ms = BASE_MS - self.params.ready_ttl_ms
        yield "with stale words", {"ready": self._words(switch, vouching, voters, stale_ms)}
        ahead_ms = BASE_MS + AHEAD_MS
        yield "with words to come", {"ready": self._words(switch, vouching, voters, ahead_ms)}
        for height in range(BASE_HEIGHT - 1, BASE_HEIGHT + 3):
            wrong = authority_state.suffrage(state, height).members
            right = [i for i in vouching if wrong[i].instance == voters[i].instance]
            if len(right) < q:
                words = self._words(switch, vouching, wrong)
                yield f"with words of suffrage({height - BASE_HEIGHT:+})", {"ready": words}
        if planned:
            elsewhere = replace(switch, url="tcp://elsewhere:1")
            consent = sign_consent(elsewhere, self._holders[switch.old_instance])
            yield "with consent to something else", {"consent": consent}
            yield "without consent", {"consent": self._stranger}
            return
        words = self._words(switch, [own, *others[: q - 1]], voters)
        yield "vouching for itself", {"ready": words}
        if switch.mode is Mode.FORCED:
            own_too = self._cosigns(switch, others[:f], voters)
            yield "with few co-signers", {"cosigns": own_too}
            own_too += self._cosigns(switch, [own], voters)
            yield "co-signed by itself", {"cosigns": own_too}
            expired = self._cosigns(switch, others, voters, BASE_MS)
            yield "with expired co-signatures", {"cosigns": expired}
