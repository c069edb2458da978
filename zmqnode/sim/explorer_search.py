"""The search of the explorer: states at one base, every block that can follow, breadth first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from zmqnode.base.ballot import Fact
from zmqnode.base.handover import Mode
from zmqnode.base.hashes import ZERO
from zmqnode.base.keys import Signature
from zmqnode.base.params import Params
from zmqnode.base.point import Stage
from zmqnode.base.voteproof import Voteproof
from zmqnode.core import authority, authority_judging
from zmqnode.core.authority_state import Authority, Context, Rest, Session, Superseded
from zmqnode.sim.explorer_actors import BASE_HEIGHT, BASE_MS, INSTANCES, Actors, Op
from zmqnode.sim.explorer_checks import Checks, Taken
from zmqnode.sim.explorer_copies import Crowd, after_block, stirred
from zmqnode.sim.explorer_twin import FOUNDED, Rules, World, aged, allowed, settled, taken

SOON_MS: Final = 20
LATE_MS: Final = 80
PARAMS: Final = Params(
    veto_window_ms=120,
    ack_window_ms=120,
    time_tolerance_ms=20,
    ready_ttl_ms=100,
    handover_cooldown_ms=100,
)
ALL_MODES: Final = (Mode.PLANNED, Mode.TAKEOVER, Mode.FORCED)
CLOSING_BLOCKS_MAX: Final = 40  # More than two windows and the lag between them take.


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One small world to explore.

    Args:
        n: members.
        instances: of each watched member, genesis's included; n0 and so on are watched.
        operations: handovers that may be committed in all.
        cancels: whether the identity key may cancel.
        pairs: whether a block may hold two system operations.
        lagging: whether the copies of n0 are explored too.
        expires_ms: handovers are signed before the block that takes them, good for so long.
        slots: ``open_handovers_max``.
    """

    name: str
    n: int
    instances: tuple[int, ...]
    operations: int
    cancels: bool = True
    pairs: bool = True
    lagging: bool = False
    expires_ms: int | None = None
    modes: tuple[Mode, ...] = ALL_MODES
    slots: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A state of the graph, after its newest block, which is at the base."""

    state: Authority
    world: World
    signed: tuple[Op, ...] = ()  # Handovers that wait, where they expire.
    crowd: Crowd | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A property that broke on the way out of a node."""

    property: str
    message: str
    node: Node
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """System operations of a block so far, and what they made of the state."""

    ops: tuple[Op, ...]
    state: Authority
    world: World


Transition = tuple[str, Node, list[tuple[str, str]]]  # Action, what follows, what breaks.


