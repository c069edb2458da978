"""An operation that takes the process with it, every time, on real nodes under a supervisor."""

from __future__ import annotations

import signal
import subprocess
import threading
from types import TracebackType
from typing import Self

from tests.e2e.local_net import LocalNet, until
from zmqnode import Client, SyncClient

DEADLY = """
import os
from zmqnode import App

app = App("deadly", version=1)

@app.op
def put(ctx, key: str, value: bytes):
    ctx.state[key] = value

@app.op
def die(ctx):
    os._exit(77)

@app.query
def get(view, key: str) -> bytes | None:
    return view.get(key)
"""
DEATH = 77
DEATHS_MAX = 4  # Of one node: two are its own rule, one more may be waiting for it in another pool.
PUTS = 20


class Supervisor:
    """Runs the nodes of a network, and each again whenever it dies, as any service manager does."""

    def __init__(self, net: LocalNet) -> None:
        self.codes: dict[str, list[int]] = {name: [] for name in net.names()}
        self._net = net
        self._over = threading.Event()
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._threads = [threading.Thread(target=self._run, args=(name,)) for name in self.codes]

    def _run(self, name: str) -> None:
        while not self._over.is_set():
            node = self._net.script.start("node", "run", self._net.dir / name)
            self._running[name] = node
            self._net.pids.add(node.pid)
            if self._over.is_set():
                node.send_signal(signal.SIGTERM)
            node.communicate()
            self.codes[name].append(node.returncode)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        for node in self._running.values():
            node.send_signal(signal.SIGTERM)
        for thread in self._threads:
            thread.join()


def test_a_network_recovers_from_a_seal_that_kills_whoever_executes_it(own_net: LocalNet) -> None:
    """Goal: the others' operations are committed, soon, and nobody is killed for ever.

    Method: one seal calls ``os._exit``, its life is a minute; seals are sent before, with and after
    it; nodes that die are started again at once.
    """
    net = own_net
    (net.folder / "deadly.py").write_text(DEADLY)
    net.do("up", "--app", "deadly:app", "--set", "params.empty_block_interval_ms=250")
    net.do("stop")
    with Supervisor(net) as nodes:
        net.all_vote()
        with SyncClient(str(net.dir / "n0"), timeout_ms=30_000) as client:
            client.submit(("put", {"key": "before", "value": b"x"}))
            killer = client.make(("die", {}))
            client.submit(killer, wait="accepted")
        until(lambda: all(codes for codes in nodes.codes.values()), "everybody died of it once")
        for at in range(PUTS):
            target = str(net.dir / net.names()[at % 4])
            with SyncClient(target, timeout_ms=30_000) as client:
                receipt = client.submit(("put", {"key": f"k{at}", "value": b"x"}))
                assert receipt.ok
        net.all_vote()
        died = {name: codes.count(DEATH) for name, codes in nodes.codes.items()}
        assert all(1 <= count <= DEATHS_MAX for count in died.values()), died

        async def there(client: Client) -> int:
            found = [await client.query("get", {"key": f"k{at}"}) for at in range(PUTS)]
            return sum(answer.result == b"x" for answer in found)

        assert set(net.ask(there).values()) == {PUTS}
        with SyncClient(str(net.dir / "n1"), timeout_ms=30_000) as client:
            last = client.info().height
            held = [seal for at in range(1, last + 1) for seal in client.block(at).seals]
        assert len(held) > PUTS and killer.hash not in held
    assert all(codes[-1] == 0 for codes in nodes.codes.values()), nodes.codes
    assert all(set(codes) <= {DEATH, 0} for codes in nodes.codes.values()), nodes.codes
