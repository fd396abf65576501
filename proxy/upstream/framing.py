"""Where a response's body ends (RFC 9112 section 6.3). Pure: bytes in, content out.

A framer is fed what arrives and hands back content. It says when the body has ended, and keeps what came
after the end apart, so that surplus bytes are never taken for content or for the next response.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from aiohttp import hdrs
from multidict import CIMultiDictProxy

MAX_CHUNK_LINE = 4096
"""Bytes of one chunk-size line, its extensions included."""

MAX_TRAILERS = 16 * 1024
"""Bytes of all trailer lines of one body."""

# BWS before ";" is bad but legal (RFC 9112 section 7.1.1), and old servers pad the size with blanks. Sixteen
# digits are enough for 64 bits; a longer size is an attempt to overflow somebody.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\x00\r\n]*)?")
_TRAILER_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)")

# RFC 9110 section 6.5.1: fields of framing and routing mean nothing in a trailer and must not be merged.
_NEVER_TRAILERS = frozenset(
    (
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"keep-alive",
        b"host",
        b"te",
        b"trailer",
        b"upgrade",
    )
)


class FramingError(Exception):
    """The backend's message does not end where its framing says, or the framing cannot be trusted."""


class Framer(Protocol):
    """Finds the end of one body.

    Attributes:
        length: the size in bytes where it is known beforehand, else None.
        ended: whether all of the body has been seen.
        excess: what came after the end.
    """

    length: int | None
    ended: bool
    excess: bytes

    def feed(self, data: bytes) -> bytes:
        """The content in `data`. Raises `FramingError`."""

    def at_close(self) -> bool:
        """The connection was closed cleanly: whether that completes the body."""

    def trailers(self) -> list[tuple[bytes, bytes]]:
        """Trailer fields, once the body has ended."""


class _Plain:
    """What every framing but chunked has in common."""

    __slots__ = ("ended", "excess", "length")

    length: int | None
    ended: bool
    excess: bytes

    def at_close(self) -> bool:
        return self.ended

    def trailers(self) -> list[tuple[bytes, bytes]]:
        return []


class NoBody(_Plain):
    """Responses that never have content: to HEAD, 1xx, 204, 304 (RFC 9112 section 6.3, rule 1)."""

    __slots__ = ()

    def __init__(self) -> None:
        self.length = 0
        self.ended = True
        self.excess = b""

    def feed(self, data: bytes) -> bytes:
        self.excess += data
        return b""


