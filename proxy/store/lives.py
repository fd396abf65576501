"""Incarnations of the store: which one this process works in, for each group, and its clock (rule 6)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.errors import StoreUnavailable
from proxy.rules.base64url import base64url
from proxy.store import Stamp
from proxy.store.lua import scripts
from proxy.store.servers import Servers
from proxy.store.wire import Reply

_IDLE: Final = 10  # how many times more seldom the server's clock is looked at without traffic


@dataclass(slots=True, eq=False)
class Clock:
    """A server's clock as last seen.

    Attributes:
        groups: whose server it is.
        time: microseconds; a lower bound of the server's time now.
        seen: when that was, on the event loop's clock.
        turn: which of the groups asks next.
    """

    groups: Sequence[int]
    time: int = 0
    seen: float = 0.0
    turn: int = 0


@dataclass(slots=True, eq=False)
class Life:
    """One group's incarnation.

    Attributes:
        key: the incarnation's own key in Redis, in the group's slot.
        id: the present one; "" while it is not known.
        last: the one that this process worked in last; "" if none.
        grace_end: until when no claim is granted, in microseconds of the server's clock.
        joining: a script is on its way that finds out.
        clock: of the server that the group is on now.
        stamp: the last one that was made of its clock, for all reads until the clock is seen again.
    """

    group: int
    key: str
    id: str = ""
    last: str = ""
    grace_end: int = 0
    joining: bool = False
    clock: Clock = field(default_factory=lambda: Clock(()))
    stamp: Stamp | None = None


class Lives:
    """Joins the store's incarnation on every new connection and whenever a script finds another one.

    Args:
        servers: where the scripts run.
        prefix: of all keys.
        lease: seconds; how long an old incarnation's writers may be at work.
        deposed: seconds for which they may still begin, at a server that is the master no more.
        grace: seconds that even a first start waits.
        chance: source of names.
        tick: seconds between two looks at the server's clock under traffic.
        joined: called with a group's life whenever its incarnation is known again.

    Attributes:
        groups: the life of each group.
        busy: there was traffic since the last look at the clock.
        now, future: the event loop's time, and a new future of it; the loop is looked up once (a system call
            each time before Python 3.12).
    """

    def __init__(
        self,
        servers: Servers,
        *,
        prefix: str,
        lease: float,
        deposed: float,
        grace: float,
        chance: random.Random,
        tick: float,
        joined: Callable[[Life], None],
    ) -> None:
        self._servers = servers
        self._waits = (round((lease + deposed) * 1e6), round(grace * 1e6), round(deposed * 1e6))
        self._chance = chance
        self._tick_seconds = tick
        self._joined = joined
        self.groups = [Life(group, f"{prefix}:{{{group}}}:incarnation") for group in range(servers.groups)]
        self.now: Callable[[], float] = self._first_now
        self.future: Callable[[], asyncio.Future[Any]] = self._first_future
        self._timer: asyncio.TimerHandle | None = None
        self.busy = False
        self._all_joined = asyncio.Event()

    def open(self) -> None:
        self._servers.open(self._connected)
        self._schedule()

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._servers.close()

    async def wait_joined(self) -> None:
        """Returns when the incarnation of every group is known."""
        await self._all_joined.wait()

    def left(self, life: Life, clock: Clock, believed: str) -> None:
        """A script found another incarnation than the one that it was sent for.

        Args:
            clock: the group's when the script was sent; where the group has moved to another server since,
                it is known already.
        """
        if believed == life.id and clock is life.clock:
            life.id = ""
            # What its server said of itself when the connection came up may not be so any more: two processes
            # of which each believed something else would end each other's incarnations for ever.
            self._servers.introduce(life.group)

    def used(self) -> None:
        """There is traffic: look at the clock more often."""
        if not self.busy:
            self.busy = True
            if self._timer is not None and self._timer.when() - self.now() > self._tick_seconds:
                self._timer.cancel()
                self._timer = asyncio.get_running_loop().call_later(0, self._tick)

    def grace_left(self) -> float:
        """Seconds until the last group's grace is over; 0.0 where none is."""
        return max(self._grace_left(life) for life in self.groups)

    def strangers(self) -> list[Life]:
        """The groups whose incarnation is not known now."""
        return [life for life in self.groups if not life.id]

    def _grace_left(self, life: Life) -> float:
        passed = self.now() - life.clock.seen
        return max((life.grace_end - life.clock.time) / 1e6 - passed, 0.0)

    def _connected(self, groups: Sequence[int], run_id: str, epoch: int) -> None:
        clock = Clock(groups)
        for group in groups:
            life = self.groups[group]
            life.id, life.clock, life.joining = "", clock, True
            self._join(life, run_id, epoch)

    def _join(self, life: Life, run_id: str, epoch: int) -> None:
        self._all_joined.clear()
        clock = life.clock
        lease, grace, deposed = self._waits
        name = base64url(self._chance.getrandbits(48).to_bytes(6, "big"))

        def answered(reply: Reply) -> None:
            if life.clock is clock:  # else a newer connection asks for itself
                life.joining = False
                if not isinstance(reply, StoreUnavailable):
                    self._adopt(life, reply)

        self._servers.send(
            life.group,
            scripts()["incarnate"],
            (life.key,),
            (run_id, life.last, name, lease, grace, epoch, deposed),
            answered,
        )

    def _adopt(self, life: Life, reply: list[Reply]) -> None:
        life.clock.time, life.clock.seen = reply[0], self.now()
        life.id = life.last = reply[1].decode()
        life.grace_end = reply[2]
        if not self.strangers():
            self._all_joined.set()
        self._joined(life)

    def _schedule(self) -> None:
        pause = self._tick_seconds if self.busy or self.strangers() else self._tick_seconds * _IDLE
        self.busy = False
        self._timer = asyncio.get_running_loop().call_later(pause, self._tick)

    def _tick(self) -> None:
        for clock in dict.fromkeys(life.clock for life in self.groups):
            if clock.groups:
                clock.turn = (clock.turn + 1) % len(clock.groups)
                self._look_at_clock(self.groups[clock.groups[clock.turn]])
        for life in self.strangers():
            if not life.joining and self._servers.fault(life.group) is None:
                self._servers.introduce(life.group)
        self._schedule()

    def _look_at_clock(self, life: Life) -> None:
        """Costs no more than TIME, and notices an emptied store though nobody writes."""
        believed, clock = life.id, life.clock
        if not believed:
            return

        def answered(reply: Reply) -> None:
            if isinstance(reply, StoreUnavailable):
                return
            clock.time, clock.seen = reply[0], self.now()
            if reply[1] == b"incarnation":
                self.left(life, clock, believed)

        keys = (life.key, life.key)
        self._servers.send(life.group, scripts()["tick"], keys, (believed, 0), answered)

    def _first_now(self) -> float:
        self._know_loop()
        return self.now()

    def _first_future(self) -> asyncio.Future[Any]:
        self._know_loop()
        return self.future()

    def _know_loop(self) -> None:
        loop = asyncio.get_running_loop()
        self.now, self.future = loop.time, loop.create_future
