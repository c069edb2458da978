"""Copies of one address: who votes, what the chain had, and the checks every handover ends with."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.e2e.answers import SESSION
from tests.e2e.local_net import LocalNet, until
from zmqnode import Client
from zmqnode.errors import Refused, Unreachable, ZmqnodeError

# Blocks and windows short enough to wait for.
QUICK = (
    *("--set", "params.empty_block_interval_ms=250"),
    *("--set", "params.veto_window_ms=2000"),
    *("--set", "params.ack_window_ms=8000"),
    *("--set", "params.handover_cooldown_ms=1000"),
)


@dataclass(frozen=True, slots=True)
class Moved:
    """One handover of the chain, as far as a test expects it."""

    address: str
    mode: str
    epoch_after: int
    outcome: str | None


def start(net: LocalNet, name: str, *words: object) -> dict[str, Any]:
    """A handover to this copy, to its end."""
    answer = net.script.answer(SESSION, "handover", "start", "-t", name, *words)
    assert (answer["outcome"], answer["side"]) == ("done", "new"), answer
    return answer


def refused(net: LocalNet, code: str, name: str, *words: object) -> dict[str, Any]:
    return net.script.refusal(code, 1, "handover", "start", "-t", name, *words)


def history(net: LocalNet, name: str = "n1") -> list[Moved]:
    """The handovers of a node's chain, oldest first."""

    async def asked(client: Client) -> list[Moved]:
        rows = await client.handover_history()
        return [Moved(*(getattr(row, key) for key in Moved.__dataclass_fields__)) for row in rows]

    found: list[Moved] = net.ask(asked, name)[name]
    return found


def voting(net: LocalNet) -> dict[str, tuple[str, int]]:
    """address -> the copy that votes and its epoch, as the copies themselves say."""
    infos = net.infos()
    active = {name: one for name, one in infos.items() if one.role == "active"}
    assert len({one.address for one in active.values()}) == len(active), sorted(active)
    return {one.address: (name, one.epoch) for name, one in active.items()}


def other_copy(net: LocalNet) -> tuple[str, str, int]:
    """The copy of n0sas that votes, the one that does not, and the epoch."""
    active, epoch = voting(net)["n0sas"]
    return active, "n0b" if active == "n0" else "n0", epoch


def until_failing(
    net: LocalNet, target: object, code: str, *, mode: str = "planned", sign: str | None = None
) -> None:
    """Until a check fails there with this code; what is gone is noticed after two seconds."""
    until(lambda: code in failing(net, target, mode, sign), f"{code} at {target}")


def until_ready(net: LocalNet, name: str, mode: str = "planned") -> None:
    """Until no check fails there."""
    until(lambda: failing(net, name, mode) == [], f"{name} is ready for {mode}")


def failing(net: LocalNet, target: object, mode: str, sign: str | None = None) -> list[str | None]:
    """The codes of the checks that fail; ``unreachable`` before the node can be asked."""
    where = str(net.dir / target if isinstance(target, str) and "/" not in target else target)

    async def codes() -> list[str | None]:
        async with Client(where, sign=sign) as client:
            checks = (await client.handover_preflight(mode)).checks
            return [one.code for one in checks if one.status == "failed"]

    try:
        return asyncio.run(codes())
    except (Refused, Unreachable) as error:
        return [error.code]


def heal_alone(net: LocalNet, name: str) -> None:
    """This node's own part of all cuts is undone: it hears the others, and is not heard."""

    async def heal(client: Client) -> None:
        await client.cut((), ())

    net.ask(heal, name)


def settle(net: LocalNet) -> None:
    """Until every address has its active copy in CONSENSUS and all others follow."""
    if not settled(net):
        net.do("up")


def settled(net: LocalNet) -> bool:
    try:
        infos = net.infos()
    except ZmqnodeError:
        return False
    active = [one for one in infos.values() if one.role == "active"]
    # A copy that was away thinks that it votes until it hears of its replacement.
    one_each = sorted(one.address for one in active) == sorted({o.address for o in infos.values()})
    waiting = {one.state for one in infos.values() if one.role != "active"}
    return one_each and {o.state for o in active} == {"CONSENSUS"} and waiting <= {"SYNCING"}


def ends_well(net: LocalNet, *, active: str, epoch: int, address: str = "n0sas") -> None:
    """Goal: one counted vote per address and point, no fork. Method: every chain is verified.

    A voteproof holds one ballot of each address, of the instance that the chain names for its
    height: what ``block verify`` finds right had no second voter.
    """
    settle(net)
    assert voting(net)[address] == (active, epoch)
    net.verify()
    for name, info in net.infos().items():
        stands = (info.evidence, info.broken, info.split, info.handover)
        assert stands == (0, None, None, None), (name, stands)


def watched(net: LocalNet, name: str, *words: object) -> subprocess.Popen[str]:
    """A start that streams every change; read it with :func:`until_phase`."""
    return net.script.start("handover", "start", "-t", name, "--watch", "--json", *words)


def until_phase(process: subprocess.Popen[str], phase: str) -> dict[str, Any]:
    """The first change in which a phase was reached."""
    assert process.stdout is not None
    for line in process.stdout:
        answer: dict[str, Any] = json.loads(line)
        assert "error" not in answer or answer["error"] is None, answer
        if phase in [one["name"] for one in answer["phases"]]:
            return answer
    raise AssertionError(f"{phase} was not reached: {process.communicate()}")


def end_of(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    """The exit code of a stream and its last object."""
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in out + err, err
    lines = out.splitlines()
    return process.returncode, json.loads(lines[-1]) if lines else {}


def submit(net: LocalNet, name: str, keys: Sequence[str]) -> None:
    """Operations to this copy alone, each committed."""

    async def put(client: Client) -> None:
        for key in keys:
            receipt = await client.submit(("put", {"key": key, "value": b"x"}))
            assert (receipt.ok, receipt.state) == (True, "committed")

    async def alone(client: Client) -> None:
        sign = f"file:{net.dir / 'client.key'}"
        async with Client(str(net.dir / name), sign=sign, copies=1) as one:
            await put(one)

    net.ask(alone, name)
