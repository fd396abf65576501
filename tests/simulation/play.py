"""Plays one seed: clients at work, things going wrong, silence, and the checker's verdict."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulation.clockwork import Endless
from simulation.history import ANYTHING, Asked, State, faults
from simulation.world import RESOURCES, Heard, Plan, Process, World

_TOO_LONG = 400.0  # virtual seconds


@dataclass
class Verdict:
    """What became of a seed.

    Attributes:
        wrong: what may not have happened; empty if all is well.
        story: what happened.
        requests: how many.
        counts: of the conditional writes.
    """

    seed: int
    wrong: list[str]
    story: str
    requests: int
    counts: dict[str, int]


@dataclass
class Growth:
    """Several visits of all clients to one world, with a silence and a look after each.

    Attributes:
        rounds: how many.
        look: called when everything has ended by itself.
    """

    rounds: int
    look: Callable[[], None]


def play(plan: Plan, growth: Growth | None = None) -> Verdict:
    """Plays it."""
    world = World(plan)
    loop = world.loop
    logging.disable(logging.CRITICAL)
    asyncio.set_event_loop(loop)
    try:
        main = loop.world.start(_main(world, growth), "main")
        loop.run_until_complete(main)
        wrong = [*world.wrong, *faults(world.history), *(f"FAULT: {context}" for context in loop.faults)]
        return Verdict(plan.seed, wrong, world.story(), world.requests, world.history.counts())
    except Endless:
        return Verdict(plan.seed, ["ENDLESS: it goes round and round"], world.story(), world.requests, {})
    finally:
        _end(world)
        logging.disable(logging.NOTSET)
        asyncio.set_event_loop(None)


def _end(world: World) -> None:
    """Ends all coroutines, dead processes' too, so that none is left to the garbage collector."""
    loop = world.loop
    loop.set_exception_handler(lambda _loop, _context: None)
    for task in loop.tasks:
        if not task.done():
            _close(task.get_coro())
    loop.tasks.clear()
    loop.close()


def _close(coroutine: Any) -> None:
    """One that awaits something in its cleanup has to be told more than once."""
    for _ in range(20):
        try:
            coroutine.close()
            return
        except BaseException:
            continue


async def _main(world: World, growth: Growth | None) -> None:
    plan = world.plan
    world.processes = [world.start(number) for number in range(plan.proxies)]
    await asyncio.sleep(plan.grace + 0.5 if plan.grace and not plan.memory else 0.5)
    if growth is not None:
        await _grow(world, growth)
    await _visit(world)
    await asyncio.sleep(world.quiet())
    world.wrong += world.leaks()


async def _grow(world: World, growth: Growth) -> None:
    for number in range(1, growth.rounds + 1):
        world.mended = False
        world.loop.restart()
        await _visit(world, first=1000 * number, recover=False)
        await asyncio.sleep(world.quiet())
        world.wrong += world.leaks()
        world.forget()
        growth.look()


async def _visit(world: World, *, first: int = 0, recover: bool = True) -> None:
    """All clients do what they came for, while things go wrong; then nothing does any more."""
    plan = world.plan
    clients = [
        world.loop.lane(f"client{number}").start(
            Client(world, first + number, named=number % 2 > 0).run(), f"client{number}"
        )
        for number in range(plan.clients)
    ]
    misfortune = asyncio.ensure_future(_misfortune(world))
    try:
        async with asyncio.timeout(_TOO_LONG + 10 * plan.turns):
            await asyncio.gather(*clients)
    except TimeoutError:
        world.wrong.append("ENDLESS: clients still wait")
        for client in clients:
            client.cancel()
    misfortune.cancel()
    await asyncio.sleep(world.quiet())
    world.processes = [
        process if process.lane.alive else world.start(number)
        for number, process in enumerate(world.processes)
    ]
    if not recover:
        return
    world.tell("world", "from here on nothing goes wrong any more")
    world.backend.mend()
    world.mended = True
    await asyncio.sleep(world.quiet())
    await _works_again(world)


