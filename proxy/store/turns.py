"""Waiting for a claim inside one process: first come, first served, one line for each resource.

Only the head of a line asks the store; everybody behind it waits for its turn and costs no I/O.
"""

from __future__ import annotations

import asyncio

from proxy.errors import ClaimBusy


class Turn:
    """The right to ask for, and then to hold, one resource's claim. Ends by `end`, or at `hold`'s time."""

    __slots__ = ("_held", "_line", "_timer")

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._held = False
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, until: float) -> None:
        """Says when, by the event loop's clock, the claim will be free at the latest; for those who wait."""
        self._line.until = until

    def hold(self, until: float) -> None:
        """Keeps the turn while the claim's lease lasts; who waits gets it at `until`, so nobody blocks it."""
        self._line.until = until
        self._held = True
        if self._line.waiters or self._timer is not None:
            self.leave()

    def awaited(self) -> None:
        """Somebody waits."""
        if self._held and self._timer is None:
            self.leave()

    def leave(self) -> None:
        """Passes the turn on when the lease is over, should nobody end it before."""
        self._disarm()
        self._timer = self._line.loop.call_at(self._line.until, self.end)

    def end(self) -> None:
        """Passes the turn to the next. A turn that has passed on already is left alone."""
        self._disarm()
        if self._line.turn is self:
            self._line.next()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Line:
    """Who has the turn at one resource, and who waits for it, in order of arrival."""

    __slots__ = ("_key", "_lines", "loop", "turn", "until", "waiters")

    def __init__(self, lines: dict[str, _Line], key: str, loop: asyncio.AbstractEventLoop) -> None:
        self._lines = lines
        self.loop = loop
        self._key = key
        self.turn: Turn | None = None
        self.until = 0.0
        self.waiters: dict[asyncio.Future[Turn | None], None] = {}

    def begin(self) -> Turn:
        self.turn = Turn(self)
        return self.turn

    def next(self) -> None:
        self.turn = None
        while self.waiters:
            waiter = next(iter(self.waiters))
            del self.waiters[waiter]
            if not waiter.done():
                waiter.set_result(self.begin())
                return
        del self._lines[self._key]


class Turns:
    """All lines of one process."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def taken(self, key: str) -> bool:
        """Whether somebody has the turn at `key` now."""
        return key in self._lines

    async def take(self, key: str, until: float) -> Turn:
        """Waits for the turn at `key`, at most until that time of the event loop's clock.

        Raises:
            ClaimBusy: the time is over.
        """
        line = self._lines.get(key)
        if line is None:
            if self._loop is None:  # looked up once: a system call each time before Python 3.12
                self._loop = asyncio.get_running_loop()
            line = self._lines[key] = _Line(self._lines, key, self._loop)
            return line.begin()
        return await _wait(line, until)


async def _wait(line: _Line, until: float) -> Turn:
    loop = line.loop
    waiter: asyncio.Future[Turn | None] = loop.create_future()
    line.waiters[waiter] = None
    if line.turn is not None:
        line.turn.awaited()
    timer = loop.call_at(until, _give_up, waiter)
    try:
        turn = await waiter
    except asyncio.CancelledError:
        # The turn may have come in the very moment of the cancellation: then it passes on.
        if not waiter.cancelled() and (turn := waiter.result()) is not None:
            turn.end()
        raise
    finally:
        timer.cancel()
        line.waiters.pop(waiter, None)
    if turn is None:
        raise ClaimBusy(max(line.until - loop.time(), 0.0))
    return turn


def _give_up(waiter: asyncio.Future[Turn | None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
