"""Commands at the real door of a fake node, which stands on a loop in another thread."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from tests.fake_node import FakeChain, FakeNode, loopback_ports, served
from zmqnode.commands.main import main

T = TypeVar("T")


class Standing:
    """A node with an open door, and commands at it."""

    def __init__(self, node: FakeNode, loop: asyncio.AbstractEventLoop) -> None:
        self.node = node
        self.chain = node.chain
        self.loop = loop
        self.capsys: pytest.CaptureFixture[str] | None = None

    def do(self, work: Callable[[], T]) -> T:
        """Something done to the node, on its loop."""

        async def doing() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(doing(), self.loop).result(10)

    def run(self, *words: str) -> tuple[int, str, str]:
        """A command's exit code and streams."""
        assert self.capsys is not None
        code = main([*words, "-t", self.chain.target()])
        return code, *self.capsys.readouterr()

    def json(self, *words: str) -> tuple[int, list[dict[str, Any]]]:
        """A command's exit code and the objects it printed."""
        code, out, _ = self.run(*words, "--json")
        return code, [json.loads(line) for line in out.splitlines()]


@contextmanager
def standing() -> Iterator[Standing]:
    """The first member of a chain of four."""
    ready: Future[tuple[Standing, Callable[[], object]]] = Future()

    async def serve() -> None:
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with served(FakeNode(FakeChain(ports=loopback_ports(4)))) as node:
            found = Standing(node, loop)
            ready.set_result((found, lambda: loop.call_soon_threadsafe(over.set)))
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    found, end = ready.result(10)
    try:
        yield found
    finally:
        end()
        thread.join(10)
