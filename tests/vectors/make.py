"""Write the vectors again: ``python -m tests.vectors.make``.

Only a deliberate change of the wire format, of a hash or of what a signature covers changes them;
such a change makes nodes and stored chains of before and after strangers to each other, so it needs
a new version of the message, and a word in the CHANGELOG.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests import tree_twin
from tests.vectors import samples
from zmqnode.base import handover, node_info, tree
from zmqnode.base.block import encode_block
from zmqnode.base.codec import encode
from zmqnode.base.genesis import member_entries
from zmqnode.base.hashes import tagged
from zmqnode.base.keys import PrivateKey, curve_public, parse_private, public_text
from zmqnode.base.proposal import proposal_body
from zmqnode.base.results import results_root

FOLDER = Path(__file__).parent
# The private key that Mitum's page prints; everybody knows it.
PRINTED_KEY = "KyfqCLSEyfUhskZ63WtVH3m3pGgnurFHuTgkgu73Pgyjf8sxbp8Rmpr"


def wire() -> dict[str, str]:
    """Every message's wire bytes, and those of what has a wire form of its own, as hex."""
    return {
        **{name: encode(sample).hex() for name, sample in samples.MESSAGES.items()},
        "seal": samples.SEAL.data.hex(),
        "block.0": encode_block(samples.BLOCK_0).hex(),
        "block.1": encode_block(samples.BLOCK_1).hex(),
        "results": samples.RESULTS.hex(),
    }


def hashes() -> dict[str, str]:
    """Every hash that a chain or a client keeps, as hex."""
    state = {b"akey%d" % number: b"value%d" % number for number in range(40)}
    entries = member_entries(samples.SUFFRAGE)
    return {
        "tagged": tagged(b"tag", b"data").hex(),
        "genesis document": samples.GENESIS.hash.hex(),
        "genesis": samples.BLOCK_0.hash.hex(),
        "block": samples.BLOCK_1.hash.hex(),
        "value": samples.VALUE_1.hash.hex(),
        "value with voteproof": samples.VALUE_3.hash.hex(),
        "seal": samples.SEAL.hash.hex(),
        "suffrage": samples.SUFFRAGE.hash.hex(),
        "results root": results_root(samples.LEAVES).hex(),
        "results root of none": results_root(()).hex(),
        "state root of none": tree.EMPTY_ROOT.hex(),
        "state root of 40 keys": tree_twin.state_root(state).hex(),
        "state root of the suffrage": tree_twin.state_root(entries).hex(),
        "session": samples.switch(handover.Mode.PLANNED).session.hex(),
    }


def keys() -> dict[str, dict[str, str]]:
    """Key texts and their curve forms."""

    def row(key: PrivateKey) -> dict[str, str]:
        return {
            "private": key.text(),
            "public": public_text(key.public),
            "curve_secret": key.curve_secret().hex(),
            "curve_public": curve_public(key.public).hex(),
        }

    return {"printed": row(parse_private(PRINTED_KEY)), "zero": row(PrivateKey(bytes(32)))}


def signed() -> dict[str, str]:
    """The bytes that signatures cover, as hex: domain tag, version, network, genesis, body."""
    domain = samples.DOMAIN
    ballot, proposal = samples.ACCEPTS[0], samples.PROPOSAL
    info: dict[str, object] = {"network_id": "vectors", "height": 1, "signature": "left out"}
    return {
        "ballot": domain.message("ballot", ballot.fact.body(ballot.address, ballot.epoch)).hex(),
        "proposal": domain.message("proposal", proposal_body(proposal)).hex(),
        "seal": domain.message("seal", samples.SEAL.hash).hex(),
        "node_info": domain.message("node_info", node_info.node_info_body(info)).hex(),
    }


def vectors() -> dict[str, dict[str, object]]:
    """File name (without .json) to its content."""
    return {
        "wire": dict(wire()),
        "hashes": dict(hashes()),
        "keys": dict(keys()),
        "signed": dict(signed()),
    }


def main() -> None:
    """Write them all."""
    for name, content in vectors().items():
        text = json.dumps(content, indent=1, ensure_ascii=True)
        (FOLDER / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
