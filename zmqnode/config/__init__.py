"""The config room: YAML to frozen values with line and column, secrets by reference, bounds with
names.

The names are loaded on first use: a command that needs a bound of ``limits`` for its help must not
pay for YAML and keys.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zmqnode.config.document import Finding
    from zmqnode.config.genesis import (
        entry_text,
        genesis_text,
        load_entry,
        load_genesis,
        parse_param,
    )
    from zmqnode.config.node import Config, load_node, node_text, parse_setting
    from zmqnode.config.place import Place, parse_place
    from zmqnode.config.secret import Secret, parse_secret, read_secret_file, write_secret_file

__all__ = [
    "Config",
    "Finding",
    "Place",
    "Secret",
    "entry_text",
    "genesis_text",
    "load_entry",
    "load_genesis",
    "load_node",
    "node_text",
    "parse_param",
    "parse_place",
    "parse_secret",
    "parse_setting",
    "read_secret_file",
    "write_secret_file",
]

_HOMES = {
    "document": ("Finding",),
    "genesis": ("entry_text", "genesis_text", "load_entry", "load_genesis", "parse_param"),
    "node": ("Config", "load_node", "node_text", "parse_setting"),
    "place": ("Place", "parse_place"),
    "secret": ("Secret", "parse_secret", "read_secret_file", "write_secret_file"),
}


def __getattr__(name: str) -> object:
    """A name of the room, from its file (PEP 562); kept, so asked for once only."""
    for home, names in _HOMES.items():
        if name in names:
            found: object = getattr(import_module(f"{__name__}.{home}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