async def _works_again(world: World) -> None:
    """Everything has recovered by itself: every proxy reads and writes conditionally."""
    for number, process in enumerate(world.processes):
        client = Client(world, 900 + number)
        for resource in RESOURCES:
            await client.read(process, resource)
            heard = await client.change(process, resource)
            if heard is not None and not 200 <= heard.status < 300:
                world.wrong.append(f"NOT RECOVERED: {process.name} answers {heard.status} on {resource}")
                continue
            again = await client.last_again(world.chance.choice(world.processes))
            if (
                again is not None
                and heard is not None
                and (again.status, again.tag) != (heard.status, heard.tag)
            ):
                world.wrong.append(f"NOT ANSWERED AGAIN: {heard} and then {again} on {resource}")


class Client:
    """Reads, and writes what it has read, with and without conditions.

    Args:
        named: whether it has credentials, by which a write is known again when it is repeated.
    """

    def __init__(self, world: World, number: int, *, named: bool = True) -> None:
        self._world = world
        self._chance = world.chance
        self._number = number
        self._named = named
        self._writes = 0
        self._seen: dict[str, tuple[str | None, State]] = {}
        self._last: tuple[str, str, dict[str, str], bytes] | None = None

    async def run(self) -> None:
        """Its whole visit."""
        for _ in range(self._world.plan.turns):
            await asyncio.sleep(10 ** self._chance.uniform(-3, 0))
            process = self._chance.choice(self._world.processes)
            await self._turn(process, self._chance.choice(RESOURCES))

    async def _turn(self, process: Process, resource: str) -> None:
        if self._chance.random() < self._world.plan.posts:
            await self._write(process, "POST", resource, {}, None, conditional=False)
            return
        dice = self._chance.random()
        if dice < 0.2:
            await self.read(process, resource)
        elif dice < 0.75:
            if resource not in self._seen or self._chance.random() < 0.6:
                await self.read(process, resource)
            await self.change(self._chance.choice(self._world.processes), resource)
        elif dice < 0.9:
            await self._write(process, "PUT", resource, {}, None, conditional=False)
        elif dice < 0.95:
            await self._write(process, "PUT", resource, {"If-Match": "*"}, ANYTHING)
        else:
            await self._write(process, "DELETE", resource, {}, None, conditional=False)

    async def read(self, process: Process, resource: str) -> None:
        """GET."""
        heard = await self._world.ask(process, "GET", resource, {})
        if heard is not None and heard.status == 200:
            self._see(resource, heard)
        elif heard is not None and heard.status == 404:
            self._seen[resource] = (None, None)

    async def change(self, process: Process, resource: str) -> Heard | None:
        """A conditional write of what was seen last."""
        if resource not in self._seen:
            return None
        tag, state = self._seen[resource]
        if tag is None:
            return await self._write(process, "PUT", resource, {"If-None-Match": "*"}, None)
        method = "DELETE" if self._chance.random() < 0.1 else "PUT"
        fields = {"If-Match": tag}
        if self._chance.random() < 0.3:
            fields["Prefer"] = "return=representation"
        return await self._write(process, method, resource, fields, state)

    def _see(self, resource: str, heard: Heard) -> None:
        if heard.tag is not None and not heard.tag.startswith("W/"):
            self._seen[resource] = (heard.tag, heard.content.decode())

    async def _write(
        self,
        process: Process,
        method: str,
        resource: str,
        fields: dict[str, str],
        named: State,
        *,
        conditional: bool = True,
    ) -> Heard | None:
        world = self._world
        self._writes += 1
        write = f"c{self._number}w{self._writes}"
        asked = Asked(write, resource, method, conditional, named, world.loop.time())
        world.history.asked[write] = asked
        body = b"" if method == "DELETE" else write.encode()
        fields = {"X-Write": write, **fields}
        if self._named:
            fields["Authorization"] = f"client {self._number}"
        heard = await world.ask(process, method, resource, fields, body)
        self._last = (method, resource, fields, body) if named and named != ANYTHING else None
        if heard is None and self._last is not None and self._chance.random() < 0.7:
            # Whoever lost the answer sends the very same again; by its tag, it takes effect once.
            asked.again = True
            await asyncio.sleep(10 ** self._chance.uniform(-3, 0.5))
            heard = await self.last_again(self._chance.choice(world.processes))
        asked.ended = world.loop.time()
        if heard is not None:
            asked.status, asked.unknown = heard.status, heard.unknown
            self._learn(resource, method, write, heard)
        return heard

    async def last_again(self, process: Process) -> Heard | None:
        """The last write once more, word for word, if it named a version."""
        return None if self._last is None else await self._world.ask(process, *self._last)

    def _learn(self, resource: str, method: str, write: str, heard: Heard) -> None:
        if 200 <= heard.status < 300:
            self._seen.pop(resource, None)
            if method == "PUT" and heard.tag is not None:
                self._seen[resource] = (heard.tag, write)
        elif heard.status == 412 and heard.tag is not None and heard.content and heard.content[:1] != b"{":
            self._see(resource, heard)


