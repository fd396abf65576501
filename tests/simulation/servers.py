"""The way from a simulated process to the simulated Redis: `proxy.store.servers.Servers` without sockets.

It behaves as `proxy.store.link` does on a real connection: replies come in the order of the calls, a late one
gives the connection up, and what was under way on a broken connection may have been done, or may be yet.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from proxy.errors import StoreUnavailable
from proxy.store.faults import Unanswered
from proxy.store.link import Info
from proxy.store.lua import Script
from proxy.store.servers import Up
from proxy.store.wire import Done, Word
from simulation.clockwork import Clockwork, Lane
from simulation.small_redis import SmallRedis

Tell = Callable[..., None]


class Machine:
    """One Redis server, and everything that can befall it.

    Attributes:
        run_id: of the server process.
        epoch: the sentinels' that made it the master.
        up: whether there is a server process.
        resumes: until when it is paused.
    """

    def __init__(
        self, loop: Clockwork, chance: random.Random, name: str, tell: Tell, mutate: Callable[[bytes], bytes]
    ) -> None:
        self.loop = loop
        self.name = name
        self._chance = chance
        self._tell = tell
        self._offset = 1_700_000_000_000_000
        self.data = SmallRedis(self.clock, mutate)
        self.runs = 0
        self.run_id = "run0"
        self.epoch = 0
        self.up = True
        self.resumes = 0.0
        self.wires: list[Wire] = []
        self._snapshot = self.data.snapshot()

    def clock(self) -> int:
        """Microseconds since the epoch."""
        return self._offset + round(self.loop.time() * 1e6)

    def pause(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT later: what arrives meanwhile is done then."""
        self._tell("redis", f"{self.name} is paused for {seconds:.2f} s")
        self.resumes = self.loop.time() + seconds

    def flush(self) -> None:
        """FLUSHALL: the connections stay, the run_id too."""
        self._tell("redis", f"{self.name} is emptied")
        self.data.flush()

    def save(self) -> None:
        """BGSAVE."""
        self._snapshot = self.data.snapshot()

    def restart(self, *, keep: bool, downtime: float) -> None:
        """Another process takes over, empty or with an old snapshot: a restart, or a fail-over.

        With a snapshot it may be the very process that was the master before, and never knew that it was not.
        """
        self._tell("redis", f"{self.name} is restarted {'with an old snapshot' if keep else 'empty'}")
        self.up = False
        for wire in list(self.wires):
            wire.cut("the server ended")
        self.loop.world.later(downtime, self._start, keep)

    def _start(self, keep: bool) -> None:
        self.runs += 1
        if keep and self._chance.random() < 0.5:
            self.epoch += 2  # a fail-over there, and one back
        else:
            self.run_id = f"run{self.runs}"
            self._offset += self._chance.randrange(-3_000_000, 3_000_000)  # another machine, another clock
        self.data.flush()
        if keep:
            self.data.load(self._snapshot)
        self.up, self.resumes = True, 0.0
        self._tell("redis", f"{self.name} serves as {self.run_id} of epoch {self.epoch}")


class Wire:
    """One connection of one process to one machine."""

    def __init__(self, machine: Machine, lane: Lane, owner: Line) -> None:
        self._machine = machine
        self._lane = lane
        self._owner = owner
        self.open = True
        self._server_run = machine.runs
        self._waiting: deque[tuple[Done, asyncio.TimerHandle]] = deque()
        # Nothing overtakes anything on a connection: an event takes what is first, not what it was made for.
        self._calls: deque[tuple[Script, Sequence[Word], Sequence[Word]]] = deque()
        self._replies: deque[Any] = deque()
        self._arrives = self._returns = 0.0
        machine.wires.append(self)

    def send(self, script: Script, keys: Sequence[Word], arguments: Sequence[Word], done: Done) -> None:
        loop, owner = self._machine.loop, self._owner
        self._waiting.append((done, self._lane.later(owner.timeout, self.cut, "no answer in time")))
        self._calls.append((script, keys, arguments))
        self._arrives = max(self._arrives, loop.time() + owner.delay())
        loop.call_at(self._arrives, self._arrived, context=loop.world.context)

    def _arrived(self) -> None:
        """At the server, whatever has become of the connection at the other end."""
        machine, loop = self._machine, self._machine.loop
        if not machine.up or machine.runs != self._server_run:
            return
        if machine.resumes > loop.time():
            self._arrives = max(self._arrives, machine.resumes)
            loop.call_at(machine.resumes, self._arrived, context=loop.world.context)
            return
        script, keys, arguments = self._calls.popleft()
        reply = machine.data.run(script.source, keys, arguments)
        if script.name != "tick":
            shown = [str(_plain(word)) for word in (*keys[:1], *arguments[2:])]
            self._owner.tell(self._lane.name, f"{script.name} {' '.join(shown)} -> {_plain(reply)}")
        self._replies.append(reply)
        self._returns = max(self._returns, loop.time() + self._owner.delay())
        loop.call_at(self._returns, self._answered, context=self._lane.context)

    def _answered(self) -> None:
        reply = self._replies.popleft()
        if self.open and self._waiting:
            done, timer = self._waiting.popleft()
            timer.cancel()
            done(reply)

    def cut(self, reason: str) -> None:
        """The connection is no more; whoever waits hears so, in its own process."""
        if not self.open:
            return
        self.open = False
        self._machine.wires.remove(self)
        self._lane.later(0.0, self._lost, reason)

    def _lost(self, reason: str) -> None:
        waiting, self._waiting = self._waiting, deque()
        self._owner.lost(self, reason)
        for done, timer in waiting:
            timer.cancel()
            done(Unanswered(reason))


