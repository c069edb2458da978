"""The codec: any bytes have one reading or none, and reading them costs what they are long."""

from __future__ import annotations

import struct
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zmqnode.base.codec import (
    CONTAINERS_MAX,
    DEPTH_MAX,
    INT_MAX,
    INT_MIN,
    containers_allowed,
    decode,
    pack,
    pack_sorted,
    unpack,
)
from zmqnode.errors import Malformed

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
leaves = st.none() | st.booleans() | st.integers(INT_MIN, INT_MAX) | st.binary(max_size=40) | texts
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=25,
)


# A twin of the writer that knows every width MessagePack has, from its specification alone.


def ints(value: int) -> Iterator[bytes]:
    """All encodings of an int, the shortest first."""
    if 0 <= value < 128:
        yield bytes([value])
    if -32 <= value < 0:
        yield struct.pack(">b", value)
    for code, form in ((0xCC, "B"), (0xCD, "H"), (0xCE, "I"), (0xCF, "Q")):
        if 0 <= value < 1 << 8 * struct.calcsize(form):
            yield bytes([code]) + struct.pack(f">{form}", value)
    for code, form in ((0xD0, "b"), (0xD1, "h"), (0xD2, "i"), (0xD3, "q")):
        if abs(2 * value + 1) < 1 << 8 * struct.calcsize(form):
            yield bytes([code]) + struct.pack(f">{form}", value)


def heads(count: int, fixed: tuple[int, int] | None, codes: dict[int, str]) -> Iterator[bytes]:
    """All headers of a length: within one byte (base, limit), then each code of a wider form."""
    if fixed is not None and count < fixed[1]:
        yield bytes([fixed[0] | count])
    for code, form in codes.items():
        if count < 1 << 8 * struct.calcsize(form):
            yield bytes([code]) + struct.pack(f">{form}", count)


def encodings(value: Any) -> list[bytes]:
    """The canonical encoding of a value, then others that differ in one width."""
    match value:
        case None:
            return [b"\xc0"]
        case bool():
            return [b"\xc3" if value else b"\xc2"]
        case int():
            return list(ints(value))
        case str():
            data = value.encode()
            codes = {0xD9: "B", 0xDA: "H", 0xDB: "I"}
            return [head + data for head in heads(len(data), (0xA0, 32), codes)]
        case bytes():
            codes = {0xC4: "B", 0xC5: "H", 0xC6: "I"}
            return [head + value for head in heads(len(value), None, codes)]
        case list():
            found = list(heads(len(value), (0x90, 16), {0xDC: "H", 0xDD: "I"}))
            return _joined(found, [encodings(item) for item in value])
        case dict():
            found = list(heads(len(value), (0x80, 16), {0xDE: "H", 0xDF: "I"}))
            ordered = sorted(value.items(), key=lambda entry: entry[0].encode())
            return _joined(found, [encodings(part) for entry in ordered for part in entry])
    raise AssertionError(value)


def _joined(found: list[bytes], parts: list[list[bytes]]) -> list[bytes]:
    body = b"".join(part[0] for part in parts)
    all_of = [head + body for head in found]
    for at, part in enumerate(parts):
        if len(part) > 1:
            before = b"".join(one[0] for one in parts[:at])
            after = b"".join(one[0] for one in parts[at + 1 :])
            all_of += [found[0] + before + other + after for other in part[1:]]
    return all_of


@given(values)
def test_a_value_has_one_encoding_that_can_be_read(value: Any) -> None:
    """Goal: one reading. Method: a writer of our own in the test writes every other width."""
    canonical, *others = encodings(value)
    assert pack_sorted(value) == canonical
    assert unpack(canonical) == value
    for other in others:
        with pytest.raises(Malformed):
            unpack(other)


@pytest.mark.parametrize("edge", [0, 1, 31, 32, 127, 128, 255, 256, 2**16 - 1, 2**16, 2**31])
def test_ints_at_the_edges_of_their_widths(edge: int) -> None:
    for value in (edge, -edge, edge - 1, -edge - 1, edge * 2**32, -edge * 2**32):
        canonical, *others = encodings(value)
        assert (pack(value), unpack(canonical)) == (canonical, value)
        for other in others:
            with pytest.raises(Malformed):
                unpack(other)


@pytest.mark.parametrize("length", [15, 16, 31, 32, 255, 256, 2**16 - 1, 2**16])
def test_lengths_at_the_edges_of_their_widths(length: int) -> None:
    entries = min(length, 300)
    for value in (
        "x" * length,
        b"x" * length,
        [None] * length,
        {f"{number:03}": 0 for number in range(entries)},
    ):
        canonical, *others = encodings(value)
        assert (pack(value), unpack(canonical)) == (canonical, value)
        for other in others[:4]:
            with pytest.raises(Malformed):
                unpack(other)


