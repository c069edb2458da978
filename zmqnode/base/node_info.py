"""NodeInfo: what an instance says of itself, in the words of the command line, and its signature.

It is one object in canonical MessagePack with the signature beside the other keys, so that it can
be shown and passed on as it is and still be checked against the instance key it names.
"""

from __future__ import annotations

from typing import Any, Final

from zmqnode.base.codec import pack_sorted
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import PublicKey
from zmqnode.base.signing import Domain, Verify

NODE_INFO_TAG: Final = "node_info"


def node_info_body(info: dict[str, Any]) -> bytes:
    """The bytes an instance's signature of its NodeInfo covers: all keys but the signature."""
    return pack_sorted({name: value for name, value in info.items() if name != "signature"})


def node_info_verified(info: dict[str, Any], instance: PublicKey, verify: Verify) -> bool:
    """Whether this instance signed this NodeInfo, for the chain that the NodeInfo names."""
    try:
        domain = Domain(
            network_id=str(info["network_id"]), genesis=Hash(bytes.fromhex(info["genesis_hash"]))
        )
        signature = bytes.fromhex(info["signature"])
        data = domain.message(NODE_INFO_TAG, node_info_body(info))
    except (KeyError, TypeError, ValueError, OverflowError):
        return False
    return verify(instance, data, signature)
