"""What a node is made of, read and checked before anything is opened; and its network."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from zmqnode.app import App, load_app
from zmqnode.base.codec import decode, pack, to_wire
from zmqnode.base.genesis import Genesis, check_genesis
from zmqnode.base.hashes import sha256
from zmqnode.base.keys import PrivateKey, public_text, verify
from zmqnode.base.params import Params
from zmqnode.base.signing import Signer, Verify
from zmqnode.config import Config
from zmqnode.config.genesis import load_genesis
from zmqnode.config.limits import DOOR_MEMORY_BYTES_MIN, DOOR_MEMORY_PERCENT
from zmqnode.core.world import MachineConfig
from zmqnode.errors import Invalid
from zmqnode.network import Endpoints, Introduction, PeerHooks, PeerNetwork
from zmqnode.network.limits import KIB, NetworkLimits
from zmqnode.network.pressure import machine_bytes
from zmqnode.network.sockets import Context
from zmqnode.runtime.ledger import Ledger

ANSWER_ROOM_BYTES = 2048 * KIB  # A pull answer: one block, its proofs and envelope.
SEALS_ROOM_BYTES = 1024 * KIB
DOOR_ROOM_BYTES = 4 * KIB
VOTES_ROOM_BYTES = 512 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Key, genesis and application of a node, which fit together."""

    identity: PrivateKey
    genesis: Genesis
    app: App


def read_parts(config: Config, app: App | str | None) -> Parts:
    """Read what the config names and check that it belongs together.

    Raises:
        Invalid: ``config_invalid``, ``key_invalid``, ``file_missing``; details name the file.
    """
    identity = config.privatekey.key()
    genesis = load_genesis(config.genesis)
    findings = check_genesis(genesis, verify)
    if findings:
        raise Invalid("config_invalid", f"{config.genesis}: {findings[0]}", findings=findings)
    if genesis.network_id != config.network_id:
        raise Invalid(
            "config_invalid",
            f"{config.file} names network {config.network_id}, {config.genesis} is of network "
            f"{genesis.network_id}",
            hint="use the genesis file of this network, or set network-id to its",
            network_id=config.network_id,
            genesis_network_id=genesis.network_id,
        )
    member = genesis.suffrage.by_address.get(config.address)
    if member is not None and member.publickey != identity.public:
        raise Invalid(
            "key_invalid",
            f"the private key is not the one of {config.address} in {config.genesis}",
            hint=f"its public key must be {public_text(member.publickey)}",
            publickey=public_text(identity.public),
        )
    loaded = app if isinstance(app, App) else _load_app(config, app)
    if (loaded.name, loaded.version) != (genesis.app, genesis.app_version):
        raise Invalid(
            "config_invalid",
            f"{config.genesis} is for app {genesis.app} version {genesis.app_version}, "
            f"this is {loaded.name} version {loaded.version}",
            hint="run the app the network was made for",
        )
    return Parts(identity=identity, genesis=genesis, app=loaded)


def _load_app(config: Config, name: str | None) -> App:
    return load_app(name or config.app, [*config.app_path, config.file.parent, Path.cwd()])


def machine_config(config: Config, parts: Parts, signer: Signer, check: Verify) -> MachineConfig:
    """What the core is given at birth; ``signer`` is the instance's, bound to the chain."""
    return MachineConfig(
        address=config.address,
        signer=signer,
        params=parts.genesis.params,
        domain=signer.domain,
        verify=check,
        identity=Signer(parts.identity, signer.domain),
        consent_asks=config.handover_consent == "ask",
        standby_after_ms=config.standby_after_ms if config.standby_auto else None,
        url=config.url.url,
    )


def open_network(
    config: Config,
    parts: Parts,
    ledger: Ledger,
    instance: PrivateKey,
    hooks: PeerHooks,
    context: Context,
    loop: asyncio.AbstractEventLoop,
) -> PeerNetwork:
    """Bind the sockets and dial every member of the newest suffrage; raises Refused."""
    suffrage, params = ledger.suffrages[-1][1], parts.genesis.params
    listed = {str(member.address): member.publickey for member in suffrage.members}
    listed.setdefault(str(config.address), parts.identity.public)
    return PeerNetwork(
        context,
        loop,
        introduction=Introduction(
            network_id=config.network_id,
            genesis=ledger.genesis_hash,
            params=sha256(pack(to_wire(params))),
            app=parts.app.name,
            app_version=parts.app.version,
            address=str(config.address),
            instance=instance.public,
            incarnation=bytes(8),
            url=config.url.url,
            publish_port=config.publish.port,
        ),
        identity=parts.identity,
        instance=instance,
        endpoints=Endpoints(
            ip=config.url.host,
            door=config.url.port,
            peers=config.peers.port,
            publish=config.publish.port,
        ),
        listed=listed,
        hooks=hooks,
        limits=_limits(params, local=config.faults),
        decode=decode,
    )


def _limits(params: Params, *, local: bool) -> NetworkLimits:
    """The chain's sizes; a local network under fault injection has no rate limit for clients."""
    return NetworkLimits(
        door_bytes_max=params.seal_bytes_max + DOOR_ROOM_BYTES,
        peer_bytes_max=params.block_bytes_max + ANSWER_ROOM_BYTES,
        # A proposal names up to block_operations_max seals by 34 bytes each, beside its voteproofs.
        votes_bytes_max=40 * params.block_operations_max + VOTES_ROOM_BYTES,
        seals_bytes_max=params.seal_bytes_max + SEALS_ROOM_BYTES,
        door_messages_rate=None if local else NetworkLimits().door_messages_rate,
    )


def door_memory_bytes_max() -> int:
    """How much memory this process may hold before its client door closes."""
    share = machine_bytes() * DOOR_MEMORY_PERCENT // 100
    return max(DOOR_MEMORY_BYTES_MIN, share)
