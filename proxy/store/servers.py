"""Where the scripts run: one server, or the master that the sentinels name. `cluster` has the third way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import hiredis

from proxy.errors import StoreUnavailable
from proxy.store.address import Address, Login, StoreUrl
from proxy.store.faults import refusal
from proxy.store.link import Info, Link, ask_info, dial
from proxy.store.lua import Script
from proxy.store.wire import Done, Word

Up = Callable[[Sequence[int], str], None]
"""Called with the groups that a new connection serves, and the `run_id` of the server at its other end."""

_WATCH: Final = 1.0  # seconds between two questions to the sentinels whether the master is still the same


class Servers(Protocol):
    """What the store asks of Redis. A simulation has its own."""

    groups: int
    """Resources are spread over this many groups; those of one group are on one server."""

    def open(self, up: Up) -> None:
        """Starts connecting, and goes on doing so until `close`."""

    async def close(self) -> None:
        """Ends all connections."""

    def send(
        self, group: int, script: Script, keys: Sequence[Word], arguments: Sequence[Word], done: Done
    ) -> None:
        """Runs a script on the group's server. Never raises, and returns at once.

        `done` is called once, with the reply or a StoreUnavailable. Calls of one group run, and are
        answered, in their order, as long as the connection lasts.
        """

    def fault(self, group: int) -> StoreUnavailable | None:
        """Why the group's server is out of reach, or None."""

    async def infos(self) -> list[Info]:
        """Asks every server for INFO.

        Raises:
            StoreUnavailable: one is out of reach.
        """


class OneServer:
    """A single server, or whichever the sentinels say is the master."""

    groups = 1

    def __init__(self, url: StoreUrl, timeout: float, chance: random.Random | None = None) -> None:
        self._url = url
        self._timeout = timeout
        self._link = Link(self._locate, url.login, timeout, self._connected, chance=chance)
        self._watch: asyncio.Task[None] | None = None
        self.send = self._link.send  # no layer between: each step of each write goes this way

    def open(self, up: Up) -> None:
        self._up = up
        self._link.start()
        if self._url.service:
            self._watch = asyncio.create_task(self._watch_master(), name="store-sentinel")

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._link.close()

    def fault(self, group: int) -> StoreUnavailable | None:  # noqa: ARG002
        return None if self._link.wire else self._link.fault

    async def infos(self) -> list[Info]:
        if self._link.wire is None:
            raise self._link.fault
        return [await ask_info(self._link.wire)]

    def _connected(self, info: Info) -> None:
        self._up((0,), info.run_id)

    async def _locate(self) -> Address:
        if not self._url.service:
            return self._url.addresses[0]
        return await find_master(self._url, self._timeout)

    async def _watch_master(self) -> None:
        """A master that was deposed while it could not hear of it still answers: leave it."""
        while True:
            await asyncio.sleep(_WATCH)
            try:
                master = await find_master(self._url, self._timeout)
            except StoreUnavailable:
                continue
            if self._link.wire is not None and self._link.address != master:
                self._link.drop("The sentinels have named another master.")


async def find_master(url: StoreUrl, timeout: float) -> Address:  # noqa: ASYNC109
    """Asks the sentinels, one after the other, where the master is.

    Raises:
        StoreUnavailable: none of them knows.
    """
    reason = ""
    for sentinel in url.addresses:
        try:
            master = await _ask_sentinel(sentinel, url.sentinel_login, url.service, timeout)
        except (OSError, TimeoutError, StoreUnavailable) as error:
            reason = f" ({sentinel}: {error or 'no answer in time'})"
            continue
        if master is not None:
            return master
    raise StoreUnavailable(f"No sentinel names a master called {url.service!r}{reason}.")


async def _ask_sentinel(
    sentinel: Address,
    login: Login,
    service: str,
    timeout: float,  # noqa: ASYNC109
) -> Address | None:
    wire = await dial(sentinel, login, timeout)
    try:
        reply = await wire.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
    except hiredis.ReplyError as error:
        raise refusal(error) from error
    finally:
        wire.abort()
    return None if reply is None else Address(reply[0].decode(), int(reply[1]))
