"""One client's connection.

aiohttp's `RequestHandler` keeps what it does well: parsing in C, flow control, keep-alive, shutdown. Its loop
over requests is replaced by one that makes no request objects, no writers and no tasks (docs/performance.md
has what each of them costs).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING
from uuid import uuid4

from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.body import Body
from proxy.edge.response import Writer
from proxy.edge.tunnel import Tunnelled
from proxy.exchange import Answer, Request
from proxy.gate import Gate
from proxy.gate.refuse import answer_with
from proxy.rules.refusals import internal, rejected
from proxy.upstream import Fields

if TYPE_CHECKING:
    from proxy.edge import Edge

_log = logging.getLogger("proxy.edge")
_LINGER_BYTES = 1 << 18
_LINGER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what a client may send.

    Attributes:
        target: longest request target in bytes, else 414.
        field: longest header field in bytes, else 431.
        fields: most header fields, else 431.
        body: most content in bytes, else 413; 0 for no limit.
        head_timeout: seconds for a whole head, else 408.
        body_timeout: seconds between two pieces of content, else 408.
        idle_timeout: seconds that an idle connection is kept.
        connections: most connections at once, 0 for no limit.
    """

    target: int = 8190
    field: int = 8190
    fields: int = 100
    body: int = 0
    head_timeout: float = 10.0
    body_timeout: float = 60.0
    idle_timeout: float = 75.0
    connections: int = 0


class Connection(RequestHandler):
    """Reads requests one after the other, asks the gate, writes the answers."""

    __slots__ = ("_deadline", "_edge", "_gate", "_limits", "_payload", "_tell")

    def __init__(
        self,
        edge: Edge,
        gate: Gate,
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
            # The parser has one bound for the request line; ours on the target is told apart from the one
            # on fields, so that the answer is 414 and not 431.
            max_line_size=limits.target + 4096,
            max_field_size=limits.field,
            max_headers=limits.fields,
        )
        self._edge = edge
        self._gate = gate
        self._limits = limits
        self._tell = tell
        self._deadline: asyncio.TimerHandle | None = None
        self._payload: StreamReader | None = None

    # -- what the transport calls --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        super().connection_made(transport)
        if self._limits.connections and self._edge.open > self._limits.connections:
            self._refuse_now(503, "too many connections are open")

    def data_received(self, data: bytes) -> None:
        """Bytes arrived; a head that was begun must be whole within its time."""
        super().data_received(data)
        if self._messages or self._request_in_progress or self._upgraded:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None
        elif data and self._deadline is None:
            self._deadline = self._loop.call_later(self._limits.head_timeout, self._head_too_slow)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone: content that is still awaited will not come."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        payload, self._payload = self._payload, None
        super().connection_lost(exc)
        if payload is not None and not payload.is_eof():
            payload.set_exception(RequestPayloadError("the client closed the connection"))

    def _head_too_slow(self) -> None:
        self._deadline = None
        if not self._messages and not self._request_in_progress:
            self._refuse_now(
                408, f"no whole request head arrived within {self._limits.head_timeout:g} seconds"
            )

    def _refuse_now(self, status: int, reason: str) -> None:
        """Answers without a request, and closes."""
        request = _nobody(self)
        answer = answer_with(rejected(status, reason), request)
        Writer(self, request, keep=False, modern=True).at_once(answer)
        self._tell(request, answer, 0.0, 0)
        self.force_close()

    # -- the loop ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Takes requests one after the other until the connection ends."""
        try:
            while not self._force_close:
                if not self._messages:
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
        if not self._force_close:
            self._task_handler = None
            if self.transport is not None:
                self.transport.close()

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
            status, reason = _unreadable(message.exc)
            self._refuse_now(status, reason)
            return False
        self._payload = payload
        request = self._request(message, payload)
        answer = self._unacceptable(message, request) or await self._ask(request)
        request.body.complete()  # content that has arrived and that nobody wanted is no reason to close
        keep = not (message.should_close or self._close or self._edge.draining or request.body.unread)
        modern = message.version >= HttpVersion11
        if answer.tunnel is not None:
            return await self._tunnel(request, answer, started)
        if request.upgrade is not None:
            keep = False  # the parser took what follows the request for another protocol
        writer = Writer(self, request, keep=keep, modern=modern)
        try:
            await writer.write(answer)
        finally:
            self._tell(request, answer, perf_counter() - started, writer.sent)
        if request.body.unread:
            await self._linger(payload)
            return False
        return writer.keep

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
        headers = message.headers
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
                None if text is None else int(text),
                limit=limits.body,
                timeout=limits.body_timeout,
                wanted=self._continue if expects else None,
            )
        peer = self.peername
        return Request(
            method=message.method,
            target=message.path,
            fields=message.raw_headers,
            headers=headers,
            body=body,
            peer=peer[0] if isinstance(peer, tuple) else "",
            scheme="http" if self.ssl_context is None else "https",
            id=_id(headers),
            early=self._interim if modern else None,
            upgrade=_upgrade(message),
        )

    def _unacceptable(self, message: RawRequestMessage, request: Request) -> Answer | None:
        """What is refused before anybody asks which route it is for."""
        if message.method == "CONNECT":
            return _rejected(request, 400, "CONNECT is not served here: this is no forward proxy")
        if len(request.target) > self._limits.target:
            return _rejected(request, 414, f"the request target is longer than {self._limits.target} bytes")
        if message.chunked and message.version < HttpVersion11:
            # RFC 9112 section 6.1: Transfer-Encoding in HTTP/1.0 means that the framing is faulty.
            return _rejected(request, 400, "Transfer-Encoding is not defined for HTTP/1.0")
        expectation = request.headers.get("Expect")
        if expectation is not None and expectation.lower() != "100-continue":
            answer = Answer.of(417, [(b"X-Request-ID", request.id.encode())])  # RFC 9110 section 15.5.18
            request.trace.outcome, request.trace.reason = "refused", "expectation"
            return answer
        return None

    def _continue(self) -> None:
        if self.transport is not None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _interim(self, status: int, reason: str, fields: Fields) -> None:
        """Sends an interim response on (RFC 9110 section 15.2)."""
        if self.transport is not None and status != 100:
            lines = b"".join(b"%b: %b\r\n" % line for line in fields)
            self.transport.write(b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason.encode("latin-1"), lines))

    async def _linger(self, payload: StreamReader) -> None:
        """Reads a little of what the client still sends, so that it sees the answer and not a reset."""
        taken = 0
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while taken < _LINGER_BYTES and not payload.at_eof():
                    taken += len(await payload.readany())
        except (TimeoutError, RequestPayloadError, ConnectionError):
            pass

    async def _tunnel(self, request: Request, answer: Answer, started: float) -> bool:
        """After a 101 the connection is the two peers' own (RFC 9110 section 7.8)."""
        assert answer.tunnel is not None
        self.keep_alive(False)
        Writer(self, request, keep=True, modern=True).switch(answer)
        self._tell(request, answer, perf_counter() - started, 0)
        await Tunnelled(self, answer.tunnel).run()
        return False


