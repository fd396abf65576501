"""The spans of one request, with the names of OpenTelemetry's semantic conventions for HTTP.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/. What no convention names begins with
`precondition.`. Queries, credentials and other fields of a request are in no span.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from proxy.exchange import Request
from proxy.rules.tracecontext import TRACESTATE, TraceParent, continued, sent_parent, valid_state
from proxy.rules.versions import Absent, Known, Recorded, Version
from proxy.tracing.attributes import OTHER_METHOD, authority, method_name, path, text
from proxy.upstream import Call, Fields

Value = str | int | float | bool
_NO_PARENT: Final = Context()


@dataclass(frozen=True, slots=True)
class Shown:
    """What spans may tell.

    Attributes:
        names: whether they name resources, and the tags of their versions.
        backend: `upstream.url`.
    """

    names: bool
    backend: str


class Story:
    """What happened to one request, as spans.

    Args:
        tracer: makes them.
        shown: what they may tell.
        request: as the client sent it.
        ago: seconds since its head was here.

    Attributes:
        probing: why the backend is about to be asked for the current version; "" where it is not.
    """

    __slots__ = (
        "__weakref__",
        "_decision",
        "_early",
        "_keep_state",
        "_recorded",
        "_server",
        "_shown",
        "_tracer",
        "probing",
        "request",
    )

    def __init__(self, tracer: Tracer, shown: Shown, request: Request, ago: float = 0.0) -> None:
        self._tracer = tracer
        self._shown = shown
        self.request = request
        self.probing = ""
        self._decision: Span | None = None
        self._early = False
        parent = sent_parent(request.headers)
        # Of a trace whose parent cannot be told, nothing more is told further on (Trace Context section 3.3).
        self._keep_state = parent is not None and valid_state(request.headers.getall(TRACESTATE, ()))
        self._server = tracer.start_span(
            method_name(request.method),
            _NO_PARENT if parent is None else _remote(parent),
            SpanKind.SERVER,
            {"http.request.method": method_name(request.method)},
            start_time=time.time_ns() - int(ago * 1e9),
        )
        self._recorded = self._server.is_recording()
        if self._recorded:
            self._server.set_attributes(self._of_request())

    @property
    def trace_id(self) -> str:
        """Of the trace that all these spans belong to, as in `traceparent`."""
        return f"{self._server.get_span_context().trace_id:032x}"

    # -- the request itself --------------------------------------------------------------------------------

    def end(self, status: int) -> None:
        """The response has ended, or its client left.

        Args:
            status: as sent.
        """
        self.decided()
        span, trace = self._server, self.request.trace
        if span.is_recording():
            span.update_name(f"{method_name(self.request.method)} {trace.route}")
            span.set_attributes({"http.route": trace.route, "http.response.status_code": status})
            span.set_attributes(self._outcome())
            if trace.applied_unknown:
                span.set_attribute("precondition.applied_unknown", True)
            if status >= 500:  # of a server span, 4xx is the client's error and not ours
                _failed(span, str(status))
            span.end()

    def abandon(self) -> None:
        """The request was cancelled: the proxy stops, and its time was over."""
        self.decided()
        if self._server.is_recording():  # it neither has ended, nor is left out of what is recorded
            self._server.set_attributes({"error.type": "cancelled", "http.route": self.request.trace.route})
            self._server.end()

    def note(self, event: str, what: str = "") -> None:
        """Something that happened at one moment."""
        if self._server.is_recording():  # what goes on after its end has its own spans
            self._server.add_event(f"precondition.{event}", {"precondition.detail": what} if what else None)

    def _of_request(self) -> dict[str, Value]:
        request = self.request
        host, port = authority(request.headers.get("Host", ""))
        told: dict[str, Value] = {
            "url.scheme": request.scheme,
            "client.address": request.peer,
            "precondition.request_id": request.id,
            "server.address": host,
        }
        if port:
            told["server.port"] = port
        if self._shown.names:
            told["url.path"] = path(request.target)
        if method_name(request.method) == OTHER_METHOD:
            told["http.request.method_original"] = request.method[:40]
        return {
            name: text(value) if isinstance(value, str) else value
            for name, value in told.items()
            if value != ""
        }

    def _outcome(self) -> dict[str, Value]:
        trace = self.request.trace
        told = {
            "precondition.outcome": trace.outcome,
            "precondition.condition": trace.condition,
            "precondition.reason": trace.reason,
        }
        return {name: value for name, value in told.items() if value}

    # -- the decision --------------------------------------------------------------------------------------

    def deciding(self, key: str, recorded: Recorded, *, early: bool = False) -> None:
        """The record of a resource is at hand: from now on it is decided whether the conditions hold.

        Args:
            key: the resource's name.
            recorded: what the store knew of it.
            early: before the content is here, and without the claim.
        """
        trace = self.request.trace
        if self._decision is not None or not trace.condition or key != trace.resource:
            return
        self._early = early
        self._decision = self.span("decision", {"precondition.recorded": _state(recorded)})
        if self._decision.is_recording():
            if early:
                self._decision.set_attribute("precondition.early", True)
            tags = [str(version.etag) for version in _versions(recorded) if version.etag is not None]
            if tags and self._shown.names:
                self._decision.set_attribute("precondition.recorded.etag", [text(tag) for tag in tags])
                held = self.request.headers.get(trace.condition, "")[:200]
                self._decision.set_attribute("precondition.held", text(held))

    def decided(self, *, early: bool = False) -> None:
        """It is known what becomes of the request.

        Args:
            early: ends only the decision that was made before the content was here.
        """
        decision = self._decision
        if decision is None or (early and not self._early):
            return
        self._decision = None
        if decision.is_recording():
            decision.set_attributes(self._outcome())
        decision.end()

    # -- what is done for it -------------------------------------------------------------------------------

    def span(
        self,
        name: str,
        attributes: Mapping[str, Value] | None = None,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: Span | None = None,
    ) -> Span:
        """A span below `parent`, else below the decision where one is being made, else below the request."""
        if not self._recorded:
            return self._server  # nothing below it is recorded either: one id for all of it will do
        above = parent or self._decision or self._server
        return self._tracer.start_span(name, set_span_in_context(above, _NO_PARENT), kind, attributes)

    def call(self, call: Call, parent: Span | None = None) -> tuple[Span, Fields]:
        """A span of a call of the backend, and the fields that tell the backend of it."""
        span = self.span(method_name(call.method), kind=SpanKind.CLIENT, parent=parent)
        if span.is_recording():
            span.set_attributes(self._of_call(call))
        where = span.get_span_context()
        here = TraceParent(f"{where.trace_id:032x}", f"{where.span_id:016x}", where.trace_flags.sampled)
        return span, continued(call.fields, here, keep_state=self._keep_state)

    def _of_call(self, call: Call) -> dict[str, Value]:
        told: dict[str, Value] = {"http.request.method": method_name(call.method)}
        backend = urlsplit(self._shown.backend)
        if backend.scheme == "unix":
            told["server.address"] = backend.path
        elif backend.hostname:
            told["server.address"] = backend.hostname
            told["server.port"] = backend.port or (443 if backend.scheme == "https" else 80)
        if self._shown.names and backend.hostname:
            told["url.full"] = self._shown.backend + path(call.target.decode("utf-8", "backslashreplace"))
        return told


def answered(span: Span, status: int) -> None:
    """The backend answered: 4xx and 5xx are errors of a client span."""
    span.set_attribute("http.response.status_code", status)
    if status >= 400:
        _failed(span, str(status))


def failed(span: Span, fault: BaseException) -> None:
    """What a span is about went wrong. The fault's words stay out: they may hold what a client sent."""
    kinds = (kind.__name__ for kind in type(fault).__mro__ if kind.__module__ == "proxy.errors")
    _failed(span, next(kinds, type(fault).__name__))


def _failed(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))


def _remote(parent: TraceParent) -> Context:
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    context = SpanContext(
        int(parent.trace_id, 16), int(parent.parent_id, 16), is_remote=True, trace_flags=flags
    )
    return set_span_in_context(NonRecordingSpan(context), _NO_PARENT)


def _versions(recorded: Recorded) -> tuple[Version, ...]:
    return recorded.versions if isinstance(recorded, Known) else ()


def _state(recorded: Recorded) -> str:
    if isinstance(recorded, Known):
        return "known"
    return "absent" if isinstance(recorded, Absent) else "unknown"
