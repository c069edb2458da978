"""What must hold in the explored world: properties of one step of the chain, each with a name.

A check reads what the authority *announces* (who votes at which height), what it keeps open and
what it admits, and compares it with the step before and with the twin. The properties first, so
that a violation has the name of what it breaks; the plain comparison with the twin last.

Properties: ``one-entitled`` ``epochs`` ``keys-once`` ``cancelled`` ``ended`` ``windows`` ``veto``
``spent`` ``open-bounded`` ``crash`` ``twin`` here, ``judge`` ``replay`` ``forged`` ``closes`` in
explorer_search, ``two-signers`` in explorer_copies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from zmqnode.base.handover import Mode
from zmqnode.core import authority_state
from zmqnode.core.authority_entries import changes, entries, read_entries
from zmqnode.core.authority_state import Authority
from zmqnode.sim.explorer_actors import BASE_HEIGHT, BASE_MS, Actors, Op
from zmqnode.sim.explorer_twin import Rules, Twin, Voter, World

Finding = tuple[str, str]  # Property, what happened.


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One block of the explored chain."""

    before: Authority
    raw: Authority  # What the authority made of it ..
    after: Authority  # .. moved back to the base.
    world: World  # Of ``before``.
    aged: World  # At the start of the block.
    settled: World  # Of ``after``.
    ops: tuple[Op, ...]
    carried: frozenset[int]


class Checks:
    """The properties of one small world."""

    def __init__(self, actors: Actors, rules: Rules, members: tuple[int, ...]) -> None:
        self.actors = actors
        self.rules = rules
        self.members = members
        self.announced = lru_cache(maxsize=None)(self._announced)

    def _announced(self, state: Authority) -> tuple[tuple[Voter, ...], ...]:
        """For each watched member who votes at tip - 1, tip, tip + 1, tip + 2."""
        heights = range(BASE_HEIGHT - 1, BASE_HEIGHT + 3)
        suffrages = [authority_state.suffrage(state, height).members for height in heights]
        return tuple(
            tuple((self.actors.name(one[m].instance), one[m].epoch) for one in suffrages)
            for m in self.members
        )

    def step(self, taken: Taken) -> Iterator[Finding]:
        """What one block breaks."""
        yield from self._bounds(taken.after)
        yield from self._disk(taken)
        before, after = self.announced(taken.before), self.announced(taken.after)
        for place, member in enumerate(self.members):
            was, now = before[place], after[place]
            if was[1:] != now[:3]:
                yield "one-entitled", f"n{member}: {was[1:]} became {now[:3]}"
            yield from self._decision(taken, member, was[3], now[3])
            yield from self._spent(taken, member, now)
            yield from self._compare(taken.after, taken.settled[member], member, now)

    def _bounds(self, state: Authority) -> Iterator[Finding]:
        addresses = [one.address for one in state.sessions]
        if len(addresses) > self.rules.slots or len(set(addresses)) < len(addresses):
            yield "open-bounded", f"{len(addresses)} sessions are open"

    def _disk(self, taken: Taken) -> Iterator[Finding]:
        """A crashed node goes on from what is stored."""
        stored: dict[bytes, bytes | None] = dict(entries(taken.before))
        stored.update(changes(taken.before, taken.raw))
        left = sorted((key, value) for key, value in stored.items() if value is not None)
        if read_entries(left) != taken.raw:
            yield "crash", "the stored entries are not the state"

    def _decision(self, taken: Taken, member: int, was: Voter, now: Voter) -> Iterator[Finding]:
        """The decided row of one address went from ``was`` to ``now``."""
        if was == now:
            return
        twin, start = taken.world[member], taken.aged[member].open
        changed = sum(one.kind == "handover" and one.member == member for one in taken.ops) + 1
        if not was[1] < now[1] <= was[1] + changed:
            yield "epochs", f"n{member}: {was} became {now}"
        returns = start is not None and start.op.mode is Mode.PLANNED and now[0] == start.op.old
        if now[0] in twin.held and not returns:
            yield "keys-once", f"n{member}: {now[0]} votes again"
        if (now[1] - 1, now[0]) in twin.cancelled:
            yield "cancelled", f"n{member}: {now[0]} was cancelled, and votes"
        mine = [one for one in taken.ops if one.member == member]
        if start is None or any(one.kind == "handover" for one in mine):
            return
        if any(one.new == start.op.new for one in mine):
            yield "ended", f"n{member}: {now[0]} votes though its session was ended"
        if start.decided is None:
            if start.ms < self.rules.veto_ms or start.blocks < self.rules.n:
                yield "windows", f"n{member}: decided after {start.ms} ms, {start.blocks} blocks"
            if member in taken.carried and start.blocks >= 3:
                yield "veto", f"n{member}: taken over while it votes"
        elif start.acking_ms is None or start.acking_ms < self.rules.ack_ms:
            yield "windows", f"n{member}: returned after {start.acking_ms} ms"
        elif start.decided < self.rules.n + 2:
            yield "windows", f"n{member}: returned {start.decided} blocks after its decision"

    def _spent(self, taken: Taken, member: int, now: tuple[Voter, ...]) -> Iterator[Finding]:
        """A spent key that was used is never entitled again, so its holder may delete it."""
        address = self.actors.founding.members[member].address
        for name in sorted(taken.world[member].named):
            key = self.actors.key(member, name)
            if not authority_state.is_spent(taken.before, BASE_HEIGHT, address, key):
                continue
            waits = any(
                key == one.new_instance or (key == one.old_instance and one.mode is Mode.PLANNED)
                for one in taken.after.sessions
            )
            if waits or any(voter[0] == name for voter in now):
                yield "spent", f"n{member}: {name} was spent, and comes back"

    def _compare(
        self, state: Authority, twin: Twin, member: int, now: tuple[Voter, ...]
    ) -> Iterator[Finding]:
        if now != twin.voters:
            yield "twin", f"n{member}: {now}, the twin says {twin.voters}"
        address = self.actors.founding.members[member].address
        rest = state.rest(address)
        ends = (0, 0) if rest is None else (rest.planned_until_ms, rest.takeover_until_ms)
        left = tuple(max(0, end - BASE_MS) for end in ends)
        if left != (twin.planned_ms, twin.takeover_ms):
            yield "twin", f"n{member}: cooldowns {left}, not {twin.planned_ms, twin.takeover_ms}"
        session = state.session(address)
        if (session is None) != (twin.open is None):
            yield "twin", f"n{member}: the session is {session and 'open'}, not so the twin's"
        if session is None or twin.open is None:
            return
        mine = twin.open
        names = (self.actors.name(session.old_instance), self.actors.name(session.new_instance))
        same = names == (mine.op.old, mine.op.new) and session.mode is mine.op.mode
        if not same or (session.acts_height is None) != (mine.decided is None):
            yield "twin", f"n{member}: another session than {mine.op}"
