"""The operators of a run: they ask copies to vote, to take back, to consent, when the plan says."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from zmqnode.base.handover import Cosign, Mode, session_id, sign_cosign
from zmqnode.base.keys import Address
from zmqnode.core.events import CancelAsked, ConsentGiven, HandoverAsked
from zmqnode.sim.plan import Asking

if TYPE_CHECKING:
    from zmqnode.sim.cluster import Cluster
    from zmqnode.sim.node import SimNode

AGAIN_MS: Final = 150  # Until an operator whose copy is down, or not ready to be asked, tries again
TRIES_MOST: Final = 40  # so many times.
ANSWER_MS: Final = 700
REFUSED_SHARE: Final = 0.2
SHOWN_US: Final = 1_000
COSIGN_MS: Final = 60_000
WHEN_SYNCED_SHARE: Final = 0.5


class Operators:
    """``busy``: askings that are still to come. ``heard``: those that reached a machine."""

    def __init__(self, cluster: Cluster, askings: tuple[Asking, ...]) -> None:
        self._cluster = cluster
        self._random = Random(f"operators {cluster.plan.seed}")
        self.busy = len(askings)
        self.heard: list[Asking] = []
        if cluster.plan.asked_consent:
            cluster.timeline.after(ANSWER_MS * 1000, self._answer)
        for asking in askings:
            cluster.timeline.at(asking.at_ms * 1000, self._ask, asking, 0)

    def _ask(self, asking: Asking, tried: int) -> None:
        node = self._cluster.nodes[asking.node]
        if not self._may_be_asked(node, asking.what):
            if tried < TRIES_MOST and node.index not in self._cluster.power.gone:
                self._cluster.timeline.after(AGAIN_MS * 1000, self._ask, asking, tried + 1)
            else:
                self.busy -= 1
            return
        self._cluster.timeline.after(SHOWN_US, self._heard)  # What comes of it is shown by then.
        self.heard.append(asking)
        self._cluster.note(node, b"asked", asking.what.encode())
        if self._cluster.transcript.tell is not None:
            self._cluster.tell(node, f"is asked: {asking.what}")
        match asking.what:
            case "cancel":
                node.receive(CancelAsked())
            case "consent" | "refuse":
                node.receive(ConsentGiven(refuse=asking.what == "refuse"))
            case what:
                node.receive(self._handover(node, Mode[what.upper()]))

    def _heard(self) -> None:
        self.busy -= 1

    def _answer(self) -> None:
        """Whoever is asked for consent answers before long."""
        for index in self._cluster.plan.asked_consent:
            if self._cluster.nodes[index].machine is not None:
                refuse = self._random.random() < REFUSED_SHARE
                self._cluster.nodes[index].receive(ConsentGiven(refuse=refuse))
        self._cluster.timeline.after(ANSWER_MS * 1000, self._answer)

    def _may_be_asked(self, node: SimNode, what: str) -> bool:
        """What a preflight sees before anything begins: up, not BROKEN, a standby's fresh key."""
        if node.machine is None or node.broken is not None:
            return False
        if what in ("cancel", "consent", "refuse"):
            return True
        authority = node.disk.authority
        return not authority.is_used(node.identity.instance)

    def _handover(self, node: SimNode, mode: Mode) -> HandoverAsked:
        behind = node.disk.height + 1 < max(self._cluster.checkers.chain, default=0)
        return HandoverAsked(
            mode=mode,
            url=node.identity.url,
            reason="as planned",
            cosigns=self._cosigns(node) if mode is Mode.FORCED else (),
            when_synced=behind or self._random.random() < WHEN_SYNCED_SHARE,
        )

    def _cosigns(self, node: SimNode) -> tuple[Cosign, ...]:
        """Of f + 1 other members whose operators can reach them."""
        cluster, address = self._cluster, node.identity.address
        found: dict[Address, Cosign] = {}
        others = list(cluster.nodes)
        self._random.shuffle(others)
        for other in others:
            if len(found) > cluster.checkers.epochs.f:
                break
            who, members = other.identity, other.disk.authority.members
            if other.machine is None or who.address == address:
                continue
            if members.by_address[who.address].instance != who.instance:
                continue
            decided = members.by_address[address]
            session = session_id(
                address, decided.epoch, Mode.FORCED, decided.instance, node.identity.instance
            )
            found[who.address] = sign_cosign(
                address,
                decided.epoch,
                session,
                expires_at_ms=cluster.wall_ms + COSIGN_MS,
                member=who.address,
                signer=who.signer,
            )
        return tuple(found[address] for address in sorted(found))
