"""What the copies of an address and the members say to each other while a handover is prepared.

Nothing here changes who votes: that is the chain's to say (core/authority). A *shadow ballot* shows
that a standby executes every block in time; it has a domain tag of its own and can never count. A
member that saw enough of them gives its word (*ready*); the old copy gives its *consent*. That both
ends speak for the address's identity key is proven by the hello of their connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zmqnode.base.codec import message, pack
from zmqnode.base.handover import (
    REASON_MAX_CHARS,
    Mode,
    Ready,
    Switch,
    check_address,
    check_epoch,
)
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address, PublicKey, Signature
from zmqnode.base.point import HEIGHT_MAX
from zmqnode.base.signing import Domain, Signs, Verify

SHADOW_TAG: Final = "shadow"
SIGNED_HEIGHTS_MAX: Final = 1024
CODE_MAX_CHARS: Final = 64
MESSAGE_MAX_CHARS: Final = 500
CONSENT_CODES: Final = (  # Why an old copy refuses.
    *("wrong_state", "not_authorised", "consent_refused", "epoch_moved"),
    *("handover_open", "not_standby", "cancelled"),
)
SIGNED_INIT: Final = 1
SIGNED_ACCEPT: Final = 2


def _check_texts(code: str, text: str) -> None:
    if len(code) > CODE_MAX_CHARS or len(text) > MESSAGE_MAX_CHARS:
        raise ValueError("text too long")


@message("shadow", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """Published: the block that this standby computed at a height. ``epoch`` is the decided one."""

    address: Address
    epoch: int
    height: int
    block: Hash
    instance: PublicKey
    signature: Signature

    def __post_init__(self) -> None:
        check_address(self.address)
        check_epoch(self.epoch)
        if not 0 <= self.height <= HEIGHT_MAX:
            raise ValueError("height out of range")

    def body(self) -> bytes:
        """The bytes the signature covers."""
        return pack([self.address, self.epoch, self.height, self.block])

    def verified(self, domain: Domain, verify: Verify) -> bool:
        """Whether the instance it names signed it."""
        return verify(self.instance, domain.message(SHADOW_TAG, self.body()), self.signature)


def sign_shadow(*, address: Address, epoch: int, height: int, block: Hash, signer: Signs) -> Shadow:
    """The signer's shadow ballot."""
    body = pack([address, epoch, height, block])
    return Shadow(
        address=address,
        epoch=epoch,
        height=height,
        block=block,
        instance=signer.public,
        signature=signer.sign(SHADOW_TAG, body),
    )


@message("ready.wanted", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyWanted:
    """Request of a standby to a member: your word that I follow. Answered with ReadyAnswer."""

    switch: Switch


@message("ready.answer", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyAnswer:
    """A member's word, or (``code``) why not; ``matches``: right shadow ballots it saw in a row."""

    session: Hash
    ready: Ready | None
    matches: int
    code: str

    def __post_init__(self) -> None:
        _check_texts(self.code, "")
        if not 0 <= self.matches <= SIGNED_HEIGHTS_MAX:
            raise ValueError("matches out of range")


@message("consent.wanted", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentWanted:
    """Request of the new copy to the old one: let me vote. Answered with ConsentAnswer."""

    switch: Switch
    reason: str

    def __post_init__(self) -> None:
        if len(self.reason) > REASON_MAX_CHARS:
            raise ValueError("reason too long")
        if self.switch.mode is not Mode.PLANNED:
            raise ValueError("only a planned handover asks for consent")


@message("consent.answer", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentAnswer:
    """The old copy's consent; or it waits for its operator; or (``code``) it refuses."""

    session: Hash
    consent: Signature | None
    waits: bool
    code: str
    text: str

    def __post_init__(self) -> None:
        _check_texts(self.code, self.text)


@message("signed.wanted", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class SignedWanted:
    """Request: what you signed at these heights (at most 1024). Answered with SignedAnswer."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last <= HEIGHT_MAX:
            raise ValueError("heights out of order")
        if self.last - self.first >= SIGNED_HEIGHTS_MAX:
            raise ValueError("too many heights")


@message("signed.answer", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class SignedAnswer:
    """One number a height, from ``first`` on: 1 for an INIT of any round, 2 for an ACCEPT, or both.

    ``since`` is the first height this copy can speak for: it remembers no earlier ones.
    """

    first: int
    since: int
    stages: tuple[int, ...]

    def __post_init__(self) -> None:
        if not (0 <= self.first <= HEIGHT_MAX and 0 <= self.since <= HEIGHT_MAX):
            raise ValueError("height out of range")
        if len(self.stages) > SIGNED_HEIGHTS_MAX:
            raise ValueError("too many heights")
        if any(not 0 <= one <= SIGNED_INIT | SIGNED_ACCEPT for one in self.stages):
            raise ValueError("no stages")


HandoverRequest = ReadyWanted | ConsentWanted | SignedWanted
HandoverReply = ReadyAnswer | ConsentAnswer | SignedAnswer
