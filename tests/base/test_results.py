"""Results of operations: compact leaves with one encoding, and the tree over them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqnode.base.codec import pack, pack_sorted
from zmqnode.base.hashes import ZERO, Hash, sha256, tagged
from zmqnode.base.results import (
    OK,
    OperationResult,
    ResultProof,
    decode_results,
    encode_results,
    prove_result,
    results_leaf,
    results_root,
    verify_result,
)
from zmqnode.errors import Malformed

events = st.lists(
    st.tuples(
        st.text(min_size=1, max_size=8),
        st.dictionaries(
            st.text(max_size=4), st.integers(0, 9) | st.binary(max_size=4), max_size=3
        ).map(lambda data: dict(sorted(data.items()))),
    ),
    max_size=3,
).map(tuple)
results = st.lists(
    st.just(OK)
    | st.tuples(st.just(True), st.none(), events)
    | st.tuples(st.just(False), st.text(max_size=20), st.just(())),
    max_size=20,
)


def leaves(count: int) -> list[Hash]:
    return [sha256(bytes([index % 256, index // 256])) for index in range(count)]


def root_of_rfc_9162(entries: list[Hash]) -> Hash:
    """Section 2.1.1, word for word: split at the largest power of two below n."""
    if len(entries) == 1:
        return entries[0]
    split = 1
    while split * 2 < len(entries):
        split *= 2
    left, right = root_of_rfc_9162(entries[:split]), root_of_rfc_9162(entries[split:])
    return tagged(b"results-node", left + right)


@given(results)
def test_results_survive_their_encoding(given_results: list[OperationResult]) -> None:
    assert decode_results(encode_results(given_results)) == tuple(given_results)


def test_a_seal_without_news_takes_a_few_bytes() -> None:
    assert encode_results([OK] * 100) == b"\x92\x64\x90"
    assert len(encode_results([OK] * 1000)) == 5


@given(st.binary(max_size=40) | results.map(encode_results))
def test_results_have_one_encoding(data: bytes) -> None:
    """Goal: no second encoding of a leaf. Method: junk and true leaves alike."""
    try:
        found = decode_results(data)
    except Malformed:
        return
    assert encode_results(found) == data


def test_a_seal_of_talkative_operations_can_be_read() -> None:
    """Every one of 1,000 operations may emit 100 events: more lists than elsewhere."""
    talk = tuple(("event", {"number": number}) for number in range(100))
    leaf = encode_results([(True, None, talk)] * 400)
    assert len(decode_results(leaf)) == 400


@pytest.mark.parametrize(
    "value",
    [
        [1001, []],
        [-1, []],
        [True, []],
        [1, [[0, None, []]]],
        [1, [[1, "late", []]]],
        [2, [[1, "a", []], [0, "b", []]]],
        [2, [[0, "a", []], [0, "b", []]]],
        [2, [[True, "a", []]]],
        [1, [[0, "both", [["name", {}]]]]],
        [1, [[0, None, [["name", []]]]]],
        [1, [[0, None, [["name", {}, 1]]]]],
        [1, [], 1],
        {},
    ],
)
def test_what_no_seal_can_have_is_malformed(value: object) -> None:
    with pytest.raises(Malformed):
        decode_results(pack_sorted(value))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 32, 33, 100])
def test_the_tree_is_that_of_rfc_9162(count: int) -> None:
    top = root_of_rfc_9162(leaves(count))
    assert results_root(leaves(count)) == tagged(b"results-root", count.to_bytes(8, "big") + top)


def test_a_block_without_seals_has_a_root() -> None:
    assert results_root([]) == tagged(b"results-root", bytes(8) + ZERO)
    assert results_root([]) != results_root([ZERO])


@given(st.integers(1, 70), st.data())
def test_every_leaf_can_be_proved(count: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, count - 1))
    proof = prove_result(leaves(count), index)
    assert verify_result(results_root(leaves(count)), leaves(count)[index], proof)


@pytest.mark.parametrize("count", range(1, 18))
def test_a_proof_proves_nothing_else(count: int) -> None:
    """Goal: no other leaf, position, size or path passes. Method: every small change of each."""
    root = results_root(leaves(count))
    for index in range(count):
        proof = prove_result(leaves(count), index)
        leaf = leaves(count)[index]
        changed = [
            ResultProof(index=other, size=size, path=proof.path)
            for other in range(-1, count + 2)
            for size in range(count + 3)
            if (other, size) != (index, count)
        ]
        paths = [proof.path[:-1], (*proof.path, ZERO), (*proof.path, Hash(b""))]
        paths += [tuple(reversed(proof.path))] if len(proof.path) > 1 else []
        changed += [
            ResultProof(index=index, size=count, path=path) for path in paths if path != proof.path
        ]
        for one in changed:
            assert not verify_result(root, leaf, one)
        assert not verify_result(root, sha256(leaf), proof)
        assert not verify_result(ZERO, leaf, proof)


def test_a_node_is_no_leaf() -> None:
    """Goal: an inner node cannot be shown as the leaf of a smaller tree."""
    seal, data = sha256(b"seal"), pack([1, []])
    assert results_leaf(seal, data) == tagged(b"results-leaf", seal + data)
    left, right = leaves(2)
    assert results_leaf(left, bytes(right)) != tagged(b"results-node", left + right)