class Search:
    """All states of one scenario. ``run`` yields what breaks; then the counts are final."""

    def __init__(self, scenario: Scenario, states_max: int) -> None:
        self.scenario = scenario
        self.states_max = states_max
        self.actors = Actors(scenario.n, replace(PARAMS, open_handovers_max=scenario.slots))
        founding = self.actors.founding
        self.rules = Rules(
            n=founding.n,
            f=founding.f,
            slots=max(1, min(scenario.slots, founding.f)),
            veto_ms=PARAMS.veto_window_ms,
            ack_ms=PARAMS.ack_window_ms,
            cooldown_ms=PARAMS.handover_cooldown_ms,
        )
        self.members = tuple(range(len(scenario.instances)))
        self.checks = Checks(self.actors, self.rules, self.members)
        self.seen: dict[Node, tuple[Node, str] | None] = {}
        self.transitions = 0
        self.complete = True
        self._probed: set[tuple[Authority, World]] = set()
        self._known_blocks: dict[Node, list[Transition]] = {}
        self._states: dict[Authority, Authority] = {}

    def run(self) -> Iterator[Finding]:
        """Explore; a finding ends nothing, the caller may."""
        state = authority.founded(self.actors.founding)
        world = tuple(FOUNDED for _ in self.members)
        crowd = Crowd.founded(state, self.scenario.instances[0]) if self.scenario.lagging else None
        first = Node(state=state, world=world, crowd=crowd)
        self.seen[first] = None
        waiting = deque([first])
        while waiting:
            node = waiting.popleft()
            yield from self._probe(node)
            for action, following, findings in self._follow(node):
                self.transitions += 1
                for name, message in findings:
                    yield Finding(property=name, message=message, node=node, action=action)
                if following in self.seen or findings:
                    continue
                if len(self.seen) >= self.states_max:
                    self.complete = False
                    return
                self.seen[following] = (node, action)
                waiting.append(following)

    def trace(self, finding: Finding) -> tuple[str, ...]:
        """The blocks from genesis to a finding."""
        steps = [finding.action]
        before = self.seen[finding.node]
        while before is not None:
            steps.append(before[1])
            before = self.seen[before[0]]
        return tuple(reversed(steps))

    # What can follow.

    def _follow(self, node: Node) -> Iterator[Transition]:
        for action, following, findings in self._blocks(replace(node, crowd=None)):
            if node.crowd is None:
                yield action, following, findings
                continue
            crowd, conflict = after_block(node.crowd, node.state, following.state, self.checks)
            yield action, replace(following, crowd=crowd), [*findings, *conflict]
        if self.scenario.expires_ms is not None and not node.signed:
            for op in self._fresh(node):
                signed = replace(op, expires_ms=self.scenario.expires_ms)
                yield f"sign {op}", replace(node, signed=(signed,)), []
        if node.crowd is not None:
            for action, crowd, conflict in stirred(node.crowd, node.state, self.checks):
                yield action, replace(node, crowd=crowd), conflict

    def _blocks(self, node: Node) -> list[Transition]:
        """All blocks that can follow; whatever the copies know."""
        known = self._known_blocks.get(node)
        if known is not None:
            return known
        found: list[Transition] = []
        for dt_ms in (SOON_MS, LATE_MS):
            context = self.actors.context(dt_ms)
            findings: list[tuple[str, str]] = []
            drafts = list(self._drafts(node, context, dt_ms, findings))
            if findings:
                found.append((f"block after {dt_ms} ms", node, findings))
            for draft in drafts:
                found.extend(
                    self._block(node, draft, carried, dt_ms) for carried in self._carried(node)
                )
        if self.scenario.lagging:
            self._known_blocks[node] = found
        return found

    def _carried(self, node: Node) -> Iterator[frozenset[int]]:
        """Whose ballots the value carries: nobody's, or everybody's who has a session open."""
        yield frozenset()
        voting = frozenset(m for m in self.members if node.world[m].open is not None)
        if voting:
            yield voting

    def _drafts(
        self, node: Node, context: Context, dt_ms: int, findings: list[tuple[str, str]]
    ) -> Iterator[Draft]:
        start = Draft(ops=(), state=node.state, world=aged(node.world, dt_ms, self.rules))
        yield start
        firsts = list(self._extended(node, start, context, dt_ms, findings))
        yield from firsts
        if self.scenario.pairs:
            for draft in firsts:
                yield from self._extended(node, draft, context, dt_ms, findings)

    def _extended(
        self,
        node: Node,
        draft: Draft,
        context: Context,
        dt_ms: int,
        findings: list[tuple[str, str]],
    ) -> Iterator[Draft]:
        """A draft with one more operation; what the authority and the twin disagree on is found."""
        for op in self._candidates(node, draft.world):
            operation = self.actors.signed(op, draft.state)
            valid = authority_judging.judge(draft.state, operation, context) is None
            if valid and replace(op, expires_ms=None) in draft.world[op.member].effective:
                findings.append(("replay", f"{op} takes effect twice"))
            if valid != allowed(draft.world, op, dt_ms, self.rules):
                findings.append(("judge", f"{op}: {'taken' if valid else 'refused'}"))
            elif valid:
                state, _ = authority.take_effect(draft.state, operation, context)
                world = taken(draft.world, op, self.rules)
                yield Draft(ops=(*draft.ops, op), state=state, world=world)

    def _candidates(self, node: Node, world: World) -> Iterator[Op]:
        """All that could ever have been signed; old operations among them."""
        for member in self.members:
            twin = world[member]
            for op in sorted(twin.effective, key=str):
                if op.kind == "handover":
                    yield op
                    yield replace(op, kind="ack")
                    if op.mode is Mode.TAKEOVER:
                        yield replace(op, kind="veto")
            if self.scenario.cancels:
                for new in self._names(world, member):
                    for epoch in range(max(0, twin.decided[1] - 1), twin.decided[1] + 1):
                        yield Op(
                            kind="cancel", member=member, mode=None, old="", new=new, epoch=epoch
                        )
        if self.scenario.expires_ms is None:
            yield from self._fresh(node, world)
        else:
            yield from node.signed

    def _fresh(self, node: Node, world: World | None = None) -> Iterator[Op]:
        """Handovers that were not committed yet, as long as more may be."""
        world = node.world if world is None else world
        committed = sum(op.kind == "handover" for twin in world for op in twin.effective)
        if committed >= self.scenario.operations:
            return
        for member in self.members:
            rows = sorted({*world[member].voters, ("a", 0)})
            for mode in self.scenario.modes:
                for old, epoch in rows:
                    for new in self._names(world, member):
                        op = Op(
                            kind="handover", member=member, mode=mode, old=old, new=new, epoch=epoch
                        )
                        if old != new and op not in world[member].effective:
                            yield op

    def _names(self, world: World, member: int) -> list[str]:
        """Instances somebody named, and the first of the others, which are all alike."""
        twin = world[member]
        all_names = INSTANCES[: self.scenario.instances[member]]
        cancelled = [name for _, name in sorted(twin.cancelled)]
        touched = [name for name in all_names if name in twin.named or name in cancelled]
        fresh = [name for name in all_names if name not in touched]
        return touched + fresh[:1]

    # A block.

    def _block(self, node: Node, draft: Draft, carried: frozenset[int], dt_ms: int) -> Transition:
        context = self.actors.context(dt_ms)
        operations = []
        working = node.state
        for op in draft.ops:
            operation = self.actors.signed(op, working)
            operations.append(operation)
            working, _ = authority.take_effect(working, operation, context)
        told = ", ".join(map(str, draft.ops)) or "nothing"
        votes = f", carrying {sorted(carried)}" if carried else ""
        action = f"block after {dt_ms} ms: {told}{votes}"
        voteproof = self._voteproof(carried)
        try:
            after, _ = authority.advance(node.state, operations, voteproof, context)
        except authority.Ineffective as error:
            return action, node, [("judge", f"a valid block is refused: {error}")]
        world = settled(draft.world, carried, self.rules)
        start = aged(node.world, dt_ms, self.rules)
        based = self._based(after, dt_ms)
        step = Taken(
            before=node.state,
            after=based,
            raw=after,
            world=node.world,
            aged=start,
            settled=world,
            ops=draft.ops,
            carried=carried,
        )
        findings = list(self.checks.step(step))
        signed = tuple(_older(op, dt_ms) for op in node.signed)
        following = Node(state=based, world=world, signed=signed)
        return action, following, findings

    def _voteproof(self, carried: frozenset[int]) -> Voteproof:
        """The ACCEPT VP of the block before the base; the others always vote."""
        fact = Fact(height=BASE_HEIGHT - 1, round=0, stage=Stage.ACCEPT, value=ZERO, block=ZERO)
        voters = [
            member.address
            for index, member in enumerate(self.actors.founding.members)
            if index in carried or index not in self.members
        ] or [self.actors.founding.members[-1].address]
        nothing = Signature(bytes(64))
        return Voteproof(fact=fact, signatures=tuple((one, nothing) for one in voters))

    def _based(self, state: Authority, dt_ms: int) -> Authority:
        """The state one block on, moved back to the base; ages no older than rules can tell."""
        based = rebased(state, dt_ms, self.rules)
        return self._states.setdefault(based, based)

    # Forgeries.

    def _probe(self, node: Node) -> Iterator[Finding]:
        """In every state no forgery has effect, and every open session closes by itself."""
        if (node.state, node.world) in self._probed:
            return
        self._probed.add((node.state, node.world))
        context = self.actors.context(SOON_MS)
        start = aged(node.world, SOON_MS, self.rules)
        for op in self._candidates(node, start):
            operation = self.actors.signed(op, node.state)
            if authority_judging.judge(node.state, operation, context) is not None:
                continue
            for what, forged in self.actors.forgeries(op, node.state):
                if authority_judging.judge(node.state, forged, context) is None:
                    message = f"{op} {what} is taken"
                    yield Finding(property="forged", message=message, node=node, action=what)
            if self.scenario.pairs:
                yield from self._probe_pairs(node, op, start, context)
        if node.state.sessions and not self._closes(node.state):
            message = f"a session is open after {CLOSING_BLOCKS_MAX} blocks"
            yield Finding(property="closes", message=message, node=node, action="empty blocks")

    def _probe_pairs(
        self, node: Node, first: Op, start: World, context: Context
    ) -> Iterator[Finding]:
        """A block whose second operation has no effect after the first is refused whole."""
        operation = self.actors.signed(first, node.state)
        state, _ = authority.take_effect(node.state, operation, context)
        world = taken(start, first, self.rules)
        for op in self._candidates(node, world):
            if allowed(world, op, SOON_MS, self.rules):
                continue
            try:
                authority.take_operations(
                    node.state, (operation, self.actors.signed(op, state)), context
                )
            except authority.Ineffective:
                continue
            message = f"{op} is taken after {first}"
            yield Finding(property="judge", message=message, node=node, action="block of two")

    def _closes(self, state: Authority) -> bool:
        context = self.actors.context(LATE_MS)
        for _ in range(CLOSING_BLOCKS_MAX):
            state, _ = authority.advance(state, (), None, context)
            state = rebased(state, LATE_MS, self.rules)
            if not state.sessions:
                return True
        return False


