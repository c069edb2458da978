"""Blocks as clients ask for them: one with its operations, headers by the page, raw ones."""

from __future__ import annotations

from typing import Final

from zmqnode.app import Schema
from zmqnode.base.handover_query import CHANGES_ASKED_MAX, ChangesAsked
from zmqnode.base.query import (
    HEADERS_ASKED_MAX,
    RAW_BLOCKS_BYTES_MAX,
    BlockAsked,
    HeadersAsked,
    RawBlocks,
    RawBlocksAsked,
)
from zmqnode.errors import Refused
from zmqnode.runtime import showing
from zmqnode.runtime.telling import Slices, told_list
from zmqnode.runtime.view import NodeView, StoredBlock

BLOCKS_LISTED: Final = 20  # Without a first height.
HEADERS_SLICE: Final = 5  # Headers made in one slice; each reads up to five blocks.


def stored_block(view: NodeView, height: int) -> StoredBlock:
    """A block as the store keeps it; raises Refused ``not_found``."""
    stored = view.stored(height)
    if stored is None:
        raise _no_block(f"there is no block {height} here", view.tip)
    return stored


def block_told(view: NodeView, schema: Schema, asked: BlockAsked) -> Slices:
    """One block with its operations and signers; raises Refused ``not_found``."""
    height = view.tip if asked.height is None else asked.height
    if asked.hash is not None:
        found = view.height_of(asked.hash)
        if found is None:
            raise _no_block(f"no block has the hash {asked.hash.hex()}", view.tip)
        height = found
    block, stored = view.block(height), view.stored(height)
    if block is None or stored is None:
        raise _no_block(f"there is no block {height} here", view.tip)
    body = showing.whole_block(view, block, stored)
    return told_list(body, "operations", showing.operations(block, schema))


def headers_told(view: NodeView, asked: HeadersAsked) -> Slices:
    """At most ``HEADERS_ASKED_MAX`` from ``first`` on; the client asks for the rest."""
    last = view.tip if asked.last is None else min(asked.last, view.tip)
    first = max(0, last - BLOCKS_LISTED + 1) if asked.first is None else asked.first
    heights = range(first, min(last, first + HEADERS_ASKED_MAX - 1) + 1)
    rows = (showing.header(view, height, stored_block(view, height)) for height in heights)
    return told_list({}, "blocks", rows, HEADERS_SLICE)


def raw_blocks(view: NodeView, asked: RawBlocksAsked) -> RawBlocks:
    """Blocks as stored, as many as fit one answer."""
    blocks: list[tuple[bytes, bytes, bytes]] = []
    size = 0
    for height in range(asked.first, min(asked.last, view.tip) + 1):
        stored = stored_block(view, height)
        size += len(stored.block) + len(stored.accept_vp) + len(stored.init_vp)
        if blocks and size > RAW_BLOCKS_BYTES_MAX:
            break
        blocks.append((stored.block, stored.accept_vp, stored.init_vp))
    return RawBlocks(first=asked.first, blocks=tuple(blocks))


def changes_told(view: NodeView, asked: ChangesAsked) -> Slices:
    """Blocks that decided another suffrage: what proves it to who knows the one before."""
    heights = view.suffrage_changes(asked.after, CHANGES_ASKED_MAX)
    rows = (showing.change(view, height, stored_block(view, height)) for height in heights)
    return told_list({}, "changes", rows, 1)


def _no_block(message: str, tip: int) -> Refused:
    return Refused("not_found", message, hint=f"the newest block here is {tip}", height=tip)
