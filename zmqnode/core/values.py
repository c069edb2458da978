"""Making and judging values (DESIGN.md section 4): a pure function of the value, its seals and the
chain.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from zmqnode.base.ballot import BALLOT_TAG, Ballot
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address, Signature
from zmqnode.base.proposal import Value
from zmqnode.base.seal import Seal
from zmqnode.base.suffrage import Member
from zmqnode.base.system import system_operations
from zmqnode.base.voteproof import Voteproof, certify
from zmqnode.core.authority import Authority, Ineffective, take_operations
from zmqnode.core.kernel import Kernel
from zmqnode.errors import Malformed


class Verdict(enum.IntEnum):
    """What cannot be judged yet is waited for, never called invalid."""

    VALID = 1
    INVALID = 2
    SEALS_MISSING = 3
    TOO_EARLY = 4


@dataclass(slots=True, kw_only=True)
class Accepts:
    """ACCEPT ballots that equal a committed fact: those checked, and late ones not yet."""

    voteproof: Voteproof
    checked: dict[Address, Signature]
    late: dict[Address, tuple[Ballot, int]]  # And when it came.


class Values:
    """Builds fresh values, judges those of others; keeps the ACCEPTs of the newest two heights."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._accepts: dict[int, Accepts] = {}

    # ACCEPTs of committed heights (R9).

    def committed(self, vp: Voteproof, votes: dict[Address, Ballot]) -> None:
        """A height was committed by ``vp``; ``votes`` are its verified ACCEPTs, of any fact."""
        height = vp.fact.height
        checked = dict(vp.signatures)
        for address, ballot in votes.items():
            if ballot.fact == vp.fact:
                checked[address] = ballot.signature
        self._accepts[height] = Accepts(voteproof=vp, checked=checked, late={})
        self._accepts.pop(height - 3, None)

    def take_late(self, ballot: Ballot) -> None:
        """A ballot of a committed height: kept, unchecked, if it equals the committed fact."""
        height = ballot.fact.height
        accepts = self._of(height)
        if accepts is None or ballot.fact != accepts.voteproof.fact:
            return
        if ballot.address in accepts.checked:
            return
        held = accepts.late.get(ballot.address)
        if held is not None and held[0].signature != ballot.signature:
            self._check(
                height, accepts
            )  # One of the two is forged: it must not keep the other out.
        if ballot.address not in accepts.checked:
            accepts.late[ballot.address] = (ballot, self.kernel.now_ms)

    def check_late(self) -> None:
        """Check the late ACCEPTs now: they are signs of life, and answers to D6."""
        for height, accepts in self._accepts.items():
            self._check(height, accepts)

    def absent(self, leader: Member, height: int) -> bool:
        """Whether a leader is not waited for; late ballots are checked before that."""
        kernel = self.kernel
        if leader.instance == kernel.own:
            return False
        if not kernel.members.absent(leader.address, height, kernel.now_ms):
            return False
        self.check_late()
        return kernel.members.absent(leader.address, height, kernel.now_ms)

    def _of(self, height: int) -> Accepts | None:
        """The ACCEPTs of one of the newest two heights; after a restart from its stored VP."""
        found = self._accepts.get(height)
        chain = self.kernel.chain
        if found is None and height > chain.tip.height - 2:
            block = chain.block(height)
            if block is not None and block.accept is not None:
                checked = dict(block.accept.signatures)
                found = Accepts(voteproof=block.accept, checked=checked, late={})
                self._accepts[height] = found
        return found

    def _check(self, height: int, accepts: Accepts) -> None:
        kernel = self.kernel
        suffrage = kernel.chain.suffrage(height)
        for address, (ballot, came_ms) in accepts.late.items():
            if kernel.check_ballot(ballot, suffrage):
                accepts.checked[address] = ballot.signature
                kernel.members.take_ballot(ballot, came_ms)  # A sign of life when it came.
        accepts.late.clear()

    def carried(self, height: int) -> Voteproof | None:
        """The ACCEPT VP of a committed height with every valid ballot of it held here."""
        accepts = self._of(height)
        if accepts is None:
            return None
        self._check(height, accepts)
        return certify(accepts.voteproof.fact, accepts.checked)

    # Values.

    def build(
        self,
        height: int,
        parent: Hash,
        without: tuple[Hash, ...] = (),
        parent_time_ms: int | None = None,
        authority: Authority | None = None,
    ) -> Value | None:
        """A fresh value with what the pool holds; None if h-2's VP is not here.

        The parent is the tip, or (``parent_time_ms`` given) an executed block after it, with
        ``authority`` as it left it.
        """
        chain = self.kernel.chain
        state = authority or chain.authority
        if parent_time_ms is None:
            parent_time_ms = chain.tip.time_ms
        time_ms = max(parent_time_ms + 1, self.kernel.clock_ms)
        accept = None
        if height > 2:
            accept = self.carried(height - 2)
            if accept is None:
                return None
        pool = self.kernel.pool
        system = pool.choose_system(state, height, time_ms, without)
        seals = (*system, *pool.choose(chain, time_ms, without, system))
        return Value(
            height=height,
            parent=parent,
            time_ms=time_ms,
            seals=tuple(seal.hash for seal in seals),
            accept=accept,
        )

    def missing(self, value: Value) -> tuple[Hash, ...]:
        """The value's seals that are not here."""
        get = self.kernel.pool.get
        return tuple(seal for seal in value.seals if get(seal) is None)

    def held(self, value: Value) -> tuple[Seal, ...]:
        """Those of a value's seals that are here."""
        found = [self.kernel.pool.get(seal) for seal in value.seals]
        return tuple(seal for seal in found if seal is not None)

    def keep(self, value: Value) -> None:
        """A value found valid stays whole while its height lasts, whatever the pool drops."""
        for seal in self.held(value):
            self.kernel.pool.hold(seal)

    def seals(self, value: Value) -> tuple[Seal, ...]:
        """All seals of a value, which must be here."""
        found = self.held(value)
        assert len(found) == len(value.seals)
        return found

    def genuine(self, seal: Seal) -> bool:
        """Whether a served block's seal is signed: the hash that names it does not say so."""
        known = self.kernel.pool.get(seal.hash)
        if known is not None and known.data == seal.data:
            return True
        return seal.verified(self.kernel.config.domain, self.kernel.config.verify)

    def judge(self, value: Value, *, fresh: bool) -> Verdict:
        """Whether a value may follow the tip. Only ``fresh`` ones are held against the clock."""
        kernel, chain = self.kernel, self.kernel.chain
        tip = chain.tip
        if value.height != tip.height + 1 or value.parent != tip.hash:
            return Verdict.INVALID
        if value.time_ms <= tip.time_ms or not self._names_content(value):
            return Verdict.INVALID
        if not self._carries(value):
            return Verdict.INVALID
        seals = self.held(value)  # Too much is too much, whatever else is still missing.
        if sum(len(seal.operations) for seal in seals) > kernel.params.block_operations_max:
            return Verdict.INVALID
        if sum(len(seal.data) for seal in seals) > kernel.params.block_bytes_max:
            return Verdict.INVALID
        if not all(self._fits(seal, value.time_ms) for seal in seals):
            return Verdict.INVALID
        if len(seals) < len(value.seals):
            return Verdict.SEALS_MISSING
        latest_ms = max(tip.time_ms + 1, kernel.clock_ms + kernel.params.time_tolerance_ms)
        if not self._has_authority(value, seals):
            return Verdict.INVALID
        if fresh and value.time_ms > latest_ms:
            return Verdict.TOO_EARLY
        return Verdict.VALID

    def _has_authority(self, value: Value, seals: tuple[Seal, ...]) -> bool:
        """Whether system seals come first and each has effect after those before it."""
        try:
            operations = system_operations(seals)
            if operations:
                context = self.kernel.context(value.height, value.time_ms)
                take_operations(self.kernel.chain.authority, operations, context)
        except (Malformed, Ineffective):
            return False
        return True

    def _names_content(self, value: Value) -> bool:
        """What the hashes alone tell: not too many, none twice, none executed."""
        if len(value.seals) > self.kernel.params.block_operations_max:
            return False
        executed = self.kernel.chain.executed
        return len(dict.fromkeys(value.seals)) == len(value.seals) and not any(
            executed(seal) for seal in value.seals
        )

    def _fits(self, seal: Seal, time_ms: int) -> bool:
        if len(seal.data) > self.kernel.params.seal_bytes_max:
            return False
        return self.kernel.chain.timely(seal.created_at_ms, time_ms)

    def _carries(self, value: Value) -> bool:
        """Whether the value carries a valid ACCEPT VP of the committed block h-2."""
        if value.accept is None:
            return value.height <= 2
        height = value.height - 2
        block = self.kernel.chain.block(height)
        fact = value.accept.fact
        if block is None or fact.height != height or fact.block != block.hash:
            return False
        suffrage = self.kernel.chain.suffrage(height)
        held = self._accepts.get(height)
        checked = held.checked if held is not None and held.voteproof.fact == fact else {}
        if len(value.accept.signatures) < suffrage.q:
            return False
        verify, domain = self.kernel.config.verify, self.kernel.config.domain
        for address, signature in value.accept.signatures:
            member = suffrage.by_address.get(address)
            if member is None:
                return False
            if checked.get(address) == signature:
                continue
            signed = domain.message(BALLOT_TAG, fact.body(address, member.epoch))
            if not verify(member.instance, signed, signature):
                return False
            if held is not None and held.voteproof.fact == fact:
                checked.setdefault(address, signature)
        return True
