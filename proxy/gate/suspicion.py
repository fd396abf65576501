"""`verify: auto`: a route that changed behind the proxy is verified before every write for a while."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

_log = logging.getLogger("proxy.gate")


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
        self._until[route] = self._clock() + self._period

    def to_judge(self, route: str, key: str) -> bool:
        """Whether this is the resource that raised the suspicion, and nobody has read it twice yet."""
        return self._unjudged.get(route) == key

    def judge(self, route: str, parts: Sequence[str] | None) -> None:
        """Says in the log what it is: two readings, one after the other, tell the one from the other.

        Args:
            parts: in what they differ (none where that cannot be told), None where they are the same.
        """
        del self._unjudged[route]
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
