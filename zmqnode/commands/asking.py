"""What commands that talk to nodes share: a client for the time of a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from zmqnode.app import App
    from zmqnode.client import SyncClient
    from zmqnode.config import Config


@contextmanager
def asking(
    target: str | None,
    *,
    sign: str | None = None,
    timeout_ms: int | None = None,
    copies: int | None = None,
) -> Iterator[SyncClient]:
    """A client of the command's target; closed with the block.

    Args:
        target: as typed; None: the default of the command line.
        timeout_ms: of single questions; None: 5 s.
    """
    from zmqnode.client import SyncClient
    from zmqnode.client.client import TIMEOUT_MS

    given = () if target is None else (target,)
    client = SyncClient(*given, sign=sign, copies=copies, timeout_ms=timeout_ms or TIMEOUT_MS)
    try:
        yield client
    finally:
        client.close()


def app_of(config: Config) -> App:
    """The application that a node.yml names, found as ``node run`` finds it."""
    from pathlib import Path

    from zmqnode.app.loading import load_app

    folders: list[Path] = [*config.app_path, config.file.parent, Path.cwd()]
    return load_app(config.app, folders)
