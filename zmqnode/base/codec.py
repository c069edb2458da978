"""Canonical MessagePack: every value has exactly one encoding, and every encoding one reading.

MessagePack lets one value be written in several ways (an int in one byte or nine, a map in any
order). A signed thing must not have two encodings, so reading is: decode, check, encode again,
compare.

Reading costs time in proportion to the bytes, whatever they are. Two things MessagePack would let a
few bytes buy are refused: an array's place in memory by its announced length alone, and containers
without number, each of which costs a hundred times what its byte does.

A *message* is a frozen dataclass registered with :func:`message`; on the wire it is the array
``[tag, version, field, ..]`` in the order of its fields. Field types are checked strictly: ``True``
is no int, text is no bytes, hashes have 32 bytes, an address is one.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgpack

from zmqnode.base.hashes import Hash
from zmqnode.base.keys import is_address
from zmqnode.errors import Malformed

T = TypeVar("T")

DEPTH_MAX: Final = 24  # Nested containers in one value; messages need 8, applications the rest.
# Lists and maps in one value, the outermost included; one more for every 32 bytes. A voteproof has
# one for 75, an operation two for 5.
CONTAINERS_MAX: Final = 1 << 16
CONTAINER_BYTES: Final = 32
INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**64 - 1

_WALKED_BYTES_MIN: Final = 256  # Shorter ones cannot announce enough to matter.

# What msgpack may raise for bad input; all mean the same to us. (The fallback in pure Python adds
# RecursionError to the families that the extension raises.)
_READ_ERRORS: Final = (
    msgpack.exceptions.UnpackException,
    ValueError,
    TypeError,
    OverflowError,
    RecursionError,
)


def pack(value: object) -> bytes:
    """The encoding of a value of nil, bool, int, bytes, str, list and tuple, which is canonical.

    Fast, so it does not look: dicts are written in the order they have, floats are written. Values
    from an application or a person go through :func:`pack_sorted`.

    Raises:
        TypeError, ValueError, OverflowError: a type that MessagePack does not have, an int beyond
            64 bits, a surrogate in a str.
    """
    # A packer of its own costs 0.1 us. A shared one holds half a value while the garbage collector
    # runs finalizers or another thread packs.
    return typing.cast(bytes, msgpack.Packer().pack(value))


def pack_sorted(value: object) -> bytes:
    """The canonical encoding of any value that has one: keys sorted, types and bounds checked.

    Raises:
        TypeError, ValueError, OverflowError: the value is not nil, bool, int of 64 bits, bytes,
            str, list, tuple or dict with str keys; deeper or of more containers than can be read.
    """
    ordered = _sorted(value, 0)
    data = pack(ordered)
    if len(data) > CONTAINERS_MAX and _containers(ordered) > containers_allowed(len(data)):
        raise ValueError("too many lists and maps")
    return data


def _sorted(value: object, depth: int) -> object:
    kind = type(value)
    if kind is int or kind is str or kind is bytes or kind is bool or value is None:
        return value
    if depth >= DEPTH_MAX:
        raise ValueError("nested too deep")
    if isinstance(value, (list, tuple)):
        return [_sorted(item, depth + 1) for item in value]
    if isinstance(value, dict):
        if not all(type(key) is str for key in value):
            raise TypeError("dict keys must be str")
        keys = sorted(value, key=lambda key: key.encode())
        return {key: _sorted(value[key], depth + 1) for key in keys}
    raise TypeError(f"cannot be encoded: {kind.__name__}")


def _containers(value: object) -> int:
    """Lists and dicts in a value."""
    if isinstance(value, list):
        return 1 + sum(_containers(item) for item in value)
    if isinstance(value, dict):
        return 1 + sum(_containers(item) for item in value.values())
    return 0


def containers_allowed(size: int) -> int:
    """How many lists and maps a value of ``size`` bytes may have."""
    return CONTAINERS_MAX + size // CONTAINER_BYTES


def unpack(data: bytes, *, containers_max: int | None = None) -> Any:
    """The value whose canonical encoding is ``data``; arrays become lists.

    Raises:
        Malformed: not MessagePack, a second encoding of some value, floats, extension types, text
            that is no UTF-8, dict keys unsorted or not text, nested deeper than ``DEPTH_MAX``, more
            than ``containers_max`` lists and maps (None: :func:`containers_allowed`).
    """
    try:
        if len(data) < _WALKED_BYTES_MIN:
            value = msgpack.unpackb(data, strict_map_key=True, ext_hook=_refuse_ext)
        else:
            value = _unpack_walked(data, containers_max)
    except Malformed:
        raise
    except _READ_ERRORS as error:
        raise Malformed(f"no canonical MessagePack: {type(error).__name__}") from None
    _check(value, 0)
    if pack(value) != data:
        raise Malformed("not the canonical encoding")
    return value


def _unpack_walked(data: bytes, containers_max: int | None) -> object:
    """As ``msgpack.unpackb``, at a cost in proportion to the bytes.

    msgpack makes room for a list when it reads its length: 4 kB of nested headers that each
    announce 4,000 items take 50 ms. So the bytes are walked first, which builds nothing and finds
    that the items are not there.
    """
    walker = msgpack.Unpacker(max_buffer_size=len(data))
    walker.feed(data)
    walker.skip()
    if len(data) <= CONTAINERS_MAX:
        return msgpack.unpackb(data, strict_map_key=True, ext_hook=_refuse_ext)
    count = _Count(containers_allowed(len(data)) if containers_max is None else containers_max)
    return msgpack.unpackb(
        data, strict_map_key=True, ext_hook=_refuse_ext, list_hook=count, object_hook=count
    )


class _Count:
    """Counts containers as they are read, and stops at too many."""

    __slots__ = ("left",)

    def __init__(self, most: int) -> None:
        self.left = most

    def __call__(self, container: object) -> object:
        self.left -= 1
        if self.left < 0:
            raise Malformed("too many lists and maps")
        return container


def _refuse_ext(code: int, data: bytes) -> object:
    raise Malformed("extension types are not used")


_LEAVES = frozenset({int, str, bytes, bool, type(None)})


def _check(value: object, depth: int) -> None:
    kind = type(value)
    if kind in _LEAVES:
        return
    if depth >= DEPTH_MAX:
        raise Malformed("nested too deep")
    if kind is list:
        _check_items(typing.cast("list[object]", value), depth + 1)
        return
    if kind is dict:
        before: bytes | None = None
        for key, item in typing.cast("dict[object, object]", value).items():
            if type(key) is not str:
                raise Malformed("dict keys must be text")
            here = key.encode()
            if before is not None and here <= before:
                raise Malformed("dict keys out of order")
            before = here
            _check(item, depth + 1)
        return
    raise Malformed(f"{kind.__name__} is not used")


def _check_items(items: list[object], depth: int) -> None:
    """As :func:`_check` of each; seals are lists of lists, so those are not handed to it."""
    for item in items:
        kind = type(item)
        if kind in _LEAVES:
            continue
        if kind is list and depth < DEPTH_MAX:
            _check_items(typing.cast("list[object]", item), depth + 1)
        else:
            _check(item, depth)


# Messages: dataclasses with a tag.

_by_tag: dict[tuple[str, int], type] = {}
_tags: dict[type, tuple[str, int]] = {}
_readers: dict[type, Callable[[object], Any]] = {}
_writers: dict[type, Callable[[Any], list[object]]] = {}


def message(tag: str, *, version: int = 1) -> Callable[[type[T]], type[T]]:
    """Register a frozen dataclass as a wire message; ``tag`` and ``version`` lead its encoding."""

    def register(cls: type[T]) -> type[T]:
        assert (tag, version) not in _by_tag, tag
        _by_tag[tag, version] = cls
        _tags[cls] = (tag, version)
        return cls

    return register


def registered() -> dict[tuple[str, int], type]:
    """Tag and version -> class, of all messages registered so far."""
    return dict(_by_tag)


def encode(value: object) -> bytes:
    """The wire bytes of a message: ``[tag, version, field, ..]``."""
    tag, version = _tags[type(value)]
    return pack([tag, version, *to_wire(value)])


def decode(data: bytes) -> Any:
    """The message of any registered kind whose encoding is ``data``; raises Malformed."""
    wire = unpack(data)
    if not isinstance(wire, list) or len(wire) < 2:
        raise Malformed("not a message")
    tag, version = wire[0], wire[1]
    if type(tag) is not str or type(version) is not int:
        raise Malformed("not a message")
    cls = _by_tag.get((tag, version))
    if cls is None:
        raise Malformed(f"unknown message {tag[:40]!r} version {version}")
    return from_wire(cls, wire[2:])


def decode_as(cls: type[T], data: bytes) -> T:
    """The message of class ``cls`` whose encoding is ``data``; raises Malformed."""
    value = decode(data)
    if type(value) is not cls:
        raise Malformed(f"expected {_tags[cls][0]}")
    return value


def to_wire(value: object) -> list[object]:
    """The fields of a dataclass, in order, ready to nest in another message."""
    cls = type(value)
    writer = _writers.get(cls)
    if writer is None:
        writer = _writers[cls] = _writer_of(cls)
    return writer(value)


def from_wire(cls: type[T], wire: object) -> T:
    """The dataclass ``cls`` from its list of fields; raises Malformed."""
    reader = _readers.get(cls)
    if reader is None:
        reader = _readers[cls] = _reader_of(cls)
    return reader(wire)  # type: ignore[no-any-return]


def _writer_of(cls: type) -> Callable[[Any], list[object]]:
    hints = typing.get_type_hints(cls)
    plain = {f.name: _writer_of_type(hints[f.name]) for f in dataclasses.fields(cls)}
    if all(write is None for write in plain.values()):
        names = tuple(plain)
        return lambda value: [getattr(value, name) for name in names]
    items = tuple(plain.items())

    def write_fields(value: object) -> list[object]:
        return [
            getattr(value, name) if write is None else write(getattr(value, name))
            for name, write in items
        ]

    return write_fields


def _writer_of_type(hint: Any) -> Callable[[Any], object] | None:
    """How one field is written; None: as it is."""
    if dataclasses.is_dataclass(hint):
        return to_wire
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = next(_writer_of_type(a) for a in arguments if a is not type(None))
        return None if inner is None else (lambda v: None if v is None else inner(v))
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            each = _writer_of_type(arguments[0])
            return list if each is None else (lambda v: [each(item) for item in v])
        parts = [_writer_of_type(a) for a in arguments]
        if all(part is None for part in parts):
            return list
        return lambda v: [x if w is None else w(x) for w, x in zip(parts, v, strict=True)]
    if isinstance(hint, type) and issubclass(hint, enum.IntEnum):
        return int
    return None


def _reader_of(cls: type) -> Callable[[object], Any]:
    hints = typing.get_type_hints(cls)
    fields = [(f.name, _reader_of_type(hints[f.name])) for f in dataclasses.fields(cls)]
    name_of = cls.__name__

    def read(wire: object) -> Any:
        if type(wire) is not list or len(wire) != len(fields):
            raise Malformed(f"{name_of}: expected {len(fields)} fields")
        values = {}
        for (name, reader), item in zip(fields, wire, strict=True):
            try:
                values[name] = reader(item)
            except Malformed as error:
                raise Malformed(f"{name_of}.{name}: {error}") from None
        try:
            return cls(**values)
        except ValueError as error:
            raise Malformed(f"{name_of}: {error}") from None

    return read


def _exactly(kind: type, label: str) -> Callable[[object], Any]:
    def read(item: object) -> Any:
        if type(item) is not kind:
            raise Malformed(f"expected {label}")
        return item

    return read


def _sized(size: int, label: str) -> Callable[[object], Any]:
    def read(item: object) -> Any:
        if type(item) is not bytes or len(item) != size:
            raise Malformed(f"expected {label} of {size} bytes")
        return item

    return read


def _read_address(item: object) -> Any:
    if type(item) is not str or not is_address(item):
        raise Malformed("expected an address")
    return item


_SIZES: dict[str, int] = {"Hash": 32, "PublicKey": 32, "Signature": 64}


def _reader_of_type(hint: Any) -> Callable[[object], Any]:
    if isinstance(hint, typing.NewType):
        name = hint.__name__
        if name == "Address":
            return _read_address
        if name in _SIZES:
            return _sized(_SIZES[name], name)
        return _reader_of_type(hint.__supertype__)
    if dataclasses.is_dataclass(hint):
        return lambda item: from_wire(typing.cast(type, hint), item)
    if hint in (int, str, bytes, bool):
        return _exactly(hint, hint.__name__)
    if hint in (object, Any):
        return lambda item: item
    if isinstance(hint, type) and issubclass(hint, enum.IntEnum):
        return _enum_reader(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        readers = [_reader_of_type(a) for a in arguments if a is not type(None)]
        assert len(readers) == 1, hint
        return lambda item: None if item is None else readers[0](item)
    if origin is tuple:
        return _tuple_reader(arguments)
    if hint is list or origin is list:
        return _exactly(list, "list")
    if origin is dict:
        return _exactly(dict, "map")
    raise TypeError(f"no reader for {hint!r}")


def _enum_reader(kind: type[enum.IntEnum]) -> Callable[[object], Any]:
    known = {int(member): member for member in kind}

    def read(item: object) -> Any:
        if type(item) is not int or item not in known:
            raise Malformed(f"no {kind.__name__}")
        return known[item]

    return read


def _tuple_reader(arguments: tuple[Any, ...]) -> Callable[[object], Any]:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        each = _reader_of_type(arguments[0])

        def read_many(item: object) -> Any:
            if type(item) is not list:
                raise Malformed("expected a list")
            return tuple(each(part) for part in item)

        return read_many
    parts = [_reader_of_type(a) for a in arguments]

    def read_fixed(item: object) -> Any:
        if type(item) is not list or len(item) != len(parts):
            raise Malformed(f"expected a list of {len(parts)}")
        return tuple(reader(part) for reader, part in zip(parts, item, strict=True))

    return read_fixed


__all__ = [
    "CONTAINERS_MAX",
    "CONTAINER_BYTES",
    "DEPTH_MAX",
    "INT_MAX",
    "INT_MIN",
    "Hash",
    "Malformed",
    "containers_allowed",
    "decode",
    "decode_as",
    "encode",
    "from_wire",
    "message",
    "pack",
    "pack_sorted",
    "registered",
    "to_wire",
    "unpack",
]
