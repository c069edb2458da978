"""The authority with one clause of HANDOVER.md section 1 loosened at a time, for the explorer.

An exploration that finds nothing proves nothing until it finds these. Mutants replace functions of
core/authority; the authority itself has no switches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from zmqnode.base.handover import Ack, Handover, Mode, SystemOperation, Veto
from zmqnode.base.voteproof import Voteproof
from zmqnode.core import authority, authority_judging, authority_moves, authority_state
from zmqnode.core import authority_entries as stored
from zmqnode.core.authority_state import Authority, Context, Session
from zmqnode.sim import explorer_checks

Patch = Callable[[ModuleType, str, Any], None]


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One clause loosened; ``caught_by``: properties whose violation counts."""

    name: str
    loosen: Callable[[Patch], None]
    caught_by: tuple[str, ...]
    scenarios: tuple[str, ...] = ("three members",)


def clause(name: str) -> Callable[[Patch], None]:
    """A clause of judging that lets everything through."""
    return lambda patch: patch(authority_judging, name, lambda *arguments: None)


def skip(patch: Patch, module: ModuleType, name: str, value: Any) -> None:
    patch(module, name, value)


def at_once(when: Callable[[Session | None], bool]) -> Callable[[Patch], None]:
    """Some changes are in force one block early."""

    def loosen(patch: Patch) -> None:
        true = authority_moves.decide

        def decide(state: Authority, address: Any, instance: Any, url: str, height: int) -> Any:
            early = when(state.session(address))
            return true(state, address, instance, url, height - 1 if early else height)

        patch(authority_moves, "decide", decide)

    return loosen


def _in_force_table(patch: Patch) -> None:
    """Epoch and old instance are compared with what is in force, not with what is decided."""

    def names_in_force(state: Authority, operation: Handover, context: Context) -> Any:
        voter = authority_state.suffrage(state, context.height).by_address[operation.address]
        named = (operation.switch.epoch, operation.switch.old_instance)
        if named == (voter.epoch, voter.instance):
            return None
        return authority_judging.Refusal(code="epoch_moved", message="")

    def judge_handover(state: Authority, operation: Handover, member: Any, context: Context) -> Any:
        clauses = authority_judging
        return (
            clauses.takeover_possible(state, operation)
            or clauses.in_time(operation, context)
            or names_in_force(state, operation, context)
            or clauses.key_is_new(state, operation, member)
            or clauses.slot_free(state, operation, context)
        )

    patch(authority_judging, "judge_handover", judge_handover)


def _names(part: str) -> Callable[[Patch], None]:
    def names_decided(operation: Handover, member: Any) -> Any:
        switch = operation.switch
        same = switch.epoch == member.epoch
        if part == "instance":
            same = switch.old_instance == member.instance
        return None if same else authority_judging.Refusal(code="epoch_moved", message="")

    def loosen(patch: Patch) -> None:
        patch(authority_judging, "names_decided", names_decided)
        true = authority_judging.judge

        def judge(state: Authority, operation: Any, context: Context) -> Any:
            member = state.members.by_address[operation.address]
            if isinstance(operation, Handover):
                return authority_judging.judge_handover(state, operation, member, context)
            return true(state, operation, context)

        patch(authority_judging, "judge", judge)
        patch(authority, "judge", judge)

    return loosen


def _used_when_decided(patch: Patch) -> None:
    true = authority_moves.open_session

    def open_session(state: Authority, switch: Any, context: Context) -> Any:
        after, session = true(state, switch, context)
        if switch.mode is Mode.TAKEOVER:
            after = replace(after, used=state.used)
        return after, session

    patch(authority, "open_session", open_session)


def _used_here_only(patch: Patch) -> None:
    true = authority_judging.key_is_new

    def key_is_new(state: Authority, operation: Handover, member: Any) -> Any:
        others = {m.instance for m in state.members.members if m != member}
        if operation.switch.new_instance in others:
            return None
        return true(state, operation, member)

    patch(authority_judging, "key_is_new", key_is_new)


def _cancelled_keys_pass(patch: Patch) -> None:
    patch(
        authority_judging,
        "key_is_new",
        lambda state, operation, member: (
            authority_judging.BAD_SIGNATURE
            if state.is_used(operation.switch.new_instance)
            else None
        ),
    )


