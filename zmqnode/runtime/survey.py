"""What this copy knows at this moment, for the checks before a handover (runtime/preflight)."""

from __future__ import annotations

import shutil
from pathlib import Path

from zmqnode.base.exchange import NodeState
from zmqnode.base.handover import Cosign, Mode
from zmqnode.base.keys import Address, PublicKey
from zmqnode.base.suffrage import Suffrage
from zmqnode.core.kernel import Kernel
from zmqnode.core.world import LIVE_MS
from zmqnode.errors import Refused
from zmqnode.runtime.situation import Situation
from zmqnode.runtime.standing import Standing


def disk_free_bytes(folder: Path) -> int | None:
    """Free space for the data folder; None if the system does not say."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def survey(
    standing: Standing,
    *,
    mode: Mode,
    folder: Path,
    refusals: tuple[tuple[Address, str], ...],
    cosigns: tuple[Cosign, ...] = (),
    accept_halt_risk: bool = False,
    when_synced: bool = False,
) -> Situation:
    """Everything the checks look at.

    Raises:
        Refused: ``wrong_state``, the node has only just begun.
    """
    machine, ledger = standing.driver.machine, standing.ledger
    kernel = machine.kernel
    if kernel is None:
        raise Refused("wrong_state", "this copy is just starting", hint="ask again in a moment")
    suffrage = ledger.suffrage(ledger.height + 1)
    assert suffrage is not None
    linked, calling = _connected(standing)
    handing = machine.parts.handing
    view = handing.view
    fault, tip = kernel.fault, kernel.chain.tip
    heard = _heard(kernel)
    linked_addresses = {one.address for one in suffrage.members if one.instance in linked}
    return Situation(
        mode=mode,
        address=standing.address,
        identity=standing.identity,
        instance=standing.signer.public,
        url=standing.url,
        network_id=standing.signer.domain.network_id,
        authority=ledger.authority,
        suffrage=suffrage,
        context=kernel.context(tip.height + 1, max(tip.time_ms + 1, kernel.network_ms)),
        state=kernel.state,
        broken=None if fault is None else fault.cause,
        following=handing.standing.looking_on(),
        lag=max(0, standing.tip_known - standing.tip),
        open=view is not None and view.side == "new" and view.outcome is None,
        linked=linked,
        calling=calling,
        heard=heard,
        young=kernel.now_ms - kernel.members.born_ms <= LIVE_MS,
        live=_live(kernel, suffrage),
        refusals=tuple(one for one in refusals if one[0] not in linked_addresses),
        disk_free_bytes=disk_free_bytes(folder),
        clock_offsets=_clock_offsets(kernel, suffrage, heard),
        cosigns=cosigns,
        accept_halt_risk=accept_halt_risk,
        when_synced=when_synced,
    )


def _connected(standing: Standing) -> tuple[frozenset[PublicKey], frozenset[PublicKey]]:
    """Instances this copy reaches, and those that reach it."""
    stats = standing.network.stats()
    linked = frozenset(PublicKey(one.instance) for one in stats if one.linked)
    return linked, frozenset(PublicKey(one.instance) for one in stats if one.calling)


def _live(kernel: Kernel, suffrage: Suffrage) -> frozenset[Address]:
    """Addresses whose voting instance gave a sign of life a moment ago."""
    members, now_ms = kernel.members, kernel.now_ms
    return frozenset(one.address for one in suffrage.members if members.live(one.instance, now_ms))


def _clock_offsets(
    kernel: Kernel, suffrage: Suffrage, heard: dict[PublicKey, NodeState]
) -> tuple[int, ...]:
    """Of the members' clocks from the own one, ms."""
    return tuple(
        seen.clock_offset_ms
        for instance, seen in kernel.members.instances.items()
        if instance in suffrage.by_instance and instance in heard and instance != kernel.own
    )


def _heard(kernel: Kernel) -> dict[PublicKey, NodeState]:
    """Instances whose own status came a moment ago."""
    return {
        instance: seen.state
        for instance, seen in kernel.members.instances.items()
        if seen.state is not None
        and seen.status_ms is not None
        and kernel.now_ms - seen.status_ms <= LIVE_MS
    }
