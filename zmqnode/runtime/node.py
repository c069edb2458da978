"""The composition root: one node from its config, on real sockets, disk and clock."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from zmqnode.app import App
from zmqnode.base.block import Block
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import public_text, verify
from zmqnode.base.signing import Domain, Signer
from zmqnode.client.answers import NodeInfo, read
from zmqnode.config import Config
from zmqnode.core.effects import (
    AnswerClient,
    Break,
    Effect,
    EnterState,
    ReplaceKey,
    ReportEvidence,
    ShowHandover,
    Stop,
)
from zmqnode.core.events import Booted, StopAsked
from zmqnode.core.machine import Machine
from zmqnode.core.records import Recovery
from zmqnode.errors import Damaged, ZmqnodeError
from zmqnode.network import DoorRoute, PeerNetwork, new_context
from zmqnode.network.gate import Strike
from zmqnode.network.sockets import Context
from zmqnode.runtime.assembly import (
    Parts,
    door_memory_bytes_max,
    machine_config,
    open_network,
    read_parts,
)
from zmqnode.runtime.dialling import Dialling
from zmqnode.runtime.driver import Driver
from zmqnode.runtime.exchange import Exchange
from zmqnode.runtime.feeds import Feeds
from zmqnode.runtime.folder import DataFolder
from zmqnode.runtime.garbage import spare_votes
from zmqnode.runtime.ledger import Ledger
from zmqnode.runtime.logs import open_log, quiet_log
from zmqnode.runtime.metering import Metrics
from zmqnode.runtime.notebook import Notebook
from zmqnode.runtime.obeying import open_handovers
from zmqnode.runtime.queries import Queries
from zmqnode.runtime.rebirth import recovery_of, replace_instance
from zmqnode.runtime.showing import node_info
from zmqnode.runtime.standing import Standing
from zmqnode.runtime.watching import Watch
from zmqnode.storage.lmdb import LmdbStore

EXIT_BROKEN: Final = 10
EXIT_BUG: Final = 70
BUG_WAY_OUT: Final = (
    "report the traceback in the log; then restart the node: it resumes from its journal"
)
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
        self._closing: asyncio.Task[None] | None = None
        self._last_info: NodeInfo | None = None
        self.crash: BaseException | None = None

    # Starting.

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        try:
            self._open()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._running and not self._ended.is_set():
                self.stop()
                await self._ended.wait()
        finally:
            await self._end()

    _running = False
    _folder: DataFolder | None = None
    _notebook: Notebook | None = None
    _store: LmdbStore | None = None
    _context: Context | None = None
    _network: PeerNetwork | None = None
    _metrics: Metrics | None = None
    driver: Driver | None = None
    watch: Watch | None = None

    def _open(self) -> None:
        config = self.config
        parts = read_parts(config, self._app)
        folder = self._folder = DataFolder(config.data)
        metrics = self._metrics = Metrics(config, self._loop) if config.metrics else None
        check = verify if metrics is None else metrics.meter.counting(verify)
        self._notebook = Notebook(folder.journal)  # Before the store: see DataFolder.votes_lost.
        store = self._store = LmdbStore(
            folder.store, on_durable=self._durable, on_failure=self._store_failed
        )
        self.ledger = Ledger(store, parts.app, parts.genesis)
        self.ledger.hazards = folder.open_hazards(parts.genesis.params)
        domain = Domain(network_id=parts.genesis.network_id, genesis=self.ledger.genesis_hash)
        signer = Signer(folder.instance, domain)
        machine = Machine(machine_config(config, parts, signer, check))
        self.driver = Driver(machine, self._notebook, self.ledger, self, self._loop, self._crashed)
        self.exchange = Exchange(
            domain=domain,
            app=parts.app,
            store=store,
            post=self.driver.post,
            known=self._knows,
            log=self._log,
            verify=check,
        )
        self._context = new_context()
        self._network = open_network(
            config, parts, self.ledger, folder.instance, self.exchange, self._context, self._loop
        )
        self._open_door(parts, signer, folder)
        if metrics is not None:
            metrics.begin(self.standing, self.exchange, self._door)
        self.exchange.network = self._network
        self._dialling = Dialling(self._network, self.ledger, config.url.url)
        folder.write_pid()
        self._running = True
        self.driver.start(Booted(recovery=self._recovery()))
        self._tick()
        self._log("info", f"started {config.address} at {config.url.url}")

    def _open_door(self, parts: Parts, signer: Signer, folder: DataFolder) -> None:
        config = self.config
        assert self.driver is not None and self._network is not None
        self.standing = Standing(
            driver=self.driver,
            ledger=self.ledger,
            network=self._network,
            signer=signer,
            address=config.address,
            identity=parts.identity.public,
            admin=folder.admin.public,
            url=config.url.url,
            params=parts.genesis.params,
            faults=config.faults,
            stop=self.stop,
        )
        self._door = self._network.open_door(self, memory_bytes_max=door_memory_bytes_max())
        self.watch = Watch(self.standing)
        self.feeds = Feeds(self.standing, self._door, self.watch.picture, self._loop)
        self.queries = Queries(self.standing, self._door, self._loop.call_soon)
        self.queries.feeds = self.feeds
        self.handovers = open_handovers(
            self.standing, self.queries, self.exchange, folder.path, self._log
        )

    def _recovery(self) -> Recovery:
        folder, notebook = self._folder, self._notebook
        assert notebook is not None and folder is not None
        records, newest = notebook.recovered(self.ledger.height, folder.instance.public)
        return recovery_of(
            self.ledger,
            bound=folder.bound,
            votes_lost=folder.votes_lost,
            records=records,
            watermark=newest,
        )

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
                self.feeds.state_changed(state, previous, reason)
            case Break(cause=cause, way_out=way_out):
                self._exit_code = EXIT_BROKEN
                self._log("error", f"BROKEN: {cause}; way out: {way_out}")
            case ReportEvidence(first=first):
                self._log("warning", f"equivocation: {first}")
                self.feeds.evidence(first)
            case ShowHandover(session=view):
                self.handovers.show(view)
            case ReplaceKey():
                self._loop.call_soon(self._replace_key)  # Between turns.
            case Stop():
                self._loop.call_later(STOP_GRACE_S, self._leave)

    def committed(self, block: Block) -> None:
        """A block is the tip now."""
        self._dialling.look()
        if self._metrics is not None:
            self._metrics.meter.committed(block)
        if self.watch is not None:
            self.watch.committed(block)
        self.handovers.committed(self.ledger.steps(block.height))
        self.queries.committed(block)

    def turn_over(self) -> None:
        """All effects of a turn were performed."""
        if self._metrics is not None:
            self._metrics.meter.turn_over()
        self.exchange.turn_over()
        if self.watch is not None:
            self.watch.turn_over()

    def _replace_key(self) -> None:
        """This instance's key is spent: go on as another instance, in the same process."""
        driver, folder, network = self.driver, self._folder, self._network
        if self._stopping or driver is None or folder is None or network is None:
            return  # The next start does it.
        before = public_text(folder.instance.public)
        ignored, evidence = self.standing.ignored_ballots, self.standing.evidence
        try:
            signer = replace_instance(driver, folder, network)
        except Damaged as error:
            driver.fail(error)
            return
        self.standing.become(signer, ignored=ignored, evidence=evidence)
        self.queries.changed()
        self._log("info", f"the spent key {before} is replaced by {public_text(signer.public)}")

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
        """A bug of ours: vote no more, keep answering; a second one ends the process."""
        first, self.crash = self.crash, error
        self.logger.critical("a bug stopped this node from voting", exc_info=error)
        if first is None and self.driver is not None and not self._stopping:
            self.driver.break_down(f"a bug: {type(error).__name__}: {error}", BUG_WAY_OUT)
            return
        self._exit_code = EXIT_BUG
        if self.driver is not None:
            self.driver.close()
        self._begin_end()

    def _knows(self, seal: Hash) -> bool:
        assert self.driver is not None
        kernel = self.driver.machine.kernel
        return kernel is not None and (
            kernel.pool.get(seal) is not None or kernel.chain.executed(seal)
        )

    def _tick(self) -> None:
        if not self._ended.is_set():
            self.queries.tick(time.time_ns() // 1_000_000)
            if self.watch is not None:
                self.watch.tick()
            self._ticker = self._loop.call_later(TICK_S, self._tick)

    def _log(self, level: str, text: str) -> None:
        self.logger.log(getattr(logging, level.upper()), "%s", text)
        if self.watch is not None:
            self.watch.logged(level, text)

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
        """Wait until the node is gone: ports, store, journal and folder are free; its exit code."""
        await self._ended.wait()
        return self._exit_code

    @property
    def target(self) -> str:
        """What a client needs to reach this node."""
        key = public_text(self.standing.identity)
        return self.config.url.url.replace("tcp://", f"tcp://{key}@", 1)

    def info(self) -> NodeInfo:
        """NodeInfo, as a client's ``info()`` gives it; of a stopped node: its last."""
        if self._last_info is not None:
            return self._last_info
        return read(NodeInfo, node_info(self.standing))

    def _leave(self) -> None:
        """The core has stopped, and what it said has left."""
        self._last_info = self.info()
        self._begin_end()

    def _begin_end(self) -> None:
        """Let go of everything, once; it does not wait for the ``async with`` to end."""
        if self._closing is None:
            self._closing = self._loop.create_task(self._close())

    async def _end(self) -> None:
        self._begin_end()
        assert self._closing is not None
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
        if self._metrics is not None:
            await self._metrics.close()
        if self.driver is not None:
            self.driver.close()
        if self.watch is not None:
            self.feeds.close()
        if self._network is not None:
            self._network.close()
            self._network = None
        if self._context is not None:
            self._context.term()
            self._context = None
        problems: list[ZmqnodeError] = []
        store, self._store = self._store, None
        try:
            if store is not None:  # It writes what it still holds; other nodes of the loop go on.
                await self._loop.run_in_executor(None, store.close)
        except ZmqnodeError as error:
            problems.append(error)
        notebook, self._notebook = self._notebook, None
        try:
            if notebook is not None:
                notebook.close()
        except ZmqnodeError as error:
            problems.append(error)
        if self._folder is not None:
            self._folder.close()
            self._folder = None
        for problem in problems:
            self._log("error", problem.message)
        self._ended.set()

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
            spare_votes()
            return await node.stopped()
