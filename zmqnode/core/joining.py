"""D6: after every start, before its first signature, an instance asks what it signed before.

It waits for q - 1 members' answers (a quorum needs those members anyway). An answer is the newest
ballot that member holds from this instance, or a signed "none". One that is newer than the journal
means an old backup, a lost tail or a second copy: the instance must not vote.
"""

from __future__ import annotations

from zmqnode.base.ballot import Fact
from zmqnode.base.exchange import LastBallotAnswer, LastBallotWanted, sign_last_ballot
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address, PublicKey
from zmqnode.base.suffrage import Suffrage
from zmqnode.core.effects import Answer, Ask
from zmqnode.core.kernel import Kernel
from zmqnode.core.values import Values
from zmqnode.core.voter import position

STALE_WAY_OUT = (
    "this data folder is older than the instance's last vote (an old backup, a lost tail, or a "
    "second copy is running): stop it and bring a copy with an empty data folder in as the "
    "address's new instance"
)


class Joining:
    """The answers to D6 of this start."""

    def __init__(self, kernel: Kernel, values: Values, nonce: Hash) -> None:
        self.kernel = kernel
        self.values = values
        self.nonce = nonce
        self.answers: dict[Address, None] = {}

    def enough(self) -> bool:
        """Whether q - 1 other members answered."""
        suffrage = self._suffrage()
        others = [a for a in self.answers if a in suffrage.by_address]
        return len(others) >= suffrage.q - 1

    def _suffrage(self) -> Suffrage:
        """Who votes on the next block: what is decided beyond has no say in it yet."""
        chain = self.kernel.chain
        return chain.suffrage(chain.tip.height + 1)

    def ask(self, only: PublicKey | None = None) -> None:
        """Ask every connected member that has not answered, or the one just connected."""
        request = LastBallotWanted(instance=self.kernel.own, nonce=self.nonce)
        for instance, address in self.kernel.members.links.items():
            if address not in self.answers and only in (None, instance):
                self.kernel.emit(Ask(instance=instance, request=request))

    def serve(self, route: object, wanted: LastBallotWanted) -> None:
        """Answer in any state, with the ballot itself or a signed none."""
        self.values.check_late()
        seen = self.kernel.members.instances.get(wanted.instance)
        ballot = seen.last if seen is not None else None
        answer = sign_last_ballot(wanted, ballot, self.kernel.config.signer)
        self.kernel.emit(Answer(route=route, reply=answer))

    def _unknown(self, fact: Fact) -> bool:
        """Whether a ballot of this instance is newer than its journal, or contradicts it."""
        voter = self.kernel.voter
        if voter.last is None or position(fact) > position(voter.last.fact):
            return True
        held = voter.ballot(fact.height, fact.round, fact.stage)
        if position(fact) == position(voter.last.fact):
            held = voter.last
        return held is not None and held.fact != fact

    def take(self, answer: LastBallotAnswer) -> None:
        """Count a member's answer; a newer ballot of this instance ends its voting."""
        kernel = self.kernel
        if answer.nonce != self.nonce or answer.instance != kernel.own:
            return
        member = self._suffrage().by_instance.get(answer.answerer)
        if member is None or member.address == kernel.config.address:
            return
        if not answer.verified(kernel.config.domain, kernel.config.verify):
            return
        ballot = answer.ballot
        if ballot is not None:
            own = ballot.instance == kernel.own
            if not own or not ballot.verified(kernel.config.domain, kernel.config.verify):
                return
            if self._unknown(ballot.fact):
                if member.address not in self.answers and not kernel.fault:
                    kernel.break_down(
                        f"{member.address} holds a ballot of this instance, of height "
                        f"{ballot.fact.height}, that its journal does not: newer, or another vote",
                        STALE_WAY_OUT,
                    )
                return
        self.answers[member.address] = None
