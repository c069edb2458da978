"""A toy application: the state is a hash chain over the seals and what they did to the members.

Who votes is decided by the true core/authority, as every executor must ask it; its changes join the
state's hash chain, so that nodes which disagree about a handover disagree about the block. It is
deterministic, unless a plan makes one node drift: then its results differ from some height on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from zmqnode.base.block import Block, Manifest
from zmqnode.base.codec import pack
from zmqnode.base.hashes import ZERO, Hash, tagged
from zmqnode.base.proposal import Value
from zmqnode.base.seal import Seal
from zmqnode.base.suffrage import Suffrage
from zmqnode.base.system import system_operations
from zmqnode.core.authority import Authority, Step, advance
from zmqnode.core.authority_entries import changes
from zmqnode.core.authority_state import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """An executed value: its block, who votes after it, what it did to handovers."""

    block: Block
    authority: Authority
    steps: tuple[Step, ...] = ()


class ToyApp:
    """The application of one node: the states after blocks, results by (parent, value)."""

    def __init__(
        self,
        genesis: Result,
        context: Callable[[Value], Context],
        drift_height: int = 0,
        drift_life: int = 1,
    ) -> None:
        self._context = context
        self._drift_height = drift_height  # 0: never.
        self._sober_lives = drift_life - 1
        self._states: dict[Hash, Result] = {genesis.block.hash: genesis}
        self.results: dict[tuple[Hash, Hash], Result] = {}

    def knows(self, parent: Hash) -> bool:
        """Whether there is a state to execute on."""
        return parent in self._states

    def execute(self, parent: Hash, value: Value, seals: tuple[Seal, ...]) -> Result:
        """What this value gives on a known parent; remembered for the commit."""
        before = self._states[parent]
        operations = system_operations(seals)
        after, steps = advance(before.authority, operations, value.accept, self._context(value))
        body = b"".join(seal.hash for seal in seals)
        if 0 < self._drift_height <= value.height and self._sober_lives <= 0:
            body += b"drift"
        changed = sorted(changes(before.authority, after).items())
        told = pack([[key, data] for key, data in changed]) if changed else b""
        manifest = Manifest(
            height=value.height,
            parent=parent,
            value=value.hash,
            results_root=tagged(b"toy-results", body),
            state_root=tagged(b"toy-state", before.block.manifest.state_root + body + told),
            suffrage=after.members.hash,
        )
        block = Block(manifest=manifest, value=value, seals=seals, results=())
        result = Result(block=block, authority=after, steps=steps)
        self._states[block.hash] = result
        self.results[parent, value.hash] = result
        return result

    def restart(self, stored: Iterable[Result]) -> None:
        """Forget all that the store does not have."""
        self._sober_lives -= 1
        self._states = {one.block.hash: one for one in stored}
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