def bent(data: bytes, at: int, bit: int, cut: int, extra: bytes) -> bytes:
    """The bytes with one bit turned, an end cut off and something put behind."""
    changed = bytearray(data)
    if changed:
        changed[at % len(changed)] ^= 1 << bit
    return bytes(changed[: len(changed) - cut]) + extra


@given(
    st.binary(max_size=600)
    | values.map(pack_sorted)
    | st.builds(
        bent,
        values.map(pack_sorted),
        st.integers(0, 2**16),
        st.integers(0, 7),
        st.integers(0, 2),
        st.binary(max_size=2),
    )
)
@settings(max_examples=300)
def test_any_bytes_have_one_reading_or_none(data: bytes) -> None:
    """Goal: no crash, no second encoding. Method: junk, true values, and nearly true ones."""
    try:
        value = unpack(data)
    except Malformed:
        return
    assert pack(value) == data
    assert pack_sorted(value) == data
    assert encodings(value)[0] == data


FOREIGN = {
    "nothing": b"",
    "two values": b"\x01\x01",
    "never used": b"\xc1",
    "float 32": b"\xca" + bytes(4),
    "float 64": b"\xcb" + bytes(8),
    "float in a list": b"\x91\xcb" + bytes(8),
    "float in a map": b"\x81\xa1a\xcb" + bytes(8),
    "float as a key": b"\x81\xcb" + bytes(8) + b"\xc0",
    "timestamp 32": b"\xd6\xff" + bytes(4),
    "timestamp 64": b"\xd7\xff" + bytes(8),
    "timestamp 96": b"\xc7\x0c\xff" + bytes(12),
    "timestamp out of range": b"\xd7\xff" + b"\xff" * 8,
    "extension 1": b"\xd4\x01\x00",
    "extension 16": b"\xd8\x05" + bytes(16),
    "extension of no bytes": b"\xc7\x00\x01",
    "extension as a key": b"\x81\xd4\x01\x00\xc0",
    "text that is no UTF-8": b"\xa1\xff",
    "overlong text": b"\xa2\xc0\x80",
    "lone surrogate": b"\xa3\xed\xa0\x80",
    "pair of surrogates": b"\xa6\xed\xa0\x80\xed\xb0\x80",
    "beyond Unicode": b"\xa4\xf4\x90\x80\x80",
    "key that is no UTF-8": b"\x81\xa1\xff\xc0",
    "bytes as a key": b"\x81\xc4\x01a\xc0",
    "int as a key": b"\x81\x01\xc0",
    "nil as a key": b"\x81\xc0\xc0",
    "bool as a key": b"\x81\xc3\xc0",
    "list as a key": b"\x81\x90\xc0",
    "map as a key": b"\x81\x80\xc0",
    "key twice": b"\x82\xa1a\x01\xa1a\x01",
    "key twice, values differ": b"\x82\xa1a\x01\xa1a\x02",
    "keys out of order": b"\x82\xa1b\x01\xa1a\x01",
    "keys by length": b"\x82\xa1b\x01\xa2aa\x01",
    "keys of text and bytes": b"\x82\xa1a\x01\xc4\x01b\x01",
    "list cut": b"\x92\x01",
    "map cut": b"\x81\xa1a",
    "text cut": b"\xa2a",
    "bytes cut": b"\xc4\x02a",
    "length cut": b"\xdd\x00\x00",
    "int cut": b"\xcf\x00",
    "bytes of 4 GB": b"\xc6\xff\xff\xff\xff",
    "text of 4 GB": b"\xdb\xff\xff\xff\xff",
    "list of 4 G": b"\xdd\xff\xff\xff\xff",
    "map of 4 G": b"\xdf\xff\xff\xff\xff",
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("size", ["short", "long"])
def test_what_is_not_used_is_malformed(name: str, size: str) -> None:
    """Short and long bytes are read on ways of their own."""
    data = FOREIGN[name]
    if size == "long":
        filler = pack(b"x" * 300)
        data = b"\x92" + filler + data
    with pytest.raises(Malformed):
        unpack(data)
    with pytest.raises(Malformed):
        decode(data)


def nested(depth: int, *, maps: bool = False) -> Any:
    value: Any = {} if maps else []
    for _ in range(depth - 1):
        value = {"a": value} if maps else [value]
    return value


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("filler", [b"", b"x" * 300])
def test_depth_has_a_bound_for_reader_and_writer(maps: bool, filler: bytes) -> None:
    most, more = ([filler, nested(depth, maps=maps)] for depth in (DEPTH_MAX - 1, DEPTH_MAX))
    assert unpack(pack_sorted(most)) == most
    with pytest.raises(Malformed):
        unpack(pack(more))
    with pytest.raises(ValueError, match="deep"):
        pack_sorted(more)


def test_a_list_that_holds_itself_is_too_deep() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="deep"):
        pack_sorted(loop)


