"""Bounds and time-outs that belong to no single room, each named with its unit.

Rooms keep the bounds only they know beside their code (a socket's high-water marks stand in
``network``); what several need, or an operator may meet in a message, stands here. Chain
parameters are no bounds of ours: ``base.params``.
"""

from typing import Final

# Files a person writes.
CONFIG_BYTES_MAX: Final = 256 * 1024
CONFIG_DEPTH_MAX: Final = 16  # Nested maps and lists.
CONFIG_NODES_MAX: Final = 20_000  # Keys, values, list items.
FINDINGS_MAX: Final = 50  # Of one file; more would only hide the first.
GENESIS_BYTES_MAX: Final = 8 * 1024 * 1024
GENESIS_DATA_BYTES_MAX: Final = 4 * 1024 * 1024
SECRET_BYTES_MAX: Final = 4096
CONTEXTS_MAX: Final = 1000
BOOTSTRAP_MAX: Final = 100
APP_PATHS_MAX: Final = 32
TEXT_CHARS_MAX: Final = 1024  # One text in a config file.
NETWORK_ID_CHARS_MAX: Final = 64

# What a command waits for, CLI.md section 1.
TIMEOUT_ASK_MS: Final = 5_000
TIMEOUT_WAIT_MS: Final = 30_000
TIMEOUT_LONG_MS: Final = 60_000  # testnet, handover
TIMEOUT_MAX_MS: Final = 24 * 3_600_000

# A standby that takes over by itself.
STANDBY_AFTER_MS: Final = 10_000
STANDBY_AFTER_MIN_MS: Final = 1_000
STANDBY_AFTER_MAX_MS: Final = 24 * 3_600_000

# The client door closes while a node holds more memory than this; voting goes on.
DOOR_MEMORY_PERCENT: Final = 25  # Of the machine's memory, or the container's.
DOOR_MEMORY_BYTES_MIN: Final = 512 * 1024 * 1024  # A small machine closes no door over less.

# A local network.
NODES_MAX: Final = 40
