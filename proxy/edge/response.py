"""Answers as bytes (RFC 9112): one write where it can be, back-pressure where it cannot."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from proxy.errors import ProxyError
from proxy.exchange import Answer, Line, Request
from proxy.gate.outgoing import trailers_wanted
from proxy.rules.dates import format_http_date
from proxy.rules.fields import FRAMING, line_of, lower, reply_fields
from proxy.upstream import Reply

if TYPE_CHECKING:
    from proxy.edge.line import Line as Client

_BODILESS = frozenset({204, 304})
_DATE = b"\r\nDate: "  # as nearly every server writes it


def at_once(client: Client, request: Request, answer: Answer, *, keep: bool, modern: bool) -> int:
    """Writes an answer whose content is at hand: head and content in one write.

    Args:
        keep: whether the connection is to stay open.
        modern: whether the client speaks HTTP/1.1.

    Returns:
        the bytes of content that were written.

    Raises:
        ConnectionError: the client is gone.
    """
    transport, body = client.transport, answer.body
    if transport is None:
        raise ConnectionResetError("the client is gone")
    if body is None:
        framing, body = b"" if answer.status in _BODILESS else _without_content(answer), b""
    else:
        assert isinstance(body, bytes)
        framing = b"" if answer.status in _BODILESS else b"Content-Length: %d\r\n" % len(body)
        if request.method == "HEAD":
            body = b""
    transport.write(_head(answer, framing, keep=keep, modern=modern) + body)
    return len(body)


class Writer:
    """Writes one answer whose content is still on its way.

    Args:
        connection: where to.
        request: what is answered.
        keep: whether the connection is to stay open.
        modern: whether the client speaks HTTP/1.1.

    Attributes:
        sent: bytes of content that were written.
        keep: whether the connection may stay open, now that the answer is written.
    """

    def __init__(self, connection: Client, request: Request, *, keep: bool, modern: bool) -> None:
        self._connection = connection
        self._request = request
        self._modern = modern
        self.keep = keep
        self.sent = 0

    def switch(self, answer: Answer) -> None:
        """Writes the head of a 101, fields and all as the backend sent them."""
        lines = b"".join([line_of(line) for line in answer.fields if lower(line[0]) not in FRAMING])
        self._put(_status_line(101, answer.reason) + lines + b"\r\n")

    async def stream(self, answer: Answer) -> None:
        """Writes an answer whose content is still on its way.

        Raises:
            ConnectionError: the client is gone.
        """
        assert answer.body is not None
        assert not isinstance(answer.body, bytes)
        try:
            await self._stream(answer, answer.body)
        finally:
            answer.body.close()

    async def _stream(self, answer: Answer, reply: Reply) -> None:
        chunked = reply.length is None and self._modern
        if reply.length is None and not chunked:
            self.keep = False  # the end of the connection is the end of the content (RFC 9112 section 6.3)
        length = None if reply.length is None else b"Content-Length: %d\r\n" % reply.length
        framing = length or (b"Transfer-Encoding: chunked\r\n" if chunked else b"")
        head = _head(answer, framing, keep=self.keep, modern=self._modern)
        if self._request.method == "HEAD":
            self._put(head)
            return
        try:
            await self._pieces(head, reply, chunked=chunked)
        except ProxyError:
            # The head is out: all that is left is to make sure that the answer never looks complete.
            self._connection.reset()
            self.keep = False
            self._request.trace.outcome, self._request.trace.reason = "failed", "truncated"

    async def _pieces(self, head: bytes, reply: Reply, *, chunked: bool) -> None:
        waiting = head  # goes out with the first piece, or before we wait for it
        self._put(waiting) if reply.length is None else None
        waiting = b"" if reply.length is None else waiting
        async for piece in reply.chunks():
            self.sent += len(piece)
            framed = b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
            self._put(waiting + framed if waiting else framed)
            waiting = b""
            if self._connection.writing_paused:
                await self._connection.drained()
        if waiting:
            self._put(waiting)
        if chunked:
            self._put(b"0\r\n" + self._trailers(reply) + b"\r\n")

    def _trailers(self, reply: Reply) -> bytes:
        """Trailer fields, for a client that says it reads them (RFC 9110 section 6.5.1)."""
        fields = reply.trailers()
        if not fields or not trailers_wanted(self._request):
            return b""
        return b"".join([line_of(line) for line in fields if lower(line[0]) not in FRAMING])

    def _put(self, data: bytes) -> None:
        transport = self._connection.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        transport.write(data)


def interim(status: int, reason: str, fields: Sequence[Line]) -> bytes:
    """An interim response (RFC 9110 section 15.2): without content, and without a say in framing."""
    return b"".join([_status_line(status, reason), *map(line_of, reply_fields(fields)), b"\r\n"])


def _head(answer: Answer, framing: bytes, *, keep: bool, modern: bool) -> bytes:
    head = _status_line(answer.status, answer.reason) + b"".join(map(line_of, answer.fields))
    if _DATE not in head and _DATE.lower() not in head.lower():  # RFC 9110 section 6.6.1
        head += _date_of(int(time.time()))
    if not keep:
        framing += b"Connection: close\r\n"
    elif not modern:
        framing += b"Connection: keep-alive\r\n"
    return b"%b%b\r\n" % (head, framing)


def _without_content(answer: Answer) -> bytes:
    """The framing of an answer without content: a HEAD may tell of its GET's (RFC 9110 section 8.6)."""
    if answer.status == 205:  # framed like any other all the same (RFC 9112 section 6.3)
        return b"Content-Length: 0\r\n"
    return b"" if answer.length is None else b"Content-Length: %d\r\n" % answer.length


@lru_cache(maxsize=512)
def _status_line(status: int, reason: str) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (status, reason.encode("utf-8", "surrogateescape"))


@lru_cache(maxsize=2)
def _date_of(second: int) -> bytes:
    return b"Date: " + format_http_date(second).encode() + b"\r\n"
