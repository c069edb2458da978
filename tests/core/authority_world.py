"""A chain of blocks for the authority alone: members, instances, signed operations."""

from __future__ import annotations

from typing import Any

from zmqnode.base.ballot import Fact
from zmqnode.base.handover import (
    Ack,
    Cancel,
    Cosign,
    Handover,
    Mode,
    Ready,
    Switch,
    SystemOperation,
    Veto,
    sign_ack,
    sign_cancel,
    sign_consent,
    sign_cosign,
    sign_handover,
    sign_possession,
    sign_ready,
    sign_veto,
)
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address, PublicKey, Signature
from zmqnode.base.params import Params
from zmqnode.base.point import Stage
from zmqnode.base.signing import Domain
from zmqnode.base.suffrage import Member, Suffrage
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.authority import Ineffective, Step, advance, founded, judge, suffrage
from zmqnode.core.authority_entries import changes, entries, read_entries
from zmqnode.core.authority_state import Authority, Context, Session
from zmqnode.sim.signing import KeyTable, SimSigner

FAR_MS = 10_000_000
PARAMS = Params(
    veto_window_ms=1_000,
    ack_window_ms=2_000,
    ready_ttl_ms=500,
    handover_cooldown_ms=5_000,
    time_tolerance_ms=100,
)


def address(index: int) -> Address:
    return Address(f"n{index}sas")


