"""Strangers: junk on every port, floods and lies at the door. The network goes on."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import zmq
from nacl.bindings import crypto_sign_ed25519_pk_to_curve25519

from tests.e2e import answers
from tests.e2e.local_net import LocalNet, named, until
from tests.e2e.writers import Writers, check_promises
from zmqnode import Client, errors

GREETING = b"\xff" + b"\0" * 8 + b"\x7f\x03\x00"
MEMORY_MIB_MAX = 400
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def junk(port: int, chance: random.Random) -> None:
    """A few bytes of nonsense of some kind, on a connection of their own."""
    kinds: list[Callable[[], bytes]] = [
        lambda: chance.randbytes(chance.randint(1, 5000)),
        lambda: GREETING + chance.randbytes(chance.randint(1, 200)),
        lambda: GREETING + b"CURVE" + b"\0" * 48 + chance.randbytes(300),
        lambda: GREETING + b"NULL" + b"\0" * 49 + b"\x04\x05READY",
        lambda: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        lambda: b"\xff" * 100_000,
        lambda: b"",
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=2) as one:
        one.settimeout(0.2)
        one.sendall(chance.choice(kinds)())
        if chance.random() < 0.5:
            one.recv(100)


@contextmanager
def attacked(attack: Callable[[], None], threads: int = 2) -> Iterator[list[int]]:
    """The attack again and again while the block lasts; counts its turns."""
    over = threading.Event()
    turns = [0]

    def play() -> None:
        while not over.is_set():
            with suppress(OSError):
                attack()
            turns[0] += 1

    workers = [threading.Thread(target=play) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield turns
    finally:
        over.set()
        for worker in workers:
            worker.join(30)


def unharmed(net: LocalNet, pids: dict[str, int]) -> None:
    net.all_vote()
    for name, info in net.infos().items():
        assert net.pid(name) == pids[name], "restarted"
        assert (info.state, info.broken, info.evidence) == ("CONSENSUS", None, 0)
        assert memory_mib(pids[name]) < MEMORY_MIB_MAX
        log = (net.dir / name / "node.log").read_text()
        assert "Traceback" not in log


def memory_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) // 1024


def pids_of(net: LocalNet) -> dict[str, int]:
    return {name: net.pid(name) for name in net.names()}


def test_junk_on_every_port_under_load(net: LocalNet) -> None:
    pids = pids_of(net)
    chance = random.Random(3)
    ports = [net.port(name) + offset for name in net.names() for offset in range(3)]
    with (
        attacked(lambda: junk(chance.choice(ports), chance)) as turns,
        Writers(net, clients=2, prefix="junk-") as writers,
    ):
        writers.wait(300)
        until(lambda: turns[0] >= 200, "200 pieces of junk")
        writers.wait(100)
    check_promises(net, writers.promised, prefix="junk-")
    unharmed(net, pids)


def test_connections_that_stay_silent(net: LocalNet) -> None:
    pids = pids_of(net)
    held = []
    try:
        for name in net.names():
            for offset in range(3):
                for _ in range(40):
                    with suppress(OSError):
                        address = ("127.0.0.1", net.port(name) + offset)
                        held.append(socket.create_connection(address, timeout=2))
        with Writers(net, clients=2, prefix="held-") as writers:
            writers.wait(200)
        assert net.script.json("node", "info", "-t", "n3")["state"] == "CONSENSUS"
    finally:
        for one in held:
            one.close()
    check_promises(net, writers.promised, prefix="held-")
    unharmed(net, pids)


def raw_key(text: str) -> bytes:
    """The 32 bytes of a public key text: base58, then the four of the check, then ``mpu``."""
    number = 0
    for letter in text.removesuffix("mpu"):
        number = number * 58 + ALPHABET.index(letter)
    return number.to_bytes(36, "big")[:32]


@contextmanager
def door(context: zmq.Context[zmq.Socket[bytes]], publickey: str, port: int) -> Iterator[Any]:
    """A DEALER that CURVE lets in: a stranger who knows the node's public key."""
    public, secret = zmq.curve_keypair()
    with context.socket(zmq.DEALER) as dealer:
        dealer.curve_serverkey = zmq.utils.z85.encode(
            crypto_sign_ed25519_pk_to_curve25519(raw_key(publickey))
        )
        dealer.curve_publickey, dealer.curve_secretkey = public, secret
        dealer.linger = 0
        dealer.sndhwm = 1000
        dealer.connect(f"tcp://127.0.0.1:{port}")
        yield dealer