def _cancelled_for_good(patch: Patch) -> None:
    true = authority_moves.decide

    def decide(state: Authority, *arguments: Any) -> Authority:
        return replace(true(state, *arguments), cancelled=state.cancelled)

    patch(authority_moves, "decide", decide)


def _cancel_while_acting(patch: Patch) -> None:
    def cancels_pending(state: Authority, operation: Any) -> bool:
        session = state.session(operation.address)
        return session is not None and session.new_instance == operation.new_instance

    def judge_cancel(state: Authority, operation: Any, member: Any, context: Context) -> Any:
        if cancels_pending(state, operation) or authority_judging.cancellable(state, operation):
            return None
        return authority_judging.BAD_SIGNATURE

    patch(authority_judging, "judge_cancel", judge_cancel)
    patch(authority_judging, "cancels_pending", cancels_pending)
    patch(authority, "cancels_pending", cancels_pending)


def _cancel_used_keys(patch: Patch) -> None:
    patch(authority_judging, "cancellable", lambda state, operation: True)


def _fewer(tag: str) -> Callable[[Patch], None]:
    """One signer less is enough."""

    def loosen(patch: Patch) -> None:
        true = authority_judging.count_signers

        def count_signers(*arguments: Any, **options: Any) -> int:
            return true(*arguments, **options) + (options["tag"] == tag)

        patch(authority_judging, "count_signers", count_signers)

    return loosen


def _own_word(tag: str) -> Callable[[Patch], None]:
    """The address itself counts."""

    def loosen(patch: Patch) -> None:
        true = authority_judging.count_signers

        def count_signers(*arguments: Any, **options: Any) -> int:
            if options["tag"] == tag:
                options["without"] = None
            return true(*arguments, **options)

        patch(authority_judging, "count_signers", count_signers)

    return loosen


def _counted_with(ahead: int) -> Callable[[Patch], None]:
    """Ready certificates and co-signatures are counted with another suffrage."""

    def loosen(patch: Patch) -> None:
        true = authority_state.suffrage
        patch(authority_judging, "suffrage", lambda state, height: true(state, height + ahead))

    return loosen


def _stale_words(patch: Patch) -> None:
    true = authority_judging.ready_certified

    def ready_certified(state: Authority, operation: Any, context: Context) -> Any:
        params = replace(context.params, ready_ttl_ms=10_000)
        return true(state, operation, replace(context, params=params))

    patch(authority_judging, "ready_certified", ready_certified)


def _old_co_signatures(patch: Patch) -> None:
    true = authority_judging.cosigned

    def cosigned(state: Authority, operation: Any, context: Context) -> Any:
        return true(state, operation, replace(context, time_ms=0))

    patch(authority_judging, "cosigned", cosigned)


def _veto_too_late(patch: Patch) -> None:
    """A veto of a decided takeover, too."""

    def judge_veto(state: Authority, operation: Veto, member: Any, context: Context) -> Any:
        session = state.session(operation.address)
        if session is not None and session.session == operation.session:
            return None
        return authority_judging.BAD_SIGNATURE

    patch(authority_judging, "judge_veto", judge_veto)


def _veto_of_any_session(patch: Patch) -> None:
    def judge_veto(state: Authority, operation: Veto, member: Any, context: Context) -> Any:
        session = state.session(operation.address)
        if session is None or session.mode is not Mode.TAKEOVER or session.acts_height is not None:
            return authority_judging.BAD_SIGNATURE
        if (operation.epoch, operation.old_instance) != (member.epoch, member.instance):
            return authority_judging.BAD_SIGNATURE
        return None

    patch(authority_judging, "judge_veto", judge_veto)


def _veto_unsigned(patch: Patch) -> None:
    true = authority_judging.judge_veto

    def judge_veto(state: Authority, operation: Veto, member: Any, context: Context) -> Any:
        return true(state, operation, member, replace(context, verify=lambda *signed: True))

    patch(authority_judging, "judge_veto", judge_veto)


