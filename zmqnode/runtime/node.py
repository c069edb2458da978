"""The composition root: one node from its config, on real sockets, disk and clock."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from zmqnode.app import App, load_app
from zmqnode.base.codec import decode, encode
from zmqnode.base.genesis import check_genesis
from zmqnode.base.hashes import Hash, sha256
from zmqnode.base.keys import PrivateKey, public_text, verify
from zmqnode.base.signing import Domain, Signer
from zmqnode.config import Config
from zmqnode.config.genesis import load_genesis
from zmqnode.core.effects import (
    AnswerClient,
    Break,
    Commit,
    Effect,
    EnterState,
    ReportEvidence,
    Stop,
)
from zmqnode.core.events import Booted, StopAsked
from zmqnode.core.machine import Machine
from zmqnode.core.records import Recovery
from zmqnode.core.world import MachineConfig
from zmqnode.errors import Damaged, Invalid, Refused, ZmqnodeError
from zmqnode.network import DoorRoute, Endpoints, Introduction, PeerNetwork, new_context
from zmqnode.network.gate import Strike
from zmqnode.network.limits import KIB, NetworkLimits
from zmqnode.network.sockets import Context
from zmqnode.runtime.driver import Driver
from zmqnode.runtime.exchange import Exchange
from zmqnode.runtime.folder import DataFolder
from zmqnode.runtime.ledger import Ledger
from zmqnode.runtime.logs import open_log, quiet_log
from zmqnode.runtime.notebook import Notebook
from zmqnode.runtime.queries import Queries
from zmqnode.runtime.standing import Standing
from zmqnode.storage.lmdb import LmdbStore

EXIT_BROKEN: Final = 10
EXIT_BUG: Final = 70
TICK_S: Final = 0.1
STOP_GRACE_S: Final = 0.05  # Answers under way leave before the sockets close.


class Node:
    """One running node. ``async with Node(config, app) as node`` starts and stops it.

    Args:
        config: a Config or the path of a node.yml or its folder.
        app: an App, "kv", "module:app", or None for the configured one.
        logger: where it logs; None: nowhere (``Node.run`` logs to stderr).
    Raises (on entering):
        Invalid: ``config_invalid``, ``key_invalid``, ``file_missing``.
        Refused: ``folder_in_use``, ``address_in_use``.
    """

    def __init__(
        self,
        config: Config | str | Path,
        app: App | str | None = None,
        *,
        logger: logging.Logger | None = None,
    ) -> None:
        self.config = config if isinstance(config, Config) else Config.load(config)
        self._app = app
        self.logger = logger or quiet_log()
        self._ended = asyncio.Event()
        self._opened: list[object] = []
        self._exit_code = 0
        self._stopping = False
        self._ticker: asyncio.TimerHandle | None = None
        self.crash: BaseException | None = None

    # Starting.

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        try:
            self._open()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._ended.is_set() and self._running:
            self.stop()
            await self._ended.wait()
        await self._close()

    _running = False
    _folder: DataFolder | None = None
    _notebook: Notebook | None = None
    _store: LmdbStore | None = None
    _context: Context | None = None
    _network: PeerNetwork | None = None
    driver: Driver | None = None

    def _open(self) -> None:
        config = self.config
        identity = config.privatekey.key()
        genesis = load_genesis(config.genesis)
        findings = check_genesis(genesis, verify)
        if findings:
            raise Invalid("config_invalid", f"{config.genesis}: {findings[0]}", findings=findings)
        if genesis.network_id != config.network_id:
            raise Invalid(
                "network_mismatch",
                f"node.yml names network {config.network_id}, the genesis {genesis.network_id}",
                hint="use the genesis file of this network",
            )
        app = self._load_app()
        if (app.name, app.version) != (genesis.app, genesis.app_version):
            raise Invalid(
                "config_invalid",
                f"the genesis is for app {genesis.app} version {genesis.app_version}, "
                f"this is {app.name} version {app.version}",
                hint="run the app the network was made for",
            )
        member = genesis.suffrage.by_address.get(config.address)
        if member is not None and member.publickey != identity.public:
            raise Invalid(
                "key_invalid",
                f"the private key is not the one of {config.address} in the genesis",
                hint=f"its public key must be {public_text(member.publickey)}",
            )
        folder = self._folder = DataFolder(config.data)
        store = self._store = LmdbStore(
            folder.store, on_durable=self._durable, on_failure=self._store_failed
        )
        self.ledger = Ledger(store, app, genesis)
        notebook = self._notebook = Notebook(folder.journal)
        domain = Domain(network_id=genesis.network_id, genesis=self.ledger.genesis_hash)
        signer = Signer(folder.instance, domain)
        machine = Machine(
            MachineConfig(
                address=config.address,
                signer=signer,
                params=genesis.params,
                domain=domain,
                verify=verify,
            )
        )
        self.driver = Driver(machine, notebook, self.ledger, self, self._loop, self._crashed)
        self.exchange = Exchange(
            domain=domain,
            app=app,
            store=store,
            post=self.driver.post,
            known=self._knows,
            log=self._log,
        )
        self._open_network(identity, folder, domain)
        assert self._network is not None
        self.standing = Standing(
            driver=self.driver,
            ledger=self.ledger,
            network=self._network,
            signer=signer,
            address=config.address,
            identity=identity.public,
            admin=folder.admin.public,
            url=config.url.url,
            params=genesis.params,
            faults=config.faults,
            stop=self.stop,
        )
        self._door = self._network.open_door(self)
        self.queries = Queries(self.standing, self._door)
        folder.write_pid()
        self._running = True
        self.driver.start(Booted(recovery=self._recovery()))
        self._tick()
        self._log("info", f"started {config.address} at {config.url.url}")

    def _load_app(self) -> App:
        if isinstance(self._app, App):
            return self._app
        folders = [*self.config.app_path, self.config.file.parent, Path.cwd()]
        return load_app(self._app or self.config.app, folders)

    def _recovery(self) -> Recovery:
        assert self._notebook is not None and self._folder is not None
        ledger = self.ledger
        records, newest = self._notebook.recovered(ledger.height)
        params = self.standing.params
        blocks = ledger.summaries(params.seal_ttl_ms + params.seal_ahead_ms)
        suffrages = []
        for height in range(max(1, ledger.height - 8), ledger.height + 3):
            suffrage = ledger.suffrage(height)
            assert suffrage is not None
            suffrages.append((height, suffrage))
        return Recovery(
            blocks=blocks,
            suffrages=tuple(suffrages),
            records=records,
            watermark=newest,
            nonce=Hash(os.urandom(32)),
            bound=self._folder.bound,
        )

    def _open_network(self, identity: PrivateKey, folder: DataFolder, domain: Domain) -> None:
        config, ledger = self.config, self.ledger
        suffrage = ledger.suffrages[-1][1]
        listed = {str(member.address): member.publickey for member in suffrage.members}
        listed.setdefault(str(config.address), identity.public)
        params = load_genesis(config.genesis).params
        self._context = new_context()
        self._network = PeerNetwork(
            self._context,
            self._loop,
            introduction=Introduction(
                network_id=config.network_id,
                genesis=ledger.genesis_hash,
                params=sha256(encode_params(params)),
                app=ledger.app.name,
                app_version=ledger.app.version,
                address=str(config.address),
                instance=folder.instance.public,
                incarnation=bytes(8),
                url=config.url.url,
                publish_port=config.publish.port,
            ),
            identity=identity,
            instance=folder.instance,
            endpoints=Endpoints(
                ip=config.url.host,
                door=config.url.port,
                peers=config.peers.port,
                publish=config.publish.port,
            ),
            listed=listed,
            hooks=self.exchange,
            limits=NetworkLimits(
                door_bytes_max=params.seal_bytes_max + 4 * KIB,
                peer_bytes_max=params.block_bytes_max + 2 * 1024 * KIB,
                seals_bytes_max=params.seal_bytes_max + 1024 * KIB,
                # A local network under fault injection has no rate limit for its clients.
                door_messages_rate=None if config.faults else NetworkLimits().door_messages_rate,
            ),
            decode=decode,
        )
        self.exchange.network = self._network
        for member in suffrage.members:
            if member.url != config.url.url:
                self._network.connect(str(member.address), member.url)

    # Outside: what the driver hands on.

    def perform(self, effect: Effect) -> None:
        """One effect that is neither record, execution nor commit."""
        if self.exchange.perform(effect):
            return
        match effect:
            case AnswerClient(token=token, seal=seal, code=code, message=message):
                self.queries.seal_judged(token, seal, code, message)
            case EnterState(state=state, previous=previous, reason=reason):
                self._log("info", f"{previous.name} -> {state.name}: {reason}")
                self.queries.changed()
            case Break(cause=cause, way_out=way_out):
                self._exit_code = EXIT_BROKEN
                self._log("error", f"BROKEN: {cause}; way out: {way_out}")
            case ReportEvidence(first=first):
                self._log("warning", f"equivocation: {first}")
            case Stop():
                self._loop.call_later(STOP_GRACE_S, self._ended.set)

    def committed(self, effect: Commit) -> None:
        """A block is the tip now."""
        block = self.ledger.block(effect.height)
        assert block is not None
        self.queries.committed(block)

    def turn_over(self) -> None:
        """Nothing waits for the end of a turn yet."""

    # DoorHooks.

    def client_request(self, client: bytes, route: DoorRoute, payload: bytes) -> Strike | None:
        """A client's request."""
        return self.queries.client_request(client, route, payload)

    def client_gone(self, session: object) -> None:
        """A client's connection ended."""
        self.queries.client_gone(session)

    def door_changed(self, reason: str) -> None:
        """The door closed under pressure, or is open again."""
        if reason:
            self._log("warning", f"the client door is closed: {reason}")
        else:
            self._log("info", "the client door is open again")

    # Other threads and failures.

    def _durable(self, height: int) -> None:
        self._loop.call_soon_threadsafe(self._prune, height)

    def _prune(self, height: int) -> None:
        if self._notebook is not None and not self._ended.is_set():
            self._notebook.prune(height)

    def _store_failed(self, error: Damaged) -> None:
        def fail() -> None:
            if self.driver is not None:
                self.driver.fail(error)

        self._loop.call_soon_threadsafe(fail)

    def _crashed(self, error: BaseException) -> None:
        """A bug of ours: vote no more; the process ends with its report."""
        self.crash = error
        self._exit_code = EXIT_BUG
        self.logger.critical("a bug stopped this node", exc_info=error)
        if self.driver is not None:
            self.driver.close()
        self._ended.set()

    def _knows(self, seal: Hash) -> bool:
        assert self.driver is not None
        kernel = self.driver.machine.kernel
        return kernel is not None and (
            kernel.pool.get(seal) is not None or kernel.chain.executed(seal)
        )

    def _tick(self) -> None:
        if not self._ended.is_set():
            self.queries.tick(time.time_ns() // 1_000_000)
            self._ticker = self._loop.call_later(TICK_S, self._tick)

    def _log(self, level: str, text: str) -> None:
        self.logger.log(getattr(logging, level.upper()), "%s", text)

    def log_context(self) -> dict[str, object]:
        """Where this node stands, for each line of its log."""
        context: dict[str, object] = {"address": str(self.config.address)}
        driver = self.driver
        if driver is not None and driver.machine.kernel is not None:
            votes = driver.machine.consensus.votes
            context["height"] = driver.machine.kernel.chain.tip.height + 1
            context["round"] = votes.round if votes is not None else None
        if self._folder is not None:
            context["instance"] = public_text(self._folder.instance.public)
        return context

    # Ending.

    def stop(self) -> None:
        """Begin a graceful stop; ``stopped()`` tells when it is over."""
        if not self._stopping and self.driver is not None:
            self._stopping = True
            self._log("info", "stopping")
            self.driver.post(StopAsked())

    async def stopped(self) -> int:
        """Wait until the node ends; its exit code."""
        await self._ended.wait()
        return self._exit_code

    @property
    def target(self) -> str:
        """What a client needs to reach this node."""
        key = public_text(self.standing.identity)
        return self.config.url.url.replace("tcp://", f"tcp://{key}@", 1)

    def info(self) -> dict[str, object]:
        """NodeInfo, as ``node info`` shows it."""
        from zmqnode.runtime.showing import node_info

        return node_info(self.standing)

    async def _close(self) -> None:
        self._ended.set()
        if self._ticker is not None:
            self._ticker.cancel()
        if self.driver is not None:
            self.driver.close()
        if self._network is not None:
            self._network.close()
            self._network = None
        if self._context is not None:
            self._context.term()
            self._context = None
        problems: list[ZmqnodeError] = []
        for closing in (self._store, self._notebook):
            if closing is None:
                continue
            try:
                closing.close()
            except ZmqnodeError as error:
                problems.append(error)
        self._store = self._notebook = None
        if self._folder is not None:
            self._folder.close()
            self._folder = None
        for problem in problems:
            self._log("error", problem.message)

    # In the foreground.

    @classmethod
    def run(
        cls,
        config: Config | str | Path,
        app: App | str | None = None,
        *,
        log_format: str | None = None,
    ) -> int:
        """``node run``: block until the node ends; owns SIGTERM and SIGINT; the exit code."""
        loaded = config if isinstance(config, Config) else Config.load(config)
        return asyncio.run(cls._run(loaded, app, log_format or loaded.log_format))

    @classmethod
    async def _run(cls, config: Config, app: App | str | None, log_format: str) -> int:
        node = cls(config, app)
        node.logger = open_log(node.log_context, level=config.log_level, form=log_format)
        for warning in config.warnings:
            node.logger.warning(warning)
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, node.stop)
        async with node:
            return await node.stopped()


def encode_params(params: object) -> bytes:
    """Canonical bytes of the chain's parameters, for the hello."""
    from zmqnode.base.codec import pack, to_wire

    return pack(to_wire(params))


__all__ = ["EXIT_BROKEN", "EXIT_BUG", "Node", "Refused", "encode"]
