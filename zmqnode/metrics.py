"""Counters, gauges, histograms, and their exposition in Prometheus text. Knows nothing of the node.

A registry holds families (a name, a type, label names); a family holds series, one per combination
of label values. Families are declared once, so that everything a scrape can contain is known before
anything happens; series come with use. Labels are what makes metrics grow without end, so each
family keeps at most ``SERIES_MAX`` of them: what comes beyond shares one series, ``other``, and a
label's text is cut.

Values often live elsewhere already (a pool's size, a counter of the network). They are read when
somebody looks: ``Gauge.set`` and ``Counter.reach`` right before :meth:`Registry.text`. Only what
passes and leaves nothing behind is told at once: ``Counter.add``, ``Histogram.observe``.

Source: Prometheus, "Exposition formats", text format version 0.0.4. One thread.
"""

from __future__ import annotations

import bisect
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
FAMILIES_MAX: Final = 256
SERIES_MAX: Final = 128  # Of one family.
LABEL_CHARS_MAX: Final = 128
BUCKETS_MAX: Final = 32
OTHER: Final = "other"  # Every label of the series that stands for all beyond the bound.

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_RESERVED: Final = ("le", "quantile", "job", "instance")  # Prometheus's own.

Labels = tuple[str, ...]
F = TypeVar("F", bound="Family")


class Family:
    """What the three types share: a name, label names, a bounded number of series."""

    kind = ""

    def __init__(self, name: str, doc: str, labels: Labels = ()) -> None:
        """
        Args:
            name: lower case with ``_``, the unit last (``_seconds``, ``_bytes``).
            doc: one line for who reads the exposition.
            labels: label names; what a series is made for gives one text for each.
        """
        assert _NAME.fullmatch(name), name
        assert all(_NAME.fullmatch(one) and one not in _RESERVED for one in labels), labels
        self.name = name
        self.doc = doc
        self.labels = labels
        self._other: Labels = (OTHER,) * len(labels)

    def _key(self, held: Mapping[Labels, object], values: Labels) -> Labels:
        """The series of these label values, or the one for all beyond the bound."""
        assert len(values) == len(self.labels), f"{self.name} has the labels {self.labels}"
        if values in held or not values:
            return values
        cut = tuple(value[:LABEL_CHARS_MAX] for value in values)
        # The last place is kept for ``other``.
        return cut if cut in held or len(held) < SERIES_MAX - 1 else self._other

    def samples(self) -> Iterator[str]:
        """Its lines after HELP and TYPE, without line ends."""
        raise NotImplementedError  # pragma: no cover

    def lines(self) -> Iterator[str]:
        """All its lines; HELP and TYPE also while there is no series."""
        yield f"# HELP {self.name} {_escaped(self.doc)}"
        yield f"# TYPE {self.name} {self.kind}"
        yield from self.samples()

    def _named(self, values: Labels) -> list[tuple[str, str]]:
        return list(zip(self.labels, values, strict=True))


class Counter(Family):
    """Only ever grows; its name ends in ``_total``. Without labels it is there from 0 on."""

    kind = "counter"

    def __init__(self, name: str, doc: str, labels: Labels = ()) -> None:
        assert name.endswith("_total"), name
        super().__init__(name, doc, labels)
        self._values: dict[Labels, float] = {} if labels else {(): 0}

    def add(self, *labels: str, by: float = 1) -> None:
        """Count on; ``by`` is not negative."""
        assert by >= 0
        key = self._key(self._values, labels)
        self._values[key] = self._values.get(key, 0) + by

    def reach(self, total: float, *labels: str) -> None:
        """Take over a count kept elsewhere; a smaller one than before changes nothing."""
        key = self._key(self._values, labels)
        self._values[key] = max(self._values.get(key, 0), total)

    def value(self, *labels: str) -> float:
        """Where a series stands; 0 if it is not there."""
        return self._values.get(labels, 0)

    def samples(self) -> Iterator[str]:
        for labels, value in self._values.items():
            yield _sample(self.name, self._named(labels), value)


