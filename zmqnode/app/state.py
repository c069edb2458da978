"""The state as an application sees it: a read-only view, and an overlay that can be undone.

Theory. Below lies a snapshot, given as two functions: ``read`` (one key) and ``scan`` (a prefix, in
byte order). An execution never changes it: what a block writes is gathered in ``overlay``, what
the running operation writes in ``pending`` above it. An operation that succeeds is merged, one
that raises is undone by clearing ``pending``: one dict, no log, no copy.

Keys are str to the application and ``b"a"`` and their UTF-8 bytes below; other prefixes are the
node's own and cannot be named. Values are canonical msgpack bytes; they are decoded at every
read, so changing a list that was read changes nothing that is stored.

A failing ``read`` or ``scan`` is this machine's fault, not the operation's: other nodes would not
see it. It leaves as ``HostFault``, a BaseException, so that an application's ``except Exception``
cannot turn it into a result; should even that be swallowed, ``fault`` remembers it.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, TypeAlias

import msgpack

from zmqnode.app.values import plain
from zmqnode.base.codec import pack

KEY_PREFIX: Final = b"a"
STATE_KEY_BYTES_MAX: Final = 400  # Of the UTF-8 text; below what the state tree takes (500).
STATE_VALUE_BYTES_MAX: Final = 1 << 20  # Of the encoded value; as much as a seal may carry.

Read: TypeAlias = Callable[[bytes], bytes | None]
Scan: TypeAlias = Callable[[bytes], Iterator[tuple[bytes, bytes]]]

_RAW_KEY_MAX: Final = STATE_KEY_BYTES_MAX + len(KEY_PREFIX)
_BIN8: Final = [b"\xc4" + bytes((size,)) for size in range(256)]
_REQUIRED: Final = object()


class HostFault(BaseException):
    """The snapshot below could not be read; ``cause`` is what its reader raised."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(f"the state could not be read: {type(cause).__name__}")
        self.cause = cause


def raw_key(key: str) -> bytes:
    """The stored key of an application's key.

    Raises:
        TypeError: it is no str.
        ValueError: longer than 400 bytes in UTF-8, or a lone surrogate.
    """
    if not isinstance(key, str):
        raise TypeError(f"a key must be str, not {type(key).__name__}")
    raw = KEY_PREFIX + key.encode()
    if len(raw) > _RAW_KEY_MAX:
        raise ValueError(f"a key has at most {STATE_KEY_BYTES_MAX} bytes")
    return raw


def pack_value(value: object) -> bytes:
    """The stored bytes of a value; TypeError and ValueError as ``plain``, or more than 1 MiB."""
    if type(value) is bytes and len(value) < 256:
        return _BIN8[len(value)] + value  # The common case, several times faster than pack.
    data = pack(plain(value))
    if len(data) > STATE_VALUE_BYTES_MAX:
        raise ValueError(f"a value has at most {STATE_VALUE_BYTES_MAX} bytes")
    return data


def merge_scan(
    changes: Mapping[bytes, bytes | None], below: Iterable[tuple[bytes, bytes]], prefix: bytes
) -> Iterator[tuple[bytes, bytes]]:
    """The entries under a prefix, changes (None: deleted) over those below, in byte order.

    Args:
        changes: of any keys; those without the prefix are ignored.
        below: entries with the prefix, in byte order.
    """
    keys = sorted(key for key in changes if key.startswith(prefix))
    return _merged([(key, changes[key]) for key in keys], below)


def _merged(
    above: Iterable[tuple[bytes, bytes | None]], below: Iterable[tuple[bytes, bytes]]
) -> Iterator[tuple[bytes, bytes]]:
    lower = iter(below)
    low = next(lower, None)
    for key, value in above:
        while low is not None and low[0] < key:
            yield low
            low = next(lower, None)
        if low is not None and low[0] == key:
            low = next(lower, None)
        if value is not None:
            yield key, value
    while low is not None:
        yield low
        low = next(lower, None)