def test_junk_through_the_door(net: LocalNet) -> None:
    """Goal: the gate holds. Method: authenticated strangers with frames of every kind."""
    pids = pids_of(net)
    shown = net.do("status")
    publickey = named(shown, "n0")["target"].split("//")[1].split("@")[0]
    chance = random.Random(4)
    messages: list[Callable[[], list[bytes]]] = [
        lambda: [chance.randbytes(chance.randint(0, 2000))],
        lambda: [b""] * chance.randint(1, 50),
        lambda: [chance.randbytes(10) for _ in range(chance.randint(2, 6))],
        lambda: [b"\x93\xa4info\x01\xc0"],
        lambda: [b"\x91" * 10_000],
        lambda: [b"\xdd\xff\xff\xff\xff"],
        lambda: [b"x" * 900_000],
    ]
    port = net.port("n0")
    with zmq.Context() as context, Writers(net, clients=2, prefix="door-") as writers:
        for _ in range(60):
            with door(context, publickey, port) as dealer:
                for _ in range(20):
                    with suppress(zmq.Again):
                        dealer.send_multipart(chance.choice(messages)(), zmq.NOBLOCK)
                dealer.poll(20)
        writers.wait(100)
    check_promises(net, writers.promised, prefix="door-")
    unharmed(net, pids)


def test_a_seal_of_another_chain_is_refused(net: LocalNet, own_net: LocalNet) -> None:
    own_net.do("up", "--nodes", "1", "--set", "params.seal_ttl_ms=1000")
    net.script.json("seal", "make", "put", "key=a", "value=1", "--out", "foreign.bin")
    seal = net.folder / "foreign.bin"
    assert own_net.script.answer(answers.SEAL, "seal", "cat", seal)["signature_ok"] is False
    own_net.script.refusal("bad_signature", 1, "seal", "send", "--seal", seal)
    made = own_net.script.answer(
        answers.SEAL, "seal", "make", "put", "key=a", "value=1", "--out", "old.bin"
    )
    assert made["expires_at_ms"] == made["created_at_ms"] + 1000
    until(lambda: time.time() * 1000 > made["expires_at_ms"] + 1000, "it is too old")
    own_net.script.refusal("seal_expired", 1, "seal", "send", "--seal", "old.bin")
    own_net.script.refusal_text("seal_expired", 1, "seal", "send", "--seal", "old.bin")
    assert own_net.script.json("query", "get", "key=a")["result"] is None


def test_a_full_pool_says_so_and_empties(own_net: LocalNet) -> None:
    """Two of four nodes are paused, so nothing leaves the pool of the others."""
    own_net.do("up")
    own_net.do("kill", "n2", "n3", "--signal", "STOP")

    async def fill() -> tuple[int, str]:
        sign = f"file:{own_net.dir / 'client.key'}"
        kept = 0
        async with Client(str(own_net.dir / "n0"), sign=sign, copies=1) as client:
            for number in range(5_000):
                value = {"key": f"full{number}", "value": b"x" * 500_000}
                try:
                    await client.submit(("put", value), wait="accepted", timeout_ms=5_000)
                except errors.Refused as error:
                    return kept, error.code
                kept += 1
        return kept, "never full"

    kept, code = asyncio.run(fill())
    try:
        assert code in ("pool_full", "sender_quota"), (kept, code)
        assert kept > 0
        info = own_net.script.answer(answers.NODE_INFO, "node", "info", "-t", "n0")
        assert info["pool"]["seals"] == kept
        assert memory_mib(own_net.pid("n0")) < 2 * MEMORY_MIB_MAX
        words = ("seal", "send", "put", "key=full", f"value={'x' * 1000}", "--wait", "accepted")
        own_net.script.run(*words, "--only", "--json")
    finally:
        own_net.do("kill", "n2", "n3", "--signal", "CONT")
    until(lambda: own_net.infos("n0")["n0"].pool.seals == 0, "the pool is empty again", 90)
    own_net.all_vote()


@pytest.mark.parametrize(
    "target",
    [
        "tcp://127.0.0.1:1",
        "tcp://127.0.0.1",
        "tcp://:1",
        "tcp://@127.0.0.1:1",
        "tcp://127.0.0.1:99999",
        "udp://127.0.0.1:1",
        "tcp://nonsense@127.0.0.1:1",
        "tcp://no.such.host.invalid:1",
        "./nope/node.yml",
        "nope",
        "",
        "a b",
        "\x1b[31mred",
    ],
)
def test_targets_of_nonsense(net: LocalNet, target: str) -> None:
    run = net.script.run("node", "info", "-t", target, "--timeout", "3s")
    assert run.code in (2, 3), str(run)
    assert run.out == ""
    assert run.err.startswith("error: "), str(run)
    assert "\nhint: " in run.err, str(run)
    assert "\x1b" not in run.err
