"""Chain parameters: every number that decides validity, leader or suffrage.

They are part of genesis and of its hash, so all nodes of a chain have the same; DESIGN.md section 4
lists them. What only guards one node's resources is no chain parameter and stays in its config.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from zmqnode.errors import Invalid

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
MIB: Final = 1 << 20

# (least, most) that can work at all; both ends included.
BOUNDS: Final[dict[str, tuple[int, int]]] = {
    "activation_lag": (2, 2),
    "block_interval_ms": (0, HOUR_MS),
    "empty_block_interval_ms": (0, 24 * HOUR_MS),
    "time_tolerance_ms": (1, MINUTE_MS),
    "seal_ttl_ms": (1_000, 24 * HOUR_MS),
    "seal_ahead_ms": (0, HOUR_MS),
    "seal_bytes_max": (1_024, 8 * MIB),
    "block_operations_max": (1_000, 100_000),
    "block_bytes_max": (1_024, 8 * MIB),
    "veto_window_ms": (100, HOUR_MS),
    "ack_window_ms": (100, HOUR_MS),
    "ready_ttl_ms": (100, HOUR_MS),
    "handover_cooldown_ms": (0, 24 * HOUR_MS),
    "open_handovers_max": (1, 33),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainParams:
    """The parameters of one chain, in their documented units; the defaults are DESIGN.md's.

    Raises:
        ValueError: out of bounds, or two that contradict each other; the text names them.
    """

    activation_lag: int = 2
    block_interval_ms: int = 0
    empty_block_interval_ms: int = 1_000
    time_tolerance_ms: int = 500
    seal_ttl_ms: int = 60_000
    seal_ahead_ms: int = 10_000
    seal_bytes_max: int = 1_048_576
    block_operations_max: int = 2_000
    block_bytes_max: int = 8_388_608
    veto_window_ms: int = 5_000
    ack_window_ms: int = 10_000
    ready_ttl_ms: int = 10_000
    handover_cooldown_ms: int = 60_000
    open_handovers_max: int = 1

    def __post_init__(self) -> None:
        for name, (least, most) in BOUNDS.items():
            value: object = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"{name} must be an int from {least} to {most}, not {value!r:.40}")
        if self.block_bytes_max < self.seal_bytes_max:
            raise ValueError("block_bytes_max must be at least seal_bytes_max")
        for window in ("veto_window_ms", "ack_window_ms"):
            if 4 * self.time_tolerance_ms > getattr(self, window):
                raise ValueError(f"time_tolerance_ms must be at most a quarter of {window}")

    def to_json(self) -> dict[str, int]:
        """Name to value, in the order of DESIGN.md."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def read_params(given: Mapping[str, object]) -> ChainParams:
    """Parameters from names and values; those not given have their defaults.

    Raises:
        Invalid: ``config_invalid``, an unknown name or a value that cannot be.
    """
    for name in given:
        if name not in BOUNDS:
            known = ", ".join(BOUNDS)
            message = f"params.{name:.60} is no chain parameter"
            raise Invalid(
                "config_invalid", message, hint=f"they are: {known}", path=f"params.{name}"
            )
    values = {name: value for name, value in given.items() if type(value) is int}
    for name, value in given.items():
        if name not in values:
            message = f"params.{name} must be an int, not {type(value).__name__}"
            raise Invalid("config_invalid", message, path=f"params.{name}")
    try:
        return ChainParams(**values)
    except ValueError as error:
        raise Invalid("config_invalid", f"params: {error}", path="params") from None