def _older(op: Op, dt_ms: int) -> Op:
    assert op.expires_ms is not None
    return replace(op, expires_ms=max(-1, op.expires_ms - dt_ms))


def rebased(state: Authority, dt_ms: int, rules: Rules) -> Authority:
    """The state after block base + 1 as if that were the base: all heights and times moved back."""
    if not state.superseded and not state.sessions and not state.rests:
        return state

    def session(one: Session) -> Session:
        pending = one.acts_height is None
        opened = max(one.opened_height - 1, BASE_HEIGHT - rules.n)
        opened_ms = max(one.opened_ms - dt_ms, BASE_MS - rules.veto_ms)
        return replace(
            one,
            opened_height=opened if pending else BASE_HEIGHT - rules.n,
            opened_ms=opened_ms if pending else BASE_MS - rules.veto_ms,
            acts_height=None
            if one.acts_height is None
            else max(one.acts_height - 1, BASE_HEIGHT - rules.n),
            acking_ms=None
            if one.acking_ms is None
            else max(one.acking_ms - dt_ms, BASE_MS - rules.ack_ms),
        )

    def rest(one: Rest) -> Rest | None:
        closed = max(one.closed_height - 1, BASE_HEIGHT - rules.f - 1)
        planned, takeover = (
            0 if until - dt_ms <= BASE_MS else until - dt_ms
            for until in (one.planned_until_ms, one.takeover_until_ms)
        )
        if closed <= BASE_HEIGHT - rules.f - 1 and not planned and not takeover:
            return None
        return replace(
            one, closed_height=closed, planned_until_ms=planned, takeover_until_ms=takeover
        )

    def row(one: Superseded) -> Superseded:
        return replace(one, last_height=one.last_height - 1)

    return replace(
        state,
        superseded=tuple(map(row, state.superseded)),
        sessions=tuple(map(session, state.sessions)),
        rests=tuple(filter(None, map(rest, state.rests))),
    )
