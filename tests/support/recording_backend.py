"""A backend that reads requests with h11, a strict parser, keeps them, and answers with given bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h11


@dataclass
class Heard:
    """One request as the backend understood it.

    Attributes:
        method, target: of the request line.
        fields: name in lower case and value, in order.
        body: what of the content arrived.
        complete: whether the message ended as its framing says.
    """

    method: str
    target: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    complete: bool = False

    @property
    def line(self) -> str:
        return f"{self.method} {self.target}"

    def all(self, name: str) -> list[str]:
        return [value for field, value in self.fields if field == name]

    def one(self, name: str) -> str | None:
        found = self.all(name)
        assert len(found) < 2, found
        return found[0] if found else None


OK = b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: 2\r\n\r\nok'
OK_HEAD = OK[:-2]

Respond = Callable[[Heard], bytes]


def ok(heard: Heard) -> bytes:
    """Every resource has the version "v1"; every write is ignored."""
    return OK_HEAD if heard.method == "HEAD" else OK


@dataclass
class RecordingBackend:
    """Answers every complete request with `respond`; `None` of `early` is never called.

    Attributes:
        respond: makes the bytes of an answer; b"" closes the connection instead.
        early: answers as soon as the head is there, where it returns anything.
        closes: whether the connection is closed after each answer.
        heard: requests, in the order of their heads.
        faults: what h11 found wrong with what the proxy sent.
    """

    respond: Respond = ok
    early: Respond | None = None
    closes: bool = False
    hold: Callable[[], Awaitable[object]] | None = None
    heard: list[Heard] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def lines(self) -> list[str]:
        return [heard.line for heard in self.heard]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[RecordingBackend]:
        tasks: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await self._serve(reader, writer)
            except (ConnectionError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            # A fresh parser for each message: what h11 thinks of our answer is not of interest here.
            parser = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
            heard = await self._head(parser, reader)
            if heard is None:
                return
            if self.early is not None and (answer := self.early(heard)):
                writer.write(answer)
                await writer.drain()
                return
            if not await self._content(parser, reader, heard):
                return
            if parser.trailing_data[0]:
                self.faults.append(f"bytes after the message: {parser.trailing_data[0]!r}")
                return
            if self.hold is not None:
                await self.hold()
            answer = self.respond(heard)
            writer.write(answer)
            await writer.drain()
            if self.closes or not answer:
                return

    async def _head(self, parser: h11.Connection, reader: asyncio.StreamReader) -> Heard | None:
        event = await self._event(parser, reader)
        if not isinstance(event, h11.Request):
            return None
        heard = Heard(
            event.method.decode("ascii"),
            event.target.decode("ascii"),
            [(name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers],
        )
        self.heard.append(heard)
        return heard

    async def _content(self, parser: h11.Connection, reader: asyncio.StreamReader, heard: Heard) -> bool:
        pieces = []
        while isinstance(event := await self._event(parser, reader), h11.Data):
            pieces.append(bytes(event.data))
        heard.body = b"".join(pieces)
        heard.complete = isinstance(event, h11.EndOfMessage)
        return heard.complete

    async def _event(self, parser: h11.Connection, reader: asyncio.StreamReader) -> h11.Event | None:
        try:
            while (event := parser.next_event()) is h11.NEED_DATA:
                data = await reader.read(65536)
                parser.receive_data(data)
                if not data:
                    return None
        except h11.RemoteProtocolError as fault:
            self.faults.append(str(fault))
            return None
        return event if not isinstance(event, type) else None
