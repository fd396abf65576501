"""Refusals as answers: the documents of `proxy.rules.refusals` for one visit."""

from __future__ import annotations

from proxy.exchange import Answer, Line, Request
from proxy.gate.visit import Visit
from proxy.rules.preconditions import Refuse
from proxy.rules.problems import Fields, Problem, identified
from proxy.rules.refusals import about, render, stale
from proxy.rules.signed import is_s3, s3_error
from proxy.rules.versions import Recorded


def answer_with(problem: Problem, request: Request) -> Answer:
    """A problem as the request's Accept asks for it (RFC 9457), for clients of S3 as they know it."""
    if is_s3(request.headers, request.target):
        kind, body = s3_error(problem, request.target, request.id)
    else:
        kind, body = render(identified(problem, request.id), request.headers.getall("Accept", ()))
    fields = [(b"Content-Type", kind.encode()), (b"Vary", b"Accept"), (b"X-Request-ID", request.id.encode())]
    return Answer.of(problem.status, fields + encoded(problem.fields), body)


def encoded(fields: Fields) -> list[Line]:
    """A problem's response fields as they go out."""
    return [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in fields]


def refused(visit: Visit, refusal: Refuse, current: Recorded) -> Answer:
    """412 (RFC 9110 section 15.5.13)."""
    note(visit, refusal, "refused")
    problem = stale(refusal, visit.conditions, visit.request.method, current)
    return answer_with(named(problem, visit), visit.request)


def named(problem: Problem, visit: Visit) -> Problem:
    """A problem that says which resource it is about, where that is not the request's target."""
    if visit.alias is None:
        return problem
    return about(problem, visit.wire.decode("ascii"))


def note(visit: Visit, refusal: Refuse, outcome: str) -> None:
    """Writes into the trace what decided."""
    trace = visit.request.trace
    trace.outcome, trace.condition, trace.reason = outcome, refusal.condition, refusal.reason
