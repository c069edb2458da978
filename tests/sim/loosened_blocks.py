"""The order of a block, windows and moves, loosened one at a time (see authority_mutants.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from zmqnode.base.handover import Ack, Handover, Mode, SystemOperation
from zmqnode.base.voteproof import Voteproof
from zmqnode.core import authority, authority_judging, authority_moves, authority_state
from zmqnode.core import authority_entries as stored
from zmqnode.core.authority_state import Authority, Context, Session
from zmqnode.sim import explorer_checks

from .loosened_judging import Patch, signed


def windows_first(patch: Patch) -> None:
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


def windows_before_ballots(patch: Patch) -> None:
    ballots, windows = authority._count_ballots, authority._turn_windows

    def count_ballots(state: Authority, carried: Any, context: Context) -> Any:
        state, turned = windows(state, context)
        state, vetoed = ballots(state, carried, context)
        return state, (*turned, *vetoed)

    patch(authority, "_count_ballots", count_ballots)
    patch(authority, "_turn_windows", lambda state, context: (state, ()))


def judged_on_the_parent(patch: Patch) -> None:
    def take_operations(state: Authority, operations: Any, context: Context) -> Any:
        parent = state
        for index, operation in enumerate(operations):
            refusal = authority.judge(parent, operation, context)
            if refusal is not None:
                raise authority.Ineffective(index, refusal)
            state, _ = authority.take_effect(state, operation, context)
        return state, ()

    patch(authority, "take_operations", take_operations)


def ballots_ignored(patch: Patch) -> None:
    patch(authority, "outlived", lambda state, session, carried: False)


def ballots_of_the_commit(patch: Patch) -> None:
    """A ballot for the height of the commit, too."""
    true = authority.outlived

    def outlived(state: Authority, session: Session, carried: Voteproof) -> bool:
        opened = session.opened_height - 1
        return true(state, replace(session, opened_height=opened), carried)

    patch(authority, "outlived", outlived)


def ballots_of_anyone(patch: Patch) -> None:
    """Any ballot of the address, also the new instance's."""

    def outlived(state: Authority, session: Session, carried: Voteproof) -> bool:
        after = carried.fact.height > session.opened_height
        return after and session.mode is Mode.TAKEOVER and session.address in carried.addresses

    patch(authority, "outlived", outlived)


def window(which: str, part: str) -> Callable[[Patch], None]:
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


def short_window(patch: Patch) -> None:
    true = authority.window_over

    def window_over(height: int, ms: int, window: int, state: Any, context: Context) -> bool:
        return true(height - 1, ms, window, state, context)

    patch(authority, "window_over", window_over)


def ack_at_any_time(patch: Patch) -> None:
    def judge_ack(state: Authority, operation: Ack, context: Context) -> Any:
        session = state.session(operation.address)
        named = session is not None and authority_judging.names_session(operation, session)
        decided = session is not None and session.acts_height is not None
        if named and decided:
            return signed(operation, context)
        return authority_judging.BAD_SIGNATURE

    patch(authority_judging, "judge_ack", judge_ack)


def ack_of_any_session(patch: Patch) -> None:
    patch(authority_judging, "names_session", lambda operation, session: True)


def ack_window_from_the_decision(patch: Patch) -> None:
    true = authority_moves.act

    def act(state: Authority, session: Session, context: Context) -> Any:
        after, acting = true(state, session, context)
        opened = replace(acting, acking_ms=context.time_ms)
        return authority_moves.with_session(after, opened), opened

    patch(authority_moves, "act", act)
    patch(authority, "act", act)


def no_return(patch: Patch) -> None:
    def give_back(state: Authority, session: Session, context: Context) -> Authority:
        return authority_moves.close(state, session, context, acked=False)

    patch(authority, "give_back", give_back)


def return_in_the_old_epoch(patch: Patch) -> None:
    true = authority_moves.give_back

    def give_back(state: Authority, session: Session, context: Context) -> Authority:
        after = true(state, session, context)
        members = [
            replace(one, epoch=session.epoch) if one.address == session.address else one
            for one in after.members.members
        ]
        return replace(after, members=type(after.members)(members=tuple(members)))

    patch(authority, "give_back", give_back)


def every_mode_returns(patch: Patch) -> None:
    true = authority._turn_window

    def turn_window(state: Authority, session: Session, context: Context) -> Any:
        if session.acking_ms is not None:
            session = replace(session, mode=Mode.PLANNED)
        return true(state, session, context)

    patch(authority, "_turn_window", turn_window)


