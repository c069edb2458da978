"""What one frame of the monitor shows: frozen snapshots of nodes, and how old they are.

Views get a :class:`Picture` and a :class:`Room` and nothing else: no clock, no terminal, no client.
Ages are by the monitor's own clock (or the recording's), what a snapshot tells of its node's past
is by that node's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from zmqnode.commands.monitor_ink import NO_VALUE, Line, Marks, Span

if TYPE_CHECKING:
    from zmqnode.client.feed_answers import Snapshot

STALE_MS: Final = 2_000  # A picture older than this, at an interval of a second or less, is old.
SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
KEY_CHARS: Final = 8  # Of a public key's text: enough to tell the copies of an address apart.


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePicture:
    """The newest snapshot of one node.

    Attributes:
        name: what the person calls it.
        snapshot: None until the first one came.
        heard_ms: when that was, by the clock of the picture.
        problem: why no more come just now; empty while they do.
        session: the last handover session seen here, open or over.
    """

    name: str
    snapshot: Snapshot | None = None
    heard_ms: int = 0
    problem: str = ""
    session: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """All nodes that are watched, at one moment.

    Attributes:
        at_ms: Unix ms, of the monitor's clock or of the recording.
        current: the node whose panels are shown; an index of ``nodes``.
        source: what it comes from, if it is no live node: "replay x2".
        stale_ms: a snapshot older than this is shown as old.
    """

    at_ms: int
    nodes: tuple[NodePicture, ...]
    current: int = 0
    source: str = ""
    stale_ms: int = STALE_MS

    @property
    def node(self) -> NodePicture:
        """The node whose panels are shown."""
        return self.nodes[min(self.current, len(self.nodes) - 1)]

    @property
    def age_ms(self) -> int:
        """How old the shown snapshot is."""
        return max(0, self.at_ms - self.node.heard_ms)

    @property
    def old(self) -> bool:
        """Whether what is shown is what was, not what is."""
        return self.node.problem != "" or self.age_ms > self.stale_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The room a view has.

    Attributes:
        columns: exactly so many cells a line.
        lines: at most so many lines; None: as many as it takes.
        chosen: the row a person is at, if the panel has rows and the focus.
        filter: rows without this text are left out; any case.
        whole: the panel has the screen for itself and shows all it knows.
    """

    columns: int
    lines: int | None
    marks: Marks
    chosen: int | None = None
    filter: str = ""
    whole: bool = False


def duration(ms: float) -> str:
    """A time span as a person says it: 80 ms, 1.2 s, 4 m 12 s, 3 h 04 m, 2 d 3 h."""
    if ms < SECOND_MS:
        return f"{max(0, round(ms))} ms"
    if ms < 10 * SECOND_MS:
        return f"{ms / SECOND_MS:.1f} s"
    if ms < MINUTE_MS:
        return f"{ms // SECOND_MS:.0f} s"
    if ms < HOUR_MS:
        return f"{ms // MINUTE_MS:.0f} m {ms % MINUTE_MS // SECOND_MS:02.0f} s"
    if ms < DAY_MS:
        return f"{ms // HOUR_MS:.0f} h {ms % HOUR_MS // MINUTE_MS:02.0f} m"
    return f"{ms // DAY_MS:.0f} d {ms % DAY_MS // HOUR_MS:.0f} h"


def amount(value: float) -> str:
    """Bytes or a count in three digits: 412, 1.2 k, 34 M."""
    size, units = float(value), ["", " k", " M", " G"]
    while size >= 999.5 and len(units) > 1:
        size /= 1000
        del units[0]
    return (f"{size:.1f}" if units[0] and size < 9.95 else f"{size:.0f}") + units[0]


def rate(value: float) -> str:
    """Something a second."""
    return f"{value:.1f}/s" if value < 99.95 else f"{value:.0f}/s"


def number(value: int | float | None, style: str = "") -> Span:
    """A cell with a number, or with nothing."""
    if value is None:
        return (NO_VALUE, "dim")
    return (f"{value:.1f}" if isinstance(value, float) else str(value), style)


def clock(at_ms: int) -> str:
    """The time of day, UTC, as HH:MM:SS."""
    seconds = at_ms // SECOND_MS % 86_400
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def plural(count: int, one: str, many: str = "") -> str:
    """``1 seal``, ``2 seals``."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def bar(share: float, columns: int, marks: Marks) -> Line:
    """A bar so many cells long, filled to a share from 0 to 1."""
    filled = min(columns, max(0, round(share * columns)))
    return ((marks.full * filled, "accent"), (marks.free * (columns - filled), "rule"))


def sparkline(values: tuple[int, ...], marks: Marks) -> str:
    """One cell a value, scaled to the greatest; nothing has a sign of its own."""
    top = max(values, default=0)
    steps = len(marks.levels) - 1
    # Above nothing is at least the first level: one block in a minute is not none.
    return "".join(
        marks.levels[-(-value * steps // top)] if value > 0 else marks.none for value in values
    )
