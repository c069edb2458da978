"""A node goes on with another instance key, in the same process.

The key of an instance that was replaced is spent: it can never be entitled again (HANDOVER.md
section 1). It is deleted, a new one takes its place in the folder, and the node is a standby like
any other: a new machine boots from the same chain, peers meet the new instance in a hello of its
own. The client door, what waits there and what waits in the pool stay as they are.
"""

from __future__ import annotations

import os
from dataclasses import replace

from zmqnode.base.ballot import Ballot
from zmqnode.base.hashes import Hash
from zmqnode.base.signing import Signer
from zmqnode.core.chain import Chain
from zmqnode.core.events import Booted, SealsReceived
from zmqnode.core.machine import Machine
from zmqnode.core.records import JournalRecord, Recovery
from zmqnode.core.timing import Timing
from zmqnode.network import PeerNetwork
from zmqnode.runtime.driver import Driver
from zmqnode.runtime.folder import DataFolder
from zmqnode.runtime.ledger import Ledger

SUFFRAGES_BACK = 8
_NONE: tuple[tuple[int, Hash], ...] = ()


def recovery_of(
    ledger: Ledger,
    *,
    bound: bool,
    votes_lost: bool = False,
    records: tuple[JournalRecord, ...] = (),
    watermark: Ballot | None = None,
    chain: Chain | None = None,
    timing: Timing | None = None,
) -> Recovery:
    """What a machine boots from: the chain as the ledger has it, and what the journal adds.

    ``chain``: what the machine before it knew of the same chain, so that nothing is read again;
    ``timing``: what it had learned of the network.
    """
    if chain is None or chain.tip.hash != ledger.tip:
        window_ms = ledger.params.seal_ttl_ms + ledger.params.seal_ahead_ms
        blocks, executed = ledger.summaries(window_ms), _NONE
    else:
        blocks, executed = chain.remembered()
    suffrages = []
    for height in range(max(1, ledger.height - SUFFRAGES_BACK), ledger.height + 3):
        suffrage = ledger.suffrage(height)
        assert suffrage is not None
        suffrages.append((height, suffrage))
    return Recovery(
        blocks=blocks,
        suffrages=tuple(suffrages),
        records=records,
        watermark=watermark,
        nonce=Hash(os.urandom(32)),
        authority=ledger.authority,
        bound=bound,
        votes_lost=votes_lost,
        executed=executed,
        timing=timing,
        deaths=() if ledger.hazards is None else ledger.hazards.deaths,
    )


def replace_instance(driver: Driver, folder: DataFolder, network: PeerNetwork) -> Signer:
    """Delete the spent key and go on with a new one, whose signer is returned.

    Raises:
        Damaged: the folder's disk failed; nothing has changed then.
    """
    before = driver.machine
    assert before.kernel is not None
    key = folder.replace_instance()
    signer = Signer(key, before.config.domain)
    network.replace_instance(key)
    pool = before.kernel.pool
    carried = SealsReceived(seals=(*pool.lane, *pool), source=before.kernel.own)
    # The new instance has signed nothing, so the journal has nothing to tell it.
    known, timing = before.kernel.chain, before.kernel.timing
    recovery = recovery_of(driver.ledger, bound=folder.bound, chain=known, timing=timing)
    machine = Machine(replace(before.config, signer=signer))
    driver.begin_anew(machine, Booted(recovery=recovery), carried)
    return signer
