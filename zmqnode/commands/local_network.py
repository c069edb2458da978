"""A local network: a folder of nodes and the processes that run them.

The folder alone is the state: ``testnet.json`` says which nodes there are, a node's lock whether a
process runs it, its node.pid which one. So any command, in any process, sees the same.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import zmqnode
from zmqnode.app.loading import BUILT_IN, load_app
from zmqnode.base.genesis import Genesis
from zmqnode.base.keys import PrivateKey, public_text
from zmqnode.base.params import Params
from zmqnode.client.authority import is_running, read_pid
from zmqnode.commands.folders import ENTRY_FILE, init_folder
from zmqnode.config.genesis import genesis_text, load_entry, load_genesis, parse_param
from zmqnode.config.limits import NODES_MAX
from zmqnode.config.node import GENESIS_FILE, parse_setting
from zmqnode.config.secret import write_secret_file
from zmqnode.config.target import CLIENT_KEY_FILE, TESTNET_FILE, local_folder
from zmqnode.errors import BY_EXIT_CODE, Invalid, Refused, TimedOut, ZmqnodeError
from zmqnode.runtime.folder import LOCK_FILE

PORTS_PER_NODE: Final = 3
SPARE_NODES: Final = 8  # Ports kept free behind the first nodes, for standbys.
PORTS: Final = range(20_000, 32_000)  # Below the ports the system hands out by itself.
LOG_FILE: Final = "node.log"
LOG_TAIL_BYTES: Final = 64 * 1024
STOP_MS: Final = 20_000  # Then a node that ends nothing is killed.
POLL_S: Final = 0.02
_ERROR: Final = re.compile(r"error: (?P<message>.*) \[(?P<code>[a-z_]+)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One node of a local network."""

    name: str
    address: str
    folder: Path
    url: str

    @property
    def pid(self) -> int | None:
        """The process that runs it, if one does."""
        pid = read_pid(self.folder)
        return pid if is_running(pid) and _is_locked(self.folder) else None

    def json(self) -> dict[str, Any]:
        """Its row of testnet.json."""
        return {
            "name": self.name,
            "address": self.address,
            "dir": self.folder.name,
            "url": self.url,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalNetwork:
    """What testnet.json says."""

    folder: Path
    network_id: str
    app: str
    nodes: tuple[Member, ...]

    @property
    def genesis(self) -> Path:
        """The file all nodes share."""
        return self.folder / GENESIS_FILE

    def chosen(self, names: Sequence[str]) -> tuple[Member, ...]:
        """Nodes by name, in the network's order; no names: all. Raises Refused ``not_found``."""
        known = {node.name: node for node in self.nodes}
        for name in names:
            if name not in known:
                hint = f"there are: {', '.join(known)}"
                raise Refused("not_found", f"{self.folder} has no node {name:.40}", hint=hint)
        return tuple(node for node in self.nodes if not names or node.name in names)

    def identity(self, node: Member) -> str:
        """The public key text of a node's address."""
        for entry in load_genesis(self.genesis).entries:
            if entry.address == node.address:
                return public_text(entry.publickey)
        raise Invalid("config_invalid", f"{self.genesis} does not know {node.address}")

    def save(self) -> None:
        """Write testnet.json, in one step."""
        tree = {
            "v": 1,
            "network_id": self.network_id,
            "app": self.app,
            "nodes": [node.json() for node in self.nodes],
        }
        temporary = self.folder / f"{TESTNET_FILE}.new"
        temporary.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
        temporary.replace(self.folder / TESTNET_FILE)


def in_use(folder: Path | None) -> Path:
    """The folder a command means: ``--dir``, else the testnet in use."""
    return local_folder() if folder is None else folder


def exists(folder: Path) -> bool:
    """Whether a folder holds a local network."""
    return (folder / TESTNET_FILE).is_file()


def load(folder: Path) -> LocalNetwork:
    """The network of a folder.

    Raises:
        Invalid: ``file_missing``, ``config_invalid``.
    """
    folder = folder.absolute()
    if not exists(folder):
        hint = "zmqnode testnet up makes one; --dir or ZMQNODE_TESTNET names another"
        raise Invalid("file_missing", f"{folder} is no testnet", hint=hint, file=str(folder))
    try:
        tree = json.loads((folder / TESTNET_FILE).read_text(encoding="utf-8"))
        nodes = tuple(
            Member(
                name=str(row["name"]),
                address=str(row["address"]),
                folder=folder / str(row["dir"]),
                url=str(row["url"]),
            )
            for row in tree["nodes"]
        )
        return LocalNetwork(
            folder=folder, network_id=str(tree["network_id"]), app=str(tree["app"]), nodes=nodes
        )
    except (OSError, ValueError, KeyError, TypeError):
        text = f"{folder / TESTNET_FILE} cannot be read"
        raise Invalid("config_invalid", text, hint="mend it, or make a new network") from None


def make(
    folder: Path, *, nodes: int, base_port: int | None, app: str, settings: Sequence[str]
) -> LocalNetwork:
    """Make the folder of a network of n members.

    Args:
        settings: ``params.X=V`` for the genesis, ``PATH=VALUE`` for every node.yml.
    Raises:
        Refused: ``already_exists``, ``address_in_use``.
        Invalid: ``usage``, ``config_invalid``.
    """
    folder = folder.absolute()
    if not 1 <= nodes <= NODES_MAX:
        raise Invalid("usage", f"a local network has 1 to {NODES_MAX} nodes, not {nodes}")
    loaded = load_app(app, [Path.cwd()])
    params = Params.of(dict(parse_param(one) for one in settings if one.startswith("params.")))
    extra = dict(parse_setting(one) for one in settings if not one.startswith("params."))
    if folder.exists() and any(folder.iterdir()):
        hint = "take another --dir, or remove it"
        text = f"{folder} is there and is no testnet"
        raise Refused("already_exists", text, hint=hint, file=str(folder))
    port = _free_base(nodes) if base_port is None else base_port
    network_id = f"testnet-{os.urandom(3).hex()}"
    common: dict[str, object] = {"genesis": f"../{GENESIS_FILE}", "app": app, "faults": True}
    if app not in BUILT_IN:
        common["app-path"] = [str(Path.cwd())]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        members = tuple(
            _make_node(folder, i, network_id, port, {**common, **extra}) for i in range(nodes)
        )
        network = LocalNetwork(folder=folder, network_id=network_id, app=app, nodes=members)
        genesis = Genesis(
            network_id=network_id,
            app=loaded.name,
            app_version=loaded.version,
            params=params,
            entries=tuple(
                sorted(
                    (load_entry(one.folder / ENTRY_FILE)[1] for one in members),
                    key=lambda entry: entry.address,
                )
            ),
        )
        network.genesis.write_text(genesis_text(genesis), encoding="utf-8")
        write_secret_file(folder / CLIENT_KEY_FILE, PrivateKey(os.urandom(32)).text())
        network.save()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return network


def _make_node(
    folder: Path, index: int, network_id: str, port: int, settings: dict[str, object]
) -> Member:
    name = f"n{index}"
    url = f"tcp://127.0.0.1:{port + PORTS_PER_NODE * index}"
    made = init_folder(
        folder / name, address=f"{name}sas", network_id=network_id, url=url, settings=settings
    )
    return Member(name=name, address=made["address"], folder=folder / name, url=url)


def _free_base(nodes: int) -> int:
    """A first port with all ports of the nodes, and of some standbys, free now."""
    count = PORTS_PER_NODE * (nodes + SPARE_NODES)
    for _ in range(200):
        first = random.randrange(PORTS.start, PORTS.stop - count)
        if all(is_free(port) for port in range(first, first + count)):
            return first
    raise Refused("address_in_use", "no free ports", hint="give --base-port")


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of the loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _is_locked(folder: Path) -> bool:
    """Whether a process holds a node's data folder."""
    try:
        handle = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


# Processes.


def start(node: Member) -> subprocess.Popen[bytes] | None:
    """Start a node's process, detached; None if one runs already."""
    if node.pid is not None:
        return None
    root = str(Path(zmqnode.__file__).parent.parent)
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    with (node.folder / LOG_FILE).open("ab") as log:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "zmqnode", "node", "run", str(node.folder)),
                *("--log-format", "json"),
            ],
            cwd=node.folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def ended(node: Member, process: subprocess.Popen[bytes]) -> ZmqnodeError | None:
    """Why a process that was started is no more; None: it is there."""
    code = process.poll()
    if code is None:
        return None
    said = _last_error(node.folder / LOG_FILE)
    if said is not None:
        cls = BY_EXIT_CODE.get(code, Refused)
        return cls(said["code"], f"{node.name}: {said['message']}", hint=_see(node))
    return Refused("wrong_state", f"{node.name} ended with exit code {code}", hint=_see(node))


