"""``zmqnode service``: files that keep a node running under systemd or Docker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zmqnode.commands.documents import OutOption, give
from zmqnode.commands.options import JsonOption

app = typer.Typer()

DirOption = Annotated[
    Path, typer.Option("--dir", metavar="DIR", help="The node's folder, or its node.yml.")
]
KeyOption = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="FILE",
        help="The key file that `privatekey: cred:NAME` means. Default: /etc/zmqnode/ADDRESS.key.",
    ),
]


@app.command()
def systemd(
    folder: DirOption = Path(),
    key: KeyOption = None,
    user: Annotated[
        str, typer.Option("--user", metavar="NAME", help="Whom the node runs as.")
    ] = "zmqnode",
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a unit: /etc/systemd/system/zmqnode-ADDRESS.service."""
    from zmqnode.commands.service_files import Served, check_user, unit

    give("systemd", unit(Served.of(folder, key), check_user(user)), out=out, as_json=as_json)


@app.command()
def compose(
    folder: DirOption = Path(),
    key: KeyOption = None,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a compose.yml for the image of `service dockerfile`."""
    from zmqnode.commands.service_docker import compose_text
    from zmqnode.commands.service_files import Served

    give("compose", compose_text(Served.of(folder, key)), out=out, as_json=as_json)


@app.command()
def dockerfile(out: OutOption = None, as_json: JsonOption = False) -> None:
    """Print a Dockerfile, to be built in a checkout of zmqnode."""
    from zmqnode.commands.service_docker import dockerfile_text

    give("dockerfile", dockerfile_text(), out=out, as_json=as_json)
