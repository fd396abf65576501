"""A simulated legacy backend, and the way to it: `proxy.upstream.Upstream` without sockets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

from multidict import CIMultiDict, CIMultiDictProxy

from proxy.errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from proxy.upstream import Call, Fields, Tunnel
from simulation.clockwork import Clockwork
from simulation.history import Effect, History, State

_SAFE = frozenset({"GET", "HEAD"})


@dataclass
class Habits:
    """What this backend does, and how badly.

    Attributes:
        tags: whether it sends ETag.
        work: seconds that it works on a request at most, while somebody waits for the answer.
        lingers: seconds that it goes on working at most, once its sender gave up waiting.
        survives: the same, once its sender died.
        slow: how often it takes its time.
        breaks: how often the connection breaks.
        hangs: how often it works for longer than anybody waits.
        connects: how often a request needs a new connection, which takes a while.
    """

    tags: bool
    work: float
    lingers: float
    survives: float
    slow: float = 0.2
    breaks: float = 0.0
    hangs: float = 0.0
    connects: float = 0.3


@dataclass(eq=False)
class Job:
    """One request in the backend."""

    call: Call
    resource: str
    write: str
    due: float
    answer: asyncio.Future[SimulatedReply | None]
    done: bool = False
    gone: bool = False
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)


class Backend:
    """Stores whatever it is sent, and looks at no condition."""

    def __init__(
        self,
        loop: Clockwork,
        chance: random.Random,
        habits: Habits,
        history: History,
        tell: Callable[..., None],
    ) -> None:
        self._loop = loop
        self._chance = chance
        self.habits = habits
        self._history = history
        self._tell = tell
        self.states: dict[str, State] = dict(history.first)
        self.refuses = 0.0  # until when
        self.jobs: set[Job] = set()

    def mend(self) -> None:
        """From here on it is quick and reliable."""
        habits = self.habits
        habits.slow = habits.breaks = habits.hangs = habits.connects = self.refuses = 0.0

    def arrive(self, call: Call, due: float) -> Job:
        """A request is here: decides what will become of it.

        Args:
            due: when its sender gives up waiting, unless it is stopped.
        """
        loop, habits = self._loop, self.habits
        answer: asyncio.Future[SimulatedReply | None] = loop.create_future()
        body = call.body if isinstance(call.body, bytes) else b""
        job = Job(call, call.target.decode(), body.decode(), due, answer)
        job.write = dict(_fields(call)).get(b"X-Write", b"").decode()
        self.jobs.add(job)
        if call.method not in _SAFE:
            self._tell("backend", f"{job.write} ({call.method} {job.resource}) arrives")
        if self._chance.random() < habits.hangs:
            job.timer = loop.world.later(habits.work, self._overdue, job)
        elif self._chance.random() < habits.breaks:
            self._break(job)
        else:
            job.timer = loop.world.later(self._takes(), self._carry_out, job)
        return job

    def leave(self, job: Job, *, crashed: bool = False) -> None:
        """The sender is gone. The backend may go on for a while, or stop."""
        if job.done or job.gone:
            return
        job.gone = True
        if job.timer is not None:
            job.timer.cancel()
        if self._chance.random() < 0.3:
            job.done = True
            self.jobs.discard(job)
            return
        now, habits = self._loop.time(), self.habits
        # Of a sender that was stopped, the time counts from when it would have given up.
        left = max(min(now, job.due) + (habits.survives if crashed else habits.lingers) - now, 0.0)
        near = left * (1 - 10 ** self._chance.uniform(-3, 0))
        job.timer = self._loop.world.later(
            self._chance.choice([near, left * 0.999, 0.0]), self._carry_out, job
        )

    def _takes(self) -> float:
        if self._chance.random() < self.habits.slow:
            return self._chance.uniform(0.0, self.habits.work * 0.999)
        return 10 ** self._chance.uniform(-4, -2)

    def _overdue(self, job: Job) -> None:
        """Nobody gave up on it though it took this long: it ends now."""
        self._carry_out(job)

    def _break(self, job: Job) -> None:
        """The connection breaks before, or after, or without the effect."""
        when = self._takes()
        job.timer = self._loop.world.later(when, self._broken, job)

    def _broken(self, job: Job) -> None:
        if self._chance.random() < 0.4:
            self._apply(job)
            job.done = True
            self.jobs.discard(job)
        self._settle(job, None)

    def _carry_out(self, job: Job) -> None:
        if job.done:
            return
        job.done = True
        self.jobs.discard(job)
        reply = self._apply(job)
        if not job.gone:
            self._loop.world.later(
                self._takes() if self._chance.random() < 0.1 else 0.0, self._settle, job, reply
            )

    @staticmethod
    def _settle(job: Job, reply: SimulatedReply | None) -> None:
        if not job.answer.done():
            job.answer.set_result(reply)

    def _apply(self, job: Job) -> SimulatedReply:
        resource, method = job.resource, job.call.method
        before = self.states.get(resource)
        if method in _SAFE:
            return self._show(before)
        after = None if method == "DELETE" else job.write
        if method == "DELETE" and before is None:
            return SimulatedReply(404, [], b"")
        self.states[resource] = after
        self._history.effects.append(Effect(job.write, resource, method, before, after, self._loop.time()))
        self._tell("backend", f"{job.write} ({method} {resource}) takes effect over {before}")
        fields = self._validators(after) if method == "PUT" else []
        return SimulatedReply(204 if before else 201, fields, b"")

    def _show(self, state: State) -> SimulatedReply:
        if state is None:
            return SimulatedReply(404, [], b"")
        return SimulatedReply(200, self._validators(state), state.encode())

    def _validators(self, state: State) -> list[tuple[bytes, bytes]]:
        return [(b"ETag", f'"{state}"'.encode())] if self.habits.tags and state else []


class SimulatedReply:
    """A response whose body is there at once."""

    def __init__(self, status: int, fields: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.reason = "Whatever"
        self.fields: Fields = [*fields, (b"Content-Length", b"%d" % len(body))]
        self.headers = CIMultiDictProxy(
            CIMultiDict([(name.decode(), value.decode()) for name, value in self.fields])
        )
        self.length: int | None = len(body)
        self.sent_at = 0.0
        self._body = body

    def ready(self) -> bytes | None:
        return self._body

    async def read(self, limit: int) -> bytes | None:
        return self._body if len(self._body) <= limit else None

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body

    def trailers(self) -> Fields:
        return ()

    def tunnel(self) -> Tunnel:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing to give up."""


