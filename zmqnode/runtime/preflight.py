"""What is checked before a handover is begun: CLI.md section 6, in its order. Pure.

A :class:`Situation` is what one copy knows at one moment; the checks read nothing else. A failed
check has the code a start refuses with, and as its hint a command that mends it or shows more. What
the chain would refuse is asked of the chain's own rules (core/authority_judging), so that no
attempt begins that no block could take.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from zmqnode.base.exchange import NodeState
from zmqnode.base.handover import Handover, Mode, Switch
from zmqnode.base.keys import Signature, public_text
from zmqnode.base.suffrage import Member
from zmqnode.core.authority import Refusal
from zmqnode.core.authority_judging import (
    Lift,
    address_rested,
    cosigned,
    mode_cooled,
    slot_free,
)
from zmqnode.runtime.situation import Check, Situation, ok, refusal, warning

DISK_FREE_MIN_BYTES: Final = 256 << 20  # Blocks of some hours, journal segments, room to compact.
NO_QUORUM_HINT: Final = (
    "bring one of them back: zmqnode node run DIR; or move the old copy's data folder to a machine "
    "that runs, then: zmqnode node adopt DIR --old-copy-destroyed"
)
MISMATCHES: Final = {
    "network": ("network_mismatch",),
    "genesis": ("genesis_mismatch",),
    "params": ("params_mismatch", "app_mismatch", "protocol_mismatch"),
}
_UNSIGNED: Final = Signature(bytes(64))


def preflight(now: Situation) -> tuple[Check, ...]:
    """All checks, in the order of CLI.md section 6."""
    return tuple(_checks(now))


def preflight_row(now: Situation, checks: tuple[Check, ...]) -> dict[str, Any]:
    """The answer of ``handover preflight``."""
    return {
        "ok": all(check.status != "failed" for check in checks),
        "mode": now.mode.text,
        "address": now.address,
        "instance": public_text(now.instance),
        "live_others": now.live_others,
        "q": now.suffrage.q,
        "margin": now.live_others - now.suffrage.q,
        "checks": [check.row() for check in checks],
    }


def _checks(now: Situation) -> Iterator[Check]:
    for name, codes in MISMATCHES.items():
        yield _mismatch(now, name, codes)
    yield _identity(now)
    yield _standby(now)
    yield _once_synced(now, _url(now))
    yield _synced(now)
    yield _disk(now)
    yield _clock(now)
    yield _peers(now)
    yield _once_synced(now, _old(now))
    yield _margin(now)
    yield _open(now) if now.open else _once_synced(now, _open(now))
    yield _cosign(now)


def _once_synced(now: Situation, check: Check) -> Check:
    """What fails by a chain that is still being caught up with is looked at again at its tip."""
    if check.status != "failed" or not now.stale:
        return check
    text = f"{check.message}, as of height {now.context.height - 1}; looked at again when synced"
    return warning(check.name, text, check.hint or "")


# Same network, genesis, parameters and app.

_MISMATCH_HINTS: Final = {
    "network": "zmqnode node info -t MEMBER shows their network_id: set network-id and genesis to "
    "theirs in node.yml",
    "genesis": "zmqnode genesis show compares with genesis_hash of zmqnode node info -t MEMBER: "
    "take their genesis file, and an empty data folder",
    "params": "zmqnode version and zmqnode genesis show, here and at a member: run what they run",
}


def _mismatch(now: Situation, name: str, codes: tuple[str, ...]) -> Check:
    """One member may be wrong itself; more than f of them, or all there are, are not."""
    differing = sorted({address for address, code in now.refusals if code in codes})
    members = [one for one in now.suffrage.members if one.instance in now.linked]
    if not differing:
        said = {"network": f"network {now.network_id}", "genesis": "the members' genesis"}
        return ok(name, said.get(name, "the members' parameters and app"))
    message = f"{', '.join(differing)}: another {name}" + ("" if name != "params" else " or app")
    if len(differing) > now.suffrage.f or not members:
        return refusal(name, codes[0], message, _MISMATCH_HINTS[name])
    return warning(name, message, _MISMATCH_HINTS[name])


# This copy.


def _identity(now: Situation) -> Check:
    member = now.member
    if member is None:
        text = f"{now.address} is no member of this chain"
        return refusal("identity", "address_mismatch", text, "zmqnode suffrage list names them")
    if member.publickey != now.identity:
        return refusal(
            "identity",
            "identity_mismatch",
            f"the identity key here is not the one of {now.address}",
            f"zmqnode key show REF must print {public_text(member.publickey)}: set privatekey",
        )
    return ok("identity", f"the identity key of {now.address}")


def _standby(now: Situation) -> Check:
    info = "zmqnode node info shows where it stands"
    voting = now.suffrage.by_address.get(now.address)
    for member in (now.member, voting):
        if member is not None and member.instance == now.instance:
            text = f"this copy is the voting one of {now.address}"
            hint = "zmqnode handover start -t STANDBY: the copy that shall vote is asked"
            return refusal("standby", "already_active", text, hint)
    if now.broken is not None:
        return refusal("standby", "not_standby", f"this copy is BROKEN: {now.broken}", info)
    if now.spent:
        text = "this copy's key is spent; it makes a new one by itself within moments"
        return refusal("standby", "not_standby", text, info)
    if now.instance in now.authority.cancelled_keys(now.address):
        text = "handovers to this copy's key were cancelled; it makes a new one by itself"
        return refusal("standby", "not_standby", text, info)
    return ok("standby", f"another copy votes for {now.address}")


def _url(now: Situation) -> Check:
    member = now.member
    if member is not None and member.url == now.url and member.instance != now.instance:
        text = f"the voting copy's url is {now.url} as well"
        hint = "set another network.url in node.yml, then: zmqnode node run"
        return refusal("url", "same_url", text, hint)
    return ok("url", now.url)


def _synced(now: Situation) -> Check:
    if now.following:
        return ok("synced", "it executes every block live")
    if now.state is NodeState.CONSENSUS:
        return ok("synced", "it votes, so it is at the tip")
    behind = f"{now.lag} blocks behind" if now.lag else "not at the tip yet"
    text = f"this copy is {behind} ({now.state.name})"
    if now.when_synced:
        return warning("synced", f"{text}; waited for", "zmqnode wait synced returns when it is")
    hint = "zmqnode wait synced, then again; or add --when-synced"
    return refusal("synced", "not_caught_up", text, hint)


def _disk(now: Situation) -> Check:
    free = now.disk_free_bytes
    if free is None:
        return warning("disk", "the free space is not known", "df -h DIR shows it")
    text = f"{free >> 20} MiB free"
    if free < DISK_FREE_MIN_BYTES:
        hint = "df -h DIR; free space, or move the data folder to another disk"
        return refusal("disk", "disk_low", f"{text}, {DISK_FREE_MIN_BYTES >> 20} needed", hint)
    return ok("disk", text)


def _clock(now: Situation) -> Check:
    offsets = sorted(now.clock_offsets)
    if not offsets:
        return ok("clock", "no member's clock to compare with")
    off_ms = -offsets[len(offsets) // 2]
    text = f"{off_ms:+d} ms from the members' median"
    if abs(off_ms) > now.context.params.time_tolerance_ms:
        hint = "timedatectl shows whether the clock is synchronised"
        return warning("clock", f"{text}: its blocks will be late or wait", hint)
    return ok("clock", text)


# The others.


def _counted(now: Situation) -> list[Member]:
    """Whose word may count for readiness: the old copy's own only if the handover is planned."""
    planned = now.mode is Mode.PLANNED
    return [one for one in now.suffrage.members if planned or one.address != now.address]


