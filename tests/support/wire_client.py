"""A client that sends just what it is told, and shows just what comes back."""

from __future__ import annotations

import asyncio
from typing import Self

from support.http1 import Lines, Message, lines, raw, read_content, read_head

PATIENCE = 10.0
"""Seconds after which an answer that does not come fails the test."""


class Client:
    """One connection. Not for several requests at a time.

    Args:
        address: host and port.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def open(self) -> None:
        """Connects, if it is not connected."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(*self._address, limit=1 << 20)

    @property
    def reader(self) -> asyncio.StreamReader:
        assert self._reader is not None
        return self._reader

    @property
    def writer(self) -> asyncio.StreamWriter:
        assert self._writer is not None
        return self._writer

    def close(self) -> None:
        """Leaves, at once."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def send(
        self,
        method: str,
        target: str,
        *fields: tuple[str, str],
        body: bytes | None = None,
        version: str = "1.1",
    ) -> None:
        """Sends a request; Host and Content-Length are added where they are not given."""
        await self.open()
        given = {name.lower() for name, _ in fields}
        own: Lines = [] if "host" in given else [("Host", "example.org")]
        framed = given & {"content-length", "transfer-encoding"}
        if body is not None and not framed:
            own.append(("Content-Length", str(len(body))))
        start = raw(f"{method} {target} HTTP/{version}\r\n")
        self.writer.write(start + lines([*own, *fields]) + b"\r\n" + (body or b""))
        await self.writer.drain()

    async def head(self) -> Message:
        """The next response head, be it final or not."""
        async with asyncio.timeout(PATIENCE):
            return await read_head(self.reader)

    async def answer(self, method: str = "GET") -> Message:
        """The next final response, whole."""
        interim: list[Message] = []
        while (message := await self.head()).status < 200 and message.status != 101:
            interim.append(message)
        message.interim = interim
        if method != "HEAD" and message.status not in (101, 204, 304):
            async with asyncio.timeout(PATIENCE):
                await read_content(self.reader, message, to_end=True)
        return message

    async def request(
        self, method: str, target: str, *fields: tuple[str, str], body: bytes | None = None
    ) -> Message:
        """One exchange. A connection that the last answer ended is made anew."""
        await self.send(method, target, *fields, body=body)
        message = await self.answer(method)
        if "close" in (message["Connection"] or ""):
            self.close()
        return message

    async def closed(self) -> bytes:
        """What still comes until the peer closes; a reset is an end too."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


async def request(
    address: tuple[str, int], method: str, target: str, *fields: tuple[str, str], body: bytes | None = None
) -> Message:
    """One exchange on a connection of its own."""
    async with Client(address) as client:
        return await client.request(method, target, *fields, body=body)