def _windows_first(patch: Patch) -> None:
    """Ends of windows before the operations of their block."""

    def advance(
        state: Authority,
        operations: Sequence[SystemOperation],
        carried: Voteproof | None,
        context: Context,
    ) -> Any:
        state, turned = authority._turn_windows(state, context)
        state, vetoed = authority._count_ballots(state, carried, context)
        kept = [one for one in operations if authority.judge(state, one, context) is None]
        state, operated = authority.take_operations(state, kept, context)
        return authority.forget_superseded(state, context.height), (*turned, *vetoed, *operated)

    patch(authority, "advance", advance)


def _windows_before_ballots(patch: Patch) -> None:
    ballots, windows = authority._count_ballots, authority._turn_windows

    def count_ballots(state: Authority, carried: Any, context: Context) -> Any:
        state, turned = windows(state, context)
        state, vetoed = ballots(state, carried, context)
        return state, (*turned, *vetoed)

    patch(authority, "_count_ballots", count_ballots)
    patch(authority, "_turn_windows", lambda state, context: (state, ()))


def _judged_on_the_parent(patch: Patch) -> None:
    def take_operations(state: Authority, operations: Any, context: Context) -> Any:
        parent = state
        for index, operation in enumerate(operations):
            refusal = authority.judge(parent, operation, context)
            if refusal is not None:
                raise authority.Ineffective(index, refusal)
            state, _ = authority.take_effect(state, operation, context)
        return state, ()

    patch(authority, "take_operations", take_operations)


def _ballots_ignored(patch: Patch) -> None:
    patch(authority, "outlived", lambda state, session, carried: False)


def _ballots_of_the_commit(patch: Patch) -> None:
    """A ballot for the height of the commit, too."""
    true = authority.outlived

    def outlived(state: Authority, session: Session, carried: Voteproof) -> bool:
        opened = session.opened_height - 1
        return true(state, replace(session, opened_height=opened), carried)

    patch(authority, "outlived", outlived)


def _ballots_of_anyone(patch: Patch) -> None:
    """Any ballot of the address, also the new instance's."""

    def outlived(state: Authority, session: Session, carried: Voteproof) -> bool:
        after = carried.fact.height > session.opened_height
        return after and session.mode is Mode.TAKEOVER and session.address in carried.addresses

    patch(authority, "outlived", outlived)


def _window(which: str, part: str) -> Callable[[Patch], None]:
    """A window that ends at its time alone, or at its height alone."""

    def over(state: Authority, session: Session, context: Context) -> bool:
        if which == "veto":
            height, ms = session.opened_height, session.opened_ms + context.params.veto_window_ms
        else:
            assert session.acts_height is not None and session.acking_ms is not None
            height, ms = session.acts_height, session.acking_ms + context.params.ack_window_ms
        if part == "time":
            return context.time_ms >= ms
        return context.height >= height + state.members.n

    return lambda patch: patch(authority, f"{which}_window_over", over)


def _short_window(patch: Patch) -> None:
    true = authority.window_over

    def window_over(height: int, ms: int, window: int, state: Any, context: Context) -> bool:
        return true(height - 1, ms, window, state, context)

    patch(authority, "window_over", window_over)


def _ack_at_any_time(patch: Patch) -> None:
    def judge_ack(state: Authority, operation: Ack, context: Context) -> Any:
        session = state.session(operation.address)
        named = session is not None and authority_judging.names_session(operation, session)
        decided = session is not None and session.acts_height is not None
        return None if named and decided else authority_judging.BAD_SIGNATURE

    patch(authority_judging, "judge_ack", judge_ack)


def _ack_of_any_session(patch: Patch) -> None:
    patch(authority_judging, "names_session", lambda operation, session: True)


def _ack_window_from_the_decision(patch: Patch) -> None:
    true = authority_moves.act

    def act(state: Authority, session: Session, context: Context) -> Any:
        after, acting = true(state, session, context)
        opened = replace(acting, acking_ms=context.time_ms)
        return authority_moves.with_session(after, opened), opened

    patch(authority_moves, "act", act)
    patch(authority, "act", act)


def _no_return(patch: Patch) -> None:
    def give_back(state: Authority, session: Session, context: Context) -> Authority:
        return authority_moves.close(state, session, context, acked=False)

    patch(authority, "give_back", give_back)


