"""Draws handovers into a plan: standbys, what operators ask of them and when, what goes wrong.

Each story is something that operators do to one address: a handover and the way back, a takeover of
a copy that is dead, cut off or alive, a forced one, a cancel that races with the commit, two
standbys at once, a spare that takes over by itself, a new copy that dies right after the switch.
All else that may go wrong in the plan goes wrong around them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final

from zmqnode.sim.plan import Asking, Crash, Cut, Disk, Hush, Standby

if TYPE_CHECKING:
    from zmqnode.sim.faults import Draft

STANDBYS_MOST: Final = 3
BEGIN_MS: Final = 400  # A standby has caught up and has links by then.
SETTLED_MS: Final = 900  # A planned handover without trouble is over by then.
LONGER_MOST: Final = 60  # Heights that faults last longer, for handovers to happen among them.
STORIES_MOST: Final = 2
TAILS: Final = ("lost", "partly", "kept")


class Telling:
    """The stories of one plan in the making; ``calm``: nothing but planned handovers."""

    def __init__(self, draft: Draft, *, calm: bool) -> None:
        self.draft = draft
        self.calm = calm
        self.random = Random(f"zmqnode sim handovers {draft.seed}")
        self.standbys: list[Standby] = []

    def standby(self, member: int, auto_ms: int = 0) -> int:
        """One more copy of a member: its index as a node."""
        index = self.draft.nodes + len(self.standbys)
        self.standbys.append(Standby(member=member, auto_ms=auto_ms))
        self._share_lot(index)
        return index

    def _share_lot(self, index: int) -> None:
        """It is cut off and kept from knowing together with some member, any one."""
        fields = self.draft.fields
        fellow = self.random.randrange(self.draft.nodes)

        def joined(nodes: tuple[int, ...]) -> tuple[int, ...]:
            return (*nodes, index) if fellow in nodes else nodes

        cuts: tuple[Cut, ...] = fields.get("cuts", ())
        if cuts:
            fields["cuts"] = tuple(
                dataclasses.replace(one, sources=joined(one.sources), targets=joined(one.targets))
                for one in cuts
            )
        hushes: tuple[Hush, ...] = fields.get("hushes", ())
        if hushes:
            fields["hushes"] = tuple(
                dataclasses.replace(one, targets=joined(one.targets)) for one in hushes
            )
        disks: tuple[Disk, ...] = fields.get("disks", ())
        if disks:
            fields["disks"] = (*disks, self.random.choice(disks))
        clocks: tuple[int, ...] = fields.get("clocks", ())
        if clocks:
            fields["clocks"] = (*clocks, self.random.randint(-200, 200))

    def ask(self, node: int, what: str, at_ms: int) -> None:
        """An operator asks."""
        self.draft.add("askings", Asking(node=node, at_ms=at_ms, what=what))

    def moment(self) -> int:
        """When a story may begin."""
        return BEGIN_MS + self.random.randint(0, max(1, self.draft.span_ms))

    def crash(self, node: int, at_ms: int) -> None:
        """A copy loses power around a moment."""
        crash = Crash(
            node=node,
            count=at_ms + self.random.randint(0, SETTLED_MS),
            after=self.random.random() < 0.5,
            down_ms=self.random.choice((0, 20, 300, 1_500)),
            tail=self.random.choice(TAILS),
        )
        self.draft.add("crashes", crash)

    def failing(self) -> int:
        """A member that fails in this plan, or any."""
        fields = self.draft.fields
        known = [one.node for one in (*fields.get("dead", ()), *fields.get("betrayals", ()))]
        known = [node for node in known if 0 <= node < self.draft.nodes]
        return self.random.choice(known) if known else self.random.randrange(self.draft.nodes)

    def any_member(self) -> int:
        """Any member."""
        return self.random.randrange(self.draft.nodes)


def _planned(told: Telling) -> None:
    """There, perhaps back, perhaps there again; copies may lose power on the way."""
    member, at_ms = told.any_member(), told.moment()
    standby = told.standby(member)
    for turn in range(told.random.randint(1, 3)):
        node = (standby, member)[turn % 2]
        told.ask(node, "planned", at_ms)
        if not told.calm and told.random.random() < 0.4:
            told.crash(told.random.choice((standby, member)), at_ms)
        at_ms += SETTLED_MS + told.random.randint(0, 2 * SETTLED_MS)


def _takeover(told: Telling) -> None:
    """Of one that is dead, cut off or well; a planned one may be tried first."""
    member, at_ms = told.failing(), told.moment()
    standby = told.standby(member)
    if told.random.random() < 0.3:
        told.ask(standby, "planned", at_ms)
    told.ask(standby, "takeover", at_ms + told.random.randint(0, SETTLED_MS))
    if told.random.random() < 0.5:
        _cut_off(told, (member,), at_ms)


def _forced(told: Telling) -> None:
    """Of one that misbehaves, or does not; perhaps while another handover is open."""
    member, at_ms = told.failing(), told.moment()
    standby = told.standby(member)
    if told.random.random() < 0.4:
        other = told.standby(member)
        told.ask(other, told.random.choice(("planned", "takeover")), at_ms)
        at_ms += told.random.randint(0, SETTLED_MS)
    told.ask(standby, "forced", at_ms)


def _cancelled(told: Telling) -> None:
    """A cancel that races with the commit, on either copy."""
    member, at_ms = told.any_member(), told.moment()
    standby = told.standby(member)
    told.ask(standby, told.random.choice(("planned", "planned", "takeover")), at_ms)
    node = told.random.choice((standby, standby, member))
    told.ask(node, "cancel", at_ms + told.random.randint(0, SETTLED_MS))
    if told.random.random() < 0.5:
        told.ask(standby, "planned", at_ms + 2 * SETTLED_MS)


def _rivals(told: Telling) -> None:
    """Two copies want the same vote at the same time."""
    member, at_ms = told.any_member(), told.moment()
    for _ in range(2):
        what = told.random.choice(("planned", "planned", "takeover"))
        told.ask(told.standby(member), what, at_ms + told.random.randint(0, 100))


def _spare(told: Telling) -> None:
    """A spare takes over by itself from one that fails, or is away for a while."""
    member, at_ms = told.failing(), told.moment()
    told.standby(member, auto_ms=told.random.choice((300, 1_000, 2_000)))
    if told.random.random() < 0.5:
        _cut_off(told, (member,), at_ms)


def _dying(told: Telling) -> None:
    """The new copy dies for good around the switch: the vote goes back, nobody does anything."""
    draft, at_ms = told.draft, told.moment()
    if not draft.may_fail:
        _planned(told)
        return
    member = draft.may_fail.pop()
    standby = told.standby(member)
    told.ask(standby, "planned", at_ms)
    if told.random.random() < 0.5:
        stage = told.random.choice(("init", "accept"))
        count, after = told.random.randint(1, 3), told.random.random() < 0.5
        draft.add("dead", Crash(node=standby, trigger=stage, count=count, after=after))
    else:
        count = at_ms + told.random.randint(0, SETTLED_MS)
        draft.add("dead", Crash(node=standby, count=count))


def _apart(told: Telling) -> None:
    """The two copies do not reach each other, or one of them reaches nobody."""
    member, at_ms = told.any_member(), told.moment()
    standby = told.standby(member)
    told.ask(standby, told.random.choice(("planned", "takeover")), at_ms)
    if told.random.random() < 0.5:
        start = max(0, at_ms - told.random.randint(0, SETTLED_MS))
        end = start + told.random.randint(100, 3_000)
        for one, other in ((member, standby), (standby, member)):
            cut = Cut(start_ms=start, end_ms=end, sources=(one,), targets=(other,))
            told.draft.add("cuts", cut)
    else:
        _cut_off(told, (told.random.choice((member, standby)),), at_ms)


def _cut_off(told: Telling, away: tuple[int, ...], at_ms: int) -> None:
    start = max(0, at_ms + told.random.randint(-SETTLED_MS, SETTLED_MS))
    end = start + told.random.randint(100, 4_000)
    everybody = range(told.draft.nodes + STANDBYS_MOST)
    rest = tuple(node for node in everybody if node not in away)
    for sources, targets in ((away, rest), (rest, away)):
        cut = Cut(start_ms=start, end_ms=end, sources=sources, targets=targets)
        told.draft.add("cuts", cut)


STORIES: Final[tuple[Callable[[Telling], None], ...]] = (
    _planned,
    _planned,
    _takeover,
    _forced,
    _cancelled,
    _rivals,
    _spare,
    _dying,
    _apart,
)


def tell(draft: Draft, *, calm: bool) -> None:
    """One or two stories; ``calm``: planned handovers only, and nothing else goes wrong."""
    told = Telling(draft, calm=calm)
    random = told.random
    if calm:
        _planned(told)
    else:
        for _ in range(random.randint(1, STORIES_MOST)):
            if len(told.standbys) < STANDBYS_MOST - 1:
                random.choice(STORIES)(told)
        if random.random() < 0.3:
            told.crash(random.randrange(draft.nodes + len(told.standbys)), told.moment())
        if random.random() < 0.2:
            copies = draft.nodes + len(told.standbys)
            draft.fields["asked_consent"] = tuple(range(copies))
        draft.fields["open_handovers_max"] = random.choice((1, 1, 2))
        draft.fields["heal_before"] = 4 - random.randint(0, LONGER_MOST)
    draft.fields["standbys"] = tuple(told.standbys)