async def _misfortune(world: World) -> None:
    """Things that go wrong, one after the other."""
    chance, plan = world.chance, world.plan
    if not plan.mishaps and chance.random() < 0.1:
        return
    names = ["refuse"] + ["crash"] * 2 * plan.crashes
    if plan.store_faults:
        names += ["stall", "cut", "pause", "flush", "restart", "save"]
    while True:
        await asyncio.sleep(chance.expovariate(1 / plan.pause))
        await _MISHAPS[chance.choice(plan.mishaps or names)](world)


async def _backend_refuses(world: World) -> None:
    world.backend.refuses = world.loop.time() + world.chance.uniform(0, 1)


async def _crash(world: World) -> None:
    """One proxy dies, and a new one takes its place."""
    number = world.chance.randrange(len(world.processes))
    world.crash(world.processes[number])
    if world.plan.grace is None:
        # `grace: auto` does not cover a proxy and the store that restart together (docs/consistency.md).
        await asyncio.sleep(max(world.last_loss + world.plan.lease + 1.0 - world.loop.time(), 0.0))
    await asyncio.sleep(world.chance.uniform(0.0, 1.0))
    world.processes[number] = world.start(number)
    await asyncio.sleep(0.5)


async def _stall(world: World) -> None:
    process = world.chance.choice(world.processes)
    seconds = 10 ** world.chance.uniform(-1, 0.9)
    world.tell(process.name, f"is stopped for {seconds:.2f} s")
    process.lane.stall(seconds)


async def _cut(world: World) -> None:
    process = world.chance.choice(world.processes)
    if process.servers is not None:
        seconds = world.chance.choice([0.0, world.chance.uniform(0, 3)])
        world.tell(process.name, f"loses its connection to Redis for {seconds:.2f} s")
        process.servers.cut(seconds)


async def _pause(world: World) -> None:
    world.chance.choice(world.machines).pause(10 ** world.chance.uniform(-1, 0.7))


async def _save(world: World) -> None:
    world.chance.choice(world.machines).save()


async def _loss(world: World) -> bool:
    """Whether the store may be lost now: nobody announces the grace of an incarnation that nobody knew."""
    if world.plan.grace is None and any(process.store._lives.strangers() for process in world.processes):
        return False
    world.last_loss = world.loop.time()
    return True


async def _flush(world: World) -> None:
    if await _loss(world):
        world.chance.choice(world.machines).flush()


async def _restart(world: World) -> None:
    if await _loss(world):
        machine = world.chance.choice(world.machines)
        machine.restart(keep=world.chance.random() < 0.5, downtime=world.chance.uniform(0, 1))


_MISHAPS = {
    "refuse": _backend_refuses,
    "crash": _crash,
    "stall": _stall,
    "cut": _cut,
    "pause": _pause,
    "flush": _flush,
    "restart": _restart,
    "save": _save,
}