def _return_in_the_old_epoch(patch: Patch) -> None:
    true = authority_moves.give_back

    def give_back(state: Authority, session: Session, context: Context) -> Authority:
        after = true(state, session, context)
        members = [
            replace(one, epoch=session.epoch) if one.address == session.address else one
            for one in after.members.members
        ]
        return replace(after, members=type(after.members)(members=tuple(members)))

    patch(authority, "give_back", give_back)


def _every_mode_returns(patch: Patch) -> None:
    true = authority._turn_window

    def turn_window(state: Authority, session: Session, context: Context) -> Any:
        return true(state, replace(session, mode=Mode.PLANNED), context)

    patch(authority, "_turn_window", turn_window)


def _replaced_without_cooldown(patch: Patch) -> None:
    true = authority._ended

    def ended(state: Authority, session: Session, turn: Any, context: Context) -> Any:
        after, steps = true(state, session, turn, context)
        if turn is authority.Turn.REPLACED:
            after = replace(after, rests=state.rests)
        return after, steps

    patch(authority, "_ended", ended)


def _replaced_returns(patch: Patch) -> None:
    """What a forced one replaces returns first."""
    true = authority._ended

    def ended(state: Authority, session: Session, turn: Any, context: Context) -> Any:
        if turn is authority.Turn.REPLACED and session.mode is Mode.PLANNED:
            return authority.give_back(state, session, context), ()
        return true(state, session, turn, context)

    patch(authority, "_ended", ended)


def _forced_needs_no_slot(patch: Patch) -> None:
    true = authority_judging.slot_free

    def slot_free(state: Authority, operation: Handover, context: Context) -> Any:
        forced = operation.switch.mode is Mode.FORCED
        return None if forced else true(state, operation, context)

    patch(authority_judging, "slot_free", slot_free)


def _pending_holds_no_slot(patch: Patch) -> None:
    true = authority_judging.slot_free

    def slot_free(state: Authority, operation: Handover, context: Context) -> Any:
        decided = tuple(
            one
            for one in state.sessions
            if one.acts_height is not None or one.address == operation.address
        )
        return true(replace(state, sessions=decided), operation, context)

    patch(authority_judging, "slot_free", slot_free)


def _acking_holds_no_slot(patch: Patch) -> None:
    true = authority_judging.slot_free

    def slot_free(state: Authority, operation: Handover, context: Context) -> Any:
        before = tuple(one for one in state.sessions if one.acking_ms is None)
        return true(replace(state, sessions=before), operation, context)

    patch(authority_judging, "slot_free", slot_free)


def _short_rest(patch: Patch) -> None:
    true = authority_judging.address_rested

    def address_rested(state: Authority, operation: Any, context: Context) -> Any:
        return true(state, operation, replace(context, height=context.height + 1))

    patch(authority_judging, "address_rested", address_rested)


def _cooldown_of_another_mode(patch: Patch) -> None:
    true = authority_moves.close

    def close(state: Authority, session: Session, context: Context, *, acked: bool) -> Authority:
        other = {Mode.PLANNED: Mode.TAKEOVER, Mode.TAKEOVER: Mode.PLANNED}
        mode = other.get(session.mode, session.mode)
        return true(state, replace(session, mode=mode), context, acked=acked)

    patch(authority, "close", close)
    patch(authority_moves, "close", close)


def _cooldown_after_an_ack(patch: Patch) -> None:
    true = authority_moves.close

    def close(state: Authority, session: Session, context: Context, *, acked: bool) -> Authority:
        return true(state, session, context, acked=False)

    patch(authority, "close", close)


def _spent_though_it_may_return(patch: Patch) -> None:
    true = authority_state.is_spent

    def is_spent(state: Authority, height: int, key: Any) -> bool:
        forced = tuple(replace(one, mode=Mode.FORCED) for one in state.sessions)
        return true(replace(state, sessions=forced), height, key)

    patch(authority_state, "is_spent", is_spent)


def _spent_though_it_will_act(patch: Patch) -> None:
    true = authority_state.is_spent
    patch(
        authority_state,
        "is_spent",
        lambda state, height, key: true(replace(state, sessions=()), height, key),
    )


