"""One machine, driven by hand: the other members' words are made here and signed with real keys.

Nothing of the core is used to make them, only base values. ``Members`` is the whole suffrage with
all its keys; ``Node`` is one member's machine with a clock, and takes its effects apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from zmqnode.base.ballot import Ballot, Fact, accept_fact, draw_fact, init_fact, sign_ballot
from zmqnode.base.block import Block, Manifest
from zmqnode.base.exchange import (
    LastBallotAnswer,
    LastBallotWanted,
    NodeState,
    Published,
    Status,
    sign_last_ballot,
    sign_status,
)
from zmqnode.base.hashes import ZERO, Hash, sha256, tagged
from zmqnode.base.keys import Address, PrivateKey, PublicKey, Signature, verify
from zmqnode.base.params import Params
from zmqnode.base.point import Point
from zmqnode.base.proposal import FRESH, Proposal, Value, sign_proposal
from zmqnode.base.seal import Seal, make_seal
from zmqnode.base.signing import Domain, Signer
from zmqnode.base.suffrage import Member, Suffrage
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.effects import (
    Ask,
    Break,
    Commit,
    Effect,
    EnterState,
    Publish,
    Record,
)
from zmqnode.core.events import (
    Answered,
    BlocksReceived,
    Booted,
    ClockRead,
    Event,
    Executed,
    Heard,
    PeerConnected,
    SealsReceived,
    Woke,
)
from zmqnode.core.machine import Machine
from zmqnode.core.records import BallotSigned, BlockSummary, JournalRecord, Recovery
from zmqnode.core.world import MachineConfig, PoolLimits

EPOCH_MS = 1_700_000_000_000  # Wall clock at machine time 0.
BORN_MS = 5_000  # Machine time at which nodes boot: any number will do.
WAKES_MAX = 1000
NONCE = sha256(b"this start")

E = TypeVar("E")


def key(name: str) -> PrivateKey:
    return PrivateKey(sha256(name.encode()))


class Members:
    """All members of a suffrage: what they would say, and blocks they would agree on."""

    def __init__(self, n: int) -> None:
        genesis = Manifest(
            height=0,
            parent=ZERO,
            value=tagged(b"t", b"genesis"),
            results_root=ZERO,
            state_root=ZERO,
            suffrage=ZERO,
        )
        self.domain = Domain(network_id="test", genesis=genesis.hash)
        self.genesis = BlockSummary(
            height=0,
            hash=genesis.hash,
            value=genesis.value,
            time_ms=0,
            seals=(),
            voters=(),
            accept=None,
        )
        self.signers = [Signer(key(f"instance {i}"), self.domain) for i in range(n)]
        self.addresses = [Address(f"n{i:02}sas" if n > 10 else f"n{i}sas") for i in range(n)]
        self.suffrage = Suffrage(
            members=tuple(
                Member(
                    address=self.addresses[i],
                    publickey=key(f"identity {i}").public,
                    instance=self.signers[i].public,
                    epoch=0,
                    url=f"tcp://127.0.0.1:{4000 + i}",
                )
                for i in range(n)
            )
        )
        self.n, self.f, self.q = n, self.suffrage.f, self.suffrage.q
        self._nonces = 0

    def instance(self, i: int) -> PublicKey:
        return self.signers[i].public

    # Votes.

    def ballot(self, i: int, fact: Fact) -> Ballot:
        return sign_ballot(fact, self.addresses[i], 0, self.signers[i])

    def init(self, i: int, height: int, round_: int, value: Value) -> Ballot:
        return self.ballot(i, init_fact(Point(height=height, round=round_), value.hash))

    def accept(
        self, i: int, height: int, round_: int, value: Value, block: Hash | None = None
    ) -> Ballot:
        point = Point(height=height, round=round_)
        return self.ballot(i, accept_fact(point, value.hash, block or self.block(value)))

    def draw(self, i: int, height: int, round_: int) -> Ballot:
        return self.ballot(i, draw_fact(Point(height=height, round=round_)))

    def vp(self, fact: Fact, who: Iterable[int] | None = None) -> Voteproof:
        """By the first q members, or by those named."""
        chosen = sorted(range(self.q) if who is None else who)
        ballots = [self.ballot(i, fact) for i in chosen]
        return Voteproof(fact=fact, signatures=tuple((b.address, b.signature) for b in ballots))

    def init_vp(
        self, height: int, round_: int, value: Value, who: Iterable[int] | None = None
    ) -> Voteproof:
        return self.vp(init_fact(Point(height=height, round=round_), value.hash), who)

    def draw_vp(self, height: int, round_: int, who: Iterable[int] | None = None) -> Voteproof:
        return self.vp(draw_fact(Point(height=height, round=round_)), who)

    def accept_vp(
        self,
        height: int,
        round_: int,
        value: Value,
        who: Iterable[int] | None = None,
        block: Hash | None = None,
    ) -> Voteproof:
        point = Point(height=height, round=round_)
        return self.vp(accept_fact(point, value.hash, block or self.block(value)), who)

    # Contents.

    def manifest(self, value: Value) -> Manifest:
        """What everybody's execution of a value gives."""
        return Manifest(
            height=value.height,
            parent=value.parent,
            value=value.hash,
            results_root=tagged(b"t", b"results" + value.hash),
            state_root=tagged(b"t", b"state" + value.hash),
            suffrage=self.suffrage.hash,
        )

    def block(self, value: Value) -> Hash:
        return self.manifest(value).hash

    def full_block(self, value: Value, seals: Sequence[Seal] = ()) -> Block:
        return Block(manifest=self.manifest(value), value=value, seals=tuple(seals), results=())

    def executed(self, value: Value, manifest: Manifest | None = None, ms: int = 1) -> Executed:
        return Executed(
            parent=value.parent,
            value=value.hash,
            manifest=manifest or self.manifest(value),
            suffrage=self.suffrage,
            elapsed_ms=ms,
        )

    def seal(
        self,
        *,
        created_at_ms: int = EPOCH_MS + BORN_MS,
        operations: int = 1,
        size: int = 1,
        sender: str = "sender",
    ) -> Seal:
        self._nonces += 1
        return make_seal(
            [["put", ["k", b"x" * size]]] * operations,
            created_at_ms=created_at_ms,
            nonce=self._nonces.to_bytes(16, "big"),
            key=key(sender),
            domain=self.domain,
        )

    def value(
        self,
        parent: BlockSummary,
        *,
        time_ms: int | None = None,
        seals: Sequence[Seal] = (),
        accept: Voteproof | None = None,
    ) -> Value:
        """A value on a block; at the wall clock of a node's birth unless said otherwise."""
        return Value(
            height=parent.height + 1,
            parent=parent.hash,
            time_ms=max(parent.time_ms + 1, EPOCH_MS + BORN_MS) if time_ms is None else time_ms,
            seals=tuple(seal.hash for seal in seals),
            accept=accept,
        )

    def proposal(
        self,
        i: int,
        round_: int,
        value: Value,
        *,
        reasons: Sequence[Voteproof] = (),
        pr: int = FRESH,
        epoch: int = 0,
    ) -> Proposal:
        return sign_proposal(
            Point(height=value.height, round=round_),
            value,
            pr=pr,
            justification=tuple(reasons),
            address=self.addresses[i],
            epoch=epoch,
            signer=self.signers[i],
        )

    def summary(self, value: Value, accept: Voteproof, seals: Sequence[Seal] = ()) -> BlockSummary:
        return BlockSummary(
            height=value.height,
            hash=self.block(value),
            value=value.hash,
            time_ms=value.time_ms,
            seals=tuple((seal.hash, seal.created_at_ms) for seal in seals),
            voters=() if value.accept is None else value.accept.addresses,
            accept=accept,
        )

    def chain(
        self,
        tip: int,
        voters: Callable[[int], Iterable[int]] | None = None,
        time_ms: Callable[[int], int] | None = None,
    ) -> tuple[BlockSummary, ...]:
        """Blocks 0 to ``tip``; ``voters(h)`` names who accepted block h (all, unless given)."""
        blocks = [self.genesis]
        who = voters or (lambda height: range(self.n))
        when = time_ms or (lambda height: EPOCH_MS + height)
        for height in range(1, tip + 1):
            carried = blocks[height - 2].accept if height > 2 else None
            value = self.value(blocks[-1], time_ms=when(height), accept=carried)
            blocks.append(self.summary(value, self.accept_vp(height, 0, value, who(height))))
        return tuple(blocks)

    # Other words.

    def status(
        self,
        i: int,
        tip: int,
        *,
        state: NodeState = NodeState.CONSENSUS,
        clock_ms: int = EPOCH_MS + BORN_MS,
    ) -> Status:
        return sign_status(
            address=self.addresses[i],
            state=state,
            height=tip + 1,
            tip=tip,
            clock_ms=clock_ms,
            signer=self.signers[i],
        )

    def answer(
        self, i: int, of: int, ballot: Ballot | None = None, nonce: Hash = NONCE
    ) -> LastBallotAnswer:
        """Member i's answer to the D6 question of ``of``."""
        wanted = LastBallotWanted(instance=self.instance(of), nonce=nonce)
        return sign_last_ballot(wanted, ballot, self.signers[i])


