"""The pool's lane of system seals: what it takes, keeps, drops, and what a leader picks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zmqnode.base.handover import Ack, Handover, Mode, SystemOperation, sign_ack, sign_veto
from zmqnode.base.hashes import Hash
from zmqnode.base.seal import Seal
from zmqnode.base.system import seal_system
from zmqnode.core.authority_lane import Lane, remembering

from .authority_world import PARAMS, World, address


def planned(world: World, index: int, new: str, **changed: int) -> Handover:
    """A planned handover that member 0 does not vouch for: its own instance may move meanwhile."""
    switch = world.switch(new, Mode.PLANNED, index, **changed)
    members = list(range(world.state.members.n))[-world.state.members.q :]
    return world.handover(switch, ready=world.ready(switch, members))


class Pool:
    """A lane beside a world; ``put`` seals and adds at the world's tip."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lane = Lane()

    def put(self, operation: SystemOperation, age_ms: int = 0) -> str | None:
        world = self.world
        holder = world.signer(world.name(operation.signer))
        seal = seal_system(operation, created_at_ms=world.time_ms - age_ms, signer=holder)
        refusal = self.lane.add(seal, operation, world.state, world.context())
        return None if refusal is None else refusal.code

    def chosen(self, dt: int = 10, without: tuple[Hash, ...] = ()) -> list[str]:
        world = self.world
        seals = self.lane.choose(world.state, world.context(dt), without)
        return [told(seal) for seal in seals]

    def held(self) -> list[str]:
        return [told(seal) for seal in self.lane]

    def block(self, *operations: SystemOperation, dt: int = 10) -> None:
        self.world.block(*operations, dt=dt)
        self.lane.prune(self.world.state, self.world.context(1))

    def has_work(self, dt: int = 10) -> bool:
        return self.lane.has_work(self.world.state, self.world.context(dt))


def told(seal: Seal) -> str:
    name, arguments = seal.operations[0]
    subject = arguments[1][0] if name.endswith("handover") else arguments[1]
    return f"{name.removeprefix('zmqnode.')} {subject}"


@pytest.fixture
def pool() -> Pool:
    return Pool(World(7, params=replace(PARAMS, open_handovers_max=2)))


def test_a_newer_one_of_an_address_and_kind_replaces_the_older(pool: Pool) -> None:
    world = pool.world
    assert pool.put(world.planned("n0.b"), age_ms=5) is None
    assert pool.put(world.planned("n1.b", 1), age_ms=5) is None
    assert pool.put(world.planned("n0.c"), age_ms=1) is None
    assert pool.put(world.planned("n0.d"), age_ms=9) == "already_exists"
    assert pool.held() == ["handover n0sas", "handover n1sas"]
    assert pool.put(world.cancel("n1.c", 1)) is None
    assert len(pool.lane) == 3


def test_the_same_seal_again_changes_nothing(pool: Pool) -> None:
    handover = pool.world.planned("n0.b")
    assert [pool.put(handover), pool.put(handover)] == [None, None]
    (seal,) = pool.lane
    assert pool.lane.get(seal.hash) is not None and pool.lane.get(Hash(bytes(32))) is None


def test_what_has_no_effect_is_refused_at_the_door(pool: Pool) -> None:
    world = pool.world
    assert pool.put(world.planned("n1.a")) == "not_standby"
    assert pool.put(replace(world.planned("n0.b"), reason="x")) == "bad_signature"
    assert pool.put(world.cancel("n0.a")) == "too_late"
    assert pool.held() == []


def test_a_leader_picks_what_is_valid_in_order(pool: Pool) -> None:
    world = pool.world
    for index in range(4):
        pool.put(world.planned(f"n{index}.b", index))
    assert pool.chosen() == ["handover n0sas", "handover n1sas"]  # Two slots.
    first = pool.lane.choose(world.state, world.context())[0].hash
    assert pool.chosen(without=(first,)) == ["handover n1sas", "handover n2sas"]


def test_what_ends_a_session_is_tried_first_so_that_its_slot_serves_the_rest() -> None:
    pool = Pool(World(4))
    world = pool.world
    pool.block(world.takeover("n0.b"))
    pool.put(world.planned("n1.b", 1))
    assert pool.chosen() == []
    pool.put(world.veto())
    assert pool.chosen() == ["veto n0sas", "handover n1sas"]


def test_at_most_n_operations_are_picked() -> None:
    pool = Pool(World(1))
    pool.put(pool.world.cancel("n0.c"))
    pool.put(pool.world.planned("n0.b"))
    assert pool.chosen() == ["cancel n0sas"]


