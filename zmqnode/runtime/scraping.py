"""The HTTP port of metrics: GET /metrics for Prometheus, GET /healthz for whoever starts nodes.

HTTP/1.1, plain, one request a connection; nobody is asked who he is, so it is off by default and
on the loopback if it is on. It must never cost the node its votes: a request has
``HEAD_BYTES_MAX`` and ``EXCHANGE_S`` in all (a slow reader is cut), ``CONNECTIONS_MAX`` are served
at once, and what is read is made anew a few times a second at most (``metering``).
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from zmqnode.base.exchange import NodeState
from zmqnode.config import Place
from zmqnode.errors import Invalid, Refused
from zmqnode.metrics import CONTENT_TYPE
from zmqnode.runtime.view import NodeView

HEAD_BYTES_MAX: Final = 8192  # Of a request: its line and headers.
EXCHANGE_S: Final = 5.0  # For a request and its answer together.
CONNECTIONS_MAX: Final = 16
BACKLOG: Final = 16
LAG_BLOCKS_MAX: Final = 1  # As `wait synced` has it.

_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a GET is answered with."""

    status: int
    body: str
    content_type: str = "text/plain; charset=utf-8"


Pages = dict[str, Callable[[], Page]]
"""Path to what makes its page."""


def metrics_page(text: Callable[[], str]) -> Callable[[], Page]:
    """The page of /metrics."""
    return lambda: Page(status=200, body=text(), content_type=CONTENT_TYPE)


def health_page(view: NodeView) -> Page:
    """The page of /healthz: 200 for a node that votes, or follows the tip; else 503."""
    lag = max(0, view.tip_known - view.tip)
    follows = view.state in (NodeState.SYNCING, NodeState.HANDOVER) and lag <= LAG_BLOCKS_MAX
    good = view.state is NodeState.CONSENSUS or follows
    told = {"v": 1, "ok": good, "state": view.state.name, "height": view.tip, "lag_blocks": lag}
    body = json.dumps(told, separators=(",", ":")) + "\n"
    return Page(status=200 if good else 503, body=body, content_type="application/json")


def bind(place: Place) -> socket.socket:
    """The listening socket of a place.

    Raises:
        Refused: ``address_in_use``.
        Invalid: ``config_invalid``, the host's name is unknown.
    """
    try:
        found = socket.getaddrinfo(
            place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError:
        message = f"metrics.url: the host {place.host} is unknown"
        raise Invalid("config_invalid", message, hint="give a literal address") from None
    family, kind, _, _, address = found[0]
    listening = socket.socket(family, kind)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise Refused(
            "address_in_use",
            f"cannot listen on {place.http}: {error.strerror}",
            hint="stop what listens there, or set another metrics.url",
            endpoint=place.http,
        ) from None
    return listening


class MetricsPort:
    """Serves pages at a bound socket, from :meth:`open` to :meth:`close`."""

    def __init__(
        self, listening: socket.socket, pages: Pages, *, exchange_s: float = EXCHANGE_S
    ) -> None:
        self._listening = listening
        self._pages = pages
        self._exchange_s = exchange_s
        self._server: asyncio.Server | None = None
        self._live: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self.turned_away = 0

    async def open(self) -> None:
        """Begin to answer."""
        self._server = await asyncio.start_server(
            self._serve, sock=self._listening, limit=HEAD_BYTES_MAX
        )

    async def close(self) -> None:
        """Cut who is there and listen no more. Again is harmless."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self._listening.close()
        tasks = [task for task in self._live.values() if task is not None]
        for writer in list(self._live):
            writer.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._live) >= CONNECTIONS_MAX:
            self.turned_away += 1
            writer.transport.abort()
            return
        self._live[writer] = asyncio.current_task()
        try:
            async with asyncio.timeout(self._exchange_s):
                await self._exchange(reader, writer)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass  # Slow, or gone: there is nobody to tell.
        finally:
            writer.transport.abort()
            del self._live[writer]

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Waited for to the last byte: a reader that takes none must not keep the text in memory.
        writer.transport.set_write_buffer_limits(high=0)
        try:
            page = self._page(await reader.readuntil(b"\r\n\r\n"))
        except asyncio.LimitOverrunError:
            page = _refusal(431)
        writer.write(_response(page))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def _page(self, head: bytes) -> Page:
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1.") or not head.isascii():
            return _refusal(400)
        method, path = words[0].decode(), words[1].decode().partition("?")[0]
        make = self._pages.get(path)
        if make is None:
            return _refusal(404)
        return make() if method == "GET" else _refusal(405)


def _refusal(status: int) -> Page:
    return Page(status=status, body=f"{_REASONS[status]}\n")


def _response(page: Page) -> bytes:
    body = page.body.encode()
    lines = [
        f"HTTP/1.1 {page.status} {_REASONS[page.status]}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ]
    if page.status == 405:
        lines.append("Allow: GET")
    return "\r\n".join([*lines, "", ""]).encode() + body
