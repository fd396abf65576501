"""Max-Forwards: how many more hops a TRACE or OPTIONS may go (RFC 9110 section 7.6.2)."""

from __future__ import annotations

from proxy.exchange import Answer, Request
from proxy.rules.fields import Line, replace

_COUNTED = frozenset({"OPTIONS", "TRACE"})
_ALLOW = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


def last_hop(request: Request) -> Answer | None:
    """The answer of our own that a request asks for whose hops are used up, else None.

    A TRACE would send back what the client sent, its credentials too (section 9.3.8): it is refused.
    """
    if request.method not in _COUNTED or _left(request) != 0:
        return None
    request.trace.outcome, request.trace.reason = "off", "last_hop"
    status = 204 if request.method == "OPTIONS" else 405
    return Answer.of(status, [(b"Allow", _ALLOW)], None if status == 204 else b"")


def counted(request: Request, fields: list[Line]) -> list[Line]:
    """The fields with one hop less."""
    left = _left(request) if request.method in _COUNTED else None
    return fields if left is None else replace(fields, b"Max-Forwards", b"%d" % (left - 1))


def _left(request: Request) -> int | None:
    text = request.headers.get("Max-Forwards", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
