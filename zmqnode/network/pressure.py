"""Descriptors and memory of this process: how much is there, how much is used."""

from __future__ import annotations

import contextlib
import os
import resource
from typing import Final

from zmqnode.network.limits import NetworkLimits

CONNECTIONS_MIN: Final = 16  # below this a node could not even vote
CONTAINER_LIMIT: Final = "/sys/fs/cgroup/memory.max"
DESCRIPTORS_PER_CONNECTION: Final = 2  # libzmq's and the guard's duplicate


def raise_descriptor_limit() -> int:
    """Set the soft limit of open files to the hard one; returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft


def connections_that_fit(limits: NetworkLimits, descriptors: int) -> int:
    """``connections_max``, lowered to leave ``descriptors_reserved`` for journal and store."""
    fitting = (descriptors - limits.descriptors_reserved) // DESCRIPTORS_PER_CONNECTION
    return max(CONNECTIONS_MIN, min(limits.connections_max, fitting))


def descriptors_used() -> int:
    """Open descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def held_bytes() -> int:
    """Memory in RAM that this process cannot give back: without mapped files, such as the store."""
    with open("/proc/self/statm", "rb") as file:
        _, resident, shared = file.read().split()[:3]
    return (int(resident) - int(shared)) * resource.getpagesize()


def machine_bytes() -> int:
    """Memory of this machine, or of the container if it may use less."""
    most = os.sysconf("SC_PHYS_PAGES") * resource.getpagesize()
    try:
        with open(CONTAINER_LIMIT, encoding="ascii") as file:
            return min(most, int(file.read()))
    except (OSError, ValueError):  # No such group, or "max".
        return most


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