class SimulatedUpstream:
    """One process's way to the backend.

    Args:
        timeout: seconds from `send` to the answer.
        connect: seconds for connecting at most.
    """

    def __init__(
        self,
        loop: Clockwork,
        backend: Backend,
        chance: random.Random,
        *,
        timeout: float,
        connect: float,
    ) -> None:
        self._loop = loop
        self._backend = backend
        self._chance = chance
        self._timeout = timeout
        self._connect = connect
        self.jobs: set[Job] = set()

    async def send(self, call: Call) -> SimulatedReply:
        """As the real pool: the time counts from here, connecting included; a write is sent once."""
        began = self._loop.time()
        try:
            async with asyncio.timeout(self._timeout) as bound:
                return await self._exchange(call, began)
        except TimeoutError:
            if bound.expired():
                raise UpstreamTimeout("the backend did not answer in time", maybe_applied=True) from None
            raise UpstreamUnreachable("the backend did not accept a connection in time") from None

    async def _exchange(self, call: Call, began: float) -> SimulatedReply:
        if self._chance.random() < self._backend.habits.connects:
            async with asyncio.timeout(self._connect):
                await asyncio.sleep(self._connect * 1.1 * self._chance.random() ** 3)
        if self._backend.refuses > self._loop.time():
            raise UpstreamUnreachable("the backend refused the connection")
        if call.permit is not None:
            call.permit()
        job = self._backend.arrive(call, began + self._timeout)
        self.jobs.add(job)
        try:
            reply = await job.answer
        finally:
            self.jobs.discard(job)
            self._backend.leave(job)
        if reply is None:
            raise UpstreamBroken("the backend closed the connection", maybe_applied=True)
        reply.sent_at = began
        return reply


def _fields(call: Call) -> Iterable[tuple[bytes, bytes]]:
    """What the backend is sent, be it as fields or as a head that was made beforehand."""
    if call.head is None:
        return call.fields
    lines = call.head.split(b"\r\n")[1:-2]
    return [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
