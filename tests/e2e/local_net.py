"""A local network of real processes, made and asked by the script alone."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL
from typing import Any

from tests.e2e.answers import TESTNET, VERIFY
from tests.e2e.script import Script
from zmqnode import Client
from zmqnode.client.auditing import verify_blocks

DEADLINE_SECONDS = 60.0


@dataclass(slots=True, kw_only=True)
class LocalNet:
    """One testnet in ``folder/net``; every pid it ever had is remembered, to find what it left."""

    folder: Path
    script: Script
    pids: set[int] = field(default_factory=set)

    @property
    def dir(self) -> Path:
        return self.folder / "net"

    def do(self, command: str, *words: object, code: int = 0) -> dict[str, Any]:
        """A command of ``testnet`` that answers with the network."""
        answer = self.script.answer(TESTNET, "testnet", command, *words, code=code)
        self.pids |= {node["pid"] for node in answer["nodes"] if node["pid"] is not None}
        return answer

    def node(self, name: str) -> dict[str, Any]:
        return named(self.do("status"), name)

    def url(self, name: str) -> str:
        nodes = json.loads((self.dir / "testnet.json").read_text())["nodes"]
        return str(next(node["url"] for node in nodes if node["name"] == name))

    def port(self, name: str) -> int:
        return int(self.url(name).rsplit(":", 1)[1])

    def pid(self, name: str) -> int:
        return int((self.dir / name / "node.pid").read_text())

    def names(self) -> list[str]:
        nodes = json.loads((self.dir / "testnet.json").read_text())["nodes"]
        return [node["name"] for node in nodes]

    def infos(self, *names: str) -> dict[str, Any]:
        """NodeInfo of each, asked at once and within this process: a command costs 0.3 s."""

        async def asked(client: Client) -> Any:
            return await client.info()

        return self.ask(asked, *names)

    def wait_height(self, height: int, *names: str) -> None:
        async def passed(client: Client) -> None:
            await client.wait_height(height, timeout_ms=60_000)

        self.ask(passed, *names)

    def all_vote(self, *names: str) -> None:
        """Until each of them votes and is where the others are."""

        async def votes(client: Client) -> None:
            await client.wait_state("CONSENSUS", timeout_ms=60_000)
            await client.wait_synced(timeout_ms=60_000)

        self.ask(votes, *names)

    def ask(self, question: Callable[[Client], Awaitable[Any]], *names: str) -> dict[str, Any]:
        """The same question to each of them (none: all), at once."""

        async def one(name: str) -> Any:
            async with Client(str(self.dir / name), timeout_ms=30_000) as client:
                return await question(client)

        async def every() -> dict[str, Any]:
            asked = names or tuple(self.names())
            return dict(zip(asked, await asyncio.gather(*map(one, asked)), strict=True))

        return asyncio.run(every())

    def verify(self) -> dict[str, Any]:
        """Every node's chain is good, and equal at the height that all have.

        One is asked by the command; the others by what the command calls, as its start costs more.
        """
        first, *rest = self.names()
        words = ("block", "verify", "-t", first, "--timeout", "60s")
        told = self.script.answer(VERIFY, *words)
        found = {first: told, **self.ask(verified, *rest)} if rest else {first: told}
        lowest = min(one["last_height"] for one in found.values())

        async def hash_there(client: Client) -> str:
            return (await client.block(lowest)).block_hash

        same = self.ask(hash_there)
        assert len(set(same.values())) == 1, same
        return found

    def end(self) -> None:
        """Whatever happened in the test: nothing of it lives on."""
        for pid in self.pids | self.pids_in_files():
            if command_of(pid).find(str(self.dir)) >= 0:
                with suppress(ProcessLookupError):
                    os.kill(pid, SIGKILL)

    def pids_in_files(self) -> set[int]:
        return {
            int(file.read_text())
            for file in self.dir.glob("*/node.pid")
            if file.read_text().strip()
        }


async def verified(client: Client) -> dict[str, Any]:
    """What ``block verify`` says, which must be that all is well."""
    found: dict[str, Any] = (await verify_blocks(client)).json()
    assert found["ok"] is True, found
    return found


def named(answer: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(node for node in answer["nodes"] if node["name"] == name)
    return found


def command_of(pid: int) -> str:
    """The command line of a process; empty if there is none (a zombie has none either)."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def alive(pid: int) -> bool:
    return command_of(pid) != ""


def until(condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Ask again until it is so; a deadline, not a sleep."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not in time: {what}"
        time.sleep(0.02)
