"""What a signature covers: a domain tag, a version, the network and its genesis, and a body.

A signature made for one kind of message, network or chain is thereby worthless for any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from zmqnode.base.codec import pack
from zmqnode.base.hashes import ZERO, Hash
from zmqnode.base.keys import PrivateKey, PublicKey, Signature

Verify = Callable[[bytes, bytes, bytes], bool]
"""(public key of 32 bytes, signed bytes, signature of 64 bytes) -> whether they belong together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """One chain: its network-id and genesis hash (zeros in genesis entries and a first hello)."""

    network_id: str
    genesis: Hash = ZERO

    def message(self, tag: str, body: bytes, version: int = 1) -> bytes:
        """The bytes a signature of kind ``tag`` over ``body`` covers."""
        return pack([tag, version, self.network_id, self.genesis, body])


class Signs(Protocol):
    """Whatever signs for a chain: a Signer, or the simulator's."""

    domain: Domain
    public: PublicKey

    def sign(self, tag: str, body: bytes) -> Signature:
        """The signature of kind ``tag`` over ``body`` in this chain."""
        ...


class Signer:
    """A key bound to a chain. The simulator has one of its own with the same two members."""

    __slots__ = ("_key", "domain", "public")

    def __init__(self, key: PrivateKey, domain: Domain) -> None:
        self._key = key
        self.domain = domain
        self.public: PublicKey = key.public

    def sign(self, tag: str, body: bytes) -> Signature:
        """The signature of kind ``tag`` over ``body`` in this chain."""
        return self._key.sign(self.domain.message(tag, body))
