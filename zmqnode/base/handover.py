"""What is signed to move an address's vote to another instance: system operations and their parts.

A *system operation* changes who votes. Four kinds: ``handover`` (planned, takeover or forced),
``veto``, ``ack``, ``cancel``. Each is signed over address, epoch and session under a domain tag of
its own, so that no signature serves twice: not for another address, epoch, mode or chain. Whether
an operation has effect is core/authority's to say; here is only its form, and base/system has the
seal that carries it.

A *session* is one attempt: its id covers address, expected epoch, mode, old and new instance. A new
instance key is used once, so no two committed handovers share an id.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from zmqnode.base.codec import message, pack, to_wire
from zmqnode.base.genesis import URL_MAX_CHARS
from zmqnode.base.hashes import Hash, tagged
from zmqnode.base.keys import ADDRESS_MAX_CHARS, Address, PublicKey, Signature
from zmqnode.base.seal import TIME_MAX_MS
from zmqnode.base.signing import Domain, Signs, Verify
from zmqnode.base.suffrage import MEMBERS_MAX

SYSTEM_VERSION: Final = 1
EPOCH_MAX: Final = 2**32 - 1
REASON_MAX_CHARS: Final = 200
SESSION_TEXT_BYTES: Final = 8

HANDOVER_TAG: Final = "handover"
POSSESSION_TAG: Final = "handover.possession"
CONSENT_TAG: Final = "handover.consent"
READY_TAG: Final = "handover.ready"
COSIGN_TAG: Final = "handover.cosign"
VETO_TAG: Final = "handover.veto"
ACK_TAG: Final = "handover.ack"
CANCEL_TAG: Final = "handover.cancel"


class Mode(enum.IntEnum):
    """Why the vote moves: the old copy agrees, is silent, or misbehaves."""

    PLANNED = 1
    TAKEOVER = 2
    FORCED = 3

    @property
    def text(self) -> str:
        """As commands and JSON write it."""
        return self.name.lower()


def session_id(
    address: Address,
    epoch: int,
    mode: Mode,
    old_instance: PublicKey,
    new_instance: PublicKey,
) -> Hash:
    """Names one attempt to move the vote of an address; ``epoch`` is the expected (old) one."""
    return tagged(
        b"handover.session", pack([address, epoch, int(mode), old_instance, new_instance])
    )


def session_text(session: Hash) -> str:
    """16 hex digits, as people read it."""
    return session[:SESSION_TEXT_BYTES].hex()


def check_address(address: str) -> None:
    """Its length; raises ValueError. Who it names is the chain's to say."""
    if not 1 <= len(address) <= ADDRESS_MAX_CHARS:
        raise ValueError(f"address: expected 1 to {ADDRESS_MAX_CHARS} characters")


def check_epoch(epoch: int) -> None:
    """Its bounds; raises ValueError."""
    if not 0 <= epoch <= EPOCH_MAX:
        raise ValueError("epoch out of range")


def check_time(time_ms: int) -> None:
    """Its bounds; raises ValueError."""
    if not 0 <= time_ms <= TIME_MAX_MS:
        raise ValueError("time out of range")


def _check_members(addresses: list[Address], what: str) -> None:
    if len(addresses) > MEMBERS_MAX or addresses != sorted(set(addresses)):
        raise ValueError(f"{what}: expected at most {MEMBERS_MAX} addresses, in order, each once")


@message("handover.switch", version=1)
@dataclass(frozen=True, kw_only=True)
class Switch:
    """What shall change: the vote of ``address`` goes from one instance to another.

    Args:
        epoch: the expected one, that of the old instance; the new one gets the next.
        url: where the new instance is found; a hint. 1 to 256 characters.
        expires_at_ms: the last block time at which the change may be committed.
    """

    address: Address
    epoch: int
    mode: Mode
    old_instance: PublicKey
    new_instance: PublicKey
    url: str
    expires_at_ms: int

    def __post_init__(self) -> None:
        check_address(self.address)
        check_epoch(self.epoch)
        check_time(self.expires_at_ms)
        if not 1 <= len(self.url) <= URL_MAX_CHARS:
            raise ValueError(f"url: expected 1 to {URL_MAX_CHARS} characters")

    @cached_property
    def session(self) -> Hash:
        """The id of this attempt."""
        return session_id(self.address, self.epoch, self.mode, self.old_instance, self.new_instance)

    # What each part's signature covers.

    def possession_body(self) -> bytes:
        """Signed by the new instance: I hold this key."""
        return pack([self.address, self.epoch, self.session])

    def consent_body(self) -> bytes:
        """Signed by the old instance: take my vote, until it expires."""
        return pack([self.address, self.epoch, self.session, self.url, self.expires_at_ms])

    def ready_body(self, time_ms: int) -> bytes:
        """Signed by a member's instance at its tip of that block time; the same in every mode."""
        return pack([self.address, self.epoch, self.new_instance, self.url, time_ms])

    def cosign_body(self, expires_at_ms: int) -> bytes:
        """Signed by another member's instance, by its operator's command."""
        return cosign_body(self.address, self.epoch, self.session, expires_at_ms)


