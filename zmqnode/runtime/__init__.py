"""The real world around the core: the node, its driver, its disk, its clients."""
