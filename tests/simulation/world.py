"""The simulated world: proxies, clients, a Redis, a backend, and what goes wrong, all of it by seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from multidict import CIMultiDict, CIMultiDictProxy

from proxy.body import Body
from proxy.exchange import Answer, Request
from proxy.gate import Gate, Outgoing
from proxy.gate.plain_write import WRITES
from proxy.rules.minting import Minter
from proxy.rules.routing import UNSAFE_GUARDED, AfterWrite, Route, Router, Verify
from proxy.store.memory import MemoryStore
from proxy.store.redis import RedisStore
from simulation.backend import Backend, Habits, SimulatedUpstream
from simulation.clockwork import Clockwork, Lane
from simulation.history import Effect, History, faults
from simulation.servers import Machine, SimulatedServers

WORK: Final = 2.0  # seconds: the upstream's timeout
WAIT: Final = 1.5
STORE_TIMEOUT: Final = 0.3
RESOURCES: Final = ("/r/1", "/r/2")
_CONNECT: Final = 1.0


@dataclass
class Plan:
    """What a seed has in store. Built by `plan`, or by a test that wants just this.

    Attributes:
        proxies: how many; in memory there is one.
        memory: whether the versions are in memory.
        machines: Redis servers, as in a Cluster.
        lease: of claims, in seconds.
        store_faults: whether the store fails too, and processes are stopped: the backend then lingers less
            (docs/consistency.md says for how long it may).
        mishaps: which may happen; all that the above allow, where left out.
        pause: seconds between two mishaps, on average.
        posts: how many of the requests are POST.
        grace: a fixed one, or None for `auto`.
        mutate: changes the scripts.
        build: called with every gate and its store, to break something.
    """

    seed: int
    proxies: int = 3
    clients: int = 5
    turns: int = 8
    memory: bool = False
    machines: int = 1
    lease: float = 4.0
    store_faults: bool = True
    crashes: bool = True
    mishaps: tuple[str, ...] = ()
    pause: float = 1.7
    posts: float = 0.1
    grace: float | None = None
    route: Route = field(default_factory=Route)
    habits: Habits = field(default_factory=lambda: Habits(True, WORK, 0.0, 0.0))
    mutate: Callable[[bytes], bytes] = lambda text: text
    build: Callable[[Gate, Any], None] = lambda _gate, _store: None


def plan(seed: int) -> Plan:
    """What this seed has in store."""
    chance = random.Random(f"plan {seed}")
    memory = chance.random() < 0.1
    store_faults = not memory and chance.random() < 0.6
    tags = chance.random() < 0.5
    after = [AfterWrite.REREAD, AfterWrite.REREAD, AfterWrite.FORGET] + [AfterWrite.RESPONSE] * tags
    guarded = UNSAFE_GUARDED | (frozenset({"POST"}) if chance.random() < 0.5 else frozenset())
    verify = chance.choice([Verify.AUTO, Verify.AUTO, Verify.AUTO, Verify.ALWAYS, Verify.NEVER])
    lease = chance.choice([2.5, 3.0, 4.0])
    margin = (lease - WORK) / 2
    return Plan(
        seed,
        proxies=1 if memory else chance.choice([1, 2, 3]),
        clients=chance.choice([2, 4, 6]),
        turns=chance.choice([4, 8, 12]),
        memory=memory,
        machines=chance.choice([1, 1, 1, 2]),
        lease=lease,
        store_faults=store_faults,
        crashes=not memory and chance.random() < 0.7,
        grace=chance.choice([None, lease]),
        route=Route("/r/{id}", guard=guarded, verify=verify, after_write=chance.choice(after)),
        habits=Habits(
            tags,
            WORK,
            lingers=0.98 * (margin if store_faults else lease),
            survives=0.98 * (margin if store_faults else lease - margin),
            slow=chance.choice([0.0, 0.2, 0.6]),
            breaks=chance.choice([0.0, 0.1, 0.3]),
            hangs=chance.choice([0.0, 0.05, 0.2]),
        ),
    )


class Content(Body):
    """A request's content: at once, or after a while."""

    def __init__(self, content: bytes, delay: float) -> None:
        super().__init__()
        self._content = content
        self._delay = delay
        self.length = len(content)
        self.empty = not content

    def complete(self) -> bytes | None:
        return None if self._delay else self._content

    async def collect(self, memory: int, *, hashed: bool = False) -> bytes:  # noqa: ARG002
        await asyncio.sleep(self._delay)
        return self._content


