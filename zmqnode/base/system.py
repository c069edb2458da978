"""System seals: how one system operation travels in the wire form of every other seal.

It is the only operation of its seal, under a reserved name, with the arguments
``[version, field, ..]``; the seal's sender is the key that signed the operation. So nobody else can
wrap an old operation anew and displace a newer one in the pool. Exactly-once, age and size are
judged as for any seal; whether the operation has effect, by core/authority.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from zmqnode.base.codec import from_wire, pack, to_wire
from zmqnode.base.handover import SYSTEM_VERSION, Ack, Cancel, Handover, SystemOperation, Veto
from zmqnode.base.hashes import tagged
from zmqnode.base.seal import NONCE_BYTES, Seal, sign_seal
from zmqnode.base.signing import Signs
from zmqnode.errors import Malformed

RESERVED_PREFIX: Final = "zmqnode."  # No application has operations of such a name.

NAMES: Final[dict[str, type[SystemOperation]]] = {
    "zmqnode.handover": Handover,
    "zmqnode.veto": Veto,
    "zmqnode.ack": Ack,
    "zmqnode.cancel": Cancel,
}
_NAMES_OF: Final = {cls: name for name, cls in NAMES.items()}


def operation_name(operation: SystemOperation) -> str:
    """The reserved name of its kind."""
    return _NAMES_OF[type(operation)]


def is_system(seal: Seal) -> bool:
    """Whether a seal claims to carry a system operation.

    In a seal of several operations a reserved name is like any other that no application has: it
    fails as unknown.
    """
    operations = seal.operations
    return len(operations) == 1 and operations[0][0].startswith(RESERVED_PREFIX)


def read_system(seal: Seal) -> SystemOperation:
    """The operation of a seal for which :func:`is_system` holds.

    Raises:
        Malformed: no such kind or version, not its fields, or another sender than its signer.
    """
    name, arguments = seal.operations[0]
    kind = NAMES.get(name)
    if kind is None:
        raise Malformed(f"{name:.40} is reserved, and nothing")
    if not arguments or type(arguments[0]) is not int or arguments[0] != SYSTEM_VERSION:
        raise Malformed(f"unknown version of {name}")
    operation: SystemOperation = from_wire(kind, arguments[1:])
    if operation.signer != seal.sender:
        raise Malformed(f"{name}: sent by another key than signed it")
    return operation


def system_operations(seals: Iterable[Seal]) -> tuple[SystemOperation, ...]:
    """The system operations of a value's seals, which must come first.

    Raises:
        Malformed: one of them cannot be read, or follows a seal of the application.
    """
    found: list[SystemOperation] = []
    plain = False
    for seal in seals:
        if not is_system(seal):
            plain = True
        elif plain:
            raise Malformed("system seals come first in a value")
        else:
            found.append(read_system(seal))
    return tuple(found)


def seal_system(operation: SystemOperation, *, created_at_ms: int, signer: Signs) -> Seal:
    """The seal of a system operation; ``signer`` holds the key that signed it.

    The nonce follows from content and time: the same operation sealed twice in a millisecond is
    one.
    """
    assert signer.public == operation.signer, "the signer of an operation sends its seal"
    arguments = [SYSTEM_VERSION, *to_wire(operation)]
    nonce = tagged(b"handover.nonce", pack([created_at_ms, arguments]))[:NONCE_BYTES]
    return sign_seal(
        [[operation_name(operation), arguments]],
        created_at_ms=created_at_ms,
        nonce=nonce,
        signer=signer,
    )