@pytest.mark.parametrize("one", [b"\x90", b"\x80"])
def test_the_number_of_containers_has_a_bound(one: bytes) -> None:
    """65,536 and one more for every 32 bytes, the outermost among them."""

    def holding(count: int) -> bytes:
        return msgpack.Packer().pack_array_header(count) + one * count

    most = max(count for count in range(1 << 17) if count < containers_allowed(count + 5))
    assert most == 67_649
    assert len(unpack(holding(most))) == most
    with pytest.raises(Malformed, match="too many"):
        unpack(holding(most + 1))
    assert len(unpack(pack([None] * most * 2))) == most * 2


def test_the_writer_of_foreign_values_has_the_readers_bound() -> None:
    most: list[Any] = [[] for _ in range(67_649)]
    assert unpack(pack_sorted(most)) == most
    most[0] = {"a": {}}
    with pytest.raises(ValueError, match="too many"):
        pack_sorted(most)


def test_the_largest_answer_of_voteproofs_can_be_read() -> None:
    """10 MB of pairs of a short address and its signature, as a member who missed all may get."""
    pairs = [["n0sas", bytes(64)] for _ in range(10 * 1024 * 1024 // 73)]
    assert len(pairs) > CONTAINERS_MAX
    assert len(unpack(pack(pairs))) == len(pairs)


def announcing(levels: int, count: int, size: int) -> bytes:
    """Lists in lists that each announce ``count`` items, and hardly any of them there."""
    head = (b"\xdd" + struct.pack(">I", count)) * levels
    return head + b"\xc0" * (size - len(head))


@pytest.mark.parametrize(
    "data",
    [
        announcing(50, 250, 255),
        announcing(200, 1023, 1024),
        announcing(800, 4095, 4096),
        announcing(1000, 2**18 - 1, 2**18),
        announcing(1000, 2**31, 2**18),
        b"\xdc\xff\xff" * 20_000,
        b"\x91" * 100_000,
        b"\x81\xa1a" * 50_000,
    ],
    ids=lambda data: f"{data[:2].hex()}-{len(data)}",
)
def test_memory_is_for_bytes_not_for_announcements(data: bytes) -> None:
    """Goal: 4 kB cannot make a node hold 26 MB (50 ms). Method: peak of what reading allocates."""
    tracemalloc.start()
    try:
        with pytest.raises(Malformed):
            unpack(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * len(data) + 200_000


@pytest.mark.parametrize("junk", [b"\x90", b"\x80", b"\x91\x90", b"\x91" * 19 + b"\x90"])
def test_memory_of_tiny_containers_is_bounded(junk: bytes) -> None:
    """Goal: 1 MB of empty lists (58 MB, 0.4 s) is not built first and judged later."""
    count = (1 << 20) // len(junk)
    data = b"\xdd" + struct.pack(">I", count) + junk * count
    tracemalloc.start()
    try:
        with pytest.raises(Malformed):
            unpack(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 18 << 20


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        [1.0],
        1j,
        {1: 2},
        {b"a": 1},
        {None: 1},
        {1},
        bytearray(b"x"),
        memoryview(b"x"),
        object(),
        msgpack.Timestamp(1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_foreign_values_are_refused_by_their_writer(value: object) -> None:
    with pytest.raises(TypeError):
        pack_sorted(value)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 2**200, [2**64], {"a": 2**64}])
def test_ints_beyond_64_bits_cannot_be_written(value: object) -> None:
    with pytest.raises(OverflowError):
        pack_sorted(value)
    with pytest.raises(OverflowError):
        pack(value)


@pytest.mark.parametrize("value", ["\ud800", {"\ud800": 1}, ["a\udfffb"]])
def test_surrogates_cannot_be_written(value: object) -> None:
    with pytest.raises(UnicodeEncodeError):
        pack_sorted(value)


def test_bools_and_ints_stay_apart() -> None:
    assert [type(one) for one in unpack(pack([True, 1, False, 0]))] == [bool, int, bool, int]


def test_dicts_are_written_in_the_byte_order_of_their_keys() -> None:
    """UTF-8 keeps the order of code points, UTF-16 would not: U+FF5E before U+1F600."""
    keys = ["", "a", "aa", "b", "é", "\uff5e", "\U0001f600", "\x00"]
    written = pack_sorted(dict.fromkeys(reversed(keys)))
    assert list(unpack(written)) == sorted(keys, key=str.encode)


def test_a_failed_write_leaves_nothing_behind() -> None:
    for _ in range(3):
        with pytest.raises(OverflowError):
            pack(["some", "thing", 2**64])
        assert pack([1]) == b"\x91\x01"


def test_writing_within_writing_and_in_threads_does_not_mix() -> None:
    """Goal: no half value in another's bytes. Method: write while a value is being written."""

    class Nosy(dict[str, int]):
        def items(self) -> Any:  # Called by msgpack in the middle of its work.
            assert pack(["inner"]) == b"\x91\xa5inner"
            return super().items()

    wrong: list[bytes] = []

    def write() -> None:
        for _ in range(200):
            if (data := pack(["outer", Nosy(a=1)])) != b"\x92\xa5outer\x81\xa1a\x01":
                wrong.append(data)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
