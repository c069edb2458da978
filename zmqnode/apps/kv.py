"""The built-in application ``kv``: named values, which anybody may write.

It serves the testnet, the benchmarks and as the first example of an application.
"""

from typing import Final

from zmqnode.app import App, Context, Reject, View

KEYS_MAX: Final = 10_000  # Of one answer of ``keys``.
VALUE_BYTES_MAX: Final = 1_000_000  # What ``append`` may grow a value to.

app = App("kv", version=1)


@app.op
def put(ctx: Context, key: str, value: bytes) -> None:
    """Set a key to a value."""
    ctx.state[key] = value


@app.op
def append(ctx: Context, key: str, value: bytes) -> None:
    """Add to the end of a key's value; a missing key is empty."""
    whole = ctx.state.get(key, b"") + value
    if len(whole) > VALUE_BYTES_MAX:
        raise Reject(f"value would exceed {VALUE_BYTES_MAX} bytes")
    ctx.state[key] = whole


@app.op
def delete(ctx: Context, key: str) -> None:
    """Remove a key, which must be there."""
    if key not in ctx.state:
        raise Reject("no such key")
    del ctx.state[key]


@app.query
def get(view: View, key: str) -> bytes | None:
    """The value of a key, if it is there."""
    value: bytes | None = view.get(key)
    return value


@app.query
def keys(view: View, prefix: str = "") -> list[str]:
    """The keys that begin with a prefix, in byte order; at most 10,000."""
    found = view.keys(prefix, KEYS_MAX + 1)
    if len(found) > KEYS_MAX:
        raise Reject(f"more than {KEYS_MAX} keys, ask for a longer prefix")
    return found