def forged(ballot: Ballot) -> Ballot:
    """The same ballot under a signature that is none."""
    return Ballot(
        fact=ballot.fact,
        address=ballot.address,
        instance=ballot.instance,
        epoch=ballot.epoch,
        signature=Signature(bytes(64)),
    )


@dataclass
class Node:
    """Member ``me``'s machine. Time moves only by :meth:`wait`."""

    members: Members
    me: int = 0
    params: Params = field(default_factory=Params)
    pool: PoolLimits = field(default_factory=PoolLimits)
    now_ms: int = BORN_MS

    def __post_init__(self) -> None:
        self.machine = Machine(
            MachineConfig(
                address=self.members.addresses[self.me],
                signer=self.members.signers[self.me],
                params=self.params,
                domain=self.members.domain,
                verify=verify,
                pool=self.pool,
            )
        )
        self.journal: list[JournalRecord] = []
        self.effects: list[Effect] = []  # Of everything so far.
        self.clock_offset_ms = EPOCH_MS

    @property
    def others(self) -> list[int]:
        return [i for i in range(self.members.n) if i != self.me]

    @property
    def kernel(self) -> Any:
        assert self.machine.kernel is not None
        return self.machine.kernel

    @property
    def tip(self) -> BlockSummary:
        found: BlockSummary = self.kernel.chain.tip
        return found

    @property
    def state(self) -> NodeState:
        return self.machine.state

    @property
    def clock_ms(self) -> int:
        return self.now_ms + self.clock_offset_ms

    def next_value(self, seals: Sequence[Seal] = ()) -> Value:
        """A valid value on the tip, at the wall clock."""
        tip = self.tip
        carried = self.kernel.chain.block(tip.height - 1).accept if tip.height > 1 else None
        time_ms = max(tip.time_ms + 1, self.clock_ms)
        return self.members.value(tip, time_ms=time_ms, seals=seals, accept=carried)

    def parent_vp(self) -> tuple[Voteproof, ...]:
        """J of a proposal at round 0."""
        return () if self.tip.accept is None else (self.tip.accept,)

    def decided(self, round_: int = 0, who: Iterable[int] | None = None) -> Value:
        """The next height, decided by the others (``who``: the first q), without this node."""
        value = self.next_value()
        vp = self.members.accept_vp(value.height, round_, value, who)
        self.hear(vp)
        self.serve(self.others[0], self.members.full_block(value), vp)
        assert commits(self.executes(value)) == [value.height]
        return value

    # Driving.

    def step(self, event: Event) -> list[Effect]:
        """One event; the effects it gave."""
        effects = self.machine.step(event, self.now_ms)
        self.effects.extend(effects)
        self.journal.extend(e.record for e in effects if isinstance(e, Record))
        return effects

    def steps(self, *events: Event) -> list[Effect]:
        return [effect for event in events for effect in self.step(event)]

    def hear(self, *messages: Published, source: int | None = None) -> list[Effect]:
        """Published words, by default from their author (a voteproof: from member 1 or 0)."""
        found: list[Effect] = []
        for message in messages:
            author = getattr(message, "instance", None)
            if source is not None:
                author = self.members.instance(source)
            elif author is None:
                author = self.members.instance(self.others[0])
            found += self.step(Heard(message=message, source=author))
        return found

    def wait(self, ms: int) -> list[Effect]:
        """Let time pass; the machine is woken whenever it asked to be."""
        until, found = self.now_ms + ms, []
        for _ in range(WAKES_MAX):
            wake = self.machine.wake_at_ms
            if wake is None or wake > until:
                self.now_ms = until
                return found
            self.now_ms = max(self.now_ms, wake)
            found += self.step(Woke())
        raise AssertionError("asks to be woken without end")

    def boot(
        self,
        blocks: Sequence[BlockSummary] | None = None,
        records: Iterable[JournalRecord] = (),
        watermark: Ballot | None = None,
        bound: bool = True,
        deaths: tuple[tuple[Hash, int], ...] = (),
        executed: tuple[tuple[int, Hash], ...] = (),
    ) -> list[Effect]:
        blocks = (self.members.genesis,) if blocks is None else tuple(blocks)
        tip = blocks[-1].height
        heights = range(max(0, tip - 6), tip + 3)
        recovery = Recovery(
            blocks=blocks,
            suffrages=tuple((height, self.members.suffrage) for height in heights),
            records=tuple(r for r in records if r.height > tip),
            watermark=watermark,
            nonce=NONCE,
            bound=bound,
            deaths=deaths,
            executed=executed,
        )
        return self.steps(Booted(recovery=recovery), ClockRead(offset_ms=self.clock_offset_ms))

    def connect(self, *who: int) -> list[Effect]:
        found: list[Effect] = []
        for i in who:
            address, instance = self.members.addresses[i], self.members.instance(i)
            found += self.step(PeerConnected(address=address, instance=instance))
        return found

    def answered(self, *who: int, ballot: Ballot | None = None) -> list[Effect]:
        """D6 answers of members."""
        found: list[Effect] = []
        for i in who:
            reply = self.members.answer(i, self.me, ballot)
            found += self.step(Answered(source=self.members.instance(i), reply=reply))
        return found

    def join(self, blocks: Sequence[BlockSummary] | None = None, **recovered: Any) -> list[Effect]:
        """Boot, meet all others at the same tip, get D6's answers: CONSENSUS."""
        found = self.boot(blocks, **recovered)
        tip = self.tip.height
        found += self.connect(*self.others)
        found += self.hear(*(self.members.status(i, tip) for i in self.others))
        found += self.answered(*self.others)
        assert self.state is NodeState.CONSENSUS
        return found

    def pool_seals(self, *seals: Seal, token: object = None) -> list[Effect]:
        """Seals of clients."""
        return self.steps(*(SealsReceived(seals=(seal,), token=token) for seal in seals))

    def serve(self, source: int, *blocks: Any, first: int | None = None) -> list[Effect]:
        """Blocks from a peer: block, ACCEPT VP, block, ACCEPT VP, .."""
        pairs = tuple(zip(blocks[::2], blocks[1::2], strict=True))
        if first is None:
            first = pairs[0][0].height
        instance = self.members.instance(source)
        return self.step(BlocksReceived(source=instance, first=first, blocks=pairs))

    def executes(self, value: Value, ms: int = 1) -> list[Effect]:
        return self.step(self.members.executed(value, ms=ms))


