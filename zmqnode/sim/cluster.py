"""A whole cluster in virtual time: builds a plan's nodes, lets its faults happen, runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from zmqnode.base.block import Block
from zmqnode.base.keys import PublicKey
from zmqnode.base.params import Params
from zmqnode.base.proposal import Value
from zmqnode.base.seal import Seal, read_seal
from zmqnode.base.signing import Domain
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.authority import Authority, Context, founded
from zmqnode.core.events import Event, PeerConnected, PeerLost
from zmqnode.core.machine import Machine
from zmqnode.core.world import MachineConfig
from zmqnode.sim import betrayals
from zmqnode.sim.application import Result, ToyApp, genesis_block
from zmqnode.sim.checkers import Checkers, Violation
from zmqnode.sim.clients import SimClients
from zmqnode.sim.copies import (
    Identity,
    genesis_suffrage,
    member_identity,
    standby_identity,
)
from zmqnode.sim.disk import SimDisk, Stored
from zmqnode.sim.handover_watch import HandoverWatch
from zmqnode.sim.hushing import tells
from zmqnode.sim.network import SimNetwork
from zmqnode.sim.node import SimNode
from zmqnode.sim.operators import Operators
from zmqnode.sim.plan import Disk, Plan, Stall
from zmqnode.sim.power import Power
from zmqnode.sim.signing import KeyTable
from zmqnode.sim.timeline import Timeline
from zmqnode.sim.transcript import Teller, Transcript

NETWORK_ID: Final = "simulated"
EPOCH_MS: Final = 1_790_000_000_000  # Wall clock at virtual time 0.
# No run may drown in messages: of each node to each other one so many a virtual second (t_r is at
# least 20 ms, and a round's worth of ballots goes out then) and so many a height, beside a free
# amount.
MESSAGES_A_SECOND: Final = 700
MESSAGES_A_HEIGHT: Final = 150
MESSAGES_FREE: Final = 20_000
LOOK_MS: Final = 1_000
PER_MILLE: Final = 1000
LINK_UP_US: Final = 2_000
LINK_LOST_MAX_US: Final = 7_500_000  # NETWORK.md: a frozen peer is noticed after about 7.5 s.

MachineMaker = Callable[[MachineConfig], Machine]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a run: ``violation`` None means that everything held."""

    plan: Plan
    violation: Violation | None
    digest: str
    handovers: int
    height: int
    virtual_ms: int
    happenings: int
    performed: int


