"""The fields of what goes to the backend: the request itself, or a probe on its behalf."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from proxy.exchange import Request
from proxy.rules.fields import (
    CONDITIONS,
    OVERRIDES,
    Line,
    forwarded_fields,
    lower,
    nominated,
    replace,
    request_fields,
    size,
    without_content,
)
from proxy.rules.recent import Recent

_NOTHING: frozenset[bytes] = frozenset()
# What would make a probe anything else than a plain GET of the whole representation.
_NOT_FOR_PROBES = (
    CONDITIONS
    | OVERRIDES
    | {b"range", b"prefer", b"idempotency-key", b"destination", b"overwrite", b"if", b"depth", b"lock-token"}
    | {b"trailer", b"accept-encoding", b"x-update-range", b"timeout", b"digest", b"signature"}
)

_OF_EACH: Final = (
    *("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Content-Length"),
    *("X-Request-ID", "X-Request-Id", "X-Correlation-ID", "X-Correlation-Id", "Traceparent", "Tracestate"),
    *(
        "TraceParent",
        "TraceState",
        "Baggage",
        "Sentry-Trace",
        "B3",
        "X-B3-TraceId",
        "X-B3-SpanId",
        "X-B3-ParentSpanId",
        "X-B3-Sampled",
    ),
    *("X-Amzn-Trace-Id", "X-Cloud-Trace-Context", "X-Datadog-Trace-Id", "X-Datadog-Parent-Id"),
    *("X-Datadog-Sampling-Priority", "X-Datadog-Tags", "X-Request-Start"),
)
CHANGING: Final = {
    spelled.encode(): name.lower().encode() for name in _OF_EACH for spelled in (name, name.lower())
}
"""Fields that differ from request to request, while the others of a client are the same again and again; in
the spellings that programs use, with their names in lower case."""

_MOST: Final = 512
_LONGEST: Final = 4096  # bytes of fields; a client can make up any number of longer ones

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Outgoing:
    """Makes outgoing fields.

    Args:
        host: the value of Host to send, or None to keep the client's.
        style: "x-forwarded", "forwarded" or "none".
        via: our pseudonym in Via, "" for none (RFC 9110 section 7.6.3).
        trusted: peers whose own X-Forwarded-* and Forwarded are believed.
        strip_override: whether fields that override the method are removed.
        fallback: the value of Host for requests without any (RFC 9112 section 3.3).
    """

    def __init__(
        self,
        *,
        host: bytes | None = None,
        style: str = "x-forwarded",
        via: str = "precondition-proxy",
        trusted: Sequence[Network] = (),
        strip_override: bool = False,
        fallback: bytes = b"",
    ) -> None:
        self._host = host
        self._fallback = fallback
        self._style = style
        self._via = f"1.1 {via}".encode() if via else None
        self._trusted = tuple(trusted)
        self._always = OVERRIDES if strip_override else _NOTHING
        self._remembered: Recent[object, tuple[list[Line], frozenset[bytes]]] = Recent(_MOST)
        self._is_trusted = lru_cache(maxsize=1024)(self._look_up)

    def hosts(self, request: Request) -> frozenset[str]:
        """The authorities under which this client and the backend know the origin."""
        own = () if self._host is None else (self._host.decode("ascii", "replace"),)
        return frozenset({request.headers.get("Host", ""), *own})

    def of(self, request: Request, drop: frozenset[bytes] = _NOTHING) -> list[Line]:
        """The request's end-to-end fields, with ours added; conditions were evaluated before."""
        own = tuple([line for line in request.fields if line[0] not in CHANGING])
        key = (own, drop, request.peer, request.scheme)
        known = self._remembered.get(key) or self._remembered.recall(key)
        if known is None:
            dropped = self._dropped(request, drop)
            known = self._addressed(request, request_fields(own, dropped)), dropped
            if size(own) <= _LONGEST:
                self._remembered.keep(key, known)
        made, dropped = known
        if len(own) != len(request.fields):
            others = [line for line in request.fields if line[0] in CHANGING]
            made = [*made, *request_fields(others, dropped)]
        return self._identified(request, made)

    def lasting(self, request: Request, own: tuple[Line, ...]) -> list[Line]:
        """The same of the fields that do not change, without an X-Request-ID.

        Args:
            own: the request's fields but for those in `CHANGING`.
        """
        return self._addressed(request, request_fields(own, self._dropped(request, _NOTHING)))

    def _dropped(self, request: Request, drop: frozenset[bytes]) -> frozenset[bytes]:
        dropped = drop | self._always
        return dropped | nominated(request.fields) if "Connection" in request.headers else dropped

    def probe(self, request: Request, accept_encoding: str | None) -> list[Line]:
        """The fields of a GET with the caller's own credentials and nothing of its conditions.

        Args:
            accept_encoding: the content coding to ask for, or None for what the caller accepts.
        """
        fields = without_content(self.of(request, _NOT_FOR_PROBES))
        wanted = request.headers.get("Accept-Encoding") if accept_encoding is None else accept_encoding
        if wanted is not None:
            fields.append((b"Accept-Encoding", wanted.encode("utf-8", "surrogateescape")))
        return fields

    def _addressed(self, request: Request, fields: list[Line]) -> list[Line]:
        host = request.headers.get("Host", "").encode("utf-8", "surrogateescape")
        if self._host is not None:
            fields = replace(fields, b"Host", self._host)
        elif "Host" not in request.headers:
            fields.append((b"Host", self._fallback))  # HTTP/1.0 had none; HTTP/1.1 demands one
        fields = forwarded_fields(
            fields,
            style=self._style,
            trusted=bool(self._trusted) and self._is_trusted(request.peer),
            peer=request.peer,
            scheme=request.scheme,
            host=host,
        )
        if self._via is not None:
            fields.append((b"Via", self._via))
        return fields

    @staticmethod
    def _identified(request: Request, fields: list[Line]) -> list[Line]:
        """The same id as in the log: the client's own where that was fit for it."""
        if "X-Request-ID" not in request.headers:
            return [*fields, (b"X-Request-ID", request.id.encode("ascii", "replace"))]
        if request.headers.getall("X-Request-ID") == [request.id]:
            return list(fields)
        return replace(fields, b"X-Request-ID", request.id.encode("ascii", "replace"))

    def _look_up(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._trusted)


def trailers_wanted(request: Request) -> bool:
    """Whether the client reads trailer fields (RFC 9110 section 10.1.4)."""
    return any(lower(name) == b"te" and b"trailers" in value.lower() for name, value in request.fields)
