"""One connection to the backend: an HTTP/1.1 exchange at a time (RFC 9112), directly on a transport.

Speed matters here: an exchange costs one future, one write, and no timer of its own.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine

from aiohttp import hdrs
from aiohttp.http_parser import RawResponseMessage

from proxy.errors import UpstreamBroken, UpstreamError, UpstreamTimeout
from proxy.upstream import Call, Source
from proxy.upstream.deadline import NEVER
from proxy.upstream.framing import Framer, FramingError, NoBody, UntilClose, body_framer, body_length
from proxy.upstream.head import HeadReader, persistent
from proxy.upstream.last_words import last_words
from proxy.upstream.reply import BackendReply
from proxy.upstream.sending import send_source
from proxy.upstream.tunnel import BackendTunnel
from proxy.upstream.wire import Wire

_ONE_WRITE = 64 * 1024
"""Bodies up to this many bytes are copied behind their head: one write, one packet where it fits."""


class Unanswered(UpstreamBroken):
    """The connection died after the request was written and before any byte of an answer."""


class Connection(Wire):
    """A connection that its pool lends out, one exchange at a time.

    Args:
        loop: where it lives.
        backend: the backend's name, for messages.
        timeout: seconds that the backend has for each piece of a `Source`, and for the head after the last.
        body_timeout: seconds between two pieces of a body that somebody waits for.
        on_free: called when an exchange is over and the connection can be used again.
        on_lost: called once, when the connection can not be used any more.

    Attributes:
        used: exchanges begun so far.
        idle_since: `loop.time()` of the moment it became free, kept by the pool.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        backend: str,
        *,
        timeout: float,
        body_timeout: float,
        on_free: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
    ) -> None:
        self.used = 0
        self.idle_since = 0.0
        super().__init__(loop)
        self._backend = backend
        self._timeout = timeout
        self._body_timeout = body_timeout
        self._on_free = on_free
        self._on_lost = on_lost
        self._heads = HeadReader(loop)
        # The exchange under way: first `_waiter` (no final head yet), then `_reply` (its body is not whole).
        self._call: Call | None = None
        self._sent_at = 0.0
        self._answered = False
        self._waiter: asyncio.Future[BackendReply] | None = None
        self._pump: asyncio.Task[None] | None = None
        self._reply: BackendReply | None = None
        self._framer: Framer = NoBody()
        self._keep = False

    # One exchange.

    def exchange(
        self, call: Call, head: bytes, sent_at: float, deadline: float
    ) -> asyncio.Future[BackendReply] | Coroutine[None, None, BackendReply]:
        """Sends the call; what is returned, to be awaited at once, gives the reply once its head is here.

        Whoever is cancelled while awaiting it calls `given_up`.

        Args:
            call: the request.
            head: the same as bytes, up to its blank line.
            sent_at: a `loop.time()` of before this, for the reply.
            deadline: `loop.time()` at which the head must be there, where the body is bytes.

        Raises:
            UpstreamBroken, and what `call.permit` raises; nothing was sent then. What is returned raises
            UpstreamBroken, UpstreamTimeout, BodyError; `Unanswered` where the connection just died.
        """
        transport = self.transport
        if self.gone or transport is None or transport.is_closing():
            raise UpstreamBroken(f"{self._backend} closed the connection at once", maybe_applied=False)
        if call.permit is not None:
            try:
                call.permit()
            except BaseException:
                self.abort()
                raise
        self.used += 1
        self._call, self._sent_at, self._answered = call, sent_at, False
        waiter: asyncio.Future[BackendReply] = self._loop.create_future()
        self._waiter = waiter
        body = call.body
        if not isinstance(body, bytes):
            return self._stream(head, body, waiter)
        limit = self._deadline
        limit.at = deadline
        if deadline < limit.due:
            limit.set(deadline)
        if len(body) > _ONE_WRITE:
            self.write(head)
            self.write(body)
        else:
            transport.write(head + body)
        return waiter

    def given_up(self, waiter: Awaitable[BackendReply]) -> None:
        """Whoever awaited what `exchange` returned does so no more."""
        if not isinstance(waiter, asyncio.Future):
            return  # `_stream` has seen to it
        # A reply that came in the same turn of the loop has nobody else to close it. Its connection may be
        # free already, and lent out again.
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            waiter.result().close()
        else:
            self.abort()

    async def _stream(
        self, head: bytes, source: Source, waiter: asyncio.Future[BackendReply]
    ) -> BackendReply:
        """The body is sent while the answer is awaited already: it may come before the body's end."""
        self.write(head)
        pump = self._pump = self._loop.create_task(self._send(source))
        try:
            return await waiter
        except asyncio.CancelledError:
            self.given_up(waiter)
            raise
        finally:
            if not pump.done():
                # RFC 9112 section 9.5: an early answer ends the sending, and the connection with its reply.
                pump.cancel()
                await asyncio.wait((pump,))
            if self._pump is pump:  # else the connection is lent out again, with a body of its own
                self._pump = None

    async def _send(self, source: Source) -> None:
        try:
            await send_source(source, self)
        except Exception as fault:
            if self.wanted:
                self._fail(fault)

    # The way out (`sending.Outlet`).

    @property
    def wanted(self) -> bool:
        """Whether the answer to what is being sent is still to come."""
        return self._waiter is not None

    def sent(self) -> None:
        """The whole body is written."""
        self._deadline.within(self._timeout)

    # The way in.

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes of a head, of a body, or of nothing that was asked for."""
        reply = self._reply
        if reply is not None:
            self._body(reply, data)
        elif self._waiter is not None:
            self._answered = True
            try:
                found = self._heads.feed(data)
                while found is not None:
                    message, rest = found
                    if message.code >= 200 or message.code == 101:
                        self._final(message, rest)
                        return
                    self._interim(message)
                    found = self._heads.feed(rest) if rest else None
            except FramingError as fault:
                self._broken(str(fault))
        else:
            # Nothing was asked: a 408 of an impatient server, or surplus of the last response, late.
            self.abort()

    def _interim(self, message: RawResponseMessage) -> None:
        """RFC 9110 section 15.2: passed on, but for a 100 that the client's request did not ask for."""
        call = self._call
        if call is None or call.early is None:
            return
        if message.code == 100 and not any(name.lower() == b"expect" for name, _ in call.fields):
            return
        call.early(message.code, message.reason, message.raw_headers)

    def _final(self, message: RawResponseMessage, rest: bytes) -> None:
        call, waiter, transport = self._call, self._waiter, self.transport
        assert call is not None
        assert waiter is not None
        assert transport is not None
        if message.code == 101:
            self._switch(call, waiter, message, rest)
            return
        length = body_length(call.method, message.code, message.headers)
        whole = length == len(rest)  # as that of nearly every small response
        if not whole:
            self._framer = body_framer(call.method, message.code, message.headers)
        # RFC 9112 section 9.5: an answer to half a request leaves the other half unsent.
        unsent = (self._pump is not None or transport.get_write_buffer_size() > 0) and self._unsent()
        framed = message.chunked or (message.code == 204 and hdrs.CONTENT_LENGTH in message.headers)
        odd = message.should_close or framed  # else `persistent` has nothing to object to
        self._keep = keep = not unsent and (not odd or persistent(message, call.method))
        self._deadline.at = NEVER
        self._waiter = self._call = None
        if whole:
            reply = BackendReply(message, length, self._sent_at, None, self._body_timeout, rest)
            if keep and not self.gone and not transport.is_closing():
                self._on_free(self)
            else:
                self._let_go()
        else:
            reply = self._reply = BackendReply(message, length, self._sent_at, self, self._body_timeout)
            self._body(reply, rest)
        if waiter.done():  # given up in this very turn of the loop
            reply.close()
        else:
            waiter.set_result(reply)

    def _switch(
        self, call: Call, waiter: asyncio.Future[BackendReply], message: RawResponseMessage, rest: bytes
    ) -> None:
        """RFC 9110 section 15.2.2: from here on the tunnel hears of the transport's end, and tells."""
        if call.expects_upgrade is None:
            self._broken("it switches protocols without being asked")
            return
        assert self.transport is not None
        reply = BackendReply(message, 0, self._sent_at, self, self._body_timeout)
        self._waiter = self._call = None
        self._deadline.stop()
        reply.hand_over(BackendTunnel(self.transport, rest, self._lost))
        if waiter.done():
            reply.close()
        else:
            waiter.set_result(reply)

    def _body(self, reply: BackendReply, data: bytes) -> None:
        framer = self._framer
        if data:
            try:
                piece = framer.feed(data)
            except FramingError as fault:
                self._broken(str(fault))
                return
            if piece and not reply.put(piece) and not framer.ended:
                self._pause()
        if framer.ended:
            self._end(reply, framer)

    def _end(self, reply: BackendReply, framer: Framer) -> None:
        """The body is whole: the connection is free, or of no more use."""
        self._reply = None
        self._deadline.at = NEVER
        reply.finish(framer.trailers())
        if self._keep and not framer.excess and self.usable:
            self._on_free(self)
        else:
            self._let_go()

    def _let_go(self) -> None:
        """The exchange is over, and no other may follow."""
        if self._unsent():
            self.abort()  # the rest of the request is wanted by nobody
        else:
            self.close()

    def _unsent(self) -> bool:
        """Whether some of the request is still to be sent."""
        if self._pump is not None and not self._pump.done():
            return True
        return self.transport is not None and self.transport.get_write_buffer_size() > 0

    # The end.

    def eof_received(self) -> None:
        """asyncio: the backend sends no more. The transport closes itself after this."""
        reply = self._reply
        if reply is None or (isinstance(self._framer, UntilClose) and not self._closed_in_order()):
            return
        if self._framer.at_close():
            self._end(reply, self._framer)

    def _closed_in_order(self) -> bool:
        """RFC 9112 section 9.8: over TLS, only a closure alert ends a body that has no length."""
        assert self.transport is not None
        tls: ssl.SSLObject | None = self.transport.get_extra_info("ssl_object")
        if tls is None:
            return True
        try:
            return not tls.read(1)
        except ssl.SSLZeroReturnError:
            return True
        except (ssl.SSLError, OSError):
            return False

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is no more."""
        if exc is not None and self._waiter is not None and self.transport is not None:
            # A write failed: an early answer may lie unread in the socket (RFC 9112 section 9.5).
            for data in last_words(self.transport):
                self.data_received(data)
        unanswered = self._waiter is not None and not self._answered
        sentence = "closed the connection without an answer" if unanswered else "broke off in mid-answer"
        kind = Unanswered if unanswered else UpstreamBroken
        self._fail(kind(f"{self._backend} {sentence}", maybe_applied=True), cause=exc)

    def _expired(self) -> None:
        what = "answer" if self._waiter is not None else "go on with its answer"
        self._fail(UpstreamTimeout(f"{self._backend} did not {what} in time", maybe_applied=True))

    def _broken(self, why: str) -> None:
        self._fail(UpstreamBroken(f"{self._backend} sent an unusable answer: {why}", maybe_applied=True))

    def _fail(self, fault: Exception, cause: Exception | None = None) -> None:
        """Ends whatever is under way with this fault, and the connection with it."""
        if cause is not None:
            fault.__cause__ = cause
        waiter, self._waiter = self._waiter, None
        reply, self._reply = self._reply, None
        self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_exception(fault)
        if reply is not None and isinstance(fault, UpstreamError):
            reply.fail(fault)

    def _lost(self) -> None:
        if not self.gone:
            self.gone = True
            self._on_lost(self)
