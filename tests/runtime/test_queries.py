"""What a door answers: every request, every refusal, every wait."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.fake_node import FakeChain, FakeNode, key
from zmqnode.base.codec import encode
from zmqnode.base.exchange import NodeState
from zmqnode.base.hashes import Hash, sha256
from zmqnode.base.keys import parse_public, public_text, verify
from zmqnode.base.node_info import node_info_verified
from zmqnode.base.params import Params
from zmqnode.base.query import (
    HEADERS_ASKED_MAX,
    Accepted,
    BlockAsked,
    ChainAsked,
    Challenge,
    ChallengeAsked,
    Committed,
    Condition,
    ConditionAwaited,
    CutCommand,
    Failed,
    HeadersAsked,
    InfoAsked,
    PeersAsked,
    QueryAsked,
    RawBlocksAsked,
    SealAwaited,
    SealSubmitted,
    StopCommand,
    SuffrageAsked,
    Told,
    Until,
    read_answer,
    sign_control,
    told,
)
from zmqnode.base.results import decode_results
from zmqnode.base.seal import Seal, make_seal
from zmqnode.base.signing import Domain
from zmqnode.base.tree import Proof, verify_proof
from zmqnode.network.gate import Strike
from zmqnode.runtime import waiting
from zmqnode.runtime.control import CHALLENGES_MAX
from zmqnode.runtime.queries import Queries
from zmqnode.runtime.telling import SLICE_ITEMS, TELLINGS_MAX, told_list
from zmqnode.runtime.waiting import Waiter, Waiters

CLIENT = b"c" * 32


@dataclass(frozen=True)
class Line:
    """A route of a test."""

    session: str
    number: int


@dataclass
class Door:
    """Answers by route."""

    node: FakeNode
    answers: dict[Line, Any] = field(default_factory=dict)
    numbers: int = 0
    session: str = "s"
    loop: list[Callable[[], None]] | None = None

    def __post_init__(self) -> None:
        self.queries = self.node.queries = Queries(self.node, self, self.soon)

    def soon(self, turn: Callable[[], None]) -> None:
        """The loop comes round when the test says so."""
        if self.loop is None:
            turn()
        else:
            self.loop.append(turn)

    def answer(self, route: Line, payload: bytes) -> bool:
        assert route not in self.answers, "a request has one answer"
        self.answers[route] = read_answer(payload)
        return True

    def say(self, request: object, client: bytes = CLIENT) -> Line:
        self.numbers += 1
        line = Line(self.session, self.numbers)
        assert self.queries.client_request(client, line, encode(request)) is None
        return line

    def ask(self, request: object, client: bytes = CLIENT) -> Any:
        return self.answers.get(self.say(request, client))

    def told(self, request: object) -> dict[str, Any]:
        answer = self.ask(request)
        assert isinstance(answer, Told), answer
        return answer.body

    def refused(self, request: object, client: bytes = CLIENT) -> Failed:
        answer = self.ask(request, client)
        assert isinstance(answer, Failed), answer
        return answer


@pytest.fixture
def door() -> Door:
    return Door(FakeNode(FakeChain()))


def submitted(seal: Seal, until: Until = Until.COMMITTED, within_ms: int = 1000) -> SealSubmitted:
    return SealSubmitted(seal=seal.data, until=until, within_ms=within_ms)


# Reading.


def test_the_chain_tells_what_a_seal_needs(door: Door) -> None:
    chain = door.told(ChainAsked())
    assert chain["network_id"] == "fake-net"
    assert chain["genesis_hash"] == door.node.chain.domain.genesis.hex()
    assert chain["params"] == Params().named()
    assert chain["suffrage"]["q"] == 3
    assert {one[0] for one in chain["app"]["operations"]} == {"put", "append", "delete"}


INFO_KEYS = """v address publickey epoch instance url height network_id genesis_hash state role
 block_hash state_root proposed_at proposed_at_ms tip_height lag_blocks last_ballot handover peers
 suffrage broken split ignored_ballots evidence pool version app params started_at started_at_ms
 signature""".split()  # noqa: SIM905


def test_node_info_has_the_contracts_keys_and_the_instances_signature(door: Door) -> None:
    info = door.told(InfoAsked())
    assert sorted(info) == sorted(INFO_KEYS)
    assert (info["height"], info["proposed_at"], info["role"]) == (0, None, "active")
    assert node_info_verified(info, parse_public(info["instance"]), verify)
    door.node.commit()
    info = door.told(InfoAsked())
    assert (info["height"], info["suffrage"]["height"]) == (1, 2)
    assert info["proposed_at_ms"] is not None
    first, second, third = info["suffrage"]["members"][:3]
    assert (first["live"], second["live"], third["live"]) == (True, True, False)
    assert (info["suffrage"]["live"], info["suffrage"]["margin"]) == (2, -1)
    assert third["last_seen_at"] is None


def test_roles_follow_from_the_suffrage_of_the_next_height(door: Door) -> None:
    door.node.chain.instances[0] = key(9999)  # Another copy than the one that votes.
    assert door.told(InfoAsked())["role"] == "standby"
    door.node.retired = True
    assert door.told(InfoAsked())["role"] == "retired"
    door.node.index = 3
    assert door.told(InfoAsked())["role"] == "active"


def test_suffrages_are_known_to_the_tip_and_two_more(door: Door) -> None:
    assert door.told(SuffrageAsked(height=None))["height"] == 1
    assert door.told(SuffrageAsked(height=2))["n"] == 4
    for height in (0, 3):
        assert door.refused(SuffrageAsked(height=height)).code == "not_found"


def test_peers_are_told(door: Door) -> None:
    (row,) = door.told(PeersAsked())["peers"]
    assert (row["address"], row["rtt_us"], row["strikes"]) == ("n1sas", 1500, 2)


# Blocks.


def test_a_block_is_shown_with_operations_results_and_signers(door: Door) -> None:
    chain = door.node.chain
    seal = chain.seal(["put", ["k", b"v"]], ["delete", ["missing"]], ["what", [1]])
    door.node.commit()
    block = door.node.commit([seal])
    shown = door.told(BlockAsked(height=2))
    assert shown == door.told(BlockAsked(hash=block.hash)) == door.told(BlockAsked())
    assert (shown["height"], shown["operations_count"]) == (2, 3)
    assert shown["parent_hash"] == door.told(BlockAsked(height=1))["block_hash"]
    put, delete, what = shown["operations"]
    assert put == {
        "seal": seal.hash.hex(),
        "index": 0,
        "sender": public_text(seal.sender),
        "name": "put",
        "arguments": {"key": "k", "value": b"v"},
        "ok": True,
        "reason": None,
        "events": [],
    }
    assert (delete["ok"], delete["reason"]) == (False, "no such key")
    assert (what["arguments"], what["reason"]) == ({"0": 1}, "unknown_operation")
    vp = shown["accept_voteproof"]
    assert (vp["stage"], len(vp["signers"]), vp["signers"][0]["epoch"]) == ("ACCEPT", 4, 0)
    assert shown["init_voteproof"]["stage"] == "INIT"


def test_a_block_too_deep_to_show_is_refused_and_harms_nobody(door: Door) -> None:
    """Goal: what a traitor put into a block cannot stop a node. Method: the deepest arguments."""
    deep: object = b""
    for _ in range(20):
        deep = [deep]
    door.node.commit([door.node.chain.seal(["put", [deep]])])
    assert door.refused(BlockAsked(height=1)).code == "query_failed"
    assert door.told(HeadersAsked(first=1, last=1))["blocks"][0]["operations_count"] == 1


def test_block_zero_has_no_votes_no_proposer_no_time(door: Door) -> None:
    shown = door.told(BlockAsked(height=0))
    assert shown["block_hash"] == door.node.chain.domain.genesis.hex()
    assert shown["parent_hash"] == "00" * 32
    for name in ("proposer", "proposed_at", "proposed_at_ms", "init_voteproof", "accept_voteproof"):
        assert shown[name] is None


def test_the_proposer_is_the_leader_the_core_computes(door: Door) -> None:
    """Goal: one truth. Method: the core's Chain beside the door's answers, voters missing."""
    from zmqnode.core.chain import Chain
    from zmqnode.core.records import BlockSummary, Recovery

    node = door.node
    chain = Chain(
        Recovery(
            blocks=(_summary(node, 0, BlockSummary),),
            suffrages=((1, node.chain.suffrage), (2, node.chain.suffrage)),
            records=(),
            watermark=None,
            nonce=sha256(b""),
        ),
        Params(),
    )
    for height in range(1, 25):
        expected = chain.leader(height, 0).address
        node.chain.commit(signers=[0, 1, 2] if height < 12 else [1, 2, 3])
        assert door.told(BlockAsked(height=height))["proposer"] == expected, height
        chain.append(_summary(node, height, BlockSummary), node.chain.suffrage)


def _summary(node: FakeNode, height: int, cls: Any) -> Any:
    block = node.block(height)
    assert block is not None
    carried = block.value and block.value.accept
    return cls(
        height=height,
        hash=block.hash,
        value=block.manifest.value,
        time_ms=0,
        seals=(),
        voters=carried.addresses if carried else (),
        accept=None,
    )


def test_missing_blocks_are_not_found(door: Door) -> None:
    assert door.refused(BlockAsked(height=1)).code == "not_found"
    assert door.refused(BlockAsked(hash=sha256(b"x"))).code == "not_found"


def test_headers_come_in_pages(door: Door) -> None:
    for _ in range(30):
        door.node.commit()
    last = door.told(HeadersAsked(first=None, last=None))["blocks"]
    assert [one["height"] for one in last] == list(range(11, 31))
    assert [b["height"] for b in door.told(HeadersAsked(first=28, last=99))["blocks"]] == [
        28,
        29,
        30,
    ]
    assert door.told(HeadersAsked(first=99, last=None))["blocks"] == []
    for _ in range(HEADERS_ASKED_MAX):
        door.node.commit()
    page = door.told(HeadersAsked(first=0, last=None))["blocks"]
    assert len(page) == HEADERS_ASKED_MAX


def test_raw_blocks_fill_one_answer(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        door.node.commit()
    answer = door.ask(RawBlocksAsked(first=0, last=200))
    assert len(answer.blocks) == 6
    assert answer.blocks[0][1:] == (b"", b"")
    assert answer.blocks[5][0] == door.node.chain.store.block(5)
    size = len(answer.blocks[1][0]) + len(answer.blocks[1][1]) + len(answer.blocks[1][2])
    monkeypatch.setattr("zmqnode.runtime.listing.RAW_BLOCKS_BYTES_MAX", 2 * size)
    assert len(door.ask(RawBlocksAsked(first=1, last=200)).blocks) == 2
    monkeypatch.setattr("zmqnode.runtime.listing.RAW_BLOCKS_BYTES_MAX", 1)
    assert len(door.ask(RawBlocksAsked(first=1, last=200)).blocks) == 1


# Queries.


def query(name: str, *arguments: object, **options: Any) -> QueryAsked:
    asked = {"height": None, "proof": False, "within_ms": 1000, **options}
    return QueryAsked(name=name, arguments=list(arguments), **asked)


def test_queries_answer_with_the_root_they_read_under(door: Door) -> None:
    block = door.node.commit([door.node.chain.seal(["put", ["k", b"\xff"]])])
    answer = door.told(query("get", "k"))
    assert (answer["result"], answer["type"], answer["height"]) == (b"\xff", "bytes | None", 1)
    assert answer["state_root"] == block.manifest.state_root.hex()
    assert answer["proof"] is None
    assert door.told(query("keys", ""))["result"] == ["k"]
    assert door.refused(query("nothing")).code == "unknown_query"
    assert door.refused(query("get", 5)).code == "bad_argument"


def test_proofs_cover_the_keys_read_and_no_scan(door: Door) -> None:
    block = door.node.commit([door.node.chain.seal(["put", ["k", b"v"]])])
    proof = door.told(query("get", "k", proof=True))["proof"]
    ((name, value, wire),) = proof["keys"]
    assert verify_proof(block.manifest.state_root, name, value, Proof.from_wire(wire))
    ((_, value, wire),) = door.told(query("get", "other", proof=True))["proof"]["keys"]
    assert value is None
    assert door.told(query("keys", "", proof=True))["proof"] is None


def test_a_query_waits_for_its_height(door: Door) -> None:
    line = door.say(query("get", "k", height=1))
    assert line not in door.answers
    door.node.commit([door.node.chain.seal()])
    assert door.answers[line].body["result"] == b"v"
    bad = door.say(query("get", 5, height=2))
    door.node.commit()
    assert door.answers[bad].code == "bad_argument"


# Seals.


def test_a_committed_seal_is_answered_with_its_results(door: Door) -> None:
    seal = door.node.chain.seal(["put", ["k", b"v"]], ["delete", ["missing"]])
    answer = door.ask(submitted(seal))
    assert isinstance(answer, Committed)
    assert (answer.seal, answer.height) == (seal.hash, 1)
    assert [ok for ok, _, _ in decode_results(answer.results)] == [True, False]
    again = door.ask(submitted(seal))
    assert again == answer
    assert len(door.node.taken) == 1, "a seal in a block is not handed to the core again"
    assert door.ask(SealAwaited(seal=seal.hash, within_ms=0)) == answer


def test_accepted_is_answered_before_the_block(door: Door) -> None:
    door.node.auto_commit = False
    seal = door.node.chain.seal()
    first = door.say(submitted(seal, Until.ACCEPTED))
    second = door.say(submitted(seal))
    third = door.say(SealAwaited(seal=seal.hash, within_ms=1000))
    assert door.answers == {first: Accepted(seal=seal.hash)}
    door.node.commit([seal])
    assert door.answers[second] == door.answers[third]
    assert len(door.queries.waiters) == 0


def test_what_the_core_refuses_is_told_with_its_code(door: Door) -> None:
    door.node.refusal = "pool_full"
    answer = door.refused(submitted(door.node.chain.seal()))
    assert (answer.code, answer.exit_code) == ("pool_full", 1)
    assert len(door.queries.waiters) == 0


def test_seals_are_checked_before_the_core_sees_them(door: Door) -> None:
    chain = door.node.chain
    seal = chain.seal()
    foreign = make_seal(
        [["put", ["k", b"v"]]],
        created_at_ms=1,
        nonce=bytes(16),
        key=key(1),
        domain=Domain(network_id="other"),
    )
    cases = {
        "seal_malformed": b"\x90",
        "bad_signature": foreign.data,
        "seal_too_large": bytes(chain.params.seal_bytes_max + 1),
        "unknown_operation": chain.seal(["nothing", []]).data,
        "bad_argument": chain.seal(["put", ["k", "text"]]).data,
    }
    flipped = bytearray(seal.data)
    flipped[-1] ^= 1
    for code, data in [*cases.items(), ("bad_signature", bytes(flipped))]:
        asked = SealSubmitted(seal=data, until=Until.COMMITTED, within_ms=1)
        assert door.refused(asked).code == code
    assert door.node.taken == []


# Waiting.


def test_waits_for_height_state_and_sync(door: Door) -> None:
    def awaited(condition: Condition, height: int = 0, state: str = "") -> ConditionAwaited:
        return ConditionAwaited(condition=condition, height=height, state=state, within_ms=1000)

    assert door.told(awaited(Condition.HEIGHT, 0))["height"] == 0
    assert door.told(awaited(Condition.STATE, state="CONSENSUS"))["state"] == "CONSENSUS"
    assert door.refused(awaited(Condition.STATE, state="ASLEEP")).code == "usage"
    height = door.say(awaited(Condition.HEIGHT, 2))
    state = door.say(awaited(Condition.STATE, state="SYNCING"))
    door.node.tip_ahead = 5
    synced = door.say(awaited(Condition.SYNCED))
    door.node.commit()
    assert not door.answers.keys() & {height, state, synced}
    door.node.commit()
    assert door.answers[height].body == {
        "ok": True,
        "state": "CONSENSUS",
        "role": "active",
        "epoch": 0,
        "height": 2,
    }
    door.node.state = NodeState.SYNCING
    door.queries.changed()
    assert door.answers[state].body["state"] == "SYNCING"
    assert synced not in door.answers
    door.node.tip_ahead = 1
    door.queries.changed()
    assert door.answers[synced].body["ok"] is True


def test_waits_end_when_their_time_is_over(door: Door) -> None:
    door.node.auto_commit = False
    seal = door.node.chain.seal()
    lines = [
        door.say(submitted(seal, within_ms=200)),
        door.say(SealAwaited(seal=sha256(b"x"), within_ms=200)),
        door.say(query("get", "k", height=9, within_ms=200)),
    ]
    door.queries.tick(door.node.clock_ms())
    assert door.answers == {}
    door.queries.tick(door.node.clock_ms() + 400)
    assert [door.answers[line].code for line in lines] == ["timeout"] * 3
    door.node.commit([seal])
    assert len(door.answers) == 3


def test_a_client_that_leaves_is_forgotten(door: Door) -> None:
    door.node.auto_commit = False
    seal = door.node.chain.seal()
    door.say(submitted(seal))
    door.session = "other"
    stays = door.say(submitted(seal))
    door.queries.client_gone("s")
    door.node.commit([seal])
    assert list(door.answers) == [stays]


def test_waiters_are_bounded(monkeypatch: pytest.MonkeyPatch, door: Door) -> None:
    monkeypatch.setattr(waiting, "WAITERS_MAX", 10)
    for number in range(10):
        door.say(SealAwaited(seal=sha256(bytes([number])), within_ms=1000))
    asked = SealAwaited(seal=sha256(b"more"), within_ms=1000)
    assert door.refused(asked).code == "rate_limited"
    door.queries.client_gone("s")
    assert door.ask(asked) is None


def test_waiters_expire_in_order_and_leave_nothing_behind() -> None:
    waiters = Waiters()
    made = [Waiter(route=Line("s", n), deadline_ms=50 * n, seal=Hash(bytes(32))) for n in range(40)]
    for waiter in reversed(made):
        waiters.add(waiter)
    assert waiters.take(made[7])
    assert not waiters.take(made[7])
    expired = [waiter for now in range(0, 3000, 70) for waiter in waiters.take_expired(now)]
    assert {one.deadline_ms for one in expired} == {one.deadline_ms for one in made} - {350}
    late = Waiter(route=Line("s", 99), deadline_ms=0, seal=Hash(bytes(32)))
    waiters.add(late)
    assert list(waiters.take_expired(3200)) == [late]
    assert (
        vars(waiters)["_buckets"] == vars(waiters)["_by_seal"] == vars(waiters)["_by_session"] == {}
    )


# Control.


def control(door: Door, command: object, number: int, **change: Any) -> Any:
    """What a holder of key ``number`` gets for a command."""
    challenge = door.ask(ChallengeAsked())
    assert isinstance(challenge, Challenge)
    node = door.node
    asked = sign_control(
        command,
        nonce=challenge.nonce,
        instance=node.signer.public,
        domain=node.chain.domain,
        key=key(number),
    )
    return door.ask(replace(asked, **change))


@pytest.mark.parametrize("number", [1000, 4000], ids=["identity", "admin"])
def test_the_identity_and_the_admin_key_control_a_node(door: Door, number: int) -> None:
    answer = control(door, StopCommand(), number)
    assert answer.body["address"] == "n0sas"
    assert door.node.stopped
    cut = CutCommand(muted_in=("tcp://127.0.0.1:1",), muted_out=())
    assert control(door, cut, number).body == {}
    more = CutCommand(muted_in=("tcp://127.0.0.1:1",), muted_out=("tcp://127.0.0.1:2",))
    assert control(door, more, number).body == {}
    assert control(door, CutCommand(muted_in=(), muted_out=()), number).body == {}
    first, second, healed = door.node.cuts
    assert first == (("tcp://127.0.0.1:1",), ())
    assert second == (("tcp://127.0.0.1:1",), ("tcp://127.0.0.1:2",))
    assert healed == ((), ())
    door.node.faults = False
    assert control(door, cut, number).code == "not_authorised"


def test_others_do_not(door: Door) -> None:
    for number in (1001, 2000, 3000):
        assert control(door, StopCommand(), number).code == "not_authorised"
    forged = control(door, StopCommand(), 3000, signer=key(1000).public)
    assert forged.code == "not_authorised"
    door.node.admin = None
    assert control(door, StopCommand(), 4000).code == "not_authorised"
    assert not door.node.stopped


def test_a_challenge_is_good_once_for_one_client_for_a_while(door: Door) -> None:
    node = door.node

    def signed(nonce: Hash) -> Any:
        return sign_control(
            StopCommand(),
            nonce=nonce,
            instance=node.signer.public,
            domain=node.chain.domain,
            key=key(1000),
        )

    asked = signed(door.ask(ChallengeAsked()).nonce)
    assert door.refused(asked, client=b"d" * 32).code == "not_authorised"
    assert isinstance(door.ask(asked), Told)
    assert door.refused(asked).code == "not_authorised"
    late = signed(door.ask(ChallengeAsked()).nonce)
    node.offset_ms = 11_000
    assert door.refused(late).code == "not_authorised"
    first = signed(door.ask(ChallengeAsked()).nonce)
    for number in range(CHALLENGES_MAX):
        door.ask(ChallengeAsked(), client=number.to_bytes(32, "big"))
    assert door.refused(first).code == "not_authorised"


def test_junk_gets_a_strike_and_an_answer(door: Door) -> None:
    line = Line("s", 1)
    strike = door.queries.client_request(CLIENT, line, b"junk")
    assert isinstance(strike, Strike)
    assert door.answers[line].code == "bad_argument"


# Long answers.


def test_a_large_block_is_told_in_slices_while_others_are_answered(door: Door) -> None:
    """Goal: no question holds the loop. Method: 1,000 operations, one turn of the loop a slice."""
    operations = [["put", [f"k{i}", b"v"]] for i in range(1000)]
    door.node.commit([door.node.chain.seal(*operations)])
    whole = door.told(BlockAsked(height=1))
    door.loop = []
    line = door.say(BlockAsked(height=1))
    turns = 0
    while line not in door.answers:
        assert door.ask(InfoAsked()) is not None, "others need not wait"
        (turn,) = door.loop  # One at a time, however many answers are under way.
        door.loop.clear()
        turn()
        turns += 1
    assert turns >= 1000 // SLICE_ITEMS
    assert door.answers[line] == Told(body=whole)
    assert [one["index"] for one in whole["operations"]] == list(range(1000))
    assert len(door.queries.tellings) == 0


def test_long_answers_are_bounded_and_leave_with_their_client(door: Door) -> None:
    operations = [["put", [f"k{i}", b"v"]] for i in range(200)]
    door.node.commit([door.node.chain.seal(*operations)])
    door.loop = []
    lines = [door.say(BlockAsked(height=1)) for _ in range(TELLINGS_MAX)]
    assert not any(line in door.answers for line in lines)
    assert door.refused(BlockAsked(height=1)).code == "rate_limited"
    assert door.told(BlockAsked(height=0))["height"] == 0, "a short answer is made at once"
    door.queries.client_gone(door.session)
    assert len(door.queries.tellings) == 0
    while door.loop:
        door.loop.pop()()
    assert not any(line in door.answers for line in lines)


@pytest.mark.parametrize("slice_items", [1, 3, 100])
def test_an_answer_in_slices_is_the_same_bytes(slice_items: int) -> None:
    """Goal: one encoding. Method: beside ``told`` of the whole, keys before and after the list."""
    items: list[Any] = [{"b": [1, {"z": None, "a": (True, b"x")}], "a": "é"}, [], 7] * 3
    body = {"zz": 1, "list": None, "a": {"y": 1, "x": [2]}}
    made: list[bytes] = []

    def making() -> Generator[None, None, None]:
        made.append((yield from told_list(body, "list", iter(items), slice_items)))

    assert len(list(making())) == len(items) // slice_items
    assert made == [encode(told({**body, "list": items}))]
