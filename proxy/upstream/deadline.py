"""One lazy timer: setting a deadline is setting an attribute, and the timer looks at it when it goes off."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

NEVER: Final = math.inf


class Deadline:
    """Calls `expired` when a deadline that can be moved at no cost has passed.

    A timer of the event loop per request would be made and cancelled each time. This one is made anew only
    where a deadline is nearer than the timer that is running: usually once per `timeout`.

    Attributes:
        at: expires at this `loop.time()`; to be set to `NEVER`, or to any time that is not before `due`.
        due: when the timer goes off that is running, `NEVER` where none is.
    """

    __slots__ = ("_expired", "_loop", "_timer", "at", "due")

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._expired = expired
        self.at = NEVER
        self.due = NEVER
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: float) -> None:
        """Expire at this `loop.time()`."""
        self.at = at
        if at < self.due:
            if self._timer is not None:
                self._timer.cancel()
            self._start(at)

    def within(self, seconds: float) -> None:
        """Expire this many seconds from now."""
        self.set(self._loop.time() + seconds)

    def stop(self) -> None:
        """Do not expire, and leave nothing behind in the event loop."""
        self.at = self.due = NEVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self, at: float) -> None:
        self.due = at
        self._timer = self._loop.call_at(at, self._look)

    def _look(self) -> None:
        self._timer, self.due = None, NEVER
        if self._loop.time() >= self.at:
            self.at = NEVER
            self._expired()
        elif self.at != NEVER:
            self._start(self.at)
