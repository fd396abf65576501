"""The requests of one client's connection, one after the other.

The loop of aiohttp's `RequestHandler` is replaced by one that makes no request objects, no writers and no
tasks (docs/performance.md has what each of them costs).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import _ErrInfo
from multidict import istr

from proxy.body import Body
from proxy.edge.admission import (
    Limits,
    Refused,
    addressed,
    objection,
    request_id,
    unfit_target,
    unreadable,
    websocket,
)
from proxy.edge.line import Line as ClientLine
from proxy.edge.response import Writer, at_once, interim
from proxy.edge.tunnel import Tunnelled
from proxy.exchange import Answer, Line, Request, Shape
from proxy.gate import Gate
from proxy.gate.plain_write import WRITES
from proxy.gate.refuse import answer_with
from proxy.log import about
from proxy.rules.fields import size
from proxy.rules.refusals import internal, rejected
from proxy.upstream import Fields

if TYPE_CHECKING:
    from proxy.edge import Edge

_log = logging.getLogger("proxy.edge")


class Connection(ClientLine):
    """Reads requests one after the other, asks the gate, writes the answers."""

    __slots__ = ("_fields", "_gate", "_shape", "request_id")

    def __init__(
        self,
        edge: Edge,
        gate: Gate,
        limits: Limits,
        tell: Callable[[Request, Answer, float, int], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(edge, limits, tell, loop)
        self._gate = gate
        # The fields of the last plain GET: most often they are those of the next one too.
        self._fields: tuple[Line, ...] | None = None
        self._shape: Shape | None = None
        self.request_id = ""  # of the last request, for events of the log

    # -- the loop ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Takes requests one after the other until the connection ends."""
        about.set(self)
        try:
            while not self._force_close:
                if not self._messages:
                    if self._half_closed:
                        break
                    self._waiter = self._loop.create_future()
                    try:
                        await self._waiter
                    finally:
                        self._waiter = None
                message, payload = self._messages.popleft()
                if self._parser is not None:
                    self._parser.message_consumed()
                if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
                    self._resume_reading_if_drained()
                self._request_in_progress = True
                try:
                    keep = await self._one(message, payload)
                finally:
                    self._request_in_progress = False
                    self._payload = None
                    if self._handler_waiter is not None and not self._handler_waiter.done():
                        self._handler_waiter.set_result(None)
                if not keep or self._close or self._force_close:
                    break
                self._next_keepalive_close_time = now = self._loop.time() + self._keepalive_timeout
                if self._keepalive_handle is None:
                    self._keepalive_handle = self._loop.call_at(now, self._process_keepalive)
        except asyncio.CancelledError:
            self.force_close()
            raise
        except ConnectionError:
            _log.debug("a client left before its answer was written")
            self.force_close()
        except Exception:
            _log.exception("a connection failed")
            self.force_close()
        if not self._force_close and self._leaving is None:
            self._task_handler = None
            self._close_when_sent()

    # -- one request ---------------------------------------------------------------------------------------

    async def _one(self, message: RawRequestMessage | _ErrInfo, payload: StreamReader) -> bool:
        """Answers one request; returns whether the connection stays open."""
        started = perf_counter()  # finer than uvloop's clock
        if isinstance(message, _ErrInfo):
            self._refuse_now(*unreadable(message.exc))
            return False
        self._payload = payload
        if (
            message.raw_headers == self._fields
            and payload is EMPTY_PAYLOAD
            and message.method == "GET"
            and message.version == HttpVersion11
            and message.path.startswith("/")
        ):
            refused = unfit_target(message.path, self._limits)
            request = self._plain_request(message, payload, self._shape)
        elif (shape := self._known_shape(message, payload)) is not None:
            refused = unfit_target(message.path, self._limits)
            request = self._plain_request(message, payload, shape)
        else:
            refused = objection(message, payload, self._limits)
            request = self._request(message, payload)
            if refused is None:
                self._note_shape(message, payload, request)
        self.request_id = request.id
        if refused is None:
            answer = _unexpected(request) if _EXPECT in request.headers else None
            if answer is None:
                try:
                    answer = await self._gate.answer(request)
                except Exception:
                    answer = _failed(request)
        else:
            answer = _rejected(request, refused)
        # The parser takes what follows an Upgrade for another protocol, whatever becomes of it.
        ends = message.should_close or message.upgrade or (self._half_closed and not self._messages)
        keep = not (refused or ends or self._close or self._edge.draining)
        if payload is not EMPTY_PAYLOAD:
            # Content that has arrived and that nobody wanted is no reason to close.
            keep = request.body.drop() and keep
        if answer.tunnel is not None:
            return await self._tunnel(request, answer, started)
        modern = message.version >= HttpVersion11
        if answer.body is None or type(answer.body) is bytes:
            sent = 0
            try:
                sent = at_once(self, request, answer, keep=keep, modern=modern)
                if self._paused:
                    await self.drained()
            finally:
                self._tell(request, answer, perf_counter() - started, sent)
        else:
            writer = Writer(self, request, keep=keep, modern=modern)
            try:
                await writer.stream(answer)
            finally:
                self._tell(request, answer, perf_counter() - started, writer.sent)
            keep = writer.keep
        if not keep:
            self._leave()
        return keep

    def _request(self, message: RawRequestMessage, payload: StreamReader) -> Request:
        fields, headers = addressed(message)
        modern = message.version >= HttpVersion11
        limits = self._limits
        if payload is EMPTY_PAYLOAD:
            body = _EMPTY
        else:
            # RFC 9110 section 10.1.1: an expectation of an HTTP/1.0 client is ignored.
            expects = modern and _EXPECT in headers
            text = None if message.chunked else headers.get("Content-Length")
            body = Body(
                payload,
                None if text is None else int(text[:20]),
                limit=limits.body,
                timeout=limits.body_timeout,
                wanted=self._continue if expects else None,
            )
        return Request(
            message.method,
            message.path,
            fields,
            headers,
            body,
            self._peer,
            self._scheme,
            request_id(headers),
            self._interim if modern else None,
            self._left,
            websocket(message) if message.upgrade else None,
        )

    def _left(self) -> bool:
        return self._half_closed or self.transport is None or self.transport.is_closing()

    def _known_shape(self, message: RawRequestMessage, payload: StreamReader) -> Shape | None:
        """What a plain request comes to whose lasting fields came before, here or on another connection."""
        if not _may_be_plain(message, payload) or size(message.raw_headers) > self._limits.field:
            return None
        headers = message.headers
        if payload is not EMPTY_PAYLOAD and (_LENGTH not in headers or len(headers[_LENGTH]) > 18):
            return None
        shape = self._gate.known_shape(message.method, message.raw_headers, headers, self._peer, self._scheme)
        if shape is not None and payload is EMPTY_PAYLOAD:
            self._fields, self._shape = message.raw_headers, shape
        return shape

    def _note_shape(self, message: RawRequestMessage, payload: StreamReader, request: Request) -> None:
        """Looks at the fields of a request that may be plain; the next ones most often have the same."""
        if _may_be_plain(message, payload):
            request.shape = self._gate.shape_of(request)
            if payload is EMPTY_PAYLOAD:
                self._shape = request.shape
                self._fields = None if request.shape is None else message.raw_headers

    def _plain_request(
        self, message: RawRequestMessage, payload: StreamReader, shape: Shape | None
    ) -> Request:
        headers, body = message.headers, _EMPTY
        if payload is not EMPTY_PAYLOAD:
            limits = self._limits
            length = int(headers[_LENGTH])
            body = Body(payload, length, limit=limits.body, timeout=limits.body_timeout)
        return Request(
            *(message.method, message.path, message.raw_headers, headers, body, self._peer, self._scheme),
            id=request_id(headers),
            early=self._interim,
            left=self._left,
            shape=shape,
        )

    def _continue(self) -> None:
        if self.transport is not None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _interim(self, status: int, reason: str, fields: Fields) -> None:
        """Sends an interim response on (RFC 9110 section 15.2)."""
        if self.transport is not None and status != 100:
            self.transport.write(interim(status, reason, fields))

    async def _tunnel(self, request: Request, answer: Answer, started: float) -> bool:
        """After a 101 the connection is the two peers' own (RFC 9110 section 7.8)."""
        assert answer.tunnel is not None
        self.keep_alive(False)
        Writer(self, request, keep=True, modern=True).switch(answer)
        self._tell(request, answer, perf_counter() - started, 0)
        if self._half_closed:
            answer.tunnel.close()  # the client has nothing to say in it
        else:
            await Tunnelled(self, answer.tunnel).run()
        return False


_EMPTY = Body()
_EXPECT = istr("Expect")
_LENGTH = istr("Content-Length")


def _may_be_plain(message: RawRequestMessage, payload: StreamReader) -> bool:
    """Whether it is a GET without content, or a write with it, of a usual form."""
    plain = message.method == "GET" if payload is EMPTY_PAYLOAD else message.method in WRITES
    return plain and message.version == HttpVersion11 and not message.upgrade and message.path.startswith("/")


def _failed(request: Request) -> Answer:
    """What no room has an answer for is ours to mend: the log has it."""
    _log.exception("a request failed")
    request.trace.outcome, request.trace.reason = "failed", "internal"
    return answer_with(internal(), request)


def _rejected(request: Request, refused: Refused) -> Answer:
    request.trace.outcome, request.trace.reason = "refused", "unacceptable"
    return answer_with(rejected(*refused), request)


def _unexpected(request: Request) -> Answer | None:
    if request.headers[_EXPECT].lower() == "100-continue":
        return None
    request.trace.outcome, request.trace.reason = "refused", "expectation"
    return Answer.of(417, [(b"X-Request-ID", request.id.encode())])  # RFC 9110 section 15.5.18
