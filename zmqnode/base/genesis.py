"""Genesis: the document all members agree on before the first block, and block 0 made of it.

Every member signs an *entry*: its address, its instance key and its url, under its identity key.
The entries, the chain parameters, the application and its data are the *genesis document*. Block 0
executes the application's genesis on it; its value is the hash of the document, its parent zeros,
and its own hash is the *genesis hash*, which every later signature covers. An entry is signed
before that hash exists, so its domain has zeros there.

How the state of block 0 is computed belongs to the rooms above; :func:`found` takes it as two
functions, so that what genesis commits to is said here alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from zmqnode.base.block import Block, Manifest
from zmqnode.base.codec import encode, message, pack, unpack
from zmqnode.base.hashes import ZERO, Hash, tagged
from zmqnode.base.keys import (
    PUBLIC_BYTES,
    Address,
    PrivateKey,
    PublicKey,
    Signature,
    curve_public,
    is_address,
    parse_address,
    public_text,
)
from zmqnode.base.params import Params
from zmqnode.base.results import results_root
from zmqnode.base.signing import Domain, Verify
from zmqnode.base.suffrage import MEMBERS_MAX, Member, Suffrage
from zmqnode.errors import Invalid, Malformed

ENTRY_TAG: Final = "genesis.entry"
NETWORK_ID_MAX_CHARS: Final = 64
URL_MAX_CHARS: Final = 256
APP_NAME_MAX_CHARS: Final = 128
DATA_BYTES_MAX: Final = 64 << 20
MEMBER_PREFIX: Final = b"smember/"  # b"s": the prefix of state keys that no application can write.


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One member's word: this instance at this url shall vote for my address from block 1 on."""

    address: Address
    publickey: PublicKey
    instance: PublicKey
    url: str
    signature: Signature

    def __post_init__(self) -> None:
        if not 1 <= len(self.url) <= URL_MAX_CHARS:
            raise ValueError(f"url: expected 1 to {URL_MAX_CHARS} characters")

    def verified(self, network_id: str, verify: Verify) -> bool:
        """Whether the identity key signed this entry for this network."""
        body = _entry_body(self.address, self.instance, self.url)
        return verify(
            self.publickey, _entry_domain(network_id).message(ENTRY_TAG, body), self.signature
        )


def _entry_body(address: Address, instance: PublicKey, url: str) -> bytes:
    return pack([address, instance, url])


def _entry_domain(network_id: str) -> Domain:
    return Domain(network_id=network_id, genesis=ZERO)


def sign_entry(
    *, address: Address, instance: PublicKey, url: str, network_id: str, key: PrivateKey
) -> Entry:
    """The entry of an address, signed by its identity key."""
    data = _entry_domain(network_id).message(ENTRY_TAG, _entry_body(address, instance, url))
    return Entry(
        address=address,
        publickey=key.public,
        instance=instance,
        url=url,
        signature=key.sign(data),
    )


@message("genesis", version=1)
@dataclass(frozen=True, kw_only=True)
class Genesis:
    """The genesis document; entries in address order, ``data`` for the application's genesis."""

    network_id: str
    app: str
    app_version: int
    params: Params
    entries: tuple[Entry, ...]
    data: bytes = b""

    def __post_init__(self) -> None:
        if not 1 <= len(self.network_id) <= NETWORK_ID_MAX_CHARS:
            raise ValueError(f"network-id: expected 1 to {NETWORK_ID_MAX_CHARS} characters")
        if not 1 <= len(self.app) <= APP_NAME_MAX_CHARS or not 1 <= self.app_version < 2**31:
            raise ValueError("app: expected a name and a version of at least 1")
        if len(self.data) > DATA_BYTES_MAX:
            raise ValueError(f"data: at most {DATA_BYTES_MAX} bytes")
        addresses = [entry.address for entry in self.entries]
        if not 1 <= len(addresses) <= MEMBERS_MAX or addresses != sorted(set(addresses)):
            raise ValueError(f"entries: expected 1 to {MEMBERS_MAX} addresses, in order, each once")

    @cached_property
    def hash(self) -> Hash:
        """Names the document; block 0's value. Not the genesis hash, which is block 0's own."""
        return tagged(b"genesis", encode(self))

    @cached_property
    def suffrage(self) -> Suffrage:
        """suffrage(1) and suffrage(2), all in epoch 0."""
        return Suffrage(
            members=tuple(
                Member(
                    address=entry.address,
                    publickey=entry.publickey,
                    instance=entry.instance,
                    epoch=0,
                    url=entry.url,
                )
                for entry in self.entries
            )
        )


