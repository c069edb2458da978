"""A node under Docker: the image and its compose file.

Three things a container changes are put right here. The instance key is bound to the machine, so
the container sees the machine's id. ``network.url`` is both where a node listens and what it tells
others, so the container uses the machine's network. And Docker's restart policies know no exit code
that must not be tried again, so the image's entrypoint tells 2 and 10 as 0, after saying so.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from zmqnode import __version__
from zmqnode.commands.service_files import DESCRIPTORS, EXITS_FOR_GOOD, STOP_S, Served

PYTHON: Final = "3.13"
MACHINE_ID: Final = Path("/etc/machine-id")
SECRETS: Final = "/run/secrets"
ENTRYPOINT: Final = f"""\
#!/bin/sh
# Exit 2 (config or key) and 10 (BROKEN: it stopped voting for safety) are not mended by starting
# again. To Docker's restart policies only 0 means that.
zmqnode "$@" &
node=$!
trap 'kill -TERM "$node" 2>/dev/null' TERM INT
wait "$node"
code=$?
# A signal ends the wait, not the node: it drains first.
while kill -0 "$node" 2>/dev/null; do
    wait "$node"
    code=$?
done
case "$code" in
{"|".join(str(code) for code in EXITS_FOR_GOOD)})
    echo "zmqnode ended with exit $code; not to be started again before somebody looked" >&2
    exit 0
    ;;
esac
exit "$code"
"""


def dockerfile_text() -> str:
    """The image: zmqnode of a checkout, and the entrypoint."""
    return f"""\
# syntax=docker/dockerfile:1
# Made by `zmqnode service dockerfile`. In a checkout of zmqnode:
#   docker build --tag zmqnode:{__version__} .
FROM python:{PYTHON}-slim AS build
COPY . /src
RUN pip wheel --no-cache-dir --wheel-dir /wheels /src

FROM python:{PYTHON}-slim
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --no-index --find-links /wheels zmqnode && rm -r /wheels
COPY --chmod=755 <<'EOF' /usr/local/bin/zmqnode-service
{ENTRYPOINT}EOF
# The application of `app: MODULE:APP` and what it imports are installed in an image on top of this
# one, or mounted by compose.yml as node.yml's app-path.
STOPSIGNAL SIGTERM
USER 65534:65534
ENTRYPOINT ["zmqnode-service"]
CMD ["version"]
"""


def compose_text(served: Served) -> str:
    """The compose file of one node."""
    import yaml

    head = (
        "# Made by `zmqnode service compose`; the image: `zmqnode service dockerfile`.\n"
        "#   docker compose up --detach\n"
        "# restart: a crash is started again; exit 2 and 10 are not (see the image's entrypoint).\n"
    )
    tree: dict[str, Any] = {"services": {served.address: _service(served)}}
    if served.credential is not None:
        tree["secrets"] = {served.credential: {"file": str(served.key)}}
    return head + yaml.safe_dump(_escaped(tree), sort_keys=False, width=1000)


def _service(served: Served) -> dict[str, Any]:
    service: dict[str, Any] = {
        "image": f"zmqnode:{__version__}",
        "command": ["node", "run", str(served.file), "--log-format", "json"],
        "user": _owner(served.data),
        "restart": "on-failure",
        "init": True,
        "stop_grace_period": f"{STOP_S}s",
        "network_mode": "host",
        "read_only": True,
        "tmpfs": ["/tmp"],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "ulimits": {"nofile": DESCRIPTORS},
        "volumes": _mounts(served),
        "healthcheck": {
            "test": ["CMD", *_health(served)],
            "interval": "30s",
            "timeout": "10s",
            "start_period": "30s",
        },
    }
    if served.credential is not None:
        service["environment"] = {"CREDENTIALS_DIRECTORY": SECRETS}
        service["secrets"] = [served.credential]
    return service


def _escaped(value: Any) -> Any:
    """All texts of a tree with ``$`` doubled: one begins a variable in a compose file."""
    match value:
        case str():
            return value.replace("$", "$$")
        case dict():
            return {key: _escaped(one) for key, one in value.items()}
        case list():
            return [_escaped(one) for one in value]
        case _:
            return value


def _mounts(served: Served) -> list[dict[str, Any]]:
    """Everything at the path it has on the machine, so that node.yml means the same inside."""
    home = served.file.parent
    read = [MACHINE_ID, *served.read]
    if not home.is_relative_to(served.data):
        read.insert(0, home)
    # A folder before what lies in it: the data folder may be inside the node's.
    mounts = [{"source": str(path), "read_only": True} for path in read]
    mounts.append({"source": str(served.data)})
    mounts.sort(key=lambda one: len(Path(str(one["source"])).parts))
    return [{"type": "bind", **one, "target": one["source"]} for one in mounts]


def _owner(folder: Path) -> str:
    """Whom the data belongs to: the keys in it are closed to others."""
    try:
        status = folder.stat()
    except OSError:
        return f"{os.getuid()}:{os.getgid()}"
    return f"{status.st_uid}:{status.st_gid}"


def _health(served: Served) -> list[str]:
    if served.healthz is None:
        return ["zmqnode", "wait", "synced", "-t", str(served.file), "--timeout", "5s"]
    look = f"import urllib.request; urllib.request.urlopen({served.healthz!r}, timeout=5)"
    return ["python", "-c", look]
