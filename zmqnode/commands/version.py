"""``zmqnode version``."""

from __future__ import annotations

import platform

import typer

from zmqnode import __version__
from zmqnode.commands import terminal
from zmqnode.commands.options import JsonOption

app = typer.Typer()


@app.command()
def version(as_json: JsonOption = False) -> None:
    """Versions of zmqnode and what it stands on."""
    import nacl

    from zmqnode.network.hello import PROTOCOL
    from zmqnode.network.versions import libzmq_version, pyzmq_version

    answer = {
        "version": __version__,
        "protocol": PROTOCOL,
        "python": platform.python_version(),
        "pyzmq": pyzmq_version(),
        "libzmq": libzmq_version(),
        "pynacl": nacl.__version__,
    }
    terminal.show(answer, as_json=as_json)
