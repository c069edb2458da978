"""What must hold in every run, judged from outside: by what nodes send and what their disks hold.

The checkers share no rules with the core: they count quorums themselves, verify every voteproof
themselves, and believe no node's memory. They watch honest instances only; what a traitor says is
bounded by nothing but its keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from zmqnode.base.ballot import BALLOT_TAG, Ballot, Fact
from zmqnode.base.block import Block
from zmqnode.base.exchange import LastBallotAnswer, VotesAnswer
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address, PublicKey
from zmqnode.base.params import Params
from zmqnode.base.point import Stage
from zmqnode.base.proposal import Proposal
from zmqnode.base.signing import Domain
from zmqnode.base.suffrage import Suffrage
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.records import BallotSigned, JournalRecord
from zmqnode.sim.disk import SimDisk
from zmqnode.sim.epochs import Epochs, Wrong
from zmqnode.sim.plan import Plan
from zmqnode.sim.signing import KeyTable

SEALS_AHEAD_MS: Final = 10_000  # The default of seal_ahead_ms; plans do not change it.
DEATHS_MAX: Final = 4  # Of one process inside one seal.
TIME_TOLERANCE_MS: Final = 500  # The default of time_tolerance_ms, likewise.


class Violation(Exception):
    """A checker's finding: which checker, at which height, what."""

    def __init__(self, checker: str, height: int, message: str) -> None:
        super().__init__(f"{checker} at height {height}: {message}")
        self.checker = checker
        self.height = height
        self.message = message


