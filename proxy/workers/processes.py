"""`process_*` of several processes as those of one: what Prometheus' own collector says of each, added up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_OURS: Final = frozenset({"process_start_time_seconds", "process_max_fds"})  # which nobody adds up


class Processes(Collector):
    """The supervising process and its workers.

    Args:
        workers: the ids of those that live.
    """

    def __init__(self, workers: Callable[[], Iterable[int]]) -> None:
        self._workers = workers
        self._collectors: dict[int, ProcessCollector] = {}
        self._used: dict[int, float] = {}  # processor seconds, of those that have ended too

    def collect(self) -> Iterator[Metric]:
        """The families of this process, with those of the workers added."""
        ours = list(ProcessCollector(registry=None).collect())
        theirs = {pid: self._of(pid) for pid in self._workers()}
        self._collectors = {pid: self._collectors[pid] for pid in theirs}
        for pid, values in theirs.items():
            self._used[pid] = values.get("process_cpu_seconds_total", self._used.get(pid, 0.0))
        for family in ours:
            for at, sample in enumerate(family.samples):
                family.samples[at] = sample._replace(value=sample.value + self._more(sample.name, theirs))
            yield family

    def _of(self, pid: int) -> dict[str, float]:
        collector = self._collectors.get(pid)
        if collector is None:
            collector = self._collectors[pid] = ProcessCollector(pid=lambda: pid, registry=None)
        return {sample.name: sample.value for family in collector.collect() for sample in family.samples}

    def _more(self, name: str, theirs: dict[int, dict[str, float]]) -> float:
        if name in _OURS:
            return 0.0
        if name == "process_cpu_seconds_total":  # a counter: it must not fall when a worker ends
            return sum(self._used.values())
        return sum(values.get(name, 0.0) for values in theirs.values())
