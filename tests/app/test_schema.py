"""Types, signatures and the schema that travels."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.app import annotated
from zmqnode.app import App, BadArgument, Schema, Type
from zmqnode.app.schema import ARGUMENTS_MAX, CALLS_MAX
from zmqnode.app.values import TYPE_DEPTH_MAX, plain, type_from_text, type_of
from zmqnode.apps.kv import app as kv
from zmqnode.base.codec import pack, unpack
from zmqnode.errors import Invalid, Malformed, Refused

scalars = st.sampled_from(["str", "int", "bytes", "bool"]).map(lambda kind: Type(kind=kind))  # type: ignore[arg-type]
all_types = st.recursive(
    scalars,
    lambda inner: (
        inner.map(lambda item: Type(kind="list", item=item))
        | inner.map(lambda item: Type(kind="dict", item=item))
        | inner.filter(lambda item: item.kind != "optional").map(
            lambda item: Type(kind="optional", item=item)
        )
    ),
    max_leaves=4,
)


def values(wanted: Type) -> st.SearchStrategy[Any]:
    match wanted.kind:
        case "str":
            return st.text(max_size=5)
        case "int":
            return st.integers(-(2**63), 2**64 - 1)
        case "bytes":
            return st.binary(max_size=5)
        case "bool":
            return st.booleans()
        case "list":
            return st.lists(values(wanted.of), max_size=3)
        case "dict":
            return st.dictionaries(st.text(max_size=3), values(wanted.of), max_size=3)
    return st.none() | values(wanted.of)


@given(all_types)
def test_a_type_survives_its_text(wanted: Type) -> None:
    assert type_from_text(wanted.text) == wanted


@given(all_types.flatmap(lambda wanted: st.tuples(st.just(wanted), values(wanted))))
def test_values_of_a_type_pass_as_equal_copies(pair: tuple[Type, Any]) -> None:
    wanted, value = pair
    taken = wanted.check(value, "x")
    assert taken == value
    assert pack(taken) == pack(plain(value))
    if isinstance(value, (list, dict)) and value:
        assert taken is not value


@pytest.mark.parametrize(
    ("text", "value", "problem"),
    [
        ("int", True, "x: expected int"),
        ("int", "1", "x: expected int"),
        ("int", 1.0, "x: expected int"),
        ("int", 2**64, "x: expected int from -2^63 to 2^64 - 1"),
        ("int", -(2**63) - 1, "x: expected int from -2^63 to 2^64 - 1"),
        ("bool", 1, "x: expected bool"),
        ("str", b"a", "x: expected str"),
        ("str", "\ud800", "x: expected str without lone surrogates"),
        ("bytes", "a", "x: expected bytes"),
        ("bytes", None, "x: expected bytes"),
        ("list[int]", {}, "x: expected list[int]"),
        ("list[int]", [1, "a"], "x[1]: expected int"),
        ("dict[str, int]", [], "x: expected dict[str, int]"),
        ("dict[str, int]", {1: 1}, "x: expected str"),
        ("dict[str, int]", {"a": None}, "x.a: expected int"),
        ("list[dict[str, int]]", [{}, {}, {}, {"x": 1, "y": b""}], "x[3].y: expected int"),
        ("list[int | None] | None", [None, ""], "x[1]: expected int"),
    ],
)
def test_a_mismatch_names_its_path(text: str, value: object, problem: str) -> None:
    with pytest.raises(BadArgument) as caught:
        type_from_text(text).check(value, "x")
    assert caught.value.message == problem
    assert caught.value.code == "bad_argument"


@pytest.mark.parametrize(
    "text",
    [
        "float",
        "list",
        "list[]",
        "dict[int, int]",
        "dict[str,int]",
        "int | None | None",
        "None",
        "None | int",
        "int|None",
        " int",
        "str | int",
        "list[" * 40 + "int" + "]" * 40,
        7,
        b"int",
    ],
)
def test_texts_that_are_no_type(text: object) -> None:
    with pytest.raises(Malformed):
        type_from_text(text)


def test_annotations_mean_types() -> None:
    import typing

    assert type_of(dict[str, list[bytes | None]]).text == "dict[str, list[bytes | None]]"
    assert type_of(typing.Optional[int]).text == "int | None"  # noqa: UP045
    assert type_of(typing.Dict[str, typing.List[int]]).text == "dict[str, list[int]]"  # noqa: UP006
    deep: Any = int
    for _ in range(TYPE_DEPTH_MAX):
        deep = list[deep]
    assert type_from_text(type_of(deep).text) == type_of(deep)
    with pytest.raises(ValueError, match="deeper"):
        type_of(list[deep])


def test_annotations_may_be_texts_of_the_future() -> None:
    described = {one.name: one for one in annotated.app.schema.operations}
    assert [one.type.text for one in described["move"].arguments] == [
        "str",
        "dict[str, list[int]]",
        "bytes | None",
        "int",
    ]


def definition(body: str) -> None:
    names: dict[str, Any] = {"app": App("bad")}
    exec(body, names)  # noqa: S102 - the bodies below


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("@app.op\ndef f(ctx, x: float): ...", "argument x: float is none of .*floats round"),
        ("@app.op\ndef f(ctx, x: list): ...", "argument x: list is none of"),
        ("@app.op\ndef f(ctx, x: list[float]): ...", "argument x: float is none of"),
        ("@app.op\ndef f(ctx, x: dict[int, str]): ...", "argument x: dict"),
        ("@app.op\ndef f(ctx, x: tuple[int, int]): ...", "argument x: tuple"),
        ("@app.op\ndef f(ctx, x: int | str): ...", "argument x: int | str"),
        ("@app.op\ndef f(ctx, x: int | str | None): ...", "argument x"),
        ("@app.op\ndef f(ctx, x: None): ...", "argument x"),
        ("@app.op\ndef f(ctx, x: 'Nowhere'): ...", "cannot be read: name 'Nowhere'"),
        ("@app.op\ndef f(ctx, x): ...", "argument x: its type is missing"),
        ("@app.op\ndef f(ctx, *x: int): ...", "argument x: plain positional"),
        ("@app.op\ndef f(ctx, *, x: int): ...", "argument x: plain positional"),
        ("@app.op\ndef f(ctx, **x: int): ...", "argument x: plain positional"),
        ("@app.op\ndef f(ctx, x: list[int] = []): ...", "argument x: calls would share"),
        ("@app.op\ndef f(ctx, x: int = None): ...", "default of argument x: expected int"),
        ("@app.op\ndef f(ctx) -> int: ...", "an operation returns nothing"),
        ("@app.op\ndef f(): ...", "expected ctx"),
        ("@app.op\nasync def f(ctx): ...", "not async"),
        ("@app.op\ndef f(ctx):\n yield", "not a generator"),
        ("@app.op\ndef f(ctx): ...\n@app.op\ndef f(ctx): ...", "two of operation f"),
        ("@app.query\ndef f(view): ...", "names the type it returns"),
        ("@app.query\ndef f(view) -> None: ...", "the type it returns"),
        ("@app.query\ndef f(view) -> float: ...", "the type it returns: float"),
        ("@app.check\ndef f(*a): ...\n@app.check\ndef g(*a): ...", "two functions for check"),
        ("@app.genesis\ndef f(*a): ...\n@app.genesis\ndef g(*a): ...", "two functions for genesis"),
        ("app.op(lambda ctx: None)", "its name must be an identifier"),
        ("App = type(app)\nApp('Bad Name')", "an app's name is"),
        ("App = type(app)\nApp('bad', version=0)", "version"),
    ],
)
def test_what_cannot_travel_is_refused_where_it_is_defined(body: str, problem: str) -> None:
    with pytest.raises(Invalid, match=problem) as caught:
        definition(body)
    assert caught.value.code == "config_invalid"


def test_numbers_of_arguments_and_functions_are_bounded() -> None:
    many = ", ".join(f"a{index}: int" for index in range(ARGUMENTS_MAX))
    definition(f"@app.op\ndef f(ctx, {many}): ...")
    with pytest.raises(Invalid, match="at most"):
        definition(f"@app.op\ndef f(ctx, {many}, more: int): ...")
    each = "\n".join(f"@app.op\ndef f{index}(ctx): ..." for index in range(CALLS_MAX))
    definition(each)
    with pytest.raises(Invalid, match="more than"):
        definition(each + "\n@app.op\ndef more(ctx): ...")


def test_keywords_become_positions_and_back() -> None:
    put = kv.schema.operation("put")
    assert put.positional({"value": b"1", "key": "a"}) == ["a", b"1"]
    assert put.named(["a", b"1"]) == {"key": "a", "value": b"1"}
    move = annotated.app.schema.operation("move")
    assert move.positional({"to": "a", "amounts": {}}) == ["a", {}]
    assert move.positional({"to": "a", "amounts": {}, "fee": 2}) == ["a", {}, None, 2]
    assert move.named(["a", {}]) == {"to": "a", "amounts": {}, "note": None, "fee": 1}


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ({"key": "a"}, "value: missing, expected bytes"),
        ({"value": b""}, "key: missing, expected str"),
        ({}, "key: missing, expected str"),
        ({"key": "a", "value": "1"}, "value: expected bytes"),
        ({"key": "a", "value": b"1", "x": 1}, r"x: put has no such argument \(it has: key, value"),
    ],
)
def test_wrong_keywords(named: dict[str, object], problem: str) -> None:
    with pytest.raises(BadArgument, match=problem):
        kv.schema.operation("put").positional(named)


@pytest.mark.parametrize(
    ("values", "problem"),
    [(["a"], "value: missing"), (["a", b"", 1], "at most 2"), (["a", 1], "value: expected bytes")],
)
def test_wrong_positions(values: list[object], problem: str) -> None:
    with pytest.raises(BadArgument, match=problem):
        kv.schema.operation("put").bind(values)


@pytest.mark.parametrize("app", [kv, annotated.app])
def test_a_schema_survives_the_wire(app: App) -> None:
    data = pack(app.describe())
    assert Schema.from_wire(unpack(data)) == app.schema
    assert pack(Schema.from_wire(unpack(data)).to_wire()) == data


def described(**changes: object) -> dict[str, object]:
    return kv.describe() | changes


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        described(more=1),
        described(version=True),
        described(version="1"),
        described(operations={}),
        described(operations=[["put", [["key", "str"]], "int"]]),
        described(operations=[["put", [["key", "float"]]]]),
        described(operations=[["put", [["key", "str"], ["key", "int"]]]]),
        described(operations=[["put", [["key", "int", "1"]]]]),
        described(operations=[["put", [["key"]]]]),
        described(operations=[["put it", []]]),
        described(operations=[[1, []]]),
        described(operations=[["put", [["a", "int"]] * 65]]),
        described(operations=[["put", []]] * 1001),
        described(queries=[["get", []]]),
    ],
)
def test_a_stranger_s_schema_is_checked(value: object) -> None:
    with pytest.raises(Malformed):
        Schema.from_wire(value)


def test_unknown_names_are_refused_with_those_there_are() -> None:
    with pytest.raises(Refused) as caught:
        kv.schema.operation("push")
    assert (caught.value.code, caught.value.hint) == (
        "unknown_operation",
        "it has: append, delete, put",
    )
    with pytest.raises(Refused) as caught:
        kv.schema.query("find")
    assert caught.value.code == "unknown_query"


def test_arguments_of_any_committed_operation_can_be_shown() -> None:
    assert kv.schema.arguments("put", ["a", b"1"]) == {"key": "a", "value": b"1"}
    assert kv.schema.arguments("put", [1]) == {"0": 1}
    assert kv.schema.arguments("nope", [1, "x"]) == {"0": 1, "1": "x"}


@pytest.mark.parametrize("value", [1.0, {1}, object(), {1: 1}, [b"", 2.5], bytearray(b"")])
def test_what_cannot_be_stored_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError):
        plain(value)


@pytest.mark.parametrize("value", [2**64, "\udcff", {"\udcff": 1}])
def test_what_is_out_of_bounds_is_a_value_error(value: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        plain(value)


def test_depth_is_bounded() -> None:
    deep: object = 1
    for _ in range(TYPE_DEPTH_MAX):
        deep = [deep]
    assert plain(deep) == deep
    with pytest.raises(ValueError, match="nested"):
        plain([deep])
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="nested"):
        plain(endless)


def test_plain_copies_and_orders() -> None:
    inner = [1]
    kept = plain({"b": (1, inner), "a": None})
    inner.append(2)
    assert list(kept.items()) == [("a", None), ("b", [1, [1]])]
