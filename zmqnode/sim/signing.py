"""Signatures of the simulated world: a keyed hash in place of Ed25519, 20 times as fast.

Each key has a secret in one table; verifying computes the keyed hash again. That is unforgeable for
whoever has no access to the table, and a traitor in this house signs only through the signers of
keys it owns.
"""

from __future__ import annotations

from hashlib import blake2b

from zmqnode.base.keys import PublicKey, Signature
from zmqnode.base.signing import Domain


class KeyTable:
    """All keys of one run."""

    __slots__ = ("_secrets",)

    def __init__(self) -> None:
        self._secrets: dict[bytes, bytes] = {}

    def key(self, name: str) -> SimKey:
        """The key of this name; the same name is the same key."""
        secret = blake2b(name.encode(), digest_size=32, person=b"sim-secret").digest()
        public = PublicKey(blake2b(secret, digest_size=32, person=b"sim-public").digest())
        self._secrets[public] = secret
        return SimKey(public, secret)

    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """Whether the key of ``public`` signed ``message``; the shape of base.signing.Verify."""
        secret = self._secrets.get(public)
        if secret is None:
            return False
        return blake2b(message, digest_size=64, key=secret).digest() == signature


class SimKey:
    """A private key: the two members of base.keys.PrivateKey that signing needs."""

    __slots__ = ("_secret", "public")

    def __init__(self, public: PublicKey, secret: bytes) -> None:
        self.public = public
        self._secret = secret

    def sign(self, message: bytes) -> Signature:
        """The 64-byte keyed hash of the message."""
        return Signature(blake2b(message, digest_size=64, key=self._secret).digest())


class SimSigner:
    """A key bound to a chain, as base.signing.Signer is."""

    __slots__ = ("_key", "domain", "public")

    def __init__(self, key: SimKey, domain: Domain) -> None:
        self._key = key
        self.domain = domain
        self.public = key.public

    def sign(self, tag: str, body: bytes) -> Signature:
        """The signature of kind ``tag`` over ``body`` in this chain."""
        return self._key.sign(self.domain.message(tag, body))
