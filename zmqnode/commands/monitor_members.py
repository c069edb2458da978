"""Panels of rows: who may vote (or every node that is watched), the peers, the log's end.

Each gives a :class:`Listing`: columns, rows, and for each row what the detail page shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from zmqnode.commands.monitor_ink import (
    NO_VALUE,
    Column,
    Line,
    Marks,
    Rows,
    Span,
    fit,
    said,
    table,
    window,
)
from zmqnode.commands.monitor_picture import (
    KEY_CHARS,
    NodePicture,
    Picture,
    Room,
    clock,
    duration,
    number,
)

if TYPE_CHECKING:
    from zmqnode.client.answers import MemberInfo, PeerInfo
    from zmqnode.client.feed_answers import Snapshot, VotePoint

Pairs = tuple[tuple[str, str], ...]
STATE_STYLES: Final = {"CONSENSUS": "good", "BROKEN": "bad", "HANDOVER": "warn"}
LEVEL_STYLES: Final = {"warning": "warn", "error": "bad"}
LAG_WARN: Final = 5  # As `check --max-lag`.
CLOCK_WARN_MS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row: its cells, and the names and values of its detail page."""

    cells: tuple[Span, ...]
    detail: Pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Rows that a person can go through, filter and open."""

    columns: tuple[Column, ...]
    entries: tuple[Entry, ...]
    empty: str

    def matching(self, text: str) -> Listing:
        """The rows in which a text occurs, in any case."""
        wanted = text.casefold()
        if not wanted:
            return self
        kept = tuple(one for one in self.entries if wanted in _searched(one))
        return replace(self, entries=kept, empty=f"nothing matches {said(text)}")


def _searched(entry: Entry) -> str:
    shown = [text for text, _ in entry.cells]
    return " ".join([*shown, *(value for _, value in entry.detail)]).casefold()


def listed(listing: Listing, room: Room) -> tuple[Line, ...]:
    """A listing as a table with a heading; an empty one says so in a line."""
    listing = listing.matching(room.filter)
    if not listing.entries:
        return (((listing.empty, "dim"),),)
    cells = [entry.cells for entry in listing.entries]
    chosen = None if room.chosen is None else min(room.chosen, len(cells) - 1)
    rows = Rows(columns=listing.columns, cells=cells, chosen=chosen, lines=room.lines)
    return table(rows, room.columns, room.marks)


# Who may vote.

SUFFRAGE_COLUMNS: Final = (
    Column(title=""),
    Column(title="address"),
    Column(title="instance", rank=5),
    Column(title="epoch", right=True, rank=4),
    Column(title="state"),
    Column(title="height", right=True),
    Column(title="lag", right=True, rank=2),
    Column(title="INIT", right=True, rank=1),
    Column(title="ACCEPT", right=True, rank=1),
    Column(title="rtt ms", right=True, rank=3),
    Column(title="heard", right=True, rank=6),
    Column(title="clock ms", right=True, rank=7),
    Column(title="url", rank=8, cells_max=32),
)


def suffrage(picture: Picture, marks: Marks) -> Listing:
    """The members entitled at the next height, as the shown node sees them."""
    snapshot = _snapshot(picture)
    members = snapshot.node.suffrage.members
    entries = tuple(_member(snapshot, member, marks) for member in members)
    return Listing(columns=SUFFRAGE_COLUMNS, entries=entries, empty="nobody may vote")


def _member(snapshot: Snapshot, member: MemberInfo, marks: Marks) -> Entry:
    node = snapshot.node
    told, votes = snapshot.members.get(member.address), snapshot.votes.get(member.address)
    state, height, rtt_ms, clock_ms = (
        (None, None, None, None)
        if told is None
        else (told.state, told.height, told.rtt_ms, told.clock_offset_ms)
    )
    init = _voted(None if votes is None else votes.init)
    accept = _voted(None if votes is None else votes.accept)
    lag = None if height is None else max(0, node.tip_height - height)
    own = member.instance == node.instance
    heard_ms = member.last_seen_at_ms
    ago = NO_VALUE if heard_ms is None else duration(max(0, snapshot.at_ms - heard_ms))
    if not member.live:
        state_span: Span = ("silent" if heard_ms is not None else "unseen", "bad")
    else:
        state_span = (said(state or NO_VALUE), STATE_STYLES.get(state or "", ""))
    return Entry(
        cells=(
            (marks.up, "good") if member.live else (marks.down, "bad"),
            (said(member.address), "title" if own else ""),
            (member.instance[:KEY_CHARS], "dim"),
            number(member.epoch),
            state_span,
            number(height),
            number(lag, "warn" if lag is not None and lag > LAG_WARN else ""),
            init,
            accept,
            ("self", "dim") if own else number(rtt_ms),
            ("now" if own else ago, "dim"),
            number(clock_ms, "warn" if abs(clock_ms or 0) > CLOCK_WARN_MS else ""),
            (said(member.url), "dim"),
        ),
        detail=(
            ("address", said(member.address) + (" (this node)" if own else "")),
            ("live", "yes" if member.live else "no"),
            ("state", said(state or "unknown")),
            ("height", f"{height}, lag {lag}" if height is not None else "unknown"),
            ("epoch", str(member.epoch)),
            ("instance", said(member.instance)),
            ("public key", said(member.publickey)),
            ("url", said(member.url)),
            ("last INIT", init[0]),
            ("last ACCEPT", accept[0]),
            ("round trip", NO_VALUE if rtt_ms is None else f"{rtt_ms:.1f} ms"),
            ("clock offset", NO_VALUE if clock_ms is None else f"{clock_ms} ms"),
            ("last heard", "this node" if own else said(member.last_seen_at or "never")),
        ),
    )


def _voted(vote: VotePoint | None) -> Span:
    if vote is None:
        return (NO_VALUE, "dim")
    return (f"{vote.height}.{vote.round}", "warn" if vote.round else "")


# Every node that is watched.

NODE_COLUMNS: Final = (
    Column(title=""),
    Column(title="node"),
    Column(title="address", rank=2),
    Column(title="state"),
    Column(title="role"),
    Column(title="epoch", right=True, rank=1),
    Column(title="height", right=True),
    Column(title="lag", right=True),
    Column(title="last ballot", rank=3),
    Column(title="peers", right=True, rank=4),
    Column(title="seals", right=True, rank=5),
    Column(title="instance", rank=6),
    Column(title="url", rank=7, cells_max=32),
)


def nodes(picture: Picture, marks: Marks) -> Listing:
    """One row for every node that is watched, a standby too; the shown one has a pointer."""
    entries = tuple(
        _node(one, _height_before(picture, one), marks, here=one is picture.node)
        for one in picture.nodes
    )
    return Listing(columns=NODE_COLUMNS, entries=entries, empty="no nodes")


def _height_before(picture: Picture, one: NodePicture) -> int:
    """The greatest height known anywhere when a node's snapshot was taken.

    Snapshots come at different moments: one that is later and higher says nothing of a lag.
    """
    mine = one.snapshot
    return max(
        (
            other.snapshot.node.tip_height
            for other in picture.nodes
            if mine is not None
            and other.snapshot is not None
            and other.snapshot.at_ms <= mine.at_ms
        ),
        default=0,
    )


def _node(one: NodePicture, highest: int, marks: Marks, *, here: bool) -> Entry:
    name: Span = (said(one.name), "title" if here else "")
    pointer: Span = (marks.pointer, "key") if here else (" ", "")
    if one.snapshot is None or one.problem:
        known = None if one.snapshot is None else one.snapshot.node
        why = one.problem or "no picture yet"
        cells: list[Span] = [
            (marks.down, "bad"),
            name,
            ("" if known is None else said(known.address), ""),
            ("no answer", "bad"),
        ]
        cells += [(NO_VALUE, "dim")] * (len(NODE_COLUMNS) - len(cells))
        return Entry(cells=tuple(cells), detail=(("node", said(one.name)), ("state", said(why))))
    node = one.snapshot.node
    ballot = node.last_ballot
    last = "-" if ballot is None else f"{ballot.stage} {ballot.height}.{ballot.round}"
    lag = max(0, highest - node.height)
    return Entry(
        cells=(
            pointer if here else (marks.up, "good"),
            name,
            (said(node.address), ""),
            (said(node.state), STATE_STYLES.get(node.state, "")),
            (said(node.role), "" if node.role == "active" else "dim"),
            number(node.epoch),
            number(node.height),
            number(lag, "warn" if lag > LAG_WARN else ""),
            (said(last), ""),
            number(node.peers),
            number(node.pool.seals),
            (node.instance[:KEY_CHARS], "dim"),
            (said(node.url), "dim"),
        ),
        detail=(
            ("node", said(one.name)),
            ("address", said(node.address)),
            ("state", f"{node.state}, {node.role}"),
            ("height", f"{node.height}, lag {node.lag_blocks}"),
            ("block", node.block_hash),
            ("state root", node.state_root),
            ("instance", said(node.instance)),
            ("epoch", str(node.epoch)),
            ("url", said(node.url)),
            ("last ballot", said(last)),
            ("up", duration(one.snapshot.uptime_ms)),
            ("ignored ballots", str(node.ignored_ballots)),
            ("version", said(f"{node.version}, {node.app.name} {node.app.version}")),
        ),
    )


# Links.

PEER_COLUMNS: Final = (
    Column(title=""),
    Column(title="address"),
    Column(title="role", rank=4),
    Column(title="height", right=True, rank=2),
    Column(title="rtt ms", right=True, rank=1),
    Column(title="queue", right=True),
    Column(title="drops", right=True),
    Column(title="clock ms", right=True, rank=3),
    Column(title="strikes", right=True, rank=5),
    Column(title="epoch", right=True, rank=6),
    Column(title="instance", rank=7),
    Column(title="url", rank=8, cells_max=32),
)


def peers(picture: Picture, marks: Marks) -> Listing:
    """The shown node's links to other copies."""
    rows = _snapshot(picture).peers
    return Listing(
        columns=PEER_COLUMNS,
        entries=tuple(_peer(row, marks) for row in rows),
        empty="no peers: this node has met no other copy yet",
    )


