"""Whole clusters of machines wired in memory: first come, first served, no delay, no loss."""

from __future__ import annotations

from collections import deque

from zmqnode.base.block import Block
from zmqnode.base.exchange import BlocksAnswer, SealsAnswer
from zmqnode.base.params import Params
from zmqnode.base.seal import Seal, read_seal
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.effects import (
    Answer,
    Ask,
    Commit,
    Effect,
    Execute,
    Publish,
    PublishSeals,
    ServeBlocks,
)
from zmqnode.core.events import (
    Answered,
    BlocksReceived,
    Event,
    Heard,
    PeerConnected,
    Requested,
    SealsReceived,
    Woke,
)

from .harness import Members, Node, word

STEPS_MAX = 100_000


class Cluster:
    """``n`` nodes at one time; :meth:`settle` lets all that was said be heard."""

    def __init__(self, n: int, params: Params | None = None) -> None:
        self.members = Members(n)
        self.nodes = [Node(self.members, me=i, params=params or Params()) for i in range(n)]
        self.inbox: deque[tuple[int, Event]] = deque()
        self.transcript: list[str] = []
        self.blocks: list[dict[int, tuple[Block, Voteproof]]] = [{} for _ in range(n)]
        self._contents: dict[bytes, tuple[Execute, Block]] = {}
        self._cut: tuple[int, ...] = ()

    # Driving.

    def start(self, *who: int) -> None:
        """Boot members and connect them to all that run."""
        for i in who:
            self._perform(i, self.nodes[i].boot())
        for i in who:
            for j in range(len(self.nodes)):
                if j != i and self.nodes[j].machine.kernel is not None:
                    self._connect(i, j)
                    if j not in who:
                        self._connect(j, i)
        self.settle()

    def _connect(self, i: int, j: int) -> None:
        members = self.members
        event = PeerConnected(address=members.addresses[j], instance=members.instance(j))
        self.inbox.append((i, event))

    def cut(self, *who: int) -> None:
        """These members' words reach nobody, nor do they hear any, from now on."""
        self._cut = who

    def settle(self) -> None:
        """Until nothing is on its way any more."""
        for _ in range(STEPS_MAX):
            if not self.inbox:
                return
            i, event = self.inbox.popleft()
            self._perform(i, self.nodes[i].step(event))
        raise AssertionError("a storm")

    def wait(self, ms: int) -> None:
        """Let time pass for all, millisecond by millisecond."""
        for _ in range(ms):
            for i, node in enumerate(self.nodes):
                if node.machine.kernel is None:
                    continue
                node.now_ms += 1
                wake = node.machine.wake_at_ms
                if wake is not None and wake <= node.now_ms:
                    self._perform(i, node.step(Woke()))
            self.settle()

    def submit(self, i: int, *seals: Seal) -> None:
        """Seals of a client of one member."""
        for seal in seals:
            self._perform(i, self.nodes[i].step(SealsReceived(seals=(seal,), token="client")))
        self.settle()

    # Effects.

    def _perform(self, i: int, effects: list[Effect]) -> None:
        for effect in effects:
            text = word(effect)
            if text:
                self.transcript.append(f"{i}: {text}")
            self._perform_one(i, effect)

    def _perform_one(self, i: int, effect: Effect) -> None:
        members, own = self.members, self.members.instance(i)
        match effect:
            case Publish(message=message):
                self._broadcast(i, Heard(message=message, source=own))
            case PublishSeals(seals=seals):
                self._broadcast(i, SealsReceived(seals=seals, source=own))
            case Ask(instance=instance, request=request):
                j = members.signers.index(
                    next(signer for signer in members.signers if signer.public == instance)
                )
                self._send(i, j, Requested(source=own, route=i, request=request))
            case Answer(route=int() as j, reply=SealsAnswer(seals=data, missing=missing)):
                seals = tuple(read_seal(item) for item in data)
                event = SealsReceived(seals=seals, source=own, pulled=True, missing=missing)
                self._send(i, j, event)
            case Answer(reply=BlocksAnswer()):
                raise AssertionError("blocks are served by ServeBlocks")
            case Answer(route=int() as j, reply=reply):
                self._send(i, j, Answered(source=own, reply=reply))
            case ServeBlocks(route=int() as j, first=first, last=last):
                found = [self.blocks[i][h] for h in range(first, last + 1) if h in self.blocks[i]]
                event = BlocksReceived(source=own, first=first, blocks=tuple(found))
                self._send(i, j, event)
            case Execute(value=value, seals=seals):
                self._contents[value.hash] = (effect, members.full_block(value, seals))
                self.inbox.append((i, members.executed(value)))
            case Commit(height=height, value=vid, accept=accept):
                self.blocks[i][height] = (self._contents[vid][1], accept)
            case _:
                pass

    def _broadcast(self, i: int, event: Event) -> None:
        for j in range(len(self.nodes)):
            if j != i:
                self._send(i, j, event)

    def _send(self, i: int, j: int, event: Event) -> None:
        runs = self.nodes[j].machine.kernel is not None
        if runs and i not in self._cut and j not in self._cut:
            self.inbox.append((j, event))
