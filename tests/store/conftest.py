"""Stores of both kinds, and the real servers behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from support.redis_server import RedisServer
from support.stores import AnyStore, Opener

from proxy.store.memory import MemoryStore
from proxy.store.redis import RedisStore


@pytest.fixture(scope="session")
def shared_server() -> Iterator[RedisServer]:
    """One server for all tests that leave it as it was."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def clean_server(shared_server: RedisServer) -> RedisServer:
    """The shared server, emptied."""
    shared_server.client().flushall()
    return shared_server


@pytest.fixture(params=["memory", "redis"])
async def opener(request: pytest.FixtureRequest) -> AsyncIterator[Opener]:
    """Makes stores of one kind; on Redis, each is a process of its own on the same server."""
    stores: list[AnyStore] = []

    async def make(**settings: Any) -> AnyStore:
        settings = {"lease": 5.0, "wait": 2.0} | settings
        store: AnyStore
        if request.param == "memory":
            store = MemoryStore(**settings)
        else:
            server = request.getfixturevalue("shared_server")
            if not stores:
                server.client().flushall()
            store = RedisStore.from_url(server.url, **{"tick": 0.005} | settings)
        stores.append(store)
        await store.open()
        return store

    yield make
    for store in stores:
        await store.close()


@pytest.fixture
async def store(opener: Opener) -> AnyStore:
    """One store of each kind."""
    made: AnyStore = await opener()
    return made
