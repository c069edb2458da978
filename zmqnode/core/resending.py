"""R8: what may have been lost is sent again, and what is missing is asked for.

PUB/SUB loses messages silently, so this is protocol, not tuning. Answers go to the asker alone and
are never answered, so there are no storms.
"""

from __future__ import annotations

from zmqnode.base.ballot import Ballot
from zmqnode.base.exchange import (
    ROUNDS_ASKED_MAX,
    VOTES_ANSWERED_MAX,
    BlocksWanted,
    NodeState,
    RoundHeld,
    SealsAnnounced,
    SealsAnswer,
    SealsWanted,
    VotesAnswer,
    VotesWanted,
)
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address, PublicKey
from zmqnode.base.proposal import Proposal
from zmqnode.base.seal import Seal
from zmqnode.base.suffrage import Suffrage
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.consensus import Consensus
from zmqnode.core.effects import Answer, Ask, Publish
from zmqnode.core.kernel import Kernel, Timer
from zmqnode.core.values import Values
from zmqnode.core.votes import HeightVotes, RoundVotes
from zmqnode.core.world import ANNOUNCE_MAX, SEALS_PULLED_MAX, TIP_ASK_INTERVAL_MS

ANNOUNCE_MS = 100  # How often, at most, a copy that does not vote names what waits at it.
ANNOUNCED_ALONE_MAX = 1_024  # Seals it names at once.
REPUBLISH_MS = 1_000  # A seal younger than this is on its way.
HURRY_MS = 20  # How often a node two heights behind asks for what it misses.
PEERS_ASKED_MAX = 8  # A larger suffrage is asked in turns.


