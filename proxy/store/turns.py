"""Waiting for a claim inside one process: first come, first served, one line for each resource.

Only the head of a line asks the store; everybody behind it waits for its turn and costs no I/O.
"""

from __future__ import annotations

import asyncio

from proxy.errors import ClaimBusy


class Turn:
    """The right to ask for, and then to hold, one resource's claim. Ends by `end`, or at `hold`'s time.

    Attributes:
        until: when, by the event loop's clock, the claim will be free at the latest; for those who wait.
        waiters: those behind it, in order of arrival.
    """

    __slots__ = ("_held", "_key", "_lines", "_timer", "until", "waiters")

    def __init__(self, lines: dict[str, Turn], key: str) -> None:
        self._lines = lines
        self._key = key
        self._held = False
        self._timer: asyncio.TimerHandle | None = None
        self.until = 0.0
        self.waiters: dict[asyncio.Future[Turn | None], None] = {}

    def hold(self, until: float) -> None:
        """Keeps the turn while the claim's lease lasts; who waits gets it at `until`, so nobody blocks it."""
        self.until = until
        self._held = True
        if self.waiters or self._timer is not None:
            self.leave()

    def awaited(self) -> None:
        """Somebody waits."""
        if self._held and self._timer is None:
            self.leave()

    def leave(self) -> None:
        """Passes the turn on when the lease is over, should nobody end it before."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(self.until, self.end)

    def end(self) -> None:
        """Passes the turn to the next. A turn that has passed on already is left alone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines.get(self._key) is not self:
            return
        if self.waiters:
            self._pass_on()
        else:
            del self._lines[self._key]

    def _pass_on(self) -> None:
        following = Turn(self._lines, self._key)
        following.until, following.waiters = self.until, self.waiters
        while following.waiters:
            waiter = next(iter(following.waiters))
            del following.waiters[waiter]
            if not waiter.done():
                self._lines[self._key] = following
                waiter.set_result(following)
                return
        del self._lines[self._key]


class Turns:
    """All lines of one process: who has the turn at a resource, and with it those who wait."""

    def __init__(self) -> None:
        self._lines: dict[str, Turn] = {}

    def begin(self, key: str) -> Turn | None:
        """The turn at `key`, or None where somebody has it now: then `wait` for it."""
        if key in self._lines:
            return None
        turn = self._lines[key] = Turn(self._lines, key)
        return turn

    async def wait(self, key: str, until: float) -> Turn:
        """Waits for a turn that somebody has, at most until that time of the event loop's clock.

        Raises:
            ClaimBusy: the time is over.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Turn | None] = loop.create_future()
        waiters = self._lines[key].waiters
        waiters[waiter] = None
        self._lines[key].awaited()
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
            waiters.pop(waiter, None)
        if turn is None:
            ahead = self._lines.get(key)
            raise ClaimBusy(max(ahead.until - loop.time(), 0.0) if ahead else 0.0)
        return turn


def _give_up(waiter: asyncio.Future[Turn | None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
