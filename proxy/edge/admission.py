"""What a client may send: what is refused before anybody asks which route a request is for. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import getrandbits

from aiohttp.http import HttpVersion10, HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from multidict import CIMultiDict, CIMultiDictProxy, istr

from proxy.rules.fields import Line, lower, size
from proxy.rules.methods import OVERRIDES

Refused = tuple[int, str]
"""A status and one plain sentence."""

# RFC 9110 section 7.2 and RFC 3986 section 3.2.2, without the comma and the quotes that reg-name allows too:
# the value is repeated in X-Forwarded-Host and Forwarded, where they would begin something new.
_HOST = re.compile(r"(?:[A-Za-z0-9\-._~%!$&()*+;=]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
_EXTENSION = re.compile(rb"(?!PRI )([A-Z][A-Z0-9-]{1,63}) ")
_ABSOLUTE = re.compile(r"(?i:https?)://([^/?#]*)")
# Names that are looked up in every request: an `istr` is not put into lower case each time.
_CODING, _LENGTH, _HOST_FIELD = istr("Transfer-Encoding"), istr("Content-Length"), istr("Host")
_ID = istr("X-Request-ID")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what a client may send.

    Attributes:
        target: longest request target in bytes, else 414.
        field: largest header section in bytes, a single field included, else 431.
        fields: most header fields, else 431.
        body: most content in bytes, else 413; 0 for no limit.
        head_timeout: seconds for a whole head, else 408.
        body_timeout: seconds between two pieces of content, else 408; and seconds in which a client must take
            something of an answer that waits for it.
        idle_timeout: seconds that an idle connection is kept.
        connections: most connections at once, 0 for no limit.
    """

    target: int = 8190
    field: int = 16384
    fields: int = 100
    body: int = 0
    head_timeout: float = 10.0
    body_timeout: float = 60.0
    idle_timeout: float = 75.0
    connections: int = 0


def objection(message: RawRequestMessage, payload: StreamReader, limits: Limits) -> Refused | None:
    """What is wrong with a request that the parser took, or None."""
    target, headers = message.path, message.headers
    if message.version != HttpVersion11 and message.version != HttpVersion10:
        return 400, "only HTTP/1.0 and HTTP/1.1 are spoken here"
    if message.method == "CONNECT":
        return 400, "CONNECT is not served here: this is no forward proxy"
    if (refused := unfit_target(target, limits)) is not None:
        return refused
    if _CODING in headers and (refused := _of_coding(message)) is not None:
        return refused
    length = headers.get(_LENGTH)
    # The parser takes 2^64-1 for "no content".
    if length is not None and (len(length) > 18 or (payload is EMPTY_PAYLOAD and length.strip("0"))):
        return 400, "the Content-Length is no size that content can have"
    if size(message.raw_headers) > limits.field:
        return 431, f"the header section is longer than {limits.field} bytes"
    host = headers.get(_HOST_FIELD, "")
    if host and not _HOST.fullmatch(host):
        return 400, "the Host field is malformed"  # RFC 9112 section 3.2
    return None


def unfit_target(target: str, limits: Limits) -> Refused | None:
    """What is wrong with a request target, or None."""
    if len(target) > limits.target:
        return 414, f"the request target is longer than {limits.target} bytes"
    if "#" in target:
        # RFC 9112 section 3.2: no form of a target has a fragment. Some servers cut it off, some take it for
        # a part of the path, some refuse it: to cut it off here would write to what the client did not name.
        return 400, "the request target holds a fragment (#)"
    if target.startswith("/") or target == "*":
        return None
    absolute = _ABSOLUTE.match(target)
    # RFC 9110 section 4.2.4: userinfo in a target is most likely there to hide who is meant.
    if absolute is None or not absolute[1] or "@" in absolute[1]:
        return 400, "the request target is neither a path nor an http or https URL of this server"
    return None


def _of_coding(message: RawRequestMessage) -> Refused | None:
    if message.version < HttpVersion11:
        # RFC 9112 section 6.1: Transfer-Encoding in HTTP/1.0 means that the framing is faulty.
        return 400, "Transfer-Encoding is not defined for HTTP/1.0"
    # Another coding could not be undone here, and the backend would never learn of it (section 6.1).
    if message.headers[_CODING].lower() != "chunked":
        return 400, "the only Transfer-Encoding that is understood here is chunked"
    return None


def addressed(message: RawRequestMessage) -> tuple[tuple[Line, ...], CIMultiDictProxy[str]]:
    """The fields, with Host as an absolute-form target says it (RFC 9112 section 3.2.2)."""
    if message.path.startswith("/") or (absolute := _ABSOLUTE.match(message.path)) is None:
        return message.raw_headers, message.headers
    host = absolute[1]
    others = [line for line in message.raw_headers if lower(line[0]) != b"host"]
    headers = CIMultiDict(message.headers)
    headers["Host"] = host
    return ((b"Host", host.encode("utf-8", "surrogateescape")), *others), CIMultiDictProxy(headers)


def websocket(message: RawRequestMessage) -> bytes | None:
    """The protocol to switch to, where the request asks for one that may be tunnelled.

    That is WebSocket alone. Through h2c a client could talk to the backend past every condition. And a GET
    that says it is another method is not let through unlooked at.
    """
    if not message.upgrade or message.method != "GET" or any(name in message.headers for name in OVERRIDES):
        return None
    return b"websocket" if message.headers.get("Upgrade", "").lower() == "websocket" else None


def extension_method(data: bytes) -> str | None:
    """The method of a request whose whole head this is, where that may be one that we do not know.

    In capitals, as those of the standards are: a backend might take `put` for PUT, which we would not guard.
    """
    found = _EXTENSION.match(data)
    return found[1].decode("ascii") if found and b"\r\n\r\n" in data else None


def request_id(headers: CIMultiDictProxy[str]) -> str:
    """The request's id: the client's, where it is fit to be logged and sent on, or a new one."""
    given = headers.get(_ID)
    if given and len(given) <= 128 and given.isascii() and given.isprintable():
        return given
    return f"{getrandbits(128):032x}"  # to tell requests apart, not to be kept from guessing


def unreadable(fault: BaseException) -> Refused:
    """What aiohttp's parser did not like, as a status and a sentence."""
    if isinstance(fault, LineTooLong):
        # The parser collects the target in a bytearray and tells of it as one; of fields it has bytes.
        if fault.args and isinstance(fault.args[0], bytearray):
            return 414, "the request target is too long"
        return 431, "a header field is too long"
    text = str(getattr(fault, "message", fault)).strip().splitlines()
    reason = text[0] if text else "the request is not valid HTTP"
    if "Too many headers" in reason:
        return 431, "there are too many header fields"
    return 400, f"the request is not valid HTTP: {reason}"