def send(node: Member, name: str) -> bool:
    """Send a signal (KILL, TERM, STOP, CONT) to a node's process; False if there is none."""
    pid = node.pid
    if pid is None:
        return False
    try:
        os.kill(pid, signal.Signals[f"SIG{name}"])
    except ProcessLookupError:
        return False
    return True


def stop(nodes: Iterable[Member], timeout_ms: int = STOP_MS) -> None:
    """Stop nodes gracefully, all at once; what does not end in time is killed."""
    pids = [(node, pid) for node in nodes if (pid := node.pid) is not None]
    for node, _ in pids:
        send(node, "TERM")
        send(node, "CONT")  # A paused process takes no other signal.
    end = time.monotonic() + timeout_ms / 1000
    for node, pid in pids:
        if not await_end(pid, max(0.0, end - time.monotonic())):
            send(node, "KILL")
            await_end(pid, 5.0)


def await_end(pid: int, seconds: float) -> bool:
    """Whether a process ends in time. A child of ours is waited for, so that it is no zombie."""
    end = time.monotonic() + seconds
    while is_running(pid):
        if time.monotonic() >= end:
            return False
        _reap(pid)
        time.sleep(POLL_S)
    return True


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def remove(network: LocalNetwork) -> None:
    """Delete the folder of a network whose nodes are down."""
    shutil.rmtree(network.folder)


def until(done: Callable[[], bool], timeout_ms: int, what: str) -> None:
    """Poll; raises TimedOut."""
    end = time.monotonic() + timeout_ms / 1000
    while not done():
        if time.monotonic() >= end:
            raise TimedOut("timeout", f"{what}: not within {timeout_ms / 1000:g} s")
        time.sleep(POLL_S)


def _last_error(log: Path) -> dict[str, str] | None:
    """The last ``error: MESSAGE [CODE]`` of a log."""
    found = None
    for line in tail(log):
        match = _ERROR.search(line)
        if match is not None:
            found = match.groupdict()
    return found


def tail(log: Path) -> list[str]:
    """The last lines of a log."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - LOG_TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()
    except OSError:
        return []


def _see(node: Member) -> str:
    return f"see {node.folder / LOG_FILE}"