class Resending:
    """Sends again, pulls and serves votes and seals of the height being worked at."""

    def __init__(self, kernel: Kernel, values: Values, consensus: Consensus) -> None:
        self.kernel = kernel
        self.values = values
        self.consensus = consensus
        self._turn = 0
        self._pulled: dict[Hash, int] = {}  # What was asked for at this height: how often.
        self._height = 0
        self._hurried_ms = 0

    # Sending again.

    def resend(self) -> None:
        """Every t_r while this node is at (h, r); at (h, 0) without work it rests."""
        votes, kernel = self.consensus.votes, self.kernel
        if votes is None or votes.started_ms is None:
            return
        for ballot in kernel.voter.ballots(votes.height):
            kernel.emit(Publish(message=ballot))
        proposal = votes.here.proposal
        if proposal is not None and proposal.instance == kernel.own:
            kernel.emit(Publish(message=proposal))
        for vp in (votes.parent.accept, votes.newest("init_vp"), votes.newest("draw_vp")):
            if vp is not None:
                kernel.emit(Publish(message=vp))
        if votes.round == 0:
            self._announce()
        self.ask_votes(self.peers())
        self.pull(again=True)
        kernel.set_timer(Timer.RESEND, kernel.timing.resend_ms())

    def _announce(self, most: int = ANNOUNCE_MAX) -> bool:
        """Name the oldest seals that wait here; False if none does."""
        found = [seal.hash for seal in self.kernel.pool.announced(most)]
        for first in range(0, len(found), ANNOUNCE_MAX):
            hashes = tuple(found[first : first + ANNOUNCE_MAX])
            self.kernel.emit(Publish(message=SealsAnnounced(seals=hashes)))
        return bool(found)

    def announce_later(self) -> None:
        """What waits at a copy that does not vote is announced until it is in a block.

        A member has its turn to lead, so a seal whose publishing was lost comes into a block
        anyway; nobody proposes what a standby or a retired copy alone holds. On a chain whose
        heights are shorter than t_r, R8 never comes to it.
        """
        kernel = self.kernel
        if Timer.ANNOUNCE in kernel.deadlines or kernel.fault is not None:
            return
        if kernel.state is not NodeState.CONSENSUS and kernel.pool.announced(1):
            kernel.set_timer(Timer.ANNOUNCE, max(ANNOUNCE_MS, kernel.timing.resend_ms()))

    def lost(self, seal: Seal) -> bool:
        """Whether a seal that a client sends again may never have reached the others."""
        kernel = self.kernel
        waited_ms = kernel.clock_ms - seal.created_at_ms
        return waited_ms >= REPUBLISH_MS and kernel.pool.waits(seal.hash)

    def announce(self) -> None:
        """The time for it has come."""
        if self.kernel.state is not NodeState.CONSENSUS and self._announce(ANNOUNCED_ALONE_MAX):
            self.announce_later()

    def peers(self) -> list[PublicKey]:
        """Connected instances, at most 8 of them, in turns."""
        links = sorted(self.kernel.members.links)
        if len(links) <= PEERS_ASKED_MAX:
            return links
        self._turn = (self._turn + PEERS_ASKED_MAX) % len(links)
        return (links + links)[self._turn : self._turn + PEERS_ASKED_MAX]

    def ask_votes(self, peers: list[PublicKey]) -> None:
        """Ask for what is missing of this height."""
        votes = self.consensus.votes
        if votes is None:
            return
        rounds = sorted(votes.rounds)[-ROUNDS_ASKED_MAX:]
        held = tuple(_held(round_, votes.rounds[round_], votes.suffrage) for round_ in rounds)
        wanted = VotesWanted(height=votes.height, round=votes.round, rounds=held)
        for instance in peers:
            self.kernel.emit(Ask(instance=instance, request=wanted))

    def ask_tip(self) -> None:
        """At rest while a peer claims this height is committed: ask it, at most once a second."""
        votes, kernel = self.consensus.votes, self.kernel
        if votes is None or votes.started_ms is not None or Timer.TIP in kernel.deadlines:
            return
        ahead = kernel.members.serving(votes.height)
        if ahead:
            self.ask_votes(ahead[:2])
            kernel.set_timer(Timer.TIP, TIP_ASK_INTERVAL_MS)

    def hurry(self) -> None:
        """Others were seen two heights on, so what is missed here is decided: ask for it at once.

        On a quick chain t_r is several heights: who waited for it would fall behind for good.
        """
        votes, kernel = self.consensus.votes, self.kernel
        if votes is None or kernel.now_ms - self._hurried_ms < HURRY_MS:
            return
        self._hurried_ms = kernel.now_ms
        if votes.final is not None:
            self.pull_final(votes, votes.final, again=True)
        else:
            self.ask_votes(kernel.members.serving(votes.height)[:2])

    # Pulling content.

    def pull(self, *, again: bool = False) -> None:
        """Ask for seals, values or the block that this height waits for.

        Each is asked for when first missed; then, every t_r, from the next who should have it.
        """
        votes = self.consensus.votes
        if votes is None:
            return
        if votes.height != self._height:
            self._height = votes.height
            self._pulled.clear()
        if votes.final is not None:
            self.pull_final(votes, votes.final, again)
            return
        wanted = self.wanted_values(votes)
        for vid in wanted:
            value = votes.values.get(vid)
            if value is None:
                if self.first_time(vid, again):
                    self.ask_votes(self.holders(votes, vid)[:2])
                continue
            missing = self.values.missing(value)
            if missing and self.first_time(vid, again):
                self.ask_seals(missing, self.holders(votes, vid), self._pulled[vid] - 1)

    def first_time(self, key: Hash, again: bool) -> bool:
        """Whether to ask now; counts the tries."""
        tries = self._pulled.get(key, 0)
        if tries and not again:
            return False
        self._pulled[key] = tries + 1
        return True

    def wanted_values(self, votes: HeightVotes) -> list[Hash]:
        """Values this node has reason to hold: proposed, certified, or to propose again."""
        wanted: dict[Hash, None] = {}
        here = votes.here
        if here.proposal is not None and votes.verdicts.get(here.proposal.value.hash, True):
            wanted[here.proposal.value.hash] = None
        for round_ in sorted(votes.rounds, reverse=True):
            vp = votes.rounds[round_].init_vp
            if vp is not None and vp.fact.value is not None:
                wanted[vp.fact.value] = None
                break
        return list(wanted)

    def holders(self, votes: HeightVotes, vid: Hash) -> list[PublicKey]:
        """Who should have a value: its proposers, then who signed INIT for it, then anybody."""
        found: dict[PublicKey, None] = {}
        for round_ in sorted(votes.rounds, reverse=True):
            at = votes.rounds[round_]
            if at.proposal is not None and at.proposal.value.hash == vid:
                found[at.proposal.instance] = None
        for round_ in sorted(votes.rounds, reverse=True):
            at = votes.rounds[round_]
            for ballot in at.init.values():
                if ballot.fact.value == vid:
                    found[ballot.instance] = None
            if at.init_vp is not None and at.init_vp.fact.value == vid:
                for address in at.init_vp.addresses:
                    found[votes.suffrage.by_address[address].instance] = None
        found.update(dict.fromkeys(sorted(self.kernel.members.links)))
        links = self.kernel.members.links
        return [instance for instance in found if instance in links]

    def ask_seals(self, missing: tuple[Hash, ...], holders: list[PublicKey], tries: int) -> None:
        """Ask one holder for seals; the next one at the next try."""
        if holders:
            request = SealsWanted(seals=missing[:SEALS_PULLED_MAX])
            self.kernel.emit(Ask(instance=holders[tries % len(holders)], request=request))

    def pull_final(self, votes: HeightVotes, vp: Voteproof, again: bool) -> None:
        """The height is decided elsewhere: take the whole block from who has it."""
        vid = vp.fact.value
        assert vid is not None
        value = votes.values.get(vid)
        if value is not None and not self.values.missing(value):
            return
        if not self.first_time(vid, again):
            return
        tries = self._pulled[vid] - 1
        holders = self.kernel.members.serving(votes.height)
        for address in vp.addresses:
            instance = votes.suffrage.by_address[address].instance
            if instance in self.kernel.members.links and instance not in holders:
                holders.append(instance)
        if value is not None:
            self.ask_seals(self.values.missing(value), holders, tries)
        if holders:
            request = BlocksWanted(first=votes.height, last=votes.height)
            self.kernel.emit(Ask(instance=holders[tries % len(holders)], request=request))

    def not_served(self, source: PublicKey) -> None:
        """Who was asked cannot serve all: ask the next at once."""
        votes = self.consensus.votes
        if votes is None:
            return
        for vid in self.wanted_values(votes):
            value = votes.values.get(vid)
            missing = self.values.missing(value) if value is not None else ()
            tries = self._pulled.get(vid, 0)
            holders = self.holders(votes, vid)
            if missing and tries < len(holders) and holders[tries] == source:
                tries += 1
            if missing and tries < len(holders):
                self._pulled[vid] = tries + 1
                self.ask_seals(missing, holders, tries)

    def prefetch(self, proposal: Proposal) -> None:
        """R11: ask the leader for seals of the next height's value before it can be judged."""
        missing = self.values.missing(proposal.value)
        if missing and proposal.instance in self.kernel.members.links:
            self.ask_seals(missing, [proposal.instance], 0)

    # Serving.

    def serve_votes(self, route: object, wanted: VotesWanted) -> None:
        """Answer with what the asker misses; of a committed height with its ACCEPT VP."""
        kernel, votes = self.kernel, self.consensus.votes
        if wanted.height <= kernel.chain.tip.height:
            block = kernel.chain.block(wanted.height)
            if block is not None and block.accept is not None:
                answer = VotesAnswer(proposals=(), ballots=(), voteproofs=(block.accept,))
                kernel.emit(Answer(route=route, reply=answer))
            return
        if votes is None or wanted.height != votes.height:
            return
        held = {item.round: item for item in wanted.rounds}
        proposals: list[Proposal] = []
        ballots: list[Ballot] = []
        voteproofs: list[Voteproof] = []
        if votes.final is not None:
            voteproofs.append(votes.final)
        for round_ in sorted(votes.rounds, reverse=True)[:ROUNDS_ASKED_MAX]:
            at, other = votes.rounds[round_], held.get(round_)
            missed = _missed(at, other, votes.suffrage)
            if at.proposal is not None and (other is None or not other.proposal):
                proposals.append(at.proposal)
            ballots.extend(missed)
            if at.init_vp is not None and (other is None or not other.init_vp):
                voteproofs.append(at.init_vp)
            if at.draw_vp is not None and (other is None or not other.draw_vp):
                voteproofs.append(at.draw_vp)
        room = VOTES_ANSWERED_MAX - len(proposals) - len(voteproofs)
        if room >= 0 and (proposals or ballots or voteproofs):
            answer = VotesAnswer(
                proposals=tuple(proposals),
                ballots=tuple(ballots[:room]),
                voteproofs=tuple(voteproofs),
            )
            kernel.emit(Answer(route=route, reply=answer))

    def serve_seals(self, route: object, wanted: SealsWanted) -> None:
        """Answer with the seals that are here, and name those that are not."""
        found, missing, size = [], [], 0
        for seal_hash in wanted.seals:
            seal = self.kernel.pool.get(seal_hash)
            if seal is None or size + len(seal.data) > self.kernel.params.block_bytes_max:
                missing.append(seal_hash)
            else:
                size += len(seal.data)
                found.append(seal.data)
        reply = SealsAnswer(seals=tuple(found), missing=tuple(missing))
        self.kernel.emit(Answer(route=route, reply=reply))

    def take_announced(self, source: PublicKey, announced: SealsAnnounced) -> None:
        """Pull announced seals that are not here."""
        pool, chain = self.kernel.pool, self.kernel.chain
        missing = tuple(
            seal for seal in announced.seals if pool.get(seal) is None and not chain.executed(seal)
        )
        if missing:
            self.kernel.emit(Ask(instance=source, request=SealsWanted(seals=missing)))


