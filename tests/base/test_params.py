"""Chain parameters: defaults, both ends of every bound, and what contradicts."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from zmqnode.base.codec import from_wire, to_wire
from zmqnode.base.params import BOUNDS, OutOfBounds, Params
from zmqnode.errors import Invalid, Malformed

# DESIGN.md section 4, word for word.
DEFAULTS = {
    "activation_lag": 2,
    "block_interval_ms": 0,
    "empty_block_interval_ms": 1000,
    "time_tolerance_ms": 500,
    "seal_ttl_ms": 60000,
    "seal_ahead_ms": 10000,
    "seal_bytes_max": 1048576,
    "block_operations_max": 2000,
    "block_bytes_max": 8388608,
    "veto_window_ms": 5000,
    "ack_window_ms": 10000,
    "ready_ttl_ms": 10000,
    "handover_cooldown_ms": 60000,
    "open_handovers_max": 1,
}
# What must move along for a value at its bound to be without contradiction.
ALONG: dict[str, dict[str, int]] = {
    "time_tolerance_ms": {"veto_window_ms": 240_000, "ack_window_ms": 240_000},
    "veto_window_ms": {"time_tolerance_ms": 25},
    "ack_window_ms": {"time_tolerance_ms": 25},
    "block_bytes_max": {"seal_bytes_max": 16 * 1024},
}


def test_the_defaults_are_the_contracts() -> None:
    assert Params().named() == DEFAULTS
    assert list(BOUNDS) == list(DEFAULTS)


@pytest.mark.parametrize("name", BOUNDS)
def test_both_ends_of_a_bound_can_be_and_nothing_beyond(name: str) -> None:
    for value in BOUNDS[name]:
        changed = {name: value, **ALONG.get(name, {})}
        params = Params.of(changed)
        assert getattr(params, name) == value
        assert from_wire(Params, to_wire(params)) == params
    least, most = BOUNDS[name]
    for value in (least - 1, most + 1, -1, 2**64 - 1, -(2**63)):
        if least <= value <= most:
            continue
        with pytest.raises(OutOfBounds) as wrong:
            Params(**{name: value, **ALONG.get(name, {})})
        assert wrong.value.parameter == name
        wire = to_wire(Params())
        wire[list(BOUNDS).index(name)] = value
        with pytest.raises(Malformed):
            from_wire(Params, wire)


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("value", [None, True, False, "5", b"5", 5.0, 5000.5, [5], {}])
def test_a_parameter_is_an_int(name: str, value: Any) -> None:
    with pytest.raises(Invalid) as refused:
        Params.of({name: value})
    assert (refused.value.code, refused.value.details) == ("config_invalid", {"parameter": name})


@pytest.mark.parametrize(
    ("named", "values"),
    [
        ("time_tolerance_ms", {"time_tolerance_ms": 1251}),
        ("time_tolerance_ms", {"veto_window_ms": 1999}),
        ("time_tolerance_ms", {"ack_window_ms": 1999}),
        ("block_bytes_max", {"block_bytes_max": 1_048_575}),
        ("block_bytes_max", {"seal_bytes_max": 2_000_000, "block_bytes_max": 1_999_999}),
    ],
)
def test_contradictions_are_named(named: str, values: dict[str, object]) -> None:
    with pytest.raises(Invalid) as refused:
        Params.of(values)
    assert refused.value.details == {"parameter": named}


def test_a_quarter_of_the_windows_is_allowed() -> None:
    assert Params(time_tolerance_ms=1250)
    assert Params(veto_window_ms=2000)
    assert Params(seal_bytes_max=5_000_000, block_bytes_max=5_000_000)


@pytest.mark.parametrize("name", ["", "Block_interval_ms", "x" * 10_000, "__init__", "named"])
def test_unknown_names_are_refused_and_cut(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        Params.of({name: 1})
    assert len(refused.value.message) < 200


def test_a_bound_that_is_left_can_be_pickled() -> None:
    """Simulations run in processes of their own; what fails there must be heard here."""
    wrong = OutOfBounds("seal_ttl_ms", "must be more")
    again = pickle.loads(pickle.dumps(wrong))  # noqa: S301 - our own bytes
    assert (str(again), again.parameter) == (str(wrong), "seal_ttl_ms")
