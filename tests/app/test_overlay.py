"""Properties of the overlay: it is a plain dict with undo, scans included."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.app.bench import Bench, Body
from zmqnode.app import Context, Reject
from zmqnode.base.results import OK

keys = st.sampled_from(["", "a", "aa", "ab", "b", "é", "é2", "z", "\U0001f600"])
step = st.one_of(
    st.tuples(st.just("set"), keys, st.integers(0, 3) | st.binary(max_size=2)),
    st.tuples(st.just("del"), keys, st.none()),
    st.tuples(st.just("pop"), keys, st.none()),
    st.tuples(st.just("default"), keys, st.integers(4, 6)),
    st.tuples(st.just("keys"), keys, st.none()),
    st.tuples(st.just("get"), keys, st.none()),
)
steps = st.tuples(st.booleans(), st.lists(step, max_size=6))
blocks = st.lists(st.lists(steps, max_size=5), max_size=3)
stores = st.dictionaries(keys, st.integers(7, 9), max_size=5)


def play(state: Any, moves: list[Any], listed: Callable[[Any, str], list[str]]) -> list[Any]:
    """Do the same to a State and to a plain dict; what they answered."""
    answers: list[Any] = []
    for kind, key, value in moves:
        match kind:
            case "set":
                state[key] = value
            case "del":
                if key in state:
                    del state[key]
            case "pop":
                answers.append(state.pop(key, None))
            case "default":
                answers.append(state.setdefault(key, value))
            case "keys":
                answers.append(listed(state, key))
            case "get":
                answers.append(state.get(key))
    return answers


def listed_of_dict(state: dict[str, Any], prefix: str) -> list[str]:
    return sorted((key for key in state if key.startswith(prefix)), key=lambda key: key.encode())


def player(fails: bool, moves: list[Any], answers: list[list[Any]]) -> Body:
    """An operation that does the moves, notes the answers, and then may fail."""

    def body(ctx: Context) -> None:
        answers.append(play(ctx.state, moves, lambda state, key: state.keys(key)))
        if fails:
            raise Reject("undone")

    return body


@given(stores, blocks)
def test_an_execution_equals_a_dict_that_is_copied(
    stored: dict[str, Any], seals: list[list[tuple[bool, list[Any]]]]
) -> None:
    """Goal: overlay, undo and scans are a plain dict's. Method: a twin that copies for undo."""
    bench, model = Bench(stored), dict(stored)
    for operations in seals:
        bodies: list[Body] = []
        answers: list[list[Any]] = []
        expected: list[list[Any]] = []
        for fails, moves in operations:
            bodies.append(player(fails, moves, answers))
            tried = dict(model)
            expected.append(play(tried, moves, listed_of_dict))
            model = model if fails else tried
        results = bench.run(*bodies)
        assert answers == expected
        assert [ok for ok, _, _ in results] == [not fails for fails, _ in operations]
    assert bench.state() == model


@given(stores, blocks)
def test_undone_operations_equal_operations_never_run(
    stored: dict[str, Any], seals: list[list[tuple[bool, list[Any]]]]
) -> None:
    full, kept = Bench(stored), Bench(stored)

    for operations in seals:
        full.run(*[player(fails, moves, []) for fails, moves in operations])
        kept.run(*[player(fails, moves, []) for fails, moves in operations if not fails])
    assert full.execution.changes() == kept.execution.changes()


def test_keys_are_in_byte_order_wherever_they_were_written() -> None:
    bench = Bench({"b": 1, "é": 1, "d": 1})

    def write(*keys: str) -> Body:
        def body(ctx: Context) -> None:
            for key in keys:
                ctx.state[key] = 1

        return body

    def list_them(ctx: Context) -> None:
        for key in ("z", "a", "é2", "c"):
            ctx.state[key] = 1
        del ctx.state["d"]
        del ctx.state["y"]
        found = ctx.state.keys()
        assert found == sorted(found, key=str.encode)
        assert found == ["a", "b", "c", "m", "x", "z", "é", "é2"]
        assert ctx.state.keys("é") == ["é", "é2"]
        with pytest.raises(TypeError, match="not iterable"):
            iter(ctx.state)

    assert bench.run(write("y", "x"), write("m"), list_them) == [OK, OK, OK]
