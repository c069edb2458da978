"""The hello: which instance speaks on this TCP connection. Pure.

CURVE and the User-Id prove the *address*; A and A-sub share that key. So after every CURVE
handshake the dialler says hello, and until it is done it may say nothing else::

    dialler  -> HELLO      its nonce
    listener -> CHALLENGE  its nonce, its credential over both nonces
    dialler  -> PROOF      its credential over both nonces
    listener -> WELCOME    or REFUSED with a reason code

A *credential* says all about its speaker (network, genesis, address, instance, url, versions,
parameters) and is signed twice: by the identity key, which thereby delegates to the instance key
for this connection, and by the instance key, which proves that it is held and not just named. The
signed bytes hold the role and both nonces, so a credential is good for one side of one connection.

The genesis hash is zero in the domain of these signatures: a peer of another genesis must be able
to learn that this is why it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from zmqnode.base.codec import message, pack, to_wire
from zmqnode.base.hashes import ZERO, Hash
from zmqnode.base.keys import PrivateKey, PublicKey, Signature, verify
from zmqnode.base.signing import Domain

PROTOCOL: Final = 1
NONCE_BYTES: Final = 32
TEXT_MAX_CHARS: Final = 256
DIALLER: Final = "dialler"
LISTENER: Final = "listener"

NO_SIGNATURE: Final = Signature(bytes(64))


@message("hello.open", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The dialler's first word."""

    nonce: bytes  # 32 random bytes

    def __post_init__(self) -> None:
        if len(self.nonce) != NONCE_BYTES:
            raise ValueError("a nonce has 32 bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """What a node says of itself in every hello."""

    protocol: int = PROTOCOL
    network_id: str
    genesis: Hash
    params: Hash  # hash of the chain parameters
    app: str
    app_version: int
    address: str
    instance: PublicKey
    incarnation: bytes  # 8 random bytes per process run
    url: str
    publish_port: int

    def __post_init__(self) -> None:
        texts = (self.network_id, self.app, self.address, self.url)
        if any(len(text) > TEXT_MAX_CHARS for text in texts) or len(self.incarnation) != 8:
            raise ValueError("out of bounds")
        if not 0 < self.publish_port < 65536:
            raise ValueError("no port")


@message("hello.credential", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """An introduction, bound to one connection by both nonces and signed by both keys."""

    introduction: Introduction
    role: str
    nonce: bytes  # the speaker's
    other_nonce: bytes
    identity_signature: Signature
    instance_signature: Signature

    def body(self) -> bytes:
        """What both signatures cover, inside the domain."""
        return pack([to_wire(self.introduction), self.role, self.nonce, self.other_nonce])


@message("hello.verdict", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The listener's answer: an empty code is a welcome."""

    code: str

    def __post_init__(self) -> None:
        if len(self.code) > TEXT_MAX_CHARS:
            raise ValueError("out of bounds")


def _domain(introduction: Introduction) -> Domain:
    return Domain(network_id=introduction.network_id, genesis=ZERO)


def credential(
    introduction: Introduction,
    identity: PrivateKey,
    instance: PrivateKey,
    *,
    role: str,
    nonce: bytes,
    other_nonce: bytes,
) -> Credential:
    """The signed credential of this side of a connection."""
    blank = Credential(
        introduction=introduction,
        role=role,
        nonce=nonce,
        other_nonce=other_nonce,
        identity_signature=NO_SIGNATURE,
        instance_signature=NO_SIGNATURE,
    )
    data = _domain(introduction).message("hello", blank.body())
    return replace(
        blank, identity_signature=identity.sign(data), instance_signature=instance.sign(data)
    )


def refusal(
    said: Credential,
    mine: Introduction,
    *,
    role: str,
    nonce: bytes | None,
    other_nonce: bytes,
    address: str,
    identity: PublicKey,
) -> str:
    """Why a credential does not hold here; empty if it does.

    Args:
        said: what the other side sent.
        role: the one it must speak in.
        nonce: its nonce as first heard (None: this credential is the first to name it).
        other_nonce: ours.
        address, identity: who CURVE says is on the other end.
    Returns:
        A reason code, or "". The most basic difference comes first, but the genesis last: the
        parameters and the application are part of it, and tell more.
    """
    theirs = said.introduction
    if theirs.protocol != mine.protocol:
        return "protocol_mismatch"
    if theirs.network_id != mine.network_id:
        return "network_mismatch"
    data = _domain(theirs).message("hello", said.body())
    if (
        said.role != role
        or said.other_nonce != other_nonce
        or (nonce is not None and said.nonce != nonce)
        or len(said.nonce) != NONCE_BYTES
        or not verify(identity, data, said.identity_signature)
        or not verify(theirs.instance, data, said.instance_signature)
    ):
        return "bad_signature"
    if theirs.address != address:
        return "address_mismatch"
    if theirs.params != mine.params:
        return "params_mismatch"
    if (theirs.app, theirs.app_version) != (mine.app, mine.app_version):
        return "app_mismatch"
    if theirs.genesis != mine.genesis:
        return "genesis_mismatch"
    if theirs.instance == mine.instance:
        return "own_instance" if theirs.incarnation == mine.incarnation else "instance_twice"
    return ""


@dataclass(slots=True, kw_only=True)
class Speaker:
    """This node, as it speaks in hellos; all links and callers share one."""

    introduction: Introduction
    identity: PrivateKey
    instance: PrivateKey

    def become(self, instance: PrivateKey, incarnation: bytes) -> None:
        """Speak as another instance of the same address from the next hello on."""
        self.instance = instance
        self.introduction = replace(
            self.introduction, instance=instance.public, incarnation=incarnation
        )

    def credential(self, role: str, nonce: bytes, other_nonce: bytes) -> Credential:
        """Our credential for one connection."""
        return credential(
            self.introduction,
            self.identity,
            self.instance,
            role=role,
            nonce=nonce,
            other_nonce=other_nonce,
        )