def _mask(addresses: dict[Address, Ballot], suffrage: Suffrage) -> int:
    mask = 0
    for index, member in enumerate(suffrage.members):
        if member.address in addresses:
            mask |= 1 << index
    # 64 bits fit the wire; members beyond are sent again, which is harmless.
    return mask & (2**63 - 1)


def _held(round_: int, at: RoundVotes, suffrage: Suffrage) -> RoundHeld:
    # Of a leader's two proposals the certified one counts, whichever came first.
    counts = at.proposal is not None and (
        at.init_vp is None or at.init_vp.fact.value == at.proposal.value.hash
    )
    return RoundHeld(
        round=round_,
        proposal=counts,
        init_mask=_mask(at.init, suffrage),
        accept_mask=_mask(at.accept, suffrage),
        init_vp=at.init_vp is not None,
        draw_vp=at.draw_vp is not None,
    )


def _missed(at: RoundVotes, other: RoundHeld | None, suffrage: Suffrage) -> list[Ballot]:
    """Ballots of a round that the asker holds neither singly nor in a certificate."""
    found = []
    for index, member in enumerate(suffrage.members):
        bit = 1 << index
        init = at.init.get(member.address)
        if init is not None and (other is None or not (other.init_vp or other.init_mask & bit)):
            found.append(init)
        accept = at.accept.get(member.address)
        if accept is not None and (other is None or not other.accept_mask & bit):
            found.append(accept)
    return found
