"""One simulated instance: a machine, its disk, its application, and its way of dying.

Performs effects as the core's ordering contract says: in order, ``Record`` with ``sync`` a barrier.
If the disk is slow, whatever follows the barrier waits, and events that arrive meanwhile queue up.
Counts every effect, so that a plan can let the power fail before or after any of them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from zmqnode.base.ballot import Ballot
from zmqnode.base.exchange import LastBallotAnswer, NodeState, SealsAnswer
from zmqnode.base.handing import Shadow
from zmqnode.base.hashes import Hash, tagged
from zmqnode.base.keys import PublicKey
from zmqnode.core import effects as ask
from zmqnode.core import events as told
from zmqnode.core.effects import Effect
from zmqnode.core.events import Event
from zmqnode.core.machine import Machine
from zmqnode.core.records import BallotSigned, JournalRecord
from zmqnode.core.timing import Timing
from zmqnode.sim.application import Result
from zmqnode.sim.checkers import Violation
from zmqnode.sim.copies import Identity, next_key
from zmqnode.sim.disk import Stored
from zmqnode.sim.plan import Disk
from zmqnode.sim.standstill import INBOX_MAX, Standstill
from zmqnode.sim.transcript import trace_of, where, words_of

if TYPE_CHECKING:
    from zmqnode.sim.adversary import Adversary
    from zmqnode.sim.cluster import Cluster

WAKES_MAX: Final = 200  # At one millisecond of one node: more is a loop.
REKEY_MOST_US: Final = 30_000
BLOCKS_SERVED_MAX: Final = 64


class SimNode:
    """One instance; ``machine`` is None while it is down."""

    def __init__(self, cluster: Cluster, index: int, identity: Identity, disk: Disk) -> None:
        self.cluster = cluster
        self.index = index
        self.identity = identity
        self.disk = cluster.new_disk(identity.instance)
        self.app = cluster.new_app(identity.member)
        self.machine: Machine | None = None
        self.adversary: Adversary | None = None
        self.honest = True
        self.state = NodeState.BOOTING
        self.broken: str | None = None
        self.life = 0  # Counts starts; what belongs to an earlier life is not delivered.
        self.performed = 0  # Effects, over all lives.
        self.offset_ms = 0  # Of the wall clock.
        self.accepted: dict[bytes, int] = {}  # Seals this life told a client it keeps.
        self._disk_model = disk
        self._base_ms = cluster.random.randrange(1 << 40)
        self._wake_planned: int | None = None
        self._wakes = (0, 0)
        self._waiting: tuple[list[Effect], int] | None = None
        self._inbox: deque[Event] = deque()
        self.still = Standstill(cluster.timeline)
        self._answers: dict[PublicKey, None] = {}  # Who answered D6 in this life.
        self.heard_shadows: dict[PublicKey, list[Shadow]] = {}  # In this life.
        self._executing: dict[tuple[Hash, Hash], tuple[Hash, ...]] = {}  # And the value's seals.
        self._perform_one = {
            ask.Record: self._record,
            ask.Publish: self._publish,
            ask.PublishSeals: self._publish_seals,
            ask.Ask: self._ask,
            ask.Answer: self._answer,
            ask.ServeBlocks: self._serve_blocks,
            ask.Execute: self._execute,
            ask.Commit: self._commit,
            ask.AnswerClient: self._answer_client,
            ask.EnterState: self._enter_state,
            ask.Break: self._break,
            **dict.fromkeys((ask.ReportEvidence, ask.Stop), self._nothing),
            ask.ShowHandover: self._show_handover,
            ask.ReplaceKey: self._replace_key,
        }

    # Life and death.

    def start(self) -> None:
        """Boot from what the disk kept."""
        if self.machine is None:
            self._boot()

    def rekey(self, life: int) -> None:
        """The spent key is deleted; the process goes on with a new one, a machine and a pool."""
        if life != self.life or self.machine is None or self.machine.kernel is None:
            return
        cluster, pool = self.cluster, self.machine.kernel.pool
        seals = (*pool, *pool.lane)
        old = self.identity.instance
        self.disk.flush(self.disk.height)
        self.identity = next_key(self.identity, cluster.keys, self.index)
        self.disk.rekey(self.identity.instance)
        cluster.note(self, b"rekey", self.identity.instance)
        self._waiting = None
        self.still.end()
        self._inbox.clear()
        self._executing.clear()
        cluster.renamed(self, old)
        self._boot(self.machine.kernel.timing)
        self.receive(told.SealsReceived(seals=seals, source=self.identity.instance))

    def _boot(self, timing: Timing | None = None) -> None:
        self.life += 1
        self._answers.clear()
        self.heard_shadows.clear()
        self.broken = None
        self.machine = self.cluster.new_machine(self.identity)
        self._wake_planned = None
        nonce = tagged(b"sim-nonce", b"%d %d" % (self.index, self.life))
        recovery = self.disk.recovery(self.cluster.summaries_span_ms, nonce, timing)
        self.receive(told.Booted(recovery=recovery))
        self.read_clock()
        self.cluster.connect(self)

    def crash(self, tail: str, forget: int = 0) -> None:
        """Lose power now."""
        if self.machine is None:
            return
        self.machine = None
        self.cluster.note(self, b"crash", tail.encode())
        self._waiting = None
        self.still.end()
        self._inbox.clear()
        self.disk.blame(self.cluster.random, self._executing.values())
        self._executing.clear()
        self.accepted.clear()
        self.disk.crash(self.cluster.random, tail, forget)
        self.app.restart(
            Result(block=stored.block, authority=stored.authority) for stored in self.disk.blocks
        )
        self.cluster.disconnect(self)

    def read_clock(self) -> None:
        """Tell the machine its wall clock."""
        offset = self.cluster.epoch_ms + self.offset_ms - self._base_ms
        self.receive(told.ClockRead(offset_ms=offset))

    @property
    def now_ms(self) -> int:
        """This node's own monotonic time; only differences mean anything."""
        return self._base_ms + self.cluster.timeline.now_us // 1000

    def go_on(self, life: int) -> None:
        """It stands still no longer."""
        for event in self.still.end() if life == self.life else ():
            self.receive_in(life, event)

    # Events in, effects out.

    def receive(self, event: Event) -> None:
        """An event arrives, now or once a slow sync is done."""
        if self.machine is None:
            return
        if self.adversary is not None:
            self.adversary.hears(event)
        match event:
            case told.Answered(reply=LastBallotAnswer(answerer=answerer)):
                self._answers[answerer] = None
            case told.Heard(message=Shadow() as shadow):
                self.heard_shadows.setdefault(shadow.instance, []).append(shadow)
        if self.still.takes(event):
            return
        if self._waiting is not None:
            if len(self._inbox) < INBOX_MAX:
                self._inbox.append(event)
        else:
            self._step(event)

    def receive_in(self, life: int, event: Event) -> None:
        """An answer to an effect of one life; it dies with it."""
        if life == self.life:
            self.receive(event)

    def _step(self, event: Event) -> None:
        assert self.machine is not None
        try:
            effects = self.machine.step(event, self.now_ms)
        except Exception as error:
            found = f"{type(error).__name__}: {error} {where(error)}"
            raise Violation("exception", self.disk.height + 1, found) from error
        self._perform(effects, 0)

    def _perform(self, effects: list[Effect], first: int) -> None:
        cluster, life = self.cluster, self.life
        faults = cluster.power
        for at in range(first, len(effects)):
            effect = effects[at]
            if faults.armed and faults.strikes(self, after=False):
                return
            self._perform_one[type(effect)](effect)  # type: ignore[operator]
            self.performed += 1
            cluster.performed += 1
            if self.life != life or self.machine is None:
                return
            if faults.armed and faults.strikes(self, after=True):
                return
            slow = self._disk_model.sync_us
            if slow and isinstance(effect, ask.Record) and effect.sync:
                self._waiting = (effects, at + 1)
                cluster.timeline.after(slow, self._resume, life)
                return
        self._plan_wake()

    def _resume(self, life: int) -> None:
        if life != self.life or self._waiting is None or self.machine is None:
            return
        if self.still.delays(self._resume, life):
            return
        effects, at = self._waiting
        self._waiting = None
        self._perform(effects, at)
        self._drain()

    def _drain(self) -> None:
        """The events that queued up behind a slow sync, until the next one."""
        while self._inbox and self._waiting is None and self.machine is not None:
            self._step(self._inbox.popleft())

    def _plan_wake(self) -> None:
        machine = self.machine
        if machine is None:
            return
        wake = machine.wake_at_ms
        if wake is None or (self._wake_planned is not None and self._wake_planned <= wake):
            return
        self._wake_planned = wake
        due_us = max(0, wake - self._base_ms) * 1000
        self.cluster.timeline.at(due_us, self._wake, self.life, wake)

    def _wake(self, life: int, planned: int) -> None:
        if life != self.life or self.machine is None or planned != self._wake_planned:
            return
        if self.still.delays(self._wake, life, planned):
            return
        self._wake_planned = None
        if (wake := self.machine.wake_at_ms) is not None and wake <= self.now_ms:
            at, times = self._wakes
            self._wakes = (self.now_ms, times + 1 if at == self.now_ms else 1)
            if self._wakes[1] > WAKES_MAX:
                raise Violation("spinning", self.disk.height + 1, "asks to be woken without end")
            self.receive(told.Woke())
            if self._waiting is not None:
                return
        self._plan_wake()

    # The effects, one by one.

    def _nothing(self, effect: Effect) -> None:
        self.cluster.note(self, type(effect).__name__.encode(), b"")

    def _record(self, effect: ask.Record) -> None:
        if self.honest:
            self._may_record(effect.record)
        self.disk.append(effect.record, sync=effect.sync)
        name = type(effect.record).__name__.encode()
        self.cluster.note(self, name, b"sync" if effect.sync else b"")

    def _may_record(self, record: JournalRecord) -> None:
        """D2, D6 and BROKEN, as seen on the disk, the wire and in what the node said of itself."""
        height, checkers = record.height, self.cluster.checkers
        checkers.recorded(self.disk, record)
        if isinstance(record, BallotSigned):
            if self.broken is not None:
                raise Violation("broken-vote", height, f"n{self.index} signs though BROKEN")
            if not checkers.asked_enough(self.identity.address, self._answers):
                raise Violation("unasked", height, f"n{self.index} signs before D6 is answered")

    def _publish(self, effect: ask.Publish) -> None:
        message = effect.message
        cluster = self.cluster
        cluster.note(self, b"publish", trace_of(message))
        if cluster.transcript.tell is not None:
            cluster.tell(self, f"publishes {words_of(message)}")
        if isinstance(message, Ballot) and message.instance == self.identity.instance:
            cluster.power.saw_ballot(self, message)
        if self.honest:
            cluster.checkers.sent(self.identity.instance, self.disk, message)
            cluster.watch.sent(self, message)
        if self.adversary is None:
            cluster.broadcast(self, told.Heard(message=message, source=self.identity.instance))
        else:
            self.adversary.publishes(message)

    def _publish_seals(self, effect: ask.PublishSeals) -> None:
        self.cluster.note(self, b"seals", b"".join(seal.hash for seal in effect.seals))
        if self.honest:
            self.cluster.watch.spread(self, effect.seals)
        if self.adversary is None or self.adversary.spreads_seals():
            own = self.identity.instance
            self.cluster.broadcast(self, told.SealsReceived(seals=effect.seals, source=own))

    def _ask(self, effect: ask.Ask) -> None:
        self.cluster.note(self, type(effect.request).__name__.encode(), effect.instance)
        route = (self, self.life)
        self.cluster.watch.asked(effect.request)
        event = told.Requested(source=self.identity.instance, route=route, request=effect.request)
        self.cluster.send_to_instance(self, effect.instance, event)

    def _answer(self, effect: ask.Answer) -> None:
        asker, life = self._route(effect.route)
        reply: Any = effect.reply
        self.cluster.note(self, type(reply).__name__.encode(), b"%d" % asker.index)
        if self.honest:
            self.cluster.checkers.sent(self.identity.instance, self.disk, reply)
            self.cluster.watch.sent(self, reply)
        if self.adversary is not None:
            reply = self.adversary.answers(reply)
            if reply is None:
                return
        own = self.identity.instance
        if isinstance(reply, SealsAnswer):
            seals = tuple(self.cluster.read_seal(data) for data in reply.seals)
            event: Event = told.SealsReceived(
                seals=seals, source=own, pulled=True, missing=reply.missing
            )
        else:
            event = told.Answered(source=own, reply=reply)
        self.cluster.send_back(self, asker, life, event)

    def _serve_blocks(self, effect: ask.ServeBlocks) -> None:
        asker, life = self._route(effect.route)
        self.cluster.note(self, b"serve", b"%d-%d" % (effect.first, effect.last))
        last = min(effect.last, effect.first + BLOCKS_SERVED_MAX - 1, self.disk.height)
        found = self.disk.blocks[effect.first : last + 1] if effect.first > 0 else []
        blocks = tuple((s.block, s.accept) for s in found if s.accept is not None)
        if self.adversary is not None:
            faked = self.adversary.serves(blocks)
            if faked is None:
                return
            blocks = faked
        source = self.identity.instance
        event = told.BlocksReceived(source=source, first=effect.first, blocks=blocks)
        self.cluster.send_back(self, asker, life, event)

    @staticmethod
    def _route(route: object) -> tuple[SimNode, int]:
        assert isinstance(route, tuple)
        return route

    def _execute(self, effect: ask.Execute) -> None:
        value, parent = effect.value, effect.parent
        key = (parent, value.hash)
        self.cluster.note(self, b"execute", value.hash)
        if not self.app.knows(parent):
            raise Violation("execution", value.height, "asked to execute on an unknown parent")
        if key in self._executing:
            raise Violation("execution", value.height, "asked twice at once for one value")
        if tuple(seal.hash for seal in effect.seals) != value.seals:
            raise Violation("execution", value.height, "asked to execute other seals")
        self._executing[key] = value.seals
        took_us = self.cluster.execution_us()
        if self.cluster.clients.poison in value.seals:
            self.cluster.timeline.after(took_us, self._die, self.life, key)
            return
        self.cluster.timeline.after(took_us, self._executed, self.life, effect, took_us // 1000)

    def _die(self, life: int, key: tuple[Hash, Hash]) -> None:
        """The application took the process with it; what was written stays, as no power failed."""
        poison = self.cluster.clients.poison
        if life == self.life and self.machine is not None and poison is not None:
            self._executing = {key: (poison,)}
            self.crash("kept")
            self.cluster.power.killed(self, poison)

    def _executed(self, life: int, effect: ask.Execute, elapsed_ms: int) -> None:
        if life != self.life or self.machine is None:
            return
        self._executing.pop((effect.parent, effect.value.hash), None)
        if not self.app.knows(effect.parent):
            return
        result = self.app.execute(effect.parent, effect.value, effect.seals)
        event = told.Executed(
            parent=effect.parent,
            value=effect.value.hash,
            manifest=result.block.manifest,
            suffrage=result.authority.members,
            elapsed_ms=elapsed_ms,
            authority=result.authority,
            steps=result.steps,
        )
        self.receive(event)

    def _commit(self, effect: ask.Commit) -> None:
        cluster = self.cluster
        cluster.note(self, b"commit", effect.block)
        result = self.app.results.get((effect.parent, effect.value))
        tip = self.disk.blocks[-1].block
        if result is None or result.block.hash != effect.block:
            raise Violation("commit", effect.height, "the block was not executed with this result")
        if effect.parent != tip.hash or effect.height != tip.height + 1:
            raise Violation("commit", effect.height, "not the next block of this node")
        if cluster.transcript.tell is not None:
            cluster.tell(self, f"commits {effect.height} {effect.block.hex()[:6]}")
        if effect.init is not None and self.honest:
            cluster.checkers.voteproof(effect.init)
        block = result.block
        stored = Stored(block=block, accept=effect.accept, authority=result.authority)
        self.disk.commit(stored)
        self.app.committed(effect.parent)
        cluster.committed(self, block, effect.accept)
        lag_us = cluster.random.randint(0, 1000 * self._disk_model.store_lag_ms)
        cluster.timeline.after(lag_us, self._flush, self.life, effect.height)

    def _flush(self, life: int, height: int) -> None:
        if life == self.life and self.machine is not None:
            self.disk.flush(height)

    def _answer_client(self, effect: ask.AnswerClient) -> None:
        self.cluster.note(self, b"client", effect.seal + (effect.code or "").encode())
        if effect.code is None:
            self.accepted[effect.seal] = self.life
        self.cluster.clients.answered(self, effect)

    def _enter_state(self, effect: ask.EnterState) -> None:
        self.state = effect.state
        self.cluster.note(self, b"state", effect.state.name.encode())
        if self.cluster.transcript.tell is not None:
            self.cluster.tell(self, f"is {effect.state.name}: {effect.reason}")

    def _break(self, effect: ask.Break) -> None:
        self.broken = effect.cause
        self.cluster.note(self, b"break", effect.cause.encode())
        self.cluster.broke(self, effect.cause)

    def _show_handover(self, effect: ask.ShowHandover) -> None:
        view = effect.session
        words = f"{view.mode.text} {view.side} {view.phase} {view.outcome}"
        self.cluster.note(self, b"handover", words.encode())
        if self.cluster.transcript.tell is not None:
            self.cluster.tell(self, f"handover: {words}, waits for {view.waits_for}; {view.error}")
        if self.honest:  # Judged once the step's effects are done, its commit among them.
            self.cluster.timeline.after(0, self.cluster.watch.shown, self, self.life, view)

    def _replace_key(self, effect: ask.ReplaceKey) -> None:
        self.cluster.note(self, b"replace key", self.identity.instance)
        if self.honest:
            self.cluster.timeline.after(0, self.cluster.watch.replaces, self, self.life)
        delay_us = self.cluster.random.randint(0, REKEY_MOST_US)
        self.cluster.timeline.after(delay_us, self.rekey, self.life)
