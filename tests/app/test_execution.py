"""The execution engine: undo, overlays, reasons, and what must never become a result."""

import pickle
from typing import Any

import pytest

from tests.app.bench import SEAL, SENDER, Bench, Body, Failing
from zmqnode.app import App, Context, Execution, Reject, Unexecutable
from zmqnode.app.application import REASON_CHARS_MAX
from zmqnode.app.execution import (
    BLOCK_EVENTS_BYTES_MAX,
    EVENT_NAME_CHARS_MAX,
    EVENTS_BYTES_MAX,
    EVENTS_MAX,
)
from zmqnode.app.state import STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX
from zmqnode.base.codec import pack, pack_sorted, unpack
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import public_text
from zmqnode.base.results import OK, decode_results, encode_results
from zmqnode.base.tree import KEY_BYTES_MAX
from zmqnode.errors import Broken

# What an operation sees.


def test_an_operation_sees_its_seal_and_its_block_and_nothing_else() -> None:
    seen: dict[str, Any] = {}

    def look(ctx: Context) -> None:
        names = [name for name in dir(ctx) if not name.startswith("_")]
        seen.update({name: getattr(ctx, name) for name in names})

    assert Bench().one(look) == OK
    assert sorted(seen) == ["emit", "hash", "height", "sender", "state", "time_ms"]
    assert (seen["height"], seen["time_ms"], seen["hash"]) == (7, 1234, SEAL.hex())
    assert seen["sender"] == public_text(SENDER)


def test_a_context_cannot_carry_anything_to_the_next_operation() -> None:
    def keep(ctx: Context) -> None:
        ctx.mine = 1  # type: ignore[attr-defined]

    def replace(ctx: Context) -> None:
        ctx.state = {}  # type: ignore[misc, assignment]

    assert Bench().run(keep, replace) == [(False, "AttributeError", ())] * 2


