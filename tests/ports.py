"""Ports for tests: every process has a block of its own and walks through it.

A port that is taken by chance and only looked at may be another test process's a moment later, and
one from the kernel's range for outgoing connections may be gone before it is bound. So a block
lies below that range (and below what networks made by ``zmqnode`` itself choose from), belongs to
the process that holds the abstract Unix socket of its name (which goes with the process, and lives
in the network namespace, as ports do), and is walked through, not drawn from: what one test closed
is not at once the next one's.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import cache
from itertools import cycle

FIRST = 10_000
BLOCK = 300
BLOCKS = 33  # up to 19,899
NODE = 3  # door, peers, publish
LOOPBACK = ("127.0.0.1", "::1")


@cache
def _block() -> tuple[socket.socket, Iterator[int]]:
    """The process's block: what holds it, and the first ports of nodes in it, round and round."""
    for number in range(BLOCKS):
        holder = socket.socket(socket.AF_UNIX)
        try:
            holder.bind(f"\0zmqnode-test-ports-{number}")
        except OSError:
            holder.close()
            continue
        first = FIRST + number * BLOCK
        return holder, cycle(range(first, first + BLOCK, NODE))
    raise AssertionError("all blocks of ports are taken by other test processes")


def claim_ports() -> None:
    """Take the block now: it costs one descriptor, which tests that count theirs must not see."""
    _block()


def free_ports(nodes: int = 1) -> int:
    """A first port of so many nodes, with three each, that nobody listens on, on IPv4 or IPv6."""
    _, firsts = _block()
    run: list[int] = []
    for _ in range(2 * BLOCK // NODE):
        first = next(firsts)
        if run and first != run[-1] + NODE:
            run = []  # The walk began anew.
        if all(_is_free(first + offset) for offset in range(NODE)):
            run.append(first)
        else:
            run = []
        if len(run) == nodes:
            return run[0]
    raise AssertionError(f"no free ports for {nodes} nodes in a block of {BLOCK}")


def _is_free(port: int) -> bool:
    return all(_can_listen(ip, port) for ip in LOOPBACK[: 1 + has_ipv6()])


def _can_listen(ip: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # As libzmq binds.
        try:
            probe.bind((ip, port))
        except OSError:
            return False
    return True


@cache
def has_ipv6() -> bool:
    """Whether this machine has an IPv6 loopback."""
    return socket.has_ipv6 and _can_listen("::1", 0)
