"""A network of real node processes in a folder, for measuring: real sockets, real disk, real keys.

It is made without a running node's help and without the command line, so that a figure is the
node's own. Processor time and memory are read from ``/proc``; where there is none they are None.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from zmqnode.base.genesis import Genesis, sign_entry
from zmqnode.base.keys import Address, PrivateKey
from zmqnode.base.params import Params
from zmqnode.client import Client
from zmqnode.config.genesis import genesis_text
from zmqnode.config.node import NODE_FILE, node_text
from zmqnode.config.secret import write_secret_file
from zmqnode.config.target import CLIENT_KEY_FILE
from zmqnode.errors import TimedOut, ZmqnodeError
from zmqnode.runtime.folder import make_instance_key

READY_MS: Final = 20_000
STOP_S: Final = 10.0
ASK_MS: Final = 10_000
PORTS_A_NODE: Final = 3
PORT_MIN: Final = 20_000
PORT_MAX: Final = 32_000  # Below what systems give to outgoing connections.
PORT_TRIES_MAX: Final = 200
NETWORK_ID: Final = "bench"
KEY_FILE: Final = "node.key"
GENESIS_FILE: Final = "genesis.yml"
LOG_FILE: Final = "node.log"

# One node in the foreground, as `node run` has it.
NODE_COMMAND: Final = (
    sys.executable,
    "-c",
    "import sys; from zmqnode import Node; sys.exit(Node.run(sys.argv[1], log_format='json'))",
)


def free_base_port(count: int) -> int:
    """The first of ``count`` consecutive ports that nobody listens on.

    Raises:
        TimedOut: none was found in 200 tries.
    """
    chance = random.SystemRandom()
    for _ in range(PORT_TRIES_MAX):
        first = chance.randrange(PORT_MIN, PORT_MAX - count)
        try:
            for port in range(first, first + count):
                with socket.socket() as one:
                    one.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise TimedOut("timeout", f"no {count} free ports in a row between {PORT_MIN} and {PORT_MAX}")


class Cluster:
    """``async with Cluster(folder, params=..)``: nodes that run; all are gone afterwards.

    Args:
        folder: new; removed in the end.
        nodes: 1 to 100 members of the suffrage.
        params: chain parameters that differ from the defaults.
        command: what runs one node; its folder is appended.
    Raises (on entering):
        TimedOut: not all nodes were in CONSENSUS at height 1 within 20 s.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 4,
        params: Mapping[str, int] | None = None,
        command: Sequence[str] = NODE_COMMAND,
    ) -> None:
        self.folder = folder
        self.nodes = nodes
        self.params = Params.of(params or {})
        self.command = tuple(command)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._keys: list[PrivateKey] = []
        self._base_port = 0

    async def __aenter__(self) -> Self:
        try:
            self._make()
            for index in range(self.nodes):
                self.start(f"n{index}")
            await asyncio.gather(*(self.ready(f"n{index}") for index in range(self.nodes)))
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Files.

    def _make(self) -> None:
        self.folder.mkdir(parents=True)
        self._base_port = free_base_port(PORTS_A_NODE * (self.nodes + 1))  # One for a newcomer.
        entries = []
        for index in range(self.nodes):
            key = PrivateKey(os.urandom(32))
            self._keys.append(key)
            instance = make_instance_key(self.folder / f"n{index}")
            entries.append(
                sign_entry(
                    address=Address(f"n{index}sas"),
                    instance=instance.public,
                    url=self._url(index),
                    key=key,
                    network_id=NETWORK_ID,
                )
            )
            self._write(f"n{index}", index, index)
        genesis = Genesis(
            network_id=NETWORK_ID,
            app="kv",
            app_version=1,
            params=self.params,
            entries=tuple(entries),
        )
        (self.folder / GENESIS_FILE).write_text(genesis_text(genesis), encoding="utf-8")
        write_secret_file(self.folder / CLIENT_KEY_FILE, PrivateKey(os.urandom(32)).text())

    def _url(self, place: int) -> str:
        return f"tcp://127.0.0.1:{self._base_port + PORTS_A_NODE * place}"

    def _write(self, name: str, member: int, place: int) -> None:
        """The key and the node.yml of one copy of a member."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        write_secret_file(folder / KEY_FILE, self._keys[member].text())
        values = {
            "address": f"n{member}sas",
            "network-id": NETWORK_ID,
            "privatekey": f"file:{KEY_FILE}",
            "network.url": self._url(place),
            "genesis": f"../{GENESIS_FILE}",
            "faults": True,  # No rate limit for clients.
        }
        (folder / NODE_FILE).write_text(node_text(values), encoding="utf-8")

    def newcomer(self) -> str:
        """Make a second copy of n0 with an empty folder: it can only follow. Its name."""
        self._write("n0b", 0, self.nodes)
        return "n0b"

    # Processes.

    def start(self, name: str) -> None:
        """Start one node's process."""
        with (self.folder / name / LOG_FILE).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*self.command, str(self.folder / name)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self.folder,
            )

    async def ready(self, name: str) -> None:
        """Wait until a node votes and has block 1; raises TimedOut."""
        try:
            async with self.client(name) as client:
                await client.wait_state("CONSENSUS", timeout_ms=READY_MS)
                await client.wait_height(1, timeout_ms=READY_MS)
        except ZmqnodeError as error:
            raise TimedOut(
                "timeout",
                f"{name} did not get ready: {error.message}",
                hint=self._last_words(name),
            ) from None

    def _last_words(self, name: str) -> str:
        with suppress(OSError, IndexError):
            text = (self.folder / name / LOG_FILE).read_text(encoding="utf-8", errors="replace")
            return f"its log ends with: {text.splitlines()[-1][:500]}"
        return ""

    def kill(self, name: str) -> None:
        """SIGKILL, and wait until it is gone."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def alive(self) -> bool:
        """Whether every process that was started still runs."""
        return all(process.poll() is None for process in self.processes.values())

    def client(self, *names: str) -> Client:
        """A client of some nodes, n0 if none is named."""
        folders = [self.folder / name for name in names or ("n0",)]
        return Client(*folders, timeout_ms=ASK_MS)

    def close(self) -> None:
        """Stop all processes and remove the folder."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    # What they use.

    def processor_seconds(self) -> float | None:
        """User and system time of all running nodes together, since their start."""
        times = [_processor_seconds(process.pid) for process in self.processes.values()]
        return None if None in times else sum(one for one in times if one is not None)

    def memory_bytes(self) -> int | None:
        """The resident memory of the largest node."""
        sizes = [_memory_bytes(process.pid) for process in self.processes.values()]
        return max((one for one in sizes if one is not None), default=None)


def _processor_seconds(pid: int) -> float | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # The name before it may hold anything.
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_bytes(pid: int) -> int | None:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
