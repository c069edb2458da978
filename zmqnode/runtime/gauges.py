"""Metrics whose values are kept elsewhere: declared here, read from the node at each scrape.

One class a group. ``read`` costs lookups in memory, a few file names of /proc and one statvfs; it
asks nobody and waits for nothing.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zmqnode import __version__
from zmqnode.base.block import Block
from zmqnode.base.exchange import NodeState
from zmqnode.base.keys import public_text
from zmqnode.core.handover_view import PHASES
from zmqnode.metrics import Registry
from zmqnode.network.door import ClientDoor
from zmqnode.network.pressure import descriptors_used, resident_bytes
from zmqnode.runtime.exchange import Exchange
from zmqnode.runtime.showing import read_outline, role_of, suffrage_row
from zmqnode.runtime.standing import Standing

BLOCK_SECONDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30, 60),
)
ROLES: Final = ("active", "standby", "retired", "observer")
STATES: Final = tuple(state.name for state in NodeState)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The parts of a running node that metrics are read from."""

    view: Standing
    exchange: Exchange
    door: ClientDoor
    data: Path


class ChainGauges:
    """Who this node is and where it stands."""

    def __init__(self, registry: Registry) -> None:
        gauge, counter = registry.gauge, registry.counter
        names = ("version", "address", "instance_key", "network_id", "app", "app_version")
        self._info = gauge("zmqnode_info", "Who this is; always 1.", names)
        self._state = gauge("zmqnode_state", "1 for the state the node is in.", ("state",))
        self._role = gauge("zmqnode_role", "1 for the role it has at the next height.", ("role",))
        self._epoch = gauge("zmqnode_epoch", "Epoch of the address at the next height.")
        self._height = gauge("zmqnode_height", "Height of the newest block committed here.")
        self._tip = gauge("zmqnode_tip_height", "Highest certified height it knows of.")
        self._lag = gauge("zmqnode_lag_blocks", "Blocks between the two.")
        self._block_time = gauge(
            "zmqnode_block_timestamp_seconds", "Unix time at which the newest block was proposed."
        )
        self._empty = gauge(
            "zmqnode_empty_block_interval_seconds",
            "How often a network without work makes a block; 0: never.",
        )
        self._blocks = counter("zmqnode_blocks_total", "Blocks committed by this process.")
        self._seals = counter("zmqnode_seals_total", "Seals in those blocks.")
        self._operations = counter("zmqnode_operations_total", "Operations in those blocks.")

    def committed(self, block: Block) -> None:
        """Count a block and what is in it."""
        self._blocks.add()
        self._seals.add(by=len(block.seals))
        self._operations.add(by=sum(len(seal.operations) for seal in block.seals))

    def read(self, sources: Sources) -> None:
        """Take over what is there now."""
        view = sources.view
        self._info.clear()
        self._info.set(
            1,
            __version__,
            str(view.address),
            public_text(view.signer.public),
            view.signer.domain.network_id,
            view.app.name,
            str(view.app.version),
        )
        role, epoch = role_of(view)
        self._state.choose(view.state.name, STATES)
        self._role.choose(role, ROLES)
        self._epoch.set(epoch)
        self._height.set(view.tip)
        self._tip.set(view.tip_known)
        self._lag.set(max(0, view.tip_known - view.tip))
        stored = view.stored(view.tip)
        value = None if stored is None else read_outline(stored.block)[1]
        if value is not None:
            self._block_time.set(value.time_ms / 1000)
        self._empty.set(view.params.empty_block_interval_ms / 1000)


class VoteGauges:
    """The height being worked at, the members, a handover."""

    def __init__(self, registry: Registry) -> None:
        gauge, counter = registry.gauge, registry.counter
        self._round = gauge("zmqnode_round", "Round of the height being worked at.")
        self.extra_rounds = counter(
            "zmqnode_extra_rounds_total", "Rounds that blocks committed here needed beyond one."
        )
        self._members = gauge("zmqnode_suffrage_members", "Members that may vote: n.")
        self._quorum = gauge("zmqnode_suffrage_quorum", "How many must agree: q.")
        self._live = gauge("zmqnode_suffrage_live", "Members heard of within 2 seconds.")
        self._margin = gauge("zmqnode_suffrage_margin", "Live members beyond the quorum.")
        self._member_live = gauge(
            "zmqnode_member_live", "Whether a member was heard of within 2 seconds.", ("address",)
        )
        self._member_epoch = gauge(
            "zmqnode_member_epoch", "A member's epoch; each handover adds one.", ("address",)
        )
        self._ignored = counter(
            "zmqnode_ballots_ignored_total",
            "Ballots, proposals, voteproofs, statuses and blocks that counted for nothing.",
            ("reason",),
        )
        self._evidence = counter(
            "zmqnode_evidence_total", "Pairs of messages that one instance must not both sign."
        )
        self._split = gauge(
            "zmqnode_split_results", "Different results of the height's value; 0 while all agree."
        )
        self._handover = gauge("zmqnode_handover_open", "Whether a handover is under way.")
        self._phase = gauge("zmqnode_handover_phase", "1 for the phase it is in.", ("phase",))

    def read(self, sources: Sources) -> None:
        """Take over what is there now."""
        view = sources.view
        kernel = view.driver.machine.kernel
        votes = view.driver.machine.consensus.votes if kernel is not None else None
        self._round.set(votes.round if votes is not None else 0)
        row = suffrage_row(view, view.tip + 1)
        if row is not None:
            self._members.set(row["n"])
            self._quorum.set(row["q"])
            self._live.set(row["live"])
            self._margin.set(row["margin"])
            self._member_live.clear()
            self._member_epoch.clear()
            for member in row["members"]:
                self._member_live.set(int(member["live"]), member["address"])
                self._member_epoch.set(member["epoch"], member["address"])
        self._ignored.reach(view.ignored_ballots, "not_entitled")
        for reason, count in (kernel.counters if kernel is not None else {}).items():
            self._ignored.reach(count, reason)
        self._evidence.reach(view.evidence)
        self._split.set(len(view.split))
        session = view.handover
        self._handover.set(int(session is not None))
        self._phase.choose(None if session is None else session.get("phase"), PHASES)


