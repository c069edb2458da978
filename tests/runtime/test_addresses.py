"""A folder that moved to another url and was adopted: its peers learn where it is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from tests.runtime.local import lay_out, until
from zmqnode.base.address_record import AddressRecord, sign_record
from zmqnode.base.keys import Address, PrivateKey
from zmqnode.base.signing import Signer
from zmqnode.config import Config
from zmqnode.runtime import Node
from zmqnode.runtime.addresses import next_sequence
from zmqnode.runtime.folder import bind

MOVED = Address("n3sas")


def known(node: Node) -> AddressRecord | None:
    assert node.exchange.addresses is not None
    return node.exchange.addresses.known.get(MOVED)


def test_a_moved_copy_is_found_at_its_new_url(tmp_path: Path) -> None:
    """Goal: members keep its record, over their own restarts too; forged and old ones count not."""

    async def scene() -> None:
        folders = lay_out(tmp_path)
        port = Config.load(folders[3]).url.port
        text = (folders[3] / "node.yml").read_text().replace(f":{port}", f":{port + 3}")
        (folders[3] / "node.yml").write_text(text)
        bind(folders[3])
        first, second = next_sequence(folders[3]), next_sequence(folders[3])
        assert second > first
        nodes = [Node(folder) for folder in folders]
        for node in nodes:
            await node.__aenter__()
        url = nodes[3].config.url.url
        await until(lambda: all(known(node) is not None for node in nodes[:3]))
        record = known(nodes[0])
        assert record is not None and (record.url, record.sequence) == (url, second)
        assert known(nodes[3]) is None
        book, domain = nodes[0].exchange.addresses, nodes[0].standing.signer.domain
        assert book is not None
        stranger = Signer(PrivateKey(b"\3" * 32), domain)
        book.take(sign_record(MOVED, 0, "tcp://127.0.0.1:9", second + 1, stranger))
        book.take(replace(record, sequence=second + 1))  # Another number than was signed.
        assert known(nodes[0]) == record
        for node in nodes:
            await node.__aexit__(None, None, None)
        async with Node(folders[0]) as again:
            assert known(again) == record
            assert again._network is not None
            assert (str(MOVED), url) in again._network.links()

    asyncio.run(scene())
