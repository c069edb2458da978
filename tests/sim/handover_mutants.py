"""The session of a copy with one rule taken out at a time, and the plans that show the hole."""

from __future__ import annotations

import dataclasses
from typing import Any

from zmqnode.base.suffrage import Suffrage
from zmqnode.core import giving, joining
from zmqnode.core.authority_state import Authority
from zmqnode.core.concluding import Concluding
from zmqnode.core.display import CANCELLED
from zmqnode.core.effects import Effect, Record
from zmqnode.core.giving import Giving
from zmqnode.core.kernel import Kernel
from zmqnode.core.machine import Machine
from zmqnode.core.readiness import Readiness
from zmqnode.core.records import ShadowSigned
from zmqnode.sim.plan import Asking, Clients, Crash, Cut, Links, Plan, Standby

from .mutants import Mutant, Replace


def planned(seed: int, **changes: Any) -> Plan:
    """One address is handed over and back; nothing fails."""
    member = seed % 4
    plan = Plan(
        seed=seed,
        heights=30,
        empty_block_interval_ms=50,
        bound_ms=20_000,
        standbys=(Standby(member=member),),
        askings=(
            Asking(node=4, at_ms=300 + 7 * seed),
            Asking(node=member, at_ms=1_500),
        ),
        clients=Clients(seals=20, every_ms=40),
    )
    return dataclasses.replace(plan, **changes)


def slowly(seed: int) -> Plan:
    """The old copy has long told what it signed when the acknowledgement comes."""
    return planned(seed, block_interval_ms=250, empty_block_interval_ms=250)


def taken_over(seed: int) -> Plan:
    """A copy that lives is taken over."""
    return planned(seed, askings=(Asking(node=4, at_ms=400, what="takeover"),))


