"""The explorer's twin of the authority: the rules of HANDOVER.md once more, as dumbly as they go.

It shares no code with core/authority and is built the other way round: it knows no heights and no
signatures, only instance names and *ages* in blocks and milliseconds, all at most as old as a rule
can tell apart. One :class:`Twin` is one address; a :class:`World` all of them after some block.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from zmqnode.base.handover import Mode
from zmqnode.sim.explorer_actors import Op

Voter = tuple[str, int]  # Instance, epoch.


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The numbers of one small world."""

    n: int
    f: int
    slots: int
    veto_ms: int
    ack_ms: int
    cooldown_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """An open session: ages since the commit, the decision and the opening of the ack window."""

    op: Op
    blocks: int = 0
    ms: int = 0
    decided: int | None = None
    acking_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """One address.

    Args:
        voters: who votes at the heights tip - 1, tip, tip + 1, tip + 2.
        open: its open session.
        rest: blocks since a session closed, None if that no longer matters.
        planned_ms, takeover_ms: left of the cooldowns.
        named: instances that the genesis or a committed handover named.
        cancelled: (epoch, instance) of confirmed cancels.
        held: instances that were ever given the vote.
        effective: operations that had effect.
    """

    voters: tuple[Voter, Voter, Voter, Voter]
    open: Open | None = None
    rest: int | None = None
    planned_ms: int = 0
    takeover_ms: int = 0
    named: frozenset[str] = frozenset({"a"})
    cancelled: frozenset[tuple[int, str]] = frozenset()
    held: frozenset[str] = frozenset({"a"})
    effective: frozenset[Op] = frozenset()

    @property
    def decided(self) -> Voter:
        """The newest decision, in force or not."""
        return self.voters[3]


World = tuple[Twin, ...]
FOUNDED = Twin(voters=(("a", 0),) * 4)


def aged(world: World, dt_ms: int, rules: Rules) -> World:
    """The world at the start of the next block, ``dt_ms`` later."""
    return tuple(_aged(twin, dt_ms, rules) for twin in world)


def _aged(twin: Twin, dt_ms: int, rules: Rules) -> Twin:
    _, now, next_, after = twin.voters
    rest = None if twin.rest is None or twin.rest > rules.f else twin.rest + 1
    session = twin.open
    if session is not None:
        session = replace(
            session,
            blocks=min(session.blocks + 1, rules.n),
            ms=min(session.ms + dt_ms, rules.veto_ms),
            decided=None if session.decided is None else min(session.decided + 1, rules.n + 2),
            acking_ms=None
            if session.acking_ms is None
            else min(session.acking_ms + dt_ms, rules.ack_ms),
        )
    return replace(
        twin,
        voters=(now, next_, after, after),
        open=session,
        rest=rest,
        planned_ms=max(0, twin.planned_ms - dt_ms),
        takeover_ms=max(0, twin.takeover_ms - dt_ms),
    )


def allowed(world: World, op: Op, dt_ms: int, rules: Rules) -> bool:
    """Whether a well-signed operation has effect now, in a block ``dt_ms`` after the last."""
    twin = world[op.member]
    match op.kind:
        case "handover":
            return _may_open(world, op, dt_ms, rules)
        case "veto":
            return _is_open(twin, op) and twin.open is not None and twin.open.decided is None
        case "ack":
            decided = twin.open.decided if twin.open is not None else None
            return _is_open(twin, op) and decided is not None and decided >= 2
    if op.epoch != twin.decided[1]:
        return False
    if _is_pending(twin, op.new):
        return True
    return op.new not in twin.named and (op.epoch, op.new) not in twin.cancelled


def _is_open(twin: Twin, op: Op) -> bool:
    if twin.open is None:
        return False
    mine = twin.open.op
    return (mine.mode, mine.old, mine.new, mine.epoch) == (op.mode, op.old, op.new, op.epoch)


def _is_pending(twin: Twin, new: str) -> bool:
    return twin.open is not None and twin.open.decided is None and twin.open.op.new == new


def _may_open(world: World, op: Op, dt_ms: int, rules: Rules) -> bool:
    twin = world[op.member]
    if (op.old, op.epoch) != twin.decided or op.new in twin.named:
        return False
    if (op.epoch, op.new) in twin.cancelled:
        return False
    if op.expires_ms is not None and dt_ms > op.expires_ms:
        return False
    if op.mode is not Mode.PLANNED and rules.n < 3:
        return False
    forced = op.mode is Mode.FORCED
    if twin.open is not None:
        return forced
    if sum(one.open is not None for one in world) >= rules.slots:
        return False
    if forced:
        return True
    if twin.rest is not None and twin.rest < rules.f + 1:
        return False
    return (twin.planned_ms if op.mode is Mode.PLANNED else twin.takeover_ms) == 0


def taken(world: World, op: Op, rules: Rules) -> World:
    """The world after an allowed operation."""
    twin = world[op.member]
    plain = replace(op, expires_ms=None)
    twin = replace(twin, effective=twin.effective | {plain})
    if op.kind == "handover":
        if twin.open is not None:
            twin = _closed(twin, acked=False, rules=rules)
        twin = replace(twin, open=Open(op=plain), named=twin.named | {op.new})
        if op.mode is not Mode.TAKEOVER:
            twin = _decided(twin, op.new)
    elif op.kind == "cancel" and not _is_pending(twin, op.new):
        twin = replace(twin, cancelled=twin.cancelled | {(op.epoch, op.new)})
    else:
        if op.kind == "cancel":
            twin = replace(twin, cancelled=twin.cancelled | {(op.epoch, op.new)})
        twin = _closed(twin, acked=op.kind == "ack", rules=rules)
    return _with(world, op.member, twin)


def _decided(twin: Twin, instance: str) -> Twin:
    before, now, next_, after = twin.voters
    voters = (before, now, next_, (instance, after[1] + 1))
    session = None if twin.open is None else replace(twin.open, decided=0)
    return replace(twin, voters=voters, open=session, held=twin.held | {instance})


def _closed(twin: Twin, *, acked: bool, rules: Rules) -> Twin:
    assert twin.open is not None
    mode = twin.open.op.mode
    twin = replace(twin, open=None, rest=0)
    if acked or mode is Mode.FORCED:
        return twin
    if mode is Mode.PLANNED:
        return replace(twin, planned_ms=rules.cooldown_ms)
    return replace(twin, takeover_ms=rules.cooldown_ms)


def settled(world: World, carried: frozenset[int], rules: Rules) -> World:
    """The world after the operations: carried ballots of some members, then windows."""
    return tuple(_settled(twin, index in carried, rules) for index, twin in enumerate(world))


def _settled(twin: Twin, carried: bool, rules: Rules) -> Twin:
    session = twin.open
    # A block carries ballots of two blocks before: three blocks on, the first after the commit.
    if session is not None and session.decided is None and carried and session.blocks >= 3:
        twin = _closed(twin, acked=False, rules=rules)
    session = twin.open
    if session is None:
        return twin
    if session.decided is None:
        over = session.ms >= rules.veto_ms and session.blocks >= rules.n
        return _decided(twin, session.op.new) if over else twin
    if session.decided == 2 and session.acking_ms is None:
        return replace(twin, open=replace(session, acking_ms=0))
    if session.acking_ms is None:
        return twin
    if session.acking_ms < rules.ack_ms or session.decided < rules.n + 2:
        return twin
    twin = _closed(twin, acked=False, rules=rules)
    return _decided(twin, session.op.old) if session.op.mode is Mode.PLANNED else twin


def _with(world: World, member: int, twin: Twin) -> World:
    return (*world[:member], twin, *world[member + 1 :])
