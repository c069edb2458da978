"""Which messages show that a height was decided: those that a Hush of the plan takes."""

from __future__ import annotations

from zmqnode.base.ballot import Ballot, Fact
from zmqnode.base.exchange import Status, VotesAnswer
from zmqnode.base.point import Stage
from zmqnode.base.proposal import Proposal
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.events import Answered, BlocksReceived, Event, Heard


def tells(event: Event, height: int) -> bool:
    """Whether an event would show its receiver that ``height`` was decided at round 0."""
    match event:
        case Heard(message=message) | Answered(reply=message):
            return _shows(message, height)
        case BlocksReceived(first=first, blocks=blocks):
            return first + len(blocks) > height
        case _:
            return False


def _shows(message: object, height: int) -> bool:
    match message:
        case Ballot(fact=fact):
            return _decides(fact, height)
        case Voteproof(fact=fact):
            return fact.height > height or (fact.height == height and fact.block is not None)
        case Proposal():
            return message.height > height
        case Status():
            return message.tip >= height
        case VotesAnswer(proposals=proposals, ballots=ballots, voteproofs=voteproofs):
            return any(_shows(part, height) for part in (*proposals, *ballots, *voteproofs))
        case _:
            return False


def _decides(fact: Fact, height: int) -> bool:
    if fact.height != height:
        return fact.height > height
    return fact.round == 0 and fact.stage is Stage.ACCEPT and not fact.draw
