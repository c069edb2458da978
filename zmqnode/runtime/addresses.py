"""Where instances say they are found now: address records (base/address_record), off the chain.

``node adopt`` leaves a sequence number in a moved folder; the node signs and publishes a record of
it when it runs, and again to whoever comes new. Peers that hear one of an address's voting instance
with a higher number than the last keep it, dial the url and publish it once more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from zmqnode.base.address_record import AddressRecord, sign_record
from zmqnode.base.codec import decode_as, encode
from zmqnode.base.keys import Address, verify
from zmqnode.base.suffrage import Member
from zmqnode.errors import Malformed
from zmqnode.network import PeerNetwork
from zmqnode.network.sockets import is_place
from zmqnode.runtime.standing import Standing

SEQUENCE_FILE: Final = "address.sequence"
ANNOUNCE_S: Final = 0.5
RECORD_KEY: Final = b"address:"  # + address: the newest record, encoded.


def next_sequence(folder: Path) -> int:
    """A higher number than any before, written into the folder: its url is news to everybody."""
    number = max(read_sequence(folder) + 1, time.time_ns() // 1_000_000)
    file = folder / SEQUENCE_FILE
    temporary = file.with_suffix(".new")
    temporary.write_text(f"{number}\n")
    temporary.replace(file)
    return number


def read_sequence(folder: Path) -> int:
    """The number of the folder's newest record; 0: it never had one."""
    try:
        return int((folder / SEQUENCE_FILE).read_text())
    except (OSError, ValueError):
        return 0


class AddressBook:
    """One node's own record, and those of voting instances it heard of."""

    def __init__(
        self,
        standing: Standing,
        network: PeerNetwork,
        *,
        folder: Path,
        publish: Callable[[AddressRecord], None],
        later: Callable[[float, Callable[[], None]], object],
        log: Callable[[str, str], None],
    ) -> None:
        self._standing = standing
        self._network = network
        self._publish = publish
        self._log = log
        self._later = later
        self._soon = False
        self._sequence = read_sequence(folder)
        self.known: dict[Address, AddressRecord] = {}
        self._read()

    def _read(self) -> None:
        """Records that an earlier run kept: dial where they lead."""
        suffrage = self._standing.suffrage(self._standing.tip + 1)
        for member in () if suffrage is None else suffrage.members:
            data = self._standing.ledger.store.meta(RECORD_KEY + member.address.encode())
            if data is None:
                continue
            try:
                record = decode_as(AddressRecord, data)
            except Malformed:
                continue
            if self._holds(record):
                self.known[record.address] = record
                self._dial(record)

    def _member(self, address: Address) -> Member | None:
        suffrage = self._standing.suffrage(self._standing.tip + 1)
        return None if suffrage is None else suffrage.by_address.get(address)

    def _holds(self, record: AddressRecord) -> bool:
        """Whether it is of a voting instance, signed by it, and leads somewhere."""
        member = self._member(record.address)
        if member is None or (member.instance, member.epoch) != (record.instance, record.epoch):
            return False
        domain = self._standing.signer.domain
        return is_place(record.url) and record.verified(domain, verify)

    def announce(self) -> None:
        """Publish the own record, if this copy has one and votes for its address."""
        standing = self._standing
        member = self._member(standing.address)
        if not self._sequence or member is None or member.instance != standing.signer.public:
            return
        self._publish(
            sign_record(
                standing.address, member.epoch, standing.url, self._sequence, standing.signer
            )
        )

    def announce_soon(self) -> None:
        """Somebody is new: its subscription follows its hello."""
        if self._sequence and not self._soon:
            self._soon = True
            self._later(ANNOUNCE_S, self._announce_now)

    def _announce_now(self) -> None:
        self._soon = False
        self.announce()

    def take(self, record: AddressRecord) -> None:
        """One that was heard; old ones and those of others than voting instances count nothing."""
        before = self.known.get(record.address)
        same = before if before is not None and before.instance == record.instance else None
        if not record.beats(same) or record.instance == self._standing.signer.public:
            return
        if not self._holds(record):
            return
        self.known[record.address] = record
        key = RECORD_KEY + record.address.encode()
        self._standing.ledger.store.put_meta(key, encode(record))
        self._log("info", f"{record.address} says that it is found at {record.url} now")
        self._dial(record)
        self._publish(record)

    def _dial(self, record: AddressRecord) -> None:
        if record.address != self._standing.address and record.url != self._standing.url:
            self._network.connect(str(record.address), record.url)
