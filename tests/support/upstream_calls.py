"""Request bodies for the tests of the upstream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from proxy.upstream import Call, Fields


class Pieces:
    """A `proxy.upstream.Source` of given pieces; `before` runs before each is handed out."""

    def __init__(
        self,
        pieces: Sequence[bytes],
        *,
        length: int | None = None,
        trailers: Fields = (),
        replayable: bool = True,
        before: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        self.length = length
        self.replayable = replayable
        self.handed_out = 0
        self.closed = 0
        self._pieces = pieces
        self._trailers = trailers
        self._before = before

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            for number, piece in enumerate(self._pieces):
                if self._before is not None:
                    await self._before(number)
                self.handed_out += 1
                yield piece
        finally:
            self.closed += 1

    def trailers(self) -> Fields:
        return self._trailers


def get(target: bytes = b"/", *fields: tuple[bytes, bytes]) -> Call:
    return Call("GET", target, [(b"Host", b"backend"), *fields])


def put(body: bytes | Pieces = b"x", method: str = "PUT") -> Call:
    return Call(method, b"/", [(b"Host", b"backend")], body)
