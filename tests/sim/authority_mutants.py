"""The authority with one clause of HANDOVER.md section 1 loosened at a time, for the explorer.

An exploration that finds nothing proves nothing until it finds these. Mutants replace functions of
core/authority; the authority itself has no switches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zmqnode.base.handover import Mode

from . import loosened_blocks as blocks
from . import loosened_judging as judging
from .loosened_judging import Patch, clause


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One clause loosened; ``caught_by``: properties whose violation counts."""

    name: str
    loosen: Callable[[Patch], None]
    caught_by: tuple[str, ...]
    scenarios: tuple[str, ...] = ("three members",)


TWO = ("two addresses",)
FORGED = ("forged",)
MUTANTS = (
    Mutant(
        name="every change a block early",
        loosen=judging.at_once(lambda s: True),
        caught_by=("one-entitled",),
    ),
    Mutant(
        name="copies, a block early",
        loosen=judging.at_once(lambda s: True),
        caught_by=("two-signers", "one-entitled"),
        scenarios=("lagging copies",),
    ),
    Mutant(
        name="a return a block early",
        caught_by=("one-entitled",),
        loosen=judging.at_once(lambda s: s is not None and s.acking_ms is not None),
    ),
    Mutant(
        name="a forced one a block early",
        caught_by=("one-entitled",),
        loosen=judging.at_once(lambda s: s is not None and s.mode is Mode.FORCED),
    ),
    Mutant(
        name="the table in force",
        loosen=judging.in_force_table,
        caught_by=("judge", "epochs"),
    ),
    Mutant(
        name="the epoch alone",
        loosen=judging.names("epoch"),
        caught_by=FORGED,
    ),
    Mutant(
        name="the instance alone",
        loosen=judging.names("instance"),
        caught_by=("forged", "judge"),
    ),
    Mutant(
        name="used when decided",
        loosen=judging.used_when_decided,
        caught_by=("judge", "replay"),
    ),
    Mutant(
        name="used at its address only",
        loosen=judging.used_here_only,
        caught_by=FORGED,
    ),
    Mutant(
        name="no possession",
        loosen=clause("key_possessed"),
        caught_by=FORGED,
    ),
    Mutant(
        name="no identity",
        loosen=clause("signed_by_identity"),
        caught_by=FORGED,
    ),
    Mutant(
        name="no consent",
        loosen=clause("consented"),
        caught_by=FORGED,
    ),
    Mutant(
        name="no expiry",
        loosen=clause("in_time"),
        caught_by=("forged", "judge"),
    ),
    Mutant(
        name="no expiry of what waits",
        loosen=clause("in_time"),
        caught_by=("judge", "forged"),
        scenarios=("expiring",),
    ),
    Mutant(
        name="q - 1 ready",
        loosen=judging.fewer("handover.ready"),
        caught_by=FORGED,
    ),
    Mutant(
        name="f co-signers",
        loosen=judging.fewer("handover.cosign"),
        caught_by=FORGED,
    ),
    Mutant(
        name="ready by itself",
        loosen=judging.own_word("handover.ready"),
        caught_by=FORGED,
    ),
    Mutant(
        name="co-signed by itself", loosen=judging.own_word("handover.cosign"), caught_by=FORGED
    ),
    Mutant(
        name="stale words",
        loosen=judging.stale_words,
        caught_by=FORGED,
    ),
    Mutant(
        name="old co-signatures",
        loosen=judging.old_co_signatures,
        caught_by=FORGED,
    ),
    Mutant(
        name="counted with what is decided",
        loosen=judging.counted_with(1),
        scenarios=TWO,
        caught_by=("forged", "judge"),
    ),
    Mutant(
        name="counted with what was",
        loosen=judging.counted_with(-1),
        scenarios=TWO,
        caught_by=("forged", "judge"),
    ),
    Mutant(
        name="cancelled keys pass",
        loosen=judging.cancelled_keys_pass,
        caught_by=("judge", "cancelled"),
    ),
    Mutant(
        name="cancelled for good",
        loosen=judging.cancelled_for_good,
        caught_by=("judge",),
    ),
    Mutant(
        name="cancel while acting",
        loosen=judging.cancel_while_acting,
        caught_by=("judge",),
    ),
    Mutant(
        name="cancel used keys",
        loosen=judging.cancel_used_keys,
        caught_by=("judge", "replay"),
    ),
    Mutant(
        name="veto too late",
        loosen=judging.veto_too_late,
        caught_by=("judge",),
    ),
    Mutant(
        name="veto of any session",
        loosen=judging.veto_of_any_session,
        caught_by=("replay", "judge"),
    ),
    Mutant(
        name="veto unsigned",
        loosen=judging.unsigned("judge_veto"),
        caught_by=FORGED,
    ),
    Mutant(
        name="windows first",
        loosen=blocks.windows_first,
        caught_by=("ended", "twin"),
    ),
    Mutant(
        name="windows before ballots",
        loosen=blocks.windows_before_ballots,
        caught_by=("veto", "twin"),
    ),
    Mutant(
        name="judged on the parent",
        loosen=blocks.judged_on_the_parent,
        caught_by=("judge",),
    ),
    Mutant(
        name="ballots ignored",
        loosen=blocks.ballots_ignored,
        caught_by=("veto", "twin"),
    ),
    Mutant(
        name="ballots of the commit",
        loosen=blocks.ballots_of_the_commit,
        caught_by=("twin",),
    ),
    Mutant(
        name="ballots of anyone",
        loosen=blocks.ballots_of_anyone,
        caught_by=("twin",),
    ),
    Mutant(
        name="veto window by time",
        loosen=blocks.window("veto", "time"),
        caught_by=("windows",),
    ),
    Mutant(
        name="veto window by height",
        loosen=blocks.window("veto", "height"),
        caught_by=("windows",),
    ),
    Mutant(
        name="ack window by time",
        loosen=blocks.window("ack", "time"),
        caught_by=("windows", "twin"),
    ),
    Mutant(
        name="ack window by height",
        loosen=blocks.window("ack", "height"),
        caught_by=("windows", "twin"),
    ),
    Mutant(
        name="windows of n - 1 blocks",
        loosen=blocks.short_window,
        caught_by=("windows", "twin"),
    ),
    Mutant(
        name="ack before the first height",
        loosen=blocks.ack_at_any_time,
        caught_by=("judge",),
    ),
    Mutant(
        name="ack of any session",
        loosen=blocks.ack_of_any_session,
        caught_by=("judge", "replay"),
    ),
    Mutant(
        name="ack window from the decision",
        loosen=blocks.ack_window_from_the_decision,
        caught_by=("windows", "twin"),
    ),
    Mutant(
        name="no return",
        loosen=blocks.no_return,
        caught_by=("twin",),
    ),
    Mutant(
        name="return in the old epoch",
        loosen=blocks.return_in_the_old_epoch,
        caught_by=("epochs",),
    ),
    Mutant(
        name="every mode returns",
        loosen=blocks.every_mode_returns,
        caught_by=("keys-once",),
    ),
    Mutant(
        name="replaced, no cooldown",
        loosen=blocks.replaced_without_cooldown,
        caught_by=("twin", "judge"),
    ),
    Mutant(
        name="replaced, and returns",
        loosen=blocks.replaced_returns,
        caught_by=("epochs", "twin"),
    ),
    Mutant(
        name="slots without end",
        loosen=clause("slot_free"),
        scenarios=TWO,
        caught_by=("open-bounded", "judge"),
    ),
    Mutant(
        name="forced needs no slot",
        loosen=blocks.forced_needs_no_slot,
        scenarios=TWO,
        caught_by=("open-bounded", "judge"),
    ),
    Mutant(
        name="pending holds no slot",
        loosen=blocks.pending_holds_no_slot,
        scenarios=TWO,
        caught_by=("open-bounded", "judge"),
    ),
    Mutant(
        name="acking holds no slot",
        loosen=blocks.acking_holds_no_slot,
        scenarios=TWO,
        caught_by=("open-bounded", "judge"),
    ),
    Mutant(
        name="no rest",
        loosen=clause("address_rested"),
        caught_by=("judge",),
    ),
    Mutant(
        name="a rest of f blocks",
        loosen=blocks.short_rest,
        caught_by=("judge",),
        scenarios=("four members",),
    ),
    Mutant(
        name="no cooldown",
        loosen=clause("mode_cooled"),
        caught_by=("judge",),
    ),
    Mutant(
        name="cooldown of another mode",
        loosen=blocks.cooldown_of_another_mode,
        caught_by=("twin", "judge"),
    ),
    Mutant(
        name="cooldown after an ack",
        loosen=blocks.cooldown_after_an_ack,
        caught_by=("twin", "judge"),
    ),
    Mutant(
        name="spent, may return",
        loosen=blocks.spent_though_it_may_return,
        caught_by=("spent",),
    ),
    Mutant(
        name="spent, will act",
        loosen=blocks.spent_though_it_will_act,
        caught_by=("spent",),
    ),
    Mutant(
        name="spent for one height",
        loosen=blocks.spent_for_one_height,
        caught_by=("spent",),
    ),
    Mutant(
        name="rows forgotten early",
        loosen=blocks.rows_forgotten_early,
        caught_by=("one-entitled",),
    ),
    Mutant(
        name="deletions unsaid",
        loosen=blocks.deletions_unsaid,
        caught_by=("crash",),
    ),
    Mutant(name="ack unsigned", loosen=judging.unsigned("judge_ack"), caught_by=FORGED),
    Mutant(name="cancel unsigned", loosen=judging.unsigned("judge_cancel"), caught_by=FORGED),
    Mutant(name="words to come", loosen=judging.words_to_come, caught_by=FORGED),
    Mutant(
        name="cancel of an old epoch", loosen=judging.cancel_of_an_old_epoch, caught_by=("judge",)
    ),
    Mutant(name="forced ones rest", loosen=judging.forced_ones_rest, caught_by=("judge",)),
)
