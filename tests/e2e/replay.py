"""What anybody who read the chain can send again: the system seals of its handovers."""

from __future__ import annotations

import time

from tests.e2e.local_net import LocalNet
from zmqnode import Client
from zmqnode.base.block import decode_block
from zmqnode.base.keys import parse_private
from zmqnode.base.query import RAW_BLOCKS_ASKED_MAX, RawBlocksAsked
from zmqnode.base.seal import Seal
from zmqnode.base.signing import Signer
from zmqnode.base.system import is_system, read_system, seal_system
from zmqnode.errors import Refused


def recorded(net: LocalNet, name: str) -> list[Seal]:
    """Every system seal of a node's chain, in order."""

    async def read(client: Client) -> list[Seal]:
        found: list[Seal] = []
        tip = (await client.info()).height
        for first in range(1, tip + 1, RAW_BLOCKS_ASKED_MAX):
            last = min(tip, first + RAW_BLOCKS_ASKED_MAX - 1)
            answer = await client.ask(RawBlocksAsked(first=first, last=last))
            for data, _, _ in answer.blocks:
                found += [seal for seal in decode_block(data).seals if is_system(seal)]
        return found

    seals: list[Seal] = net.ask(read, name)[name]
    return seals


def sealed_anew(net: LocalNet, name: str, seals: list[Seal]) -> list[Seal]:
    """The same operations in seals of now, of those that the address's identity key signed."""
    key = parse_private((net.dir / name / "node.key").read_text().strip())

    async def made(client: Client) -> list[Seal]:
        signer = Signer(key, (await client.chain()).domain)
        now_ms = time.time_ns() // 1_000_000
        return [
            seal_system(read_system(seal), created_at_ms=now_ms + index, signer=signer)
            for index, seal in enumerate(seals)
            if seal.sender == key.public
        ]

    fresh: list[Seal] = net.ask(made, name)[name]
    return fresh


def sent_again(net: LocalNet, seals: list[Seal]) -> list[str]:
    """What each node says to each: the state of a receipt, or a refusal's code."""

    async def send(client: Client) -> list[str]:
        said = []
        for seal in seals:
            try:
                said.append((await client.submit(seal, wait="accepted", timeout_ms=5_000)).state)
            except Refused as error:
                said.append(error.code)
        return said

    async def alone(client: Client) -> list[str]:
        async with Client(*client.targets[:1], copies=1) as one:
            return await send(one)

    return [word for words in net.ask(alone).values() for word in words]
