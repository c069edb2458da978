"""Who may vote, and how many must agree: against definitions of the test's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors.samples import SUFFRAGE, key
from zmqnode.base.codec import pack
from zmqnode.base.genesis import MEMBER_PREFIX, member_entries, read_member
from zmqnode.base.keys import Address
from zmqnode.base.suffrage import MEMBERS_MAX, Member, Suffrage, quorum, tolerated
from zmqnode.errors import Malformed


def member(index: int, **change: Any) -> Member:
    made = Member(
        address=Address(f"n{index:03}sas"),
        publickey=key(index).public,
        instance=key(100 + index).public,
        epoch=0,
        url=f"tcp://127.0.0.1:{4000 + index}",
    )
    return replace(made, **change)


@pytest.mark.parametrize("n", range(1, MEMBERS_MAX + 1))
def test_f_is_the_most_that_n_members_tolerate(n: int) -> None:
    """n >= 3 f + 1, and one more would break it (Pease, Shostak and Lamport, 1980)."""
    f = max(f for f in range(n) if n >= 3 * f + 1)
    assert tolerated(n) == f


@pytest.mark.parametrize("n", range(1, MEMBERS_MAX + 1))
def test_a_quorum_is_the_least_that_is_safe_and_it_can_be_reached(n: int) -> None:
    """Safe: two quorums share f + 1 members at least, so an honest one. Live: n - f reach it."""
    f, q = tolerated(n), quorum(n)

    def shared(size: int) -> int:
        return max(0, 2 * size - n)  # Of two sets of that size among n, the least.

    assert shared(q) >= f + 1
    assert shared(q - 1) < f + 1
    assert q <= n - f
    assert q >= 2 * f + 1
    # f + 1 members include an honest one; q - f honest voters are a majority of the honest.
    assert 2 * (q - f) > n - f


def test_the_known_numbers() -> None:
    assert [(n, tolerated(n), quorum(n)) for n in (1, 2, 3, 4, 5, 6, 7, 10, 100)] == [
        (1, 0, 1),
        (2, 0, 2),
        (3, 0, 2),
        (4, 1, 3),
        (5, 1, 4),
        (6, 1, 4),
        (7, 2, 5),
        (10, 3, 7),
        (100, 33, 67),
    ]


@given(st.integers(1, 60), st.data())
def test_two_quorums_share_more_than_the_faulty(n: int, data: st.DataObject) -> None:
    """Goal: the arithmetic says what it means. Method: sets of members, drawn."""
    ids = list(range(n))
    one = set(data.draw(st.permutations(ids))[: quorum(n)])
    other = set(data.draw(st.permutations(ids))[: quorum(n)])
    assert len(one & other) > tolerated(n)


@pytest.mark.parametrize("n", [1, 2, 4, 100])
def test_a_suffrage_has_its_numbers(n: int) -> None:
    suffrage = Suffrage(members=tuple(member(index) for index in range(n)))
    assert (suffrage.n, suffrage.f, suffrage.q) == (n, tolerated(n), quorum(n))
    assert list(suffrage.by_address) == [one.address for one in suffrage.members]
    assert all(suffrage.by_instance[one.instance] is one for one in suffrage.members)


@pytest.mark.parametrize(
    "members",
    [
        (),
        tuple(member(index) for index in range(MEMBERS_MAX + 1)),
        (member(1), member(0)),
        (member(0), member(0)),
        (member(0), replace(member(1), address=member(0).address)),
    ],
    ids=["none", "101", "order", "twice", "twice, other keys"],
)
def test_members_are_1_to_100_in_order_each_once(members: tuple[Member, ...]) -> None:
    with pytest.raises(ValueError, match="members"):
        Suffrage(members=members)


def test_a_suffrage_is_named_by_all_but_the_hints() -> None:
    first, *others = SUFFRAGE.members

    def changed(**change: Any) -> bytes:
        return Suffrage(members=(replace(first, **change), *others)).hash

    assert changed(url="tcp://elsewhere:1") == SUFFRAGE.hash
    hashes = [
        SUFFRAGE.hash,
        changed(epoch=1),
        changed(instance=key(50).public),
        changed(publickey=key(50).public),
        changed(publickey=first.instance, instance=first.publickey),
        changed(address=Address("n00sas")),
        Suffrage(members=SUFFRAGE.members[:3]).hash,
    ]
    assert len(set(hashes)) == len(hashes)


def test_suffrages_are_equal_by_their_members() -> None:
    again = Suffrage(members=SUFFRAGE.members)
    assert again == SUFFRAGE
    assert hash(again) == hash(SUFFRAGE)
    assert again != Suffrage(members=SUFFRAGE.members[:3])
    assert again != SUFFRAGE.members


# Members as system state.

ROW = [key(1).public, key(2).public, 3, "tcp://x:1"]


def test_members_are_system_state_that_no_application_can_write() -> None:
    entries = member_entries(SUFFRAGE)
    assert [read_member(k, v) for k, v in entries.items()] == list(SUFFRAGE.members)
    assert all(k.startswith(b"s") for k in entries)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        (b"n0sas", ROW[:3]),
        (b"n0sas", [*ROW, None]),
        (b"n0sas", [ROW[0][:31], *ROW[1:]]),
        (b"n0sas", [ROW[0], ROW[1] + b"x", *ROW[2:]]),
        (b"n0sas", [*ROW[:2], True, ROW[3]]),
        (b"n0sas", [*ROW[:2], "3", ROW[3]]),
        (b"n0sas", [*ROW[:3], b"tcp://x:1"]),
        (b"n0sas", {}),
        (b"n0", ROW),
        (b"", ROW),
        (b"n0sas\x00", ROW),
        (b"\xff\xfesas", ROW),
    ],
    ids=repr,
)
def test_what_is_no_member_is_malformed(name: bytes, row: object) -> None:
    """Goal: never another exception, whatever a damaged store or a peer's snapshot holds."""
    assert read_member(MEMBER_PREFIX + b"n0sas", pack(ROW)).epoch == 3
    with pytest.raises(Malformed):
        read_member(MEMBER_PREFIX + name, pack(row))
    with pytest.raises(Malformed):
        read_member(b"amember/n0sas", pack(ROW))
