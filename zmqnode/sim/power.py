"""Power failures: when each planned crash strikes, and when its node comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zmqnode.base.ballot import Ballot
from zmqnode.base.hashes import Hash
from zmqnode.base.point import Stage
from zmqnode.sim.plan import ALL, Crash

if TYPE_CHECKING:
    from zmqnode.sim.cluster import Cluster
    from zmqnode.sim.node import SimNode

PROCESS_DOWN_US = 50_000
STAGES = {"init": Stage.INIT, "accept": Stage.ACCEPT}


class Power:
    """The plan's crashes, each of which strikes once. ``armed``: some wait for an effect."""

    def __init__(self, cluster: Cluster, crashes: tuple[Crash, ...], dead: tuple[Crash, ...]):
        self._cluster = cluster
        self._waiting: list[tuple[Crash, bool]] = []
        self._voted: dict[tuple[int, Stage], int] = {}
        for crash, final in [(c, False) for c in crashes] + [(c, True) for c in dead]:
            if crash.trigger == "time":
                cluster.timeline.at(crash.count * 1000, self._strike, crash, final)
            else:
                self._waiting.append((crash, final))
        self.armed = bool(self._waiting)
        self.gone: dict[int, None] = {}  # Members that stay dead.

    def heal(self) -> None:
        """No more crashes; whoever is down and may come back does so now."""
        self._waiting = [(crash, final) for crash, final in self._waiting if final]
        self.armed = bool(self._waiting)
        for node in self._cluster.nodes:
            if node.index not in self.gone:
                node.start()

    def killed(self, node: SimNode, seal: Hash) -> None:
        """A node's process died executing a seal; its supervisor starts it again."""
        self._cluster.checkers.killed(node.index, node.disk.deaths[seal])
        self._cluster.timeline.after(PROCESS_DOWN_US, self._restart, node)

    def _restart(self, node: SimNode) -> None:
        if node.index not in self.gone:
            node.start()

    def strikes(self, node: SimNode, *, after: bool) -> bool:
        """Called before and after every effect of a node: whether it died of it."""
        for at, (crash, final) in enumerate(self._waiting):
            if crash.trigger != "effect" or crash.after is not after:
                continue
            if crash.node == ALL:
                performed = self._cluster.performed
            elif crash.node == node.index:
                performed = node.performed
            else:
                continue
            if performed == crash.count + after:
                self._take(at)
                self._strike(crash, final)
                return True
        return False

    def saw_ballot(self, node: SimNode, ballot: Ballot) -> bool:
        """A node is about to publish an own ballot; whether it dies before (or plans to, after)."""
        if not self.armed:
            return False
        stage = ballot.fact.stage
        count = self._voted[node.index, stage] = self._voted.get((node.index, stage), 0) + 1
        for at, (crash, final) in enumerate(self._waiting):
            if STAGES.get(crash.trigger) is not stage or crash.count != count:
                continue
            if crash.node == node.index:
                self._take(at)
                if crash.after:
                    self._cluster.timeline.after(0, self._strike, crash, final)
                    return False
                self._strike(crash, final)
                return True
        return False

    def _take(self, at: int) -> None:
        del self._waiting[at]
        self.armed = bool(self._waiting)

    def _strike(self, crash: Crash, final: bool) -> None:
        cluster = self._cluster
        if cluster.healed and not final:
            return
        for node in cluster.nodes:
            if crash.node not in (ALL, node.index):
                continue
            if final:
                self.gone[node.index] = None
            node.crash(crash.tail, crash.forget)
            if not final:
                cluster.timeline.after(crash.down_ms * 1000, self._restart, node)
