"""The raw connection after a 101 (RFC 9110 section 7.8): bytes both ways, each side held up by the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxy.errors import UpstreamBroken

HIGH_WATER = 128 * 1024
"""Bytes that may wait unread before the backend is held up."""

LINGER = 5.0
"""Seconds for what is still to be sent when the tunnel is closed."""


class BackendTunnel(asyncio.Protocol):
    """A `proxy.upstream.Tunnel`; takes the transport over from the HTTP connection.

    Args:
        transport: the connection, whose protocol this becomes.
        early: what had arrived behind the head of the 101.
        on_lost: called once, when the connection is no more.
    """

    def __init__(self, transport: asyncio.Transport, early: bytes, on_lost: Callable[[], None]) -> None:
        self._transport = transport
        self._on_lost = on_lost
        self._pieces = [early] if early else []
        self._size = len(early)
        self._ended = False
        self._lost = False
        self._reading = True
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._writable = True
        transport.set_protocol(self)

    async def read(self) -> bytes:
        """The next bytes, b"" at the end."""
        while not self._pieces and not self._ended:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        if not self._reading and not self._lost:
            self._reading = True
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Sends, waiting while the peer does not read. Raises `UpstreamBroken` once the peer has gone."""
        if self._lost or self._transport.is_closing():
            raise UpstreamBroken("the backend closed the upgraded connection", maybe_applied=True)
        self._transport.write(data)
        while not self._writable and not self._lost:
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer

    def write_eof(self) -> None:
        """Says that no more will be written. TLS cannot say it: the connection is then left open."""
        if not self._lost and self._transport.can_write_eof():
            self._transport.write_eof()

    def close(self) -> None:
        """Closes both directions. What was written is still sent, if the backend takes it within `LINGER`."""
        if not self._lost and not self._transport.is_closing():
            self._transport.close()
            if self._transport.get_write_buffer_size():
                asyncio.get_running_loop().call_later(LINGER, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes from the backend."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER and self._reading:
            self._reading = False
            self._transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        """asyncio: the backend writes no more. Our direction stays open where the transport can do that."""
        self._ended = True
        _wake(self._reader)
        return self._transport.can_write_eof()

    def pause_writing(self) -> None:
        """asyncio: the backend does not read fast enough."""
        self._writable = False

    def resume_writing(self) -> None:
        """asyncio: it does again."""
        self._writable = True
        _wake(self._writer)

    def connection_lost(self, _exc: Exception | None) -> None:
        """asyncio: the end."""
        self._ended = self._lost = True
        _wake(self._reader)
        _wake(self._writer)
        self._on_lost()


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
