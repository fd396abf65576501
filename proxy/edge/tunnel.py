"""Two connections made one, after a 101 (RFC 9110 section 7.8)."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from proxy.errors import ProxyError
from proxy.upstream import Tunnel

if TYPE_CHECKING:
    from proxy.edge.connection import Connection

_BUFFERED = 1 << 16


class Tunnelled:
    """Copies both ways until either side ends, reading from neither more than the other takes.

    Args:
        connection: the client's.
        tunnel: the backend's.
    """

    def __init__(self, connection: Connection, tunnel: Tunnel) -> None:
        self._connection = connection
        self._tunnel = tunnel
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._arrived = asyncio.Event()
        self._ended = False

    async def run(self) -> None:
        """Returns when the tunnel is closed."""
        self._connection.set_parser(self)  # type: ignore[arg-type]  # it feeds us, as it would a WebSocketReader
        ways = [asyncio.ensure_future(self._up()), asyncio.ensure_future(self._down())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._tunnel.close()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Called by the connection with what the client sent."""
        self._waiting.append(data)
        self._size += len(data)
        self._arrived.set()
        if self._size > _BUFFERED and self._connection.transport is not None:
            self._connection.transport.pause_reading()
        return False, b""

    def feed_eof(self) -> None:
        """Called by the connection when the client is gone."""
        self._ended = True
        self._arrived.set()

    async def _up(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                data = self._waiting.popleft()
                await self._tunnel.write(data)
                self._size -= len(data)
            if self._ended:
                return
            if self._connection.transport is not None:
                self._connection.transport.resume_reading()

    async def _down(self) -> None:
        try:
            while data := await self._tunnel.read():
                if self._connection.transport is None:
                    return
                self._connection.transport.write(data)
                if self._connection.writing_paused:
                    await self._connection._drain_helper()
        except (ProxyError, ConnectionError):
            return
