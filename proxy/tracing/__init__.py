"""Spans of OpenTelemetry, of what the gate, the store and the upstream do for a request.

Nothing in here is imported, and no request pays for any of it, unless `tracing.enabled` says so: the app then
puts the wrappers of `seams` around the objects that it builds (`Tracing.around`). The packages are those of
the extra `precondition-proxy[tracing]`; `docs/tracing.md` says what each span tells.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from weakref import WeakSet

from proxy.exchange import Answer, Request
from proxy.gate import Gate, Journal
from proxy.store import Store
from proxy.tracing.export import Destination, Exporting, Meter
from proxy.tracing.seams import Followed, TracedGate, TracedJournal, TracedStore, TracedUpstream
from proxy.tracing.spans import Shown, Story
from proxy.upstream import Upstream

__all__ = ["Destination", "Meter", "Shown", "Tracing", "tracing"]

_log = logging.getLogger("proxy.tracing")

Teller = Callable[[Request, Answer, float, int], None]


class Tracing:
    """Follows requests, and sends what it saw to a collector.

    Args:
        destination: where spans go, how many of them, and under which name.
        shown: what may be told.
        meter: counts spans.

    Raises:
        ConfigurationError: an `OTEL_*` variable cannot be used.
    """

    def __init__(self, destination: Destination, shown: Shown, meter: Meter) -> None:
        self._exporting = Exporting(destination, meter)
        self._shown = shown
        self._stories: WeakSet[Story] = WeakSet()

    def around(
        self, store: Store, upstream: Upstream, journal: Journal
    ) -> tuple[Store, Upstream, Journal, Callable[..., Gate]]:
        """The same parts with their spans, and what makes the gate that uses them."""

        def gate(*parts: object, **options: object) -> Gate:
            made = TracedGate(*parts, **options)  # type: ignore[arg-type]
            made.begin = self._begin
            return made

        return TracedStore(store), TracedUpstream(upstream), TracedJournal(journal), gate

    def telling(self, tell: Teller) -> Teller:
        """Ends a request's span where its response has ended, and has `tell` told as before."""

        def told(request: Request, answer: Answer, seconds: float, sent: int) -> None:
            if not isinstance(request.trace, Followed):  # refused before the gate saw it
                Followed.replace(request, self._begin(request, seconds))
            _story(request).end(answer.status)
            tell(request, answer, seconds, sent)

        return told

    def trace_id(self, request: Request) -> str:
        """The id of the trace that the request's spans belong to."""
        return _story(request).trace_id if isinstance(request.trace, Followed) else ""

    async def close(self, within: float) -> None:
        """Sends what is left, of requests that have not ended too.

        Args:
            within: seconds that it may take.
        """
        for story in list(self._stories):
            story.abandon()
        await self._exporting.close(within)

    def _begin(self, request: Request, ago: float = 0.0) -> Story:
        story = Story(self._exporting.tracer, self._shown, request, ago)
        self._stories.add(story)
        return story


def tracing(destination: Destination, shown: Shown, meter: Meter) -> Tracing | None:
    """What follows requests, or None where an `OTEL_*` variable switches it off; arguments as of `Tracing`.

    Raises:
        ConfigurationError: such a variable cannot be used.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        _log.info("OTEL_SDK_DISABLED is set: requests are not traced")
        return None
    if os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        _log.info("OTEL_TRACES_EXPORTER is none: requests are not traced")
        return None
    return Tracing(destination, shown, meter)


def _story(request: Request) -> Story:
    assert isinstance(request.trace, Followed)
    assert request.trace.story is not None
    return request.trace.story
