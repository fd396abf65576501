"""The page of conflicts: what it shows at this moment, as one document."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from proxy.admin.conflicts import Conflict, Conflicts
from proxy.admin.findings import Finding, found
from proxy.admin.history import History
from proxy.admin.stories import Names, story
from proxy.metrics import Metrics
from proxy.store import Health

MOST_STORIES: Final = 50
MOST_RESOURCES: Final = 20
COUNTED: Final = ("claims_held", "requests_in_flight")
SUMMED: Final = ("leases_lost_total", "changes_behind_total", "store_errors_total", "probes_total")


@dataclass(frozen=True, slots=True)
class RouteText:
    """A route in words.

    Attributes:
        route: its `match`, which is its label in the metrics.
        name: what people call it.
        words: what it does, one clause for each thing.
    """

    route: str
    name: str
    words: tuple[str, ...]


class Page:
    """Puts together what the page shows. It reads, and changes nothing.

    Args:
        metrics: for totals.
        conflicts: for stories.
        routes: the routes in the order in which they are tried.
        findings: asked for changes behind the proxy.
        hide_names: whether resources are shown as numbers.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        metrics: Metrics,
        conflicts: Conflicts,
        routes: Sequence[RouteText] = (),
        *,
        findings: Callable[[], Sequence[Finding]] = tuple,
        hide_names: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.routes = routes
        self._metrics = metrics
        self._conflicts = conflicts
        self._findings = findings
        self._names = Names(hide=hide_names)
        self._clock = clock
        self._history = History()

    def sample(self) -> None:
        """Keeps the totals of this moment for the rates and the chart."""
        self._history.sample(self._clock(), self._metrics.totals())

    def document(self, health: Health, *, draining: bool) -> dict[str, Any]:
        """All that is shown."""
        now, latest = self._clock(), self._conflicts.latest()
        return {
            "now": now,
            "health": self._health(health, draining=draining),
            "findings": found(self._findings(), self._names, now),
            "routes": self._routes(now),
            "resources": self._resources(latest),
            "conflicts": [story(conflict, self._names) for conflict in latest[:MOST_STORIES]],
            "total": self._conflicts.total,
            "kept": len(latest),
            "history": self._history.series(),
        }

    def _health(self, health: Health, *, draining: bool) -> dict[str, Any]:
        numbers = {name.removesuffix("_total"): self._metrics.sum(name) for name in (*COUNTED, *SUMMED)}
        return {
            "ready": health.ready,
            "draining": draining,
            "store": health.detail,
            "warnings": list(health.warnings),
            "replayed": self._metrics.sum("outcomes_total", outcome="replayed"),
            **numbers,
        }

    def _routes(self, now: float) -> list[dict[str, Any]]:
        totals = self._metrics.totals()
        rates = self._history.rates(now, totals)
        return [
            {
                "name": text.name,
                "words": list(text.words),
                "requests": totals.get(text.route, (0, 0))[0],
                "refused": totals.get(text.route, (0, 0))[1],
                "requests_rate": round(rates.get(text.route, (0.0, 0.0))[0], 3),
                "refused_rate": round(rates.get(text.route, (0.0, 0.0))[1], 3),
            }
            for text in self.routes
        ]

    def _resources(self, latest: list[Conflict]) -> list[dict[str, Any]]:
        """The resources that people fight over, by conflicts among those that are kept."""
        counted = Counter(conflict.told.resource for conflict in latest)
        return [self._fought(name, count, latest) for name, count in counted.most_common(MOST_RESOURCES)]

    def _fought(self, resource: str, count: int, latest: list[Conflict]) -> dict[str, Any]:
        of_it = [conflict.told for conflict in latest if conflict.told.resource == resource]
        return {
            "name": self._names.of(resource),
            "route": of_it[0].route,
            "conflicts": count,
            "addresses": len({told.client for told in of_it}),
            "last": of_it[0].ended,
        }