def _spent_for_one_height(patch: Patch) -> None:
    """Only suffrage(b) is asked."""

    def is_spent(state: Authority, height: int, key: Any) -> bool:
        if key in authority_state.suffrage(state, height).by_instance:
            return False
        named = any(key in (one.new_instance, one.old_instance) for one in state.sessions)
        return state.is_used(key) and not named

    patch(authority_state, "is_spent", is_spent)


def _rows_forgotten_early(patch: Patch) -> None:
    true = authority_moves.forget_superseded
    patch(authority, "forget_superseded", lambda state, height: true(state, height + 1))


def _deletions_unsaid(patch: Patch) -> None:
    true = stored.changes

    def changes(before: Authority, after: Authority) -> dict[bytes, bytes | None]:
        return {key: value for key, value in true(before, after).items() if value is not None}

    patch(explorer_checks, "changes", changes)


TWO = ("two addresses",)
FORGED = ("forged",)
MUTANTS = (
    Mutant(
        name="every change a block early",
        loosen=at_once(lambda s: True),
        caught_by=("one-entitled",),
    ),
    Mutant(
        name="copies, a block early",
        loosen=at_once(lambda s: True),
        caught_by=("two-signers", "one-entitled"),
        scenarios=("lagging copies",),
    ),
    Mutant(
        name="a return a block early",
        caught_by=("one-entitled",),
        loosen=at_once(lambda s: s is not None and s.acking_ms is not None),
    ),
    Mutant(
        name="a forced one a block early",
        caught_by=("one-entitled",),
        loosen=at_once(lambda s: s is not None and s.mode is Mode.FORCED),
    ),
    Mutant(name="the table in force", loosen=_in_force_table, caught_by=("judge", "epochs")),
    Mutant(name="the epoch alone", loosen=_names("epoch"), caught_by=FORGED),
    Mutant(name="the instance alone", loosen=_names("instance"), caught_by=("forged", "judge")),
    Mutant(name="used when decided", loosen=_used_when_decided, caught_by=("judge", "replay")),
    Mutant(name="used at its address only", loosen=_used_here_only, caught_by=FORGED),
    Mutant(name="no possession", loosen=clause("key_possessed"), caught_by=FORGED),
    Mutant(name="no identity", loosen=clause("signed_by_identity"), caught_by=FORGED),
    Mutant(name="no consent", loosen=clause("consented"), caught_by=FORGED),
    Mutant(name="no expiry", loosen=clause("in_time"), caught_by=("forged", "judge")),
    Mutant(
        name="no expiry of what waits",
        loosen=clause("in_time"),
        caught_by=("judge", "forged"),
        scenarios=("expiring",),
    ),
    Mutant(
        name="takeover at n = 2",
        loosen=clause("takeover_possible"),
        caught_by=("judge",),
        scenarios=("two members",),
    ),
    Mutant(name="q - 1 ready", loosen=_fewer("handover.ready"), caught_by=FORGED),
    Mutant(name="f co-signers", loosen=_fewer("handover.cosign"), caught_by=FORGED),
    Mutant(name="ready by itself", loosen=_own_word("handover.ready"), caught_by=FORGED),
    Mutant(name="co-signed by itself", loosen=_own_word("handover.cosign"), caught_by=FORGED),
    Mutant(name="stale words", loosen=_stale_words, caught_by=FORGED),
    Mutant(name="old co-signatures", loosen=_old_co_signatures, caught_by=FORGED),
    Mutant(
        name="counted with what is decided",
        loosen=_counted_with(1),
        scenarios=TWO,
        caught_by=("forged", "judge"),
    ),
    Mutant(
        name="counted with what was",
        loosen=_counted_with(-1),
        scenarios=TWO,
        caught_by=("forged", "judge"),
    ),
    Mutant(
        name="cancelled keys pass", loosen=_cancelled_keys_pass, caught_by=("judge", "cancelled")
    ),
    Mutant(name="cancelled for good", loosen=_cancelled_for_good, caught_by=("judge",)),
    Mutant(name="cancel while acting", loosen=_cancel_while_acting, caught_by=("judge",)),
    Mutant(name="cancel used keys", loosen=_cancel_used_keys, caught_by=("judge", "replay")),
    Mutant(name="veto too late", loosen=_veto_too_late, caught_by=("judge",)),
    Mutant(name="veto of any session", loosen=_veto_of_any_session, caught_by=("replay", "judge")),
    Mutant(name="veto unsigned", loosen=_veto_unsigned, caught_by=FORGED),
    Mutant(name="windows first", loosen=_windows_first, caught_by=("ended", "twin")),
    Mutant(
        name="windows before ballots", loosen=_windows_before_ballots, caught_by=("veto", "twin")
    ),
    Mutant(name="judged on the parent", loosen=_judged_on_the_parent, caught_by=("judge",)),
    Mutant(name="ballots ignored", loosen=_ballots_ignored, caught_by=("veto", "twin")),
    Mutant(name="ballots of the commit", loosen=_ballots_of_the_commit, caught_by=("twin",)),
    Mutant(name="ballots of anyone", loosen=_ballots_of_anyone, caught_by=("twin",)),
    Mutant(name="veto window by time", loosen=_window("veto", "time"), caught_by=("windows",)),
    Mutant(name="veto window by height", loosen=_window("veto", "height"), caught_by=("windows",)),
    Mutant(name="ack window by time", loosen=_window("ack", "time"), caught_by=("windows", "twin")),
    Mutant(
        name="ack window by height", loosen=_window("ack", "height"), caught_by=("windows", "twin")
    ),
    Mutant(name="windows of n - 1 blocks", loosen=_short_window, caught_by=("windows", "twin")),
    Mutant(name="ack before the first height", loosen=_ack_at_any_time, caught_by=("judge",)),
    Mutant(name="ack of any session", loosen=_ack_of_any_session, caught_by=("judge", "replay")),
    Mutant(
        name="ack window from the decision",
        loosen=_ack_window_from_the_decision,
        caught_by=("windows", "twin"),
    ),
    Mutant(name="no return", loosen=_no_return, caught_by=("twin",)),
    Mutant(name="return in the old epoch", loosen=_return_in_the_old_epoch, caught_by=("epochs",)),
    Mutant(name="every mode returns", loosen=_every_mode_returns, caught_by=("keys-once",)),
    Mutant(name="replaced, no cooldown", loosen=_replaced_without_cooldown, caught_by=("judge",)),
    Mutant(name="replaced, and returns", loosen=_replaced_returns, caught_by=("epochs", "twin")),
    Mutant(
        name="slots without end",
        loosen=clause("slot_free"),
        scenarios=TWO,
        caught_by=("open-bounded", "judge"),
    ),
    Mutant(
        name="forced needs no slot",
        loosen=_forced_needs_no_slot,
        scenarios=TWO,
        caught_by=("open-bounded", "judge"),
    ),
    Mutant(
        name="pending holds no slot",
        loosen=_pending_holds_no_slot,
        scenarios=TWO,
        caught_by=("open-bounded", "judge"),
    ),
    Mutant(
        name="acking holds no slot",
        loosen=_acking_holds_no_slot,
        scenarios=TWO,
        caught_by=("open-bounded", "judge"),
    ),
    Mutant(name="no rest", loosen=clause("address_rested"), caught_by=("judge",)),
    Mutant(
        name="a rest of f blocks",
        loosen=_short_rest,
        caught_by=("judge",),
        scenarios=("four members",),
    ),
    Mutant(name="no cooldown", loosen=clause("mode_cooled"), caught_by=("judge",)),
    Mutant(name="cooldown of another mode", loosen=_cooldown_of_another_mode, caught_by=("judge",)),
    Mutant(name="cooldown after an ack", loosen=_cooldown_after_an_ack, caught_by=("judge",)),
    Mutant(name="spent, may return", loosen=_spent_though_it_may_return, caught_by=("spent",)),
    Mutant(name="spent, will act", loosen=_spent_though_it_will_act, caught_by=("spent",)),
    Mutant(name="spent for one height", loosen=_spent_for_one_height, caught_by=("spent",)),
    Mutant(name="rows forgotten early", loosen=_rows_forgotten_early, caught_by=("one-entitled",)),
    Mutant(name="deletions unsaid", loosen=_deletions_unsaid, caught_by=("crash",)),
)
