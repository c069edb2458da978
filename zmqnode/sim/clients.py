"""Simulated clients: sign seals, send each to a few members, and again until it is committed."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from zmqnode.base.codec import pack
from zmqnode.base.hashes import Hash, sha256
from zmqnode.base.seal import SEAL_TAG, SEAL_VERSION, Seal, read_seal
from zmqnode.base.signing import Domain
from zmqnode.core.effects import AnswerClient
from zmqnode.core.events import SealsReceived
from zmqnode.sim.plan import Clients
from zmqnode.sim.signing import SimKey

if TYPE_CHECKING:
    from zmqnode.sim.cluster import Cluster
    from zmqnode.sim.node import SimNode

CLIENT_DELAY_US: Final = 2_000
OPERATIONS_MOST: Final = 3
PER_MILLE: Final = 1000


def sign_seal(key: SimKey, domain: Domain, created_at_ms: int, nonce: bytes, names: int) -> Seal:
    """A seal of ``names`` operations that the toy application takes."""
    operations = [["put", [b"%d" % at]] for at in range(names)]
    body = pack([SEAL_VERSION, key.public, created_at_ms, nonce, operations])
    unsigned = b"\x96" + body[1:]  # The seal's own array has one field more: the signature.
    signature = key.sign(domain.message(SEAL_TAG, sha256(unsigned)))
    return read_seal(unsigned + b"\xc4\x40" + signature)


class SimClients:
    """All clients of a run. ``open``: seals not committed yet, and when they expire (wall)."""

    def __init__(self, cluster: Cluster, plan: Clients, random: Random) -> None:
        self._cluster = cluster
        self._plan = plan
        self._random = random
        self._key = cluster.keys.key("client")
        self._left = plan.seals
        self.open: dict[Hash, int] = {}
        self.refused: dict[str, int] = {}
        self._once: dict[Hash, None] = {}
        self.poison: Hash | None = None
        if plan.seals:
            cluster.timeline.after(plan.every_ms * 1000, self._submit)

    @property
    def idle(self) -> bool:
        """Whether every seal is sent and is committed, has expired or was lost with its keepers."""
        if self._left:
            return False
        now = self._cluster.wall_ms
        return all(expires < now or not self._owed(seal) for seal, expires in self.open.items())

    def _owed(self, seal: Hash) -> bool:
        """Whether a client goes on sending a seal, or somebody honest told it to rely on it."""
        if seal not in self._once:
            return True
        return any(seal in node.accepted for node in self._cluster.nodes if node.honest)

    def _submit(self) -> None:
        cluster, random = self._cluster, self._random
        seal = sign_seal(
            self._key,
            cluster.domain,
            cluster.wall_ms,
            random.randbytes(16),
            random.randint(1, OPERATIONS_MOST),
        )
        if self._plan.seals - self._left == self._plan.poison:
            self.poison = seal.hash
        self._left -= 1
        if random.random() * PER_MILLE < self._plan.once:
            self._once[seal.hash] = None
        if seal.hash != self.poison:
            self.open[seal.hash] = seal.created_at_ms + cluster.plan.seal_ttl_ms
        self._send(seal)
        if self._left:
            apart_us = random.randint(0, 2 * self._plan.every_ms * 1000)
            cluster.timeline.after(apart_us, self._submit)

    def _send(self, seal: Seal) -> None:
        """To f + 1 members; until it is committed, and perhaps once more after that."""
        cluster, random = self._cluster, self._random
        copies = (cluster.plan.nodes - 1) // 3 + 1
        for target in random.sample(cluster.nodes, copies):
            event = SealsReceived(seals=(seal,), source=None, token=(target.index, seal.hash))
            delay_us = random.randint(1, CLIENT_DELAY_US)
            cluster.timeline.after(delay_us, target.receive, event)
        cluster.timeline.after(self._plan.resend_ms * 1000, self._again, seal)

    def _again(self, seal: Seal) -> None:
        cluster = self._cluster
        expires = self.open.get(seal.hash)
        if expires is not None and expires >= cluster.wall_ms:
            if seal.hash not in self._once:
                self._send(seal)
        elif seal.hash in cluster.checkers.seals:
            if self._random.random() * PER_MILLE < self._plan.again:
                self._send(seal)

    def answered(self, node: SimNode, effect: AnswerClient) -> None:
        """A node took or refused a seal."""
        if effect.code is not None:
            self.refused[effect.code] = self.refused.get(effect.code, 0) + 1

    def committed(self, seals: tuple[Seal, ...]) -> None:
        """A block holds these."""
        for seal in seals:
            self.open.pop(seal.hash, None)
            self._once.pop(seal.hash, None)
