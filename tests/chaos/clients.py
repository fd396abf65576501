"""Clients that write what they have read, through any proxy that answers."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import aiohttp
from simulation.history import ANYTHING, Asked, History, State


class Client:
    """One of tens.

    Args:
        addresses: the proxies' URLs at the moment.
        patience: seconds that it waits for an answer.
    """

    def __init__(
        self,
        number: int,
        history: History,
        addresses: Callable[[], list[str]],
        chance: random.Random,
        patience: float,
    ) -> None:
        self._number = number
        self._history = history
        self._addresses = addresses
        self._chance = chance
        self._patience = aiohttp.ClientTimeout(total=patience)
        self._writes = 0
        paths = list(history.first)
        # Few for each, and each shared by two: most writes find what they name, many do not.
        self._own = [paths[(number * 2 + step) % len(paths)] for step in range(4)]
        self._seen: dict[str, tuple[str | None, State]] = {}

    async def run(self, running: Callable[[], bool]) -> None:
        """Works as long as it is told to."""
        async with aiohttp.ClientSession(timeout=self._patience) as session:
            while running():
                if not self._addresses():
                    await asyncio.sleep(0.05)
                    continue
                resource = self._chance.choice(self._own)
                status = await self._turn(session, resource)
                if status in (0, 502, 503, 504):
                    await asyncio.sleep(self._chance.uniform(0.0, 0.1))

    async def _turn(self, session: aiohttp.ClientSession, resource: str) -> int:
        dice = self._chance.random()
        if dice < 0.05:
            return await self._write(session, "PUT", resource, {}, None, conditional=False)
        if dice < 0.07:
            return await self._write(session, "PUT", resource, {"If-Match": "*"}, ANYTHING)
        if dice < 0.09:
            return await self._write(session, "DELETE", resource, {}, None, conditional=False)
        if resource not in self._seen or dice < 0.14:
            return await self._read(session, resource)
        tag, state = self._seen[resource]
        fields = {"If-None-Match": "*"} if tag is None else {"If-Match": tag}
        return await self._write(session, "PUT", resource, fields, state)

    async def _read(self, session: aiohttp.ClientSession, resource: str) -> int:
        try:
            async with session.get(self._chance.choice(self._addresses()) + resource) as answer:
                content = await answer.text()
        except (aiohttp.ClientError, TimeoutError, IndexError):
            return 0
        self._learn(resource, answer, content)
        return answer.status

    async def _write(
        self,
        session: aiohttp.ClientSession,
        method: str,
        resource: str,
        fields: dict[str, str],
        named: State,
        *,
        conditional: bool = True,
    ) -> int:
        self._writes += 1
        write = f"c{self._number}w{self._writes}"
        asked = Asked(write, resource, method, conditional, named, time.monotonic())
        self._history.asked[write] = asked
        headers = {"X-Write": write, "Prefer": "return=representation", **fields}
        content = None if method == "DELETE" else write
        try:
            asked.through = self._chance.choice(self._addresses())
            url = asked.through + resource
            async with session.request(method, url, headers=headers, data=content) as answer:
                body = await answer.text()
        except (aiohttp.ClientError, TimeoutError, IndexError):
            asked.ended = time.monotonic()
            self._seen.pop(resource, None)
            return 0
        asked.ended, asked.status = time.monotonic(), answer.status
        asked.unknown = answer.status in (502, 504)
        self._learn(resource, answer, write if 200 <= answer.status < 300 else body)
        return answer.status

    def _learn(self, resource: str, answer: aiohttp.ClientResponse, state: str) -> None:
        """What the resource holds now, and its tag, where the answer says both."""
        self._seen.pop(resource, None)
        tag = answer.headers.get("ETag")
        problem = answer.content_type.startswith("application/problem")
        if tag is not None and answer.status in (200, 201, 204, 412) and not problem:
            self._seen[resource] = (tag, state)
        elif answer.status == 404 and answer.method == "GET":
            self._seen[resource] = (None, None)
