"""The address record: where an instance is found now, by its own word, off the chain.

The way back when fewer than q members are reachable: ``node adopt`` publishes it, and peers dial
the new url. The chain knows nothing of it and it gives no right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from zmqnode.base.codec import message, pack
from zmqnode.base.genesis import URL_MAX_CHARS
from zmqnode.base.handover import check_address, check_epoch
from zmqnode.base.keys import Address, PublicKey, Signature
from zmqnode.base.signing import Domain, Signs, Verify

SEQUENCE_MAX: Final = 2**53 - 1
RECORD_TAG: Final = "address.record"


@message("address.record", version=1)
@dataclass(frozen=True, kw_only=True)
class AddressRecord:
    """One instance's url, signed by it; of several the highest sequence number holds."""

    address: Address
    instance: PublicKey
    epoch: int
    url: str
    sequence: int
    signature: Signature

    def __post_init__(self) -> None:
        check_address(self.address)
        check_epoch(self.epoch)
        if not 1 <= len(self.url) <= URL_MAX_CHARS:
            raise ValueError(f"url: expected 1 to {URL_MAX_CHARS} characters")
        if not 0 <= self.sequence <= SEQUENCE_MAX:
            raise ValueError("sequence out of range")

    def body(self) -> bytes:
        """The bytes the signature covers."""
        return pack([self.address, self.epoch, self.url, self.sequence])

    def verified(self, domain: Domain, verify: Verify) -> bool:
        """Whether the instance it names signed it; says nothing about that instance's right."""
        return verify(self.instance, domain.message(RECORD_TAG, self.body()), self.signature)

    def beats(self, other: AddressRecord | None) -> bool:
        """Whether this one holds instead of ``other``, a record of the same instance."""
        return other is None or self.sequence > other.sequence


def sign_record(
    address: Address, epoch: int, url: str, sequence: int, signer: Signs
) -> AddressRecord:
    """The signer's own record."""
    unsigned = AddressRecord(
        address=address,
        instance=signer.public,
        epoch=epoch,
        url=url,
        sequence=sequence,
        signature=Signature(bytes(64)),
    )
    return replace(unsigned, signature=signer.sign(RECORD_TAG, unsigned.body()))
