"""Draws plans from seeds: which faults, how hard, when. The names are those of ``--faults``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from random import Random
from typing import Any, Final

from zmqnode.errors import Invalid
from zmqnode.sim import betrayals
from zmqnode.sim.plan import (
    ALL,
    NODES_MAX,
    Betrayal,
    Clients,
    ClockJump,
    Crash,
    Cut,
    Disk,
    Execution,
    Hush,
    Links,
    Plan,
    Stall,
)
from zmqnode.sim.stories import tell

EFFECTS_A_HEIGHT: Final = 30  # Of one node, roughly; crashes by effect are drawn from this.
FAULTLESS_EVERY: Final = 10  # With all faults, every tenth seed has none.
BOUND_MS: Final = 60_000
CHANCE: Final = 0.35  # Of each mishap that may be drawn.
FAILING: Final = 0.8  # Of each of the f members: that it is dead, drifts or betrays.
TAILS: Final = ("lost", "partly", "partly", "kept")


class Draft:
    """A plan in the making: a generator, the time that faults fall into, who may fail."""

    def __init__(self, seed: int, nodes: int, heights: int) -> None:
        self.random = Random(f"zmqnode sim plan {seed}")
        self.seed = seed
        self.nodes = nodes
        self.heights = heights
        self.interval_ms = self.random.choice((20, 50, 50, 100, 200))
        self.block_ms = self.random.choice((0, 0, 0, 30))
        self.empty_ms = self.interval_ms if self.random.random() < 0.9 else 0
        self.span_ms = heights * (self.interval_ms + 40)
        self.may_fail = list(range(nodes))
        self.random.shuffle(self.may_fail)
        self.may_fail = self.may_fail[: (nodes - 1) // 3]
        self.fields: dict[str, Any] = {}
        self.links: dict[str, int] = {
            "delay_us": self.random.choice((100, 500, 2_000)),
            "jitter_us": self.random.choice((100, 500, 2_000)),
        }

    def time_ms(self) -> int:
        """Some moment of the faulty span."""
        return self.random.randint(0, self.span_ms)

    def some(self) -> tuple[int, ...]:
        """Some of the nodes, not all of them."""
        count = self.random.randint(1, max(1, self.nodes // 2))
        return tuple(sorted(self.random.sample(range(self.nodes), count)))

    def add(self, name: str, *items: object) -> None:
        """Append to a field that is a tuple."""
        self.fields[name] = (*self.fields.get(name, ()), *items)


def _delay(draft: Draft) -> None:
    draft.links["delay_us"] = draft.random.choice((5_000, 20_000, 60_000))
    draft.links["jitter_us"] = draft.random.choice((5_000, 30_000, 100_000))


def _loss(draft: Draft) -> None:
    draft.links["loss"] = draft.random.choice((10, 50, 100, 200, 300))


def _reorder(draft: Draft) -> None:
    draft.links["reorder"] = draft.random.choice((50, 200, 500))


def _duplicate(draft: Draft) -> None:
    draft.links["duplicate"] = draft.random.choice((20, 100, 300))


def _cut(draft: Draft) -> None:
    for _ in range(draft.random.randint(1, 4)):
        start = draft.time_ms()
        end = start + draft.random.randint(50, 3_000)
        sources, targets = draft.some(), draft.some()
        draft.add("cuts", Cut(start_ms=start, end_ms=end, sources=sources, targets=targets))


def _partition(draft: Draft) -> None:
    for _ in range(draft.random.randint(1, 2)):
        start = draft.time_ms()
        end = start + draft.random.randint(100, 4_000)
        one = draft.some()
        rest = tuple(node for node in range(draft.nodes) if node not in one)
        for sources, targets in ((one, rest), (rest, one)):
            draft.add("cuts", Cut(start_ms=start, end_ms=end, sources=sources, targets=targets))


def _hush(draft: Draft) -> None:
    """All but one or two honest ones are kept from knowing that a height was decided."""
    knowing = draft.random.randint(1, max(1, (draft.nodes - 1) // 3))
    targets = draft.random.sample(range(draft.nodes), max(0, draft.nodes - knowing))
    height = draft.random.randint(1, max(1, draft.heights - 6))
    draft.add("hushes", Hush(height=height, targets=tuple(sorted(targets))))


def _crash_of(draft: Draft, node: int) -> Crash:
    random = draft.random
    trigger = random.choice(("time", "effect", "effect", "init", "accept"))
    if trigger == "time":
        count = draft.time_ms()
    elif trigger == "effect":
        most = draft.heights * EFFECTS_A_HEIGHT * (draft.nodes if node == ALL else 1)
        count = random.randint(0, most)
    else:
        count = random.randint(1, draft.heights)
    return Crash(
        node=node,
        trigger=trigger if node != ALL or trigger in ("time", "effect") else "time",
        count=count,
        after=random.random() < 0.5,
        down_ms=random.choice((0, 1, 20, 300, 1_500)),
        tail=random.choice(TAILS),
    )


def _crash(draft: Draft) -> None:
    for _ in range(draft.random.randint(1, 5)):
        draft.add("crashes", _crash_of(draft, draft.random.randrange(draft.nodes)))


def _power(draft: Draft) -> None:
    for _ in range(draft.random.randint(1, 2)):
        draft.add("crashes", _crash_of(draft, ALL))


def _dead(draft: Draft) -> None:
    if draft.may_fail:
        draft.add("dead", _crash_of(draft, draft.may_fail.pop()))


def _slow_disk(draft: Draft) -> None:
    speeds = (0, 200, 2_000, 10_000)
    disks = [
        dataclasses.replace(disk, sync_us=draft.random.choice(speeds)) for disk in _disks(draft)
    ]
    draft.fields["disks"] = tuple(disks)


def _lagging_store(draft: Draft) -> None:
    lags = (0, 20, 1_000, 1_000_000)
    disks = [
        dataclasses.replace(disk, store_lag_ms=draft.random.choice(lags)) for disk in _disks(draft)
    ]
    draft.fields["disks"] = tuple(disks)


def _disks(draft: Draft) -> tuple[Disk, ...]:
    found: tuple[Disk, ...] = draft.fields.get("disks", (Disk(),) * draft.nodes)
    return found


def _slow_app(draft: Draft) -> None:
    draft.fields["execution"] = Execution(
        slow=draft.random.choice((20, 100, 300)),
        slow_ms=draft.random.choice((60, 300, 1_000, 3_000)),
    )


def _clock(draft: Draft) -> None:
    """Honest clocks stay within half the tolerance, which is what it is for."""
    draft.fields["clocks"] = tuple(draft.random.randint(-200, 200) for _ in range(draft.nodes))
    for _ in range(draft.random.randint(0, 2)):
        node = draft.random.randrange(draft.nodes)
        offset = draft.random.randint(-200, 200)
        draft.add("jumps", ClockJump(node=node, at_ms=draft.time_ms(), offset_ms=offset))


def _drift(draft: Draft) -> None:
    if draft.may_fail:
        draft.fields["drift_node"] = draft.may_fail.pop()
        draft.fields["drift_height"] = draft.random.randint(1, draft.heights)


def _busy(draft: Draft) -> None:
    draft.fields["clients"] = Clients(
        seals=draft.heights * draft.random.choice((3, 8)),
        every_ms=max(1, draft.interval_ms // 4),
        resend_ms=draft.random.choice((100, 300)),
        again=500,
    )
    draft.fields["seal_ttl_ms"] = draft.random.choice((1_000, 3_000, 20_000, 60_000))


def _poison(draft: Draft) -> None:
    """One seal kills whoever executes it, as long as it lives."""
    draft.fields["seal_ttl_ms"] = draft.random.choice((1_500, 60_000))
    every_ms = max(1, draft.interval_ms // 2)
    poison = draft.random.randrange(draft.heights)
    draft.fields["clients"] = Clients(seals=draft.heights, every_ms=every_ms, poison=poison)


def _stall(draft: Draft) -> None:
    """Copies stand still, for moments most often."""
    random = Random(f"zmqnode sim stalls {draft.seed}")  # What else is drawn stays the same.
    copies = draft.nodes + len(draft.fields.get("standbys", ()))
    for _ in range(random.randint(1, 6)):
        start_ms = random.randint(0, draft.span_ms)
        ms = random.choice((30, 30, 80, 80, 250, 1_000, 4_000))
        draft.add("stalls", Stall(node=random.randrange(copies), start_ms=start_ms, ms=ms))


def _handover(draft: Draft) -> None:
    """Operators hand votes over, whatever else happens."""
    tell(draft, calm=False)


def _traitor(name: str) -> Callable[[Draft], None]:
    def betray(draft: Draft) -> None:
        if not draft.may_fail:
            return
        node = draft.may_fail.pop()
        draft.add("betrayals", Betrayal(node=node, name=name))
        if name == "amnesiac":
            crash = _crash_of(draft, node)
            forget = draft.random.randint(1, 40)
            draft.add("crashes", dataclasses.replace(crash, tail="lost", forget=forget))

    return betray


MISHAPS: Final[dict[str, Callable[[Draft], None]]] = {
    "delay": _delay,
    "loss": _loss,
    "reorder": _reorder,
    "duplicate": _duplicate,
    "cut": _cut,
    "partition": _partition,
    "hush": _hush,
    "crash": _crash,
    "power": _power,
    "dead": _dead,
    "slow-disk": _slow_disk,
    "lagging-store": _lagging_store,
    "slow-app": _slow_app,
    "clock": _clock,
    "drift": _drift,
    "busy": _busy,
    "poison": _poison,
}
STALL: Final = "stall"
STALLS: Final = 0.3  # Share of the faulty seeds in which copies stand still.
HANDOVER: Final = "handover"
HANDOVERS: Final = 0.5  # Share of the seeds of all faults in which votes are handed over.
RARE: Final = ("poison",)  # By name, or in every tenth seed.
RARELY: Final = 0.1
FAILURES: Final = ("dead", "drift")  # Mishaps that make a member one of the f faulty.
TRAITORS: Final = {name: _traitor(name) for name in betrayals.NAMES}
# Last, so that handovers happen among all other faults of a plan.
FAULTS: Final[dict[str, Callable[[Draft], None]]] = {
    **MISHAPS,
    **TRAITORS,
    HANDOVER: _handover,
    STALL: _stall,
}


def read_faults(names: tuple[str, ...]) -> tuple[str, ...]:
    """The faults of ``--faults``: "all", "none" or names; raises Invalid for an unknown one."""
    if names == ("none",):
        return ()
    if "all" in names:
        return tuple(FAULTS)
    for name in names:
        if name not in FAULTS:
            known = ", ".join(("all", "none", *FAULTS))
            raise Invalid("usage", f"no fault is named {name!r:.40}", hint=f"they are: {known}")
    return tuple(name for name in FAULTS if name in names)


def draw_plan(seed: int, *, nodes: int = 4, heights: int = 20, faults: tuple[str, ...]) -> Plan:
    """The plan of a seed. Given a few faults, each of them happens; of all, some do."""
    if not 1 <= nodes <= NODES_MAX:
        raise Invalid("usage", f"nodes: expected 1 to {NODES_MAX}, not {nodes}")
    draft = Draft(seed, nodes, heights)
    if len(faults) == len(FAULTS):
        faults = _some_of(draft, seed)
        if Random(f"zmqnode sim handover {seed}").random() < HANDOVERS:
            if faults:
                faults = (*faults, HANDOVER)
            else:
                tell(draft, calm=True)
        if faults and Random(f"zmqnode sim stall {seed}").random() < STALLS:
            faults = (*faults, STALL)
    for name in faults:
        FAULTS[name](draft)
    if "clients" not in draft.fields:
        every_ms = max(1, draft.interval_ms // 2)
        draft.fields["clients"] = Clients(seals=heights, every_ms=every_ms)
    return Plan(
        seed=seed,
        nodes=nodes,
        heights=heights,
        heal_ms=draft.span_ms + 3_000 if faults else 0,
        # Every traitor may lead some heights, and after a partition D may stand at its 2 s.
        bound_ms=BOUND_MS * max(1, (nodes - 1) // 3),
        block_interval_ms=draft.block_ms,
        empty_block_interval_ms=draft.empty_ms,
        links=Links(**draft.links),
        **draft.fields,
    )


def _some_of(draft: Draft, seed: int) -> tuple[str, ...]:
    """Some mishaps, and something for most of the f who may fail; every tenth seed nothing."""
    random = draft.random
    if seed % FAULTLESS_EVERY == FAULTLESS_EVERY - 1:
        return ()
    chosen = []
    for name in MISHAPS:
        if name not in FAILURES and random.random() < (RARELY if name in RARE else CHANCE):
            chosen.append(name)
    for _ in draft.may_fail:
        if random.random() < FAILING:
            which = random.randrange(len(TRAITORS) + len(FAILURES) + 1)
            chosen.append([*TRAITORS, *FAILURES, "dead"][which])  # Dead twice as often.
    return tuple(chosen)