class Checkers:
    """Watches one run; raises :class:`Violation` at the first thing that must not be."""

    def __init__(
        self, plan: Plan, suffrage: Suffrage, params: Params, domain: Domain, keys: KeyTable
    ) -> None:
        self.plan = plan
        self.suffrage = suffrage
        self.domain = domain
        self.keys = keys
        count = len(suffrage.members)
        tolerated = (count - 1) // 3
        self.votes_needed = (count + tolerated) // 2 + 1
        self.epochs = Epochs(suffrage, params, domain, keys.verify)
        self.chain: dict[int, Block] = {}  # What any honest node committed first.
        self.seals: dict[Hash, int] = {}  # Height of each committed seal.
        self.signed: dict[tuple[PublicKey, int, int, Stage], Fact] = {}
        self.blocks: dict[tuple[PublicKey, int, Hash], Hash] = {}
        self.voters: dict[tuple[Address, int], PublicKey] = {}  # Who signed for it at a height.
        self.proposed: dict[tuple[PublicKey, int, int, Hash], Hash] = {}
        self._verified: dict[int, Voteproof] = {}  # By id; kept, so that no id is used twice.

    # What honest instances write.

    def recorded(self, disk: SimDisk, record: JournalRecord) -> None:
        """An honest instance appends this; what it signs never goes back behind what it signed."""
        if isinstance(record, BallotSigned):
            fact = record.ballot.fact
            place = (fact.height, fact.round, int(fact.stage))
            if place <= disk.newest:
                raise Violation("backwards", fact.height, f"signed {fact} after {disk.newest}")
            self._entitled(disk.own, record.ballot)

    def asked_enough(self, address: Address, answered: Iterable[PublicKey]) -> bool:
        """D6: whether q - 1 other addresses answered, with an instance that ever voted for them."""
        found = {self.epochs.ever.get(instance) for instance in answered}
        return len(found - {None, address}) >= self.votes_needed - 1

    # What honest instances send.

    def sent(self, own: PublicKey, disk: SimDisk, message: object) -> None:
        """An honest instance published or answered this."""
        match message:
            case Ballot():
                self._ballot(own, disk, message)
            case Proposal():
                self._proposal(own, disk, message)
            case Voteproof():
                self.voteproof(message)
            case VotesAnswer(proposals=proposals, ballots=ballots, voteproofs=voteproofs):
                for part in (*proposals, *ballots, *voteproofs):
                    self.sent(own, disk, part)
            case LastBallotAnswer(ballot=Ballot() as ballot):
                self._ballot(own, disk, ballot)
            case _:
                pass

    def _ballot(self, own: PublicKey, disk: SimDisk, ballot: Ballot) -> None:
        fact = ballot.fact
        if ballot.instance != own:
            if not self._signature(ballot):
                raise Violation("relay", fact.height, f"passed on a forged ballot {fact}")
            return
        if ballot.signature not in disk.signatures and fact.height > disk.durable_height:
            raise Violation("durable", fact.height, f"sent a ballot before its sync: {fact}")
        key = (own, fact.height, fact.round, fact.stage)
        known = self.signed.get(key)
        if known is not None:
            if known != fact:
                raise Violation("one-vote", fact.height, f"signed {known} and {fact}")
            return
        self.signed[key] = fact
        self._fresh_ballot(own, disk, fact)

    def _entitled(self, own: PublicKey, ballot: Ballot) -> None:
        """Only who votes for an address signs, and never two copies of it for one height."""
        height, address = ballot.fact.height, ballot.address
        if ballot.instance != own:
            raise Violation("unentitled", height, f"{address} signed with another key than its own")
        first = self.voters.setdefault((address, height), own)
        if first != own:
            raise Violation("two-voters", height, f"two copies of {address} signed")
        voter = self.epochs.voter(address, height)
        if voter != (own, ballot.epoch):
            known = "nobody can know who votes" if voter is None else f"epoch {voter[1]} votes"
            raise Violation(
                "unentitled", height, f"{address} signed in epoch {ballot.epoch}, {known}"
            )

    def _fresh_ballot(self, own: PublicKey, disk: SimDisk, fact: Fact) -> None:
        height = fact.height
        if self.plan.faultless and (fact.round > 0 or fact.draw):
            raise Violation("draw", height, f"a round was lost though nothing failed: {fact}")
        if fact.value is None:
            return
        if not disk.holds_content(fact.value):
            raise Violation("content", height, f"voted without the content on disk: {fact}")
        if fact.block is None:
            return
        rests = Fact(height=height, round=fact.round, stage=Stage.INIT, value=fact.value)
        if rests not in disk.certificates and fact not in disk.certificates:
            raise Violation("certificate", height, f"no INIT VP on disk beneath {fact}")
        known = self.blocks.setdefault((own, height, fact.value), fact.block)
        if known != fact.block:
            raise Violation("two-results", height, f"signed {known.hex()[:12]} and {fact}")

    def _proposal(self, own: PublicKey, disk: SimDisk, proposal: Proposal) -> None:
        if proposal.instance != own:
            return  # A traitor's, passed on: its reasons are its own affair.
        for vp in proposal.justification:
            self.voteproof(vp)
        if proposal.value.accept is not None:
            self.voteproof(proposal.value.accept)
        if proposal.signature not in disk.signatures and proposal.height > disk.durable_height:
            raise Violation("durable", proposal.height, "sent a proposal before its sync")
        key = (own, proposal.height, proposal.round, proposal.value.parent)
        known = self.proposed.setdefault(key, proposal.value.hash)
        if known != proposal.value.hash:
            raise Violation("one-proposal", proposal.height, f"two at round {proposal.round}")

    def killed(self, node: int, times: int) -> None:
        """An honest process died inside the same seal once more (D7)."""
        if times > DEATHS_MAX:
            raise Violation("killed", max(self.chain, default=0) + 1, f"n{node}: {times} times")

    # Voteproofs.

    def _signature(self, ballot: Ballot) -> bool:
        signed = self.domain.message(BALLOT_TAG, ballot.fact.body(ballot.address, ballot.epoch))
        return self.keys.verify(ballot.instance, signed, ballot.signature)

    def voteproof(self, vp: Voteproof) -> None:
        """Every voteproof that an honest node passes on must hold."""
        if id(vp) in self._verified:
            return
        signers = 0
        seen: dict[str, None] = {}
        for address, signature in vp.signatures:
            voter = self.epochs.voter(address, vp.fact.height)
            if address in seen or voter is None:
                continue
            instance, epoch = voter
            signed = self.domain.message(BALLOT_TAG, vp.fact.body(address, epoch))
            if self.keys.verify(instance, signed, signature):
                seen[address] = None
                signers += 1
        if signers < self.votes_needed or signers != len(vp.signatures):
            raise Violation("voteproof", vp.fact.height, f"{signers} good votes for {vp.fact}")
        self._verified[id(vp)] = vp

    # Commits.

    def committed(
        self,
        block: Block,
        accept: Voteproof,
        honest_disks: Mapping[PublicKey, SimDisk],
        latest_ms: int,
    ) -> None:
        """An honest node made this block its tip.

        Args:
            honest_disks: those that keep what they sync, by instance.
            latest_ms: the most advanced honest clock.
        """
        height = block.height
        self.voteproof(accept)
        fact = accept.fact
        if fact.height != height or fact.block != block.hash or fact.value != block.manifest.value:
            raise Violation("certificate", height, "committed by a voteproof of something else")
        known = self.chain.get(height)
        if known is None:
            self._first_commit(block, honest_disks, latest_ms)
        elif known.manifest.value != block.manifest.value:
            raise Violation("agreement", height, "two values were committed")
        elif known.hash != block.hash:
            raise Violation("agreement", height, "two results of one value were committed")

    def _first_commit(
        self, block: Block, honest_disks: Mapping[PublicKey, SimDisk], latest_ms: int
    ) -> None:
        height, value = block.height, block.value
        assert value is not None
        if height > 1 and self.chain[height - 1].hash != block.manifest.parent:
            raise Violation("agreement", height, "the parent is no committed block")
        before = self.chain[height - 1].value if height > 1 else None
        if before is not None and value.time_ms <= before.time_ms:
            raise Violation("time", height, "block time does not grow")
        soonest_ms = 0 if before is None else before.time_ms + 1
        if value.time_ms > max(soonest_ms, latest_ms + TIME_TOLERANCE_MS):
            raise Violation("time", height, "block time is ahead of every honest clock")
        for seal in block.seals:
            if seal.hash in self.seals:
                raise Violation("exactly-once", height, f"seal {seal.hash.hex()[:12]} again")
            self.seals[seal.hash] = height
            early = value.time_ms - self.plan.seal_ttl_ms
            if not early <= seal.created_at_ms <= value.time_ms + SEALS_AHEAD_MS:
                raise Violation("seal-age", height, f"seal {seal.hash.hex()[:12]} out of time")
        voters = [place.at(height)[0] for place in self.epochs.places.values()]
        disks = [honest_disks[voter] for voter in voters if voter in honest_disks]
        holding = sum(1 for disk in disks if disk.holds_content(block.manifest.value))
        if holding < self.votes_needed - (len(voters) - len(disks)):
            raise Violation("content", height, f"only {holding} honest disks hold the content")
        self.chain[height] = block
        try:
            self.epochs.take(block)
        except Wrong as wrong:
            raise Violation("authority", height, str(wrong)) from None

    # Without faults.

    def missed_nothing(self, heights: int) -> None:
        """Without faults each address's instance signs INIT and ACCEPT at round 0 of a height."""
        for height in range(1, heights + 1):
            for place in self.epochs.places.values():
                own, epoch = place.at(height)
                for stage in (Stage.INIT, Stage.ACCEPT):
                    if (own, height, 0, stage) not in self.signed:
                        message = f"no {stage.name} of {place.address}, epoch {epoch}"
                        raise Violation("missed", height, message)
