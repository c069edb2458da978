"""The core with one rule taken out at a time, and the faults that make the hole show.

A simulator that passes everything proves nothing; each mutant here must be caught by the checkers
named with it, within a bounded number of seeds, under a plan that the true core survives. Mutants
replace methods of the core's parts; the core itself has no switches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from zmqnode.base.ballot import Ballot, Fact, accept_fact, draw_fact, sign_ballot
from zmqnode.base.point import Stage
from zmqnode.base.proposal import FRESH
from zmqnode.base.voteproof import Voteproof
from zmqnode.core import (
    boot,
    chain,
    consensus,
    executions,
    joining,
    leading,
    machine,
    pool,
    resending,
    values,
    voter,
)
from zmqnode.core.effects import Effect, Publish, Record
from zmqnode.core.records import CertificateHeld, ValueHeld
from zmqnode.sim.plan import ALL, Betrayal, Clients, Crash, Cut, Disk, Execution, Hush, Links, Plan

Replace = Callable[[type, str, Any], None]


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One rule removed.

    Args:
        remove: patches the core, through ``replace(owner, name, new)``.
        plan: the plan of a seed that should show the hole.
        caught_by: checkers whose finding counts.
        seeds: at most so many are tried.
    """

    name: str
    remove: Callable[[Replace], None]
    plan: Callable[[int], Plan]
    caught_by: tuple[str, ...]
    seeds: int = 12


def base(seed: int, **changes: Any) -> Plan:
    """A short run with a few seals and no faults but those given."""
    plan = Plan(
        seed=seed,
        heights=8,
        heal_ms=3_000,
        heal_before=2,
        empty_block_interval_ms=50,
        clients=Clients(seals=6, every_ms=40, resend_ms=200, again=1000),
    )
    return dataclasses.replace(plan, **changes)


def torn(seed: int) -> Plan:
    """Members miss the end of rounds: some commit, others have to try again."""
    cuts = []
    for turn in range(12):
        lone = (seed + turn) % 4
        others = tuple(node for node in range(4) if node != lone)
        start = 60 + 130 * turn + 7 * (seed % 11)
        cuts.append(Cut(start_ms=start, end_ms=start + 90, sources=(lone,), targets=others))
    return base(
        seed,
        heights=14,
        heal_ms=2_500,
        links=Links(delay_us=500, jitter_us=2_000, loss=200),
        cuts=tuple(cuts),
        execution=Execution(least_us=200, most_us=2_000, slow=200, slow_ms=700),
    )


def split(seed: int) -> Plan:
    """A member is dead, executions outlast their allowance: rounds without a decision."""
    return base(
        seed,
        heights=6,
        heal_ms=20_000,
        heal_before=1,
        bound_ms=15_000,
        links=Links(delay_us=500, jitter_us=2_000),
        execution=Execution(least_us=200, most_us=2_000, slow=250, slow_ms=4_000),
        dead=(Crash(node=seed % 4, count=0),),
    )


def lossy(seed: int) -> Plan:
    """A third of all messages never arrives."""
    return base(seed, links=Links(loss=300))


