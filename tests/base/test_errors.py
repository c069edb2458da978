"""Errors: one exit code per class, one JSON form, and nothing lost on the way."""

from __future__ import annotations

import copy
import pickle

import pytest

from zmqnode.base.query import failed, told
from zmqnode.errors import (
    BY_EXIT_CODE,
    Broken,
    Damaged,
    Invalid,
    Malformed,
    Refused,
    TimedOut,
    Undecided,
    Unreachable,
    ZmqnodeError,
    from_json,
)

EXIT_CODES = {Refused: 1, Invalid: 2, Unreachable: 3, Undecided: 4, TimedOut: 5, Broken: 10}


def every() -> list[ZmqnodeError]:
    made: list[ZmqnodeError] = [
        cls("some_code", "it went wrong", hint="do this", path="x", numbers=[1, 2])
        for cls in EXIT_CODES
    ]
    return [*made, Damaged("a record is damaged", hint="restore", file="journal")]


def same(one: ZmqnodeError, other: ZmqnodeError) -> bool:
    return type(one) is type(other) and one.to_json() == other.to_json() and str(one) == str(other)


def test_exit_codes_are_the_contracts() -> None:
    assert {cls: cls.exit_code for cls in EXIT_CODES} == EXIT_CODES
    assert {code: cls for cls, code in EXIT_CODES.items()} == BY_EXIT_CODE
    assert Damaged.exit_code == 10


@pytest.mark.parametrize("error", every(), ids=lambda error: type(error).__name__)
def test_errors_are_pickled_and_copied_whole(error: ZmqnodeError) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own bytes
        assert same(again, error)
        assert again.exit_code == error.exit_code
    assert same(copy.copy(error), error)
    assert same(copy.deepcopy(error), error)


@pytest.mark.parametrize("error", every(), ids=lambda error: type(error).__name__)
def test_errors_survive_their_json(error: ZmqnodeError) -> None:
    again = from_json(error.to_json(), error.exit_code)
    assert again.to_json() == error.to_json()
    assert again.exit_code == error.exit_code
    assert type(again) is BY_EXIT_CODE[error.exit_code]


def test_the_json_has_four_keys_and_the_text_its_code() -> None:
    error = Refused("not_found", "no such block", hint="", height=4)
    assert list(error.to_json()) == ["code", "message", "hint", "details"]
    assert error.to_json()["details"] == {"height": 4}
    assert str(error) == "no such block [not_found]"
    assert isinstance(error, Exception)


@pytest.mark.parametrize("exit_code", [0, 6, 70, 130, -1, 2**64])
def test_an_unknown_exit_code_is_a_refusal(exit_code: int) -> None:
    assert type(from_json({"code": "new"}, exit_code)) is Refused


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"code": 5, "message": ["x"], "hint": None, "details": None},
        {"details": [1]},
        {"details": "x"},
        {"details": {"code": 1, "message": 2, "hint": 3, "self": 4, "cls": 5}},
        {"details": {1: 2}},
        {"more": "keys"},
    ],
)
def test_whatever_a_node_says_is_some_error(said: dict[str, object]) -> None:
    """Goal: a lying node cannot crash its client by the form of an error."""
    error = from_json(said, 1)
    assert all(type(key) is str for key in error.details)
    assert isinstance(str(error), str)
    assert failed(error).to_error().code == error.code


def test_details_named_like_arguments_are_kept() -> None:
    details = {"code": "x", "message": "y", "hint": "z"}
    assert from_json({"code": "c", "details": details}, 2).details == details


def test_malformed_is_the_remotes_fault_and_no_error_for_callers() -> None:
    assert issubclass(Malformed, ValueError)
    assert not issubclass(Malformed, ZmqnodeError)
    assert str(pickle.loads(pickle.dumps(Malformed("x")))) == "x"  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    "body",
    [
        {"operations": [[] for _ in range(200_000)]},
        {"deep": [[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]},
        {"text": "\ud800"},
    ],
    ids=["many", "deep", "surrogate"],
)
def test_what_cannot_be_told_is_refused(body: dict[str, object]) -> None:
    """Goal: senders fill blocks and apps fill states; neither stops the node that shows them."""
    with pytest.raises(Refused) as refused:
        told(body)
    assert refused.value.code == "query_failed"
    assert len(refused.value.message) < 200
