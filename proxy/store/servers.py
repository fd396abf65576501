"""Where the scripts run: one server, or the master that the sentinels name. `cluster` has the third way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import hiredis

from proxy.errors import StoreUnavailable
from proxy.store.address import Address, StoreUrl
from proxy.store.faults import refusal
from proxy.store.link import Info, Link, ask_info, dial
from proxy.store.lua import Script
from proxy.store.wire import Done, Word

Up = Callable[[Sequence[int], str, int], None]
"""Called with the groups that a new connection serves, the `run_id` of the server at its other end, and the
sentinels' configuration epoch that made it the master (0 without sentinels)."""

_WATCH: Final = 1.0  # seconds between two questions to the sentinels whether the master is still the same
_HELLO: Final = 2.0  # seconds between two times that each sentinel tells the others which master it knows
_LAG: Final = 10.0  # seconds for which sentinels that know of earlier fail-overs only are not believed
_ANEW: Final = "The sentinels have named a master anew."


class Master(NamedTuple):
    """Whom the sentinels name.

    Attributes:
        address: where it is.
        epoch: their configuration epoch: it grows with every fail-over that they decide on.
    """

    address: Address
    epoch: int


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

    def introduce(self, group: int) -> None:
        """Has the group's server say anew who it is: `up` hears of it, or the connection is given up."""

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
        # The master that we ask, the last one that the sentinels named, and when they knew that much.
        self._master = self._named = Master(url.addresses[0], 0)
        self._heard = float("-inf")
        self.send = self._link.send  # no layer between: each step of each write goes this way
        self.introduce = self._link.introduce

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
        if self._named == self._master:
            self._up((0,), info.run_id, self._master.epoch)
        else:  # meanwhile
            self._link.drop(_ANEW)

    async def _locate(self) -> Address:
        if self._url.service:
            self._master = await self._find()
        return self._master.address

    async def _find(self) -> Master:
        """Whom the sentinels name.

        Raises:
            StoreUnavailable: nobody, or those that answer have not heard of the last fail-over yet.
        """
        master = await find_master(self._url, self._timeout, self._master)
        now = asyncio.get_running_loop().time()
        if master.epoch >= self._master.epoch:
            self._heard = now
        elif now - self._heard < _LAG:  # after that they are others, which count anew
            raise StoreUnavailable("The sentinels that answer have not heard of the last fail-over yet.")
        self._named = master
        return master

    async def _watch_master(self) -> None:
        """A master that was deposed while it could not hear of it still answers: leave it."""
        while True:
            await asyncio.sleep(_WATCH)
            try:
                master = await self._find()
            except StoreUnavailable:
                continue
            if self._link.wire is not None and master != self._master:
                self._link.drop(_ANEW)


def deposed_seconds(url: StoreUrl, timeout: float) -> float:
    """For how long a process may still ask a master that was deposed: seconds, 0.0 without sentinels.

    The deposed one may well be alive and take itself for the master: of a fail-over that an administrator
    asks for, it hears some ten seconds later. A process leaves it once the sentinels have told each other,
    and it has asked them again: what it heard before may be as old as `timeout` when it hears it.
    """
    return _HELLO + _WATCH + 2 * timeout if url.service else 0.0


async def find_master(url: StoreUrl, timeout: float, known: Master) -> Master:  # noqa: ASYNC109
    """Asks all sentinels where the master is, and believes the one that knows of the latest fail-over.

    More than half of them are enough: one that is away, as where its machine is down together with the old
    master, holds nobody up.

    Args:
        known: stays the master where one of them says so, though another one may write its address otherwise.

    Raises:
        StoreUnavailable: none of them knows.
    """
    asked = [asyncio.create_task(_ask_sentinel(one, url, timeout)) for one in url.addresses]
    named: list[Master] = []
    faults: list[str] = []
    try:
        for answer in asyncio.as_completed(asked):
            found = await answer
            if isinstance(found, str):
                faults.append(found)
                continue
            named.append(found)
            if 2 * len(named) > len(asked):
                break
    finally:
        for task in asked:
            task.cancel()
    if not named:
        raise StoreUnavailable(f"No sentinel names a master called {url.service!r} ({'; '.join(faults)}).")
    latest = max(named, key=lambda master: master.epoch)
    return known if known in named and known.epoch == latest.epoch else latest


async def _ask_sentinel(sentinel: Address, url: StoreUrl, timeout: float) -> Master | str:  # noqa: ASYNC109
    """What one of them says, or why it says nothing."""
    try:
        async with asyncio.timeout(timeout):
            return await _master_by(sentinel, url, timeout)
    except Exception as fault:  # whatever else it says, it ends nobody's watch
        return f"{sentinel}: {str(fault) or 'no answer in time'}"


async def _master_by(sentinel: Address, url: StoreUrl, timeout: float) -> Master:  # noqa: ASYNC109
    wire = await dial(sentinel, url.sentinel_login, timeout)
    try:
        # In this order: an epoch that is too late makes a needless incarnation, one too early hides one.
        address, state = await asyncio.gather(
            wire.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", url.service),
            wire.call("SENTINEL", "MASTER", url.service),
        )
    except hiredis.ReplyError as error:
        raise refusal(error) from error
    finally:
        wire.abort()
    epoch = dict(zip(state[::2], state[1::2], strict=False)).get(b"config-epoch")
    if address is None or epoch is None:  # others than Redis' own speak some of their language
        raise StoreUnavailable("it does not tell the master's address and config-epoch")
    return Master(Address(address[0].decode(), int(address[1])), int(epoch))
