"""The whole proxy on real sockets, between a client that hides nothing and a backend that knows nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import uvloop
from support.legacy import Legacy
from support.proxies import Connect, Inside, Process, StartProcess, StartProxy, inside, process
from support.redis_server import RedisServer
from support.wire_client import Client


def pytest_asyncio_loop_factories(config: Any, item: Any) -> dict[str, Any]:  # noqa: ARG001
    """uvloop, as in production."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def legacy() -> AsyncIterator[Legacy]:
    """A backend."""
    backend = await Legacy().start()
    yield backend
    await backend.stop()
    assert backend.faults == []


@pytest.fixture
async def start_proxy(legacy: Legacy) -> AsyncIterator[StartProxy]:
    """Starts proxies in this process, in front of the backend if no other upstream is named."""
    started: list[Inside] = []

    async def start(upstream: str | None = None, **options: Any) -> Inside:
        started.append(await inside(upstream or legacy.url, **({"drain": "1s"} | options)))
        return started[-1]

    yield start
    for proxy in started:
        await proxy.app.stop()


@pytest.fixture
async def proxy(start_proxy: StartProxy) -> Inside:
    """A proxy with the defaults, its versions in memory."""
    return await start_proxy()


@pytest.fixture
async def start_process(legacy: Legacy) -> AsyncIterator[StartProcess]:
    """Starts proxies as processes of their own."""
    started: list[Process] = []

    async def start(environment: dict[str, str | None] | None = None, **flags: str) -> Process:
        started.append(await process(legacy.url, environment, **flags))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        await one.ended()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Makes clients, each with a connection of its own."""
    clients: list[Client] = []

    def make(proxy: Inside | Process | tuple[str, int]) -> Client:
        clients.append(Client(proxy if isinstance(proxy, tuple) else proxy.address))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(proxy: Inside, connect: Connect) -> Client:
    """A client of the proxy with the defaults."""
    return connect(proxy)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A real Redis for all tests that leave it alive."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis(redis_server: RedisServer) -> RedisServer:
    """The same, emptied."""
    redis_server.client().flushall()
    return redis_server


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> str:
    """The URL of a store of each kind."""
    if request.param == "memory":
        return "memory"
    server: RedisServer = request.getfixturevalue("redis")
    return server.url


@pytest.fixture
async def collector() -> AsyncIterator[Any]:
    """A collector of spans."""
    from support.collector import Collector  # skips without the extra

    async with Collector().running() as running:
        yield running


@pytest.fixture
def trace_with(start_proxy: StartProxy, collector: Any, monkeypatch: pytest.MonkeyPatch) -> StartProxy:
    """Starts a proxy that sends its spans at once."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    routes = [
        {"match": "/notes/{id}"},
        {"match": "/required/{id}", "require": ["PUT"]},
        {"match": "/away/{path*}", "mode": "off"},
    ]

    async def start(upstream: str | None = None, **options: Any) -> Inside:
        tracing = {"enabled": True, "endpoint": collector.url} | options.pop("tracing", {})
        return await start_proxy(upstream, routes=routes, tracing=tracing, **options)

    return start


@pytest.fixture
async def traced(trace_with: StartProxy) -> Inside:
    """A proxy with the defaults whose requests are traced."""
    return await trace_with()
