"""An event loop with virtual time, in which a seed decides who runs next.

Every simulated process is a lane. Callbacks of one lane run in the order in which asyncio promises it;
between lanes the seed chooses. A lane can stall (its loop does not run for a while) and die (nothing of it
ever runs again: no `finally`, no cleanup), as processes do.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import random
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

_LANE: contextvars.ContextVar[Lane | None] = contextvars.ContextVar("lane", default=None)


_MOST_STEPS: Final = 3_000_000


class Endless(Exception):
    """The world goes round and round: far more happened than can have been meant to."""


class Lane:
    """One simulated process, or the world around them all.

    Attributes:
        name: for stories.
        alive: whether its callbacks still run.
        wakes: until when it stalls.
    """

    def __init__(self, loop: Clockwork, name: str) -> None:
        self._loop = loop
        self.name = name
        self.alive = True
        self.wakes = 0.0
        self.ready: deque[asyncio.Handle] = deque()
        self._context = contextvars.copy_context()
        self._context.run(_LANE.set, self)

    @property
    def context(self) -> contextvars.Context:
        """In which everything of this lane runs."""
        return self._context.copy()

    def start(self, coroutine: Coroutine[Any, Any, Any], name: str = "") -> asyncio.Task[Any]:
        """A task of this lane."""
        return self._loop.create_task(coroutine, name=name or self.name, context=self.context)

    def later(self, delay: float, call: Callable[..., object], *arguments: Any) -> asyncio.TimerHandle:
        """A callback of this lane."""
        return self._loop.call_later(delay, call, *arguments, context=self.context)

    def stall(self, seconds: float) -> None:
        """Does not run for a while; what becomes due meanwhile waits."""
        self.wakes = max(self.wakes, self._loop.time() + seconds)

    def die(self) -> None:
        """Never runs again."""
        self.alive = False
        self.ready.clear()


class Clockwork(asyncio.BaseEventLoop):
    """The loop.

    Args:
        chance: chooses between lanes.
    """

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self._now = 0.0
        self._lanes: list[Lane] = []
        self.steps = 0
        self.tasks: list[asyncio.Task[Any]] = []
        self.set_task_factory(self._task)
        self.faults: list[dict[str, Any]] = []
        self.world = self.lane("world")
        self.set_exception_handler(lambda _, context: self.faults.append(context))

    def restart(self) -> None:
        """Forgets tasks that are done, and how much has happened."""
        self.tasks = [task for task in self.tasks if not task.done()]
        self._lanes = [lane for lane in self._lanes if not lane.name.startswith("client")]
        self.steps = 0

    def lane(self, name: str) -> Lane:
        """A new process."""
        lane = Lane(self, name)
        self._lanes.append(lane)
        return lane

    def _task(self, _loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> asyncio.Task[Any]:
        """Keeps every task until the end: that of a dead process must not meet the garbage collector."""
        task = asyncio.Task(coroutine, loop=self, **more)
        self.tasks.append(task)
        return task

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        self._sort()
        while not (runnable := [lane for lane in self._lanes if lane.ready and lane.wakes <= self._now]):
            if self._stopping:  # type: ignore[attr-defined]
                return
            self._advance()
        lane = runnable[0] if len(runnable) == 1 else self._chance.choice(runnable)
        handle = lane.ready.popleft()
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise Endless
        if not handle.cancelled():
            handle._run()

    def _sort(self) -> None:
        """Gives every callback that is ready to its lane."""
        ready: deque[asyncio.Handle] = self._ready  # type: ignore[attr-defined]
        while ready:
            self._give(ready.popleft())

    def _give(self, handle: asyncio.Handle) -> None:
        lane = handle._context.get(_LANE) or self.world  # type: ignore[attr-defined]
        if lane.alive:
            lane.ready.append(handle)

    def _advance(self) -> None:
        """Moves the clock to the next thing that happens."""
        timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        wakes = [lane.wakes for lane in self._lanes if lane.ready and lane.wakes > self._now]
        due = min([*wakes, timers[0].when()] if timers else wakes, default=None)
        assert due is not None, "nothing will ever happen again"
        self._now = max(self._now, due)
        while timers and timers[0].when() <= self._now:
            timer = heapq.heappop(timers)
            timer._scheduled = False  # type: ignore[attr-defined]
            if not timer.cancelled():
                self._give(timer)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """asyncio: it stays in the heap until its time."""

    def _write_to_self(self) -> None:
        """asyncio: there is no other thread."""