# Taking effects apart.


def of(effects: Iterable[Effect], kind: type[E]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


def published(effects: Iterable[Effect], kind: type[E]) -> list[E]:
    return [e.message for e in of(effects, Publish) if isinstance(e.message, kind)]


def facts(effects: Iterable[Effect]) -> list[Fact]:
    """Of the ballots published."""
    return [ballot.fact for ballot in published(effects, Ballot)]


def recorded(effects: Iterable[Effect], kind: type[E]) -> list[E]:
    return [e.record for e in of(effects, Record) if isinstance(e.record, kind)]


def asked(effects: Iterable[Effect], kind: type[E]) -> list[tuple[PublicKey, E]]:
    return [(e.instance, e.request) for e in of(effects, Ask) if isinstance(e.request, kind)]


def broken(effects: Iterable[Effect]) -> list[Break]:
    return of(effects, Break)


def states(effects: Iterable[Effect]) -> list[NodeState]:
    return [effect.state for effect in of(effects, EnterState)]


def commits(effects: Iterable[Effect]) -> list[int]:
    return [effect.height for effect in of(effects, Commit)]


def words(effects: Iterable[Effect]) -> list[str]:
    """Effects in short words, to compare whole lists; statuses are left out."""
    return [text for text in map(word, effects) if text]


def word(effect: Effect) -> str:
    match effect:
        case Publish(message=Status()):
            return ""
        case Record(record=BallotSigned(ballot=ballot), sync=sync):
            return f"record{'!' if sync else ''} {fact_word(ballot.fact)}"
        case Record(record=record, sync=sync):
            return f"record{'!' if sync else ''} {type(record).__name__}"
        case Publish(message=Ballot() as ballot):
            return f"publish {fact_word(ballot.fact)}"
        case Publish(message=Proposal() as proposal):
            return f"publish PROPOSAL {proposal.height}/{proposal.round}"
        case Publish(message=Voteproof() as vp):
            return f"publish VP {fact_word(vp.fact)}"
        case Commit(height=height):
            return f"commit {height}"
        case EnterState(state=state):
            return f"enter {state.name}"
        case Ask(request=request):
            return f"ask {type(request).__name__}"
        case _:
            return type(effect).__name__.lower()


def fact_word(fact: Fact) -> str:
    return f"{'DRAW' if fact.draw else fact.stage.name} {fact.height}/{fact.round}"
