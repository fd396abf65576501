"""A Redis Cluster: one connection to every master, and the map of who has which group."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import hiredis
from redis.crc import key_slot

from proxy.errors import StoreUnavailable
from proxy.store.address import Address, StoreUrl
from proxy.store.faults import refusal, unreachable
from proxy.store.link import Info, Link, ask_info, dial
from proxy.store.lua import Script
from proxy.store.servers import Up
from proxy.store.wire import Done, Wire, Word

GROUPS: Final = 128
_REFRESH: Final = (0.1, 5.0)  # seconds before the map is read again: when something is wrong, when nothing is

_SLOTS: Final = tuple(key_slot(str(group).encode()) for group in range(GROUPS))


class ClusterServers:
    """All masters of a Cluster. A group's keys share a hash tag, and so a slot and a server."""

    groups = GROUPS

    def __init__(self, url: StoreUrl, timeout: float, chance: random.Random | None = None) -> None:
        self._url = url
        self._timeout = timeout
        self._chance = chance or random.Random()
        self._links: dict[Address, Link] = {}
        self._map: list[Address | None] = [None] * GROUPS
        self._wrong = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._fault = StoreUnavailable("The Redis Cluster is not connected yet.")

    def open(self, up: Up) -> None:
        self._up = up
        self._task = asyncio.create_task(self._keep_map(), name="store-cluster")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for link in self._links.values():
            await link.close()

    def send(
        self, group: int, script: Script, keys: Sequence[Word], arguments: Sequence[Word], done: Done
    ) -> None:
        link = self._link(group)
        if link is None or link.wire is None:
            self._wrong.set()
        if link is None:
            done(self._fault)
        else:
            link.send(group, script, keys, arguments, done)

    def introduce(self, group: int) -> None:
        link = self._link(group)
        if link is not None:
            link.introduce(group)

    def fault(self, group: int) -> StoreUnavailable | None:
        link = self._link(group)
        if link is None:
            return self._fault
        return None if link.wire else link.fault

    async def infos(self) -> list[Info]:
        missing = next((fault for group in range(GROUPS) if (fault := self.fault(group))), None)
        if missing is not None:
            raise missing
        wires = [link.wire for link in self._links.values() if link.wire is not None]
        return list(await asyncio.gather(*(ask_info(wire) for wire in wires)))

    def _link(self, group: int) -> Link | None:
        address = self._map[group]
        return None if address is None else self._links.get(address)

    async def _keep_map(self) -> None:
        soon, late = _REFRESH
        while True:
            self._wrong.clear()
            try:
                await self._adopt(await self._read_map())
            except StoreUnavailable as fault:
                self._fault = fault
                self._wrong.set()
            if any(link.wire is None for link in self._links.values()):
                self._wrong.set()
            await asyncio.sleep(soon)
            try:
                async with asyncio.timeout(late):
                    await self._wrong.wait()
            except TimeoutError:
                continue

    async def _read_map(self) -> list[Address | None]:
        fault = self._fault
        for address in dict.fromkeys((*self._links, *self._url.addresses)):
            try:
                return await self._ask_map(address)
            except (OSError, TimeoutError, StoreUnavailable) as error:
                fault = unreachable(str(address), error)
        raise fault

    async def _ask_map(self, address: Address) -> list[Address | None]:
        link = self._links.get(address)
        if link is not None and link.wire is not None:
            return _owners(await _cluster_slots(link.wire), address)
        wire = await dial(address, self._url.login, self._timeout)
        try:
            return _owners(await _cluster_slots(wire), address)
        finally:
            wire.abort()

    async def _adopt(self, owners: list[Address | None]) -> None:
        """Connects to new masters, leaves old ones, and says which groups have moved to a known one."""
        moved: dict[Address, list[int]] = {}
        for group, owner in enumerate(owners):
            if owner is not None and owner != self._map[group]:
                moved.setdefault(owner, []).append(group)
        self._map = owners
        for address in set(self._links) - set(owners):
            await self._links.pop(address).close()
        for address, groups in moved.items():
            link = self._links.get(address)
            if link is None:
                self._start(address)
            elif link.wire is not None and link.info is not None:
                self._up(groups, link.info.run_id, 0)

    def _start(self, address: Address) -> None:
        link = Link(
            _at(address),
            self._url.login,
            self._timeout,
            self._connected(address),
            self._wrong.set,
            self._chance,
        )
        self._links[address] = link
        link.start()

    def _connected(self, address: Address) -> Callable[[Info], None]:
        def up(info: Info) -> None:
            groups = [group for group, owner in enumerate(self._map) if owner == address]
            self._up(groups, info.run_id, 0)

        return up


def _at(address: Address) -> Callable[[], Awaitable[Address]]:
    async def locate() -> Address:
        return address

    return locate


async def _cluster_slots(wire: Wire) -> list[Any]:
    try:
        reply: list[Any] = await wire.call("CLUSTER", "SLOTS")
    except hiredis.ReplyError as error:
        raise refusal(error) from error
    return reply


def _owners(slots: list[Any], asked: Address) -> list[Address | None]:
    owners: list[Address | None] = [None] * GROUPS
    for first, last, master, *_ in slots:
        host = master[0].decode() if master[0] else asked.host
        address = Address(host, int(master[1]))
        for group, slot in enumerate(_SLOTS):
            if first <= slot <= last:
                owners[group] = address
    return owners