def test_what_waits_for_the_slot_stays_until_it_is_free() -> None:
    pool = Pool(World(4))
    world = pool.world
    pool.block(world.planned("n0.b"))
    assert pool.put(planned(world, 1, "n1.b")) is None
    pool.block()
    pool.block()
    assert pool.held() == ["handover n1sas"] and pool.chosen() == []
    pool.block(world.ack())
    assert pool.chosen() == ["handover n1sas"]


def test_what_is_without_effect_for_good_leaves_after_the_block(pool: Pool) -> None:
    world = pool.world
    pool.put(world.takeover("n0.c"))
    pool.put(planned(world, 3, "n3.b", expires_at_ms=world.time_ms + 15))
    pool.put(planned(world, 2, "n2.b"))
    pool.block(world.planned("n0.b"))
    assert pool.held() == ["handover n3sas", "handover n2sas"]
    pool.block()
    assert pool.held() == ["handover n2sas"]  # The other expired.
    pool.block(dt=PARAMS.ready_ttl_ms)
    assert pool.held() == []  # Its readiness is too old, and nothing makes it young again.


def test_a_seal_too_old_for_any_block_leaves() -> None:
    pool = Pool(World(4, params=replace(PARAMS, seal_ttl_ms=1_000)))
    pool.put(pool.world.cancel("n0.b"))
    pool.block(dt=999)
    assert pool.chosen(dt=1) == ["cancel n0sas"] and pool.chosen(dt=2) == []
    pool.block(dt=1)
    assert pool.held() == []


def test_work_is_what_a_next_block_could_take_or_bring_nearer() -> None:
    """Cooldowns and taken slots are no work, or an idle chain would spin for them."""
    pool = Pool(World(4))
    world = pool.world
    assert not pool.has_work()
    handover = planned(world, 1, "n1.b")
    pool.put(handover)
    assert pool.has_work()
    pool.block(world.planned("n0.b"))
    assert not pool.has_work()  # Another address has the slot.
    pool.block()
    pool.block(world.ack())
    assert pool.has_work()
    pool.block(handover)
    pool.block()
    pool.block()
    pool.block(world.ack(world.session(1)))
    assert pool.put(planned(world, 1, "n1.c")) is None
    assert pool.chosen() == [] and pool.has_work()  # It waits for f + 1 blocks only.


def test_an_old_copy_cannot_hold_a_place_for_an_ack(pool: Pool) -> None:
    """Goal: nobody blocks the true ack. Method: acks of keys that no open session names."""
    world = pool.world
    for instance, epoch in (("n0.c", 1), ("n0.a", 0)):
        wrong = sign_ack(address(0), epoch, Hash(bytes(32)), world.signer(instance))
        assert pool.put(wrong) == "none_open"
    pool.block(world.planned("n0.b"))
    assert pool.put(world.ack()) is None  # Too early by one block, and kept.
    assert pool.chosen() == []
    pool.block()
    assert pool.chosen() == ["ack n0sas"]


def test_only_the_voting_instance_may_leave_a_veto_here(pool: Pool) -> None:
    world = pool.world
    strange = sign_veto(address(0), 0, world.key("n0.b"), world.signer("n0.c"))
    assert pool.put(strange) == "epoch_moved"
    ahead = sign_veto(address(0), 5, world.key("n0.b"), world.signer("n0.c"))
    assert pool.put(ahead) == "epoch_moved"
    early = sign_veto(address(0), 0, world.key("n0.b"), world.signer("n0.a"))
    assert pool.put(early) is None  # Of a takeover in a block this node has not executed yet.
    assert not pool.has_work()
    pool.block(world.takeover("n0.b"))
    assert pool.chosen() == ["veto n0sas"]


def test_what_is_ahead_waits_at_a_node_behind() -> None:
    ahead, behind = World(4), Pool(World(4))
    ahead.block(ahead.planned("n0.b"))
    assert behind.put(ahead.forced("n0.c")) is None
    assert behind.chosen() == []
    behind.block(behind.world.planned("n0.b"))
    assert behind.chosen() == ["handover n0sas"]


def test_a_signature_is_checked_once() -> None:
    calls = []

    def verify(public: bytes, data: bytes, signature: bytes) -> bool:
        calls.append(data)
        return data == b"right"

    remembered = remembering(verify, entries_max=2)
    for _ in range(2):
        assert remembered(b"k", b"right", b"s") and not remembered(b"k", b"wrong", b"s")
    assert len(calls) == 2
    remembered(b"k", b"third", b"s")
    remembered(b"k", b"right", b"s")  # The oldest was forgotten.
    assert len(calls) == 4


def test_ack_is_a_kind_of_its_own(pool: Pool) -> None:
    world = pool.world
    pool.block(world.planned("n0.b"))
    pool.put(world.ack())
    assert isinstance(world.ack(), Ack) and pool.held() == ["ack n0sas"]
