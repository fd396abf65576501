"""One connection to a Redis server. Commands of one turn of the event loop leave in one write."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import hiredis

from proxy.errors import StoreUnavailable
from proxy.store.faults import Unanswered

Reply = Any  # what hiredis makes of a reply: bytes, int, None, a list of these, or a ReplyError
Done = Callable[[Reply], None]
"""Called once with the reply, or with a StoreUnavailable where there is none."""

Word = bytes | str | int

_CLOSED: Final = "The connection to Redis is closed."
_BROKEN: Final = "The connection to Redis broke."
_LATE: Final = "Redis did not answer in time."


def pack(*words: Word) -> bytes:
    """One command as it goes over the wire."""
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub wants a pair
    return packed


class Wire(asyncio.Protocol):
    """Sends commands and hands each reply to whom it belongs, in order.

    Replies come in the order of the commands, so one that is late makes all the later ones late: the
    connection is given up as a whole.

    Args:
        timeout: seconds that a reply may take.
    """

    def __init__(self, timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._waiting: deque[tuple[float, Done, Done]] = deque()  # when each reply is due, and whose it is
        self._timer: asyncio.TimerHandle | None = None
        self.closed: asyncio.Future[StoreUnavailable] = self._loop.create_future()

    def send(self, command: bytes, done: Done, refused: Done) -> None:
        """Sends one packed command. Never raises; on a closed connection `done` hears of it at once.

        Args:
            refused: gets the reply in place of `done` where it is Redis's refusal (hiredis.ReplyError).
        """
        if not self._out:  # the first one of this turn of the loop
            if self._transport is None:
                done(StoreUnavailable(_CLOSED))
                return
            self._loop.call_soon(self._flush)
            if self._timer is None:
                self._timer = self._loop.call_later(self._timeout, self._check)
        self._out.append(command)
        self._waiting.append((self._loop.time() + self._timeout, done, refused))

    async def call(self, *words: Word) -> Reply:
        """Sends one command and returns its reply.

        Raises:
            hiredis.ReplyError: Redis's refusal.
            StoreUnavailable: no reply came.
        """
        future: asyncio.Future[Reply] = self._loop.create_future()
        done = partial(settle, future)
        self.send(pack(*words), done, done)
        return await future

    def abort(self, reason: str = _CLOSED) -> None:
        """Gives the connection up; everybody still waiting hears why."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        transport.abort()
        if self._timer is not None:
            self._timer.cancel()
        self._out.clear()
        self.closed.set_result(StoreUnavailable(reason))
        waiting, self._waiting = self._waiting, deque()
        for _, done, _ in waiting:
            done(Unanswered(reason))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not checked: uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        self.abort(_BROKEN)

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False and self._waiting:
                _, done, refused = self._waiting.popleft()
                if isinstance(reply, hiredis.ReplyError):
                    refused(reply)
                else:
                    done(reply)
        except hiredis.ProtocolError:
            self.abort(_BROKEN)

    def _flush(self) -> None:
        if self._transport is not None and self._out:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def _check(self) -> None:
        """Looks at the oldest command only: the others are younger."""
        self._timer = None
        if not self._waiting:
            return
        due = self._waiting[0][0]
        if due <= self._loop.time():
            self.abort(_LATE)
        else:
            self._timer = self._loop.call_at(due, self._check)


def settle(future: asyncio.Future[Reply], reply: Reply) -> None:
    """Gives a reply to a future that may have been cancelled meanwhile."""
    if future.done():
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
    else:
        future.set_result(reply)
