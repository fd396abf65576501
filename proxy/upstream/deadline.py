"""One lazy timer: setting a deadline is setting an attribute, and the timer looks at it when it goes off."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable


class Deadline:
    """Calls `expired` when a deadline that can be moved at no cost has passed.

    A timer of the event loop per request would be made and cancelled each time. This one is made anew only
    where a deadline is nearer than the timer that is running: usually once per `timeout`.
    """

    __slots__ = ("_at", "_expired", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: float) -> None:
        """Expire at this `loop.time()`."""
        self._at = at
        timer = self._timer
        if timer is not None:
            if timer.when() <= at:
                return
            timer.cancel()
        self._timer = self._loop.call_at(at, self._look)

    def within(self, seconds: float) -> None:
        """Expire this many seconds from now."""
        self.set(self._loop.time() + seconds)

    def clear(self) -> None:
        """Do not expire. The timer may go on running."""
        self._at = math.inf

    def stop(self) -> None:
        """Do not expire, and leave nothing behind in the event loop."""
        self._at = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._loop.time() >= self._at:
            self._at = math.inf
            self._expired()
        elif self._at != math.inf:
            self._timer = self._loop.call_at(self._at, self._look)
