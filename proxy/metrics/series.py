"""Counters, histograms and watched values that cost a request next to nothing.

Counting is plain dict and list work, a fifth of the cost of a cached prometheus-client child; the families
that prometheus-client renders are built when somebody scrapes (docs/decisions/0004-own-counters.md). All of
it runs on the event loop, so nothing needs a lock.
"""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

PREFIX: Final = "precondition_"

Labels = tuple[str | int, ...]
Numbers = Mapping[Labels, tuple[float, ...]]
"""The numbers of one metric by label values, in a form that adds up: a count; or buckets and a total."""


@dataclass(frozen=True, slots=True)
class Described:
    """What one metric is.

    Attributes:
        name: with the prefix, as its samples are called (a counter with `_total`).
        kind: Prometheus' type.
        labels: label names, in the order of their values.
        text: one sentence, also the HELP line.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    text: str


class Series(Protocol):
    """One metric with all its combinations of label values."""

    described: Described

    def family(self) -> Metric:
        """The numbers as they are now."""

    def numbers(self) -> Numbers:
        """The same, to be added up or sent on."""

    def show(self, numbers: Numbers) -> None:
        """Has these numbers from now on."""


class Count:
    """A counter: one number for each combination of label values."""

    def __init__(self, name: str, text: str, *labels: str) -> None:
        self.described = Described(PREFIX + name, "counter", labels, text)
        self.values: defaultdict[Labels, int] = defaultdict(int)

    def exist(self, *labels: str) -> None:
        """Shows the combination from now on, 0 if it was never counted."""
        self.values[labels] += 0

    def family(self) -> Metric:
        """The numbers as they are now."""
        family = CounterMetricFamily(self.described.name, self.described.text, labels=self.described.labels)
        for labels, value in self.values.items():
            family.add_metric([str(label) for label in labels], value)
        return family

    def numbers(self) -> Numbers:
        """The same, to be added up or sent on."""
        return {labels: (value,) for labels, value in self.values.items()}

    def show(self, numbers: Numbers) -> None:
        """Has these numbers from now on."""
        self.values = defaultdict(int, {labels: int(value) for labels, (value,) in numbers.items()})


class Cell:
    """The numbers of one histogram with one label value.

    Attributes:
        counts: of each bucket alone: a duration counts in the first one whose bound is not below it.
        total: seconds.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound, as Prometheus wants them."""
        seen, cumulative = 0, []
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            seen += count
            cumulative.append(("+Inf" if bound == float("inf") else str(float(bound)), float(seen)))
        return cumulative


class Cells(dict[str, Cell]):
    """Cells by label value, made when first asked for."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        super().__init__()
        self.bounds = bounds

    def __missing__(self, label: str) -> Cell:
        cell = self[label] = Cell(self.bounds)
        return cell


class Durations:
    """A histogram of seconds with at most one label; without one its only cell is `cells[""]`."""

    def __init__(self, name: str, text: str, bounds: tuple[float, ...], *labels: str) -> None:
        self.described = Described(PREFIX + name, "histogram", labels, text)
        self.cells = Cells(bounds)
        if not labels:
            self.exist("")

    def exist(self, label: str) -> None:
        """Shows the label value from now on."""
        self.cells.setdefault(label, Cell(self.cells.bounds))

    def family(self) -> Metric:
        """The numbers as they are now."""
        names = self.described.labels
        family = HistogramMetricFamily(self.described.name, self.described.text, labels=names)
        for label, cell in self.cells.items():
            family.add_metric([str(label)] if names else [], cell.buckets(), cell.total)
        return family

    def numbers(self) -> Numbers:
        """The same, to be added up or sent on: the buckets' own counts, and the total."""
        return {(label,): (*cell.counts, cell.total) for label, cell in self.cells.items()}

    def show(self, numbers: Numbers) -> None:
        """Has these numbers from now on."""
        for (label,), (*counts, total) in numbers.items():
            cell = self.cells[str(label)]
            cell.counts, cell.total = [int(count) for count in counts], total


class Watch:
    """A value that somebody else keeps. Until one is offered there is no sample: none beats a false 0."""

    def __init__(self, name: str, text: str) -> None:
        kind: Literal["counter", "gauge"] = "counter" if name.endswith("_total") else "gauge"
        self.described = Described(PREFIX + name, kind, (), text)
        self.read: Callable[[], float] | None = None
        self._shown: float | None = None

    def family(self) -> Metric:
        """The value as it is now."""
        make = CounterMetricFamily if self.described.kind == "counter" else GaugeMetricFamily
        return make(self.described.name, self.described.text, value=self._value())

    def numbers(self) -> Numbers:
        """The same, to be added up or sent on."""
        value = self._value()
        return {} if value is None else {(): (value,)}

    def show(self, numbers: Numbers) -> None:
        """Has this value from now on, unless somebody here keeps it."""
        self._shown = numbers[()][0] if numbers else None

    def _value(self) -> float | None:
        return self.read() if self.read else self._shown


class Build:
    """The constant 1, with what runs here as labels."""

    def __init__(self, name: str, text: str, version: str) -> None:
        self.described = Described(PREFIX + name, "gauge", ("version", "python"), text)
        self.version = version

    def family(self) -> Metric:
        """The one sample."""
        family = GaugeMetricFamily(self.described.name, self.described.text, labels=self.described.labels)
        family.add_metric([self.version, platform.python_version()], 1)
        return family

    def numbers(self) -> Numbers:
        """Nothing that could be added up."""
        return {}

    def show(self, numbers: Numbers) -> None:
        """Stays what it is."""
