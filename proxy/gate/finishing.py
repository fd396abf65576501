"""What some routes add to every answer: Precondition-Status, and what browsers need (CORS)."""

from __future__ import annotations

from proxy.exchange import Answer, Request, Trace
from proxy.rules.cors import Cors, is_preflight, preflight_fields, with_cors
from proxy.rules.fields import replace
from proxy.rules.routing import Route


def finished(route: Route, request: Request, answer: Answer) -> Answer:
    """The answer with what the route adds."""
    if answer.tunnel is not None:
        return answer
    if route.status_header:
        answer.fields = replace(answer.fields, b"Precondition-Status", status(request.trace))
    if route.cors is not None:
        answer.fields = with_cors(route.cors, request.method, request.headers, answer.fields)
    return answer


def status(trace: Trace) -> bytes:
    """What was evaluated and why: a token with parameters (RFC 9651 section 3.3)."""
    bare = trace.outcome == "passed" and not trace.condition
    value = "unconditional" if bare else trace.outcome
    parameters = (("condition", trace.condition), ("reason", trace.reason), ("asked", trace.probe))
    value += "".join(f";{name}={word}" for name, word in parameters if word)
    return value.encode("ascii", "replace")


def preflight(cors: Cors, request: Request) -> Answer | None:
    """The answer to a browser's preflight, where it is ours to give."""
    if not is_preflight(request.method, request.headers):
        return None
    fields = preflight_fields(cors, request.headers)
    return None if fields is None else Answer(204, "No Content", fields, None)
