"""Sends a request body that comes piece by piece, while its answer is awaited already."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from proxy.errors import BodyError
from proxy.upstream import Source
from proxy.upstream.head import last_chunk


class Outlet(Protocol):
    """Where the pieces go.

    Attributes:
        wanted: whether the answer is still to come; an early one makes the rest of the body needless.
    """

    @property
    def wanted(self) -> bool: ...

    def write(self, data: bytes) -> None:
        """Sends without waiting."""

    async def room(self) -> None:
        """Waits while the backend does not read; the time that it has for this is bounded."""

    def sent(self) -> None:
        """All is written: from now on the backend has its time to answer."""


async def send_source(source: Source, outlet: Outlet) -> None:
    """Writes the content in the framing that its length calls for (RFC 9112 section 6).

    Raises:
        BodyError: the content is not what was announced, or the client does not deliver it. What was written
            is then an incomplete message, to be ended by closing the connection (RFC 9112 section 8).
    """
    left = source.length
    pieces = source.chunks()
    try:
        left = await _send_pieces(pieces, left, outlet)
    finally:
        if (close := getattr(pieces, "aclose", None)) is not None:
            await close()
    if not outlet.wanted:
        return
    if left:
        raise BodyError(400, "the request body is shorter than was said")
    if left is None:
        outlet.write(last_chunk(source.trailers()))
    outlet.sent()


async def _send_pieces(pieces: AsyncIterator[bytes], left: int | None, outlet: Outlet) -> int | None:
    async for piece in pieces:
        if not outlet.wanted:
            break
        if left is not None:
            left -= len(piece)
            if left < 0:
                raise BodyError(400, "the request body is longer than was said")
        if piece:  # an empty chunk would be the last one
            outlet.write(piece if left is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
            await outlet.room()
    return left