class View:
    """Read-only state, what a query gets.

    Attributes:
        reads: the stored keys that were looked up, in order, each once: what a proof covers.
        scanned: whether ``keys`` was called; no proof covers a scan.
    """

    __slots__ = ("_read", "_scan", "reads", "scanned")

    def __init__(self, read: Read, scan: Scan) -> None:
        self._read = read
        self._scan = scan
        self.reads: dict[bytes, None] = {}
        self.scanned = False

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or the default."""
        data = self._find(raw_key(key))
        return default if data is None else self._unpacked(data)

    def __getitem__(self, key: str) -> Any:
        data = self._find(raw_key(key))
        if data is None:
            raise KeyError(key)
        return self._unpacked(data)

    def __contains__(self, key: str) -> bool:
        return self._find(raw_key(key)) is not None

    # Without this, Python would try the keys 0, 1, .. and report a wrong type.
    __iter__ = None

    def keys(self, prefix: str = "", limit: int | None = None) -> list[str]:
        """The keys that begin with the prefix, in byte order of their UTF-8; at most ``limit``.

        A list, not an iterator: deleting while walking over it is safe.
        """
        if not isinstance(prefix, str):
            raise TypeError(f"a prefix must be str, not {type(prefix).__name__}")
        entries = self._walk(KEY_PREFIX + prefix.encode())
        return [raw[1:].decode() for raw, _ in islice(entries, limit)]

    def _find(self, raw: bytes) -> bytes | None:
        self.reads[raw] = None
        return self._below(raw)

    def _walk(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        self.scanned = True
        return self._scanned(prefix)

    def _below(self, raw: bytes) -> bytes | None:
        try:
            return self._read(raw)
        except Exception as error:  # whatever the reader raises is the host's
            raise self._fault_of(error) from error

    def _scanned(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        try:
            yield from self._scan(prefix)
        except Exception as error:  # whatever the scan raises is the host's
            raise self._fault_of(error) from error

    def _unpacked(self, data: bytes) -> Any:
        try:
            # Not codec.unpack: what this node encoded itself needs no second proof at every read.
            return msgpack.unpackb(data, raw=False)
        except Exception as error:  # pack_value never wrote these bytes
            raise self._fault_of(error) from error

    def _fault_of(self, error: Exception) -> HostFault:
        return HostFault(error)


class State(View):
    """The state of one execution: ``pending`` of the running operation over ``overlay``.

    Attributes:
        overlay: stored key to stored value, None for deleted, of the operations that succeeded.
        pending: the same of the running operation.
        fault: the last HostFault, whoever caught it; the execution is void then.
    """

    __slots__ = ("_sorted", "fault", "overlay", "pending")

    def __init__(self, read: Read, scan: Scan) -> None:
        super().__init__(read, scan)
        self.overlay: dict[bytes, bytes | None] = {}
        self.pending: dict[bytes, bytes | None] = {}
        self.fault: HostFault | None = None
        self._sorted: list[bytes] = []

    def __setitem__(self, key: str, value: Any) -> None:
        # raw_key and pack_value spelled out for the common case: this is the hottest line.
        raw = b"a" + key.encode() if type(key) is str else raw_key(key)
        if len(raw) > _RAW_KEY_MAX:
            raise ValueError(f"a key has at most {STATE_KEY_BYTES_MAX} bytes")
        if type(value) is bytes and len(value) < 256:
            self.pending[raw] = _BIN8[len(value)] + value
        else:
            self.pending[raw] = pack_value(value)

    def __delitem__(self, key: str) -> None:
        raw = raw_key(key)
        if self._find(raw) is None:
            raise KeyError(key)
        self.pending[raw] = None

    def setdefault(self, key: str, default: Any) -> Any:
        """The value of a key, stored first if it is missing."""
        data = self._find(raw_key(key))
        if data is None:
            self[key] = default
            data = self.pending[raw_key(key)]
            assert data is not None
        return self._unpacked(data)

    def pop(self, key: str, default: Any = _REQUIRED) -> Any:
        """Delete a key and return its value; missing: the default, or KeyError without one."""
        raw = raw_key(key)
        data = self._find(raw)
        if data is not None:
            value = self._unpacked(data)
            self.pending[raw] = None
            return value
        if default is _REQUIRED:
            raise KeyError(key)
        return default

    def merge(self) -> None:
        """Keep what the operation wrote."""
        self.overlay.update(self.pending)
        self.pending.clear()

    def _find(self, raw: bytes) -> bytes | None:
        if raw in self.pending:
            return self.pending[raw]
        if raw in self.overlay:
            return self.overlay[raw]
        return self._below(raw)

    def _fault_of(self, error: Exception) -> HostFault:
        self.fault = HostFault(error)
        return self.fault

    def _walk(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        block = self._sorted_overlay()
        ours: dict[bytes, bytes | None] = {}
        for index in range(bisect_left(block, prefix), len(block)):
            if not block[index].startswith(prefix):
                break
            ours[block[index]] = self.overlay[block[index]]
        ours.update(item for item in self.pending.items() if item[0].startswith(prefix))
        return _merged(sorted(ours.items()), self._scanned(prefix))

    def _sorted_overlay(self) -> list[bytes]:
        # Keys are only ever added (a deleted one stays, as None), the newest at the end: sorting
        # a sorted list with a short tail is nearly linear.
        added = len(self.overlay) - len(self._sorted)
        if added:
            self._sorted.extend(islice(reversed(self.overlay), added))
            self._sorted.sort()
        return self._sorted
