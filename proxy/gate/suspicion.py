"""`verify: auto`: a route that changed behind the proxy is verified before every write for a while."""

from __future__ import annotations

import logging
from collections.abc import Callable

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
        self._always = False

    def raise_for(self, route: str) -> None:
        """Notes such a change; says so in the log when the period begins."""
        if not self.holds_for(route):
            _log.warning(
                "route %s: a resource changed although no write through the proxy did it; "
                "every conditional write on this route is verified with the backend for %g s. "
                "Somebody writes past the proxy, or the content is different on every GET.",
                route,
                self._period,
            )
        self._until[route] = self._clock() + self._period

    def raise_for_all(self) -> None:
        """Verifies every route from now on."""
        self._always = True

    def holds_for(self, route: str) -> bool:
        """Whether writes on the route ask the backend first."""
        until = self._until.get(route)
        return self._always or (until is not None and self._clock() < until)
