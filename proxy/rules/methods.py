"""Which method a request asks for (RFC 9110 section 9), where a field may name another."""

from __future__ import annotations

from multidict import CIMultiDictProxy

from proxy.rules.conditions import READS, UNEVALUATED

OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")


_SAFE = READS | UNEVALUATED
_STRICT = frozenset({"PUT", "PATCH", "DELETE"})


def effective_method(
    method: str, headers: CIMultiDictProxy[str], *, strip: bool, require: frozenset[str] = frozenset()
) -> str:
    """The method that a request is judged by: the one of the two that is judged more strictly.

    A backend may obey the field or not. A GET that says DELETE is judged as a DELETE; a POST that says GET is
    still judged as a POST, and a PUT that says POST as a PUT.

    Args:
        method: as on the request line.
        headers: the request's fields.
        strip: whether the fields are removed on the way, so that they mean nothing.
        require: the methods that the route wants a condition of.
    """
    if strip or not (
        "X-HTTP-Method-Override" in headers or "X-HTTP-Method" in headers or "X-Method-Override" in headers
    ):
        return method
    # A backend may obey any of the lines.
    lines = (line for name in OVERRIDES for line in headers.getall(name, ()))
    named = (name for line in lines for part in line.split(",") if (name := part.strip().upper()))
    return max([method, *named], key=lambda one: (one not in _SAFE, one in require, one in _STRICT))