def _peers(now: Situation) -> Check:
    q, counted = now.suffrage.q, _counted(now)
    if not now.possible:
        text = f"with {now.suffrage.n} members no quorum is left without {now.address}"
        return refusal("peers", "no_quorum", text, NO_QUORUM_HINT)
    both = now.linked & now.calling
    sure = both if now.young else both & now.heard.keys()
    reached = [one for one in counted if one.instance in sure]
    text = f"{len(reached)} of {len(counted)} members reach it and are reached, {q} needed"
    if len(reached) >= q:
        return ok("peers", text)
    live = [one for one in counted if one.address in now.live or one in reached]
    missing = ", ".join(str(one.address) for one in counted if one not in reached)
    if reached and len(live) < q:
        return refusal("peers", "no_quorum", f"{text}: {missing} gave no sign", NO_QUORUM_HINT)
    return refusal("peers", "peers_unreachable", f"{text}: not {missing}", _peers_hint(now))


def _peers_hint(now: Situation) -> str:
    """What keeps them away: their own word, if they said it in their hellos, else the ways."""
    said = {code for _, code in now.refusals}
    if "instances_max" in said:
        return f"too many copies of {now.address} run, zmqnode peers names them: stop one"
    if "instance_twice" in said:
        return (
            "another process runs with this copy's instance key: stop one of the two, "
            "and give it an empty folder: zmqnode node run DIR"
        )
    return (
        f"zmqnode peers shows who is linked; {now.url} and the two ports after its own must be "
        "open to the members"
    )