def cosign_body(address: Address, epoch: int, session: Hash, expires_at_ms: int) -> bytes:
    """What a co-signature covers; a co-signer knows the session, not the url."""
    return pack([address, epoch, session, expires_at_ms])


@message("handover.ready", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A member's word: I am connected to the new instance, and it followed the chain in time.

    ``time_ms`` is the time of the member's newest block when it signed.
    """

    address: Address
    time_ms: int
    signature: Signature

    def __post_init__(self) -> None:
        check_address(self.address)
        check_time(self.time_ms)


@message("handover.cosign", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class Cosign:
    """A member's co-signature of a forced handover, good until the block time ``expires_at_ms``."""

    address: Address
    expires_at_ms: int
    signature: Signature

    def __post_init__(self) -> None:
        check_address(self.address)
        check_time(self.expires_at_ms)


@message("system.handover", version=SYSTEM_VERSION)
@dataclass(frozen=True, kw_only=True)
class Handover:
    """Let the new instance vote. Signed by the identity key over all else in it.

    Args:
        reason: for people; at most 200 characters.
        possession: the new instance's proof that it holds its key.
        consent: the old instance's, in planned mode only.
        cosigns: of other members, in forced mode only; in address order.
        ready: the ready certificate; in address order.
        identity: the address's identity key.
    """

    switch: Switch
    reason: str
    possession: Signature
    consent: Signature | None
    cosigns: tuple[Cosign, ...]
    ready: tuple[Ready, ...]
    identity: PublicKey
    signature: Signature

    def __post_init__(self) -> None:
        if len(self.reason) > REASON_MAX_CHARS:
            raise ValueError(f"reason: at most {REASON_MAX_CHARS} characters")
        if (self.consent is not None) != (self.switch.mode is Mode.PLANNED):
            raise ValueError("a planned handover carries consent, no other does")
        if self.cosigns and self.switch.mode is not Mode.FORCED:
            raise ValueError("only a forced handover is co-signed")
        _check_members([one.address for one in self.cosigns], "cosigns")
        _check_members([one.address for one in self.ready], "ready")

    @property
    def address(self) -> Address:
        """Whose vote moves."""
        return self.switch.address

    @property
    def epoch(self) -> int:
        """The expected epoch."""
        return self.switch.epoch

    @property
    def signer(self) -> PublicKey:
        """The key that signed this, and sends its seal."""
        return self.identity

    def body(self) -> bytes:
        """The bytes the signature covers."""
        return pack([self.address, self.epoch, self.switch.session, to_wire(self)[:-1]])

    def verified(self, domain: Domain, verify: Verify) -> bool:
        """Whether the identity key it names signed it; says nothing about that key's authority."""
        return verify(self.identity, domain.message(HANDOVER_TAG, self.body()), self.signature)


@message("system.veto", version=SYSTEM_VERSION)
@dataclass(frozen=True, kw_only=True)
class Veto:
    """The old instance lives: it stops the takeover of its address by the new one it names."""

    address: Address
    epoch: int
    old_instance: PublicKey
    new_instance: PublicKey
    signature: Signature

    def __post_init__(self) -> None:
        check_address(self.address)
        check_epoch(self.epoch)

    @cached_property
    def session(self) -> Hash:
        """The takeover it stops."""
        return session_id(
            self.address, self.epoch, Mode.TAKEOVER, self.old_instance, self.new_instance
        )

    @property
    def signer(self) -> PublicKey:
        """The key that signed this, and sends its seal."""
        return self.old_instance

    def body(self) -> bytes:
        """The bytes the signature covers."""
        return pack([self.address, self.epoch, self.session])

    def verified(self, domain: Domain, verify: Verify) -> bool:
        """Whether the instance it names as the old one signed it."""
        return verify(self.old_instance, domain.message(VETO_TAG, self.body()), self.signature)


@message("system.ack", version=SYSTEM_VERSION)
@dataclass(frozen=True, kw_only=True)
class Ack:
    """The new instance votes. ``epoch`` is its own, the one after the session's expected epoch."""

    address: Address
    epoch: int
    session: Hash
    instance: PublicKey
    signature: Signature

    def __post_init__(self) -> None:
        check_address(self.address)
        check_epoch(self.epoch)

    @property
    def signer(self) -> PublicKey:
        """The key that signed this, and sends its seal."""
        return self.instance

    def body(self) -> bytes:
        """The bytes the signature covers."""
        return pack([self.address, self.epoch, self.session])

    def verified(self, domain: Domain, verify: Verify) -> bool:
        """Whether the instance it names signed it."""
        return verify(self.instance, domain.message(ACK_TAG, self.body()), self.signature)


@message("system.cancel", version=SYSTEM_VERSION)
@dataclass(frozen=True, kw_only=True)
class Cancel:
    """The identity key takes back a handover to this instance, whatever its mode."""

    address: Address
    epoch: int
    new_instance: PublicKey
    identity: PublicKey
    signature: Signature

    def __post_init__(self) -> None:
        check_address(self.address)
        check_epoch(self.epoch)

    @property
    def signer(self) -> PublicKey:
        """The key that signed this, and sends its seal."""
        return self.identity

    def body(self) -> bytes:
        """The bytes the signature covers."""
        return pack([self.address, self.epoch, self.new_instance])

    def verified(self, domain: Domain, verify: Verify) -> bool:
        """Whether the identity key it names signed it."""
        return verify(self.identity, domain.message(CANCEL_TAG, self.body()), self.signature)


SystemOperation = Handover | Veto | Ack | Cancel


# Signing.

_UNSIGNED: Final = Signature(bytes(64))


def sign_possession(switch: Switch, signer: Signs) -> Signature:
    """The new instance's proof of possession."""
    return signer.sign(POSSESSION_TAG, switch.possession_body())


def sign_consent(switch: Switch, signer: Signs) -> Signature:
    """The old instance's consent."""
    return signer.sign(CONSENT_TAG, switch.consent_body())


def sign_ready(switch: Switch, time_ms: int, member: Address, signer: Signs) -> Ready:
    """The readiness a member's instance vouches for, at its newest block's time."""
    signature = signer.sign(READY_TAG, switch.ready_body(time_ms))
    return Ready(address=member, time_ms=time_ms, signature=signature)


def sign_cosign(
    address: Address,
    epoch: int,
    session: Hash,
    *,
    expires_at_ms: int,
    member: Address,
    signer: Signs,
) -> Cosign:
    """A member's co-signature of the forced handover that ``session`` names."""
    signature = signer.sign(COSIGN_TAG, cosign_body(address, epoch, session, expires_at_ms))
    return Cosign(address=member, expires_at_ms=expires_at_ms, signature=signature)


def sign_handover(
    switch: Switch,
    *,
    possession: Signature,
    consent: Signature | None = None,
    cosigns: Iterable[Cosign] = (),
    ready: Iterable[Ready] = (),
    reason: str = "",
    signer: Signs,
) -> Handover:
    """The whole operation, signed by the identity key last; sorts what must be in address order."""
    unsigned = Handover(
        switch=switch,
        reason=reason,
        possession=possession,
        consent=consent,
        cosigns=tuple(sorted(cosigns, key=lambda one: one.address)),
        ready=tuple(sorted(ready, key=lambda one: one.address)),
        identity=signer.public,
        signature=_UNSIGNED,
    )
    return replace(unsigned, signature=signer.sign(HANDOVER_TAG, unsigned.body()))


def sign_veto(address: Address, epoch: int, new_instance: PublicKey, signer: Signs) -> Veto:
    """The signer's veto against the takeover by ``new_instance``."""
    unsigned = Veto(
        address=address,
        epoch=epoch,
        old_instance=signer.public,
        new_instance=new_instance,
        signature=_UNSIGNED,
    )
    return replace(unsigned, signature=signer.sign(VETO_TAG, unsigned.body()))


def sign_ack(address: Address, epoch: int, session: Hash, signer: Signs) -> Ack:
    """The signer's acknowledgement of its own session, in its own epoch."""
    unsigned = Ack(
        address=address,
        epoch=epoch,
        session=session,
        instance=signer.public,
        signature=_UNSIGNED,
    )
    return replace(unsigned, signature=signer.sign(ACK_TAG, unsigned.body()))


def sign_cancel(address: Address, epoch: int, new_instance: PublicKey, signer: Signs) -> Cancel:
    """The identity key's cancel."""
    unsigned = Cancel(
        address=address,
        epoch=epoch,
        new_instance=new_instance,
        identity=signer.public,
        signature=_UNSIGNED,
    )
    return replace(unsigned, signature=signer.sign(CANCEL_TAG, unsigned.body()))
