"""What is counted, and how it is told to Prometheus.

Labels come from the configuration (`route`) and from closed sets (all others), never from a request: a method
or a status outside its set is "other". `docs/metrics.md` lists every metric; a test holds it to that.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import add

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from proxy.metrics.series import PREFIX, Build, Count, Described, Durations, Labels, Numbers, Series, Watch
from proxy.metrics.sets import (
    DATES,
    EXPECTED,
    FAULTS,
    FINDINGS,
    GUARDED,
    METHODS,
    NONE,
    OPERATIONS,
    OTHER,
    RELOADS,
    REQUEST_BOUNDS,
    REWRITINGS,
    SPANS,
    STORE_BOUNDS,
    WAIT_BOUNDS,
    WATCHED_TEXTS,
    Watched,
)
from proxy.rules.content import Fault

__all__ = ["METHODS", "Described", "Metrics", "State", "Watched", "summed"]

State = Mapping[str, Numbers]
"""The numbers of every metric, by its name."""


class Metrics(Collector):
    """All that is counted: the methods are called where things happen, `registry` is what is scraped.

    It is the `Meter` of `proxy.store` and of `proxy.upstream`. Call it on the event loop only.

    Args:
        routes: the `match` of every configured route, the default included; their series exist from the
            start, so that the rate of something that happens for the first time is right.
        version: of this project.
        process: whether `process_*` tell of this process.
    """

    def __init__(
        self, routes: Iterable[str] = ("default",), *, version: str = "unknown", process: bool = True
    ) -> None:
        self._count_requests()
        self._count_store()
        self._count_upstream()
        self._watches = {value: Watch(value.value, text) for value, text in WATCHED_TEXTS.items()}
        self._reloads = Count("config_reloads_total", "The configuration was read again.", "result")
        for result in RELOADS:
            self._reloads.exist(result)
        self._spans = Count("spans_total", "Spans of traces, made here and what became of them.", "result")
        for result in SPANS:
            self._spans.exist(result)
        self._build = Build("build_info", "Always 1; the labels say what runs on which Python.", version)
        for route in routes:
            self.expect(route)
        self.registry = CollectorRegistry()
        self.registry.register(self)
        if process:
            ProcessCollector(registry=self.registry)

    def _count_requests(self) -> None:
        self._requests = Count("requests_total", "Requests answered.", "route", "method", "status")
        self._seconds = Durations(
            "request_seconds", "From a request's head to the end of its response.", REQUEST_BOUNDS, "route"
        )
        self._outcomes = Count(
            "outcomes_total",
            "What became of requests on guarded routes, by which condition and why.",
            *("route", "method", "outcome", "condition", "reason"),
        )
        self._ignored = Count(
            "ignored_conditions_total",
            "Conditions ignored as RFC 9110 section 13 says.",
            "route",
            "condition",
        )

    def _count_store(self) -> None:
        self._probes = Count("probes_total", "Requests to the backend to learn a version.", "route", "reason")
        self._behind = Count(
            "changes_behind_total", "Changes that no write through the proxy explains.", "route"
        )
        self._unrecorded = Count(
            "unrecorded_reads_total", "Reads passed unrecorded: the store was out of reach.", "route"
        )
        self._judged = Count(
            "suspicions_judged_total", "What reading such a resource twice has told.", "route", "finding"
        )
        self._unfit = Count(
            "unfit_content_total", "Content that lacks what the route's `version` expects.", "route", "fault"
        )
        self._mended = Count(
            "mended_tags_total", "Writes whose tag something on the way had rewritten.", "route", "how"
        )
        self._recorded = Count("versions_recorded_total", "Versions put into the store.", "source")
        self._observations = Count("observations_total", "What became of versions seen in reads.", "result")
        self._waits = Durations("claim_wait_seconds", "Time that writes waited for a claim.", WAIT_BOUNDS)
        self._leases = Count("leases_lost_total", "Claims lost before their write had ended.")
        self._leases.exist()
        self._store_seconds = Durations(
            "store_seconds", "Time of a call of the store.", STORE_BOUNDS, "operation"
        )
        self._store_errors = Count("store_errors_total", "Calls of the store that failed.", "operation")
        for operation in OPERATIONS:
            self._store_seconds.exist(operation)
            self._store_errors.exist(operation)

    def _count_upstream(self) -> None:
        self._upstream_seconds = Durations(
            "upstream_seconds",
            "From sending a request to the head of the backend's response.",
            REQUEST_BOUNDS,
        )
        self._upstream_errors = Count(
            "upstream_errors_total", "Calls of the backend that gave no usable answer.", "outcome"
        )
        for fault in FAULTS:
            self._upstream_errors.exist(fault)

    def expect(self, route: str) -> None:
        """Shows a configured route's series from now on."""
        self._seconds.exist(route)
        self._behind.exist(route)
        self._unrecorded.exist(route)
        for finding in FINDINGS:
            self._judged.exist(route, finding)
        for fault in Fault:
            self._unfit.exist(route, fault)
        for how in REWRITINGS:
            self._mended.exist(route, how)
        for condition in DATES:
            self._ignored.exist(route, condition)
        for method in GUARDED:
            for expected in EXPECTED:
                self._outcomes.exist(route, method, *expected)

    # What happened. Each costs a request a few dict look-ups: counts and buckets are therefore inline.

    def request(
        self,
        route: str,
        method: str,
        status: int,
        seconds: float,
        outcome: str = "off",
        condition: str = "",
        reason: str = "",
    ) -> None:
        """A request was answered.

        Args:
            status: as sent to the client.
            seconds: from its head to its end.
            outcome: what the gate decided; "off" where it did not look, which is no outcome.
            condition, reason: by what and why, from closed sets; "" counts as "none".
        """
        method = method if method in METHODS else OTHER
        self._requests.values[route, method, status if 100 <= status <= 599 else OTHER] += 1
        cell = self._seconds.cells[route]
        cell.counts[bisect_left(cell.bounds, seconds)] += 1
        cell.total += seconds
        if outcome != "off":
            self._outcomes.values[route, method, outcome, condition or NONE, reason or NONE] += 1

    def probe(self, route: str, reason: str) -> None:
        """The backend was asked for a version (DESIGN rule 7)."""
        self._probes.values[route, reason] += 1

    def recorded(self, source: str) -> None:
        """A version went into the store; `source` says who told it: a read, a probe, a write."""
        self._recorded.values[source,] += 1

    def observation(self, result: str) -> None:
        """A read's version was offered to the store; `result` is a value of `proxy.store.Observed`."""
        self._observations.values[result,] += 1

    def claim_wait(self, seconds: float) -> None:
        """A write waited for its claim, whether it got it or not."""
        cell = self._waits.cells[""]
        cell.counts[bisect_left(cell.bounds, seconds)] += 1
        cell.total += seconds

    def lease_lost(self) -> None:
        """A claim was gone before its write had ended."""
        self._leases.values[()] += 1

    def changed_behind(self, route: str) -> None:
        """A version differs from the recorded one, and no write through the proxy explains it."""
        self._behind.values[route,] += 1

    def unrecorded(self, route: str) -> None:
        """A read passed while the store was out of reach."""
        self._unrecorded.values[route,] += 1

    def ignored(self, route: str, condition: str) -> None:
        """A condition was ignored."""
        self._ignored.values[route, condition] += 1

    def judged(self, route: str, finding: str) -> None:
        """A change behind the proxy was looked into: the content is "unstable", or somebody has "written"."""
        self._judged.values[route, finding] += 1

    def mended(self, route: str, how: str) -> None:
        """A rewritten tag was understood; `how` it was: by a "suffix", or made "weak"."""
        self._mended.values[route, how] += 1

    def unfit(self, route: str, fault: str) -> None:
        """Content lacks what `version` expects; `fault` is a value of `proxy.rules.content.Fault`."""
        self._unfit.values[route, fault] += 1

    def reloaded(self, result: str) -> None:
        """The configuration was read again: "applied", "unchanged" or "refused"."""
        self._reloads.values[result,] += 1

    def spans(self, result: str, count: int) -> None:
        """Spans were "made", "exported" or "failed" to be. The last two are told by the exporter's thread."""
        self._spans.values[result,] += count

    def store_call(self, operation: str, seconds: float, *, ok: bool) -> None:
        """See `proxy.store.Meter`."""
        cell = self._store_seconds.cells[operation]
        cell.counts[bisect_left(cell.bounds, seconds)] += 1
        cell.total += seconds
        if not ok:
            self._store_errors.values[operation,] += 1

    def upstream_call(self, seconds: float, outcome: str) -> None:
        """See `proxy.upstream.Meter`."""
        cell = self._upstream_seconds.cells[""]
        cell.counts[bisect_left(cell.bounds, seconds)] += 1
        cell.total += seconds
        if outcome != "ok":
            self._upstream_errors.values[outcome,] += 1

    # What is told.

    def watch(self, value: Watched, read: Callable[[], float]) -> None:
        """Has `read` called at each scrape, on the event loop; it must not block."""
        self._watches[value].read = read

    def totals(self) -> dict[str, tuple[int, int]]:
        """Requests answered, and requests refused (or that would be, in report mode), by route, so far."""
        requests = dict.fromkeys(self._seconds.cells, 0)
        for (route, *_), count in self._requests.values.items():
            requests[str(route)] = requests.get(str(route), 0) + int(count)
        refused = dict.fromkeys(requests, 0)
        for (route, _, outcome, *_), count in self._outcomes.values.items():
            if outcome in ("refused", "reported"):
                refused[str(route)] = refused.get(str(route), 0) + int(count)
        return {route: (count, refused.get(route, 0)) for route, count in requests.items()}

    def sum(self, series: str, **labels: str) -> float:
        """The sum of a counter, or a watched value, by its name without the prefix; 0 where none."""
        family = next(one for one in self.series() if one.described.name == PREFIX + series).family()
        return sum(one.value for one in family.samples if labels.items() <= one.labels.items())

    def series(self) -> tuple[Series, ...]:
        """Every metric, in the order of the page."""
        return (
            *(self._requests, self._seconds, self._outcomes, self._ignored),
            *(self._probes, self._behind, self._judged, self._unrecorded, self._unfit),
            *(self._mended, self._recorded, self._observations),
            *(self._waits, self._leases, self._store_seconds, self._store_errors),
            *(self._upstream_seconds, self._upstream_errors),
            *self._watches.values(),
            *(self._spans, self._reloads, self._build),
        )

    def described(self) -> list[Described]:
        """What every metric is."""
        return [series.described for series in self.series()]

    def collect(self) -> Iterator[Metric]:
        """Every metric as it is now; prometheus-client calls it for each scrape."""
        for series in self.series():
            yield series.family()

    def state(self) -> State:
        """All numbers as they are now, to be added to those of other processes."""
        return {series.described.name: series.numbers() for series in self.series()}

    def show(self, state: State) -> None:
        """Shows these numbers from now on; values that are watched here stay."""
        for series in self.series():
            series.show(state.get(series.described.name, {}))

    def counted(self, state: State) -> State:
        """The part that must never fall: without gauges, which end with their process."""
        kept = {series.described.name for series in self.series() if series.described.kind != "gauge"}
        return {name: numbers for name, numbers in state.items() if name in kept}


def summed(states: Iterable[State]) -> State:
    """The numbers of several processes as those of one."""
    totals: dict[str, dict[Labels, tuple[float, ...]]] = defaultdict(dict)
    for state in states:
        for name, numbers in state.items():
            total = totals[name]
            for labels, more in numbers.items():
                known = total.get(labels)
                total[labels] = more if known is None else tuple(map(add, known, more))
    return totals
