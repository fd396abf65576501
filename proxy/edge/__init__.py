"""The edge: HTTP from clients in, answers out. aiohttp parses and keeps the connection; the gate decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from proxy.edge.admission import Limits
from proxy.edge.connection import Connection
from proxy.exchange import Answer, Request
from proxy.gate import Gate

__all__ = ["Edge", "Limits", "Teller"]

Teller = Callable[[Request, Answer, float, int], None]
"""Told of every request: itself, its answer, the seconds it took, and the bytes of content that were sent."""


class Edge(web.Server):
    """Makes a `Connection` for every client.

    Args:
        gate: decides.
        limits: bounds on what a client may send.
        tell: metrics and the access log.
    """

    def __init__(self, gate: Gate, limits: Limits, tell: Teller) -> None:
        super().__init__(_never, loop=asyncio.get_running_loop())
        self.gate = gate
        self.limits = limits
        self.tell = tell
        self.draining = False
        self.turned_away = 0  # connections over the limit, which are only told so

    def __call__(self) -> RequestHandler:
        """A protocol for a connection that was just accepted."""
        return Connection(self, self.gate, self.limits, self.tell, asyncio.get_running_loop())

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    @property
    def busy(self) -> int:
        """How many requests are under way."""
        return sum(connection._request_in_progress for connection in self._connections)

    async def drain(self, seconds: float) -> None:
        """Closes idle connections, lets the others finish what they are at, then closes them too.

        Args:
            seconds: how long they may take.
        """
        self.draining = True
        self.pre_shutdown()
        await self.shutdown(seconds)


async def _never(_request: web.BaseRequest) -> web.StreamResponse:
    raise AssertionError("connections answer requests themselves")
