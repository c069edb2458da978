"""The floor: the bare loop that no node of this kind can beat on this machine.

Four processes agree on nothing. Each height costs every one of them what a height costs a node at
the very least: an INIT ballot signed (Ed25519), written and synced (fdatasync), published to the
others over PUB/SUB with CURVE; with three verified ones of a height, its own among them, the same
again for ACCEPT; with three ACCEPTs the next height. There is no codec, no state, no proposal and
no application in it, and nothing of the node: rows are quoted against it, so a change of the node
must not move it. Source: DESIGN.md section 11.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import zmq
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

PROCESSES: Final = 4
WARM_S: Final = 0.3
MEASURED_S: Final = 3.0
START_TIMEOUT_S: Final = 20.0
STALL_MS: Final = (
    50  # Without a message for so long the own ballots are published again: PUB/SUB loses silently.
)
HELLO_MS: Final = 10
BALLOT_BYTES: Final = 160  # What a node journals and sends a ballot is about as long.
FILE_BYTES: Final = (
    4 << 20
)  # Written once before, then over and over: no sync pays for a file that grows.
SIGNATURE_BYTES: Final = 64
INIT, ACCEPT = 1, 2


@dataclass(slots=True)
class _Voter:
    """One process of the loop: its keys, its sockets, its file, its place."""

    index: int
    quorum: int
    signer: SigningKey
    keys: list[VerifyKey]
    publisher: Any
    subscriber: Any
    file: int
    height: int = 1
    stage: int = INIT
    written: int = 0
    own: list[bytes] = field(default_factory=list)
    votes: dict[tuple[int, int], set[int]] = field(default_factory=dict)

    def vote(self) -> None:
        """Sign, remember, publish; then count it like the others'."""
        head = self.height.to_bytes(8, "big") + bytes((self.stage, self.index))
        body = head.ljust(BALLOT_BYTES - SIGNATURE_BYTES, b"\0")
        ballot = body + self.signer.sign(body).signature
        if self.written + len(ballot) > FILE_BYTES:
            self.written = 0
        os.pwrite(self.file, ballot, self.written)
        self.written += len(ballot)
        os.fdatasync(self.file)
        self.publisher.send(ballot, zmq.DONTWAIT)
        self.own = [*self.own[-1:], ballot]
        self.count(self.height, self.stage, self.index)

    def take(self, ballot: bytes) -> None:
        """A ballot of another one; checked unless its stage is over or has its quorum."""
        height, stage, index = int.from_bytes(ballot[:8], "big"), ballot[8], ballot[9]
        if (height, stage) < (self.height, self.stage):
            return
        seen = self.votes.get((height, stage), ())
        if index in seen or len(seen) >= self.quorum:
            return
        body = ballot[:-SIGNATURE_BYTES]
        try:
            self.keys[index].verify(body, ballot[-SIGNATURE_BYTES:])
        except BadSignatureError:
            return
        self.count(height, stage, index)

    def count(self, height: int, stage: int, index: int) -> None:
        """One more vote."""
        self.votes.setdefault((height, stage), set()).add(index)

    def advance(self) -> bool:
        """One stage on, with its vote, if this one has its quorum."""
        if len(self.votes.get((self.height, self.stage), ())) < self.quorum:
            return False
        self.votes.pop((self.height, self.stage))
        if self.stage == INIT:
            self.stage = ACCEPT
        else:
            self.height, self.stage = self.height + 1, INIT
        self.vote()
        return True


def measure(folder: Path, seconds: float = MEASURED_S, processes: int = PROCESSES) -> float:
    """Heights per second of the loop: the median of its processes.

    Args:
        folder: where each process writes its file: on the disk whose syncs shall be counted.
        seconds: how long to count, after 0.3 s that do not.
        processes: n; the quorum is that of a node's suffrage.
    Raises:
        TimeoutError: the processes did not find each other within 20 s.
    """
    spawning = multiprocessing.get_context("spawn")
    ends: list[Connection] = []
    children = []
    try:
        for index in range(processes):
            mine, theirs = spawning.Pipe()
            child = spawning.Process(
                target=_run, args=(index, str(folder), seconds, theirs), daemon=True
            )
            child.start()
            theirs.close()
            children.append(child)
            ends.append(mine)
        known = [_receive(end) for end in ends]
        for end in ends:
            end.send(known)
        for end in ends:
            _receive(end)  # It hears all others.
        for end in ends:
            end.send("go")
        return float(statistics.median(_receive(end, seconds) for end in ends))
    finally:
        for child in children:
            child.kill()
            child.join()
        for end in ends:
            end.close()


def _receive(end: Connection, more_s: float = 0.0) -> Any:
    if not end.poll(START_TIMEOUT_S + more_s):
        raise TimeoutError("a process of the floor loop does not answer")
    return end.recv()


def _run(index: int, folder: str, seconds: float, parent: Connection) -> None:
    """One process: meet the others, vote, report heights per second."""
    context = zmq.Context()
    signer = SigningKey(os.urandom(32))
    public, secret = zmq.curve_keypair()
    publisher = context.socket(zmq.PUB)
    publisher.curve_server = True
    publisher.curve_secretkey = secret
    publisher.curve_publickey = public
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    parent.send((port, public, bytes(signer.verify_key)))
    known = parent.recv()
    subscriber = context.socket(zmq.SUB)
    subscriber.curve_secretkey = secret
    subscriber.curve_publickey = public
    subscriber.subscribe(b"")
    for other, (port, key, _) in enumerate(known):
        if other != index:
            subscriber.curve_serverkey = key
            subscriber.connect(f"tcp://127.0.0.1:{port}")
    path = Path(folder) / f"floor-{os.getpid()}"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    path.unlink()  # The parent ends this process without asking; nothing is left behind.
    try:
        os.pwrite(file, bytes(FILE_BYTES), 0)
        os.fsync(file)
        keys = [VerifyKey(key) for _, _, key in known]
        quorum = (len(keys) + (len(keys) - 1) // 3) // 2 + 1
        voter = _Voter(index, quorum, signer, keys, publisher, subscriber, file)
        _meet(voter, parent)
        parent.send(_loop(voter, seconds))
    finally:
        os.close(file)
        context.destroy(linger=0)


def _meet(voter: _Voter, parent: Connection) -> None:
    """Publish hellos until the parent says that everybody hears everybody."""
    heard: set[int] = set()
    told = False
    while not parent.poll():
        voter.publisher.send(bytes((voter.index,)), zmq.DONTWAIT)
        if voter.subscriber.poll(HELLO_MS):
            heard.add(voter.subscriber.recv()[0])
        if len(heard) == len(voter.keys) - 1 and not told:
            parent.send("met")
            told = True
    parent.recv()


def _loop(voter: _Voter, seconds: float) -> float:
    begin = time.monotonic() + WARM_S
    end = begin + seconds
    first: tuple[float, int] | None = None
    voter.vote()
    while True:
        now = time.monotonic()
        if first is None and now >= begin:
            first = now, voter.height
        if now >= end:
            break
        if voter.advance():
            continue
        if not voter.subscriber.poll(STALL_MS):
            for ballot in voter.own:
                voter.publisher.send(ballot, zmq.DONTWAIT)
            continue
        while True:
            try:
                ballot = voter.subscriber.recv(zmq.DONTWAIT)
            except zmq.Again:
                break
            if len(ballot) == BALLOT_BYTES:
                voter.take(ballot)
    assert first is not None
    return (voter.height - first[1]) / (now - first[0])
