"""One response of the backend as its reader sees it: a head, and a body that waits until it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from aiohttp.http_parser import RawResponseMessage

from proxy.errors import UpstreamError
from proxy.upstream import Fields
from proxy.upstream.tunnel import BackendTunnel

HIGH_WATER = 128 * 1024
"""Bytes of a body that may wait unread before the backend is held up. One read of the socket comes on top."""


class Line(Protocol):
    """What a reply needs of the connection that it arrives on."""

    def watch(self, seconds: float) -> None:
        """The body must go on within this time."""

    def unwatch(self) -> None:
        """Nobody waits for the body now."""

    def resume(self) -> None:
        """The reader has room again."""

    def abort(self) -> None:
        """Closes the connection at once."""


class BackendReply:
    """A response (`proxy.upstream.Reply`), fed by its connection until its body has ended.

    The connection is let go as soon as the body has arrived, read or not: a small response is whole before
    its reader looks at it for the first time.

    Args:
        line: the connection; None where the body is whole already, and the connection let go.
        whole: the body then.
    """

    __slots__ = (
        "_body_timeout",
        "_fault",
        "_high",
        "_line",
        "_pieces",
        "_size",
        "_trailers",
        "_tunnel",
        "_waiter",
        "_want",
        "fields",
        "headers",
        "length",
        "reason",
        "sent_at",
        "status",
    )

    def __init__(
        self,
        message: RawResponseMessage,
        length: int | None,
        sent_at: float,
        line: Line | None,
        body_timeout: float,
        whole: bytes = b"",
    ) -> None:
        self.status = message.code
        self.reason = message.reason
        self.fields: Fields = message.raw_headers
        self.headers = message.headers
        self.length = length
        self.sent_at = sent_at
        self._line = line
        self._body_timeout = body_timeout
        self._pieces: list[bytes] = [whole] if line is None else []
        self._size = len(whole)
        self._high = HIGH_WATER
        self._want = 0
        self._waiter: asyncio.Future[None] | None = None
        self._fault: UpstreamError | None = None
        self._trailers: Fields = ()
        self._tunnel: BackendTunnel | None = None

    # For its reader.

    def ready(self) -> bytes | None:
        """The whole body where it is here and the connection is done with, else None."""
        if self._line is not None or self._fault is not None:
            return None
        whole, self._pieces, self._size = b"".join(self._pieces), [], 0
        return whole

    async def read(self, limit: int) -> bytes | None:
        """The whole body where it is at most `limit` bytes, else None; nothing is lost by asking."""
        if self._line is None and self._size <= limit and self._fault is None:
            whole, self._pieces, self._size = b"".join(self._pieces), [], 0
            return whole
        if self.length is not None and self.length > limit:
            return None
        self._let_in(max(limit, HIGH_WATER))
        while self._line is not None and self._size <= limit:
            await self._more(limit + 1)
        self._high = HIGH_WATER
        if self._size > limit:
            return None
        if self._fault is not None:
            raise self._fault
        return self._take()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives, in whatever pieces."""
        while True:
            while not self._size and self._line is not None:
                await self._more(1)
            if not self._size:
                break
            yield self._take()
        if self._fault is not None:
            raise self._fault

    def trailers(self) -> Fields:
        """Trailer fields, once the body has ended."""
        return self._trailers

    def tunnel(self) -> BackendTunnel:
        """The connection itself, after a 101."""
        if self._tunnel is None:
            raise ValueError("only a 101 response has a tunnel")
        return self._tunnel

    def close(self) -> None:
        """Gives the reply up; a connection with an unread rest is closed."""
        self._pieces.clear()
        self._size = 0
        if self._tunnel is not None:
            self._tunnel.close()
        line, self._line = self._line, None
        if line is not None:
            line.abort()

    def _let_in(self, high: int) -> None:
        self._high = high
        if self._line is not None and self._size <= high:
            self._line.resume()

    async def _more(self, want: int) -> None:
        """Waits until `want` bytes are here, or the body has ended in one way or the other."""
        line = self._line
        assert line is not None
        self._want = want
        self._waiter = asyncio.get_running_loop().create_future()
        line.watch(self._body_timeout)
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._waiter = None
            if self._line is line:  # else it may be lent out again, with another deadline
                line.unwatch()

    def _take(self) -> bytes:
        body, self._pieces, self._size = b"".join(self._pieces), [], 0
        if self._line is not None:
            self._line.resume()
        return body

    # For its connection.

    def put(self, piece: bytes) -> bool:
        """Takes content in. True while there is room for more."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._waiter is not None:
            if self._size >= self._want:
                self._wake()
            elif self._line is not None:
                self._line.watch(self._body_timeout)
        return self._size <= self._high

    def finish(self, trailers: Fields) -> None:
        """The body has ended as it should: the connection is somebody else's now."""
        self._trailers = trailers
        self._line = None
        self._wake()

    def fail(self, fault: UpstreamError) -> None:
        """The body will never be complete."""
        self._fault = fault
        self._line = None
        self._wake()

    def hand_over(self, tunnel: BackendTunnel) -> None:
        """The connection has left HTTP (RFC 9110 section 7.8)."""
        self._tunnel = tunnel
        self._line = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
