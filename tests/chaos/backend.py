"""A legacy backend on a real port: slow at times, stalled at times, and its connections break."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress

from aiohttp import web
from simulation.history import Effect, History, State


class Backend:
    """Stores what it is sent, and writes down every effect.

    Args:
        work: seconds that it works on a request at most, as long as nothing hangs.
        lingers: seconds beyond that, for a request that hangs: its sender has given up by then.
    """

    def __init__(self, chance: random.Random, history: History, work: float, lingers: float) -> None:
        self._chance = chance
        self._history = history
        self._work = work
        self._lingers = lingers
        self.states: dict[str, State] = dict(history.first)
        self._runs = asyncio.Event()
        self._runs.set()
        self._connections: set[asyncio.Transport] = set()
        self.url = ""

    async def start(self) -> None:
        """Listens on a free port of loopback."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Ends."""
        await self._runner.cleanup()

    async def stall(self, seconds: float) -> None:
        """Begins nothing new for a while; what it is at goes on."""
        self._runs.clear()
        await asyncio.sleep(seconds)
        self._runs.set()

    def cut(self) -> None:
        """Breaks all connections in mid-request."""
        for transport in list(self._connections):
            transport.abort()

    async def _handle(self, request: web.Request) -> web.Response:
        content = (await request.read()).decode()
        transport = request.transport
        assert transport is not None
        self._connections.add(transport)
        try:
            await self._take_time(request.method)
            return self._respond(request, content)
        finally:
            self._connections.discard(transport)

    async def _take_time(self, method: str) -> None:
        deadline = time.monotonic() + self._work * 0.9
        with suppress(TimeoutError):
            await asyncio.wait_for(self._runs.wait(), self._work * 0.9)
        dice = self._chance.random()
        if method != "GET" and dice < 0.004:  # longer than anybody waits
            await asyncio.sleep(deadline - time.monotonic() + self._lingers * self._chance.random())
        elif dice < 0.03:
            await asyncio.sleep(self._chance.uniform(0.0, max(deadline - time.monotonic(), 0.0)))
        elif dice < 0.3:
            await asyncio.sleep(self._chance.uniform(0.0, 0.02))

    def _respond(self, request: web.Request, content: str) -> web.Response:
        """One step, without an await: the history has all effects in their order."""
        resource, method = request.path, request.method
        before = self.states.get(resource)
        if method == "GET":
            return web.Response(status=404) if before is None else web.Response(text=before)
        if method == "DELETE" and before is None:
            return web.Response(status=404)
        after = None if method == "DELETE" else content
        self.states[resource] = after
        write = request.headers["X-Write"]
        self._history.effects.append(Effect(write, resource, method, before, after, time.monotonic()))
        if self._chance.random() < 0.004 and request.transport is not None:
            request.transport.abort()  # done, and nobody hears of it
        return web.Response(status=204 if before else 201)
