"""What a refusal says to the person who gets it: one function for each kind.

Nothing here puts a client's text into a response field, and what the client sent is shown shortened.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final, assert_never

from proxy.rules.conditions import Condition, Conditions, Malformed
from proxy.rules.dates import format_http_date
from proxy.rules.preconditions import Reason, Refuse
from proxy.rules.problems import ALWAYS, Fields, Kind, Problem, echo, legible, render
from proxy.rules.versions import UNKNOWN, Known, Recorded, Version

__all__ = [
    "Kind",
    "Problem",
    "about",
    "condition_required",
    "gateway",
    "internal",
    "malformed",
    "rejected",
    "render",
    "stale",
    "unavailable",
]


def stale(refusal: Refuse, conditions: Conditions, method: str, current: Recorded) -> Problem:
    """412: a condition is false.

    Args:
        refusal: from `evaluate`.
        conditions: the request's.
        method: as on the wire.
        current: what this caller may be told, that is, could GET with its own credentials. UNKNOWN tells
            nothing. Of several representations the first is shown.
    """
    version = current.versions[0] if isinstance(current, Known) else None
    what, recovery = _told(refusal.reason)
    members: dict[str, object] = {
        "condition": refusal.condition.value,
        "reason": refusal.reason.value,
        "sent": echo(conditions.sent.get(refusal.condition, "")),
        "method": echo(method),
    }
    if current is not UNKNOWN:
        members["current"] = None if version is None else _shown(version)
    detail = f"{what}, so your {echo(method)} was not carried out."
    fields = ALWAYS + _validators(version)
    return Problem(412, Kind.STALE, "Precondition Failed", detail, recovery, members, fields)


def _told(reason: Reason) -> tuple[str, str]:
    """What happened (a sentence without its end) and what to do next."""
    again = (
        "GET the resource again, make your change to what you get, and send it with the new ETag in If-Match."
    )
    match reason:
        case Reason.STALE_TAG:
            return "The resource has changed since you read it: your If-Match names no current version", again
        case Reason.WEAK_TAG:
            return (
                "Your If-Match names the current version, but by a weak tag (W/), which proves too little",
                "GET the resource again and send an ETag without W/ in If-Match, or, if it has none,"
                " its Last-Modified in If-Unmodified-Since.",
            )
        case Reason.NO_TAG:
            return (
                "The resource has no entity tag at present, so no tag in If-Match can match",
                "GET the resource again and send its Last-Modified in If-Unmodified-Since, if it has one.",
            )
        case Reason.ABSENT:
            return (
                "The resource does not exist, or no longer",
                'GET the resource to see for yourself; to create it, send "If-None-Match: *" instead.',
            )
        case Reason.EXISTS:
            return (
                'The resource exists already, and "If-None-Match: *" asks that it does not',
                "GET the resource; to change it, send your request with its ETag in If-Match instead.",
            )
        case Reason.TAG_MATCHES:
            return (
                "The resource is in the very version that your If-None-Match rules out",
                "GET the resource; to change just that version, send its ETag in If-Match instead.",
            )
        case Reason.MODIFIED_SINCE:
            return "The resource was modified after the date in your If-Unmodified-Since", again
        case Reason.SHARED_SECOND:
            return (
                "The resource changed more than once in the second that your If-Unmodified-Since names,"
                " and a date cannot tell those versions apart",
                again,
            )
        case _:
            assert_never(reason)


def condition_required(method: str) -> Problem:
    """428: the route asks for a condition and the request has none (RFC 6585 section 3). Needs no I/O."""
    name = echo(method)
    return Problem(
        428,
        Kind.CONDITION_REQUIRED,
        "Precondition Required",
        f"A {name} of this resource must say which version it changes, and yours has no condition.",
        f"GET the resource and send your {name} with the ETag that you get in If-Match;"
        ' to create a new resource, send "If-None-Match: *".',
        {"condition": Condition.IF_MATCH.value, "method": name},
    )


def about(problem: Problem, resource: str) -> Problem:
    """The same, of a request that changes another resource than its target.

    Args:
        resource: its path.
    """
    where = echo(resource)
    recovery = f"{problem.recovery} The resource is {where}."
    return replace(problem, recovery=recovery, members={**problem.members, "resource": where})


def malformed(what: Malformed) -> Problem:
    """400: a condition that cannot be read, so that the request would go unchecked."""
    return Problem(
        400,
        Kind.MALFORMED_CONDITION,
        "Malformed Precondition",
        f"Your {what.field} cannot be read, so nothing was carried out: {_lower(what.reason)}",
        what.hint,
        {
            "condition": what.field.value,
            "reason": what.reason,
            "sent": echo(what.value),
        },
    )


def unavailable(reason: str, retry_after: float) -> Problem:
    """503: whether the condition holds cannot be found out now. Nothing was sent to the backend.

    Args:
        reason: one plain sentence.
        retry_after: seconds; told in whole ones, at least 1 (RFC 9110 section 10.2.3).
    """
    seconds = max(1, math.ceil(retry_after))
    unit = "second" if seconds == 1 else "seconds"
    return Problem(
        503,
        Kind.UNAVAILABLE,
        "Service Unavailable",
        f"Your request was not carried out, as it could not be checked safely: {_lower(reason)}",
        f"Send the same request again in {seconds} {unit}.",
        {"retry_after": seconds},
        (*ALWAYS, ("Retry-After", str(seconds))),
    )


def gateway(status: int, reason: str, *, maybe_applied: bool) -> Problem:
    """502 or 504: the backend gave no usable answer.

    Args:
        status: 502 or 504.
        reason: one plain sentence.
        maybe_applied: whether a write may have taken effect all the same.
    """
    kind, title = _GATEWAY[status]
    recovery = "Send the same request again later; nothing reached the backend."
    if maybe_applied:
        recovery = "GET the resource to see whether your change was made before you send it again."
    members = {"maybe_applied": maybe_applied}
    return Problem(
        status, kind, title, f"The backend gave no usable answer: {_lower(reason)}", recovery, members
    )


_GATEWAY: Final = {
    502: (Kind.BAD_GATEWAY, "Bad Gateway"),
    504: (Kind.GATEWAY_TIMEOUT, "Gateway Timeout"),
}


def rejected(status: int, reason: str) -> Problem:
    """400, 408, 413, 414 or 431: the request itself cannot be taken.

    Args:
        status: one of these.
        reason: one plain sentence.
    """
    kind, title, recovery = _REJECTED[status]
    return Problem(status, kind, title, _sentence(reason), recovery)


_REJECTED: Final = {
    400: (Kind.BAD_REQUEST, "Bad Request", "Correct the request and send it again."),
    408: (Kind.REQUEST_TIMEOUT, "Request Timeout", "Send the whole request again, without pausing in it."),
    413: (Kind.CONTENT_TOO_LARGE, "Content Too Large", "Send less content in one request."),
    414: (Kind.TARGET_TOO_LONG, "URI Too Long", "Use a shorter address."),
    431: (
        Kind.FIELDS_TOO_LARGE,
        "Request Header Fields Too Large",
        "Send fewer or shorter header fields, cookies among them.",
    ),
}


def internal() -> Problem:
    """500: a mistake of ours, of which nothing is said."""
    return Problem(
        500,
        Kind.INTERNAL,
        "Internal Server Error",
        "The proxy made a mistake while it handled your request.",
        "GET the resource to see its state, and tell the operator the request's id.",
    )


def _shown(version: Version) -> dict[str, object]:
    """`current` of the 412, each value as its response field has it."""
    tag = version.etag or version.weak
    return {
        "etag": None if tag is None else legible(str(tag)),
        "last_modified": None if version.modified is None else format_http_date(version.modified),
    }


def _validators(version: Version | None) -> Fields:
    """ETag and Last-Modified: neither can hold a line break, by etagc and by the date's form."""
    if version is None:
        return ()
    tag = version.etag or version.weak
    etag: Fields = () if tag is None else (("ETag", str(tag)),)
    if version.modified is None:
        return etag
    return (*etag, ("Last-Modified", format_http_date(version.modified)))


def _sentence(reason: str) -> str:
    reason = legible(reason)
    return reason if reason.endswith((".", "!", "?")) else reason + "."


def _lower(reason: str) -> str:
    """A sentence as the second half of another."""
    sentence = _sentence(reason)
    return sentence[:1].lower() + sentence[1:]