def test_the_state_is_a_mapping_of_what_was_written_before() -> None:
    def write(ctx: Context) -> None:
        ctx.state["new"] = [1, b"2", None, {"b": True, "a": "x"}]
        ctx.state["none"] = None
        del ctx.state["gone"]

    def look(ctx: Context) -> None:
        state = ctx.state
        assert state["new"] == [1, b"2", None, {"a": "x", "b": True}]
        assert "none" in state
        assert state["none"] is None
        assert state.get("gone") is None
        assert "gone" not in state
        assert state.get("gone", 5) == 5
        assert state["old"] == 1
        assert state.keys() == ["new", "none", "old"]
        assert state.keys("n") == ["new", "none"]
        assert state.keys("n", 1) == ["new"]
        assert state.setdefault("old", 9) == 1
        assert state.setdefault("set", [9]) == [9]
        assert state.pop("set") == [9]
        assert state.pop("set", None) is None

    bench = Bench({"old": 1, "gone": 2})
    assert bench.run(write, look) == [OK, OK]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda ctx: ctx.state["missing"], "KeyError"),
        (lambda ctx: ctx.state.pop("missing"), "KeyError"),
        (lambda ctx: ctx.state.__delitem__("missing"), "KeyError"),
        (lambda ctx: ctx.state[1], "TypeError"),
        (lambda ctx: ctx.state.get(b"k"), "TypeError"),
        (lambda ctx: 1 in ctx.state, "TypeError"),
        (lambda ctx: list(ctx.state), "TypeError"),
        (lambda ctx: ctx.state.keys(b"k"), "TypeError"),
        (lambda ctx: ctx.state.__setitem__(b"k", 1), "TypeError"),
        (lambda ctx: ctx.state.__setitem__("k", 1.5), "TypeError"),
        (lambda ctx: ctx.state.__setitem__("k", {1}), "TypeError"),
        (lambda ctx: ctx.state.__setitem__("k", 2**64), "ValueError"),
        (lambda ctx: ctx.state.__setitem__("\ud800", 1), "UnicodeEncodeError"),
        (lambda ctx: ctx.state.__setitem__("k" * (STATE_KEY_BYTES_MAX + 1), 1), "ValueError"),
        (lambda ctx: ctx.state.get("é" * (STATE_KEY_BYTES_MAX // 2 + 1)), "ValueError"),
        (lambda ctx: ctx.state.__setitem__("k", bytes(STATE_VALUE_BYTES_MAX)), "ValueError"),
    ],
)
def test_wrong_use_of_the_state_fails_alike_everywhere(body: Body, reason: str) -> None:
    bench = Bench()
    assert bench.one(body) == (False, reason, ())
    assert bench.execution.changes() == {}


def test_keys_and_values_may_be_as_large_as_their_bounds() -> None:
    assert len(b"a") + STATE_KEY_BYTES_MAX <= KEY_BYTES_MAX

    def write(ctx: Context) -> None:
        ctx.state["k" * STATE_KEY_BYTES_MAX] = bytes(STATE_VALUE_BYTES_MAX - 5)

    assert Bench().one(write) == OK


def test_values_that_were_read_are_copies() -> None:
    def change_what_was_read(ctx: Context) -> None:
        ctx.state["list"].append(2)
        found = ctx.state["list"]
        found.append(3)
        written = [1]
        ctx.state["mine"] = written
        written.append(2)
        ctx.state.setdefault("other", written).append(9)

    bench = Bench({"list": [1]})
    assert bench.one(change_what_was_read) == OK
    assert bench.state() == {"list": [1], "mine": [1], "other": [1, 2]}


def test_an_operation_cannot_change_the_seal_it_came_in() -> None:
    app = App("greedy")

    @app.op
    def take(ctx: Context, items: list[list[int]], table: dict[str, list[int]]) -> None:
        items.append([1])
        items[0].append(1)
        table["x"] = []
        table["a"].append(2)

    operations = [["take", [[[0]], {"a": [1]}]]]
    before = pack(operations)
    execution = Execution(app, {}.get, lambda prefix: iter(()), 1, 1)
    assert execution.run_seal(SEAL, SENDER, operations).results == (OK,)
    assert pack(operations) == before


def test_system_keys_are_out_of_reach() -> None:
    def look(ctx: Context) -> None:
        assert ctx.state.keys() == []
        ctx.state["s-system"] = 2

    bench = Bench()
    assert bench.one(look) == OK
    assert list(bench.execution.changes()) == [b"as-system"]


# Undo and reasons.


def failing(error: BaseException) -> Body:
    def body(ctx: Context) -> None:
        ctx.state["a"] = 1
        ctx.state["old"] = 2
        ctx.emit("wrote", a=1)
        raise error

    return body


class Unwell(BaseException):
    pass


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Reject("not enough"), "not enough"),
        (Reject("x" * 500), "x" * REASON_CHARS_MAX),
        (Reject(""), "Reject"),
        (Reject("\udce9t\u00e9"), "?t\u00e9"),
        (ValueError("text that differs between versions"), "ValueError"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (SystemExit(3), "SystemExit"),
        (GeneratorExit(), "GeneratorExit"),
        (Unwell(), "Unwell"),
        (type("N" * 300, (Exception,), {})(), "N" * REASON_CHARS_MAX),
    ],
)
def test_an_operation_that_raises_is_undone_whole(error: BaseException, reason: str) -> None:
    bench = Bench({"old": 1})
    results = bench.run(failing(error), lambda ctx: ctx.state.__setitem__("b", 1))
    assert results == [(False, reason, ()), OK]
    assert bench.state() == {"old": 1, "b": 1}
    assert decode_results(bench.execution.results[0].data) == tuple(results)


def test_a_reason_is_a_text() -> None:
    with pytest.raises(TypeError):
        Reject(object())  # type: ignore[arg-type]


def test_operations_of_committed_seals_may_be_unknown_or_mistyped() -> None:
    app = App("typed")

    @app.op
    def add(ctx: Context, count: int, note: str | None = None) -> None:
        ctx.state["count"] = ctx.state.get("count", 0) + count
        ctx.state["note"] = note

    execution = Execution(app, {}.get, lambda prefix: iter(()), 1, 1)
    operations = [
        ["nope", []],
        ["add", []],
        ["add", ["1"]],
        ["add", [True]],
        ["add", [1, None, 3]],
        ["add", [1]],
        ["add", [2, "two"]],
    ]
    done = execution.run_seal(SEAL, SENDER, operations)
    bad = (False, "bad_argument", ())
    assert done.results == ((False, "unknown_operation", ()), bad, bad, bad, bad, OK, OK)
    assert execution.changes() == {b"acount": pack(3), b"anote": pack("two")}
    assert done.data == encode_results(done.results)


# What must never become a result.


def recurse(ctx: Context) -> None:
    recurse(ctx)


def recurse_and_hide(ctx: Context) -> None:
    try:
        recurse(ctx)
    except RecursionError:
        raise Reject("too deep") from None


def exhaust(ctx: Context) -> None:
    ctx.state["a"] = 1
    raise MemoryError


@pytest.mark.parametrize("body", [recurse, recurse_and_hide, exhaust])
def test_what_depends_on_the_machine_voids_the_execution(body: Body) -> None:
    bench = Bench()
    with pytest.raises(Unexecutable) as caught:
        bench.run(lambda ctx: None, body)
    error = caught.value
    assert isinstance(error, Broken)
    assert (error.seal, error.index, error.operation) == (SEAL, 1, "op1")
    assert error.details["way_out"]
    assert bench.execution.results == []
    assert pickle.loads(pickle.dumps(error)).message == error.message  # noqa: S301


