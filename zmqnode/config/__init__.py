"""The config room: YAML to frozen values with line and column, secrets by reference, bounds with
names."""

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
