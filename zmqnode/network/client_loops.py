"""Drivers of a ``ClientLink``: on the running asyncio loop, and without a loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import zmq

from zmqnode.errors import ZmqnodeError
from zmqnode.network.client_link import SILENCE_MS, ClientLink, OnAnswer, OnEvent, Target
from zmqnode.network.connection import now_ms
from zmqnode.network.limits import NetworkLimits
from zmqnode.network.sockets import Context, new_context


class AsyncClientLink:
    """A ``ClientLink`` on the running asyncio loop."""

    def __init__(
        self, context: Context, target: Target, *, limits: NetworkLimits | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.link = ClientLink(context, target, limits=limits)
        self.link.on_reopened = self._register
        self._fds: tuple[int, ...] = ()
        self._timer: asyncio.TimerHandle | None = None
        self._scheduled = False
        self._register()

    def _register(self) -> None:
        for fd in self._fds:
            self._loop.remove_reader(fd)
        self._fds = tuple(int(one.getsockopt(zmq.FD)) for one in self.link.wait_for())
        for fd in self._fds:
            self._loop.add_reader(fd, self._pump)
        self._soon()

    def _soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._pump_scheduled)

    def _pump_scheduled(self) -> None:
        self._scheduled = False
        self._pump()

    def _pump(self) -> None:
        more = True
        try:
            more = self.link.pump()
        finally:
            if more:
                self._soon()
        self._set_timer()

    def _set_timer(self) -> None:
        deadline = self.link.deadline()
        if self._timer is not None:
            if deadline is not None and self._timer.when() <= deadline / 1000:
                return  # It will look again then.
            self._timer.cancel()
            self._timer = None
        if deadline is not None and self._fds:
            delay = max(0, deadline - now_ms() + 1) / 1000
            self._timer = self._loop.call_later(delay, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self._pump()

    def request(
        self,
        payload: bytes,
        timeout_ms: int,
        on_answer: OnAnswer,
        on_event: OnEvent | None = None,
    ) -> int:
        """As ``ClientLink.request``; callbacks run on the loop."""
        number = self.link.request(payload, timeout_ms, on_answer, on_event)
        self._soon()  # Sending swallows the descriptor's edge.
        return number

    async def ask(self, payload: bytes, timeout_ms: int) -> bytes:
        """Ask and wait for the answer; raises what ``on_answer`` would get."""
        future: asyncio.Future[bytes] = self._loop.create_future()

        def answered(answer: bytes | ZmqnodeError) -> None:
            if future.done():
                return
            if isinstance(answer, ZmqnodeError):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        number = self.request(payload, timeout_ms, answered)
        try:
            return await future
        finally:
            self.link.cancel(number)

    def close(self) -> None:
        for fd in self._fds:
            self._loop.remove_reader(fd)
        self._fds = ()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.link.close()


class BlockingClientLink:
    """A ``ClientLink`` for code without a loop; owns its context unless it is given one."""

    def __init__(
        self,
        target: Target,
        *,
        context: Context | None = None,
        limits: NetworkLimits | None = None,
    ) -> None:
        self._own = new_context() if context is None else None
        try:
            self.link = ClientLink(context or self._own or new_context(), target, limits=limits)
        except ZmqnodeError:
            if self._own is not None:
                self._own.term()
            raise

    def pump_until(self, done: Callable[[], bool], until_ms: int) -> bool:
        """Pump until ``done()`` or the monotonic time; whether it is done."""
        while True:
            more = self.link.pump()
            if done():
                return True
            now = now_ms()
            if now >= until_ms:
                return False
            if more:
                continue
            deadline = self.link.deadline()
            wake = until_ms if deadline is None else min(until_ms, deadline)
            poller = zmq.Poller()
            for socket in self.link.wait_for():
                poller.register(socket, zmq.POLLIN)
            poller.poll(max(0, wake - now) + 1)

    def ask(self, payload: bytes, timeout_ms: int) -> bytes:
        """Ask and wait for the answer; raises what ``on_answer`` would get."""
        answers: list[bytes | ZmqnodeError] = []
        number = self.link.request(payload, timeout_ms, answers.append)
        try:
            self.pump_until(lambda: bool(answers), now_ms() + timeout_ms + SILENCE_MS)
        finally:
            self.link.cancel(number)
        answer = answers[0] if answers else self.link.undecided("its time was over")
        if isinstance(answer, ZmqnodeError):
            raise answer
        return answer

    def close(self) -> None:
        self.link.close()
        if self._own is not None:
            self._own.term()
