"""The copies of one address in the explored world: they lag, one crashes, each signs what it may.

A copy knows the chain up to some block, at most two behind the newest here: a copy further behind
may sign what it could have signed before, and no more. It signs for every height its own state
names it for, from the one after its tip to two after it. Who is down signs nothing; started again
it goes on from an old state. All that ever signed for a height is kept as long as anybody can sign
for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from zmqnode.core.authority_state import Authority
from zmqnode.sim.explorer_actors import INSTANCES
from zmqnode.sim.explorer_checks import Checks, Finding

LAG_MAX: Final = 2
HEIGHTS_BACK: Final = 2  # Signers are kept of the heights tip - 2 .. tip + 2.


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """The copies of member 0.

    Args:
        lags: of each copy, in blocks; None while it is down.
        crashed: whether the one crash has happened.
        past: the states before the newest one, newest first.
        signers: who may have signed for the heights tip - 2 .. tip + 2.
    """

    lags: tuple[int | None, ...]
    crashed: bool
    past: tuple[Authority, ...]
    signers: tuple[frozenset[str], ...]

    @classmethod
    def founded(cls, state: Authority, copies: int) -> Crowd:
        """All copies at the tip."""
        return cls(
            lags=(0,) * copies,
            crashed=False,
            past=(state,) * LAG_MAX,
            signers=(frozenset(),) * (2 * HEIGHTS_BACK + 1),
        )


Stirred = tuple[Crowd, list[Finding]]


def after_block(crowd: Crowd, before: Authority, after: Authority, checks: Checks) -> Stirred:
    """The chain is one block longer; nobody has executed it yet."""
    lags = tuple(None if lag is None else min(lag + 1, LAG_MAX) for lag in crowd.lags)
    past = (before, *crowd.past)[:LAG_MAX]
    signers = (*crowd.signers[1:], frozenset[str]())
    return may_sign(replace(crowd, lags=lags, past=past, signers=signers), after, checks)


def stirred(
    crowd: Crowd, state: Authority, checks: Checks
) -> Iterator[tuple[str, Crowd, list[Finding]]]:
    """What the copies can do by themselves: execute a block, crash, start again."""
    for index, lag in enumerate(crowd.lags):
        name = INSTANCES[index]
        if lag is None:
            moved = _with(crowd, index, LAG_MAX)
            yield f"{name} starts", *may_sign(moved, state, checks)
            continue
        if lag > 0:
            moved = _with(crowd, index, lag - 1)
            yield f"{name} executes", *may_sign(moved, state, checks)
        if not crowd.crashed:
            yield f"{name} crashes", replace(_with(crowd, index, None), crashed=True), []


def _with(crowd: Crowd, index: int, lag: int | None) -> Crowd:
    return replace(crowd, lags=(*crowd.lags[:index], lag, *crowd.lags[index + 1 :]))


def may_sign(crowd: Crowd, state: Authority, checks: Checks) -> Stirred:
    """Every copy signs for every height its own state names it for."""
    known = (state, *crowd.past)
    signers = list(crowd.signers)
    for index, lag in enumerate(crowd.lags):
        if lag is None:
            continue
        announced = checks.announced(known[lag])[0]  # For its tip - 1 .. its tip + 2.
        for ahead in (1, 2):
            if announced[ahead + 1][0] == INSTANCES[index]:
                place = ahead - lag + HEIGHTS_BACK
                signers[place] = signers[place] | {INSTANCES[index]}
    findings = [
        ("two-signers", f"{sorted(names)} may sign for height tip {place - HEIGHTS_BACK:+}")
        for place, names in enumerate(signers)
        if len(names) > 1
    ]
    return replace(crowd, signers=tuple(signers)), findings