def swallow(body: Body) -> Body:
    def quiet(ctx: Context) -> None:
        try:
            body(ctx)
        except:  # noqa: E722 - what an application should not do
            ctx.state["swallowed"] = 1

    return quiet


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(
    "body",
    [lambda ctx: ctx.state.get("a"), lambda ctx: ctx.state.keys(), lambda ctx: ctx.state.pop("a")],
)
def test_a_failing_store_voids_the_execution(body: Body, hidden: bool) -> None:
    bench = Bench()
    snapshot = Failing()
    bench.execution = Execution(bench.app, snapshot.read, snapshot.scan, 7, 1)
    with pytest.raises(Unexecutable) as caught:
        bench.one(swallow(body) if hidden else body)
    assert "OSError" in str(caught.value.details["cause"])


def test_a_damaged_value_voids_the_execution() -> None:
    bench = Bench()
    bench.below[b"aa"] = b"\xc1"
    with pytest.raises(Unexecutable):
        bench.one(swallow(lambda ctx: ctx.state["a"]))


def test_ctrl_c_passes_as_it_is() -> None:
    with pytest.raises(KeyboardInterrupt):
        Bench().one(failing(KeyboardInterrupt()))


# Events.


def test_events_are_kept_in_order_and_copied() -> None:
    def tell(ctx: Context) -> None:
        data = [1]
        ctx.emit("first", name="n", z=data, a={"y": b"1", "x": None})
        data.append(2)
        ctx.emit("second")

    bench = Bench()
    events = (("first", {"a": {"x": None, "y": b"1"}, "name": "n", "z": [1]}), ("second", {}))
    assert bench.run(tell, lambda ctx: None) == [(True, None, events), OK]
    assert decode_results(bench.execution.results[0].data) == ((True, None, events), OK)


def times(count: int, size: int) -> Body:
    return lambda ctx: [ctx.emit("e", x=bytes(size)) for _ in range(count)]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda ctx: ctx.emit("e", x=1.5), "TypeError"),
        (lambda ctx: ctx.emit(b"e"), "TypeError"),
        (lambda ctx: ctx.emit(""), "ValueError"),
        (lambda ctx: ctx.emit("e" * (EVENT_NAME_CHARS_MAX + 1)), "ValueError"),
        (lambda ctx: ctx.emit("\ud800"), "ValueError"),
        (times(EVENTS_MAX + 1, 0), "ValueError"),
        (times(1, EVENTS_BYTES_MAX), "ValueError"),
        (times(2, EVENTS_BYTES_MAX // 2), "ValueError"),
    ],
)
def test_events_are_bounded(body: Body, reason: str) -> None:
    assert Bench().one(body) == (False, reason, ())


def test_the_bounds_of_events_are_those_of_one_operation() -> None:
    bench = Bench()
    results = bench.run(*[times(EVENTS_MAX, 600)] * 3)
    assert [len(events) for _, _, events in results] == [EVENTS_MAX] * 3


def test_the_events_of_a_block_fit_one_answer() -> None:
    """Goal: a block that nodes cannot serve to each other cannot be made."""
    bench = Bench()
    each = EVENTS_BYTES_MAX - 100
    fit = BLOCK_EVENTS_BYTES_MAX // each
    results = bench.run(*[times(1, each)] * (fit + 2))
    assert [ok for ok, _, _ in results] == [True] * fit + [False] * 2
    assert results[-1] == (False, "ValueError", ())
    assert bench.run(times(1, 10))[-1][0]  # What is small may still fit.


def test_a_trace_names_what_each_operation_wrote() -> None:
    trace: list[Any] = []
    bench = Bench()
    bench.execution = Execution(bench.app, bench.below.get, bench.scan, 7, 1, trace=trace)
    bench.run(
        lambda ctx: ctx.state.__setitem__("a", 1),
        failing(Reject("no")),
        lambda ctx: ctx.state.__delitem__("a"),
    )
    assert trace == [(SEAL, 0, {b"aa": pack(1)}), (SEAL, 2, {b"aa": None})]


def test_results_stand_in_the_order_of_the_seals() -> None:
    bench = Bench()
    seals = [Hash(bytes([index]) * 32) for index in range(3)]
    for seal in seals:
        bench.execution.run_seal(seal, SENDER, unpack(pack_sorted([["nope", []]])))
    assert [one.seal for one in bench.execution.results] == seals
