"""From BOOTING to CONSENSUS and back: which state what is known now calls for.

BOOTING replays the journal. SYNCING catches up, and at the tip looks on height by height where
another instance votes. JOINING waits for the answers to D6. CONSENSUS votes, until it finds itself
two heights behind (R10) or another instance entitled."""

from __future__ import annotations

from zmqnode.base.exchange import NodeState
from zmqnode.core.effects import Stop
from zmqnode.core.parts import Parts
from zmqnode.core.votes import HeightVotes, RoundVotes


class Phases:
    """The node's state, settled after every event."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.kernel = parts.kernel

    def settle(self) -> None:
        """After every event: the changes of state that what is known now calls for."""
        kernel = self.kernel
        if self.parts.stopping and self.parts.handing.giving.may_stop():
            self.parts.stopping = False
            kernel.emit(Stop())
        if kernel.fault is not None:
            if self.parts.consensus.votes is not None:
                self.parts.consensus.leave()  # Whatever comes now, nothing more is signed.
            self.parts.handing.settle()
            return
        self._settle_state()
        self.parts.handing.settle()

    def _settle_state(self) -> None:
        kernel = self.kernel
        if kernel.state is NodeState.BOOTING:
            self.parts.syncing.apply()
            if self.parts.syncing.idle() and not self._at_tip():
                kernel.enter_state(NodeState.SYNCING, self._why_syncing())
        if kernel.state is NodeState.SYNCING and self.parts.consensus.votes is None:
            self._follow()
        elif kernel.state is NodeState.BOOTING and self.parts.syncing.idle() and self._at_tip():
            kernel.enter_state(NodeState.JOINING, "at the tip and entitled to vote")
        if kernel.state is NodeState.JOINING:
            self._join()
        if kernel.state is NodeState.CONSENSUS:
            self.parts.leading.propose()
            early = self.parts.leading.propose_early()
            if early is not None:
                self.parts.next_rounds.setdefault(0, RoundVotes()).proposal = early
        if self.parts.consensus.votes is not None:
            self._check_behind()

    def _follow(self) -> None:
        """SYNCING: catch up; at the tip vote if entitled, else look on, height by height."""
        kernel = self.kernel
        self.parts.syncing.advance()
        if not self.parts.syncing.idle():
            return
        if self._at_tip():
            kernel.enter_state(NodeState.JOINING, "at the tip and entitled to vote")
        elif self.parts.entitled() is None and self.parts.syncing.at_tip() and self._heard_enough():
            self.parts.syncing.forget()
            self.begin_height(None)
            self.parts.resending.ask_votes(self.parts.resending.peers())

    def _at_tip(self) -> bool:
        """Entitled to vote on the tip, and as far as the others say it is the tip."""
        return self.parts.entitled() is not None and self.parts.syncing.at_tip()

    def _why_syncing(self) -> str:
        return "behind" if self.parts.entitled() is not None else "another instance votes"

    def _heard_enough(self) -> bool:
        """Whether q - 1 other members said where they are: one that did not may be far ahead.

        D6 waits for as many; its answers name no tip.
        """
        kernel = self.kernel
        suffrage, instances = kernel.chain.newest_suffrage(), kernel.members.instances
        heard = 0
        for member in suffrage.members:
            seen = instances.get(member.instance)
            heard += seen is not None and seen.status_ms is not None
        return heard >= suffrage.q - 1

    def _join(self) -> None:
        """D6 is answered: vote, from where a restart left off."""
        kernel = self.kernel
        epoch = self.parts.entitled()
        if epoch is None or not self._at_tip():
            kernel.enter_state(NodeState.SYNCING, self._why_syncing())
            return
        if not self.parts.joining.enough() or not self._heard_enough():
            return
        self.parts.syncing.forget()
        kernel.enter_state(NodeState.CONSENSUS, "the members answered")
        self.begin_height(epoch)
        self.parts.resending.resend()  # All ballots of the height (D3), if there is work.
        votes = self.parts.consensus.votes
        if votes is not None and votes.started_ms is None:
            self.parts.resending.ask_votes(self.parts.resending.peers())

    def begin_height(self, epoch: int | None) -> None:
        kernel = self.kernel
        tip = kernel.chain.tip
        votes = None
        if self.parts.restored is not None:
            votes = self.parts.restored.height_votes(kernel)
            self.parts.restored = None
        paused, self.parts.paused = self.parts.paused, None
        self.parts.late = False
        self.parts.behind_ms = None  # Who goes on is not behind for longer (R10).
        if votes is None and paused is not None and paused.parent.hash == tip.hash:
            votes = paused
            votes.executing.clear()  # A result that came meanwhile went by.
        if votes is None:
            votes = HeightVotes(tip, kernel.chain.suffrage(tip.height + 1), kernel.now_ms)
        for round_, at in self.parts.next_rounds.items():
            if at.proposal is not None and at.proposal.value.parent != tip.hash:
                at.proposal = None  # R11: on another parent it counts as not sent.
            votes.rounds.setdefault(round_, at)
            if at.proposal is not None:
                vid = at.proposal.value.hash
                votes.values.setdefault(vid, at.proposal.value)
                if at.proposal.instance == kernel.own and not self.parts.values.missing(
                    at.proposal.value
                ):
                    votes.recorded[vid] = None
            votes.work = True
        self.parts.next_rounds = {}
        self.parts.consensus.begin(votes, epoch)
        if epoch is None:
            self.parts.resending.announce_later()

    def _check_behind(self) -> None:
        """R10: for longer than t_r certain that the others are two heights on."""
        kernel = self.kernel
        height = kernel.chain.tip.height + 1
        ahead = [address for address, seen in self.parts.ahead.items() if seen >= height + 2]
        proven = False
        if self.parts.proof is not None and self.parts.proof[0] == height:
            sender = kernel.members.instances.get(self.parts.proof[1])
            proven = sender is not None and sender.tip >= height + 2
        if len(ahead) <= kernel.chain.newest_suffrage().f and not proven:
            self.parts.behind_ms = None
        elif self.parts.behind_ms is None:
            self.parts.behind_ms = kernel.now_ms
        elif kernel.now_ms - self.parts.behind_ms > kernel.timing.resend_ms():
            self.parts.behind_ms = None
            self.leave("behind")

    def leave(self, reason: str) -> None:
        kernel = self.kernel
        self.parts.ahead.clear()
        self.parts.proof = None
        self.parts.paused = (
            self.parts.consensus.votes
        )  # If nothing more is decided, it goes on from here.
        self.parts.consensus.leave()
        self.parts.next_rounds = {}
        self.parts.late = True
        kernel.enter_state(NodeState.SYNCING, reason)

    def go_on(self) -> None:
        """The next height: vote, look on, or (a right to vote that is new) answer D6 first."""
        kernel, epoch = self.kernel, self.parts.entitled()
        if epoch is None and kernel.state is NodeState.CONSENSUS:
            reason = "retired: another instance votes for this address"
            self.parts.handing.giving.retired()
            kernel.enter_state(NodeState.SYNCING, reason)
        elif epoch is not None and kernel.state is not NodeState.CONSENSUS:
            if not self.parts.joining.enough():
                self.parts.consensus.leave()
                kernel.enter_state(NodeState.JOINING, "entitled to vote")
                return
            kernel.enter_state(NodeState.CONSENSUS, "this instance votes from here on")
        self.begin_height(epoch)
