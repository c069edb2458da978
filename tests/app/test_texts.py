"""Arguments as the command line and JSON spell them, and results as they are shown."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from tests.app.annotated import app as annotated
from tests.app.test_schema import all_types, values
from zmqnode.app import BadArgument, Type
from zmqnode.app.texts import (
    FILE_BYTES_MAX,
    arguments_from_json,
    arguments_from_texts,
    operations_from_lines,
    to_json,
    to_text,
    usage,
    value_from_json,
    value_from_text,
)
from zmqnode.app.values import type_from_text
from zmqnode.apps.kv import app as kv
from zmqnode.errors import Invalid, Refused

PUT = kv.schema.operation("put")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("str", "a=b", "a=b"),
        ("str", "", ""),
        ("str", "null", "null"),
        ("str", "@x", "@x"),
        ("str", "0x00", "0x00"),
        ("str", "é", "é"),
        ("bytes", "é", "é".encode()),
        ("bytes", "", b""),
        ("bytes", "null", b"null"),
        ("bytes", "0x00fF", b"\x00\xff"),
        ("bytes", "0x", b""),
        ("bytes", "0", b"0"),
        ("int", "-7", -7),
        ("int", "007", 7),
        ("int", "18446744073709551615", 2**64 - 1),
        ("int", "-9223372036854775808", -(2**63)),
        ("bool", "true", True),
        ("bool", "false", False),
        ("int | None", "null", None),
        ("int | None", "7", 7),
        ("str | None", "null", None),
        ("bytes | None", "x", b"x"),
        ("list[int]", "[1, -2]", [1, -2]),
        ("list[bytes]", '["AQI=", ""]', [b"\x01\x02", b""]),
        ("dict[str, list[int | None]]", '{"b": [1, null], "a": []}', {"a": [], "b": [1, None]}),
        ("list[int] | None", "null", None),
        ("list[str] | None", '["null"]', ["null"]),
    ],
)
def test_texts_are_typed(kind: str, text: str, value: object) -> None:
    found = value_from_text(type_from_text(kind), text, "x")
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("int", "1.0", "x: expected int"),
        ("int", "1_000", "x: expected int"),
        ("int", " 1", "x: expected int"),
        ("int", "+1", "x: expected int"),
        ("int", "\u0661", "x: expected int"),
        ("int", "", "x: expected int"),
        ("int", "18446744073709551616", "x: expected int from"),
        ("int", "9" * 5000, "x: expected int"),
        ("bool", "True", "x: expected bool"),
        ("bool", "1", "x: expected bool"),
        ("bytes", "0x1", "x: expected an even number"),
        ("bytes", "0xzz", "x: expected an even number"),
        ("bytes", "0x 00", "x: expected an even number"),
        ("bytes", "\udcff", "x: expected UTF-8"),
        ("str", "\udcff", "x: expected str without"),
        ("list[int]", "1", r"x: expected list\[int\]"),
        ("list[int]", "[1, 2.5]", r"x\[1\]: expected int"),
        ("list[int]", "[1, true]", r"x\[1\]: expected int"),
        ("list[int]", "[1,", "as JSON"),
        ("list[int]", "[NaN]", r"x\[0\]: expected int"),
        ("list[int]", "[" + "9" * 5000 + "]", "as JSON"),
        ("list[int]", "[" * 100_000, "as JSON"),
        ("list[bytes]", '["AQI"]', r"x\[0\]: expected bytes as base64"),
        ("list[bytes]", '["AQI=\\n"]', r"x\[0\]: expected bytes as base64"),
        ("dict[str, int]", '{"a": 1, "a": 2}', "one key twice"),
        ("dict[str, dict[str, int]]", '{"a": {"b": "1"}}', r"x\.a\.b: expected int"),
    ],
)
def test_texts_that_cannot_be_read(kind: str, text: str, message: str) -> None:
    with pytest.raises(BadArgument, match=message):
        value_from_text(type_from_text(kind), text, "x")


def test_bytes_come_from_files(tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_bytes(b"\x00\xff")
    assert arguments_from_texts(PUT, ["key=a", f"value=@{file}"])["value"] == b"\x00\xff"
    for path in (tmp_path / "none", tmp_path, "", "a\0b"):
        with pytest.raises(Invalid, match="value: cannot read") as caught:
            arguments_from_texts(PUT, ["key=a", f"value=@{path}"])
        assert caught.value.code == "file_missing"
    with file.open("wb") as big:
        big.truncate(FILE_BYTES_MAX + 1)
    with pytest.raises(BadArgument, match="more than"):
        arguments_from_texts(PUT, ["key=a", f"value=@{file}"])


def test_calls_are_read_whole() -> None:
    assert arguments_from_texts(PUT, ["value=1=2", "key="]) == {"key": "", "value": b"1=2"}
    move = annotated.schema.operation("move")
    assert arguments_from_texts(move, ["to=a", "amounts={}"]) == {"to": "a", "amounts": {}}
    assert usage(PUT) == "put key=STR value=BYTES"
    assert usage(move).endswith("[note=BYTES | NONE] [fee=INT]")


@pytest.mark.parametrize(
    ("texts", "kind", "message"),
    [
        (["key"], Invalid, "expected KEY=VALUE"),
        (["key=a", "key=b", "value="], Invalid, "key is given twice"),
        (["key=a"], BadArgument, "value: missing"),
        (["key=a", "value=1", "more=1"], BadArgument, "more: put has no such argument"),
    ],
)
def test_calls_that_cannot_be_read(texts: list[str], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        arguments_from_texts(PUT, texts)


@given(all_types.flatmap(lambda wanted: values(wanted).map(lambda value: (wanted, value))))
def test_values_survive_json(pair: tuple[Type, Any]) -> None:
    wanted, value = pair
    text = json.dumps(to_json(value))
    assert value_from_json(wanted, json.loads(text), "x") == value


def test_lines_are_operations() -> None:
    value = base64.b64encode(b"\x00\xff").decode()
    line = json.dumps({"name": "put", "arguments": {"key": "a\u2028b", "value": value}})
    text = f"{line}\n\n" + '{"name": "delete", "arguments": {"key": "b"}}\r\n'
    assert operations_from_lines(kv.schema, text) == [
        ("put", {"key": "a\u2028b", "value": b"\x00\xff"}),
        ("delete", {"key": "b"}),
    ]
    raw = json.dumps(
        {"name": "put", "arguments": {"key": "\u2028", "value": ""}}, ensure_ascii=False
    )
    assert operations_from_lines(kv.schema, raw) == [("put", {"key": "\u2028", "value": b""})]
    with pytest.raises(BadArgument):
        arguments_from_json(PUT, {"key": "a", "value": "no base64"})


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("{", "bad_argument", "line 2: .*JSON"),
        ("[]", "bad_argument", "line 2: expected"),
        ('{"arguments": {}}', "bad_argument", "line 2: expected"),
        ('{"name": "put", "arguments": []}', "bad_argument", "line 2: arguments: expected"),
        ('{"name": "put", "args": {}}', "bad_argument", "line 2: expected"),
        ('{"name": "put"}', "bad_argument", "line 2: key: missing"),
        ('{"name": "push", "arguments": {}}', "unknown_operation", "line 2: kv has no operation"),
    ],
)
def test_a_wrong_line_is_named(line: str, code: str, message: str) -> None:
    good = '{"name": "delete", "arguments": {"key": "b"}}'
    with pytest.raises(Refused, match=message) as caught:
        operations_from_lines(kv.schema, f"{good}\n{line}\n")
    assert caught.value.code == code
    assert caught.value.details["line"] == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"caf\xc3\xa9", "café"),
        (b"\x00\xff", "0x00ff"),
        ("a", "a"),
        (7, "7"),
        (True, "true"),
        (None, "null"),
        (["é", b"\x01"], '["é", "AQ=="]'),
        ({"a": None}, '{"a": null}'),
    ],
)
def test_results_as_text(value: object, text: str) -> None:
    assert to_text(value) == text