def rivals(seed: int) -> Plan:
    """Two copies want the same vote; one gets it and dies, one hears nothing and asks on."""
    member = seed % 4
    everybody = tuple(node for node in range(5))
    return planned(
        seed,
        standbys=(Standby(member=member), Standby(member=member)),
        askings=(Asking(node=4, at_ms=300), Asking(node=5, at_ms=480)),
        asked_consent=(member,),
        cuts=(Cut(start_ms=650, end_ms=4_000, sources=everybody, targets=(5,)),),
        # Between its consent and the handing in.
        dead=(Crash(node=4, count=740 + 12 * (seed // 4 % 5)),),
        heal_ms=4_000,
        heal_before=-200,
        bound_ms=60_000,
    )


def taken_back(seed: int) -> Plan:
    """A cancel comes while the handover waits for its block."""
    return planned(
        seed,
        links=Links(delay_us=15_000, jitter_us=15_000),
        askings=(
            Asking(node=4, at_ms=400),
            Asking(node=4, at_ms=620 + 15 * seed, what="cancel"),
        ),
        heal_ms=4_000,
        heal_before=-200,
        bound_ms=60_000,
    )


# The rules, removed.


def _entitled(replace: Replace, change: Any) -> None:
    """``change(kernel, suffrage, epoch)`` says in place of the rule who signs."""
    right = Kernel.entitled

    def wrong(self: Kernel, suffrage: Suffrage) -> int | None:
        found: int | None = change(self, suffrage, right(self, suffrage))
        return found

    replace(Kernel, "entitled", wrong)


def _late(replace: Replace) -> None:
    """The old copy signs one height more."""

    def change(kernel: Kernel, suffrage: Suffrage, epoch: int | None) -> int | None:
        session = kernel.chain.authority.session(kernel.config.address)
        if epoch is None and session is not None and session.old_instance == kernel.own:
            if session.acts_height == kernel.chain.tip.height + 1:
                return session.epoch
        return epoch

    _entitled(replace, change)


def _soon(replace: Replace) -> None:
    """The old copy stops signing once the handover is committed."""

    def change(kernel: Kernel, suffrage: Suffrage, epoch: int | None) -> int | None:
        decided = kernel.chain.authority.members.by_address[kernel.config.address]
        return epoch if decided.instance == kernel.own else None

    _entitled(replace, change)


def _early(replace: Replace) -> None:
    """The new copy signs once the handover is committed."""

    def change(kernel: Kernel, suffrage: Suffrage, epoch: int | None) -> int | None:
        decided = kernel.chain.authority.members.by_address[kernel.config.address]
        return decided.epoch if decided.instance == kernel.own else epoch

    _entitled(replace, change)


def _no_shadow(replace: Replace) -> None:
    replace(Readiness, "matches", lambda self, instance: 5)


def _no_shadow_record(replace: Replace) -> None:
    step = Machine.step

    def forgetting(self: Machine, event: Any, now_ms: int) -> list[Effect]:
        return [
            effect
            for effect in step(self, event, now_ms)
            if not (isinstance(effect, Record) and isinstance(effect.record, ShadowSigned))
        ]

    replace(Machine, "step", forgetting)


def _no_consent_checks(replace: Replace) -> None:
    replace(Giving, "_refusal", lambda self, switch, source: None)


def _no_ack(replace: Replace) -> None:
    replace(Concluding, "acknowledge", lambda self: None)


def _no_veto(replace: Replace) -> None:
    replace(Giving, "veto", lambda self: None)


def _strangers_words(replace: Replace) -> None:
    """A member gives its word for a copy that it is not connected to, or knows elsewhere."""

    def refusal(self: Readiness, switch: Any, source: Any) -> str:
        known = self.kernel.chain.authority.members.by_address.get(switch.address)
        decided = known is not None and known.instance == switch.old_instance
        return "" if decided else "epoch_moved"

    replace(Readiness, "_refusal", refusal)


def _no_new_key(replace: Replace) -> None:
    replace(Giving, "replace_key", lambda self, *, looking_on: None)


def _key_again(replace: Replace) -> None:
    """No key is ever used up."""
    replace(Authority, "is_used", lambda self, key: False)


def _key_too_soon(replace: Replace) -> None:
    """A key is deleted though the vote may return to it."""

    def hasty(state: Authority, height: int, address: Any, key: Any) -> bool:
        return state.is_used(key) and key not in state.members.by_instance

    replace(giving, "is_spent", hasty)


def _hasty_cancel(replace: Replace) -> None:
    """Cancelled is said before the chain said it."""

    def cancel(self: Concluding) -> None:
        self.claiming.claim = None
        self.display.end("cancelled", CANCELLED)

    replace(Concluding, "cancel", cancel)


def _no_d6(replace: Replace) -> None:
    """A new instance does not ask what it signed before."""
    enough, take, ask = joining.Joining.enough, joining.Joining.take, joining.Joining.ask

    def wrong_enough(self: joining.Joining) -> bool:
        return _is_standby(self.kernel) or enough(self)

    def wrong_take(self: joining.Joining, answer: Any) -> None:
        if not _is_standby(self.kernel):
            take(self, answer)

    def wrong_ask(self: joining.Joining, only: Any = None) -> None:
        if not _is_standby(self.kernel):
            ask(self, only)

    replace(joining.Joining, "enough", wrong_enough)
    replace(joining.Joining, "take", wrong_take)
    replace(joining.Joining, "ask", wrong_ask)


def _is_standby(kernel: Kernel) -> bool:
    return kernel.config.url >= "tcp://127.0.0.1:41012"


VOTES = ("unentitled", "two-voters")
MUTANTS = (
    Mutant(name="A signs at h+2", remove=_late, plan=planned, caught_by=VOTES),
    Mutant(name="A retires at h+1", remove=_soon, plan=planned, caught_by=("missed", "draw")),
    Mutant(name="A-sub before h+2", remove=_early, plan=planned, caught_by=VOTES),
    Mutant(name="ready, no shadow", remove=_no_shadow, plan=planned, caught_by=("ready",)),
    Mutant(name="shadow D1", remove=_no_shadow_record, plan=planned, caught_by=("durable",)),
    Mutant(
        name="consent", remove=_no_consent_checks, plan=rivals, caught_by=("consent",), seeds=80
    ),
    Mutant(name="no ack", remove=_no_ack, plan=planned, caught_by=("planned", "told")),
    Mutant(name="no veto", remove=_no_veto, plan=taken_over, caught_by=("veto",)),
    Mutant(name="strangers' words", remove=_strangers_words, plan=planned, caught_by=("ready",)),
    Mutant(name="no new key", remove=_no_new_key, plan=planned, caught_by=("handover-bound",)),
    Mutant(name="key again", remove=_key_again, plan=planned, caught_by=("authority",)),
    Mutant(name="key too soon", remove=_key_too_soon, plan=slowly, caught_by=("rekey",)),
    Mutant(name="cancelled", remove=_hasty_cancel, plan=taken_back, caught_by=("told",), seeds=40),
    Mutant(name="D6 anew", remove=_no_d6, plan=planned, caught_by=("unasked",)),
)
