"""A client that sends given bytes and reads responses strictly."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")


@dataclass
class Seen:
    """One response as the client understood it.

    Attributes:
        ended: whether the content ended as its framing says; where it ends with the connection, whether that
            was closed and not reset.
    """

    status: int
    reason: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    ended: bool = True
    close_delimited: bool = False

    def all(self, name: str) -> list[str]:
        return [value for field, value in self.fields if field == name]

    def one(self, name: str) -> str | None:
        found = self.all(name)
        assert len(found) < 2, found
        return found[0] if found else None


def responses(data: bytes, methods: Sequence[str] = (), *, reset: bool = False) -> list[Seen]:
    """The responses in `data`, interim ones included.

    Raises:
        AssertionError: what is there is no HTTP.
    """
    found: list[Seen] = []
    waiting = list(methods)
    while data:
        head, blank, data = data.partition(b"\r\n\r\n")
        if not blank:
            found.append(Seen(0, head.decode("latin-1"), [], ended=False))
            return found
        seen = _head(head)
        found.append(seen)
        if seen.status >= 200 or seen.status == 101:
            method = waiting.pop(0) if waiting else "GET"
            data = _body(seen, method, data, reset)
    return found


def _head(head: bytes) -> Seen:
    first, *lines = head.split(b"\r\n")
    status = _STATUS.fullmatch(first)
    assert status is not None, first
    fields = []
    for line in lines:
        match = _FIELD.fullmatch(line)
        assert match is not None, line
        fields.append((match[1].decode().lower(), match[2].decode("latin-1").rstrip(" \t")))
    return Seen(int(status[1]), status[2].decode("latin-1"), fields)


def _body(seen: Seen, method: str, data: bytes, reset: bool) -> bytes:
    """Takes the content off `data` (RFC 9112 section 6.3); returns the rest."""
    if method == "HEAD" or seen.status in {204, 304}:
        return data
    if seen.status == 101:
        seen.body = data
        return b""
    coding, length = seen.one("transfer-encoding"), seen.one("content-length")
    assert coding is None or length is None
    if coding is not None:
        assert coding == "chunked"
        return _chunked(seen, data)
    if length is not None:
        seen.body = data[: int(length)]
        seen.ended = len(seen.body) == int(length)
        return data[int(length) :]
    seen.body, seen.ended, seen.close_delimited = data, not reset, True
    return b""


def _chunked(seen: Seen, data: bytes) -> bytes:
    while True:
        line, crlf, rest = data.partition(b"\r\n")
        size = int(line, 16) if crlf else 0
        if not crlf or (size and len(rest) < size + 2):
            seen.ended = False
            return b""
        if not size:
            break
        seen.body += rest[:size]
        assert rest[size : size + 2] == b"\r\n"
        data = rest[size + 2 :]
    while rest and not rest.startswith(b"\r\n"):
        line, _, rest = rest.partition(b"\r\n")
        assert _FIELD.fullmatch(line), line
    seen.ended = rest.startswith(b"\r\n")
    return rest[2:]


class Client:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.received = b""
        self.reset = False

    @classmethod
    async def to(cls, address: tuple[str, int]) -> Client:
        return cls(*await asyncio.open_connection(*address, limit=1 << 24))

    async def send(self, *pieces: bytes) -> None:
        """Sends each piece in a packet of its own, as far as the loop allows."""
        for piece in pieces:
            self.writer.write(piece)
            try:
                await self.writer.drain()
            except ConnectionError:
                return
            if len(pieces) > 1:
                await asyncio.sleep(0)

    async def until(self, mark: bytes, seconds: float = 5.0) -> bytes:
        """Reads until `mark` has come."""
        async with asyncio.timeout(seconds):
            while mark not in self.received and await self._read():
                pass
        return self.received

    async def rest(self, seconds: float = 5.0) -> bytes:
        """Everything up to the end of the connection."""
        async with asyncio.timeout(seconds):
            while await self._read():
                pass
        return self.received

    async def _read(self) -> bytes:
        try:
            data = await self._reader.read(1 << 16)
        except ConnectionError:
            self.reset = True
            data = b""
        self.received += data
        return data

    def close(self) -> None:
        self.writer.close()

    def abort(self) -> None:
        self.writer.transport.abort()
