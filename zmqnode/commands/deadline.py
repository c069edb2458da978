"""``--timeout`` of commands that compute or play something, rather than ask a node.

Commands that ask hand their time to the client, which waits no longer. What computes (the
simulator, an application's check) is ended from outside, by an alarm; what runs on a loop by the
loop. Either way the command ends as ``timeout``, and what it began is taken down on the way out.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from zmqnode.errors import TimedOut

T = TypeVar("T")


class _TimeIsOver(BaseException):
    """Not an Exception: what is under way must not take it for a fault of its own."""


@contextmanager
def computing(timeout_ms: int | None, what: str) -> Iterator[None]:
    """Around work in the main thread; raises TimedOut when its time is over.

    Args:
        timeout_ms: None: it may take as long as it takes.
        what: for the message: "WHAT did not end within ..".
    """
    if timeout_ms is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise _TimeIsOver

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, timeout_ms / 1000)
    try:
        yield
    except _TimeIsOver:
        raise _over(what, timeout_ms) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def playing(work: Coroutine[Any, Any, T], timeout_ms: int | None, what: str) -> T:
    """Run ``work`` on a loop of its own; raises TimedOut when its time is over."""
    import asyncio

    async def bounded() -> T:
        if timeout_ms is None:
            return await work
        deadline = asyncio.timeout(timeout_ms / 1000)
        try:
            async with deadline:
                return await work
        except TimeoutError:
            if not deadline.expired():
                raise
            raise _over(what, timeout_ms) from None

    return asyncio.run(bounded())


def _over(what: str, timeout_ms: int) -> TimedOut:
    return TimedOut(
        "timeout",
        f"{what} did not end within {timeout_ms / 1000:g} s",
        hint="give it more time with --timeout, or less to do",
    )