class Counted(_Plain):
    """Content-Length (rule 6): a connection that closes earlier leaves the body incomplete."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self.length = length
        self.ended = length == 0
        self.excess = b""
        self._left = length

    def feed(self, data: bytes) -> bytes:
        left = self._left - len(data)
        if left > 0:
            self._left = left
            return data
        self._left = 0
        self.ended = True
        if left == 0:
            return data
        self.excess += data[left:]
        return data[:left]


class UntilClose(_Plain):
    """No framing at all (rule 8): the body is what comes until the connection is closed."""

    __slots__ = ()

    def __init__(self) -> None:
        self.length = None
        self.ended = False
        self.excess = b""

    def feed(self, data: bytes) -> bytes:
        return data

    def at_close(self) -> bool:
        self.ended = True
        return True


class Chunked:
    """The chunked coding (RFC 9112 section 7.1), strictly: CRLF only, extensions dropped, trailers kept."""

    __slots__ = (
        "_left",
        "_pieces",
        "_rest",
        "_step",
        "_trailer_room",
        "_trailers",
        "ended",
        "excess",
        "length",
    )

    def __init__(self) -> None:
        self.length: int | None = None
        self.ended = False
        self.excess = b""
        self._left = 0
        self._rest = b""
        self._pieces: list[bytes] = []
        self._trailers: list[tuple[bytes, bytes]] = []
        self._trailer_room = MAX_TRAILERS
        # A plain function, not a bound method: that would be a reference cycle per response.
        self._step: Callable[[Chunked, bytes, int], int] = Chunked._size

    def feed(self, data: bytes) -> bytes:
        if self._rest:
            data, self._rest = self._rest + data, b""
        at = 0
        while not self.ended:
            then = self._step(self, data, at)
            if then < 0:
                self._rest = data[at:]
                return self._content()
            at = then
        self.excess += data[at:]
        return self._content()

    def at_close(self) -> bool:
        return self.ended

    def trailers(self) -> list[tuple[bytes, bytes]]:
        return self._trailers

    def _content(self) -> bytes:
        pieces = self._pieces
        if len(pieces) == 1:
            return pieces.pop()
        content = b"".join(pieces)
        pieces.clear()
        return content

    # Each step takes `data` from `at` and answers where the next one begins, or -1 where it needs more.

    def _size(self, data: bytes, at: int) -> int:
        end = _line_end(data, at, MAX_CHUNK_LINE)
        if end < 0:
            return -1
        line = _SIZE_LINE.fullmatch(data, at, end)
        if line is None:
            raise FramingError("a chunk size is malformed")
        self._left = int(line[1], 16)
        self._step = Chunked._data if self._left else Chunked._trailer
        return end + 2

    def _data(self, data: bytes, at: int) -> int:
        piece = data[at : at + self._left]
        if not piece:
            return -1
        self._pieces.append(piece)
        self._left -= len(piece)
        if not self._left:
            self._step = Chunked._data_end
        return at + len(piece)

    def _data_end(self, data: bytes, at: int) -> int:
        end = data[at : at + 2]
        if not b"\r\n".startswith(end):
            raise FramingError("a chunk is longer than its size says")
        if len(end) < 2:
            return -1
        self._step = Chunked._size
        return at + 2

    def _trailer(self, data: bytes, at: int) -> int:
        end = _line_end(data, at, self._trailer_room)
        if end < 0:
            return -1
        self._trailer_room -= end + 2 - at
        if end == at:
            self.ended = True
            return at + 2
        line = _TRAILER_LINE.fullmatch(data, at, end)
        if line is None:
            raise FramingError("a trailer field is malformed")
        if line[1].lower() not in _NEVER_TRAILERS:
            self._trailers.append((line[1], line[2].strip(b" \t")))
        return end + 2


def _line_end(data: bytes, at: int, limit: int) -> int:
    """Where the CRLF of the line at `at` stands, or -1 where it has not come yet."""
    end = data.find(b"\r\n", at, at + limit)
    if end < 0 and len(data) - at >= limit:
        raise FramingError("a line of the chunked coding is too long")
    return end


def bodiless(method: str, status: int) -> bool:
    """Whether a response never has content, whatever its fields say (RFC 9112 section 6.3, rule 1)."""
    return method == "HEAD" or status in (204, 304) or status < 200


def body_length(method: str, status: int, headers: CIMultiDictProxy[str]) -> int | None:
    """The size of this final response's body in bytes, None where only its end tells (RFC 9112 section 6.3).

    Raises:
        FramingError: as `body_framer`.
    """
    if (
        method == "HEAD" or status in (204, 304) or status < 200
    ):  # `bodiless`, inline: each response passes here
        return 0
    length = headers.get(hdrs.CONTENT_LENGTH)
    if length is None:
        return None
    if hdrs.TRANSFER_ENCODING in headers:
        raise FramingError("the response has both Content-Length and Transfer-Encoding")
    if len(headers.getall(hdrs.CONTENT_LENGTH)) > 1 or not (length.isascii() and length.isdigit()):
        raise FramingError("the Content-Length of the response is malformed")
    return int(length)


def body_framer(method: str, status: int, headers: CIMultiDictProxy[str]) -> Framer:
    """How the body of this final response ends (RFC 9112 section 6.3).

    Raises:
        FramingError: the framing is ambiguous or not understood: no response can be trusted then.
    """
    length = body_length(method, status, headers)
    if length is not None:
        return NoBody() if bodiless(method, status) else Counted(length)
    coding = headers.get(hdrs.TRANSFER_ENCODING)
    if coding is None:
        return UntilClose()
    # The proxy never sends TE, so the backend may use no other transfer coding (RFC 9112 section 7.4), nor
    # chunked twice (section 6.1). Another one could not be undone here, and its end not be found.
    if coding.lower() != "chunked" or len(headers.getall(hdrs.TRANSFER_ENCODING)) > 1:
        raise FramingError("the Transfer-Encoding of the response is not understood")
    return Chunked()