def check_genesis(genesis: Genesis, verify: Verify) -> tuple[str, ...]:
    """What is wrong with a genesis document, one sentence each; empty: it can found a chain."""
    findings = []
    held: dict[bytes, str] = {}
    urls: dict[str, str] = {}
    for entry in genesis.entries:
        where = f"entry {entry.address}"
        try:
            parse_address(entry.address)
        except Invalid as error:
            findings.append(f"{where}: {error.message}")
        for what, key in (("identity", entry.publickey), ("instance", entry.instance)):
            if key in held:
                findings.append(f"{where}: its {what} key is also {held[key]}")
            held.setdefault(key, f"the {what} key of {entry.address}")
        try:
            curve_public(entry.publickey)
        except Invalid as error:
            findings.append(f"{where}: {error.message}")
        if entry.url in urls:
            findings.append(f"{where}: {entry.url} is also the url of {urls[entry.url]}")
        urls.setdefault(entry.url, entry.address)
        if not entry.verified(genesis.network_id, verify):
            findings.append(
                f"{where}: the signature is not of {public_text(entry.publickey)}"
                f" for network {genesis.network_id}"
            )
    return tuple(findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Founding:
    """Block 0 and the whole state it begins with (stored key to stored value)."""

    block: Block
    state: Mapping[bytes, bytes]

    @property
    def hash(self) -> Hash:
        """The genesis hash."""
        return self.block.hash


def found(
    genesis: Genesis,
    app_state: Callable[[bytes], Mapping[bytes, bytes | None]],
    state_root: Callable[[Mapping[bytes, bytes]], Hash],
) -> Founding:
    """Block 0 of a genesis document.

    Args:
        app_state: genesis data -> what the application's genesis wrote (``Execution.changes``).
        state_root: a whole state -> the root of its tree.
    """
    state = {key: value for key, value in app_state(genesis.data).items() if value is not None}
    state.update(member_entries(genesis.suffrage))
    return Founding(
        block=Block(
            manifest=genesis_manifest(genesis, state_root(state)), value=None, seals=(), results=()
        ),
        state=state,
    )


def genesis_manifest(genesis: Genesis, state_root: Hash) -> Manifest:
    """Block 0's manifest, whose hash is the genesis hash."""
    return Manifest(
        height=0,
        parent=ZERO,
        value=genesis.hash,
        results_root=results_root(()),
        state_root=state_root,
        suffrage=genesis.suffrage.hash,
    )


def member_entries(suffrage: Suffrage) -> dict[bytes, bytes]:
    """The suffrage as system state: one entry a member, under a prefix no application can write."""
    return {
        MEMBER_PREFIX + member.address.encode(): pack(
            [member.publickey, member.instance, member.epoch, member.url]
        )
        for member in suffrage.members
    }


def read_member(key: bytes, value: bytes) -> Member:
    """The member of one entry of :func:`member_entries`; raises Malformed."""
    match unpack(value):
        case [bytes() as publickey, bytes() as instance, int() as epoch, str() as url]:
            address = key.removeprefix(MEMBER_PREFIX).decode("ascii", "replace")
            sized = len(publickey) == len(instance) == PUBLIC_BYTES and type(epoch) is int
            if sized and key.startswith(MEMBER_PREFIX) and is_address(address):
                return Member(
                    address=Address(address),
                    publickey=PublicKey(publickey),
                    instance=PublicKey(instance),
                    epoch=epoch,
                    url=url,
                )
    raise Malformed("no member of a suffrage")
