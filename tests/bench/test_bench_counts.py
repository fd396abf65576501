"""What one request costs, in counts: they do not drift with the machine, as times do.

Each row is one kind of request at a running proxy, all of its rules and metrics on, with a real Redis. The
client and the backend are in another thread, so that only the proxy is counted.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import hiredis
import pytest
from support.proxies import ROOT, inside
from support.recording_backend import Heard, RecordingBackend
from support.redis_server import RedisServer
from support.taps import Loop, calls, turns
from support.waiting import eventually
from support.wire_client import Client

from proxy.rules.etags import EntityTag
from proxy.rules.versions import Version
from proxy.store.lua import scripts
from proxy.store.redis import RedisStore

MANY = 40
CONTENT = b"x" * 1024
ROUTES = [
    {"match": "/off/{path*}", "mode": "off"},
    {"match": "/never/{path*}", "verify": "never", "after_write": "response"},
    {"match": "/reread/{path*}", "after_write": "reread"},
    {"match": "/{path*}", "after_write": "response"},
]

V1, OLD = ("If-Match", '"v1"'), ("If-Match", '"old"')


@dataclass(frozen=True)
class Row:
    """One kind of request, and what it may cost.

    Attributes:
        path: "{n}" is another resource for each request.
        walk: reads from (<) and writes to (>) sockets, in order, up to the answer.
        redis: the scripts that Redis runs for it.
        backend: the requests that the backend gets for it.
        calls: the most Python functions of the proxy and of aiohttp that may be called for it.
    """

    name: str
    method: str
    path: str
    fields: tuple[tuple[str, str], ...]
    status: int
    walk: str
    redis: str
    backend: str
    calls: int


# "<redis": something was read from Redis, in one go; ">client": the same was written to the client.
FORWARDED = "<client >backend <backend >client"
CLAIMED = "<client >redis <redis >backend <backend >client >redis <redis"
REFUSED = "<client >redis <redis >client"
ASKED = "<client >redis <redis >backend <backend >backend <backend >client >redis <redis"
# A tag that was found by looking is told only once the claim is known to have held until then.
REREAD = "<client >redis <redis >backend <backend >backend <backend >redis <redis >client"

# fmt: off
ROWS = (
    Row("GET, known version", "GET", "/r/1", (), 200, FORWARDED, "", "GET", 48),
    Row("GET, new version", "GET", "/new/{n}", (), 200, f"{FORWARDED} >redis <redis", "observe", "GET", 90),
    Row("GET, minted tag", "GET", "/plain/1", (), 200, FORWARDED, "", "GET", 49),
    Row("GET, 304", "GET", "/r/1", (("If-None-Match", '"v1"'),), 304, FORWARDED, "", "GET", 48),
    Row("GET, mode: off", "GET", "/off/1", (), 200, FORWARDED, "", "GET", 37),
    Row("PUT, known version", "PUT", "/r/1", (V1,), 204, CLAIMED, "claim release", "PUT", 107),
    Row("PUT, unknown version", "PUT", "/fresh/{n}", (V1,), 204, ASKED, "claim release", "GET PUT", 270),
    Row("PUT, reread", "PUT", "/reread/1", (V1,), 204, REREAD, "claim release", "PUT GET", 204),
    Row("PUT, 412 by the record", "PUT", "/never/1", (OLD,), 412, REFUSED, "look", "", 64),
    Row("PUT, 412 as the backend says", "PUT", "/r/1", (OLD,), 412, FORWARDED, "", "GET", 80),
)
# fmt: on
BY_NAME = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A real Redis."""
    with RedisServer() as started:
        yield started


Result = TypeVar("Result")


class Elsewhere:
    """An event loop in another thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    async def __call__(self, doing: Coroutine[Any, Any, Result]) -> Result:
        """Runs it there."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(doing, self._loop))

    def stop(self) -> None:
        """Ends the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Redis:
    """What is said on the proxy's connection to Redis, but for its looks at the clock ten times a second."""

    def __init__(self) -> None:
        self._said, self._heard = hiredis.Reader(), hiredis.Reader()
        self._names = {script.sha: name for name, script in scripts().items()}
        self._waiting: deque[str] = deque()
        self.ran: Counter[str] = Counter()

    @property
    def unanswered(self) -> bool:
        """Whether a reply is awaited."""
        return any(name != "tick" for name in self._waiting)

    def seen(self, way: str, data: bytes) -> bool:
        """Notes a write or a read; returns whether it was about more than the clock."""
        reader = self._said if way == ">" else self._heard
        reader.feed(data)
        names = []
        while (message := reader.gets()) is not False:
            names.append(self._name(message) if way == ">" else self._waiting.popleft())
        if way == ">":
            self._waiting += names
            self.ran.update(name for name in names if name != "tick")
        return names != ["tick"] * len(names)

    def _name(self, command: list[bytes]) -> str:
        return self._names.get(command[1], "") if command[0] == b"EVALSHA" else command[0].decode()