_EMPTY = Body()


def _id(headers: CIMultiDictProxy[str]) -> str:
    """The request's id: the client's, where it is fit to be logged and sent on, or a new one."""
    given = headers.get("X-Request-ID", "")
    if given and len(given) <= 128 and given.isascii() and given.isprintable():
        return given
    return uuid4().hex


def _upgrade(message: RawRequestMessage) -> bytes | None:
    if not message.upgrade or message.method != "GET" or "Upgrade" not in message.headers:
        return None
    return message.headers["Upgrade"].encode("utf-8", "surrogateescape")


def _rejected(request: Request, status: int, reason: str) -> Answer:
    request.trace.outcome, request.trace.reason = "refused", "unacceptable"
    return answer_with(rejected(status, reason), request)


def _unreadable(fault: BaseException) -> tuple[int, str]:
    """What aiohttp's parser did not like, as a status and a sentence."""
    if isinstance(fault, LineTooLong):
        line = fault.args[0] if fault.args else b""
        start = line if isinstance(line, bytes) else str(line).encode("utf-8", "replace")
        if start.startswith((b"/", b"http:", b"https:")):
            return 414, "the request target is too long"
        return 431, "a header field is too long"
    text = str(getattr(fault, "message", fault)).strip().splitlines()
    reason = text[0] if text else "the request is not valid HTTP"
    if "Too many headers" in reason:
        return 431, "there are too many header fields"
    return 400, f"the request is not valid HTTP: {reason}"


def _nobody(connection: Connection) -> Request:
    """The request of a client that sent none that could be read."""
    peer = connection.peername
    request = Request(
        method="-",
        target="-",
        fields=(),
        headers=CIMultiDictProxy(CIMultiDict()),
        body=_EMPTY,
        peer=peer[0] if isinstance(peer, tuple) else "",
        id=uuid4().hex,
    )
    request.trace.outcome, request.trace.reason = "refused", "unacceptable"
    return request
