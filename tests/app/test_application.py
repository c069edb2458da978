"""Genesis, the pool's check, and queries."""

from typing import Any

import pytest

from tests.app.bench import SENDER, Bench, Failing
from zmqnode.app import App, Context, Reject
from zmqnode.base.hashes import ZERO
from zmqnode.base.keys import public_text
from zmqnode.base.results import OK
from zmqnode.errors import Invalid, Refused


def test_genesis_fills_the_state() -> None:
    bench = Bench()

    @bench.app.genesis
    def found(ctx: Context, data: bytes) -> None:
        assert (ctx.sender, ctx.hash) == ("", ZERO.hex())
        if not data:
            raise Reject("no data")
        ctx.emit("founded")
        ctx.state["data"] = data

    with pytest.raises(Invalid, match="refuses the genesis data: no data"):
        bench.execution.run_genesis(b"")
    bench.execution.run_genesis(b"x")
    assert bench.state() == {"data": b"x"}
    assert bench.one(lambda ctx: None) == OK


def test_an_app_without_genesis_takes_no_data() -> None:
    bench = Bench()
    bench.execution.run_genesis(b"")
    with pytest.raises(Invalid, match="takes no genesis data"):
        bench.execution.run_genesis(b"x")


def test_the_pool_s_check() -> None:
    app = App("checked")
    seen: list[Any] = []

    @app.op
    def put(ctx: Context, key: str, count: int = 1) -> None: ...

    app.admit(SENDER, [["put", ["a"]]])
    with pytest.raises(Refused, match="key: expected str"):
        app.admit(SENDER, [["put", [1]]])

    @app.check
    def check(sender: str, name: str, arguments: dict[str, Any]) -> None:
        seen.append((sender, name, arguments))
        if arguments["key"] == "no":
            raise Reject("not this one")
        if arguments["key"] == "bug":
            raise LookupError("text")

    app.admit(SENDER, [["put", ["a"]], ["put", ["b", 2]]])
    assert seen == [
        (public_text(SENDER), "put", {"key": "a", "count": 1}),
        (public_text(SENDER), "put", {"key": "b", "count": 2}),
    ]
    for operations, code, index in [
        ([["put", ["a"]], ["nope", []]], "unknown_operation", 1),
        ([["put", [1]]], "bad_argument", 0),
        ([["put", ["a"]], ["put", ["a"]], ["put", []]], "bad_argument", 2),
        ([["put", ["no"]]], "check_refused", 0),
        ([["put", ["bug"]]], "check_refused", 0),
    ]:
        with pytest.raises(Refused) as caught:
            app.admit(SENDER, operations)
        assert (caught.value.code, caught.value.details["index"]) == (code, index)


def test_queries_say_what_they_read() -> None:
    bench = Bench({"a": [1], "b": 2})

    @bench.app.query
    def pair(view: Any, first: str, second: str = "b") -> dict[str, int | None]:
        return {"n": view.get(first, [None])[0], "m": view[second], "l": view.get(second)}

    @bench.app.query
    def all_keys(view: Any) -> list[str]:
        found: list[str] = view.keys()
        return found

    answer = bench.app.answer("pair", ["a"], bench.below.get, bench.scan)
    assert answer.result == {"l": 2, "m": 2, "n": 1}
    assert answer.type == "dict[str, int | None]"
    assert (answer.keys, answer.scanned) == ((b"aa", b"ab"), False)
    answer = bench.app.answer("all_keys", [], bench.below.get, bench.scan)
    assert (answer.result, answer.keys, answer.scanned) == (["a", "b"], (), True)


def test_queries_that_fail() -> None:
    bench = Bench({"a": 1})

    @bench.app.query
    def wrong(view: Any) -> list[int]:
        return [1, "2"]  # type: ignore[list-item]

    @bench.app.query
    def rejects(view: Any) -> int:
        raise Reject("ask later")

    @bench.app.query
    def writes(view: Any) -> int:
        view["a"] = 1
        return 1

    @bench.app.query
    def loops(view: Any) -> int:
        return loops(view)

    @bench.app.query
    def reads(view: Any) -> int:
        found: int = view["a"]
        return found

    for name, message in [
        ("wrong", r"query wrong: result\[1\]: expected int"),
        ("rejects", "query rejects: ask later"),
        ("writes", "query writes: TypeError"),
        ("loops", "query loops: RecursionError"),
    ]:
        with pytest.raises(Refused, match=message) as caught:
            bench.app.answer(name, [], bench.below.get, bench.scan)
        assert caught.value.code == "query_failed"
    for name, arguments, code in [("nope", [], "unknown_query"), ("reads", [1], "bad_argument")]:
        with pytest.raises(Refused) as caught:
            bench.app.answer(name, arguments, bench.below.get, bench.scan)
        assert caught.value.code == code
    with pytest.raises(OSError, match="input/output"):
        bench.app.answer("reads", [], Failing().read, bench.scan)


@pytest.mark.parametrize("register", ["op", "query"])
def test_names_of_the_system_are_refused(register: str) -> None:
    """Goal: no application shadows a system operation, whose seals are judged by the core."""

    def handover(ctx: object) -> None: ...

    handover.__name__ = "zmqnode.handover"
    with pytest.raises(Invalid, match="zmqnode") as caught:
        getattr(App("mine", version=1), register)(handover)
    assert caught.value.code == "config_invalid"
