"""Clauses of the authority's judging, loosened one at a time (the table: authority_mutants.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

from zmqnode.base.handover import Handover, Mode, SystemOperation, Veto
from zmqnode.core import authority, authority_judging, authority_moves, authority_state
from zmqnode.core.authority_state import Authority, Context, Session

Patch = Callable[[ModuleType, str, Any], None]


def clause(name: str) -> Callable[[Patch], None]:
    """A clause of judging that lets everything through."""
    return lambda patch: patch(authority_judging, name, lambda *arguments: None)


def signed(operation: SystemOperation, context: Context) -> Any:
    """The one clause that every loosened judge keeps."""
    right = operation.verified(context.domain, context.verify)
    return None if right else authority_judging.BAD_SIGNATURE


def at_once(when: Callable[[Session | None], bool]) -> Callable[[Patch], None]:
    """Some changes are in force one block early."""

    def loosen(patch: Patch) -> None:
        true = authority_moves.decide

        def decide(state: Authority, address: Any, instance: Any, url: str, height: int) -> Any:
            early = when(state.session(address))
            return true(state, address, instance, url, height - 1 if early else height)

        patch(authority_moves, "decide", decide)

    return loosen


def in_force_table(patch: Patch) -> None:
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
            or clauses.address_rested(state, operation, context)
            or clauses.mode_cooled(state, operation, context)
            or clauses.signed_by_identity(operation, member, context)
            or clauses.key_possessed(operation, context)
            or clauses.authorised(state, operation, context)
            or clauses.ready_certified(state, operation, context)
        )

    patch(authority_judging, "judge_handover", judge_handover)


def names(part: str) -> Callable[[Patch], None]:
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


def used_when_decided(patch: Patch) -> None:
    true = authority_moves.open_session

    def open_session(state: Authority, switch: Any, context: Context) -> Any:
        after, session = true(state, switch, context)
        if switch.mode is Mode.TAKEOVER:
            after = replace(after, used=state.used)
        return after, session

    patch(authority, "open_session", open_session)


def used_here_only(patch: Patch) -> None:
    true = authority_judging.key_is_new

    def key_is_new(state: Authority, operation: Handover, member: Any) -> Any:
        others = {m.instance for m in state.members.members if m != member}
        if operation.switch.new_instance in others:
            return None
        return true(state, operation, member)

    patch(authority_judging, "key_is_new", key_is_new)


def cancelled_keys_pass(patch: Patch) -> None:
    patch(
        authority_judging,
        "key_is_new",
        lambda state, operation, member: (
            authority_judging.BAD_SIGNATURE
            if state.is_used(operation.switch.new_instance)
            else None
        ),
    )


def cancelled_for_good(patch: Patch) -> None:
    true = authority_moves.decide

    def decide(state: Authority, *arguments: Any) -> Authority:
        return replace(true(state, *arguments), cancelled=state.cancelled)

    patch(authority_moves, "decide", decide)


def cancel_while_acting(patch: Patch) -> None:
    def cancels_pending(state: Authority, operation: Any) -> bool:
        session = state.session(operation.address)
        return session is not None and session.new_instance == operation.new_instance

    def judge_cancel(state: Authority, operation: Any, member: Any, context: Context) -> Any:
        if cancels_pending(state, operation) or authority_judging.cancellable(state, operation):
            return authority_judging.signed_by_identity(operation, member, context)
        return authority_judging.BAD_SIGNATURE

    patch(authority_judging, "judge_cancel", judge_cancel)
    patch(authority_judging, "cancels_pending", cancels_pending)
    patch(authority, "cancels_pending", cancels_pending)


def cancel_used_keys(patch: Patch) -> None:
    patch(authority_judging, "cancellable", lambda state, operation: True)


def fewer(tag: str) -> Callable[[Patch], None]:
    """One signer less is enough."""

    def loosen(patch: Patch) -> None:
        true = authority_judging.count_signers

        def count_signers(*arguments: Any, **options: Any) -> int:
            return true(*arguments, **options) + (options["tag"] == tag)

        patch(authority_judging, "count_signers", count_signers)

    return loosen


def own_word(tag: str) -> Callable[[Patch], None]:
    """The address itself counts."""

    def loosen(patch: Patch) -> None:
        true = authority_judging.count_signers

        def count_signers(*arguments: Any, **options: Any) -> int:
            if options["tag"] == tag:
                options["without"] = None
            return true(*arguments, **options)

        patch(authority_judging, "count_signers", count_signers)

    return loosen


def counted_with(ahead: int) -> Callable[[Patch], None]:
    """Ready certificates and co-signatures are counted with another suffrage."""

    def loosen(patch: Patch) -> None:
        true = authority_state.suffrage
        patch(authority_judging, "suffrage", lambda state, height: true(state, height + ahead))

    return loosen


def stale_words(patch: Patch) -> None:
    true = authority_judging.ready_certified

    def ready_certified(state: Authority, operation: Any, context: Context) -> Any:
        params = replace(context.params, ready_ttl_ms=10_000)
        return true(state, operation, replace(context, params=params))

    patch(authority_judging, "ready_certified", ready_certified)


def old_co_signatures(patch: Patch) -> None:
    true = authority_judging.cosigned

    def cosigned(state: Authority, operation: Any, context: Context) -> Any:
        return true(state, operation, replace(context, time_ms=0))

    patch(authority_judging, "cosigned", cosigned)


def veto_too_late(patch: Patch) -> None:
    """A veto of a decided takeover, too."""

    def judge_veto(state: Authority, operation: Veto, member: Any, context: Context) -> Any:
        session = state.session(operation.address)
        if session is not None and session.session == operation.session:
            return signed(operation, context)
        return authority_judging.BAD_SIGNATURE

    patch(authority_judging, "judge_veto", judge_veto)


def veto_of_any_session(patch: Patch) -> None:
    def judge_veto(state: Authority, operation: Veto, member: Any, context: Context) -> Any:
        session = state.session(operation.address)
        if session is None or session.mode is not Mode.TAKEOVER or session.acts_height is not None:
            return authority_judging.BAD_SIGNATURE
        if (operation.epoch, operation.old_instance) != (member.epoch, member.instance):
            return authority_judging.BAD_SIGNATURE
        return signed(operation, context)

    patch(authority_judging, "judge_veto", judge_veto)


def unsigned(name: str) -> Callable[[Patch], None]:
    """One kind of operation whose signature is not looked at."""

    def loosen(patch: Patch) -> None:
        true = getattr(authority_judging, name)

        def judge(*parts: Any) -> Any:
            *others, context = parts
            return true(*others, replace(context, verify=lambda *signed: True))

        patch(authority_judging, name, judge)

    return loosen


def words_to_come(patch: Patch) -> None:
    """Words dated by a block that is not there yet count as well."""
    true = authority_judging.ready_certified

    def ready_certified(state: Authority, operation: Any, context: Context) -> Any:
        refusal = true(state, operation, context)
        ahead = refusal is not None and refusal.lift is authority_judging.Lift.CHANGE
        return None if ahead else refusal

    patch(authority_judging, "ready_certified", ready_certified)


def cancel_of_an_old_epoch(patch: Patch) -> None:
    true = authority_judging.judge_cancel

    def judge_cancel(state: Authority, operation: Any, member: Any, context: Context) -> Any:
        return true(state, operation, replace(member, epoch=operation.epoch), context)

    patch(authority_judging, "judge_cancel", judge_cancel)


def forced_ones_rest(patch: Patch) -> None:
    """The rest after a session keeps a forced one out as well."""

    def address_rested(state: Authority, operation: Any, context: Context) -> Any:
        rest = state.rest(operation.address)
        if rest is None or context.height > rest.closed_height + state.members.f:
            return None
        return authority_judging.Refusal(code="handover_open", message="it rests")

    patch(authority_judging, "address_rested", address_rested)
