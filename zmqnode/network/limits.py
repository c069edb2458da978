"""Every bound of the network room, by name and unit. Pure values.

The numbers come from measurements on loopback (pyzmq 27.3, libzmq 4.3.5): see the network page of
the documentation. A runtime passes its own where chain parameters decide them (message sizes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zmqnode.network.gate import Rate

KIB: Final = 1024
MIB: Final = 1024 * KIB


PEER_MESSAGES: Final = Rate(per_second=20_000, burst=20_000)
PEER_BYTES: Final = Rate(per_second=128 * MIB, burst=128 * MIB)
DOOR_MESSAGES: Final = Rate(per_second=2_000, burst=4_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkLimits:
    """Bounds of one node's sockets. Times in ms, sizes in bytes, the rest are counts."""

    # libzmq options (set before every bind or connect)
    handshake_ms: int = 2000
    heartbeat_ms: int = 2000
    heartbeat_timeout_ms: int = 6000
    reconnect_ms: int = 100
    reconnect_max_ms: int = 1000
    backlog: int = 256
    door_receive_messages: int = 16
    door_send_messages: int = 64
    peer_messages: int = 256
    publish_send_messages: int = 2000
    votes_receive_messages: int = 1000
    seals_receive_messages: int = 64

    # message sizes (MAXMSGSIZE of each socket)
    door_bytes_max: int = MIB + 4 * KIB  # seal_bytes_max + 4 KiB
    answer_bytes_max: int = 16 * MIB  # what a client accepts as one answer
    peer_bytes_max: int = 10 * MIB  # the largest pull answer: block_bytes_max and its proofs
    subscription_bytes_max: int = KIB
    votes_bytes_max: int = 512 * KIB
    seals_bytes_max: int = 2 * MIB

    # turns
    drain_max: int = 256  # messages read from one socket before others get their turn
    publishes_max: int = 500  # per turn; the rest waits for the next
    publish_queue_max: int = 4000
    asks_max: int = 1024  # unanswered requests per link

    # connections
    door_per_ip_max: int = 64
    door_per_ip_loopback_max: int = 512
    connections_max: int = 512  # all three ports
    per_address_max: int = 8  # p+1 and p+2, each
    unauthenticated_max: int = 32  # p+1 and p+2, each
    new_per_second: int = 20  # per port; not for loopback
    instances_max: int = 4  # live ones per address
    hello_ms: int = 2000
    refused_retry_ms: int = 1000  # after a failed hello; doubled each time
    refused_retry_max_ms: int = 16_000
    links_per_address_max: int = 8  # urls of one address that are dialled at once
    link_stale_ms: int = 600_000  # nobody answers at a url, and nothing names it: no more dialled
    silent_ms: int = 3000  # a connection without a byte (heartbeats!) this long is dead
    penalty_ms: int = 2000  # ZAP says "later" this long to a key that was cut

    # guard
    tick_ms: int = 50
    drip_bytes: int = MIB  # beyond MAXMSGSIZE, without a whole message
    drip_bytes_per_s: int = KIB
    drip_segments: int = 1024  # short ones, without a whole message; each may pin 8 KiB
    drip_segments_per_s: int = 2  # heartbeats, both ways
    idle_segments_max: int = 32_768  # then an idle connection is made anew (about 9 hours)
    held_bytes_max: int = 64 * MIB  # unfinished messages of all accepted connections together
    publish_drip_bytes: int = 16 * KIB
    strikes_max: int = 100  # per connection
    rate_strikes_max: int = 5000  # messages over the rate; they are answered "rate_limited" first
    descriptors_reserved: int = 256
    monitor_events_max: int = 20_000

    # what waits for a slow reader
    reply_queue_messages_max: int = 10_000  # a client has thousands in flight, answered by a block
    door_queue_bytes_max: int = 16 * MIB
    peer_queue_bytes_max: int = 32 * MIB  # several pull answers
    stalled_ms: int = 5000  # answers wait, and nothing was acknowledged for so long
    unread_bytes_max: int = 8 * MIB  # given to libzmq for one connection and not yet acknowledged
    publish_lag_bytes_max: int = 64 * MIB

    # the door under pressure
    pressure_ms: int = 1000  # how often it is looked at
    door_reopen_ms: int = 5000  # a closed door stays closed at least this long

    # rates
    peer_messages_rate: Rate = PEER_MESSAGES
    peer_bytes_rate: Rate = PEER_BYTES
    door_messages_rate: Rate | None = DOOR_MESSAGES  # per connection; None: no limit