class Gauge(Family):
    """A value that goes up and down; absent until it is set."""

    kind = "gauge"

    def __init__(self, name: str, doc: str, labels: Labels = ()) -> None:
        super().__init__(name, doc, labels)
        self._values: dict[Labels, float] = {}

    def set(self, value: float, *labels: str) -> None:
        """What it is now."""
        self._values[self._key(self._values, labels)] = value

    def choose(self, chosen: str | None, among: Sequence[str]) -> None:
        """Of a gauge with one label: 1 for the value that holds, 0 for the others."""
        self.clear()
        for one in among:
            self.set(1 if one == chosen else 0, one)

    def clear(self) -> None:
        """Forget all series: those still there are set again (who left is not shown for ever)."""
        self._values.clear()

    def value(self, *labels: str) -> float | None:
        """Where a series stands; None if it is not there."""
        return self._values.get(labels)

    def samples(self) -> Iterator[str]:
        for labels, value in self._values.items():
            yield _sample(self.name, self._named(labels), value)


class Histogram(Family):
    """How observations spread over buckets, their sum and number."""

    kind = "histogram"

    def __init__(self, name: str, doc: str, buckets: Sequence[float], labels: Labels = ()) -> None:
        """
        Args:
            buckets: upper bounds, rising; ``+Inf`` is added. 1 to ``BUCKETS_MAX``.
        """
        super().__init__(name, doc, labels)
        assert 0 < len(buckets) <= BUCKETS_MAX
        assert all(low < high for low, high in itertools.pairwise(buckets))
        self._bounds = tuple(buckets)
        self._series: dict[Labels, _Spread] = {}
        if not labels:
            self._series[()] = _Spread(len(self._bounds))

    def observe(self, value: float, *labels: str) -> None:
        """One more observation."""
        key = self._key(self._series, labels)
        spread = self._series.get(key)
        if spread is None:
            spread = self._series[key] = _Spread(len(self._bounds))
        # A bucket takes what is less than or equal to its bound.
        spread.counts[bisect.bisect_left(self._bounds, value)] += 1
        spread.sum += value

    def count(self, *labels: str) -> int:
        """How many were observed."""
        spread = self._series.get(labels)
        return 0 if spread is None else sum(spread.counts)

    def samples(self) -> Iterator[str]:
        for labels, spread in self._series.items():
            named = self._named(labels)
            total = 0
            for bound, count in zip((*self._bounds, math.inf), spread.counts, strict=True):
                total += count
                bucket = [*named, ("le", _number(bound))]
                yield _sample(f"{self.name}_bucket", bucket, total)
            yield _sample(f"{self.name}_sum", named, spread.sum)
            yield _sample(f"{self.name}_count", named, total)


class _Spread:
    """One series of a histogram; ``counts`` are per bucket, not summed up."""

    __slots__ = ("counts", "sum")

    def __init__(self, bounds: int) -> None:
        self.counts = [0] * (bounds + 1)
        self.sum = 0.0


class Registry:
    """All families of one process (or of one node, where several fit a process)."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}

    def counter(self, name: str, doc: str, labels: Labels = ()) -> Counter:
        """Declare a counter."""
        return self._declared(Counter(name, doc, labels))

    def gauge(self, name: str, doc: str, labels: Labels = ()) -> Gauge:
        """Declare a gauge."""
        return self._declared(Gauge(name, doc, labels))

    def histogram(
        self, name: str, doc: str, buckets: Sequence[float], labels: Labels = ()
    ) -> Histogram:
        """Declare a histogram."""
        return self._declared(Histogram(name, doc, buckets, labels))

    def _declared(self, family: F) -> F:
        assert family.name not in self._families, f"{family.name} is declared twice"
        assert len(self._families) < FAMILIES_MAX
        self._families[family.name] = family
        return family

    @property
    def families(self) -> tuple[Family, ...]:
        """In the order they were declared."""
        return tuple(self._families.values())

    def text(self) -> str:
        """The exposition: every family, every series, a line each."""
        return "".join(f"{line}\n" for one in self.families for line in one.lines())


def _sample(name: str, labels: Sequence[tuple[str, str]], value: float) -> str:
    inner = ",".join(f'{label}="{_quoted(text)}"' for label, text in labels)
    return f"{name}{{{inner}}} {_number(value)}" if inner else f"{name} {_number(value)}"


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(value) if isinstance(value, int) else repr(float(value))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
