"""Handing in system seals: into the own lane, to everybody, and again until a block holds them.

PUB/SUB may lose a seal, and a lane elsewhere may have refused it for now: so it is published again
as long as whoever hands it in still wants it. The same seal serves for some seconds, since a newer
one displaces it in the lanes and leaders would miss it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from zmqnode.base.handover import SystemOperation
from zmqnode.base.seal import Seal
from zmqnode.base.signing import Signs
from zmqnode.base.system import seal_system
from zmqnode.core.effects import PublishSeals
from zmqnode.core.kernel import Kernel

AGAIN_MS: Final = 250
RESEAL_MS: Final = 5_000
KINDS_MAX: Final = 8


@dataclass(slots=True)
class _Handed:
    seal: Seal
    sealed_ms: int
    sent_ms: int = 0
    code: str | None = None


class HandingIn:
    """System seals of this copy's own, by what they are for."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._handed: dict[bytes, _Handed] = {}

    def hand_in(
        self,
        make: Callable[[], SystemOperation],
        signer: Signs,
        *,
        key: bytes,
        anew: bool = False,
    ) -> str | None:
        """Hand in, or again if that was a while ago; the code of the own lane's refusal, or None.

        Args:
            make: gives the operation, signed; asked only when a seal is made.
            signer: holds the key that signs it, and its seal.
            key: what it is for: the same key is the same seal for some seconds.
            anew: its content changed: seal it anew.
        """
        kernel = self.kernel
        handed = self._handed.get(key)
        if handed is None or anew or kernel.now_ms - handed.sealed_ms >= RESEAL_MS:
            created_at_ms = max(kernel.network_ms, kernel.chain.tip.time_ms)
            seal = seal_system(make(), created_at_ms=created_at_ms, signer=signer)
            if handed is None and len(self._handed) >= KINDS_MAX:
                del self._handed[next(iter(self._handed))]
            handed = self._handed[key] = _Handed(seal, kernel.now_ms)
            self._send(handed)
        else:
            self.again(key)
        return handed.code

    def again(self, key: bytes) -> None:
        """Publish what was handed in under a key once more, if it is time."""
        handed = self._handed.get(key)
        if handed is not None and self.kernel.now_ms - handed.sent_ms >= AGAIN_MS:
            self._send(handed)

    def _send(self, handed: _Handed) -> None:
        kernel = self.kernel
        handed.sent_ms = kernel.now_ms
        handed.code = kernel.pool.add(handed.seal, kernel.chain, kernel.network_ms)
        kernel.emit(PublishSeals(seals=(handed.seal,)))