class PoolGauges:
    """Seals that wait for a block."""

    def __init__(self, registry: Registry) -> None:
        gauge = registry.gauge
        self._seals = gauge("zmqnode_pool_seals", "Seals that wait for a block.")
        self._operations = gauge("zmqnode_pool_operations", "Operations in them.")
        self._bytes = gauge("zmqnode_pool_bytes", "Their bytes.")
        self._seals_max = gauge("zmqnode_pool_seals_max", "How many seals may wait.")
        self._bytes_max = gauge("zmqnode_pool_bytes_max", "How many bytes may wait.")
        self._refused = registry.counter(
            "zmqnode_pool_refused_total", "Seals that were not taken, by code.", ("code",)
        )

    def read(self, sources: Sources) -> None:
        """Take over what is there now."""
        pool = sources.view.pool
        self._seals.set(pool.seals)
        self._operations.set(pool.operations)
        self._bytes.set(pool.bytes)
        kernel = sources.view.driver.machine.kernel
        if kernel is not None:
            self._seals_max.set(kernel.pool.limits.seals_max)
            self._bytes_max.set(kernel.pool.limits.bytes_max)
            for code, count in kernel.pool.refused.items():
                self._refused.reach(count, code)


class NetworkGauges:
    """Links, connections, and what is counted against them."""

    def __init__(self, registry: Registry) -> None:
        gauge, counter = registry.gauge, registry.counter
        one = ("address", "copy")  # copy: how the instance key begins; an address may have several.
        self._peers = gauge("zmqnode_peers", "Peers with a link that is up.")
        self._rtt = gauge("zmqnode_peer_rtt_seconds", "Round trip to a peer.", one)
        self._offset = gauge(
            "zmqnode_peer_clock_offset_seconds", "How far a peer's clock is ahead of ours.", one
        )
        self._queue = gauge("zmqnode_peer_queue_messages", "Answers that wait for a peer.", one)
        self._connections = gauge("zmqnode_connections", "Connections made to this node.")
        self._clients = gauge("zmqnode_clients", "Clients at the door.")
        self._door = gauge("zmqnode_door_open", "Whether clients are let in (0 under pressure).")
        self._accepted = counter("zmqnode_connections_accepted_total", "Connections made to us.")
        self._cut = counter("zmqnode_connections_cut_total", "Connections we cut, why.", ("fault",))
        self._strikes = counter("zmqnode_strikes_total", "Faults of the other side.", ("fault",))
        self._handshakes = counter(
            "zmqnode_handshakes_refused_total",
            "Handshakes that came to nothing: failed, or of a key that is not listed.",
            ("reason",),
        )
        self._lost = counter(
            "zmqnode_messages_lost_total", "Published messages of peers that never came."
        )
        self._dropped = counter(
            "zmqnode_messages_dropped_total", "Messages not published: too many were at once."
        )

    def read(self, sources: Sources) -> None:
        """Take over what is there now."""
        network = sources.view.network
        self._peers.set(sources.view.peers_up)
        for gauge in (self._rtt, self._offset, self._queue):
            gauge.clear()
        for peer in sources.view.peers():
            who = (str(peer.address), public_text(peer.instance)[:8])
            if peer.rtt_us is not None:
                self._rtt.set(peer.rtt_us / 1_000_000, *who)
            if peer.clock_offset_ms is not None:
                self._offset.set(peer.clock_offset_ms / 1000, *who)
            self._queue.set(peer.queue_messages, *who)
        self._connections.set(network.connections)
        self._clients.set(sources.door.clients)
        self._door.set(int(not sources.door.closed_because))
        stats = network.guard_stats
        self._accepted.reach(stats.accepted)
        for fault, count in stats.cuts.items():
            self._cut.reach(count, str(fault))
        for fault, count in stats.strikes.items():
            self._strikes.reach(count, str(fault))
        self._handshakes.reach(stats.handshakes_failed, "failed")
        self._handshakes.reach(network.zap_refused, "not_listed")
        self._lost.reach(sources.exchange.gaps)
        self._dropped.reach(network.overflowed)


class MachineGauges:
    """The process, its disk, and how it spends its time."""

    def __init__(self, registry: Registry) -> None:
        gauge, counter = registry.gauge, registry.counter
        self._turns = counter("zmqnode_turns_total", "Turns of the driver.")
        self._disk_free = gauge(
            "zmqnode_disk_free_bytes", "Free space where the data folder is, for this user."
        )
        self._started = gauge("process_start_time_seconds", "Unix time at which the node started.")
        self._cpu = counter("process_cpu_seconds_total", "Processor time of this process.")
        self._memory = gauge("process_resident_memory_bytes", "Memory of this process in RAM.")
        self._descriptors = gauge("process_open_fds", "Open descriptors of this process.")

    def read(self, sources: Sources) -> None:
        """Take over what is there now."""
        self._turns.reach(sources.view.driver.turns)
        disk = os.statvfs(sources.data)
        self._disk_free.set(disk.f_bavail * disk.f_frsize)
        self._started.set(sources.view.started_at_ms / 1000)
        self._cpu.reach(time.process_time())
        self._memory.set(resident_bytes())
        self._descriptors.set(descriptors_used())