def outages(seed: int) -> Plan:
    """One member after the other loses power with an own ballot just out."""
    crashes = tuple(
        Crash(
            node=(seed + turn) % 4,
            trigger=("init", "accept")[turn % 2],
            count=2 + turn,
            after=bool((seed + turn // 2) % 2),
            down_ms=30,
            tail="lost",
        )
        for turn in range(5)
    )
    return base(seed, crashes=crashes, links=Links(jitter_us=4_000, loss=100))


def blackouts(seed: int) -> Plan:
    """All lose power at once, with a store that has nothing yet."""
    crashes = tuple(
        Crash(node=ALL, trigger="effect", count=120 + 37 * seed + 200 * turn, tail="lost")
        for turn in range(2)
    )
    disks = (Disk(store_lag_ms=1_000_000),) * 4
    return base(seed, crashes=crashes, disks=disks, bound_ms=30_000)


def forgetful(seed: int) -> Plan:
    """A disk forgets synced records that all others have seen (D6's case)."""
    crash = Crash(
        node=seed % 4,
        trigger=("init", "accept")[seed % 2],
        count=3,
        after=True,
        down_ms=40,
        tail="lost",
        forget=30,
    )
    disks = (Disk(store_lag_ms=1_000_000),) * 4
    # It wakes to a network that cannot finish the height without it.
    cuts = tuple(
        Cut(start_ms=0, end_ms=2_900, sources=(node,), targets=((node + 1) % 4,))
        for node in range(4)
    )
    return base(seed, crashes=(crash,), disks=disks, cuts=cuts, links=Links(loss=100))


def relapsing(seed: int) -> Plan:
    """A member gives a round up, forgets that it did, and comes back to the same round."""
    member = (seed + 1) % 4
    crash = Crash(
        node=member,
        trigger="accept",
        count=1 + seed % 5,
        after=True,
        down_ms=20,
        tail="lost",
        forget=4 + seed % 5,
    )
    disks = (Disk(store_lag_ms=1_000_000),) * 4
    plan = dataclasses.replace(split(seed), dead=(), crashes=(crash,), disks=disks)
    return dataclasses.replace(plan, bound_ms=60_000)


def misled(seed: int) -> Plan:
    """One honest member commits alone; the leader of the next round is a traitor."""
    height = 3 + seed % 4
    traitor = (height + 1) % 4  # Leader of (height, 1): present members, rotated by the height.
    knowing = (traitor + 1 + seed % 3) % 4
    kept = tuple(node for node in range(4) if node not in (traitor, knowing))
    return base(
        seed,
        heights=12,
        heal_ms=5_000,
        hushes=(Hush(height=height, targets=kept),),
        betrayals=(Betrayal(node=traitor, name="bad-leader"),),
    )


def poisoned(seed: int) -> Plan:
    """The only seal kills the process of whoever executes it."""
    clients = Clients(seals=1, every_ms=30 + 10 * seed, poison=0)
    return base(seed, clients=clients, bound_ms=10_000)


def relentless(seed: int) -> Plan:
    """One seal of many kills the process of whoever executes it, and lives for a minute."""
    clients = Clients(seals=20, every_ms=30, resend_ms=200, poison=seed % 5)
    return base(seed, heights=20, clients=clients, bound_ms=20_000)


def hurried(seed: int) -> Plan:
    """A member's clock is far ahead of all others."""
    return base(seed, betrayals=(Betrayal(node=seed % 4, name="clock-ahead"),))


def drifting(seed: int) -> Plan:
    """From a member's second life on the application gives another result; rounds are lost."""
    crash = Crash(node=2, trigger="accept", count=1 + seed % 6, after=True, down_ms=1, tail="kept")
    return base(
        seed,
        heights=7,
        heal_ms=20_000,
        heal_before=1,
        links=Links(delay_us=500, jitter_us=2_000),
        execution=Execution(least_us=200, most_us=2_000, slow=350, slow_ms=4_000),
        crashes=(crash,),
        drift_node=2,
        drift_height=1,
        drift_life=2,
    )


# The rules, removed.


def _no_r1(replace: Replace) -> None:
    replace(leading.Leading, "certified_round", lambda self, votes: (FRESH, ()))


def _no_r3(replace: Replace) -> None:
    """ACCEPT once executed, without an INIT VP."""

    def accept(self: consensus.Consensus) -> None:
        votes = self.votes
        if votes is None or votes.final is not None or votes.here.proposal is None:
            return
        vid = votes.here.proposal.value.hash
        result = votes.results.get(vid)
        if result is None:
            return
        if self.kernel.voter.ballot(votes.height, votes.round, Stage.ACCEPT) is None:
            self.sign(accept_fact(votes.point, vid, result.manifest.hash))
            self.arm_next()

    replace(consensus.Consensus, "accept_if_certified", accept)


def _no_r6(replace: Replace) -> None:
    replace(consensus.Consensus, "arm_next", lambda self: None)


def _no_r7(replace: Replace) -> None:
    replace(consensus.Consensus, "sign_owed", lambda self, vp: None)


def _no_r8(replace: Replace) -> None:
    replace(resending.Resending, "resend", lambda self: None)
    replace(resending.Resending, "ask_tip", lambda self: None)
    replace(resending.Resending, "ask_votes", lambda self, peers: None)


def _no_d1(replace: Replace) -> None:
    """Send first, remember later."""
    step = machine.Machine.step

    def hasty(self: machine.Machine, event: Any, now_ms: int) -> list[Effect]:
        effects = step(self, event, now_ms)
        sent = [effect for effect in effects if isinstance(effect, Publish)]
        return sent + [effect for effect in effects if not isinstance(effect, Publish)]

    replace(machine.Machine, "step", hasty)


def _no_d2(replace: Replace) -> None:
    """What was signed before a restart is forgotten."""
    replace(voter.Voter, "restore", lambda self, ballots, watermark: None)


def _no_d2_blocks(replace: Replace) -> None:
    """Two block hashes for one value are signed without a second look."""
    remember = voter.Voter._remember

    def careless(self: voter.Voter, ballot: Ballot) -> None:
        remember(self, ballot)
        self._blocks.clear()

    replace(voter.Voter, "_remember", careless)


def _drop_records(replace: Replace, unwanted: Callable[[Any], bool]) -> None:
    step = machine.Machine.step

    def forgetting(self: machine.Machine, event: Any, now_ms: int) -> list[Effect]:
        return [
            effect
            for effect in step(self, event, now_ms)
            if not (isinstance(effect, Record) and unwanted(effect.record))
        ]

    replace(machine.Machine, "step", forgetting)


def _no_d3(replace: Replace) -> None:
    """The ACCEPT VPs of committed blocks are not in the journal."""

    def final(record: Any) -> bool:
        return isinstance(record, CertificateHeld) and record.voteproof.fact.block is not None

    _drop_records(replace, final)


def _no_d3_init(replace: Replace) -> None:
    """The INIT VP beneath an ACCEPT is not in the journal."""

    def init(record: Any) -> bool:
        return isinstance(record, CertificateHeld) and record.voteproof.fact.stage is Stage.INIT

    _drop_records(replace, init)


def _no_d5(replace: Replace) -> None:
    _drop_records(replace, lambda record: isinstance(record, ValueHeld))


def _no_d6(replace: Replace) -> None:
    replace(joining.Joining, "enough", lambda self: True)
    replace(joining.Joining, "take", lambda self, answer: None)


def _no_d6_look(replace: Replace) -> None:
    """The members are asked, and what they answer is not looked at."""

    def count(self: joining.Joining, answer: Any) -> None:
        for member in self.kernel.chain.newest_suffrage().members:
            if member.instance == answer.answerer:
                self.answers[member.address] = None

    replace(joining.Joining, "take", count)


def _no_d7(replace: Replace) -> None:
    """What was executed when the process died is executed again."""
    height_votes = boot.Restored.height_votes

    def unscarred(self: boot.Restored, kernel: Any) -> Any:
        votes = height_votes(self, kernel)
        if votes is not None:
            votes.died.clear()
        return votes

    replace(boot.Restored, "height_votes", unscarred)
    _no_setting_aside(replace)


def _no_setting_aside(replace: Replace) -> None:
    """Nobody remembers inside which seals the process died."""

    class Forgetting(dict[Any, int]):
        def update(self, *others: Any, **more: Any) -> None:
            pass

    init = pool.Pool.__init__

    def forgetful(self: pool.Pool, *parts: Any) -> None:
        init(self, *parts)
        self.deaths = Forgetting()

    replace(pool.Pool, "__init__", forgetful)


def _no_refusal_to_die(replace: Replace) -> None:
    """A seal known to kill is not proposed, but executed for whoever proposes it."""
    replace(pool.Pool, "fatal", lambda self, seals: False)


def _no_clock(replace: Replace) -> None:
    """Nobody minds a value from the future."""
    judge = values.Values.judge

    def timeless(self: values.Values, value: Any, *, fresh: bool) -> values.Verdict:
        return judge(self, value, fresh=False)

    replace(values.Values, "judge", timeless)


def _no_justification(replace: Replace) -> None:
    replace(consensus, "justified", lambda kernel, votes, proposal: True)


def _no_one_accept(replace: Replace) -> None:
    """A node that accepted a value gives the round up as well."""

    def give_up(self: consensus.Consensus) -> None:
        votes = self.votes
        if votes is not None and votes.final is None:
            self.sign(draw_fact(votes.point))
            self.arm_next()

    def sign(self: voter.Voter, fact: Fact, epoch: int) -> tuple[Ballot, bool] | None:
        stored = self.ballot(fact.height, fact.round, fact.stage)
        if stored is not None and stored.fact == fact:
            return stored, False
        self._enter(fact.height)
        ballot = sign_ballot(fact, self.address, epoch, self._signer)
        self._remember(ballot)
        return ballot, True

    replace(consensus.Consensus, "give_up", give_up)
    replace(voter.Voter, "sign", sign)


def _no_exactly_once(replace: Replace) -> None:
    replace(chain.Chain, "executed", lambda self, seal: False)


def _small_quorum(replace: Replace) -> None:
    """f + 1 equal votes are taken for a certificate (and D6 asks as many as before)."""
    from zmqnode.base.suffrage import Suffrage

    replace(Suffrage, "q", property(lambda self: (len(self.members) - 1) // 3 + 1))
    replace(joining.Joining, "enough", lambda self: len(self.answers) >= 2)


def _no_content_hold(replace: Replace) -> None:
    replace(executions.Executions, "hold", lambda self, votes, value: None)


def _unchecked_voteproofs(replace: Replace) -> None:
    from zmqnode.core.kernel import Kernel

    def believe(self: Kernel, vp: Voteproof, suffrage: Any, known: Any = None) -> bool:
        return True

    replace(Kernel, "check_voteproof", believe)


def _unchecked_ballots(replace: Replace) -> None:
    from zmqnode.core.kernel import Kernel

    replace(Kernel, "check_ballot", lambda self, ballot, suffrage: True)


def forged(seed: int) -> Plan:
    """Somebody forges ballots and voteproofs."""
    return base(seed, betrayals=(Betrayal(node=seed % 4, name="forger"),), links=Links(loss=100))


def calm(seed: int) -> Plan:
    """Nothing fails."""
    return base(seed, heal_ms=0)


VOTES = ("one-vote", "unasked", "backwards", "one-proposal", "agreement")
MUTANTS = (
    Mutant(name="R1", remove=_no_r1, plan=split, caught_by=("progress", "storm")),
    Mutant(name="R3", remove=_no_r3, plan=calm, caught_by=("certificate", "content")),
    Mutant(name="R6", remove=_no_r6, plan=split, caught_by=("progress", "storm")),
    Mutant(name="R7", remove=_no_r7, plan=calm, caught_by=("missed",)),
    Mutant(name="R8", remove=_no_r8, plan=lossy, caught_by=("progress",)),
    Mutant(name="D1", remove=_no_d1, plan=calm, caught_by=("durable",)),
    Mutant(name="D2", remove=_no_d2, plan=outages, caught_by=(*VOTES, "broken")),
    Mutant(
        name="D2 blocks", remove=_no_d2_blocks, plan=drifting, caught_by=("two-results",), seeds=40
    ),
    Mutant(name="D3", remove=_no_d3, plan=blackouts, caught_by=(*VOTES, "progress", "certificate")),
    Mutant(name="D3 INIT VP", remove=_no_d3_init, plan=calm, caught_by=("certificate",)),
    Mutant(name="D5", remove=_no_d5, plan=calm, caught_by=("content",)),
    Mutant(name="D5 hold", remove=_no_content_hold, plan=calm, caught_by=("content",)),
    Mutant(name="D6", remove=_no_d6, plan=forgetful, caught_by=VOTES),
    Mutant(name="D6 look", remove=_no_d6_look, plan=relapsing, caught_by=VOTES, seeds=40),
    Mutant(name="D7", remove=_no_d7, plan=poisoned, caught_by=("killed", "progress")),
    Mutant(
        name="D7 again", remove=_no_setting_aside, plan=relentless, caught_by=("killed", "progress")
    ),
    Mutant(name="D7 refusal", remove=_no_refusal_to_die, plan=relentless, caught_by=("killed",)),
    Mutant(name="clock", remove=_no_clock, plan=hurried, caught_by=("time",)),
    Mutant(name="J", remove=_no_justification, plan=misled, caught_by=("agreement",), seeds=40),
    Mutant(name="one ACCEPT", remove=_no_one_accept, plan=split, caught_by=VOTES),
    Mutant(name="exactly once", remove=_no_exactly_once, plan=calm, caught_by=("exactly-once",)),
    Mutant(name="quorum", remove=_small_quorum, plan=calm, caught_by=("voteproof",)),
    Mutant(name="voteproofs", remove=_unchecked_voteproofs, plan=forged, caught_by=("voteproof",)),
    Mutant(
        name="ballots", remove=_unchecked_ballots, plan=forged, caught_by=("voteproof", "relay")
    ),
)


def names(mutants: Iterable[Mutant] = MUTANTS) -> list[str]:
    """For test ids."""
    return [mutant.name for mutant in mutants]
