"""One client's connection as a transport: its deadlines, its back-pressure, and how it ends.

aiohttp's `RequestHandler` keeps what it does well: parsing in C, flow control, keep-alive, shutdown.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import uuid4

from aiohttp.http import HttpRequestParser
from aiohttp.http_exceptions import BadHttpMethod
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE, RequestHandler, RequestPayloadError, _ErrInfo
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.body import Body
from proxy.edge.admission import Limits, extension_method
from proxy.edge.response import at_once
from proxy.exchange import Answer, Request
from proxy.gate.refuse import answer_with
from proxy.rules.problems import Problem
from proxy.rules.refusals import rejected, unavailable

if TYPE_CHECKING:
    from proxy.edge import Edge

_LINGER_BYTES = 1 << 20
_LINGER_SECONDS = 2.0
_READ_AHEAD = 1 << 16
_TURNED_AWAY = 100  # at once; more are not even told why


class Line(RequestHandler):
    """A client's connection, whatever is said on it."""

    __slots__ = (
        "_deadline",
        "_edge",
        "_half_closed",
        "_head_bytes",
        "_leaving",
        "_limits",
        "_payload",
        "_peer",
        "_scheme",
        "_tell",
        "_turned_away",
    )

    def __init__(
        self,
        edge: Edge,
        limits: Limits,
        tell: Callable[[Request, Answer, float, int], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(
            edge,
            loop=loop,
            keepalive_timeout=limits.idle_timeout,
            access_log=None,  # type: ignore[arg-type]
            auto_decompress=False,
            read_bufsize=_READ_AHEAD,  # of content that nobody has asked for yet
            # The parser has one bound for the request line; ours on the target is told apart from the one
            # on fields, so that the answer is 414 and not 431.
            max_line_size=limits.target + 4096,
            max_field_size=limits.field,
            max_headers=limits.fields,
        )
        self._edge = edge
        self._limits = limits
        self._tell = tell
        self._deadline: asyncio.TimerHandle | None = None
        self._payload: StreamReader | None = None
        self._head_bytes = 0
        self._half_closed = False
        self._turned_away = False
        self._peer = ""
        self._scheme = "http"
        self._leaving: int | None = None  # bytes that may still be dropped, once the last answer is out

    # -- what the transport calls --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        super().connection_made(transport)
        peer = self.peername
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        self._scheme = "http" if self.ssl_context is None else "https"
        limit = self._limits.connections
        if limit and self._edge.open - self._edge.turned_away > limit:
            self._turn_away()

    def _turn_away(self) -> None:
        self._turned_away = True
        self._edge.turned_away += 1
        if self._edge.turned_away > _TURNED_AWAY:
            self.reset()
        else:
            self._answer_now(unavailable("too many connections are open", 1.0))

    def data_received(self, data: bytes) -> None:
        """Bytes arrived; a head that was begun must be whole within its time and its size."""
        if self._leaving is not None:
            self._dropped(len(data))
            return
        super().data_received(data)
        if self._messages or self._request_in_progress or self._upgraded:
            if self._messages and isinstance(self._messages[-1][0], _ErrInfo) and not self._taken_anew(data):
                self._content_broken("it is not valid HTTP")
            self._head_bytes = 0
            if self._deadline is not None:
                self._disarm()
        elif data and not self._force_close and not self._close:
            self._head_goes_on(len(data))

    def _taken_anew(self, data: bytes) -> bool:
        """Reads a request again whose method the parser does not know.

        Any token is a method (RFC 9110 section 9.1), and framing does not depend on it (RFC 9112 section 6).
        So the parser is told another one; only where the head came in one piece, as programs send it.
        """
        method = extension_method(data)
        if method is None or len(self._messages) > 1 or self._request_in_progress or self._head_bytes:
            return False
        fault = self._messages[0][0]
        if not isinstance(fault, _ErrInfo) or not isinstance(fault.exc, BadHttpMethod):
            return False
        self._messages.clear()
        self._parser = self._new_parser()
        super().data_received(b"POST" + data[len(method) :])
        message, payload = self._messages[0]  # the head is whole, so that there is one
        if isinstance(message, _ErrInfo):
            return False
        self._messages[0] = (message._replace(method=method), payload)
        return not isinstance(self._messages[-1][0], _ErrInfo)

    def _new_parser(self) -> HttpRequestParser:
        limits = self._limits
        return HttpRequestParser(
            self,
            self._loop,
            _READ_AHEAD,
            max_line_size=limits.target + 4096,
            max_field_size=limits.field,
            max_headers=limits.fields,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=MAX_MSG_QUEUE_SIZE,
        )

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks for it
        """The client sends no more; what it has asked for is still answered (RFC 9112 section 9.6).

        Returns:
            whether the transport stays open.
        """
        self._half_closed = True
        if self._leaving is not None or self._payload_parser is not None or self.ssl_context is not None:
            return False
        self._content_broken("the client sent no more of it")
        return bool(self._request_in_progress or self._messages)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone: content that is still awaited will not come."""
        self._disarm()
        if self._turned_away:
            self._turned_away = False
            self._edge.turned_away -= 1
        self._content_broken("the client closed the connection")
        self._payload = None
        super().connection_lost(exc)

    def force_close(self) -> None:
        """Closes the connection; what is written already is sent, in a time that is bounded."""
        self._close_when_sent()
        super().force_close()

    def _close_when_sent(self) -> None:
        transport = self.transport
        if transport is None:
            return
        if transport.get_write_buffer_size():
            self._loop.call_later(self._limits.body_timeout, transport.abort)
        transport.close()

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _head_goes_on(self, size: int) -> None:
        limits = self._limits
        self._head_bytes += size
        if self._head_bytes > limits.target + limits.field + _READ_AHEAD:
            self._refuse_now(431, f"the header section is longer than {limits.field} bytes")
        elif self._deadline is None:
            self._deadline = self._loop.call_later(limits.head_timeout, self._head_too_slow)

    def _head_too_slow(self) -> None:
        self._deadline = None
        if not self._messages and not self._request_in_progress:
            self._refuse_now(
                408, f"no whole request head arrived within {self._limits.head_timeout:g} seconds"
            )

    def _content_broken(self, why: str) -> None:
        """Content that is not whole by now never will be: it must not look complete (RFC 9112 section 8)."""
        for payload in (self._payload, *(payload for _, payload in self._messages)):
            if payload is not None and not payload.is_eof() and payload.exception() is None:
                payload.set_exception(RequestPayloadError(why))

    # -- leaving -------------------------------------------------------------------------------------------

    def _refuse_now(self, status: int, reason: str) -> None:
        self._answer_now(rejected(status, reason))

    def _answer_now(self, problem: Problem) -> None:
        """Answers without a request, and closes."""
        self._disarm()
        request = _nobody(self)
        answer = answer_with(problem, request)
        at_once(self, request, answer, keep=False, modern=True)
        self._tell(request, answer, 0.0, 0)
        self._leave()

    def _leave(self) -> None:
        """Says that nothing more comes, and drops what the client still sends.

        It would get a reset otherwise, perhaps before it has read the answer (RFC 9112 section 9.6).
        """
        transport = self.transport
        if transport is None or self._half_closed or transport.is_closing():
            self.force_close()
            return
        self._leaving = _LINGER_BYTES
        if transport.can_write_eof():
            transport.write_eof()
        self._resume_transport_reading()
        self._loop.call_later(_LINGER_SECONDS, self.force_close)

    def _dropped(self, size: int) -> None:
        assert self._leaving is not None
        self._leaving -= size
        if self._leaving < 0:
            self.force_close()

    def reset(self) -> None:
        """Ends the connection by a RST: the one end that no client takes for the end of an answer."""
        transport = self.transport
        if transport is not None:
            _reset_at_close(transport)
            transport.abort()
        self.force_close()

    async def drained(self) -> None:
        """Waits while the client does not read.

        Raises:
            ConnectionError: it is gone, or has not taken anything for too long.
        """
        while self.writing_paused:
            transport = self.transport
            unsent = 0 if transport is None else transport.get_write_buffer_size()
            try:
                async with asyncio.timeout(self._limits.body_timeout):
                    await self._drain_helper()
            except TimeoutError:
                self._drain_waiter = None
                if transport is None or transport.get_write_buffer_size() >= unsent:
                    self.reset()
                    raise ConnectionResetError("the client does not read its answer") from None


def _reset_at_close(transport: asyncio.BaseTransport) -> None:
    peer = transport.get_extra_info("socket")
    if peer is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _nobody(line: Line) -> Request:
    """The request of a client that sent none that could be read."""
    request = Request(
        method="-",
        target="-",
        fields=(),
        headers=CIMultiDictProxy(CIMultiDict()),
        body=Body(),
        peer=line._peer,
        id=uuid4().hex,
    )
    request.trace.outcome, request.trace.reason = "refused", "unacceptable"
    return request