class Diary:
    """The gate's journal: only what would be a mistake here is kept."""

    def __init__(self, world: World) -> None:
        self._world = world

    def changed_behind(self, route: str) -> None:  # noqa: ARG002
        """All writes pass the proxy here: only those that a shared claim hides may look like this."""
        self._world.tell("journal", "a change behind the proxy")
        if not self._world.history.shares:
            self._world.wrong.append("SUSPICION: a change was seen that no write explains")

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_arguments: None


@dataclass(eq=False)
class Process:
    """One life of one proxy."""

    name: str
    lane: Lane
    gate: Gate
    store: Any
    servers: SimulatedServers | None
    upstream: SimulatedUpstream
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    waiting: dict[str, asyncio.Future[Any]] = field(default_factory=dict)


@dataclass
class Heard:
    """An answer as a client gets it."""

    status: int
    tag: str | None
    content: bytes
    unknown: bool


class World:
    """One seed's world."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.chance = random.Random(plan.seed)
        self.loop = Clockwork(random.Random(f"interleaving {plan.seed}"))
        self.wrong: list[str] = []
        self._story: list[tuple[float, str, str]] = []
        self.history = History(dict.fromkeys(RESOURCES, None), [], {})
        for resource in RESOURCES:
            self.history.first[resource] = f"first-{resource[-1]}" if self.chance.random() < 0.8 else None
        self.history.shares = frozenset({"POST"}) - plan.route.guard
        self.backend = Backend(self.loop, self.chance, plan.habits, self.history, self.tell)
        self.machines = [
            Machine(self.loop, self.chance, f"redis{number}", self.tell, plan.mutate)
            for number in range(plan.machines)
        ]
        self.processes: list[Process] = []
        self._lives = 0
        self.last_loss = -1e9
        self.requests = 0
        self.mended = False

    # Stories.

    def tell(self, who: str, what: str) -> None:
        """One line of the story."""
        self._story.append((self.loop.time(), who, what))

    def story(self) -> str:
        """What happened, line by line."""
        return "\n".join(f"{at:10.4f}  {who:<8} {what}" for at, who, what in self._story)

    # Proxies.

    def start(self, number: int) -> Process:
        """A new proxy process."""
        self._lives += 1
        name = f"proxy{number}" if self._lives <= self.plan.proxies else f"proxy{number}.{self._lives}"
        lane = self.loop.lane(name)
        servers: SimulatedServers | None = None
        store: MemoryStore | RedisStore
        if self.plan.memory:
            store = MemoryStore(lease=self.plan.lease, wait=WAIT)
        else:
            servers = SimulatedServers(lane, self.machines, self.chance, self.tell, STORE_TIMEOUT)
            store = self._shared(servers)
        upstream = SimulatedUpstream(self.loop, self.backend, self.chance, timeout=WORK, connect=_CONNECT)
        process = Process(name, lane, self._gate(store, upstream), store, servers, upstream)
        self.plan.build(process.gate, store)
        lane.start(store.open(), f"{name} opens its store")
        self.tell(name, "starts")
        return process

    def _shared(self, servers: SimulatedServers) -> RedisStore:
        return RedisStore(
            servers,
            lease=self.plan.lease,
            wait=WAIT,
            grace=self.plan.grace,
            timeout=STORE_TIMEOUT,
            chance=random.Random(f"store {self.plan.seed} {self._lives}"),
            tick=0.4,
        )

    def _gate(self, store: Any, upstream: SimulatedUpstream) -> Gate:
        return Gate(
            Router([self.plan.route], Route()),
            store,
            upstream,
            Diary(self),
            Outgoing(style="none", via=""),
            clock=self.loop.time,
            now_year=lambda: 2026,
            work=WORK,
            lease=self.plan.lease,
            minter=Minter(b"a secret that is only for tests"),
        )

    def crash(self, process: Process) -> None:
        """SIGKILL: nothing of it ever runs again. Its connections end."""
        self.tell(process.name, "is killed")
        process.lane.die()
        if process.servers is not None:
            process.servers.cut(1e9)
        for job in list(process.upstream.jobs):
            self.backend.leave(job, crashed=True)
        for waiting in list(process.waiting.values()):
            self.loop.world.later(0.001, _resolve, waiting, None)

    # Requests.

    async def ask(
        self, process: Process, method: str, resource: str, fields: dict[str, str], body: bytes = b""
    ) -> Heard | None:
        """What a client hears of a request; None where its connection breaks, or where it leaves."""
        if not process.lane.alive:
            return None
        self.requests += 1
        name = fields.get("X-Write") or f"read{self.requests}"
        if name in process.waiting or name in process.tasks:  # sent again while the first is under way
            name += f" again ({self.requests})"
        leaves = self.chance.random() < 0.08 and not self.mended
        delay = self.chance.uniform(0.001, 0.5) if self.chance.random() < 0.1 else 0.0
        request = Request(
            method,
            resource,
            tuple((key.encode(), value.encode()) for key, value in fields.items()),
            CIMultiDictProxy(CIMultiDict(fields)),
            Content(body, delay) if body else Body(),
            id=name,
        )
        # As the edge does: nearly all reads go the short way, and all writes that may.
        if method == "GET" or (method in WRITES and body and "If-Match" in fields):
            request.shape = process.gate.shape_of(request)
        waiting = process.waiting[name] = self.loop.create_future()
        request.left = waiting.done
        process.lane.later(10 ** self.chance.uniform(-4, -2), self._serve, process, name, request, waiting)
        if leaves:
            process.lane.later(10 ** self.chance.uniform(-3, 0.5), self._left, process, name, waiting)
        try:
            heard: Heard | None = await waiting
            return heard
        finally:
            process.waiting.pop(name, None)

    def _serve(self, process: Process, name: str, request: Request, waiting: asyncio.Future[Any]) -> None:
        condition = request.headers.get("If-Match") or request.headers.get("If-None-Match") or ""
        self.tell(process.name, f"{name} ({request.method} {request.target} {condition}) begins")
        task = self.loop.create_task(self._answer(process, name, request, waiting))
        process.tasks[name] = task
        task.add_done_callback(lambda _task: process.tasks.pop(name, None))

    def _left(self, process: Process, name: str, waiting: asyncio.Future[Any]) -> None:
        if name in process.tasks and not waiting.done():
            self.tell(process.name, f"{name}: its client leaves")  # nothing is cancelled: see `proxy.edge`
            self.loop.world.later(0.0, _resolve, waiting, None)

    async def _answer(
        self, process: Process, name: str, request: Request, waiting: asyncio.Future[Any]
    ) -> None:
        try:
            answer = await process.gate.answer(request)
        except asyncio.CancelledError:
            raise
        except Exception as fault:
            self.wrong.append(f"FAULT: {name} ended with {fault!r}")
            self.loop.world.later(0.0, _resolve, waiting, None)
            return
        content = await _content(answer)
        tag = next((value.decode() for key, value in answer.fields if key.lower() == b"etag"), None)
        self.tell(process.name, f"{name} is answered {answer.status} {tag or ''} {request.trace.reason}")
        heard = Heard(answer.status, tag, content, request.trace.applied_unknown)
        self.loop.world.later(10 ** self.chance.uniform(-4, -2), _resolve, waiting, heard)

    # The end.

    def forget(self) -> None:
        """Forgets what happened, once it was judged: the history grows, and nothing else may."""
        self.wrong += faults(self.history)
        self.history.first.update(self.backend.states)
        self.history.effects.clear()
        self.history.asked.clear()
        self._story.clear()
        self.loop.restart()

    def quiet(self) -> float:
        """How long until everything has ended by itself: leases, grace, waits, the backend."""
        return 3 * self.plan.lease + WAIT + 2 * WORK + 1.0

    def leaks(self) -> list[str]:
        """What should have ended and has not."""
        found = [f"LEAK: the backend is still at {job}" for job in self.backend.jobs]
        for machine in self.machines:
            found += [f"LEAK: a claim lasts on {key!r}" for key in machine.data.claims(machine.clock())]
        for process in self.processes:
            store, who = process.store, process.name
            found += [f"LEAK: {who} still serves {name}" for name in process.tasks]
            house = process.gate.house
            found += [f"LEAK: {who} is still writing"] * (house.writing + len(house.endings) + house.held)
            for name in ("_held", "_observing", "_orphans"):
                if getattr(store, name, None):
                    found.append(f"LEAK: {who}'s store keeps {name}: {list(getattr(store, name))}")
            found += [f"LEAK: {who} has a line at {key}" for key in store._turns._lines]
        return found


def _resolve(waiting: asyncio.Future[Any], heard: Heard | None) -> None:
    if not waiting.done():
        waiting.set_result(heard)


async def _content(answer: Answer) -> bytes:
    if answer.body is None or isinstance(answer.body, bytes):
        return answer.body or b""
    content = await answer.body.read(1 << 20)
    answer.body.close()
    return content or b""


__all__ = ["Effect", "Heard", "Plan", "Process", "World", "plan"]
