"""The real world around the core: the node, its driver, its disk, its clients."""

from zmqnode.runtime.node import Node

__all__ = ["Node"]