def replaced_without_cooldown(patch: Patch) -> None:
    true = authority._ended

    def ended(state: Authority, session: Session, turn: Any, context: Context) -> Any:
        after, steps = true(state, session, turn, context)
        if turn is authority.Turn.REPLACED:
            after = replace(after, rests=state.rests)
        return after, steps

    patch(authority, "_ended", ended)


def replaced_returns(patch: Patch) -> None:
    """What a forced one replaces returns first."""
    true = authority._ended

    def ended(state: Authority, session: Session, turn: Any, context: Context) -> Any:
        if turn is authority.Turn.REPLACED and session.mode is Mode.PLANNED:
            return authority.give_back(state, session, context), ()
        return true(state, session, turn, context)

    patch(authority, "_ended", ended)


def forced_needs_no_slot(patch: Patch) -> None:
    true = authority_judging.slot_free

    def slot_free(state: Authority, operation: Handover, context: Context) -> Any:
        forced = operation.switch.mode is Mode.FORCED
        return None if forced else true(state, operation, context)

    patch(authority_judging, "slot_free", slot_free)


def pending_holds_no_slot(patch: Patch) -> None:
    true = authority_judging.slot_free

    def slot_free(state: Authority, operation: Handover, context: Context) -> Any:
        decided = tuple(
            one
            for one in state.sessions
            if one.acts_height is not None or one.address == operation.address
        )
        return true(replace(state, sessions=decided), operation, context)

    patch(authority_judging, "slot_free", slot_free)


def acking_holds_no_slot(patch: Patch) -> None:
    true = authority_judging.slot_free

    def slot_free(state: Authority, operation: Handover, context: Context) -> Any:
        before = tuple(one for one in state.sessions if one.acking_ms is None)
        return true(replace(state, sessions=before), operation, context)

    patch(authority_judging, "slot_free", slot_free)


def short_rest(patch: Patch) -> None:
    true = authority_judging.address_rested

    def address_rested(state: Authority, operation: Any, context: Context) -> Any:
        return true(state, operation, replace(context, height=context.height + 1))

    patch(authority_judging, "address_rested", address_rested)


def cooldown_of_another_mode(patch: Patch) -> None:
    true = authority_moves.close

    def close(state: Authority, session: Session, context: Context, *, acked: bool) -> Authority:
        other = {Mode.PLANNED: Mode.TAKEOVER, Mode.TAKEOVER: Mode.PLANNED}
        mode = other.get(session.mode, session.mode)
        return true(state, replace(session, mode=mode), context, acked=acked)

    patch(authority, "close", close)
    patch(authority_moves, "close", close)


def cooldown_after_an_ack(patch: Patch) -> None:
    true = authority_moves.close

    def close(state: Authority, session: Session, context: Context, *, acked: bool) -> Authority:
        return true(state, session, context, acked=False)

    patch(authority, "close", close)


def spent_though_it_may_return(patch: Patch) -> None:
    true = authority_state.is_spent

    def is_spent(state: Authority, height: int, address: Any, key: Any) -> bool:
        forced = tuple(replace(one, mode=Mode.FORCED) for one in state.sessions)
        return true(replace(state, sessions=forced), height, address, key)

    patch(authority_state, "is_spent", is_spent)


def spent_though_it_will_act(patch: Patch) -> None:
    true = authority_state.is_spent
    patch(
        authority_state,
        "is_spent",
        lambda state, height, address, key: true(replace(state, sessions=()), height, address, key),
    )


def spent_for_one_height(patch: Patch) -> None:
    """Only suffrage(b) is asked."""

    def is_spent(state: Authority, height: int, address: Any, key: Any) -> bool:
        if key in authority_state.suffrage(state, height).by_instance:
            return False
        named = any(key in (one.new_instance, one.old_instance) for one in state.sessions)
        return state.is_used(key) and not named

    patch(authority_state, "is_spent", is_spent)


def rows_forgotten_early(patch: Patch) -> None:
    true = authority_moves.forget_superseded
    patch(authority, "forget_superseded", lambda state, height: true(state, height + 1))


def deletions_unsaid(patch: Patch) -> None:
    true = stored.changes

    def changes(before: Authority, after: Authority) -> dict[bytes, bytes | None]:
        return {key: value for key, value in true(before, after).items() if value is not None}

    patch(explorer_checks, "changes", changes)
