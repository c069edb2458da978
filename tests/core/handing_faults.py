"""A network of copies whose messages get lost, late and out of order, and whose copies pause."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from zmqnode.base.handover import Cosign, Mode, session_id, sign_cosign
from zmqnode.base.keys import Address, PublicKey
from zmqnode.core.authority import Authority
from zmqnode.core.authority_moves import Turn
from zmqnode.core.events import Event, HandoverAsked, Woke

from .handing_world import DELAY_MS, EPOCH_MS, Copy, World


class FaultyWorld(World):
    """Loses a share of the messages and delays each by a time of its own."""

    def __init__(
        self,
        n: int = 4,
        *,
        seed: int = 0,
        loss: float = 0.0,
        delays: range = range(1, 2),
        **more: Any,
    ) -> None:
        super().__init__(n, **more)
        self.chance = random.Random(seed)
        self.loss, self.delays = loss, delays

    def send(self, source: Copy, target: Copy, event: Event) -> None:
        if not target.up or (source.name, target.name) in self.cuts:
            return
        if self.chance.random() >= self.loss:
            delay_ms = self.chance.choice(self.delays) if len(self.delays) > 1 else DELAY_MS
            self.at(self.now_ms + delay_ms, target, event)


def split(world: World, left: Iterable[str], right: Iterable[str]) -> None:
    """Nothing passes between two groups of copies."""
    others = tuple(right)
    for one in left:
        for other in others:
            world.cut(one, other)


def isolate(world: World, name: str) -> None:
    """Nothing passes to or from a copy."""
    split(world, [name], [copy.name for copy in world.copies if copy.name != name])


def heal(world: World) -> None:
    world.cuts.clear()


class Paused:
    """SIGSTOP: whatever comes waits; then all of it at once, its own timers first."""

    def __init__(self, copy: Copy) -> None:
        self.copy = copy
        self.waiting: list[Event] = []
        copy.take = self.waiting.append  # type: ignore[method-assign]

    def resume(self) -> None:
        del self.copy.take  # type: ignore[method-assign]
        self.copy.take(Woke())
        for event in self.waiting:
            if not isinstance(event, Woke):
                self.copy.take(event)


# What operators do.


def start(copy: Copy, mode: Mode = Mode.PLANNED, **more: Any) -> None:
    copy.take(HandoverAsked(mode=mode, url=copy.url, **more))


def over(copy: Copy) -> bool:
    return bool(copy.views) and copy.view.outcome is not None


def ended(copy: Copy) -> tuple[str | None, str | None]:
    """Outcome and code of a copy's newest session."""
    view = copy.view
    return view.outcome, None if view.error is None else view.error.code


def cosigns(
    world: World, new: Copy, names: Iterable[str], ttl_ms: int = 60_000
) -> tuple[Cosign, ...]:
    """Members' co-signatures of a forced handover to a copy."""
    state = authority(world)
    member = state.members.by_address[new.address]
    session = session_id(new.address, member.epoch, Mode.FORCED, member.instance, new.instance)
    return tuple(
        sign_cosign(
            new.address,
            member.epoch,
            session,
            expires_at_ms=EPOCH_MS + world.now_ms + ttl_ms,
            member=world[name].address,
            signer=world[name].signer,
        )
        for name in names
    )


# What the chain says.


def longest(world: World) -> Copy:
    return max(world.copies, key=lambda copy: copy.tip)


def authority(world: World) -> Authority:
    state = longest(world).disk.authority
    assert state is not None
    return state


def voter(world: World, address: str) -> PublicKey:
    """The decided voting instance of an address."""
    return authority(world).members.by_address[Address(address)].instance


def turns(world: World, address: str = "a0sas") -> list[Turn]:
    """What the chain did to the sessions of an address."""
    steps = longest(world).disk.steps
    return [step.turn for step in steps if step.session.address == address]
