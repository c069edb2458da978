"""The copies of one address in the explored world: they lag, one crashes, each signs what it may.

A copy knows the chain up to some block. It may be at the newest, one or two behind, and come and go
between them as it likes; further behind it may sign what it could have signed before, and no more.
So each copy signs, for the height after its tip and the one after that, whenever any of the three
newest states names it: at least all that lagging copies, and one that crashed and starts again from
an old state, can sign. Who is down signs nothing. All that ever signed for a height is kept as long
as anybody can sign for it.
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
        up: of each copy, whether it runs.
        crashed: whether the one crash has happened.
        past: the states before the newest one, newest first.
        signers: who may have signed for the heights tip - 2 .. tip + 2.
    """

    up: tuple[bool, ...]
    crashed: bool
    past: tuple[Authority, ...]
    signers: tuple[frozenset[str], ...]

    @classmethod
    def founded(cls, state: Authority, copies: int) -> Crowd:
        """All copies run, at the tip."""
        return cls(
            up=(True,) * copies,
            crashed=False,
            past=(state,) * LAG_MAX,
            signers=(frozenset(),) * (2 * HEIGHTS_BACK + 1),
        )


Stirred = tuple[Crowd, list[Finding]]


def after_block(crowd: Crowd, before: Authority, after: Authority, checks: Checks) -> Stirred:
    """The chain is one block longer."""
    past = (before, *crowd.past)[:LAG_MAX]
    signers = (*crowd.signers[1:], frozenset[str]())
    return may_sign(replace(crowd, past=past, signers=signers), after, checks)


def stirred(
    crowd: Crowd, state: Authority, checks: Checks
) -> Iterator[tuple[str, Crowd, list[Finding]]]:
    """What can happen to copies between blocks: one crashes, and starts again."""
    for index, up in enumerate(crowd.up):
        moved = replace(crowd, up=(*crowd.up[:index], not up, *crowd.up[index + 1 :]))
        if not up:
            yield f"{INSTANCES[index]} starts", *may_sign(moved, state, checks)
        elif not crowd.crashed:
            yield f"{INSTANCES[index]} crashes", replace(moved, crashed=True), []


def may_sign(crowd: Crowd, state: Authority, checks: Checks) -> Stirred:
    """Every copy signs for every height that a state it may be at names it for."""
    signers = list(crowd.signers)
    for lag, known in enumerate((state, *crowd.past)):
        announced = checks.announced(known)[0]  # For its tip - 1 .. its tip + 2.
        for ahead in (1, 2):
            name = announced[ahead + 1][0]
            if crowd.up[INSTANCES.index(name)]:
                place = ahead - lag + HEIGHTS_BACK
                signers[place] = signers[place] | {name}
    findings = [
        ("two-signers", f"{sorted(names)} may sign for height tip {place - HEIGHTS_BACK:+}")
        for place, names in enumerate(signers)
        if len(names) > 1
    ]
    return replace(crowd, signers=tuple(signers)), findings
