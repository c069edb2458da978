"""A toy application: the state is a hash chain over the seals, the suffrage never changes.

It is deterministic, unless a plan makes one node drift: then its results differ from some height
on.
"""

from __future__ import annotations

from zmqnode.base.block import Block, Manifest
from zmqnode.base.hashes import ZERO, Hash, tagged
from zmqnode.base.proposal import Value
from zmqnode.base.seal import Seal
from zmqnode.base.suffrage import Suffrage


class ToyApp:
    """The application of one node: state roots by block hash, results by (parent, value)."""

    def __init__(
        self, genesis: Block, suffrage: Suffrage, drift_height: int = 0, drift_life: int = 1
    ) -> None:
        self._suffrage = suffrage
        self._drift_height = drift_height  # 0: never.
        self._sober_lives = drift_life - 1
        self._roots: dict[Hash, Hash] = {genesis.hash: genesis.manifest.state_root}
        self.results: dict[tuple[Hash, Hash], Block] = {}

    def knows(self, parent: Hash) -> bool:
        """Whether there is a state to execute on."""
        return parent in self._roots

    def execute(self, parent: Hash, value: Value, seals: tuple[Seal, ...]) -> Block:
        """The block that this value gives on a known parent; remembered for the commit."""
        body = b"".join(seal.hash for seal in seals)
        if 0 < self._drift_height <= value.height and self._sober_lives <= 0:
            body += b"drift"
        root = tagged(b"toy-state", self._roots[parent] + body)
        manifest = Manifest(
            height=value.height,
            parent=parent,
            value=value.hash,
            results_root=tagged(b"toy-results", body),
            state_root=root,
            suffrage=self._suffrage.hash,
        )
        block = Block(manifest=manifest, value=value, seals=seals, results=())
        self._roots[block.hash] = root
        self.results[parent, value.hash] = block
        return block

    def restart(self, blocks: list[Block]) -> None:
        """Forget all that the store does not have."""
        self._sober_lives -= 1
        self._roots = {block.hash: block.manifest.state_root for block in blocks}
        self.results.clear()

    def committed(self, parent: Hash) -> None:
        """Other results on this parent are of no use any more."""
        gone = [key for key in self.results if key[0] == parent]
        for key in gone:
            del self.results[key]


def genesis_block(suffrage: Suffrage) -> Block:
    """Block 0 of the toy chain."""
    manifest = Manifest(
        height=0,
        parent=ZERO,
        value=tagged(b"toy-genesis", suffrage.hash),
        results_root=ZERO,
        state_root=ZERO,
        suffrage=suffrage.hash,
    )
    return Block(manifest=manifest, value=None, seals=(), results=())
