"""Blocks, suffrages and NodeInfo in the words of the command line's JSON. Pure reading of a view.

Hashes are lower-case hex, keys their texts, bytes stay bytes; the client adds nothing but ``v``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from zmqnode import __version__
from zmqnode.app import Schema
from zmqnode.base.ballot import Ballot
from zmqnode.base.block import Block, Manifest
from zmqnode.base.codec import encode, from_wire, unpack
from zmqnode.base.instant import at
from zmqnode.base.keys import Address, public_text
from zmqnode.base.node_info import NODE_INFO_TAG, node_info_body
from zmqnode.base.proposal import Value
from zmqnode.base.results import decode_results
from zmqnode.base.suffrage import Member, Suffrage
from zmqnode.base.voteproof import Voteproof
from zmqnode.errors import Malformed
from zmqnode.runtime.view import NodeView, PeerRow, StoredBlock

LIVE_MS: Final = 2_000  # A member is live if its status or ballot came within this.
PRESENCE_FIRST: Final = 5  # Leader(H): presence is what blocks H-5 ..
PRESENCE_LAST: Final = 2  # .. to H-2 carry.


def role_of(view: NodeView) -> tuple[str, int]:
    """Role and epoch of this instance at the next height."""
    suffrage = view.suffrage(view.tip + 1)
    assert suffrage is not None, "the suffrage of tip + 1 is always known"
    member = suffrage.by_address.get(view.address)
    if member is None:
        return "observer", 0
    if member.instance == view.signer.public:
        return "active", member.epoch
    return "retired" if view.retired else "standby", member.epoch


def node_info(view: NodeView) -> dict[str, Any]:
    """NodeInfo, signed by the instance."""
    manifest, time_ms = _outline(view, view.tip)
    role, epoch = role_of(view)
    domain = view.signer.domain
    pool, trouble = view.pool, view.broken
    info: dict[str, Any] = {
        "v": 1,
        "address": view.address,
        "publickey": public_text(view.identity),
        "epoch": epoch,
        "instance": public_text(view.signer.public),
        "url": view.url,
        "height": view.tip,
        "network_id": domain.network_id,
        "genesis_hash": domain.genesis.hex(),
        "state": view.state.name,
        "role": role,
        "block_hash": manifest.hash.hex(),
        "state_root": manifest.state_root.hex(),
        **at("proposed", time_ms),
        "tip_height": view.tip_known,
        "lag_blocks": max(0, view.tip_known - view.tip),
        "last_ballot": _ballot(view.last_ballot),
        "handover": view.handover,
        "peers": view.peers_up,
        "suffrage": suffrage_row(view, view.tip + 1),
        "broken": trouble and {"cause": trouble.cause, "way_out": trouble.way_out},
        "split": {block.hex(): list(who) for block, who in view.split.items()} or None,
        "ignored_ballots": view.ignored_ballots,
        "evidence": view.evidence,
        "pool": {"seals": pool.seals, "operations": pool.operations, "bytes": pool.bytes},
        "version": __version__,
        "app": {"name": view.app.name, "version": view.app.version},
        "params": view.params.named(),
        **at("started", view.started_at_ms),
    }
    info["signature"] = view.signer.sign(NODE_INFO_TAG, node_info_body(info)).hex()
    return info


def suffrage_row(view: NodeView, height: int) -> dict[str, Any] | None:
    """NodeInfo's ``suffrage`` of a height; None if this node does not know it."""
    suffrage = view.suffrage(height)
    if suffrage is None:
        return None
    now_ms = view.clock_ms()
    members = [_member(view, member, now_ms) for member in suffrage.members]
    live = sum(1 for member in members if member["live"])
    return {
        "height": height,
        "n": suffrage.n,
        "f": suffrage.f,
        "q": suffrage.q,
        "live": live,
        "margin": live - suffrage.q,
        "members": members,
    }


def _member(view: NodeView, member: Member, now_ms: int) -> dict[str, Any]:
    own = member.instance == view.signer.public
    seen_ms = now_ms if own else view.last_seen_ms(member.instance)
    live = seen_ms is not None and now_ms - seen_ms <= LIVE_MS
    return {
        "address": member.address,
        "publickey": public_text(member.publickey),
        "instance": public_text(member.instance),
        "epoch": member.epoch,
        "url": member.url,
        "live": live,
        **at("last_seen", seen_ms),
    }


def _ballot(ballot: Ballot | None) -> dict[str, Any] | None:
    if ballot is None:
        return None
    fact = ballot.fact
    return {
        "height": fact.height,
        "round": fact.round,
        "stage": fact.stage.name,
        "draw": fact.draw,
    }


def peer_row(peer: PeerRow) -> dict[str, Any]:
    """One row of ``peers``; ``rtt_us`` becomes the client's fractional ``rtt_ms``."""
    return {
        "address": peer.address,
        "instance": public_text(peer.instance),
        "role": peer.role,
        "epoch": peer.epoch,
        "url": peer.url,
        "connected": peer.connected,
        "height": peer.height,
        "rtt_us": peer.rtt_us,
        **at("last_seen", peer.last_seen_ms),
        "clock_offset_ms": peer.clock_offset_ms,
        "queue_messages": peer.queue_messages,
        "dropped": peer.dropped,
        "strikes": peer.strikes,
    }


