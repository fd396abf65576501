"""HTTP/1.1 messages, read from a stream as they are: nothing is hidden, mended or decoded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

Lines = list[tuple[str, str]]


@dataclass
class Message:
    """A request or a response. Text is UTF-8, other bytes are lone surrogates (`surrogateescape`).

    Attributes:
        start: the words of its first line.
        fields: its field lines in order.
        body: its content.
        trailers: field lines after the content.
        interim: the 1xx responses that came before it.
    """

    start: tuple[str, str, str]
    fields: Lines
    body: bytes = b""
    trailers: Lines = field(default_factory=list)
    interim: list[Message] = field(default_factory=list)

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.start[1])

    @property
    def method(self) -> str:
        """Of a request."""
        return self.start[0]

    @property
    def target(self) -> str:
        """Of a request."""
        return self.start[1]

    def all(self, name: str) -> list[str]:
        """The values of every field line of that name."""
        return [value for line, value in self.fields if line.lower() == name.lower()]

    def __getitem__(self, name: str) -> str | None:
        """The value of that field, several lines joined (RFC 9110 section 5.3), or None."""
        values = self.all(name)
        return ", ".join(values) if values else None

    def __contains__(self, name: str) -> bool:
        return self[name] is not None

    @property
    def chunked(self) -> bool:
        """Whether its content comes in chunks."""
        return "chunked" in (self["Transfer-Encoding"] or "").lower()


def text(raw: bytes) -> str:
    """Bytes as text that can be turned back."""
    return raw.decode("utf-8", "surrogateescape")


def raw(text: str) -> bytes:
    """The bytes of such a text."""
    return text.encode("utf-8", "surrogateescape")


def lines(fields: Lines) -> bytes:
    """Field lines as on the wire."""
    return b"".join(b"%b: %b\r\n" % (raw(name), raw(value)) for name, value in fields)


async def read_head(reader: asyncio.StreamReader) -> Message:
    """A message's head. Raises `IncompleteReadError` where the connection ends instead."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *rest = head[:-4].split(b"\r\n")
    words = (*text(first).split(" ", 2), "", "")
    return Message((words[0], words[1], words[2]), [_line(line) for line in rest])


async def read_content(reader: asyncio.StreamReader, message: Message, *, to_end: bool = False) -> None:
    """Reads a message's content as its framing says; with `to_end`, one without framing up to the end."""
    if message.chunked:
        message.body = await _chunks(reader, message.trailers)
    elif (length := message["Content-Length"]) is not None:
        message.body = await reader.readexactly(int(length))
    elif to_end:
        message.body = await reader.read()


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    """One chunk; b"" is the last one, before the trailers."""
    size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
    if not size:
        return b""
    data = await reader.readexactly(size + 2)
    assert data.endswith(b"\r\n")
    return data[:-2]


async def _chunks(reader: asyncio.StreamReader, trailers: Lines) -> bytes:
    pieces = []
    while piece := await read_chunk(reader):
        pieces.append(piece)
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        trailers.append(_line(line[:-2]))
    return b"".join(pieces)


def _line(line: bytes) -> tuple[str, str]:
    name, _, value = line.partition(b":")
    return text(name), text(value.strip(b" \t"))