def _peer(peer: PeerInfo, marks: Marks) -> Entry:
    offset = peer.clock_offset_ms
    rtt = NO_VALUE if peer.rtt_ms is None else f"{peer.rtt_ms:.1f} ms"
    return Entry(
        cells=(
            (marks.up, "good") if peer.connected else (marks.down, "bad"),
            (said(peer.address), ""),
            (said(peer.role), "dim"),
            number(peer.height),
            number(peer.rtt_ms),
            number(peer.queue_messages),
            number(peer.dropped, "warn" if peer.dropped else ""),
            number(offset, "warn" if abs(offset or 0) > CLOCK_WARN_MS else ""),
            number(peer.strikes, "warn" if peer.strikes else ""),
            number(peer.epoch),
            (peer.instance[:KEY_CHARS], "dim"),
            (said(peer.url), "dim"),
        ),
        detail=(
            ("address", said(peer.address)),
            ("connected", "yes" if peer.connected else "no"),
            ("role", f"{said(peer.role)}, epoch {peer.epoch}"),
            ("instance", said(peer.instance)),
            ("url", said(peer.url)),
            ("height", str(peer.height) if peer.height is not None else "unknown"),
            ("round trip", rtt),
            ("clock offset", NO_VALUE if offset is None else f"{offset} ms"),
            ("queue", f"{peer.queue_messages} messages"),
            ("dropped", f"{peer.dropped} messages"),
            ("strikes", str(peer.strikes)),
            ("last seen", said(peer.last_seen_at or "never")),
        ),
    )