class Cluster:
    """One run of one plan."""

    def __init__(
        self, plan: Plan, *, make: MachineMaker = Machine, tell: Teller | None = None
    ) -> None:
        self.plan = plan
        self.random = Random(plan.seed)
        self.timeline = Timeline()
        self.transcript = Transcript(tell)
        self.keys = KeyTable()
        self.epoch_ms = EPOCH_MS
        self.healed = False
        self.performed = 0
        self._make = make
        self.suffrage = genesis_suffrage(plan, self.keys)
        self.genesis = genesis_block(self.suffrage)
        self._founded: Authority = founded(self.suffrage)
        self.domain = Domain(network_id=NETWORK_ID, genesis=self.genesis.hash)
        self.params = Params(
            block_interval_ms=plan.block_interval_ms,
            empty_block_interval_ms=plan.empty_block_interval_ms,
            seal_ttl_ms=plan.seal_ttl_ms,
            veto_window_ms=plan.veto_window_ms,
            ack_window_ms=plan.ack_window_ms,
            handover_cooldown_ms=plan.handover_cooldown_ms,
            open_handovers_max=plan.open_handovers_max,
        )
        self.summaries_span_ms = self.params.seal_ttl_ms + self.params.seal_ahead_ms
        self.checkers = Checkers(plan, self.suffrage, self.params, self.domain, self.keys)
        self.network = SimNetwork(self.timeline, self.random, plan.links, plan.cuts)
        self.watch = HandoverWatch(self)
        self.nodes = self._copies()
        self._seals: dict[bytes, Seal] = {}
        betrayals.corrupt(self)
        self._instances: dict[PublicKey, list[SimNode]] = {}
        for node in self.nodes:
            self._instances.setdefault(node.identity.instance, []).append(node)
        self.power = Power(self, plan.crashes, plan.dead)
        self.operators = Operators(self, plan.askings)
        self.clients = SimClients(self, plan.clients, Random(self.random.random()))
        self._violation: Violation | None = None
        self._done = False

    def _node(self, index: int, identity: Identity) -> SimNode:
        plan, place = self.plan, identity.place
        disk = plan.disks[place] if place < len(plan.disks) else Disk()
        node = SimNode(self, index, identity, disk)
        if place < len(plan.clocks):
            node.offset_ms = plan.clocks[place]
        return node

    def _copies(self) -> list[SimNode]:
        """The members, then their standbys."""
        plan, keys, domain = self.plan, self.keys, self.domain
        who = [member_identity(plan, keys, domain, at) for at in range(plan.nodes)]
        who += [standby_identity(plan, keys, domain, at) for at in range(len(plan.standbys))]
        return [self._node(index, identity) for index, identity in enumerate(who)]

    def add_twin(self, member: int) -> SimNode:
        """A second machine under a member's key."""
        twin = self._node(len(self.nodes), self.nodes[member].identity)
        self.nodes.append(twin)
        return twin

    # What nodes are made of.

    def new_disk(self, own: PublicKey) -> SimDisk:
        """An empty disk with an instance key and block 0 on it."""
        return SimDisk(Stored(block=self.genesis, accept=None, authority=self._founded), own)

    def new_app(self, member: int) -> ToyApp:
        """The application of a member."""
        plan = self.plan
        height = plan.drift_height if plan.drift_node == member else 0
        genesis = Result(block=self.genesis, authority=self._founded)
        return ToyApp(genesis, self._context, height, plan.drift_life)

    def _context(self, value: Value) -> Context:
        return Context(
            height=value.height,
            time_ms=value.time_ms,
            params=self.params,
            domain=self.domain,
            verify=self.keys.verify,
        )

    def new_machine(self, identity: Identity) -> Machine:
        """A newborn machine of an instance."""
        return self._make(
            MachineConfig(
                address=identity.address,
                signer=identity.signer,
                params=self.params,
                domain=self.domain,
                verify=self.keys.verify,
                identity=identity.authority,
                url=identity.url,
                consent_asks=identity.asked,
                standby_after_ms=identity.auto_ms,
            )
        )

    def read_seal(self, data: bytes) -> Seal:
        """The seal of its bytes; one object for the same bytes."""
        seal = self._seals.get(data)
        if seal is None:
            seal = self._seals[data] = read_seal(data)
        return seal

    def execution_us(self) -> int:
        """How long the application will take this time."""
        execution = self.plan.execution
        if execution.slow and not self.healed:
            if self.random.random() * PER_MILLE < execution.slow:
                return execution.slow_ms * 1000
        return self.random.randint(execution.least_us, execution.most_us)

    @property
    def wall_ms(self) -> int:
        """True wall time."""
        return self.epoch_ms + self.timeline.now_ms

    def renamed(self, node: SimNode, old: PublicKey) -> None:
        """A copy goes on with another instance key: its links end and begin anew."""
        self._instances[old].remove(node)
        self._instances.setdefault(node.identity.instance, []).append(node)
        event = PeerLost(instance=old)
        for peer in self.nodes:
            if peer is not node and peer.machine is not None:
                self.timeline.after(0, peer.receive_in, peer.life, event)

    # Notes.

    def note(self, node: SimNode, what: bytes, detail: bytes) -> None:
        """Into the transcript."""
        self.transcript.note(self.timeline.now_us, node.index, what, detail)

    def tell(self, node: SimNode, words: str) -> None:
        """To whoever reads along."""
        if self.transcript.tell is not None:
            self.transcript.tell(f"{self.timeline.now_us / 1000:10.3f} n{node.index} {words}")

    # Links and messages.

    def connect(self, node: SimNode) -> None:
        """Links between a node that started and all that are up."""
        for peer in self.nodes:
            if peer.identity.instance == node.identity.instance or peer.machine is None:
                continue
            for one, other in ((node, peer), (peer, node)):
                who = other.identity
                event = PeerConnected(address=who.address, instance=who.instance, url=who.url)
                delay_us = self.random.randint(1, LINK_UP_US)
                self.timeline.after(delay_us, one.receive_in, one.life, event)

    def disconnect(self, node: SimNode) -> None:
        """A node died; its peers notice at once or much later."""
        event = PeerLost(instance=node.identity.instance)
        for peer in self.nodes:
            if peer is not node and peer.machine is not None:
                delay_us = (
                    0 if self.random.random() < 0.5 else self.random.randint(0, LINK_LOST_MAX_US)
                )
                self.timeline.after(delay_us, self._lose, peer, peer.life, node, event)

    @staticmethod
    def _lose(peer: SimNode, life: int, node: SimNode, event: Event) -> None:
        if node.machine is None:
            peer.receive_in(life, event)

    def broadcast(self, sender: SimNode, event: Event) -> None:
        """To every other instance."""
        own = sender.identity.instance
        for node in self.nodes:
            if node.identity.instance != own:
                self.send(sender, node, event)

    def send(self, sender: SimNode, target: SimNode, event: Event) -> None:
        """To one node, through the faults of the network (and the masks of twins)."""
        for end, other in ((sender, target), (target, sender)):
            if end.adversary is not None and not end.adversary.reaches(other):
                return
        source, goal = sender.identity.place, target.identity.place
        if not self._hushed(goal, event):
            self.network.send(source, goal, target.receive, event)

    def _hushed(self, place: int, event: Event) -> bool:
        """Whether the plan keeps this from a copy."""
        if self.healed or not self.plan.hushes:
            return False
        return any(place in hush.targets and tells(event, hush.height) for hush in self.plan.hushes)

    def send_to_instance(self, sender: SimNode, instance: PublicKey, event: Event) -> None:
        """To whoever answers for an instance key (one of the twins)."""
        nodes = self._instances.get(instance)
        if nodes:
            node = nodes[0] if len(nodes) == 1 else self.random.choice(nodes)
            if node.machine is not None:
                self.send(sender, node, event)

    def send_back(self, sender: SimNode, asker: SimNode, life: int, event: Event) -> None:
        """An answer, to that life of the asker only."""
        source, goal = sender.identity.place, asker.identity.place
        if self._hushed(goal, event):
            return
        self.network.send(source, goal, asker.receive_in, life, event)

    def forgets(self, node: SimNode) -> bool:
        """Whether the plan makes a node's disk lose what it had synced."""
        return any(crash.forget and crash.node == node.index for crash in self.plan.crashes)

    # What nodes report.

    def committed(self, node: SimNode, block: Block, accept: Voteproof) -> None:
        """A node has a new tip."""
        if not node.honest:
            return
        honest = [n for n in self.nodes if n.honest]
        latest_ms = self.wall_ms + max(n.offset_ms for n in honest)
        disks = {n.identity.instance: n.disk for n in honest if not self.forgets(n)}
        self.checkers.committed(block, accept, disks, latest_ms)
        self.watch.committed(node, block.height)
        self.clients.committed(block.seals)
        if not self.healed and block.height >= self.plan.heights - self.plan.heal_before:
            self.heal()
        self._look()

    def broke(self, node: SimNode, cause: str) -> None:
        """A node went to BROKEN: right only for one whose disk or application failed it."""
        if node.honest and not self.forgets(node) and node.identity.member != self.plan.drift_node:
            raise Violation("broken", node.disk.height + 1, f"n{node.index}: {cause}")

    # The run.

    def heal(self) -> None:
        """The last fault ends."""
        if self.healed:
            return
        self.healed = True
        self.network.heal()
        self.timeline.after(0, self.power.heal)
        self.timeline.after(LOOK_MS * 1000, self._look_again)
        self.timeline.after(self.plan.bound_ms * 1000, self._overdue)

    def _look(self) -> None:
        """Whether the goal is reached by every honest node that can."""
        if not self.healed or not self.clients.idle or self.operators.busy:
            return
        goal = self._goal()
        for node in self.nodes:
            if node.honest and node.index not in self.power.gone and node.broken is None:
                if node.machine is None or node.disk.height < goal:
                    return
        self._done = not self.watch.open()

    def _goal(self) -> int:
        """The height that all must reach; without empty blocks: what any of them has."""
        if self.plan.empty_block_interval_ms:
            return self.plan.heights
        return max(self.checkers.chain, default=0)

    def _look_again(self) -> None:
        """Seals may expire and nodes may start without any commit."""
        self._look()
        self.timeline.after(LOOK_MS * 1000, self._look_again)

    def _overdue(self) -> None:
        heights = [node.disk.height if node.machine else -1 for node in self.nodes]
        waiting = len(self.clients.open)
        unsettled = self.watch.open()
        if unsettled and min(h for h in heights if h >= 0) >= self._goal():
            raise Violation("handover-bound", max(heights), "; ".join(unsettled))
        raise Violation(
            "progress",
            min(height for height in heights) + 1,
            f"{self.plan.bound_ms} ms after the last fault: heights {heights},"
            f" {waiting} seals not committed",
        )

    def _jump(self, node: SimNode, offset_ms: int) -> None:
        node.offset_ms = offset_ms
        node.read_clock()

    def _stall(self, stall: Stall) -> None:
        node = self.nodes[stall.node]
        if node.machine is not None and not self.healed:
            node.still.begin(stall.ms, node.go_on, node.life)

    def run(self) -> Outcome:
        """To the goal, or to the first violation."""
        try:
            for jump in self.plan.jumps:
                node = self.nodes[jump.node]
                self.timeline.at(jump.at_ms * 1000, self._jump, node, jump.offset_ms)
            for stall in self.plan.stalls:
                self.timeline.at(stall.start_ms * 1000, self._stall, stall)
            self.timeline.at(self.plan.heal_ms * 1000, self.heal)
            for node in self.nodes:
                self.timeline.after(self.random.randint(0, LINK_UP_US), node.start)
            while not self._done and self.timeline.advance():
                if not self.timeline.done & 0xFFF:
                    self._count()
            if self.plan.faultless:
                # Who has not committed a height yet, as its disk is slow, may still sign there.
                self.checkers.missed_nothing(min(node.disk.height for node in self.nodes))
            self.watch.finished()
        except Violation as violation:
            self._violation = violation
        return self._outcome()

    def _count(self) -> None:
        """No run may drown in messages."""
        seconds = 1 + self.timeline.now_ms // 1000
        heights = max(self.checkers.chain, default=0)
        pairs = len(self.nodes) * max(1, len(self.nodes) - 1)
        most = MESSAGES_FREE + pairs * (MESSAGES_A_SECOND * seconds + MESSAGES_A_HEIGHT * heights)
        if self.network.sent > most:
            raise Violation("storm", heights + 1, f"{self.network.sent} messages sent")

    def _outcome(self) -> Outcome:
        found = self._violation
        if found is not None:
            detail = f"{found.checker} {found.height} {found.message}".encode()
            self.transcript.note(self.timeline.now_us, -1, b"violation", detail)
        return Outcome(
            plan=self.plan,
            violation=found,
            digest=self.transcript.digest(),
            handovers=len(self.checkers.epochs.attempts),
            height=max(self.checkers.chain, default=0),
            virtual_ms=self.timeline.now_ms,
            happenings=self.timeline.done,
            performed=self.performed,
        )


def run_plan(plan: Plan, *, make: MachineMaker = Machine, tell: Teller | None = None) -> Outcome:
    """One run of a plan from its beginning to its outcome."""
    return Cluster(plan, make=make, tell=tell).run()
