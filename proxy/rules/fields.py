"""Which header fields go on, in either direction, and which are ours to set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

Line = tuple[bytes, bytes]

HOP_BY_HOP = frozenset(
    {  # RFC 9110 section 7.6.1, and the ones of old proxies
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
        b"proxy-authenticate",
        b"proxy-authorization",
    }
)
FRAMING = frozenset({b"content-length", b"transfer-encoding"})
CONDITIONS = frozenset(
    {b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range"}
)
OVERRIDES = frozenset({b"x-http-method-override", b"x-http-method", b"x-method-override"})
# Frameworks read another request target from these: a resource would have a name that nobody looked at.
_OTHER_TARGETS = frozenset({b"x-original-url", b"x-rewrite-url"})
_FORWARDED = frozenset({b"forwarded", b"x-real-ip"})
_FORWARDED_PREFIX = b"x-forwarded-"
_CONTENT = frozenset({b"content-type", b"content-encoding", b"content-language", b"content-range"})
_REQUEST_DROPS = HOP_BY_HOP | FRAMING | _OTHER_TARGETS | {b"expect"}
# CGI and its heirs fold "_" and "-" into one (RFC 3875 section 4.1.18), so If_Match would pass for If-Match.
_NOT_TO_BE_FOLDED_INTO = CONDITIONS | _REQUEST_DROPS | OVERRIDES | _FORWARDED
_REPLY_DROPS = HOP_BY_HOP - {b"proxy-authenticate"} | FRAMING
_NEVER_NOMINATED = frozenset({b"host", b"authorization", b"cookie", b"content-type", b"cache-control"})
_NOT_IN_304 = _CONTENT | {b"last-modified", b"accept-ranges", b"trailer"}

_OPTIONS = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"Close"})  # they name no field

_NONE: frozenset[bytes] = frozenset()

line_of = b"%b: %b\r\n".__mod__
"""One field line as bytes, from its name and its value (RFC 9112 section 5)."""

_lower: dict[bytes, bytes] = {}


def lower(name: bytes) -> bytes:
    """A field name in lower case, remembered: the same few names come again and again."""
    known = _lower.get(name)
    if known is None:
        known = name.lower()
        if len(_lower) < 4096 and len(name) <= 64:  # a client can make up as many as it likes
            _lower[name] = known
    return known


def size(fields: Sequence[Line]) -> int:
    """Bytes of a header section, its last blank line aside (RFC 9112 section 5)."""
    return sum(map(len, chain.from_iterable(fields))) + 4 * len(fields)


def nominated(fields: Iterable[Line]) -> frozenset[bytes]:
    """The fields that Connection names: for this hop only (RFC 9110 section 7.6.1).

    A client must not use it to take away what the request means to the backend, so fields that end-to-end
    semantics rest on stay.
    """
    values = [  # the length first: it tells nearly all other fields apart
        value
        for name, value in fields
        if len(name) == 10 and value not in _OPTIONS and name.lower() == b"connection"
    ]
    if not values:
        return _NONE
    return frozenset({name.strip().lower() for name in b",".join(values).split(b",")}) - _NEVER_NOMINATED


def request_fields(fields: Iterable[Line], drop: frozenset[bytes]) -> list[Line]:
    """The end-to-end fields of a request, without those that the caller drops.

    Look-alikes (`If_Match`) of what the proxy decides on or sets are dropped: some servers fold them into the
    real ones.
    """
    dropped = _REQUEST_DROPS | drop if drop else _REQUEST_DROPS
    return [
        (name, value)
        for name, value in fields
        if (low := lower(name)) not in dropped and (b"_" not in low or not _looks_alike(low))
    ]


def _looks_alike(low: bytes) -> bool:
    folded = low.replace(b"_", b"-")
    return folded in _NOT_TO_BE_FOLDED_INTO or folded.startswith(_FORWARDED_PREFIX)


def reply_fields(fields: Sequence[Line]) -> list[Line]:
    """The end-to-end fields of a response."""
    known = _lower.get  # the dict before the function: this runs for every field of every response
    kept: list[Line] = []
    names_more = False
    for line in fields:
        low = known(line[0]) or lower(line[0])
        if low not in _REPLY_DROPS:
            kept.append(line)
        elif low == b"connection":
            names_more = True
    dropped = nominated(fields) if names_more else _NONE
    return [line for line in kept if lower(line[0]) not in dropped] if dropped else kept


def replace(fields: list[Line], name: bytes, value: bytes | None) -> list[Line]:
    """The fields with just one line of that name, or with none."""
    kept = [line for line in fields if lower(line[0]) != name.lower()]
    if value is not None:
        kept.append((name, value))
    return kept


def not_modified_fields(fields: Iterable[Line]) -> list[Line]:
    """What of a 200 stays in its 304 (RFC 9110 section 15.4.5): all but the representation's own metadata."""
    known = _lower.get
    return [line for line in fields if (known(line[0]) or lower(line[0])) not in _NOT_IN_304]


def field_lines(fields: Sequence[Line]) -> bytes:
    """Field lines as bytes, each with its end (RFC 9112 section 5).

    Raises:
        ValueError: a line holds what would end it early; the parser lets no such line through.
    """
    block = b"".join(map(line_of, fields))
    if block.count(b"\n") != len(fields) or block.count(b"\r") != len(fields) or b"\0" in block:
        raise ValueError("the request would not be one HTTP message")
    return block


def without_content(fields: Iterable[Line]) -> list[Line]:
    """The fields without those that describe a request's or response's content (RFC 9110 section 8)."""
    return [line for line in fields if not lower(line[0]).startswith(b"content-")]


def forwarded_fields(
    fields: list[Line], *, style: str, trusted: bool, peer: str, scheme: str, host: bytes
) -> list[Line]:
    """Adds who asked us, and how (RFC 7239, and the older X-Forwarded-*).

    What a peer that is not trusted says of these is removed: it could be anything.
    """
    if not trusted:
        fields = [
            line
            for line in fields
            if (low := lower(line[0])) not in _FORWARDED and not low.startswith(_FORWARDED_PREFIX)
        ]
    if style == "x-forwarded":
        return _x_forwarded(fields, peer, scheme, host)
    if style == "forwarded":
        element = f'for="{_node(peer)}";proto={scheme};host="'.encode() + host.replace(b'"', b"") + b'"'
        return _appended(fields, b"Forwarded", element)
    return fields


def _x_forwarded(fields: list[Line], peer: str, scheme: str, host: bytes) -> list[Line]:
    present = {lower(line[0]) for line in fields}
    if peer:  # there is none on a unix socket
        fields = _appended(fields, b"X-Forwarded-For", peer.encode())
    if b"x-forwarded-proto" not in present:
        fields.append((b"X-Forwarded-Proto", scheme.encode()))
    if b"x-forwarded-host" not in present and host:
        fields.append((b"X-Forwarded-Host", host))
    return fields


def _appended(fields: list[Line], name: bytes, element: bytes) -> list[Line]:
    present = [value for line, value in fields if lower(line) == name.lower()]
    return replace(fields, name, b", ".join([*present, element]))


def _node(peer: str) -> str:
    return f"[{peer}]" if ":" in peer else (peer or "unknown")  # RFC 7239 section 6
