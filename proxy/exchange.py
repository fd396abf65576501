"""What walks through the house: a `Request` in, an `Answer` back, a `Trace` of what happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from multidict import CIMultiDictProxy

from proxy.body import Body
from proxy.rules.conditions import Conditions
from proxy.upstream import Fields, Reply, Tunnel

Line = tuple[bytes, bytes]

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Trace:
    """What happened to one request, for metrics and for its line in the log. Times in seconds.

    Attributes:
        route: the route's pattern.
        resource: the resource's name in the store; "" where none was looked at.
        outcome: "passed", "refused", "not_modified", "reported", "failed" or "off".
        condition: the field that decided, e.g. "If-Match"; "" where none did.
        reason: why, from a closed set.
        probe: why the backend was asked for the current version, "" where it was not.
        claim_wait, upstream_seconds: where the time went.
        applied_unknown: nobody knows whether the write took effect.
    """

    route: str = "default"
    resource: str = ""
    outcome: str = "passed"
    condition: str = ""
    reason: str = ""
    probe: str = ""
    claim_wait: float = 0.0
    upstream_seconds: float = 0.0
    applied_unknown: bool = False


def _here() -> bool:
    return False


@dataclass(slots=True)
class Shape:
    """What a plain GET, PUT or PATCH comes to by its fields alone, whatever its target.

    Clients send the same fields again and again; what follows from them is found out once. So a shape may
    be of other requests too, of any connection, with the same lasting fields (`proxy.gate.shapes`).

    Attributes:
        conditions: what they ask for.
        drops: the condition fields among them that the backend is not shown.
        minted: whether they name a tag that the proxy made.
        condition: the field that is evaluated first, "" where there is none.
        decides: whether there is something to evaluate.
        lines: what the backend is sent, as bytes; but for X-Request-ID, which is each request's own, and of a
            write for If-Match and Content-Length.
        recognised: whether the answer to such a write may be kept for a retry.
        sender: what stands for who sends it, if so; see `proxy.rules.replay`.
        probe: what the backend is sent when it is asked for the current version; made when first needed, out
            of lasting fields alone.
    """

    conditions: Conditions
    drops: frozenset[bytes]
    minted: bool
    lines: bytes
    recognised: bool = False
    sender: bytes = b""
    probe: bytes = b""
    condition: str = ""
    decides: bool = False


@dataclass(slots=True)
class Request:
    """One request as the client sent it.

    Attributes:
        method: as on the wire.
        target: request target as on the wire (non-ASCII bytes as `surrogateescape`).
        fields: field lines as on the wire, hop-by-hop ones included.
        headers: the same, by name.
        body: the content; nothing of it is read before somebody asks.
        peer: the client's IP address, "" for a unix socket.
        scheme: "http" or "https".
        id: the request's identity in logs.
        early: sends an interim (1xx) response on.
        left: whether the client is gone, or has ended its side of the connection.
        upgrade: the protocol that the client asks to switch to, or None.
        trace: what happened.
        shape: of a GET, PUT or PATCH that may take the short way, else None.
    """

    method: str
    target: str
    fields: tuple[Line, ...]
    headers: CIMultiDictProxy[str]
    body: Body
    peer: str = ""
    scheme: str = "http"
    id: str = ""
    early: Callable[[int, str, Fields], None] | None = None
    left: Callable[[], bool] = _here
    upgrade: bytes | None = None
    trace: Trace = field(default_factory=Trace)
    shape: Shape | None = None


@dataclass(slots=True)
class Answer:
    """One response for the client.

    Attributes:
        status: final status code.
        reason: reason phrase.
        fields: end-to-end field lines; framing is the edge's.
        body: the content, or the backend's reply whose body is to be streamed, or None where there is none
            whatever the fields say (HEAD, 204, 304).
        length: what Content-Length says where `body` is None (HEAD), or None to leave it out.
        tunnel: the connection to the backend, after a 101.
    """

    status: int
    reason: str
    fields: list[Line]
    body: bytes | Reply | None = b""
    length: int | None = None
    tunnel: Tunnel | None = None

    @staticmethod
    def of(status: int, fields: Sequence[Line], body: bytes | None = b"") -> Answer:
        """An answer of our own."""
        return Answer(status, _PHRASES[status], list(fields), body)