@dataclass
class House:
    """A proxy between a client and a backend, and what was seen of its sockets.

    Attributes:
        walk: who was read from and written to since the last request began.
        turns: turns of the loop, so far.
        waited: the most turns between a request's arrival and its first byte to the backend.
    """

    backend: RecordingBackend
    elsewhere: Elsewhere
    client: Client = field(init=False)
    redis: Redis = field(default_factory=Redis)
    walk: list[str] = field(default_factory=list)
    turns: Callable[[], int] = lambda: 0
    arrived: int | None = None
    waited: int = 0

    def seen(self, who: str, way: str, data: bytes) -> None:
        """Notes one read or write."""
        if who == "redis" and not self.redis.seen(way, data):
            return
        if (who, way) == ("client", "<"):
            self.arrived = self.turns()
        if (who, way) == ("backend", ">") and self.arrived is not None:
            self.waited, self.arrived = max(self.waited, self.turns() - self.arrived), None
        self.walk.append(way + who)

    def clear(self) -> None:
        """Forgets what was seen."""
        self.walk.clear()
        self.redis.ran.clear()
        self.backend.heard.clear()
        self.waited = 0

    async def ask(self, row: Row, number: int = 0) -> None:
        """One request, and all that is done for it beside its answer."""
        assert await self.elsewhere(self._request(row, number)) == row.status
        await eventually(lambda: not self.redis.unanswered)

    async def ask_many(self, row: Row) -> None:
        """Many, with nothing of the test between them in the proxy's thread."""

        async def run() -> set[int]:
            return {await self._request(row, MANY + number) for number in range(MANY)}

        assert await self.elsewhere(run()) == {row.status}

    async def warm_up(self, row: Row) -> None:
        """Makes the connections, and has what is to be known read."""
        if "{n}" not in row.path:
            read = replace(row, method="GET", fields=(), status=200)
            await self.ask(read)
            await self.ask(read)
        for number in range(10_000, 10_003):  # a second refusal knows of the first
            await self.ask(row, number)
        self.clear()

    async def _request(self, row: Row, number: int) -> int:
        body = CONTENT if row.method == "PUT" else None
        path = row.path.format(n=number)
        return (await self.client.request(row.method, path, *row.fields, body=body)).status


def respond(heard: Heard) -> bytes:
    """Ignores every condition; /plain has no tags."""
    tag = b"" if heard.target.startswith("/plain") else b'ETag: "v1"\r\n'
    if heard.method == "PUT":
        return b"HTTP/1.1 204 No Content\r\n" + tag + b"\r\n"
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n%bContent-Length: 1024\r\n\r\n%b" % (tag, CONTENT)


@asynccontextmanager
async def house(server: RedisServer) -> AsyncIterator[House]:
    """The proxy here, the rest elsewhere."""
    server.client().flushall()
    loop, elsewhere, backend = asyncio.get_running_loop(), Elsewhere(), RecordingBackend(respond)
    assert isinstance(loop, Loop)
    running = backend.running()
    await elsewhere(running.__aenter__())
    made = House(backend, elsewhere)
    loop.names, loop.seen = {server.port: "redis", backend.port: "backend"}, made.seen
    proxy = await inside(backend.url, store=server.url, routes=ROUTES, admin="127.0.0.1:0")
    made.client = Client(proxy.address)
    try:
        yield made
    finally:
        await elsewhere(made.client.__aexit__(None))
        await proxy.app.stop()
        await elsewhere(running.__aexit__(None, None, None))
        elsewhere.stop()


@BY_NAME
async def test_sockets_and_scripts_and_requests(row: Row, server: RedisServer) -> None:
    walks: Counter[str] = Counter()
    async with house(server) as made:
        await made.warm_up(row)
        for number in range(MANY):
            made.walk.clear()
            await made.ask(row, number)
            walks[" ".join(made.walk)] += 1
        ran, heard = made.redis.ran, [request.method for request in made.backend.heard]
    assert ran == dict.fromkeys(row.redis.split(), MANY)
    assert heard == row.backend.split() * MANY
    assert walks == {row.walk: MANY}


@pytest.mark.parametrize("row", [row for row in ROWS if row.method == "GET"], ids=lambda row: row.name)
async def test_a_read_is_forwarded_in_the_next_turn_of_the_loop(row: Row, server: RedisServer) -> None:
    """So it waits for nothing: neither for Redis nor for a timer, a lock or another task."""
    async with house(server) as made:
        await made.warm_up(row)
        with turns(asyncio.get_running_loop()) as made.turns:
            await made.ask_many(row)
    assert made.waited <= 1


@BY_NAME
async def test_calls_of_functions(row: Row, server: RedisServer) -> None:
    async with house(server) as made:
        await made.warm_up(row)
        with calls(f"{ROOT}/proxy/", "/aiohttp/") as counted:
            await made.ask_many(row)
    each = counted.total() / MANY
    assert each <= row.calls, f"{each:.0f} for each; most in {counted.most_common(12)}"


@BY_NAME
async def test_no_cycles_are_left_behind(row: Row, server: RedisServer) -> None:
    """`proxy.app.garbage` has the collector run seldom; what only it could free would pile up."""
    async with house(server) as made:
        await made.warm_up(row)
        gc.collect()
        gc.disable()
        try:
            await made.ask_many(row)
            found = gc.collect()
        finally:
            gc.enable()
    assert found < MANY


async def test_what_is_recorded_in_one_turn_of_the_loop_leaves_in_one_write(server: RedisServer) -> None:
    loop, redis, ways, results = asyncio.get_running_loop(), Redis(), [], []
    assert isinstance(loop, Loop)
    store = RedisStore.from_url(server.url, lease=5.0, wait=1.0)
    loop.names = {server.port: "redis"}
    loop.seen = lambda _, way, data: ways.append(way) if redis.seen(way, data) else None
    await store.open()
    await eventually(lambda: store.stamp("/r"))
    redis.ran.clear()
    ways.clear()
    for number in range(100):
        stamp = store.stamp(f"/r/{number}")
        assert stamp is not None
        for _ in range(2):  # two readers of each
            store.observe(f"/r/{number}", stamp, Version(EntityTag("v1")), results.append)
    await eventually(lambda: len(results) == 200)
    await store.close()
    assert redis.ran == {"observe": 100}
    assert ways.count(">") == 1
