"""What must hold of handovers in every run, judged by what copies send, show and delete.

Who votes is the twin's to say (epochs.py); here is what the copies do around it: shadow ballots are
durable before they are sent, nobody vouches for a copy whose shadow it has not seen, consent is
given by the decided instance alone and for a while, a live copy vetoes its takeover, a key is
deleted only when it can never vote again, and what a copy says of a session is what the chain says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from zmqnode.base.exchange import NodeState
from zmqnode.base.handing import ConsentAnswer, ConsentWanted, ReadyAnswer, ReadyWanted, Shadow
from zmqnode.base.handover import CONSENT_TAG, Handover, Mode, Switch, Veto
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address, PublicKey
from zmqnode.base.seal import Seal
from zmqnode.base.system import is_system, read_system
from zmqnode.core.handover_view import SessionView
from zmqnode.sim.checkers import Violation
from zmqnode.sim.epochs import LAG, Attempt

if TYPE_CHECKING:
    from zmqnode.sim.cluster import Cluster
    from zmqnode.sim.node import SimNode

SHADOWS_LEAST: Final = 5
CONSENT_MOST_MS: Final = 70_000  # Beyond the consenting copy's clock: seal_ttl_ms and a little.
VETO_MS: Final = 40  # A copy that executed its own takeover vetoes within this.
OUTCOMES: Final = {
    "done": ("acknowledged", "closed"),
    "vetoed": ("vetoed",),
    "returned": ("returned",),
    "cancelled": ("cancelled", None),
    "expired": (None,),
    "failed": ("replaced", None),
}


class HandoverWatch:
    """Watches the copies of one run; raises :class:`Violation`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._switches: dict[tuple[Hash, int], Switch] = {}  # Asked about, by session and expiry.
        self._expires_ms: dict[Hash, int] = {}  # Of operations handed in, by session.
        self._shadows: dict[tuple[PublicKey, int], Hash] = {}
        self._vetoed: dict[Hash, None] = {}
        self._deleted: dict[PublicKey, None] = {}
        self._views: dict[int, tuple[int, SessionView]] = {}  # By node: its life, the newest.

    # What copies say to each other.

    def asked(self, request: object) -> None:
        """Somebody asks for a word or for consent."""
        if isinstance(request, ReadyWanted | ConsentWanted):
            switch = request.switch
            self._switches[switch.session, switch.expires_at_ms] = switch

    def sent(self, node: SimNode, message: object) -> None:
        """An honest copy published or answered this."""
        match message:
            case Shadow():
                self._shadow(node, message)
            case ReadyAnswer(session=session, ready=ready) if ready is not None:
                self._ready(node, session)
            case ConsentAnswer(session=session, consent=bytes() as consent):
                self._consent(node, session, consent)

    def _shadow(self, node: SimNode, shadow: Shadow) -> None:
        if shadow.instance != node.identity.instance:
            return
        if (
            shadow.signature not in node.disk.signatures
            and shadow.height > node.disk.durable_height
        ):
            raise Violation("durable", shadow.height, "sent a shadow ballot before its sync")
        key = (shadow.instance, shadow.height)
        if self._shadows.setdefault(key, shadow.block) != shadow.block:
            raise Violation("two-results", shadow.height, "two shadow ballots of one height")

    def _ready(self, node: SimNode, session: Hash) -> None:
        """It has heard enough shadow ballots that named the right blocks."""
        new = next(s.new_instance for (one, _), s in self._switches.items() if one == session)
        cluster = self._cluster
        chain, right = cluster.checkers.chain, 0
        for shadow in node.heard_shadows.get(new, ()):
            block = chain.get(shadow.height, cluster.genesis)
            right += block.height == shadow.height and block.hash == shadow.block
        if right < SHADOWS_LEAST:
            message = f"n{node.index} vouches for a copy of which it saw {right} shadow ballots"
            raise Violation("ready", node.disk.height, message)

    def _consent(self, node: SimNode, session: Hash, consent: bytes) -> None:
        """Given by the decided instance, with nothing open, for a bounded while."""
        cluster, own = self._cluster, node.identity
        height = node.disk.height
        switch = self._signed(own.instance, session, consent)
        if switch is None:
            raise Violation("consent", height, f"n{node.index} consents to what nobody asked")
        place = cluster.checkers.epochs.places[own.address]
        if place.at(height + LAG) != (own.instance, switch.epoch):
            raise Violation("consent", height, f"n{node.index} consents without the vote")
        if self._open_at(own.address, height) is not None:
            raise Violation("consent", height, f"n{node.index} consents while another is open")
        if switch.expires_at_ms > cluster.wall_ms + node.offset_ms + CONSENT_MOST_MS:
            raise Violation("consent", height, f"n{node.index} consents for too long")

    def _signed(self, own: PublicKey, session: Hash, consent: bytes) -> Switch | None:
        cluster = self._cluster
        for (one, _), switch in self._switches.items():
            message = cluster.domain.message(CONSENT_TAG, switch.consent_body())
            if one == session and cluster.keys.verify(own, message, consent):
                return switch
        return None

    def _open_at(self, address: Address, height: int) -> Attempt | None:
        """What was open after block ``height``."""
        for attempt in self._cluster.checkers.epochs.attempts.values():
            ended = attempt.ended_height
            if attempt.operation.address == address and attempt.height <= height:
                if ended is None or ended > height:
                    return attempt
        return None

    def spread(self, node: SimNode, seals: tuple[Seal, ...]) -> None:
        """An honest copy hands in seals."""
        for seal in seals:
            operation = read_system(seal) if is_system(seal) else None
            if isinstance(operation, Veto) and operation.signer == node.identity.instance:
                if node.broken is not None:
                    raise Violation("veto", node.disk.height, f"n{node.index} vetoes though BROKEN")
                self._vetoed[operation.session] = None
            elif isinstance(operation, Handover):
                switch = operation.switch
                before = self._expires_ms.get(switch.session, 0)
                self._expires_ms[switch.session] = max(before, switch.expires_at_ms)

    # What blocks do.

    def committed(self, node: SimNode, height: int) -> None:
        """An honest copy executed and committed a block."""
        epochs = self._cluster.checkers.epochs
        place = epochs.places[node.identity.address]
        if epochs.height == height and place.decided[0] in self._deleted:
            raise Violation("deleted-key", height, f"{place.address}: the vote goes to no copy")
        attempt = self._open_at(place.address, height)
        if attempt is None or attempt.height != height or not attempt.pending:
            return
        if attempt.operation.switch.old_instance == node.identity.instance:
            self._cluster.timeline.after(
                VETO_MS * 1000, self._must_veto, node, node.life, node.state, attempt
            )

    def _must_veto(self, node: SimNode, life: int, state: NodeState, attempt: Attempt) -> None:
        if life != node.life or node.machine is None or state is not NodeState.CONSENSUS:
            return
        if node.state is state and attempt.operation.switch.session not in self._vetoed:
            message = f"n{node.index} lives and lets itself be taken over"
            raise Violation("veto", attempt.height, message)

    def replaces(self, node: SimNode, life: int) -> None:
        """A copy is about to delete its key."""
        if life != node.life or node.machine is None:
            return
        own, height = node.identity, node.disk.height
        if not self._cluster.checkers.epochs.spent(own.address, own.instance, height):
            raise Violation("rekey", height, f"n{node.index} deletes a key that may vote")
        self._deleted[own.instance] = None

    # What copies show.

    def shown(self, node: SimNode, life: int, view: SessionView) -> None:
        """A copy says where its session stands: no other than the chain does."""
        if life != node.life or node.machine is None:
            return
        self._views[node.index] = (node.life, view)
        if view.outcome is None:
            return
        epochs, height = self._cluster.checkers.epochs, node.disk.height
        attempt = None if view.session is None else epochs.attempts.get(view.session)
        outcome = None if attempt is None else attempt.outcome
        if view.session is not None and attempt is not None and outcome is None:
            outcome = "open"
        if outcome not in OUTCOMES[view.outcome]:
            message = f"n{node.index} says {view.outcome}, the chain {outcome}"
            raise Violation("told", height, message)
        if view.outcome in ("cancelled", "expired") and attempt is None:
            self._gone(node, view)
        if self._cluster.plan.faultless and view.outcome == "done":
            if view.missed_ballots or view.extra_rounds:
                message = f"n{node.index} counts {view.missed_ballots} missed ballots"
                raise Violation("missed", height, message)

    def _gone(self, node: SimNode, view: SessionView) -> None:
        """What was handed in and is said to be over can come into no block any more."""
        epochs = self._cluster.checkers.epochs
        if view.session is None or view.session not in self._expires_ms:
            return
        if (view.address, view.new_instance) in epochs.took_back:
            return
        if epochs.time_ms < self._expires_ms[view.session]:
            message = f"n{node.index} says {view.outcome}, the operation may still be committed"
            raise Violation("told", node.disk.height, message)

    # The end.

    def open(self) -> list[str]:
        """What is not settled yet, in words."""
        cluster = self._cluster
        epochs = cluster.checkers.epochs
        found = [
            f"{place.address}: a session is open since block {place.open.height}"
            for place in epochs.places.values()
            if place.open is not None
        ]
        for node in cluster.nodes:
            if not node.honest or node.machine is None or node.broken is not None:
                continue
            life, view = self._views.get(node.index, (0, None))
            if view is not None and life == node.life and view.outcome is None:
                found.append(f"n{node.index} waits in {view.phase} for {view.waits_for}")
            who = node.identity
            if epochs.must_go(who.address, who.instance, node.disk.height):
                found.append(f"n{node.index} keeps a spent key")
        return found

    def finished(self) -> None:
        """Without faults what operators planned is what happens."""
        cluster = self._cluster
        epochs = cluster.checkers.epochs
        if not cluster.plan.faultless:
            return
        for attempt in epochs.attempts.values():
            if attempt.outcome != "acknowledged":
                message = f"a planned handover ended as {attempt.outcome}"
                raise Violation("planned", attempt.height, message)
        asked = [one for one in cluster.operators.heard if one.what == Mode.PLANNED.text]
        if asked and not cluster.plan.asked_consent and not epochs.attempts:
            raise Violation("planned", epochs.height, "no planned handover was committed")
