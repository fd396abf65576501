"""Heads on the wire: requests' are built here, responses' are cut out and given to aiohttp's C parser."""

from __future__ import annotations

import asyncio
import re

from aiohttp import HttpVersion10, HttpVersion11
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpResponseParser, RawResponseMessage

from proxy.upstream import Call, Fields
from proxy.upstream.framing import FramingError, bodiless

MAX_HEAD = 64 * 1024
"""Bytes of one response head."""

MAX_FIELDS = 256
"""Field lines of one response head."""

# A recipient may take a bare LF for a line's end (RFC 9112 section 2.2), and the parser does. The blank line
# is looked for in the same way: what the parser is given is exactly one head.
_BLANK_LINE = re.compile(rb"\n\r?\n")

# RFC 9110 section 8.6: these give a meaning to content, so that its absence is said as well.
_SAYS_EMPTY = frozenset(("POST", "PUT", "PATCH"))


def request_head(call: Call, *, close: bool = False) -> bytes:
    """The request's head as bytes, with the framing and connection fields that the caller leaves to us.

    Args:
        close: whether to tell the backend that the connection will not be used again.

    Raises:
        ValueError: a field, the method or the target holds a line break or blank that changes the message.
    """
    lines = [b"%b %b HTTP/1.1" % (call.method.encode("ascii"), call.target), *map(b": ".join, call.fields)]
    body = call.body
    length = len(body) if isinstance(body, bytes) else body.length
    if length is None:
        lines.append(b"Transfer-Encoding: chunked")
    elif length or call.method in _SAYS_EMPTY:
        lines.append(b"Content-Length: %d" % length)
    if call.expects_upgrade is not None:
        lines += (b"Connection: upgrade", b"Upgrade: " + call.expects_upgrade)
    elif close:
        lines.append(b"Connection: close")
    head = b"\r\n".join(lines)
    # The server side has refused such fields already. This holds if it should ever let one through.
    breaks = len(lines) - 1
    if (
        head.count(b"\n") != breaks
        or head.count(b"\r") != breaks
        or lines[0].count(b" ") != 2
        or b"\0" in head
    ):
        raise ValueError("the request would not be one HTTP message")
    return head + b"\r\n\r\n"


def last_chunk(trailers: Fields) -> bytes:
    """The end of a chunked request body (RFC 9112 section 7.1.2). Raises ValueError as `request_head`."""
    block = b"".join(map(b"%b: %b\r\n".__mod__, trailers))
    if block.count(b"\n") != len(trailers) or block.count(b"\r") != len(trailers):
        raise ValueError("a trailer field holds a line break")
    return b"0\r\n" + block + b"\r\n"


class HeadReader:
    """Cuts the response heads of one connection out of what arrives, bounded, and parses them."""

    __slots__ = ("_parser", "_partial")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._partial = bytearray()
        # The parser sees heads alone: bodies are framed by `framing`, which is why it may reuse one object.
        self._parser = HttpResponseParser(
            BaseProtocol(loop),
            loop,
            2**16,
            max_line_size=MAX_HEAD,
            max_headers=MAX_FIELDS,
            max_field_size=MAX_HEAD,
            response_with_body=False,
        )

    def feed(self, data: bytes) -> tuple[RawResponseMessage, bytes] | None:
        """The next head and what follows it, or None while it is not whole. Raises `FramingError`."""
        partial = self._partial
        if not partial:
            blank = _BLANK_LINE.search(data)
        else:
            begin = max(0, len(partial) - 2)
            partial += data
            blank = _BLANK_LINE.search(partial, begin)
            data = bytes(partial) if blank else b""
        if blank is None:
            self._keep(data)
            return None
        partial.clear()
        end = blank.end()
        if end > MAX_HEAD:
            raise FramingError("the response head is too large")
        head = data[:end]
        try:
            messages, _, _ = self._parser.feed_data(head)
        except HttpProcessingError as fault:
            raise FramingError("the response head is malformed") from fault
        if len(messages) != 1:
            raise FramingError("the response head is malformed")
        message: RawResponseMessage = messages[0][0]
        # The parser takes "Content-Length : 5" for framing and leaves the blank in the name, where nobody
        # would look for it. RFC 9112 section 5.1 wants it removed; it is so odd that the answer is refused.
        if b" :" in head and any(name.endswith(b" ") for name, _ in message.raw_headers):
            raise FramingError("the response head is malformed")
        if message.version not in (HttpVersion11, HttpVersion10) or message.code < 100:
            raise FramingError("the response's version or status is not HTTP/1's")
        return message, data[end:]

    def _keep(self, data: bytes) -> None:
        self._partial += data
        if len(self._partial) > MAX_HEAD:
            raise FramingError("the response head is too large")


def persistent(message: RawResponseMessage, method: str) -> bool:
    """Whether the connection may be used again after this response to `method` (RFC 9112 section 9.3)."""
    if message.chunked and message.version == HttpVersion10:
        return False  # RFC 9112 section 6.1: such framing is faulty
    if message.code == 204 and (message.chunked or message.headers.get("Content-Length", "0").strip("0")):
        return False  # the body that must not be may still come, and would be taken for the next response
    if not message.should_close:
        return True
    if message.version == HttpVersion10 or not bodiless(method, message.code):
        return False
    # The parser takes a response without length for one that ends by closing: it does not know of HEAD.
    options = ",".join(message.headers.getall("Connection", ()))
    return "close" not in [option.strip().lower() for option in options.split(",")]
