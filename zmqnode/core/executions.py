"""Running values: content durable before it is named, one execution at a time of a value (D5,
D7).
"""

from __future__ import annotations

from zmqnode.base.hashes import Hash
from zmqnode.base.proposal import FRESH, Value
from zmqnode.core.kernel import Kernel
from zmqnode.core.records import ExecutionBegun, ValueHeld
from zmqnode.core.values import Values
from zmqnode.core.votes import HeightVotes


def may_execute(kernel: Kernel, votes: HeightVotes, vid: Hash, pr: int) -> bool:
    """D7: what died inside runs again in a later round only, and not if round ``pr`` drew.

    A value with a seal that is known to kill counts as one that this process died inside here. What
    was executed since kills nobody: who has its result and drew for ever could halt the height.
    """
    if vid in votes.results:
        return True
    value = votes.values.get(vid)
    if vid not in votes.died and value is not None and kernel.pool.fatal(value.seals):
        if vid not in votes.executing:
            votes.died[vid] = votes.round
    died = votes.died.get(vid)
    if died is None:
        return True
    drawn = pr != FRESH and votes.at(pr).draw_vp is not None
    return died < votes.round and not drawn


class Executions:
    """Asks for executions and records what they rest on."""

    def __init__(self, kernel: Kernel, values: Values) -> None:
        self.kernel = kernel
        self.values = values

    def hold(self, votes: HeightVotes, value: Value) -> None:
        """D5: the value and its seals are durable on the sync of the ballot that names them."""
        if value.hash not in votes.recorded:
            votes.recorded[value.hash] = None
            seals = self.values.seals(value)
            for seal in seals:
                self.kernel.pool.hold(seal)  # The pool may expire it; this value needs it still.
            data = tuple(seal.data for seal in seals)
            self.kernel.record(ValueHeld(value=value, seals=data), sync=False)

    def start(self, votes: HeightVotes, vid: Hash) -> bool:
        """Ask for the execution of a value, once; False if the value or a seal of it is missing."""
        if vid in votes.results or vid in votes.executing:
            return True
        value = votes.values.get(vid)
        if value is None or self.values.missing(value):
            return False
        votes.executing[vid] = self.kernel.now_ms
        seals = self.values.seals(value)
        for seal in seals:
            self.kernel.pool.hold(seal)  # It may expire before the result is here.
        begun = ExecutionBegun(height=votes.height, round=votes.round, value=vid)
        self.kernel.record(begun, sync=False)
        self.kernel.execute(votes.parent.hash, value, seals)
        return True
