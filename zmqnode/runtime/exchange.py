"""Between the network's bytes and the core's events and effects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from zmqnode.app import App
from zmqnode.base.address_record import AddressRecord
from zmqnode.base.ballot import Ballot
from zmqnode.base.block import decode_block
from zmqnode.base.codec import decode_as, encode
from zmqnode.base.exchange import (
    BlocksAnswer,
    BlocksWanted,
    LastBallotAnswer,
    LastBallotWanted,
    SealsAnnounced,
    SealsAnswer,
    SealsPublished,
    SealsWanted,
    Status,
    VotesAnswer,
    VotesWanted,
)
from zmqnode.base.handback import StartAnswer, StartWanted
from zmqnode.base.handing import (
    ConsentAnswer,
    ConsentWanted,
    ReadyAnswer,
    ReadyWanted,
    Shadow,
    SignedAnswer,
    SignedWanted,
)
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import Address, PublicKey, verify
from zmqnode.base.proposal import Proposal
from zmqnode.base.seal import Seal, read_seal, seal_hash
from zmqnode.base.signing import Domain, Verify
from zmqnode.base.system import is_system
from zmqnode.base.voteproof import Voteproof
from zmqnode.core.effects import Answer, Ask, Effect, Publish, PublishSeals, ServeBlocks
from zmqnode.core.events import (
    Answered,
    BlocksReceived,
    Event,
    Heard,
    PeerConnected,
    PeerLost,
    Requested,
    SealsReceived,
)
from zmqnode.errors import Malformed, Refused
from zmqnode.network import PeerId, PeerNetwork, PeerRoute, Topic
from zmqnode.network.gate import Fault, Strike
from zmqnode.network.link import OnAnswer
from zmqnode.runtime.addresses import AddressBook
from zmqnode.storage.store import Store

ASK_TIMEOUT_MS: Final = 2000
BLOCKS_ANSWER_BYTES: Final = 4 * 1024 * 1024  # One block more may come on top: still one answer.
SEALS_MESSAGE_BYTES: Final = 512 * 1024
REFUSED_MAX: Final = 256  # Hellos that failed, remembered.

PUBLISHED = (Ballot, Proposal, Voteproof, Status, SealsAnnounced, Shadow)
REQUESTS = (
    *(VotesWanted, SealsWanted, BlocksWanted, LastBallotWanted),
    *(ReadyWanted, ConsentWanted, SignedWanted),
)


class Exchange:
    """PeerHooks of one node: events in, network effects out."""

    def __init__(
        self,
        *,
        domain: Domain,
        app: App,
        store: Store,
        post: Callable[[Event], None],
        known: Callable[[Hash], bool],
        log: Callable[..., None],
        verify: Verify = verify,
    ) -> None:
        self.domain = domain
        self.app = app
        self.store = store
        self.post = post
        self.known = known
        self.log = log
        self.verify = verify
        self.network: PeerNetwork | None = None
        self.gaps = 0
        self._checked: dict[Hash, None] = {}  # Seals that wait for the turn's end to be known.
        self._leaving: list[Seal] = []
        self._refused: dict[tuple[str, str], str] = {}  # (address, url) -> code, the last word.
        self.start_wanted: Callable[[PeerId, StartWanted, PeerRoute], None] | None = None
        self.addresses: AddressBook | None = None

    # PeerHooks.

    def peer_up(self, peer: PeerId, url: str) -> None:
        """A link is up both ways."""
        self._refused.pop((peer.address, url), None)
        self.log("info", f"connected to {peer.address} at {url}")
        address = Address(peer.address)
        self.post(PeerConnected(address=address, instance=peer.instance, url=url))

    def peer_down(self, peer: PeerId) -> None:
        """Its last link is gone."""
        self.log("info", f"lost the connection to {peer.address}")
        self.post(PeerLost(instance=peer.instance))

    def caller_up(self, peer: PeerId, url: str) -> None:
        """Somebody listed dialled us: dial back, so that both can ask."""
        if self.addresses is not None:  # Once its subscription is there, too.
            self.addresses.announce_soon()
        if self.network is not None:
            self.network.connect(peer.address, url)

    def caller_down(self, peer: PeerId) -> None:
        """The link of our own tells enough."""

    def published(self, peer: PeerId, topic: Topic, message: object) -> Strike | None:
        """Something from a publisher's stream."""
        if isinstance(message, SealsPublished):
            return self._seals(peer.instance, message.seals, pulled=False, missing=())
        if isinstance(message, AddressRecord):
            if self.addresses is not None:
                self.addresses.take(message)
            return None
        if isinstance(message, PUBLISHED):
            self.post(Heard(message=message, source=peer.instance))
            return None
        return Strike(fault=Fault.MALFORMED, detail=f"not for publishing: {type(message).__name__}")

    def pushed(self, peer: PeerId, message: object) -> Strike | None:
        """Nothing is pushed between peers yet."""
        return Strike(fault=Fault.MALFORMED, detail=f"not for pushing: {type(message).__name__}")

    def asked(self, peer: PeerId, message: object, route: PeerRoute) -> Strike | None:
        """A peer's request."""
        if isinstance(message, REQUESTS):
            self.post(Requested(source=peer.instance, route=route, request=message))
            return None
        if isinstance(message, StartWanted):
            if self.start_wanted is not None:
                self.start_wanted(peer, message, route)
            return None
        return Strike(fault=Fault.MALFORMED, detail=f"no request: {type(message).__name__}")

    def gap(self, peer: PeerId, topic: Topic, missed: int) -> None:
        """Lost on the way: the next resend or pull brings it."""
        self.gaps += missed

    def refused(self, address: str, url: str, code: str) -> None:
        """A hello failed."""
        self._refused[address, url] = code
        if len(self._refused) > REFUSED_MAX:
            del self._refused[next(iter(self._refused))]
        self.log("warning", f"the hello with {address} at {url} failed: {code}")

    def alarm(self, peer: PeerId, text: str) -> None:
        """A second copy of one instance."""
        self.log("error", f"alarm: {peer.address}: {text}")

    # Other copies of this address, and what keeps members away.

    def refusals(self) -> tuple[tuple[Address, str], ...]:
        """Hellos that failed last: (address, code)."""
        return tuple((Address(address), code) for (address, _), code in self._refused.items())

    def ask_copy(
        self, instance: PublicKey, wanted: StartWanted, within_ms: int, take: OnAnswer
    ) -> bool:
        """Ask another instance to start; ``take`` gets its StartAnswer, or None."""
        assert self.network is not None
        return self.network.ask(instance, encode(wanted), within_ms, take) is not None

    def answer_start(self, route: PeerRoute, answer: bytes) -> None:
        """The answer of an instance that was asked to."""
        if self.network is not None:
            self.network.answer(route, encode(StartAnswer(answer=answer)))

    def publish_record(self, record: AddressRecord) -> None:
        """An address record, to everybody."""
        if self.network is not None:
            self.network.publish(Topic.VOTES, encode(record))

    # Seals.

    def _seals(
        self,
        source: PublicKey,
        data: tuple[bytes, ...],
        *,
        pulled: bool,
        missing: tuple[Hash, ...],
    ) -> Strike | None:
        """Check seals that are not known yet; known ones cost one hash."""
        found: list[Seal] = []
        strike = None
        for item in data:
            name = seal_hash(item)
            if name in self._checked or self.known(name):
                continue
            try:
                seal = read_seal(item)
            except Malformed as error:
                strike = Strike(fault=Fault.MALFORMED, detail=f"no seal: {error}")
                continue
            if not seal.verified(self.domain, self.verify):
                strike = Strike(fault=Fault.MALFORMED, detail="a seal's signature is wrong")
                continue
            if not pulled and not self._admitted(seal):
                continue
            self._checked[name] = None
            found.append(seal)
        if found or missing:
            self.post(
                SealsReceived(seals=tuple(found), source=source, pulled=pulled, missing=missing)
            )
        return strike

    def _admitted(self, seal: Seal) -> bool:
        """The application's ``check`` guards the pool only; what a value names is not asked."""
        if is_system(seal):
            return True  # The core judges it.
        try:
            self.app.admit(seal.sender, seal.operations)
        except Refused:
            return False
        return True

    # Effects.

    def perform(self, effect: Effect) -> bool:
        """Do what concerns peers; False if it does not."""
        network = self.network
        assert network is not None
        match effect:
            case Publish(message=message):
                topic = Topic.SEALS if isinstance(message, SealsAnnounced) else Topic.VOTES
                network.publish(topic, encode(message))
            case PublishSeals(seals=seals):
                self._leaving.extend(seals)
            case Ask(instance=instance, request=request):
                network.ask(instance, encode(request), ASK_TIMEOUT_MS, self._answered(instance))
            case Answer(route=route, reply=reply):
                network.answer(_route(route), encode(reply))
            case ServeBlocks(route=route, first=first, last=last):
                network.answer(_route(route), encode(self._blocks(first, last)))
            case _:
                return False
        return True

    def turn_over(self) -> None:
        """All seals of a turn go out in one message; what was checked is known to the core now."""
        self._checked.clear()
        if self._leaving and self.network is not None:
            leaving, self._leaving = tuple(self._leaving), []
            for bundle in _bundles(leaving):
                self.network.publish(Topic.SEALS, encode(SealsPublished(seals=bundle)))

    def _answered(self, source: PublicKey) -> Callable[[object], None]:
        def take(message: object) -> None:
            match message:
                case SealsAnswer(seals=seals, missing=missing):
                    self._seals(source, seals, pulled=True, missing=missing)
                case BlocksAnswer(first=first, blocks=blocks):
                    self._take_blocks(source, first, blocks)
                case (
                    VotesAnswer()
                    | LastBallotAnswer()
                    | ReadyAnswer()
                    | ConsentAnswer()
                    | SignedAnswer()
                ):
                    self.post(Answered(source=source, reply=message))

        return take

    def _take_blocks(self, source: PublicKey, first: int, blocks: Any) -> None:
        found = []
        for data, accept in blocks:
            try:
                found.append((decode_block(data), accept))
            except Malformed:
                break
        self.post(BlocksReceived(source=source, first=first, blocks=tuple(found)))

    def _blocks(self, first: int, last: int) -> BlocksAnswer:
        """Blocks of the store, up to an answer's size; empty if the first is not there."""
        found: list[tuple[bytes, Voteproof]] = []
        size = 0
        for height in range(first, min(last, self.store.height) + 1):
            data, proofs = self.store.block(height), self.store.voteproofs(height)
            if data is None or proofs is None or not proofs.accept:
                break
            if found and size + len(data) > BLOCKS_ANSWER_BYTES:
                break
            size += len(data)
            found.append((data, decode_as(Voteproof, proofs.accept)))
        return BlocksAnswer(first=first, blocks=tuple(found))


def _route(route: object) -> PeerRoute:
    assert isinstance(route, PeerRoute)
    return route


def _bundles(seals: tuple[Seal, ...]) -> list[tuple[bytes, ...]]:
    """Seals in messages of bounded size: all of a turn in one where they fit."""
    bundles: list[tuple[bytes, ...]] = []
    current: list[bytes] = []
    size = 0
    for seal in seals:
        if current and (size + len(seal.data) > SEALS_MESSAGE_BYTES or len(current) >= 1000):
            bundles.append(tuple(current))
            current, size = [], 0
        current.append(seal.data)
        size += len(seal.data)
    if current:
        bundles.append(tuple(current))
    return bundles
