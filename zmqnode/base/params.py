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
KIB: Final = 1_024
MIB: Final = 1 << 20

# (least, most) that can work at all; both ends included.
BOUNDS: Final[dict[str, tuple[int, int]]] = {
    "activation_lag": (2, 2),
    "block_interval_ms": (0, HOUR_MS),
    "empty_block_interval_ms": (0, 24 * HOUR_MS),
    "time_tolerance_ms": (1, MINUTE_MS),
    "seal_ttl_ms": (1_000, 24 * HOUR_MS),
    "seal_ahead_ms": (0, HOUR_MS),
    "seal_bytes_max": (16 * KIB, 8 * MIB),  # A handover's seal must fit, all signatures in it.
    "block_operations_max": (1_000, 100_000),
    "block_bytes_max": (16 * KIB, 8 * MIB),
    "veto_window_ms": (100, HOUR_MS),
    "ack_window_ms": (100, HOUR_MS),
    "ready_ttl_ms": (100, HOUR_MS),
    "handover_cooldown_ms": (0, 24 * HOUR_MS),
    "open_handovers_max": (1, 33),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """The parameters of one chain, in their documented units; the defaults are DESIGN.md's.

    Raises:
        ValueError: out of bounds, or two in contradiction.
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
                raise OutOfBounds(name, f"must be an int from {least} to {most}, not {value!r:.40}")
        if self.block_bytes_max < self.seal_bytes_max:
            raise OutOfBounds("block_bytes_max", "must be at least seal_bytes_max")
        for window in ("veto_window_ms", "ack_window_ms"):
            if 4 * self.time_tolerance_ms > getattr(self, window):
                raise OutOfBounds("time_tolerance_ms", f"must be at most a quarter of {window}")

    def named(self) -> dict[str, int]:
        """Name to value, in the order of DESIGN.md."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Params:
        """Parameters from names and values; those not given have their defaults.

        Raises:
            Invalid: ``config_invalid``, an unknown name or a value that cannot be; details
                ``parameter``.
        """
        for name in values:
            if name not in BOUNDS:
                hint = f"they are: {', '.join(BOUNDS)}"
                raise _wrong(name, "is no chain parameter", hint)
        try:
            return cls(**values)  # type: ignore[arg-type]  # checked in __post_init__
        except OutOfBounds as error:
            raise _wrong(error.parameter, error.problem) from None


class OutOfBounds(ValueError):
    """A value that a parameter cannot have."""

    def __init__(self, parameter: str, problem: str) -> None:
        super().__init__(parameter, problem)
        self.parameter = parameter
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.parameter} {self.problem}"


def _wrong(name: str, problem: str, hint: str = "") -> Invalid:
    message = f"params.{name:.60} {problem}"
    return Invalid("config_invalid", message, hint=hint, parameter=name[:60])
