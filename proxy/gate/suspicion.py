"""`verify: auto`: a route that changed behind the proxy is verified before every write for a while."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

_log = logging.getLogger("proxy.gate")


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of the last change behind the proxy on one route.

    Attributes:
        route: its `match`.
        key: the resource's name.
        kind: "suspected" until the resource is read twice; then its content is "unstable", or somebody has
            "written" past the proxy.
        parts: in what two readings of unstable content differ; none where that cannot be told.
        age: seconds since it was found.
        left: seconds that writes on the route will still be verified; 0 where they are not any more.
    """

    route: str
    key: str
    kind: Literal["suspected", "unstable", "written"]
    parts: tuple[str, ...] = ()
    age: float = 0.0
    left: float = 0.0


class Suspicion:
    """Which routes may not be taken at the store's word.

    Args:
        clock: monotonic seconds.
        period: how many seconds a route is verified after the last change that no write explains.
    """

    def __init__(self, clock: Callable[[], float], period: float = 300.0) -> None:
        self._clock = clock
        self._period = period
        self._until: dict[str, float] = {}
        self._unjudged: dict[str, str] = {}
        self._found: dict[str, tuple[float, Finding]] = {}
        self._always = False

    def raise_for(self, route: str, key: str) -> None:
        """Notes such a change of a resource; says so in the log when the period begins."""
        if not self.holds_for(route):
            _log.warning(
                "route %s: a resource changed although no write through the proxy did it; "
                "every conditional write on this route is verified with the backend for %g s. "
                "Somebody writes past the proxy, or the content is different on every GET.",
                route,
                self._period,
            )
            self._unjudged[route] = key
            self._find(Finding(route, key, "suspected"))
        self._until[route] = self._clock() + self._period

    def to_judge(self, route: str, key: str) -> bool:
        """Whether this is the resource that raised the suspicion, and nobody has read it twice yet."""
        return self._unjudged.get(route) == key

    def judge(self, route: str, parts: Sequence[str] | None) -> None:
        """Says in the log what it is: two readings, one after the other, tell the one from the other.

        Args:
            parts: in what they differ (none where that cannot be told), None where they are the same.
        """
        key = self._unjudged.pop(route)
        self._find(Finding(route, key, "written" if parts is None else "unstable", tuple(parts or ())))
        if parts is None:
            _log.warning(
                "route %s: read twice, the resource is the same: somebody writes past the proxy", route
            )
        else:
            _log.warning(
                "route %s: read twice, the resource is different%s: its content is unstable, so that no tag "
                "of it is ever current; set `version: {ignore: ...}` (docs/legacy-backends.md)",
                route,
                f" in {', '.join(parts)}" if parts else "",
            )

    def raise_for_all(self) -> None:
        """Verifies every route from now on."""
        self._always = True

    def holds_for(self, route: str) -> bool:
        """Whether writes on the route ask the backend first."""
        until = self._until.get(route)
        return self._always or (until is not None and self._clock() < until)

    def findings(self) -> list[Finding]:
        """The last finding of each route that ever had one, the latest first."""
        now = self._clock()
        found = [
            replace(one, age=now - at, left=max(0.0, self._until[route] - now))
            for route, (at, one) in self._found.items()
        ]
        return sorted(found, key=lambda one: one.age)

    def _find(self, finding: Finding) -> None:
        self._found[finding.route] = self._clock(), finding