# The log.

LOG_COLUMNS: Final = (Column(title="time"), Column(title="level"), Column(title="text"))


def log(picture: Picture, marks: Marks) -> Listing:
    """The newest lines of the shown node's log, the newest last."""
    entries = []
    for one in _snapshot(picture).log:
        mark = {"warning": marks.warning, "error": marks.cross}.get(one.level, " ")
        style = LEVEL_STYLES.get(one.level, "")
        entries.append(
            Entry(
                cells=(
                    (clock(one.at_ms), "dim"),
                    (f"{mark} {said(one.level):7}", style),
                    (said(one.text), style),
                ),
                detail=(
                    ("time", clock(one.at_ms) + " UTC"),
                    ("level", said(one.level)),
                    ("text", said(one.text)),
                ),
            )
        )
    return Listing(columns=LOG_COLUMNS, entries=tuple(entries), empty="nothing was logged yet")


def tail(listing: Listing, room: Room) -> tuple[Line, ...]:
    """A listing without a heading, its end first of all; texts go to the edge."""
    listing = listing.matching(room.filter)
    if not listing.entries:
        return (((listing.empty, "dim"),),)
    count = len(listing.entries)
    chosen = count - 1 if room.chosen is None else min(room.chosen, count - 1)
    first, last = window(count, chosen, room.lines)
    lines = []
    for at in range(first, last):
        line = fit(_joined(listing.entries[at].cells), room.columns, room.marks)
        if at == room.chosen:
            line = tuple((text, "chosen") for text, _ in line)
        lines.append(line)
    return tuple(lines)


def _joined(cells: Sequence[Span]) -> Line:
    out: list[Span] = []
    for span in cells:
        out += [("  ", ""), span] if out else [span]
    return tuple(out)


def _snapshot(picture: Picture) -> Snapshot:
    snapshot = picture.node.snapshot
    assert snapshot is not None, "views are asked only when there is a snapshot"
    return snapshot


ListingOf = Callable[[Picture, Marks], Listing]