class Line:
    """Keeps a process connected to one machine."""

    def __init__(self, servers: SimulatedServers, machine: Machine, groups: Sequence[int]) -> None:
        self._servers = servers
        self._machine = machine
        self._groups = groups
        self.wire: Wire | None = None
        self._asking: Wire | None = None
        self.fault = StoreUnavailable("Redis is not connected yet.")
        self.timeout = servers.timeout
        self.delay = servers.delay
        self.tell = servers.tell
        self._closed = False

    def start(self) -> None:
        self._servers.lane.later(self._servers.delay(), self._connect)

    def close(self) -> None:
        self._closed = True
        if self.wire is not None:
            self.wire.cut("closed")

    def lost(self, wire: Wire, reason: str) -> None:
        if self.wire is wire:
            self.wire = None
            self.fault = StoreUnavailable(reason)
            self._servers.lane.later(0.02, self._connect)

    def introduce(self) -> None:
        """INFO; a connection that breaks meanwhile is followed by a new one that asks too."""
        if self.wire is not None and self._asking is not self.wire:
            self._asking = self.wire
            self._servers.lane.later(self._servers.delay(), self._introduced, self.wire)

    def _introduced(self, wire: Wire) -> None:
        self._asking = None
        if wire is self.wire and wire.open:
            self._servers.up(self._groups, self._machine.run_id, self._machine.epoch)

    def _connect(self) -> None:
        machine, loop = self._machine, self._machine.loop
        if self._closed or self.wire is not None:
            return
        if not machine.up or machine.resumes > loop.time() or self._servers.cut_off > loop.time():
            self.fault = StoreUnavailable("Redis cannot be reached.")
            self._servers.lane.later(0.1, self._connect)
            return
        self.wire = Wire(machine, self._servers.lane, self)
        self._servers.up(self._groups, machine.run_id, machine.epoch)


class SimulatedServers:
    """The store's door to Redis.

    Args:
        lane: whose connections they are.
        machines: the servers; groups are spread over them.
        timeout: seconds that a reply may take.

    Attributes:
        cut_off: until when this process cannot connect.
    """

    def __init__(
        self,
        lane: Lane,
        machines: Sequence[Machine],
        chance: random.Random,
        tell: Tell,
        timeout: float,
    ) -> None:
        self.groups = len(machines)
        self.lane = lane
        self.timeout = timeout
        self.tell = tell
        self._chance = chance
        self.cut_off = 0.0
        self.lines = [Line(self, machine, (group,)) for group, machine in enumerate(machines)]

    def delay(self) -> float:
        """How long a message takes. Most take nearly no time, few take long."""
        return 10 ** self._chance.uniform(-4.0, -1.3 if self._chance.random() < 0.1 else -2.5)

    def open(self, up: Up) -> None:
        self.up = up
        for line in self.lines:
            line.start()

    async def close(self) -> None:
        for line in self.lines:
            line.close()

    def cut(self, seconds: float) -> None:
        """Breaks all connections; new ones are refused for a while."""
        self.cut_off = self.lane._loop.time() + seconds
        for line in self.lines:
            if line.wire is not None:
                line.wire.cut("The connection to Redis broke.")

    def send(
        self, group: int, script: Script, keys: Sequence[Word], arguments: Sequence[Word], done: Done
    ) -> None:
        line = self.lines[group]
        if line.wire is None or not line.wire.open:
            done(line.fault)
        else:
            line.wire.send(script, keys, arguments, done)

    def fault(self, group: int) -> StoreUnavailable | None:
        line = self.lines[group]
        return None if line.wire is not None else line.fault

    def introduce(self, group: int) -> None:
        self.lines[group].introduce()

    async def infos(self) -> list[Info]:
        return [Info("simulated", "7.0.0", "master", 0, "noeviction")]


def _plain(word: Any) -> Any:
    if isinstance(word, bytes):
        text = word.decode("utf-8", "replace")
        return text if text.isprintable() else f"({len(word)} bytes)"
    if isinstance(word, list):
        return [_plain(one) for one in word[1:]]
    return word
