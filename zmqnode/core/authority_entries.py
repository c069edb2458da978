"""The handover state as entries of the state tree, under the prefix no application can write.

One entry for each thing that changes by itself, so that a block's changes are few and small: the
decided row of an address (``smember/ADDRESS``, as genesis writes it), its superseded rows, its open
session, its rest, its cancelled keys, and one entry for each used key. Absent entries are the empty
values; genesis needs the decided rows only.

Used keys stay for good: 32 bytes for every change of a vote, so that a key is never used twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from zmqnode.base.codec import from_wire, pack, to_wire, unpack
from zmqnode.base.genesis import MEMBER_PREFIX, member_entries, read_member
from zmqnode.base.keys import Address, PublicKey
from zmqnode.base.suffrage import Member, Suffrage
from zmqnode.core.authority_state import Authority, Cancelled, Rest, Session, Superseded
from zmqnode.errors import Malformed

T = TypeVar("T")

SYSTEM_PREFIX: Final = b"s"
SUPERSEDED_PREFIX: Final = b"ssuperseded/"
SESSION_PREFIX: Final = b"ssession/"
REST_PREFIX: Final = b"srest/"
CANCELLED_PREFIX: Final = b"scancelled/"
USED_PREFIX: Final = b"sused/"
_PRESENT: Final = pack(None)


def entries(state: Authority) -> dict[bytes, bytes]:
    """All entries of a state: stored key to stored value."""
    found = {**member_entries(state.members), **_superseded(state.superseded)}
    found.update(_named(SESSION_PREFIX, state.sessions))
    found.update(_named(REST_PREFIX, state.rests))
    found.update(_named(CANCELLED_PREFIX, state.cancelled))
    found.update(_used(state.used))
    return found


def changes(before: Authority, after: Authority) -> dict[bytes, bytes | None]:
    """What a block changed: stored key to stored value, None for deleted."""
    if before is after:
        return {}
    found: dict[bytes, bytes | None] = {}
    if after.members is not before.members:
        was, now = member_entries(before.members), member_entries(after.members)
        found.update(_changed(was, now))
    if after.superseded is not before.superseded:
        found.update(_changed(_superseded(before.superseded), _superseded(after.superseded)))
    for prefix, was_items, now_items in (
        (SESSION_PREFIX, before.sessions, after.sessions),
        (REST_PREFIX, before.rests, after.rests),
        (CANCELLED_PREFIX, before.cancelled, after.cancelled),
    ):
        if was_items is not now_items:
            found.update(_changed(_named(prefix, was_items), _named(prefix, now_items)))
    if after.used is not before.used:
        found.update(_used(after.used - before.used))
    return found


def _changed(
    was: Mapping[bytes, bytes], now: Mapping[bytes, bytes]
) -> Iterable[tuple[bytes, bytes | None]]:
    for key, value in now.items():
        if was.get(key) != value:
            yield key, value
    for key in was:
        if key not in now:
            yield key, None


def _named(prefix: bytes, items: Iterable[Session | Rest | Cancelled]) -> dict[bytes, bytes]:
    """One entry an address; the address is in its key."""
    return {prefix + one.address.encode(): pack(to_wire(one)[1:]) for one in items}


def _superseded(rows: Iterable[Superseded]) -> dict[bytes, bytes]:
    """One entry an address: [[last height, instance, epoch, url]..], in order of height."""
    found: dict[bytes, list[list[object]]] = {}
    for one in rows:
        member = one.member
        row: list[object] = [one.last_height, member.instance, member.epoch, member.url]
        found.setdefault(SUPERSEDED_PREFIX + member.address.encode(), []).append(row)
    return {key: pack(rows) for key, rows in found.items()}


def _used(keys: Iterable[PublicKey]) -> dict[bytes, bytes]:
    return {USED_PREFIX + key: _PRESENT for key in sorted(keys)}


# Reading.


def read_entries(stored: Iterable[tuple[bytes, bytes]]) -> Authority:
    """The state of its entries.

    Args:
        stored: all (key, value) under ``SYSTEM_PREFIX``, in key order.
    Raises:
        Malformed: they are not those of a state.
    """
    members: list[Member] = []
    rows: list[tuple[Address, Any]] = []
    sessions: list[Session] = []
    rests: list[Rest] = []
    cancelled: list[Cancelled] = []
    used: list[PublicKey] = []
    for key, value in stored:
        if key.startswith(MEMBER_PREFIX):
            members.append(read_member(key, value))
        elif key.startswith(SUPERSEDED_PREFIX):
            rows.append((_address(SUPERSEDED_PREFIX, key), unpack(value)))
        elif key.startswith(SESSION_PREFIX):
            sessions.append(_read(Session, SESSION_PREFIX, key, value))
        elif key.startswith(REST_PREFIX):
            rests.append(_read(Rest, REST_PREFIX, key, value))
        elif key.startswith(CANCELLED_PREFIX):
            cancelled.append(_read(Cancelled, CANCELLED_PREFIX, key, value))
        elif key.startswith(USED_PREFIX) and len(key) == len(USED_PREFIX) + 32:
            used.append(PublicKey(key[len(USED_PREFIX) :]))
        else:
            raise Malformed(f"no entry of the system state: {key[:40]!r}")
    suffrage = _suffrage(members)
    return Authority(
        members=suffrage,
        superseded=_read_superseded(rows, suffrage),
        sessions=tuple(sessions),
        rests=tuple(rests),
        cancelled=tuple(cancelled),
        used=frozenset(used),
    )


def _suffrage(members: list[Member]) -> Suffrage:
    try:
        return Suffrage(members=tuple(members))
    except ValueError as error:
        raise Malformed(str(error)) from None


def _address(prefix: bytes, key: bytes) -> Address:
    try:
        return Address(key[len(prefix) :].decode())
    except UnicodeDecodeError:
        raise Malformed("no address in the key of an entry") from None


def _read(cls: type[T], prefix: bytes, key: bytes, value: bytes) -> T:
    wire = unpack(value)
    if type(wire) is not list:
        raise Malformed(f"no {cls.__name__}")
    return from_wire(cls, [_address(prefix, key), *wire])


def _read_superseded(rows: list[tuple[Address, Any]], suffrage: Suffrage) -> tuple[Superseded, ...]:
    found = []
    for address, listed in rows:
        identity = suffrage.by_address.get(address)
        if identity is None or type(listed) is not list:
            raise Malformed("superseded rows of no member")
        for row in listed:
            match row:
                case [int() as last_height, *parts]:
                    wire = [address, identity.publickey, *parts]
                    member = from_wire(Member, wire)
                    found.append(Superseded(last_height=last_height, member=member))
                case _:
                    raise Malformed("no superseded row")
    return tuple(sorted(found, key=lambda one: (one.last_height, one.member.address)))
