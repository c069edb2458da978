"""What an operator watches: one picture of a running node, and the little history it needs.

The picture is read from the machine, the ledger and the network when somebody asks for it; kept
along the way are only times of commits, a ring of pool sizes and the newest lines of the log, all
of fixed size. Floats do not travel: quantiles are told in microseconds, rates in thousandths.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from zmqnode.base.ballot import Ballot, Fact
from zmqnode.base.block import Block
from zmqnode.base.instant import at
from zmqnode.base.keys import Address
from zmqnode.base.suffrage import Suffrage
from zmqnode.base.system import is_system
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.votes import HeightVotes
from zmqnode.runtime import showing
from zmqnode.runtime.standing import Standing
from zmqnode.runtime.view import PeerRow

INTERVALS_KEPT: Final = 256
MINUTES_KEPT: Final = 30
LOG_LINES_KEPT: Final = 50
LOG_TEXT_MAX: Final = 500  # Characters of one line.
FLOWS_KEPT: Final = 50  # One each tick of the node: of 5 s.
MINUTE_MS: Final = 60_000
COMMITS_KEPT: Final = 12_000  # Of the last minute; 200 a second.

Row = dict[str, Any]


def monotonic_us() -> int:
    """Microseconds of a clock that only runs forward."""
    return time.monotonic_ns() // 1_000


class Watch:
    """The picture of one node, and what it remembers for it."""

    def __init__(self, standing: Standing, *, now_us: Callable[[], int] = monotonic_us) -> None:
        self._standing = standing
        self._now_us = now_us
        self._began_us = now_us()
        self._committed_us: int | None = None
        self._intervals: deque[int] = deque(maxlen=INTERVALS_KEPT)
        self._commits: deque[int] = deque(maxlen=COMMITS_KEPT)  # ms, of the last minute
        self._minutes: deque[int] = deque([0] * MINUTES_KEPT, maxlen=MINUTES_KEPT)
        self._minute = self._ms() // MINUTE_MS
        self._seals_out = 0
        self._flows: deque[tuple[int, int, int]] = deque(maxlen=FLOWS_KEPT)
        self._init_certified: tuple[int, int, int] = (0, 0, 0)  # height, round, ms
        self._newest: dict[Address, dict[str, tuple[int, int]]] = {}  # Of members alone.
        self._log: deque[Row] = deque(maxlen=LOG_LINES_KEPT)

    def _ms(self) -> int:
        return (self._now_us() - self._began_us) // 1_000

    # What the node tells.

    def committed(self, block: Block) -> None:
        """A block was committed here."""
        now_us, now_ms = self._now_us(), self._ms()
        if self._committed_us is not None:
            self._intervals.append(now_us - self._committed_us)
        self._committed_us = now_us
        self._turn_minute(now_ms)
        self._minutes[-1] += 1
        self._commits.append(now_ms)
        self._seals_out += sum(1 for seal in block.seals if not is_system(seal))
        if block.value is not None and block.value.accept is not None:
            self._saw_voteproof(block.value.accept)

    def _turn_minute(self, now_ms: int) -> None:
        gone = min(now_ms // MINUTE_MS - self._minute, MINUTES_KEPT)
        self._minutes.extend([0] * gone)
        self._minute = now_ms // MINUTE_MS
        while self._commits and self._commits[0] <= now_ms - MINUTE_MS:
            self._commits.popleft()

    def turn_over(self) -> None:
        """A turn of the machine is over: see whether a certificate began the next stage."""
        votes = self._votes()
        if votes is not None and votes.here.init_vp is not None:
            if self._init_certified[:2] != (votes.height, votes.round):
                self._init_certified = (votes.height, votes.round, self._ms())

    def tick(self) -> None:
        """A tenth of a second is over."""
        self._flows.append((self._ms(), self._standing.pool.seals, self._seals_out))

    def logged(self, level: str, text: str) -> None:
        """The node said something."""
        self._log.append(
            {"at_ms": self._standing.clock_ms(), "level": level, "text": text[:LOG_TEXT_MAX]}
        )

    @property
    def log(self) -> list[Row]:
        """The newest lines, oldest first."""
        return list(self._log)

    # The picture.

    def picture(self) -> Row:
        """The node as it stands now, in the words of the command line's JSON."""
        standing, now_ms = self._standing, self._ms()
        self._turn_minute(now_ms)
        info = showing.node_info(standing)
        peers = standing.peers()
        suffrage = standing.suffrage(standing.tip + 1)
        assert suffrage is not None, "the suffrage of tip + 1 is always known"
        votes = self._votes()
        return {
            **_moment(standing.clock_ms()),
            "node": info,
            "blocks": self._blocks(),
            "stages": [] if votes is None else self._stages(votes, now_ms),
            "rounds": 0 if votes is None else votes.round + 1,
            "round_state": "" if votes is None else _round_state(votes),
            "leader": self._leader(votes),
            "peers": [showing.peer_row(one) for one in peers],
            "minutes": list(self._minutes),
            "votes": self._newest_votes(votes, suffrage),
            "members": self._members(suffrage, peers),
            "pool": {**info["pool"], **self._flow(now_ms), "refused": self._refused()},
            "log": self.log,
            "uptime_ms": max(0, standing.clock_ms() - standing.started_at_ms),
        }

    def _votes(self) -> HeightVotes | None:
        machine = self._standing.driver.machine
        return None if machine.kernel is None else machine.consensus.votes

    def _blocks(self) -> Row:
        ordered = sorted(self._intervals)
        return {
            "interval_p50_us": _quantile(ordered, 50),
            "interval_p99_us": _quantile(ordered, 99),
            "per_minute": len(self._commits),
        }

    def _stages(self, votes: HeightVotes, now_ms: int) -> list[Row]:
        here, needed = votes.here, votes.suffrage.q
        draws = here.draws()
        driver_ms = self._standing.driver.now_ms()
        started_ms = 0 if votes.started_ms is None else max(0, driver_ms - votes.started_ms)
        height, round_, certified_ms = self._init_certified
        certified = (height, round_) == (votes.height, votes.round)
        rows = (
            ("INIT", len(here.init), started_ms),
            ("ACCEPT", len(here.accept) - draws, max(0, now_ms - certified_ms) if certified else 0),
            ("DRAW", draws, started_ms),
        )
        return [
            {"stage": stage, "votes": count, "needed": needed, "since_ms": since_ms}
            for stage, count, since_ms in rows
        ]

    def _leader(self, votes: HeightVotes | None) -> Address | None:
        kernel = self._standing.driver.machine.kernel
        if votes is None or kernel is None:
            return None
        return kernel.chain.leader(votes.height, votes.round).address

    def _saw(self, address: Address, fact: Fact) -> None:
        """A ballot was given; a draw is an ACCEPT for nothing."""
        found, stage = self._newest.setdefault(address, {}), fact.stage.name.lower()
        if (fact.height, fact.round) > found.get(stage, (-1, 0)):
            found[stage] = (fact.height, fact.round)

    def _saw_voteproof(self, vp: Voteproof | None) -> None:
        for address in () if vp is None else vp.addresses:
            assert vp is not None
            self._saw(address, vp.fact)

    def _newest_votes(self, votes: HeightVotes | None, suffrage: Suffrage) -> Row:
        """The newest INIT and ACCEPT of each member that this node knows of.

        Blocks and certificates name no more than a quorum, and ballots beyond it are not looked at:
        of a member that is always last the newest may be some blocks old.
        """
        stored = self._standing.stored(self._standing.tip)
        assert stored is not None, "the tip is always stored"
        for data in (stored.init_vp, stored.accept_vp):
            self._saw_voteproof(showing.read_vp(data))
        for ballot in self._ballots(votes, suffrage):
            self._saw(ballot.address, ballot.fact)
        members = [member.address for member in suffrage.members]
        self._newest = {name: self._newest.get(name, {}) for name in members}
        return {name: _positions(found) for name, found in self._newest.items()}

    def _ballots(self, votes: HeightVotes | None, suffrage: Suffrage) -> list[Ballot]:
        kernel = self._standing.driver.machine.kernel
        found: list[Ballot] = []
        if kernel is not None:
            for member in suffrage.members:
                seen = kernel.members.instances.get(member.instance)
                last = None if seen is None else seen.last
                if member.instance == kernel.own:
                    last = kernel.voter.last
                found += [] if last is None else [last]
        for round_ in () if votes is None else votes.rounds.values():
            found += [*round_.init.values(), *round_.accept.values()]
        return found

    def _members(self, suffrage: Suffrage, peers: tuple[PeerRow, ...]) -> Row:
        """The voting instances as this node last heard of them, itself included."""
        standing = self._standing
        kernel = standing.driver.machine.kernel
        rtt_us = {one.instance: one.rtt_us for one in peers}
        rows: Row = {}
        for member in suffrage.members:
            state, height, offset_ms = None, None, None
            seen = None if kernel is None else kernel.members.instances.get(member.instance)
            if member.instance == standing.signer.public:
                state, height, offset_ms = standing.state.name, standing.tip, 0
            elif seen is not None and seen.status_ms is not None:
                state = None if seen.state is None else seen.state.name
                height, offset_ms = seen.claim, seen.clock_offset_ms
            rows[member.address] = {
                "state": state,
                "height": height,
                "rtt_us": rtt_us.get(member.instance),
                "clock_offset_ms": offset_ms,
            }
        return rows

    def _flow(self, now_ms: int) -> Row:
        """Seals in and out of the pool over the last seconds, in thousandths of a seal a second."""
        if not self._flows:
            return {"in_milli_per_s": 0, "out_milli_per_s": 0}
        then_ms, then_seals, then_out = self._flows[0]
        elapsed_ms = max(1, now_ms - then_ms)
        out = self._seals_out - then_out
        taken = max(0, self._standing.pool.seals - then_seals + out)
        return {
            "in_milli_per_s": taken * 1_000_000 // elapsed_ms,
            "out_milli_per_s": out * 1_000_000 // elapsed_ms,
        }

    def _refused(self) -> dict[str, int]:
        kernel = self._standing.driver.machine.kernel
        return {} if kernel is None else dict(kernel.pool.refused)


def _moment(unix_ms: int) -> Row:
    moment = at("taken", unix_ms)
    return {"at": moment["taken_at"], "at_ms": moment["taken_at_ms"]}


def _positions(found: dict[str, tuple[int, int]]) -> Row:
    return {
        stage: None if stage not in found else {"height": found[stage][0], "round": found[stage][1]}
        for stage in ("init", "accept")
    }


def _quantile(ordered: list[int], percent: int) -> int:
    """The smallest value that so many percent do not exceed; 0 of none."""
    if not ordered:
        return 0
    return ordered[(len(ordered) * percent + 99) // 100 - 1]


def _round_state(votes: HeightVotes) -> str:
    """What the round that this node is in waits for."""
    here = votes.here
    if here.init_vp is not None:
        value = here.init_vp.fact.value
        return "accept" if value is None or value in votes.results else "executing"
    if votes.started_ms is None:
        return "idle"
    return "proposing" if here.proposal is None else "init"