# Blocks.


def header(view: NodeView, height: int, stored: StoredBlock) -> dict[str, Any]:
    """A block's header, without decoding its seals."""
    manifest, value, operations = read_outline(stored.block)
    accept = read_vp(stored.accept_vp)
    round_ = 0 if accept is None else accept.fact.round
    return {
        "height": height,
        "block_hash": manifest.hash.hex(),
        "parent_hash": manifest.parent.hex(),
        "value_hash": manifest.value.hex(),
        "round": round_,
        "proposer": proposer(view, height, round_),
        **at("proposed", None if value is None else value.time_ms),
        "results_root": manifest.results_root.hex(),
        "state_root": manifest.state_root.hex(),
        "next_suffrage_hash": manifest.suffrage.hex(),
        "operations_count": operations,
    }


def whole_block(view: NodeView, block: Block, stored: StoredBlock) -> dict[str, Any]:
    """A block and who signed its voteproofs, without its operations."""
    suffrage = view.suffrage(block.height) if block.height else None
    return {
        **header(view, block.height, stored),
        "seals": [seal.hash.hex() for seal in block.seals],
        "init_voteproof": _voteproof(read_vp(stored.init_vp), suffrage),
        "accept_voteproof": _voteproof(read_vp(stored.accept_vp), suffrage),
    }


def operations(block: Block, schema: Schema) -> Iterable[dict[str, Any]]:
    """A block's operations and their results, one by one."""
    for seal, data in zip(block.seals, block.results, strict=True):
        sender = public_text(seal.sender)
        results = decode_results(data)
        for index, ((name, arguments), result) in enumerate(
            zip(seal.operations, results, strict=True)
        ):
            ok, reason, events = result
            yield {
                "seal": seal.hash.hex(),
                "index": index,
                "sender": sender,
                "name": name,
                "arguments": schema.arguments(name, arguments),
                "ok": ok,
                "reason": reason,
                "events": [{"name": event, "data": data} for event, data in events],
            }


def change(view: NodeView, height: int, stored: StoredBlock) -> dict[str, Any]:
    """A block that decided another suffrage, and the members it decided on."""
    manifest, _, _ = read_outline(stored.block)
    return {
        "manifest": encode(manifest),
        "accept_voteproof": stored.accept_vp,
        "members": member_rows(view.suffrage(height + 2)),
    }


def member_rows(suffrage: Suffrage | None) -> list[list[Any]]:
    """A suffrage as proofs carry it."""
    assert suffrage is not None
    return [
        [one.address, one.publickey, one.instance, one.epoch, one.url] for one in suffrage.members
    ]


def _voteproof(vp: Voteproof | None, suffrage: Suffrage | None) -> dict[str, Any] | None:
    if vp is None or suffrage is None:
        return None
    return {
        "height": vp.fact.height,
        "round": vp.fact.round,
        "stage": vp.fact.stage.name,
        "signers": [
            {
                "address": ballot.address,
                "instance": public_text(ballot.instance),
                "epoch": ballot.epoch,
            }
            for ballot in vp.ballots(suffrage)
        ],
    }


def proposer(view: NodeView, height: int, round_: int) -> Address | None:
    """leader(height, round), from the blocks up to height - 2 (DESIGN.md section 3)."""
    suffrage = view.suffrage(height) if height else None
    if suffrage is None:
        return None
    present: dict[Address, None] = {}
    for carrier in range(max(1, height - PRESENCE_FIRST), height - PRESENCE_LAST + 1):
        stored = view.stored(carrier)
        value = None if stored is None else read_outline(stored.block)[1]
        if value is not None and value.accept is not None:
            present.update(dict.fromkeys(value.accept.addresses))
    members = [member.address for member in suffrage.members]
    first = [one for one in members if one in present] or members
    rest = [one for one in members if one not in first]
    order = _rotated(first, height) + _rotated(rest, height)
    return order[round_ % len(order)]


def _rotated(members: list[Address], height: int) -> list[Address]:
    turn = height % len(members) if members else 0
    return members[turn:] + members[:turn]


def read_vp(data: bytes) -> Voteproof | None:
    """A stored voteproof, if there is one."""
    if not data:
        return None
    wire = unpack(data)
    if type(wire) is not list:
        raise Malformed("no voteproof")
    return from_wire(Voteproof, wire[2:])


def read_outline(data: bytes) -> tuple[Manifest, Value | None, int]:
    """Manifest, value and number of operations of an encoded block; its seals stay bytes."""
    manifest, value, _, results = unpack(data)
    count = sum(unpack(leaf)[0] for leaf in results)
    return (
        from_wire(Manifest, manifest),
        None if value is None else from_wire(Value, value),
        count,
    )


def _outline(view: NodeView, height: int) -> tuple[Manifest, int | None]:
    stored = view.stored(height)
    assert stored is not None, "the tip is always stored"
    manifest, value, _ = read_outline(stored.block)
    return manifest, None if value is None else value.time_ms