class World:
    """``n`` members n0sas.., whose genesis instances are ``n0.a``..; other instances by any name.

    ``block`` makes the next block, 10 ms later unless told; ``state`` is the one after the newest.
    """

    def __init__(self, n: int = 4, params: Params = PARAMS) -> None:
        self.params = params
        self.keys = KeyTable()
        named = [f"n{i}.{instance}" for i in range(max(n, 5)) for instance in "abcd"]
        named += [f"n{i}" for i in range(max(n, 5))]
        self._names = {self.key(name): name for name in named}
        self.domain = Domain(network_id="net", genesis=Hash(bytes(32)))
        self.state: Authority = founded(
            Suffrage(
                members=tuple(
                    Member(
                        address=address(i),
                        publickey=self.key(f"n{i}"),
                        instance=self.key(f"n{i}.a"),
                        epoch=0,
                        url=f"tcp://n{i}.a:1",
                    )
                    for i in range(n)
                )
            )
        )
        self.height = 100
        self.time_ms = 1_000_000
        self.steps: list[Step] = []

    def signer(self, name: str) -> SimSigner:
        return SimSigner(self.keys.key(name), self.domain)

    def key(self, name: str) -> PublicKey:
        return self.keys.key(name).public

    def name(self, key: PublicKey) -> str:
        """Which instance a key is, such as ``n0.a``."""
        return self._names[key]

    # Operations.

    def switch(self, new: str, mode: Mode, index: int = 0, **changed: Any) -> Switch:
        member = self.state.members.members[index]
        fields: dict[str, Any] = {
            "address": member.address,
            "epoch": member.epoch,
            "mode": mode,
            "old_instance": member.instance,
            "new_instance": self.key(new),
            "url": f"tcp://{new}:1",
            "expires_at_ms": FAR_MS,
        }
        return Switch(**(fields | changed))

    def ready(
        self, switch: Switch, members: list[int], time_ms: int | None = None
    ) -> tuple[Ready, ...]:
        """Words of members by the instances that vote in the next block, at the newest block."""
        voters = suffrage(self.state, self.height + 1).members
        at = self.time_ms if time_ms is None else time_ms
        return tuple(
            sign_ready(switch, at, address(i), self.signer(self.name(voters[i].instance)))
            for i in members
        )

    def cosigns(
        self, switch: Switch, members: list[int], expires_at_ms: int = FAR_MS
    ) -> tuple[Cosign, ...]:
        voters = suffrage(self.state, self.height + 1).members
        return tuple(
            sign_cosign(
                switch.address,
                switch.epoch,
                switch.session,
                expires_at_ms=expires_at_ms,
                member=address(i),
                signer=self.signer(self.name(voters[i].instance)),
            )
            for i in members
        )

    def handover(self, switch: Switch, **changed: Any) -> Handover:
        """Complete and right, but for what is changed."""
        n, q, f = self.state.members.n, self.state.members.q, self.state.members.f
        own = next(i for i in range(n) if address(i) == switch.address)
        others = [i for i in range(n) if i != own]
        planned = switch.mode is Mode.PLANNED
        parts: dict[str, Any] = {
            "possession": sign_possession(switch, self._holder(switch.new_instance)),
            "ready": self.ready(switch, [*others, own][:q] if planned else others[:q]),
        }
        if planned:
            parts["consent"] = sign_consent(switch, self._holder(switch.old_instance))
        if switch.mode is Mode.FORCED:
            parts["cosigns"] = self.cosigns(switch, others[: f + 1])
        parts |= changed
        return sign_handover(switch, signer=self.signer(f"n{own}"), **parts)

    def _holder(self, key: PublicKey) -> SimSigner:
        return self.signer(self.name(key))

    def planned(self, new: str, index: int = 0, **changed: Any) -> Handover:
        return self.handover(self.switch(new, Mode.PLANNED, index, **changed))

    def takeover(self, new: str, index: int = 0, **changed: Any) -> Handover:
        return self.handover(self.switch(new, Mode.TAKEOVER, index, **changed))

    def forced(self, new: str, index: int = 0, **changed: Any) -> Handover:
        return self.handover(self.switch(new, Mode.FORCED, index, **changed))

    def session(self, index: int = 0) -> Session:
        session = self.state.session(address(index))
        assert session is not None
        return session

    def veto(self, session: Session | None = None) -> Veto:
        session = session or self.session()
        signer = self._holder(session.old_instance)
        return sign_veto(session.address, session.epoch, session.new_instance, signer)

    def ack(self, session: Session | None = None) -> Ack:
        session = session or self.session()
        signer = self._holder(session.new_instance)
        return sign_ack(session.address, session.new_epoch, session.session, signer)

    def cancel(self, new: str, index: int = 0, epoch: int | None = None) -> Cancel:
        member = self.state.members.members[index]
        at = member.epoch if epoch is None else epoch
        return sign_cancel(member.address, at, self.key(new), self.signer(f"n{index}"))

    # Blocks.

    def context(self, dt: int = 10) -> Context:
        """Of the next block."""
        return Context(
            height=self.height + 1,
            time_ms=self.time_ms + dt,
            params=self.params,
            domain=self.domain,
            verify=self.keys.verify,
        )

    def code(self, operation: SystemOperation, dt: int = 10) -> str | None:
        """Why the next block cannot take an operation; None if it can."""
        refusal = judge(self.state, operation, self.context(dt))
        return None if refusal is None else refusal.code

    def block(
        self, *operations: SystemOperation, dt: int = 10, voters: tuple[int, ...] | None = None
    ) -> list[str]:
        """The next block; the turns it made. ``voters``: in the ACCEPT VP it carries."""
        carried = None if voters is None else self.voteproof(self.height - 1, voters)
        before = self.state
        after, steps = advance(before, operations, carried, self.context(dt))
        told: dict[bytes, bytes | None] = dict(entries(before))
        told.update(changes(before, after))
        stored = {key: value for key, value in told.items() if value is not None}
        assert stored == entries(after)
        assert read_entries(sorted(stored.items())) == after
        self.state = after
        self.height += 1
        self.time_ms += dt
        self.steps.extend(steps)
        return [step.turn.value for step in steps]

    def refused(self, *operations: SystemOperation, dt: int = 10) -> str:
        """The code of the operation that makes the next block's value invalid."""
        try:
            advance(self.state, operations, None, self.context(dt))
        except Ineffective as error:
            return error.refusal.code
        return "none"

    def voteproof(self, height: int, voters: tuple[int, ...]) -> Voteproof:
        """An ACCEPT VP of these members; the authority reads fact and addresses only."""
        fact = Fact(
            height=height,
            round=0,
            stage=Stage.ACCEPT,
            value=Hash(bytes(32)),
            block=Hash(bytes(32)),
        )
        signatures = tuple((address(i), Signature(bytes(64))) for i in sorted(voters))
        return Voteproof(fact=fact, signatures=signatures)

    def blocks(self, count: int, dt: int = 10) -> None:
        for _ in range(count):
            self.block(dt=dt)

    def reach(self, height: int, dt: int = 10) -> None:
        """Empty blocks until ``height`` is the newest."""
        self.blocks(height - self.height, dt)

    # Who votes.

    def voter(self, height: int, index: int = 0) -> tuple[str, int]:
        """Instance and epoch of a member at a height from tip - 1 to tip + 2."""
        member = suffrage(self.state, height).members[index]
        return self.name(member.instance), member.epoch

    def decided(self, index: int = 0) -> tuple[str, int]:
        member = self.state.members.members[index]
        return self.name(member.instance), member.epoch
