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

from proxy.body import Body
from proxy.edge.admission import Limits, Refused, addressed, objection, request_id, unreadable, websocket
from proxy.edge.line import Line
from proxy.edge.response import Writer, interim
from proxy.edge.tunnel import Tunnelled
from proxy.exchange import Answer, Request
from proxy.gate import Gate
from proxy.gate.refuse import answer_with
from proxy.rules.refusals import internal, rejected
from proxy.upstream import Fields

if TYPE_CHECKING:
    from proxy.edge import Edge

_log = logging.getLogger("proxy.edge")


class Connection(Line):
    """Reads requests one after the other, asks the gate, writes the answers."""

    __slots__ = ("_gate",)

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

    # -- the loop ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Takes requests one after the other until the connection ends."""
        try:
            while not self._force_close:
                if not self._messages:
                    if self._half_closed:
                        break
                    await self._next()
                message, payload = self._take()
                self._request_in_progress = True
                try:
                    keep = await self._one(message, payload)
                finally:
                    self._in_progress_ended()
                if not keep or self._close or self._force_close:
                    break
                self._stay_open()
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

    async def _next(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _take(self) -> tuple[RawRequestMessage | _ErrInfo, StreamReader]:
        message, payload = self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        return message, payload

    def _in_progress_ended(self) -> None:
        self._request_in_progress = False
        self._payload = None
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)

    def _stay_open(self) -> None:
        close_time = self._loop.time() + self._keepalive_timeout
        self._next_keepalive_close_time = close_time
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(close_time, self._process_keepalive)

    # -- one request ---------------------------------------------------------------------------------------

    async def _one(self, message: RawRequestMessage | _ErrInfo, payload: StreamReader) -> bool:
        """Answers one request; returns whether the connection stays open."""
        started = perf_counter()  # finer than uvloop's clock
        if isinstance(message, _ErrInfo):
            self._refuse_now(*unreadable(message.exc))
            return False
        self._payload = payload
        refused = objection(message, payload, self._limits)
        request = self._request(message, payload)
        if refused is None:
            answer = _unexpected(request) or await self._ask(request)
        else:
            answer = _rejected(request, refused)
        request.body.complete()  # content that has arrived and that nobody wanted is no reason to close
        keep = refused is None and self._may_stay(message, request)
        modern = message.version >= HttpVersion11
        if answer.tunnel is not None:
            return await self._tunnel(request, answer, started)
        writer = Writer(self, request, keep=keep, modern=modern)
        try:
            await writer.write(answer)
        finally:
            self._tell(request, answer, perf_counter() - started, writer.sent)
        if not writer.keep:
            self._leave()
        return writer.keep

    def _may_stay(self, message: RawRequestMessage, request: Request) -> bool:
        # The parser takes what follows an Upgrade for another protocol, whatever becomes of it.
        ends = message.should_close or message.upgrade or (self._half_closed and not self._messages)
        return not (ends or self._close or self._edge.draining or request.body.unread)

    async def _ask(self, request: Request) -> Answer:
        try:
            return await self._gate.answer(request)
        except asyncio.CancelledError:
            raise
        except Exception:
            _log.exception("request %s failed", request.id)
            request.trace.outcome, request.trace.reason = "failed", "internal"
            return answer_with(internal(request.id), request)

    def _request(self, message: RawRequestMessage, payload: StreamReader) -> Request:
        fields, headers = addressed(message)
        modern = message.version >= HttpVersion11
        limits = self._limits
        if payload is EMPTY_PAYLOAD:
            body = _EMPTY
        else:
            # RFC 9110 section 10.1.1: an expectation of an HTTP/1.0 client is ignored.
            expects = modern and "Expect" in headers
            text = None if message.chunked else headers.get("Content-Length")
            body = Body(
                payload,
                None if text is None else int(text[:20]),
                limit=limits.body,
                timeout=limits.body_timeout,
                wanted=self._continue if expects else None,
            )
        peer = self.peername
        return Request(
            method=message.method,
            target=message.path,
            fields=fields,
            headers=headers,
            body=body,
            peer=peer[0] if isinstance(peer, tuple) else "",
            scheme="http" if self.ssl_context is None else "https",
            id=request_id(headers),
            early=self._interim if modern else None,
            left=self._left,
            upgrade=websocket(message),
        )

    def _left(self) -> bool:
        return self._half_closed or self.transport is None or self.transport.is_closing()

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


def _rejected(request: Request, refused: Refused) -> Answer:
    request.trace.outcome, request.trace.reason = "refused", "unacceptable"
    return answer_with(rejected(*refused), request)


def _unexpected(request: Request) -> Answer | None:
    expectation = request.headers.get("Expect")
    if expectation is None or expectation.lower() == "100-continue":
        return None
    request.trace.outcome, request.trace.reason = "refused", "expectation"
    return Answer.of(417, [(b"X-Request-ID", request.id.encode())])  # RFC 9110 section 15.5.18