def _old(now: Situation) -> Check:
    member = now.member
    if member is None or member.instance == now.instance:
        return ok("old", "there is no other copy to ask")
    state = now.heard.get(member.instance)
    if now.mode is Mode.PLANNED:
        silent = state is None and not now.young
        if silent or member.instance not in now.linked:
            text = f"the voting copy of {now.address} at {member.url} is not reached"
            hint = "bring it back: zmqnode node run DIR; if it is dead, add --takeover"
            return refusal("old", "old_unreachable", text, hint)
        stands = "linked" if state is None else state.name
        return ok("old", f"the voting copy at {member.url} is {stands}")
    if now.mode is Mode.TAKEOVER and state is NodeState.CONSENSUS:
        text = f"the voting copy at {member.url} is alive: it will veto"
        return warning("old", text, "zmqnode handover start, without --takeover, asks it")
    seen = "gives no sign" if state is None else f"is {state.name}"
    return ok("old", f"the voting copy at {member.url} {seen}")


def _margin(now: Situation) -> Check:
    q, live = now.suffrage.q, now.live_others
    text = f"{live} live members other than {now.address}, {q} needed"
    if not now.possible:
        return refusal("margin", "no_quorum", text, NO_QUORUM_HINT)
    if live >= q:
        return ok("margin", text)
    risk = f"{text}: should this copy die at the switch, the chain halts"
    hint = "bring the missing members back: zmqnode suffrage list; or add --accept-halt-risk"
    if now.accept_halt_risk:
        return warning("margin", risk, hint)
    return refusal("margin", "margin_negative", risk, hint)


# What the chain would refuse.


def _operation(now: Situation) -> Handover | None:
    """The operation as far as it is known now; unsigned."""
    member = now.member
    if member is None:
        return None
    switch = Switch(
        address=now.address,
        epoch=member.epoch,
        mode=now.mode,
        old_instance=member.instance,
        new_instance=now.instance,
        url=now.url,
        expires_at_ms=now.context.time_ms,
    )
    cosigns = {one.address: one for one in now.cosigns} if now.mode is Mode.FORCED else {}
    return Handover(
        switch=switch,
        reason="",
        possession=_UNSIGNED,
        consent=_UNSIGNED if now.mode is Mode.PLANNED else None,
        cosigns=tuple(cosigns[address] for address in sorted(cosigns)),
        ready=(),
        identity=now.identity,
        signature=_UNSIGNED,
    )


def _open(now: Situation) -> Check:
    watch = "zmqnode handover status --watch"
    if now.open:
        text = "this copy has a part in a handover that is open"
        return refusal("open", "handover_open", text, f"{watch}; zmqnode handover cancel stops it")
    found = _in_the_way(now)
    if found is None:
        return ok("open", "no other handover is in the way")
    if found.lift is Lift.HEIGHT:  # Blocks are made for it; the operation waits for them.
        return ok("open", found.message)
    wait_ms = found.details.get("wait_ms")
    if type(wait_ms) is int:
        text = f"{found.message}: again in {-(-wait_ms // 1000)} s"
        return refusal("open", found.code, text, "zmqnode handover history shows how it ended")
    return refusal("open", found.code, found.message, f"{watch}, then again")


def open_details(now: Situation) -> dict[str, Any]:
    """What a refusal of the check ``open`` has beside it: whose session, or how long to wait."""
    found = _in_the_way(now)
    return {} if found is None else dict(found.details)


def _in_the_way(now: Situation) -> Refusal | None:
    """What of the chain is against it. Last what a few blocks mend: it must not hide the others."""
    operation = _operation(now)
    if operation is None:
        return None
    return (
        slot_free(now.authority, operation, now.context)
        or mode_cooled(now.authority, operation, now.context)
        or address_rested(now.authority, operation, now.context)
    )


def _cosign(now: Situation) -> Check:
    if now.mode is not Mode.FORCED:
        return ok("cosign", "only a forced handover is co-signed")
    operation = _operation(now)
    needed = now.authority.members.f + 1
    if operation is not None and cosigned(now.authority, operation, now.context) is None:
        return ok("cosign", f"{needed} other members co-signed")
    found = None if operation is None else cosigned(now.authority, operation, now.context)
    text = f"{needed} other members must co-sign" if found is None else found.message
    hint = (
        f"zmqnode handover cosign {now.address} {public_text(now.instance)} --out FILE, "
        f"on {needed} other members; then --cosign FILE for each"
    )
    return refusal("cosign", "cosign_missing", text, hint)
