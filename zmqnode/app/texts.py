"""Arguments and results as people and scripts spell them: ``KEY=VALUE``, JSON, plain text.

The schema says how a text is to be read; there is no guessing, so ``value=1`` is one byte for an
argument of type bytes and a number for one of type int. Bytes are UTF-8, ``@FILE`` or ``0xHEX`` on
the command line, and base64 wherever JSON is.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from zmqnode.app.schema import Schema, Signature
from zmqnode.app.values import BadArgument, Type
from zmqnode.errors import Invalid, Refused

FILE_BYTES_MAX: Final = 16 << 20  # Of an @FILE; no chain takes seals as large as this.
_INT: Final = re.compile(r"-?[0-9]{1,20}")


def arguments_from_texts(signature: Signature, texts: Sequence[str]) -> dict[str, Any]:
    """The arguments of ``KEY=VALUE`` texts, typed by the signature.

    Raises:
        Invalid: ``usage``, a text without ``=`` or a key twice; ``file_missing``, no such @FILE.
        BadArgument: an unknown or missing key, or a value that cannot be read as its type.
    """
    types = {one.name: one.type for one in signature.arguments}
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise Invalid("usage", f"expected KEY=VALUE, not {text!r:.80}", hint=usage(signature))
        if key in found:
            raise Invalid("usage", f"{key} is given twice", hint=usage(signature))
        found[key] = value_from_text(types[key], value, key) if key in types else value
    signature.positional(found)
    return found


def usage(signature: Signature) -> str:
    """How a call is typed: ``put key=STR value=BYTES``; what may be left out is in brackets."""
    words = [signature.name]
    for one in signature.arguments:
        word = f"{one.name}={one.type.text.upper()}"
        words.append(word if one.required else f"[{word}]")
    return " ".join(words)


def value_from_text(wanted: Type, text: str, path: str) -> Any:
    """One value of the command line. Raises BadArgument, or Invalid ``file_missing``."""
    match wanted.kind:
        case "str":
            return wanted.check(text, path)
        case "int":
            if _INT.fullmatch(text) is None:
                raise BadArgument(path, "expected int, as decimal digits")
            return wanted.check(int(text), path)
        case "bool":
            if text not in ("true", "false"):
                raise BadArgument(path, "expected bool, true or false")
            return text == "true"
        case "bytes":
            return _bytes_from_text(text, path)
        case "optional":
            return None if text == "null" else value_from_text(wanted.of, text, path)
    return value_from_json(wanted, _json(text, path, wanted.text), path)


def _bytes_from_text(text: str, path: str) -> bytes:
    if text.startswith("0x"):
        try:
            # fromhex alone would take blanks, too.
            return binascii.unhexlify(text[2:])
        except ValueError:
            raise BadArgument(path, "expected an even number of hex digits after 0x") from None
    if text.startswith("@"):
        try:
            with Path(text[1:]).open("rb") as file:
                data = file.read(FILE_BYTES_MAX + 1)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "no file name"
            raise Invalid("file_missing", f"{path}: cannot read {text[1:]!r}: {why}") from None
        if len(data) > FILE_BYTES_MAX:
            raise BadArgument(path, f"the file has more than {FILE_BYTES_MAX} bytes")
        return data
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Arguments of the process that are no UTF-8 arrive as lone surrogates.
        raise BadArgument(path, "expected UTF-8, @FILE or 0xHEX") from None


def _json(text: str, path: str, expected: str) -> object:
    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(items)) != len(items):
            raise ValueError("one key twice")
        return dict(items)

    try:
        found: object = json.loads(text, object_pairs_hook=pairs)
    except RecursionError:
        raise BadArgument(path, f"expected {expected} as JSON: nested too deep") from None
    except ValueError as error:
        raise BadArgument(path, f"expected {expected} as JSON: {error}") from None
    return found


def value_from_json(wanted: Type, value: object, path: str) -> Any:
    """A decoded JSON value as its type, bytes from base64. Raises BadArgument with its path."""
    if wanted.kind == "bytes" and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except ValueError:
            raise BadArgument(path, "expected bytes as base64") from None
    if wanted.kind == "optional":
        return None if value is None else value_from_json(wanted.of, value, path)
    if wanted.kind == "list" and isinstance(value, list):
        return [value_from_json(wanted.of, one, f"{path}[{at}]") for at, one in enumerate(value)]
    if wanted.kind == "dict" and isinstance(value, dict):
        found = {
            key: value_from_json(wanted.of, one, f"{path}.{key}") for key, one in value.items()
        }
        return wanted.check(found, path)
    return wanted.check(value, path)


def arguments_from_json(signature: Signature, named: Mapping[str, object]) -> dict[str, Any]:
    """The arguments of a JSON object, bytes from base64. Raises BadArgument."""
    types = {one.name: one.type for one in signature.arguments}
    found = {
        key: value_from_json(types[key], value, key) if key in types else value
        for key, value in named.items()
    }
    signature.positional(found)
    return found


def operations_from_lines(schema: Schema, text: str) -> list[tuple[str, dict[str, Any]]]:
    """The operations of JSON lines ``{"name", "arguments"}``; empty lines are skipped.

    Raises:
        Refused: ``unknown_operation`` or ``bad_argument``; message and details name the line.
    """
    found: list[tuple[str, dict[str, Any]]] = []
    # Not splitlines: it also cuts at characters that JSON texts may hold.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            match _json(line, "", "an operation"):
                case {"name": str(name), **rest} if rest.keys() <= {"arguments"}:
                    arguments = rest.get("arguments", {})
                case _:
                    raise BadArgument("", 'expected {"name": .., "arguments": {..}}')
            if not isinstance(arguments, dict):
                raise BadArgument("arguments", "expected an object")
            found.append((name, arguments_from_json(schema.operation(name), arguments)))
        except Refused as error:
            message = f"line {number}: {error.message}"
            raise Refused(error.code, message, hint=error.hint, line=number) from None
    return found


def to_json(value: object) -> Any:
    """An argument, event or result for JSON: bytes become base64, all else stays."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (list, tuple)):
        return [to_json(one) for one in value]
    if isinstance(value, dict):
        return {key: to_json(one) for key, one in value.items()}
    return value


def to_text(value: object) -> str:
    """A value alone, for a person: bytes as UTF-8 or else 0xHEX, containers as JSON."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return f"0x{value.hex()}"
    if isinstance(value, str):
        return value
    return json.dumps(to_json(value), ensure_ascii=False)
