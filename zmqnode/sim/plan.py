"""A plan: all that will go wrong in one run, as a value that is drawn from a seed or written.

A plan and the code together fix a run, down to the last byte of its transcript. Plans are JSON, so
a failing one is a file to keep (a *trace*), to shorten by hand and to run again.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from zmqnode.errors import Invalid

P = TypeVar("P")

NODES_MAX: Final = 25
HEIGHTS_MAX: Final = 100_000
PLANNED: Final = ("planned", "consent")  # Askings that cost no ballot.
ALL: Final = -1  # In place of a node's index: all of them at once.


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """How messages travel while faults last: microseconds, and chances in thousandths a message."""

    delay_us: int = 1_000
    jitter_us: int = 1_000  # Mean of what comes on top of the delay, with a tail.
    loss: int = 0
    duplicate: int = 0
    reorder: int = 0  # Held back by up to 50 times the delay and jitter.


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """From ``start_ms`` to ``end_ms`` nothing gets from ``sources`` to ``targets`` (one way)."""

    start_ms: int
    end_ms: int
    sources: tuple[int, ...]
    targets: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hush:
    """``targets`` are told nothing that shows that a height was decided at round 0.

    No ACCEPT of (height, 0), no ACCEPT VP of the height, nothing of later heights, until the faults
    end: the adversary that knows best which messages to lose. They have to go on to round 1 while
    others have a block.
    """

    height: int
    targets: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """A node (or all) loses power and is started again.

    Args:
        node: index, or ALL.
        trigger: what ``count`` counts: "time" (ms), "effect" (the node's effects since the start;
            of ALL: of all nodes), "init" or "accept" (published ballots of that stage).
        after: with the effect done, or just before it.
        down_ms: until it is started again.
        tail: what becomes of unsynced records: "lost", "partly" (a random prefix stays), "kept";
            or "amnesia": also ``forget`` synced records go, which makes it one of the f faulty.
    """

    node: int
    trigger: str = "time"
    count: int
    after: bool = False
    down_ms: int = 100
    tail: str = "partly"
    forget: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """A node's process stands still for ``ms`` and loses nothing: a busy machine, a paused one.

    What reached its sockets meanwhile is taken afterwards, one sender after the other.
    """

    node: int
    start_ms: int
    ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockJump:
    """At ``at_ms`` a node's wall clock is set ``offset_ms`` ahead of (or behind) the true time."""

    node: int
    at_ms: int
    offset_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """One node's disk: how long a sync takes, how far the store lags behind the journal."""

    sync_us: int = 0
    store_lag_ms: int = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How long the application takes: microseconds; ``slow`` in thousandths, then ``slow_ms``."""

    least_us: int = 200
    most_us: int = 2_000
    slow: int = 0
    slow_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Betrayal:
    """A member whose behaviour is that of a named adversary."""

    node: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """Seals submitted: how many, how far apart, when again.

    ``again``: thousandths that are sent once more after their commit; ``once``: thousandths whose
    client sends them only once, and relies on the members that accepted them. ``poison``: index of
    a seal whose execution kills the process of whoever tries (-1: none); it is sent once.
    """

    seals: int = 20
    every_ms: int = 100
    resend_ms: int = 700
    again: int = 200
    once: int = 200
    poison: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Standby:
    """A second copy of a member, with a disk and a key of its own.

    Its index as a node follows those of the members and of the standbys before it. ``auto_ms``:
    after how much silence of its address it takes over by itself (0: never).
    """

    member: int
    auto_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """At ``at_ms`` an operator asks a copy something, and again while it is down.

    ``what``: "planned", "takeover" or "forced" (to vote in its address's place), "cancel",
    "consent", "refuse".
    """

    node: int
    at_ms: int
    what: str = "planned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run, from its nodes and heights to each single fault.

    ``empty_block_interval_ms`` 0: no empty blocks; then the goal is that all seals are committed
    and all nodes have all blocks. ``heal_ms``: when the last fault ends at the latest; faults also
    end once the tallest chain is within ``heal_before`` heights of the goal. ``bound_ms``: how long
    the goal may take from then on. ``drift_node``: its application gives another result, from that
    height and that life of the node on (-1: none).
    """

    seed: int
    nodes: int = 4
    heights: int = 20
    heal_ms: int = 0
    heal_before: int = 4
    bound_ms: int = 60_000
    block_interval_ms: int = 0
    empty_block_interval_ms: int = 100
    seal_ttl_ms: int = 60_000
    links: Links = Links()
    cuts: tuple[Cut, ...] = ()
    hushes: tuple[Hush, ...] = ()
    crashes: tuple[Crash, ...] = ()
    dead: tuple[Crash, ...] = ()  # Never started again; down_ms is not read.
    stalls: tuple[Stall, ...] = ()
    clocks: tuple[int, ...] = ()  # Offset of each node's wall clock, ms; missing ones 0.
    jumps: tuple[ClockJump, ...] = ()
    disks: tuple[Disk, ...] = ()  # Of each node; missing ones the default.
    execution: Execution = Execution()
    betrayals: tuple[Betrayal, ...] = ()
    standbys: tuple[Standby, ...] = ()
    askings: tuple[Asking, ...] = ()
    asked_consent: tuple[int, ...] = ()  # Copies whose operator is asked for consent.
    veto_window_ms: int = 2_000
    ack_window_ms: int = 2_000
    handover_cooldown_ms: int = 1_000
    open_handovers_max: int = 1
    drift_node: int = -1
    drift_height: int = 0
    drift_life: int = 1
    clients: Clients = Clients()

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= NODES_MAX or not 1 <= self.heights <= HEIGHTS_MAX:
            raise ValueError("nodes or heights out of range")

    @property
    def faultless(self) -> bool:
        """Whether nothing at all goes wrong in this run."""
        return not (
            self.links.loss
            or self.links.duplicate
            or self.links.reorder
            or self.cuts
            or self.hushes
            or self.crashes
            or self.dead
            or self.stalls
            or self.jumps
            or self.execution.slow
            or self.betrayals
            or self.drift_node >= 0
            or self.clients.poison >= 0
            or any(self.clocks)
            or any(asking.what not in PLANNED for asking in self.askings)
        )


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON objects, lists and numbers."""
    return dataclasses.asdict(plan)


def plan_from_json(data: object) -> Plan:
    """The plan of :func:`plan_to_json`; raises Invalid for anything else."""
    try:
        return _read(Plan, data)
    except (TypeError, ValueError, KeyError) as error:
        raise Invalid("usage", f"no plan of a simulator run: {error}") from None


def _read(cls: type[P], data: object) -> P:
    if not isinstance(data, dict):
        raise TypeError(f"{cls.__name__}: expected an object")
    hints = typing.get_type_hints(cls)
    values: dict[str, object] = {}
    for name, item in data.items():
        if name not in hints:
            raise ValueError(f"{cls.__name__} has no {name!r}")
        values[name] = _read_field(hints[name], item, f"{cls.__name__}.{name}")
    return cls(**values)


def _read_field(hint: Any, item: object, label: str) -> object:
    if dataclasses.is_dataclass(hint):
        return _read(typing.cast("type[Any]", hint), item)
    if isinstance(hint, types.GenericAlias) and hint.__origin__ is tuple:
        if not isinstance(item, list | tuple):
            raise TypeError(f"{label}: expected a list")
        return tuple(_read_field(hint.__args__[0], one, label) for one in item)
    if type(item) is not hint:
        raise TypeError(f"{label}: expected {hint.__name__}")
    return item
