"""Cross-origin requests of scripts in browsers (the Fetch standard, section 3.3), where a route allows them.

A script of another origin may not send If-Match without a preflight, and does not see ETag or a 412 without
these fields; a backend that never had tags does not send them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from multidict import CIMultiDictProxy

from proxy.rules.fields import Line, lower, replace

CONDITIONAL: Final = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Prefer")
"""Fields that a script needs to send for conditional requests."""

EXPOSED: Final = (
    *("ETag", "Last-Modified", "Location", "Content-Location", "Retry-After"),
    *("Preference-Applied", "Precondition-Status", "X-Request-ID"),
)
"""Fields that a script needs to see; by itself it sees few (Fetch, CORS-safelisted response-header name)."""

_ANY: Final = "*"
_MAX_AGE: Final = b"600"
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Cors:
    """What scripts of other origins may do on a route.

    Attributes:
        origins: that are allowed, such as `https://app.example`; `*` for every one.
        credentials: whether they may send cookies and see what is answered then.
        passed: whether the backend answers preflights itself; what conditional requests need is added.
    """

    origins: frozenset[str]
    credentials: bool = False
    passed: bool = False


def origin_of(cors: Cors, headers: CIMultiDictProxy[str]) -> str | None:
    """The value of Access-Control-Allow-Origin for a request, None where its origin is not allowed."""
    origin = headers.get("Origin")
    if origin is None:
        return None
    if _ANY in cors.origins:
        return _ANY
    return origin if origin.lower() in cors.origins else None


def is_preflight(method: str, headers: CIMultiDictProxy[str]) -> bool:
    """Whether a browser asks if it may send a request (Fetch, CORS-preflight request)."""
    return method == "OPTIONS" and "Origin" in headers and "Access-Control-Request-Method" in headers


def preflight_fields(cors: Cors, headers: CIMultiDictProxy[str]) -> list[Line] | None:
    """The answer to a preflight, None where it is not ours to give: the origin is not allowed, or passed on.

    An allowed origin may use every method and field that it asks for: what they do is for the backend to say.
    """
    if cors.passed or origin_of(cors, headers) is None:
        return None
    method = headers.get("Access-Control-Request-Method", "").strip()
    asked = [name.strip() for name in headers.get("Access-Control-Request-Headers", "").split(",")]
    names = [name for name in asked if _TOKEN.fullmatch(name)]
    fields = [(b"Access-Control-Max-Age", _MAX_AGE)]
    if _TOKEN.fullmatch(method):
        fields.append((b"Access-Control-Allow-Methods", method.encode()))
    if names:
        fields.append((b"Access-Control-Allow-Headers", ", ".join(names).encode()))
    varies = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    return [*fields, (b"Vary", varies)]


def with_cors(cors: Cors, method: str, headers: CIMultiDictProxy[str], fields: list[Line]) -> list[Line]:
    """A response's fields with what a script of another origin needs to see it.

    Where the backend has a CORS policy of its own, that is left as it is, and only added to.
    """
    fields = _varied(fields)
    origin = origin_of(cors, headers)
    if origin is None:
        return fields
    if not _has(fields, b"access-control-allow-origin"):
        fields.append((b"Access-Control-Allow-Origin", origin.encode("ascii", "replace")))
        if cors.credentials:
            fields.append((b"Access-Control-Allow-Credentials", b"true"))
    if is_preflight(method, headers):
        return _merged(fields, b"Access-Control-Allow-Headers", CONDITIONAL) if cors.passed else fields
    return _merged(fields, b"Access-Control-Expose-Headers", EXPOSED)


def _varied(fields: list[Line]) -> list[Line]:
    """The response depends on Origin, whatever that is: a cache must not give it to another one."""
    named = b",".join(value for name, value in fields if lower(name) == b"vary").lower()
    members = {member.strip() for member in named.split(b",")}
    return list(fields) if members & {b"*", b"origin"} else [*fields, (b"Vary", b"Origin")]


def _has(fields: Iterable[Line], name: bytes) -> bool:
    return any(lower(line) == name for line, _ in fields)


def _merged(fields: list[Line], name: bytes, more: tuple[str, ...]) -> list[Line]:
    """The fields with more members in a list; its `*` does not count where there are credentials."""
    present = b",".join(value for line, value in fields if lower(line) == name.lower()).decode("latin-1")
    members = {member.strip().lower(): member.strip() for member in present.split(",") if member.strip()}
    for member in more:
        members.setdefault(member.lower(), member)
    return replace(fields, name, ", ".join(members.values()).encode("latin-1"))
