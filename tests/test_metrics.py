"""The exposition, read back by the parser of Prometheus's own client library."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Counter as TrueCounter
from prometheus_client import Gauge as TrueGauge
from prometheus_client import Histogram as TrueHistogram
from prometheus_client.parser import text_string_to_metric_families

from zmqnode.metrics import LABEL_CHARS_MAX, OTHER, SERIES_MAX, Registry

TEXTS = st.text(max_size=40)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def test_counters_only_grow() -> None:
    registry = Registry()
    plain = registry.counter("a_total", "Without labels.")
    by_code = registry.counter("b_total", "With.", ("code",))
    assert samples(registry.text()) == {("a_total", ()): 0}
    plain.add()
    plain.add(by=2.5)
    by_code.reach(7, "x")
    by_code.reach(5, "x")
    by_code.add("y")
    assert samples(registry.text()) == {
        ("a_total", ()): 3.5,
        ("b_total", (("code", "x"),)): 7,
        ("b_total", (("code", "y"),)): 1,
    }
    with pytest.raises(AssertionError):
        plain.add(by=-1)


def test_gauges_are_absent_until_set_and_forget() -> None:
    registry = Registry()
    gauge = registry.gauge("g", "One.", ("x",))
    state = registry.gauge("s", "State.", ("state",))
    assert samples(registry.text()) == {}
    gauge.set(-1.5, "a")
    state.choose("UP", ("UP", "DOWN"))
    assert samples(registry.text()) == {
        ("g", (("x", "a"),)): -1.5,
        ("s", (("state", "UP"),)): 1,
        ("s", (("state", "DOWN"),)): 0,
    }
    gauge.clear()
    state.choose(None, ("UP", "DOWN"))
    assert samples(registry.text()) == {
        ("s", (("state", "UP"),)): 0,
        ("s", (("state", "DOWN"),)): 0,
    }


@given(st.lists(st.floats(0, 20, allow_nan=False), max_size=50))
def test_a_histogram_is_the_client_librarys(values: list[float]) -> None:
    """Goal: bounds, sums and counts mean what Prometheus means. Method: the real library's."""
    ours, theirs = Registry(), CollectorRegistry()
    buckets = (0.5, 1, 5, 10)
    mine = ours.histogram("h_seconds", "Times.", buckets, ("stage",))
    real = TrueHistogram("h_seconds", "Times.", ["stage"], buckets=buckets, registry=theirs)
    for value in values:
        mine.observe(value, "a")
        real.labels("a").observe(value)
    assert mine.count("a") == len(values)

    def told(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        return {
            (name, tuple((one, str(float(at)) if one == "le" else at) for one, at in labels)): value
            for (name, labels), value in samples(text).items()
            if not name.endswith("_created")
        }

    assert told(ours.text()) == pytest.approx(told(generate_latest(theirs).decode()))


@given(TEXTS, TEXTS, NUMBERS)
def test_every_text_and_number_comes_back(doc: str, label: str, value: float) -> None:
    """Goal: no label breaks a line; the same bytes as the client library writes."""
    ours, theirs = Registry(), CollectorRegistry()
    ours.gauge("g", doc, ("x",)).set(value, label)
    TrueGauge("g", doc, ["x"], registry=theirs).labels(label).set(value)
    mine, real = (text.split("\n") for text in (ours.text(), generate_latest(theirs).decode()))
    assert mine[1] == real[1]
    assert len(mine) == len(real) == 4
    read = {name: number for (name, _), number in samples(_one_line(ours.text())).items()}
    assert read == {"g": pytest.approx(value)}
    written = mine[2].rpartition(" ")[0]
    assert written == real[2].rpartition(" ")[0]


def _one_line(text: str) -> str:
    # The library's parser splits at "\n" only; its documentation string is not the point here.
    return "\n".join(line for line in text.split("\n") if not line.startswith("# HELP"))


def test_counters_are_the_client_librarys_too() -> None:
    ours, theirs = Registry(), CollectorRegistry()
    ours.counter("a_total", "A.", ("x",)).add("1", by=3)
    TrueCounter("a_total", "A.", ["x"], registry=theirs).labels("1").inc(3)
    real = [line for line in generate_latest(theirs).decode().split("\n") if "_created" not in line]
    assert samples(ours.text()) == samples("\n".join(real))


def test_series_are_bounded() -> None:
    """Goal: whatever strangers put into a label, a family keeps to its bound."""
    registry = Registry()
    counter = registry.counter("a_total", "A.", ("x", "y"))
    gauge = registry.gauge("g", "G.", ("x",))
    spread = registry.histogram("h", "H.", (1,), ("x",))
    for number in range(3 * SERIES_MAX):
        counter.add(str(number), "y")
        gauge.set(number, str(number))
        spread.observe(0.5, str(number))
    found = samples(registry.text())
    assert sum(name == "a_total" for name, _ in found) == SERIES_MAX
    assert sum(name == "g" for name, _ in found) == SERIES_MAX
    assert sum(name == "h_count" for name, _ in found) == SERIES_MAX
    assert counter.value(OTHER, OTHER) == 2 * SERIES_MAX + 1
    assert spread.count(OTHER) == 2 * SERIES_MAX + 1
    assert sum(value for (name, _), value in found.items() if name == "a_total") == 3 * SERIES_MAX
    gauge.clear()
    gauge.set(1, "x" * 10_000)
    assert gauge.value("x" * LABEL_CHARS_MAX) == 1


@pytest.mark.parametrize(
    ("name", "labels"),
    [("Upper", ()), ("with-dash", ()), ("", ()), ("fine", ("instance",)), ("fine", ("le",))],
)
def test_names_that_prometheus_or_the_house_refuses(name: str, labels: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError):
        Registry().gauge(name, "", labels)


def test_declared_once_and_by_kind() -> None:
    registry = Registry()
    registry.gauge("g", "")
    with pytest.raises(AssertionError):
        registry.gauge("g", "")
    with pytest.raises(AssertionError):
        registry.counter("no_unit_last", "")
    with pytest.raises(AssertionError):
        registry.histogram("h", "", (2, 1))
    with pytest.raises(AssertionError):
        registry.gauge("two", "", ("a", "b")).set(1, "only one")


def test_infinity_is_written_as_prometheus_wants() -> None:
    registry = Registry()
    gauge = registry.gauge("g", "", ("x",))
    gauge.set(math.inf, "up")
    gauge.set(-math.inf, "down")
    assert 'g{x="up"} +Inf' in registry.text()
    assert 'g{x="down"} -Inf' in registry.text()
