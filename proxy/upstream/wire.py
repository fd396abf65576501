"""A transport with its flow control, both ways, and its one deadline. Knows nothing of HTTP."""

from __future__ import annotations

import asyncio
from typing import cast

from proxy.upstream.deadline import NEVER, Deadline


class Wire(asyncio.Protocol):
    """What a connection is made of: writing, pausing, closing, and the time that the backend has.

    Attributes:
        transport: asyncio's; None until it is connected.
        gone: whether the wire is of no more use, as far as is known here.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.transport: asyncio.Transport | None = None
        self.gone = False
        self._deadline = Deadline(loop, self._expired)
        self._timeout = 0.0
        self._reading = True
        self._writable = True
        self._drained: asyncio.Future[None] | None = None

    @property
    def usable(self) -> bool:
        """Whether it still stands, as far as is known here."""
        return not self.gone and self.transport is not None and not self.transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: connected."""
        self.transport = cast(asyncio.Transport, transport)

    def write(self, data: bytes) -> None:
        """Sends without waiting; nothing where the connection is gone, which is told elsewhere."""
        if self.transport is not None and not self.gone:
            self.transport.write(data)

    async def room(self) -> None:
        """Waits while the backend does not read."""
        if self._writable or self.gone:
            return
        # Only here the backend is waited for; the time until the client's next piece is not its fault.
        self._deadline.within(self._timeout)
        self._drained = self._loop.create_future()
        await self._drained
        if not self.gone:
            self._deadline.at = NEVER

    def pause_writing(self) -> None:
        """asyncio: the backend does not read fast enough."""
        self._writable = False

    def resume_writing(self) -> None:
        """asyncio: it does again."""
        self._writable = True
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def watch(self, seconds: float) -> None:
        """Something must arrive within this time."""
        self._deadline.within(seconds)

    def unwatch(self) -> None:
        """Nobody waits for anything now."""
        self._deadline.at = NEVER

    def _pause(self) -> None:
        if self._reading and self.transport is not None:
            self._reading = False
            self.transport.pause_reading()

    def resume(self) -> None:
        """Reads on, where reading was paused."""
        if not self._reading and self.transport is not None:
            self._reading = True
            self.transport.resume_reading()

    def close(self) -> None:
        """Closes the connection in order; only for one that has nothing left to send."""
        self._leave()
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Closes the connection at once, whatever is under way on it."""
        self._leave()
        if self.transport is not None:
            self.transport.abort()

    def _leave(self) -> None:
        self._deadline.stop()
        self._lost()

    def _lost(self) -> None:
        """The wire is of no more use. May be called more than once."""
        raise NotImplementedError

    def _expired(self) -> None:
        """The deadline has passed."""
        raise NotImplementedError
