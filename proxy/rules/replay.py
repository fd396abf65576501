"""A write that is sent again because its answer was lost: which requests are the same, and what is answered.

RFC 9110 sections 13.1.1 and 13.1.4 let a server answer 2xx, though the condition is false, where the change
has been made already. They also warn of clients that write the same without knowing of each other: two that
count up a number both write the same content over the same version, and one step would be lost. So a request
is taken for the same only where something in it tells its sender from everybody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from operator import itemgetter
from typing import Final

from proxy.rules.conditions import Conditions, Headers
from proxy.rules.fields import CONDITIONS, FRAMING, HOP_BY_HOP, Line, lower
from proxy.rules.minting import joined

MOST: Final = 16 << 10
"""Bytes: an answer that takes more is not remembered."""

DIGEST: Final = 16
"""Bytes of what stands for a request's head, and for its content."""

# What differs between two attempts of one client: framing, time, and what traces and counts attempts.
_OF_ONE_ATTEMPT: Final = (
    (HOP_BY_HOP - {b"proxy-authorization"})
    | FRAMING
    | {b"expect", b"date", b"via", b"priority", b"x-request-id", b"x-correlation-id", b"x-request-start"}
    | {b"traceparent", b"tracestate", b"baggage", b"b3", b"sentry-trace", b"x-amzn-trace-id"}
    | {b"x-cloud-trace-context", b"amz-sdk-request"}
)
_OF_ONE_ATTEMPT_TOO: Final = (b"x-b3-", b"x-datadog-", b"x-envoy-")

_ADDRESSES: Final = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip"})

# Not to be told a second time: when the first answer was made, and what is secret or for its connection.
_NOT_AGAIN: Final = frozenset(
    {b"date", b"age", b"set-cookie", b"set-cookie2", b"authentication-info", b"proxy-authentication-info"}
    | {b"x-request-id", b"server-timing", b"traceparent", b"tracestate", b"via", b"alt-svc"}
)
_BODILESS: Final = frozenset({204, 205})


def recognisable(conditions: Conditions, headers: Headers) -> bool:
    """Whether a write is known again when it comes a second time.

    Its sender is told by credentials, or by an Idempotency-Key. If-None-Match needs the latter: RFC 9110
    section 13.1.2 allows no 2xx where it is false, and of several creators of the same just one may win.
    """
    if not conditions.guards:
        return False  # never refused
    if "Idempotency-Key" in headers:
        return True
    sent = "Authorization" in headers or "Cookie" in headers or "Proxy-Authorization" in headers
    return sent and conditions.if_none_match is None


def sender(peer: str, fields: Iterable[Line]) -> bytes:
    """What stands for who sends a write: the fields that are no conditions, in a hash.

    All of a client's writes have the same, most often.

    Args:
        peer: the client's address; that of a proxy counts for nothing where it says for whom it speaks.
        fields: as on the wire. All of them but those of one attempt count: any may be a credential.
    """
    kept = _kept(fields, conditions=False)
    parts = [b"" if any(low in _ADDRESSES for low, _ in kept) else peer.encode(), *chain.from_iterable(kept)]
    return sha256(joined(parts)).digest()


def head(names: Sequence[str], who: bytes, fields: Iterable[Line]) -> list[bytes]:
    """What two attempts of one write have in common, their content aside; in pieces, for a hash.

    Args:
        names: methods and resource.
        who: what `sender` says.
        fields: as on the wire; their conditions count.
    """
    told = [name.encode("utf-8", "surrogateescape") for name in names]
    return [*told, who, *chain.from_iterable(_kept(fields, conditions=True))]


def _kept(fields: Iterable[Line], *, conditions: bool) -> list[Line]:
    """The fields that count, those of one name in their order (RFC 9110 section 5.3)."""
    kept = [
        (low, value)
        for name, value in fields
        if ((low := lower(name)) in CONDITIONS) is conditions and not _passing(low)
    ]
    if len(kept) > 1:
        kept.sort(key=itemgetter(0))
    return kept


def _passing(low: bytes) -> bool:
    return low in _OF_ONE_ATTEMPT or low.startswith(_OF_ONE_ATTEMPT_TOO)


@dataclass(frozen=True, slots=True)
class Remembered:
    """The answer to a write that succeeded.

    Attributes:
        content: stands for the request's content, in DIGEST bytes.
        left: whether its client had left before the answer was ready.
        status, reason, fields, body: of the answer; `body` None where there is none.
    """

    content: bytes
    left: bool
    status: int
    reason: str
    fields: tuple[Line, ...]
    body: bytes | None


def packed(answer: Remembered) -> bytes | None:
    """As a store keeps it; None where it is not to be remembered: no success, or too long."""
    if not 200 <= answer.status < 300 or (answer.body is None and answer.status not in _BODILESS):
        return None
    reason = answer.reason.encode("utf-8", "surrogateescape")
    kept = [b"%b:%b" % line for line in answer.fields if lower(line[0]) not in _NOT_AGAIN]
    lines = (b"%d %b" % (answer.status, reason), *kept, b"", answer.body or b"")
    whole = answer.content + (b"1" if answer.left else b"0") + b"\r\n".join(lines)
    return whole if len(whole) <= MOST else None


def unpacked(words: bytes) -> Remembered:
    """What `packed` made."""
    top, _, body = words[DIGEST + 1 :].partition(b"\r\n\r\n")
    start, *lines = top.split(b"\r\n")
    status, _, reason = start.partition(b" ")
    return Remembered(
        content=words[:DIGEST],
        left=words[DIGEST : DIGEST + 1] == b"1",
        status=int(status),
        reason=reason.decode("utf-8", "surrogateescape"),
        fields=tuple((name, value) for name, _, value in (line.partition(b":") for line in lines)),
        body=None if int(status) in _BODILESS else body,
    )


def answered_again(words: bytes, content: bytes, *, overlapped: bool) -> Remembered | None:
    """The first answer, where a write with this content may have it again.

    Args:
        words: what `packed` made.
        content: stands for the content of the write that came now.
        overlapped: whether the first was still under way when this one came. A client that waits for an
            answer does not ask a second time: then there are two of them, unless the first one has left.
    """
    first = unpacked(words)
    return first if first.content == content and (first.left or not overlapped) else None
