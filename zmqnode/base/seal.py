"""A sender's signed batch of operations: the unit of gossip and of signature checking.

Wire: ``[version, sender, created_at_ms, nonce, operations, signature]`` where an operation is
``[name, [argument, ..]]``. The *body hash*, SHA-256 of the bytes of all but the signature, names
the seal; the signature covers that hash. Seals stay bytes on their way: encoded once, by their
sender.
"""

from __future__ import annotations

from typing import Any, Final

from zmqnode.base.codec import Malformed, pack, pack_sorted, unpack
from zmqnode.base.hashes import Hash, sha256
from zmqnode.base.keys import PrivateKey, PublicKey, Signature
from zmqnode.base.signing import Domain, Signer, Signs, Verify

SEAL_TAG: Final = "seal"
SEAL_VERSION: Final = 1
SEAL_OPERATIONS_MAX: Final = 1000
NONCE_BYTES: Final = 16
OPERATION_NAME_MAX_CHARS: Final = 64
TIME_MAX_MS: Final = 2**53 - 1
_SIGNATURE_WIRE_BYTES: Final = 66  # bin 8: 0xc4, 64, and the 64 bytes.


class Seal:
    """A decoded seal and the bytes it came in. Read it; never change what ``operations`` holds."""

    __slots__ = ("created_at_ms", "data", "hash", "nonce", "operations", "sender", "signature")

    def __init__(
        self,
        *,
        data: bytes,
        sender: PublicKey,
        created_at_ms: int,
        nonce: bytes,
        operations: list[Any],
        signature: Signature,
    ) -> None:
        self.data = data
        self.hash: Hash = seal_hash(data)
        self.sender = sender
        self.created_at_ms = created_at_ms
        self.nonce = nonce
        self.operations = operations
        self.signature = signature

    def verified(self, domain: Domain, verify: Verify) -> bool:
        """Whether the sender signed this seal for this chain."""
        return verify(self.sender, domain.message(SEAL_TAG, self.hash), self.signature)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seal) and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.data)

    def __repr__(self) -> str:
        return f"Seal({self.hash.hex()[:12]}, {len(self.operations)} operations)"


def seal_hash(data: bytes) -> Hash:
    """The body hash of a seal's wire bytes, before they are checked."""
    return sha256(data[:-_SIGNATURE_WIRE_BYTES])


def read_seal(data: bytes) -> Seal:
    """The seal of its wire bytes, without checking the signature; raises Malformed."""
    wire = unpack(data)
    if type(wire) is not list or len(wire) != 6:
        raise Malformed("a seal has 6 fields")
    version, sender, created_at_ms, nonce, operations, signature = wire
    if type(version) is not int or version != SEAL_VERSION:
        raise Malformed("unknown version of seal")
    if type(sender) is not bytes or len(sender) != 32:
        raise Malformed("sender: expected 32 bytes")
    if type(created_at_ms) is not int or not 0 <= created_at_ms <= TIME_MAX_MS:
        raise Malformed("created_at_ms: out of range")
    if type(nonce) is not bytes or len(nonce) != NONCE_BYTES:
        raise Malformed(f"nonce: expected {NONCE_BYTES} bytes")
    if type(signature) is not bytes or len(signature) != 64:
        raise Malformed("signature: expected 64 bytes")
    if type(operations) is not list or not 1 <= len(operations) <= SEAL_OPERATIONS_MAX:
        raise Malformed(f"a seal has 1 to {SEAL_OPERATIONS_MAX} operations")
    for operation in operations:
        if type(operation) is not list or len(operation) != 2:
            raise Malformed("an operation is [name, arguments]")
        name, arguments = operation
        if type(name) is not str or not 1 <= len(name) <= OPERATION_NAME_MAX_CHARS:
            raise Malformed("operation name: out of range")
        if type(arguments) is not list:
            raise Malformed("operation arguments: expected a list")
    return Seal(
        data=data,
        sender=PublicKey(sender),
        created_at_ms=created_at_ms,
        nonce=nonce,
        operations=operations,
        signature=Signature(signature),
    )


def make_seal(
    operations: list[Any],
    *,
    created_at_ms: int,
    nonce: bytes,
    key: PrivateKey,
    domain: Domain,
) -> Seal:
    """Sign 1 to 1000 operations ``[name, [argument, ..]]`` with a nonce of 16 random bytes."""
    signer = Signer(key, domain)
    return sign_seal(operations, created_at_ms=created_at_ms, nonce=nonce, signer=signer)


def sign_seal(operations: list[Any], *, created_at_ms: int, nonce: bytes, signer: Signs) -> Seal:
    """As :func:`make_seal`, by a signer already bound to its chain."""
    ordered: Any = [[name, pack_arguments(arguments)] for name, arguments in operations]
    body = pack([SEAL_VERSION, signer.public, created_at_ms, nonce, ordered])
    # An array of 5 is header 0x95; the seal itself is the same bytes under the header of 6.
    unsigned = b"\x96" + body[1:]
    signature = signer.sign(SEAL_TAG, sha256(unsigned))
    return read_seal(unsigned + b"\xc4\x40" + signature)


def pack_arguments(arguments: list[Any]) -> list[Any]:
    """Arguments with every dict in canonical order; raises TypeError or ValueError as the codec."""
    ordered = unpack(pack_sorted(arguments))
    assert type(ordered) is list
    return ordered
