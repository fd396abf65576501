"""The running proxy in front of a recording backend, and a client that speaks bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import uvloop
from support.raw_client import Client
from support.recording_backend import RecordingBackend
from support.rows import Connect, Proxy

from proxy.app import App
from proxy.settings import Settings


def pytest_asyncio_loop_factories(config: Any, item: Any) -> dict[str, Any]:  # noqa: ARG001
    """The loop that `serve` runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def backend() -> AsyncIterator[RecordingBackend]:
    """A recording backend; whatever the proxy sends it must be strict HTTP."""
    recording = RecordingBackend()
    async with recording.running():
        yield recording
    assert recording.faults == []


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """Starts proxies from settings."""
    async with AsyncExitStack() as stack:

        async def start(upstream: str, **settings: Any) -> App:
            quiet = {"listen": "127.0.0.1:0", "admin": "off", "log": {"access": False}, "drain": "200ms"}
            app = App(Settings(upstream=upstream, **(quiet | settings)))
            await app.start()
            stack.push_async_callback(app.stop)
            return app

        yield start


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Opens connections to a proxy."""
    clients: list[Client] = []

    async def to(app: App) -> Client:
        clients.append(await Client.to(app.address))
        return clients[-1]

    yield to
    for client in clients:
        client.abort()
