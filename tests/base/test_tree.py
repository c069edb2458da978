"""The page trie's hashes and proofs, against a twin that recomputes everything."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import tree_twin
from zmqnode.base import tree
from zmqnode.base.codec import pack, unpack
from zmqnode.base.hashes import tagged
from zmqnode.base.tree import EMPTY_ROOT, Proof, verify_proof
from zmqnode.errors import Malformed


def some_state(count: int) -> dict[bytes, bytes]:
    return {b"key%d" % number: b"value%d" % number for number in range(count)}


STATE = some_state(700)
ROOT = tree_twin.state_root(STATE)
PROOF = tree_twin.prove(STATE, b"key7")


def test_hashes_are_those_of_the_page() -> None:
    """Goal: the written-out prefixes are `tagged`. Method: compare, and pin the empty root."""
    assert tree.page_hash(b"x") == tagged(b"tree.page", b"x")
    assert tree.inner_hash(b"x") == tagged(b"tree.inner", b"x")
    assert tree.root_hash(b"x") == tagged(b"tree.root", b"x")
    assert tree_twin.state_root({}) == EMPTY_ROOT
    assert EMPTY_ROOT.hex() == "13af9627c52fc0f2593bf39046efa49806befceaadeb66e19a34aeba8774ecc3"
    assert ROOT.hex() == "b4a54976916853d2b683f00f0e8727ff68ef349d537af4ec2103020007eb0999"


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 34, 200, 700])
def test_presence_and_absence_are_proved(count: int) -> None:
    state = some_state(count)
    root = tree_twin.state_root(state)
    for number in range(0, count + 20, 3):
        key = b"key%d" % number
        proof = tree_twin.prove(state, key)
        assert verify_proof(root, key, state.get(key), proof)
        assert not verify_proof(root, key, b"other", proof)
        if key in state:
            assert not verify_proof(root, key, None, proof)
        else:
            assert not verify_proof(root, key, b"", proof)


def test_an_empty_value_is_a_value() -> None:
    root = tree_twin.state_root({b"k": b""})
    proof = tree_twin.prove({b"k": b""}, b"k")
    assert verify_proof(root, b"k", b"", proof)
    assert not verify_proof(root, b"k", None, proof)


def test_key_and_value_cannot_be_shifted() -> None:
    """Goal: ab=c and a=bc differ even at one place. Method: the leaf alone."""
    assert tree.leaf(b"ab", b"c") != tree.leaf(b"a", b"bc")


@given(st.data())
@settings(max_examples=200)
def test_no_bent_proof_passes(data: st.DataObject) -> None:
    """Goal: one proof per root and key. Method: bend a true one anywhere, claim either thing."""
    rows = [bytearray(PROOF.page), *(bytearray(row) for row in PROOF.siblings)]
    row = data.draw(st.integers(0, len(rows) - 1))
    at = data.draw(st.integers(0, len(rows[row]) - 1))
    rows[row][at] ^= data.draw(st.integers(1, 255))
    page, *siblings = map(bytes, rows)
    bent = Proof(page=page, siblings=tuple(siblings))
    assert not verify_proof(ROOT, b"key7", STATE[b"key7"], bent)
    assert not verify_proof(ROOT, b"key7", None, bent)


def entries_of(page: bytes) -> list[bytes]:
    return [page[at : at + 64] for at in range(0, len(page), 64)]


def forged() -> dict[str, Proof]:
    page, siblings = PROOF.page, PROOF.siblings
    first, *others = entries_of(page)
    place = tree.place(b"key7")
    mine = next(entry for entry in entries_of(page) if entry.startswith(place))
    without = page.replace(mine, b"")
    return {
        "entry left out": Proof(page=without, siblings=siblings),
        "entry twice": Proof(page=first + page, siblings=siblings),
        "not in order": Proof(page=b"".join([*others, first]), siblings=siblings),
        "half an entry": Proof(page=page[:-32], siblings=siblings),
        "empty page": Proof(page=b"", siblings=siblings),
        "level left out": Proof(page=page, siblings=siblings[1:]),
        "level twice": Proof(page=page, siblings=(siblings[0], *siblings)),
        "levels turned": Proof(page=page, siblings=siblings[::-1]),
        "row too long": Proof(page=page, siblings=(siblings[0] + bytes(32), *siblings[1:])),
        "too deep": Proof(page=page, siblings=siblings * 40),
        "inner node as page": Proof(page=(siblings[0] + bytes(32))[:512], siblings=()),
        "another key's": tree_twin.prove(STATE, b"key8"),
        "rows in a list": Proof(page=page, siblings=list(siblings)),  # type: ignore[arg-type]
        "text in a row": Proof(page=page, siblings=("x" * 480,)),  # type: ignore[arg-type]
        "no page": Proof(page=None, siblings=siblings),  # type: ignore[arg-type]
    }


@pytest.mark.parametrize("name", forged())
def test_forged_proofs_are_refused(name: str) -> None:
    proof = forged()[name]
    assert verify_proof(ROOT, b"key7", b"value7", PROOF)
    assert not verify_proof(ROOT, b"key7", b"value7", proof)
    assert not verify_proof(ROOT, b"key7", None, proof)


def test_absence_needs_the_page_of_that_key() -> None:
    """Goal: a true page of elsewhere proves nothing here. Method: a page that lacks the key."""
    absent = next(b"no%d" % n for n in range(99) if tree.place(b"no%d" % n)[0] >> 4 == 3)
    other = next(key for key in STATE if tree.place(key)[0] >> 4 == 5)
    assert not verify_proof(ROOT, absent, None, tree_twin.prove(STATE, other))


def test_the_wire_form_is_canonical_and_returns() -> None:
    data = pack(PROOF.to_wire())
    assert Proof.from_wire(unpack(data)) == PROOF
    assert pack(Proof.from_wire(unpack(data)).to_wire()) == data


@pytest.mark.parametrize(
    "wire",
    [
        None,
        [],
        [b""],
        [b"x", []],
        [b"", [b"x" * 479]],
        [b"", [b"x" * 480] * 64],
        [b"x" * 64 * 33, []],
        ["", []],
        [b"", [], b""],
    ],
)
def test_other_wire_forms_are_malformed(wire: object) -> None:
    with pytest.raises(Malformed):
        Proof.from_wire(wire)


def test_a_proof_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PROOF.page = b""  # type: ignore[misc]


def test_an_entry_is_found_only_where_one_begins() -> None:
    """Goal: bytes that look like a place across two entries are none."""
    place = tree.place(b"key7")
    page = bytes(16) + place + bytes(16)
    assert tree.find(page, place) == -1
    assert tree.find(page + place + bytes(32), place) == 64
