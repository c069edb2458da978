"""Verifying a chain block by block, executing nothing. Pure.

What is checked of each block: its manifest names the block before; its value hashes to what the
manifest names, follows in height and time, and lists exactly the seals that are there; the results
hash to the results root; both voteproofs, and the one its value carries, are of the right fact and
reach the quorum of the suffrage of their height; and that suffrage is the one that the manifest two
heights before (block 0: genesis) commits to by hash. So who trusts the genesis hash, trusts the
last block: the state root is the one its ACCEPT voteproof signs. Members are learned from anybody,
since only those count that a manifest commits to. Handovers are counted: a vote moved to an
instance that had none before (a return gives it back to one that had).

Not checked here: the seals' signatures and the execution. A quorum vouches for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from zmqnode.base.block import Block, decode_block
from zmqnode.base.codec import decode_as
from zmqnode.base.genesis import Genesis, genesis_manifest
from zmqnode.base.hashes import ZERO, Hash
from zmqnode.base.keys import Address, PublicKey, verify
from zmqnode.base.point import Stage
from zmqnode.base.proposal import Value
from zmqnode.base.results import decode_results, results_leaf, results_root
from zmqnode.base.signing import Domain
from zmqnode.base.suffrage import Suffrage
from zmqnode.base.voteproof import Voteproof
from zmqnode.errors import Malformed

ACTIVATION_LAG: Final = 2  # What block h decides is in force at h + 2.
HEIGHTS_KEPT: Final = 8  # Hashes, suffrages and checked signatures of so many heights back.

Checked = tuple[Address, PublicKey, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """The first block that does not hold, and why."""

    height: int
    reason: str


class Mismatch(Exception):
    """A check failed; the text says which."""


class ChainVerifier:
    """Takes blocks in order; stops at the first that does not hold.

    Args:
        domain: network-id and the genesis hash that is trusted.
        first: the first height that counts. Blocks from ``start`` on are given, the ones before
            ``first`` for their hashes alone.
        genesis: the genesis document, if it is at hand.
    """

    def __init__(self, domain: Domain, *, first: int = 0, genesis: Genesis | None = None) -> None:
        self.domain = domain
        self.first = first
        self.start = max(0, first - ACTIVATION_LAG)
        self.height = self.start - 1
        self.blocks = 0
        self.operations = 0
        self.signatures = 0
        self.handovers = 0
        self.block_hash: Hash = ZERO
        self.state_root: Hash = ZERO
        self.bad: Bad | None = None
        self._genesis = genesis
        self._time_ms = -1
        self._hashes: dict[int, Hash] = {}
        self._values: dict[int, Hash] = {}
        self._committed: dict[int, Hash] = {}  # Hash of the suffrage of a height.
        self._suffrages: dict[Hash, Suffrage] = {}  # Those that are committed to, and genesis's.
        self._counted = 0  # Moves into the suffrage of this height are counted.
        self._voted: dict[tuple[Address, PublicKey], None] = {}  # Whoever had a vote.
        self._begins = max(ACTIVATION_LAG, first + 1)  # Up to it nothing given has moved a vote.
        self._checked: dict[int, dict[Checked, None]] = {}
        if genesis is not None:
            self._suffrages[genesis.suffrage.hash] = genesis.suffrage

    def wanted(self) -> int | None:
        """A height whose suffrage was committed to and whose members must be learned; or None."""
        for height, committed in self._committed.items():
            if committed not in self._suffrages:
                return height
        return None

    def learn(self, height: int, suffrage: Suffrage) -> bool:
        """The members of a height, from anybody; False: not those that a manifest commits to."""
        if suffrage.hash != self._committed.get(height):
            return False
        self._suffrages[suffrage.hash] = suffrage
        self._count_moves()
        return True

    def finish(self) -> bool:
        """Whether all blocks taken hold; the suffrages they decided must be known by now."""
        height = self.wanted()
        if self.bad is None and height is not None:
            reason = f"the suffrage of height {height} is not the one committed to"
            self.bad = Bad(height=max(0, height - ACTIVATION_LAG), reason=reason)
        return self.bad is None

    def take(self, data: bytes, accept_vp: bytes, init_vp: bytes) -> bool:
        """The next block and its voteproofs, as stored; False once something is bad."""
        if self.bad is not None:
            return False
        height = self.height + 1
        try:
            block = decode_block(data)
            if block.height != height:
                raise Mismatch(f"this is block {block.height}")
            if height < self.first:
                self._remember(block)
            else:
                self._check(block, accept_vp, init_vp)
        except Mismatch as error:
            self.bad = Bad(height=height, reason=str(error))
        except (Malformed, ValueError) as error:
            self.bad = Bad(height=height, reason=f"cannot be read: {error}")
        return self.bad is None

    def _check(self, block: Block, accept_vp: bytes, init_vp: bytes) -> None:
        manifest, height = block.manifest, block.height
        if height == 0:
            self._check_genesis(block)
        else:
            before = self._hashes.get(height - 1)
            if manifest.parent != before:
                raise Mismatch("its parent is not the block before")
            self._check_content(block)
            self._check_votes(block, accept_vp, init_vp)
        self._remember(block)
        self.blocks += 1
        self.block_hash, self.state_root = block.hash, manifest.state_root
        self.operations += sum(len(seal.operations) for seal in block.seals)

    def _check_genesis(self, block: Block) -> None:
        manifest = block.manifest
        if manifest.hash != self.domain.genesis:
            raise Mismatch("its hash is not the genesis hash")
        if block.value is not None or block.seals or manifest.parent != ZERO:
            raise Mismatch("block 0 has neither value nor seals nor parent")
        genesis = self._genesis
        if genesis is not None and manifest != genesis_manifest(genesis, manifest.state_root):
            raise Mismatch("it is not made of this genesis")
        self._committed[1] = manifest.suffrage

    def _check_content(self, block: Block) -> None:
        manifest, value = block.manifest, block.value
        if value is None or value.hash != manifest.value:
            raise Mismatch("its value does not have the hash the manifest names")
        if (value.height, value.parent) != (block.height, manifest.parent):
            raise Mismatch("its value is of another height or parent")
        if value.time_ms <= self._time_ms:
            raise Mismatch("its time is not after its parent's")
        if value.seals != tuple(seal.hash for seal in block.seals):
            raise Mismatch("its seals are not those its value names")
        leaves = []
        if len(block.results) != len(block.seals):
            raise Mismatch("its results are not those of its seals")
        for seal, results in zip(block.seals, block.results, strict=True):
            if len(decode_results(results)) != len(seal.operations):
                raise Mismatch("its results are not those of its seals")
            leaves.append(results_leaf(seal.hash, results))
        if results_root(leaves) != manifest.results_root:
            raise Mismatch("its results do not have the root the manifest names")

    def _check_votes(self, block: Block, accept_vp: bytes, init_vp: bytes) -> None:
        manifest, value = block.manifest, block.value
        assert value is not None
        accept = decode_as(Voteproof, accept_vp)
        self._check_vp(accept, block.height, Stage.ACCEPT, manifest.value, manifest.hash)
        if init_vp:
            init = decode_as(Voteproof, init_vp)
            self._check_vp(init, block.height, Stage.INIT, manifest.value, None)
        self._check_carried(value)

    def _check_carried(self, value: Value) -> None:
        """The ACCEPT VP of height - 2 in the value: what leaders and presence follow from."""
        carried, height = value.accept, value.height - 2
        if carried is not None and height >= self.start and height in self._values:
            self._check_vp(
                carried, height, Stage.ACCEPT, self._values[height], self._hashes[height]
            )

    def _check_vp(
        self, vp: Voteproof, height: int, stage: Stage, value: Hash, block: Hash | None
    ) -> None:
        fact = vp.fact
        what = f"the {stage.name} voteproof of height {height}"
        if (fact.height, fact.stage, fact.value, fact.block) != (height, stage, value, block):
            raise Mismatch(f"{what} is of another fact")
        committed = self._committed.get(height)
        suffrage = self._suffrages.get(committed) if committed is not None else None
        if suffrage is None:
            if height < self.first:
                return  # The suffrages before the first height are not known.
            raise Mismatch(f"the suffrage of height {height} is not the one committed to")
        ballots = vp.ballots(suffrage)
        if len(ballots) != len(vp.signatures):
            raise Mismatch(f"{what} has a signer outside the suffrage")
        if len(ballots) < suffrage.q:
            raise Mismatch(f"{what} has {len(ballots)} ballots of {suffrage.q}")
        known = self._checked.setdefault(height, {})
        for ballot in ballots:
            key = (ballot.address, ballot.instance, ballot.signature)
            if key in known:
                continue  # A carried voteproof repeats what was stored, mostly.
            if not ballot.verified(self.domain, verify):
                raise Mismatch(f"{what}: the ballot of {ballot.address} is not signed by it")
            known[key] = None
            self.signatures += 1

    def _remember(self, block: Block) -> None:
        manifest, height = block.manifest, block.height
        self.height = height
        self._hashes[height] = block.hash
        self._values[height] = manifest.value
        if height == 0:
            self._committed[1] = manifest.suffrage
        self._committed[height + ACTIVATION_LAG] = manifest.suffrage
        if block.value is not None:
            self._time_ms = block.value.time_ms
        tables: tuple[dict[int, Any], ...] = (
            self._hashes,
            self._values,
            self._committed,
            self._checked,
        )
        for table in tables:
            table.pop(height - HEIGHTS_KEPT, None)
        self._count_moves()

    def _count_moves(self) -> None:
        """Count the votes that moved, up to the newest suffrage whose members are known."""
        for height, committed in self._committed.items():
            if height <= self._counted:
                continue
            suffrage = self._suffrages.get(committed)
            if suffrage is None:
                return
            self._counted = height
            for member in suffrage.members:
                key = (member.address, member.instance)
                if key not in self._voted:
                    self.handovers += height > self._begins
                    self._voted[key] = None
