"""Backends that play scripts, pools in front of them, and two event loops to run them on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop
from support.scripted_backend import Backend, Script

from proxy.upstream.pool import Pool


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Everything here runs on both event loops."""
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


Play = Callable[..., Awaitable[Backend]]
MakePool = Callable[..., Pool]


@pytest.fixture
async def play() -> AsyncIterator[Play]:
    """Starts backends."""
    backends: list[Backend] = []

    async def start(script: Script, **where: Any) -> Backend:
        backends.append(await Backend(script).start(**where))
        return backends[-1]

    yield start
    for backend in backends:
        await backend.stop()
    assert [fault for backend in backends for fault in backend.faults] == []


@pytest.fixture
async def pool_for() -> AsyncIterator[MakePool]:
    """Makes pools, and sees to it that no test leaves a task behind."""
    before = asyncio.all_tasks()
    pools: list[Pool] = []

    def make(backend: Backend | str, **settings: Any) -> Pool:
        url = backend if isinstance(backend, str) else backend.url
        pools.append(Pool(url, **settings))
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()
    left = [task for task in asyncio.all_tasks() - before if "_send" in repr(task.get_coro())]
    assert left == []
