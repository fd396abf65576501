"""A backend that plays given bytes on real sockets and keeps what it was sent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Any


class Peer:
    """One connection, seen from the backend. `heard` is what came, its first MiB."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.heard = b""
        self.closed = asyncio.Event()

    async def head(self) -> bytes:
        """The next request head, blank line included."""
        return self._note(await self._reader.readuntil(b"\r\n\r\n"))

    async def take(self, size: int) -> bytes:
        """Exactly so many bytes."""
        return self._note(await self._reader.readexactly(size))

    async def until(self, mark: bytes) -> bytes:
        """All up to and with this mark."""
        return self._note(await self._reader.readuntil(mark))

    async def rest(self) -> bytes:
        """What still comes until the proxy closes, or resets the connection."""
        pieces = []
        with contextlib.suppress(ConnectionError):
            while piece := await self._reader.read(65536):
                pieces.append(self._note(piece))
        self.closed.set()
        return b"".join(pieces)

    async def send(self, data: bytes) -> None:
        """Sends, waiting while nobody reads."""
        self._writer.write(data)
        await self._writer.drain()

    def write(self, data: bytes) -> None:
        """Sends without waiting."""
        self._writer.write(data)

    def unsent(self) -> int:
        """Bytes that the kernel did not take yet."""
        size: int = self._writer.transport.get_write_buffer_size()
        return size

    def write_eof(self) -> None:
        """Ends its own direction alone."""
        self._writer.write_eof()

    def end(self) -> None:
        """Closes this connection."""
        self._writer.close()

    def reset(self) -> None:
        """Closes it with a RST."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def _note(self, data: bytes) -> bytes:
        if len(self.heard) < 2**20:
            self.heard += data
        return data


Script = Callable[[Peer], Awaitable[Any]]


class Backend:
    """A listening backend; every connection plays the script from its beginning."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.peers: list[Peer] = []
        self.faults: list[Exception] = []
        self.port = 0

    async def start(self, *, tls: ssl.SSLContext | None = None, path: str | None = None) -> Backend:
        if path is not None:
            self._server = await asyncio.start_unix_server(self._serve, path, limit=2**22)
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls, limit=2**22)
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.append(peer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._script(peer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        except Exception as fault:
            self.faults.append(fault)
        finally:
            writer.close()
            peer.closed.set()


def answering(*answers: bytes, then: str = "stay") -> Script:
    """Reads a request head, sends the next answer, and so on; at the end stays open, or ends."""

    async def script(peer: Peer) -> None:
        for answer in answers:
            await peer.head()
            await peer.send(answer)
        if then == "stay":
            await peer.rest()

    return script


async def eventually(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Waits until the condition holds; fails where it never does."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - conditions of all kinds
            await asyncio.sleep(0.002)
