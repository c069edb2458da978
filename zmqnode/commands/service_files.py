"""What a service needs to know of a node, and its systemd unit.

A node ends with 10 when it stopped itself for safety and with 2 when its config or key cannot be
used: neither gets better by starting it again, and the first wants a person. Everything else
(a crash, a port or folder still in use) is tried again.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import typer

from zmqnode.config import load_node
from zmqnode.errors import Invalid

EXITS_FOR_GOOD: Final = (2, 10)
STOP_S: Final = 60  # A node drains first.
DESCRIPTORS: Final = 65_536
KEY_FOLDER: Final = Path("/etc/zmqnode")

_USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}|[0-9]{1,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A node as its service sees it; all paths absolute."""

    address: str
    network_id: str
    file: Path  # node.yml
    data: Path  # Written to; everything else is only read.
    read: tuple[Path, ...]  # What it reads beside its folder and its data: genesis, app-path.
    credential: str | None  # NAME of `privatekey: cred:NAME`, else None.
    key: Path  # The file behind the credential.
    healthz: str | None  # The url to ask, with metrics.url.

    @classmethod
    def of(cls, folder: Path, key: Path | None) -> Self:
        """Read from a node.yml.

        Raises:
            Invalid: ``file_missing``; ``config_invalid``, also for a key that comes from stdin.
        """
        config, _ = load_node(folder)
        secret = config.privatekey
        if secret.kind == "stdin":
            message = f"{config.file}: privatekey is read from stdin, and a service has none"
            raise Invalid("config_invalid", message, hint="privatekey: cred:identity")
        read = [config.genesis, *config.app_path]
        if secret.kind == "file":
            read.append(secret.path)
        own = (config.file.parent, config.data)
        return cls(
            address=str(config.address),
            network_id=config.network_id,
            file=_absolute(config.file),
            data=_absolute(config.data),
            read=tuple(
                _absolute(one)
                for one in dict.fromkeys(read)
                if not any(_absolute(one).is_relative_to(_absolute(home)) for home in own)
            ),
            credential=secret.name if secret.kind == "cred" else None,
            key=_absolute(key or KEY_FOLDER / f"{config.address}.key"),
            healthz=None if config.metrics is None else f"{config.metrics.http}/healthz",
        )

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every path it uses, the key's aside."""
        return (self.file, self.data, *self.read)


def check_user(name: str) -> str:
    """A user's name or number; raises typer.BadParameter."""
    if _USER.fullmatch(name) is None:
        raise typer.BadParameter(f"{name!r} is no name of a user")
    return name


def unit(served: Served, user: str) -> str:
    """The text of a systemd unit."""
    exits = " ".join(str(code) for code in EXITS_FOR_GOOD)
    run = [sys.executable, "-m", "zmqnode", "node", "run", str(served.file), "--log-format", "json"]
    return f"""\
# Made by `zmqnode service systemd`. Put it at /etc/systemd/system/zmqnode-{served.address}.service:
#   systemctl daemon-reload && systemctl enable --now zmqnode-{served.address}
[Unit]
Description=zmqnode {served.address} of {_escaped(served.network_id)}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=10min
StartLimitBurst=10

[Service]
Type=exec
User={user}
WorkingDirectory={_escaped(str(served.data))}
ExecStart={" ".join(_quoted(word) for word in run)}
{_credential(served)}
# A crash is started again. Exit 10 (BROKEN: it stopped voting for safety) and exit 2 (its config or
# key) are not: they want a person. `zmqnode node info` and the log name the cause and the way out.
Restart=on-failure
RestartSec=2
RestartPreventExitStatus={exits}
KillSignal=SIGTERM
TimeoutStopSec={STOP_S}
LimitNOFILE={DESCRIPTORS}

# It writes to its data folder, speaks TCP, and needs nothing else.
ReadWritePaths={_quoted(str(served.data))}
{_hardening(served)}

[Install]
WantedBy=multi-user.target
"""


def _credential(served: Served) -> str:
    if served.credential is not None:
        return f"LoadCredential={served.credential}:{_escaped(str(served.key))}"
    return (
        "# The identity key is read as node.yml says. To keep its file closed to this user, write\n"
        "# `privatekey: cred:identity` there and make this unit again with --key FILE."
    )


def _hardening(served: Served) -> str:
    program = Path(sys.executable)
    used = (*served.paths, program, program.resolve(), Path(sys.prefix))
    homes = any(path.is_relative_to(home) for path in used for home in ("/home", "/root"))
    temporary = any(path.is_relative_to(home) for path in used for home in ("/tmp", "/var/tmp"))
    settings = {
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "AmbientCapabilities": "",
        "ProtectSystem": "strict",
        "ProtectHome": "read-only" if homes else "yes",
        "PrivateTmp": "no" if temporary else "yes",
        "PrivateDevices": "yes",
        "ProtectClock": "yes",
        "ProtectControlGroups": "yes",
        "ProtectHostname": "yes",
        "ProtectKernelLogs": "yes",
        "ProtectKernelModules": "yes",
        "ProtectKernelTunables": "yes",
        "ProtectProc": "invisible",
        "LockPersonality": "yes",
        "RemoveIPC": "yes",
        "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX AF_NETLINK",
        "RestrictNamespaces": "yes",
        "RestrictRealtime": "yes",
        "RestrictSUIDSGID": "yes",
        "SystemCallArchitectures": "native",
        "SystemCallFilter": "@system-service",
        "SystemCallErrorNumber": "EPERM",
        "UMask": "0077",
    }
    return "\n".join(f"{name}={value}" for name, value in settings.items())


def _absolute(path: Path) -> Path:
    """Without ``..``, but not resolved: a link stays what the operator wrote."""
    return Path(os.path.abspath(path))


def _escaped(text: str) -> str:
    """A value of a unit file: ``%`` begins a specifier there."""
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """One word of a list in a unit file."""
    if re.fullmatch(r"[A-Za-z0-9_./@:+,=-]+", word):
        return word
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{_escaped(plain)}"'
