"""Which method a request asks for (RFC 9110 section 9), where a field may name another."""

from __future__ import annotations

from multidict import CIMultiDictProxy

from proxy.rules.conditions import READS, UNEVALUATED

OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")


def effective_method(method: str, headers: CIMultiDictProxy[str], *, strip: bool) -> str:
    """The method that a request is judged by: the one of the two that may change more.

    A backend may obey the field or not. A GET that says DELETE is judged as a DELETE; a POST that says GET is
    still judged as a POST.

    Args:
        method: as on the request line.
        headers: the request's fields.
        strip: whether the fields are removed on the way, so that they mean nothing.
    """
    if strip:
        return method
    for name in OVERRIDES:
        for line in headers.getall(name, ()):  # a backend may obey any of them
            named = line.strip().upper()
            if named not in READS | UNEVALUATED:
                return named
    return method
