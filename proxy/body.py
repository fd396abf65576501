"""A request's content: streamed on, or collected before a claim is taken.

A claim is never held at the mercy of a client's network, so a guarded write's content is read whole first:
small ones into memory, larger ones into an unlinked temporary file.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Callable
from typing import IO

from aiohttp.client_exceptions import ClientError
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestPayloadError

from proxy.errors import BodyError
from proxy.upstream import Fields

_PIECE = 1 << 16


class Body:
    """Content on its way from the client; a `proxy.upstream.Source` that can be sent once.

    Args:
        stream: aiohttp's reader of it, or None where the request has none.
        length: Content-Length, or None where it is chunked.
        limit: the most bytes that are accepted, 0 for no limit; beyond it BodyError(413).
        timeout: seconds between two pieces before BodyError(408).
        wanted: called once before the first piece is awaited: sends `100 Continue` where the client
            expects it (RFC 9110 section 10.1.1).

    Attributes:
        empty: whether the request has no content at all.
    """

    replayable = False

    def __init__(
        self,
        stream: StreamReader | None = None,
        length: int | None = 0,
        *,
        limit: int = 0,
        timeout: float = 60.0,
        wanted: Callable[[], None] | None = None,
    ) -> None:
        self._stream = None if stream is EMPTY_PAYLOAD else stream
        self.empty = self._stream is None
        self.length = length if self._stream is not None else 0
        self._limit = limit
        self._timeout = timeout
        self._wanted = wanted
        self._taken = 0
        self.started = False

    @property
    def received(self) -> int:
        """How many bytes of it have arrived so far."""
        return 0 if self._stream is None else self._stream.total_bytes

    def drop(self) -> bool:
        """Drops what has arrived and nobody wanted. True where that was the rest of it; no await."""
        stream = self._stream
        if stream is None or (stream._eof and not stream._buffer):
            return True
        return self.complete() is not None

    def complete(self) -> bytes | None:
        """All of it, where all has arrived and nobody has taken any; else None. No await."""
        stream = self._stream
        if stream is None:
            return b""
        if self.started or not stream._eof or stream._exception is not None:
            return None
        if self._limit and stream.total_bytes > self._limit:
            return None  # to be refused by whoever asks for it piece by piece
        self.started = True
        if stream._protocol._reading_paused:
            return stream.read_nowait()  # which has the parser go on
        # What `read_nowait` comes to where nothing was held up: it would run the parser again, on nothing.
        content = b"".join(stream._buffer)
        stream._buffer.clear()
        return content

    def check_length(self) -> None:
        """Refuses content whose announced length is over the limit, before any of it is read.

        Raises:
            BodyError: 413 (RFC 9110 section 15.5.14).
        """
        if self._limit and self.length is not None and self.length > self._limit:
            raise BodyError(413, f"the content is longer than the {self._limit} bytes that are accepted")

    async def collect(self, memory: int, *, hashed: bool = False) -> bytes | Spool:
        """Reads all of it: at most `memory` bytes stay in memory, longer content goes to a file.

        Args:
            hashed: whether somebody will ask a file for its `digest`.

        Raises:
            BodyError: the client left (400), was too slow (408), or sent too much (413).
        """
        self.check_length()
        whole = self.complete()
        if whole is not None:
            return whole
        pieces: list[bytes] = []
        spool: Spool | None = None
        held = 0
        try:
            async for piece in self.chunks():
                held += len(piece)
                if spool is None and held > memory:
                    spool = Spool(pieces, hashed=hashed)
                if spool is None:
                    pieces.append(piece)
                else:
                    spool.write(piece)
        except BaseException:
            if spool is not None:
                spool.close()
            raise
        return b"".join(pieces) if spool is None else spool

    async def chunks(self) -> AsyncIterator[bytes]:
        """The content, piece by piece. Raises as `collect`."""
        self.check_length()
        while (piece := await self._piece()) != b"":
            self._taken += len(piece)
            if self._limit and self._taken > self._limit:
                raise BodyError(413, f"the content is longer than the {self._limit} bytes that are accepted")
            yield piece

    async def _piece(self) -> bytes:
        if self._stream is None:
            return b""
        if not self.started:
            self.started = True
            if self._wanted is not None and not self._stream.is_eof():
                self._wanted()
        try:
            if self._stream.is_eof() or self._stream.total_bytes > self._taken:
                return await self._stream.readany()
            async with asyncio.timeout(self._timeout):
                return await self._stream.readany()
        except TimeoutError:
            raise BodyError(408, f"no content arrived for {self._timeout:g} seconds") from None
        except (RequestPayloadError, HttpProcessingError, ClientError, ConnectionError) as fault:
            raise BodyError(400, f"the content did not arrive whole: {fault}") from fault

    def trailers(self) -> Fields:
        """Always none: aiohttp's parser drops them, as RFC 9110 section 6.5.1 allows."""
        return ()


class Spool:
    """Content kept in an unlinked temporary file; a `proxy.upstream.Source` that can be sent again."""

    replayable = True

    def __init__(self, pieces: list[bytes], *, hashed: bool = False) -> None:
        self._hash = hashlib.sha256() if hashed else None
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="precondition-proxy-")  # noqa: SIM115
        self.length: int | None = 0
        for piece in pieces:
            self.write(piece)

    def write(self, piece: bytes) -> None:
        """Appends. The file is in the page cache: cheaper than a thread for each piece."""
        self._file.write(piece)
        if self._hash is not None:
            self._hash.update(piece)
        self.length = (self.length or 0) + len(piece)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The content from its beginning."""
        offset = 0
        while offset < (self.length or 0):
            self._file.seek(offset)
            piece = self._file.read(_PIECE)
            offset += len(piece)
            yield piece

    def holds(self, content: bytes) -> bool:
        """Whether it is just this."""
        if len(content) != self.length:
            return False
        self._file.seek(0)
        return self._file.read() == content

    def digest(self) -> bytes:
        """The SHA-256 of a content that was collected to be hashed."""
        assert self._hash is not None
        return self._hash.digest()

    def trailers(self) -> Fields:
        """Always none."""
        return ()

    def close(self) -> None:
        """Gives the file back to the system."""
        self._file.close()
