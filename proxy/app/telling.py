"""Tells of every request: to the metrics, the page of conflicts, and the access log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from proxy.admin import Told
from proxy.exchange import Answer, Request
from proxy.log import AccessLog, AccessRecord
from proxy.metrics import Metrics


class Watcher(Protocol):
    """Who keeps conflicts; see `proxy.admin.Conflicts`."""

    def wants(self, method: str, outcome: str, resource: str, client: str) -> bool:
        """Whether `tell` would keep anything of such a request."""

    def tell(self, told: Told) -> None:
        """A request was answered."""


class Teller:
    """Its `tell` is called once for each request, after its answer.

    Args:
        metrics: counts.
        conflicts: None where nobody looks.
        access: None where no lines are wanted.
        trace_id: the id of the trace that a request belongs to, "" for none; asked for each line.
    """

    def __init__(
        self,
        metrics: Metrics,
        conflicts: Watcher | None,
        access: AccessLog | None,
        trace_id: Callable[[Request], str],
    ) -> None:
        self._trace_id = trace_id
        self._metrics = metrics
        self._conflicts = conflicts
        self._access = access

    def tell(self, request: Request, answer: Answer, seconds: float, sent: int) -> None:
        """See `proxy.edge.Teller`."""
        trace = request.trace
        method, outcome = request.method, trace.outcome
        self._metrics.request(
            trace.route, method, answer.status, seconds, outcome, trace.condition, trace.reason
        )
        conflicts = self._conflicts
        if conflicts is not None and conflicts.wants(method, outcome, trace.resource, request.peer):
            conflicts.tell(_told(request, answer, seconds))
        if self._access is not None:
            self._access.line(
                AccessRecord(
                    time=time.time() - seconds,
                    method=request.method,
                    target=request.target,
                    status=answer.status,
                    route=trace.route,
                    outcome=trace.outcome,
                    condition=trace.condition,
                    reason=trace.reason,
                    seconds=seconds,
                    upstream=trace.upstream_seconds,
                    claim=trace.claim_wait,
                    received=request.body.received,
                    sent=sent,
                    client=request.peer,
                    request_id=request.id,
                    trace_id=self._trace_id(request),
                )
            )


def _told(request: Request, answer: Answer, seconds: float) -> Told:
    trace, now = request.trace, time.time()
    held = request.headers.get(trace.condition, "") if trace.condition else ""
    tag = b""
    for name, value in answer.fields:
        if len(name) == 4 and name.lower() == b"etag":
            tag = value
            break
    return Told(
        began=now - seconds,
        ended=now,
        resource=trace.resource,
        route=trace.route,
        method=request.method,
        client=request.peer,
        request_id=request.id,
        status=answer.status,
        outcome=trace.outcome,
        condition=trace.condition,
        reason=trace.reason,
        held=held[:200],
        tag=tag.decode("utf-8", "replace"),
        unknown=trace.applied_unknown,
    )
