"""The cyclic garbage collector of a process that a node has for itself.

A full collection walks every object there is. Most of them are modules, functions and classes that
were made at the start and live as long as the process: some 30 ms of a core that a vote waits for,
and two or three times that where cores are short. They are taken out of it once the node is up.
"""

from __future__ import annotations

import gc


def spare_votes() -> None:
    """Leave what is there now out of all collections to come. For the whole process."""
    gc.collect()
    gc.freeze()
