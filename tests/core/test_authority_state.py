"""The committed state: entries of the state tree, what the chain waits for, what a block costs."""

from __future__ import annotations

import timeit
from dataclasses import replace

import pytest

from zmqnode.base.genesis import member_entries
from zmqnode.base.handover import sign_cancel
from zmqnode.core.authority import advance, chain_waits, due_ms, founded, suffrage
from zmqnode.core.authority_entries import changes, entries, read_entries
from zmqnode.errors import Malformed

from .authority_world import PARAMS, World, address


def test_genesis_writes_the_entries_of_the_founded_state() -> None:
    """The state of block 0 needs the decided rows only, as base/genesis writes them."""
    state = World().state
    assert entries(state) == member_entries(state.members)
    assert read_entries(sorted(member_entries(state.members).items())) == founded(state.members)


def test_a_block_writes_little() -> None:
    """World.block checks that entries, changes and reading agree; here: how few they are."""
    world = World(n=5)
    before = world.state
    world.block(world.planned("n0.b"))
    written = changes(before, world.state)
    kinds = sorted(key.split(b"/")[0] for key in written)
    assert kinds == [b"smember", b"ssession", b"ssuperseded", b"sused", b"sused"]
    assert all(key.startswith(b"s") for key in written)
    before = world.state
    world.block()
    assert changes(before, world.state) == {}
    before = world.state
    world.block()  # The ack window opens.
    assert [key.split(b"/")[0] for key in changes(before, world.state)] == [b"ssession"]
    before = world.state
    world.block(world.ack())
    assert sorted(
        (key.split(b"/")[0], value is None) for key, value in changes(before, world.state).items()
    ) == [(b"srest", False), (b"ssession", True), (b"ssuperseded", True)]


def test_state_without_handover_is_the_same_object() -> None:
    world = World()
    before = world.state
    world.blocks(3)
    assert world.state is before
    assert suffrage(before, 1) is suffrage(before, 2) is before.members


def test_a_block_without_handover_costs_next_to_nothing() -> None:
    """The bound is ten times what was measured (0.15 us)."""
    world = World()
    state, context = world.state, world.context()
    turns = 20_000
    seconds = min(timeit.repeat(lambda: advance(state, (), None, context), number=turns, repeat=3))
    assert seconds / turns < 5e-6


def test_a_block_of_an_open_window_writes_nothing() -> None:
    world = World()
    world.block(world.takeover("n0.b"))
    world.blocks(3)
    before = world.state
    world.block()
    assert world.state is before


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"sother/n0sas", b"\x90"),
        (b"ssession/n0sas", b"\x90"),
        (b"ssession/n0sas", b"\xc0"),
        (b"srest/n0sas", b"\x91\x01"),
        (b"srest/\xff", b"\x93\x01\x00\x00"),
        (b"scancelled/n0sas", b"\x91\x01"),
        (b"sused/short", b"\xc0"),
        (b"ssuperseded/n0sas", b"\xc0"),
        (b"ssuperseded/n0sas", b"\x91\xc0"),
        (b"ssuperseded/n9sas", b"\x90"),
        (b"smember/n0sas", b"\xc0"),
    ],
)
def test_entries_that_are_no_state_are_malformed(key: bytes, value: bytes) -> None:
    stored = entries(World().state) | {key: value}
    with pytest.raises(Malformed):
        read_entries(sorted(stored.items()))


def test_no_members_are_no_state() -> None:
    with pytest.raises(Malformed):
        read_entries([])


def test_state_at_its_largest_is_read_back() -> None:
    """Two sessions, superseded rows, rests, 16 cancelled keys; World.block reads it back."""
    world = World(7, params=replace(PARAMS, open_handovers_max=2))
    for index in range(16):
        world.block(sign_cancel(address(2), 0, world.key(f"x{index}"), world.signer("n2")))
    world.block(world.takeover("n3.b", 3))
    world.block(world.veto(world.session(3)))
    world.block(world.planned("n0.b"), world.forced("n1.b", 1))
    world.block(world.forced("n1.c", 1))
    state = world.state
    assert (len(state.sessions), len(state.superseded), len(state.rests)) == (2, 3, 2)
    assert len(state.cancelled[0].keys) == 16
    world.blocks(4)
    assert world.state.superseded == ()


# What the chain waits for.


def test_the_chain_waits_for_a_change_to_be_in_force() -> None:
    world = World()
    assert not chain_waits(world.state, world.height, world.time_ms, PARAMS)
    world.block(world.planned("n0.b"))
    g = world.height
    waits = []
    for _ in range(4):
        waits.append(chain_waits(world.state, world.height, world.time_ms, PARAMS))
        world.block()
    # After g, and after g + 1 (acting, its first height without a block); not after g + 2.
    assert world.height == g + 4 and waits == [True, True, False, False]


def test_the_chain_waits_for_a_window_the_own_clock_has_passed() -> None:
    world = World()
    world.block(world.takeover("n0.b"))
    end = world.time_ms + PARAMS.veto_window_ms
    assert due_ms(world.state, PARAMS) == end
    world.blocks(2)
    assert not chain_waits(world.state, world.height, end - 1, PARAMS)
    assert chain_waits(world.state, world.height, end, PARAMS)
    world.block(world.veto())
    assert due_ms(world.state, PARAMS) is None
    assert not chain_waits(world.state, world.height, end, PARAMS)


def test_the_ack_window_is_due_from_the_first_height_on() -> None:
    world = World()
    world.block(world.planned("n0.b"))
    world.block()
    assert due_ms(world.state, PARAMS) is None
    world.block()
    assert due_ms(world.state, PARAMS) == world.time_ms + PARAMS.ack_window_ms


def test_a_return_is_waited_for_until_it_is_in_force() -> None:
    world = World()
    world.block(world.planned("n0.b"))
    world.blocks(2)
    world.blocks(4, dt=500)
    assert world.decided() == ("n0.a", 2)
    assert chain_waits(world.state, world.height, world.time_ms, PARAMS)
    world.block()
    assert not chain_waits(world.state, world.height, world.time_ms, PARAMS)
