"""Keeps one connection to a Redis server alive: connects, introduces itself, loads the scripts, reconnects.

It is the circuit breaker too. One late reply gives the connection up, and until a new one has been made
and has answered, every call fails at once; so a dead Redis costs no request its timeout.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import hiredis

from proxy.errors import StoreUnavailable
from proxy.store.address import Address, Login
from proxy.store.faults import DEMOTED, REMAPPED, code, refusal, unreachable
from proxy.store.lua import Script, scripts
from proxy.store.wire import Done, Wire, Word, pack

OLDEST: Final = 6
"""The oldest major version of Redis that is accepted. Valkey counts on from 7."""

_BACKOFF: Final = (0.02, 0.25)  # seconds: first and longest pause between two attempts to connect


@dataclass(frozen=True, slots=True)
class Info:
    """What a server says about itself (INFO).

    Attributes:
        run_id: names one run of one server process as a master.
        version: as the server writes it.
        role: "master" or "slave".
        maxmemory: bytes, 0 for no limit.
        policy: what it does when full.
    """

    run_id: str
    version: str
    role: str
    maxmemory: int
    policy: str


async def dial(address: Address, login: Login, timeout: float) -> Wire:  # noqa: ASYNC109
    """Connects and logs in.

    Raises:
        OSError, TimeoutError: no connection.
        StoreUnavailable: the login was refused.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout):
        if address.path:
            _, wire = await loop.create_unix_connection(lambda: Wire(timeout), address.path)
        else:
            _, wire = await loop.create_connection(
                lambda: Wire(timeout), address.host, address.port, ssl=login.tls
            )
    try:
        await _log_in(wire, login)
    except BaseException:
        wire.abort()
        raise
    return wire


async def _log_in(wire: Wire, login: Login) -> None:
    try:
        if login.password:
            user = (login.username,) if login.username else ()
            await wire.call("AUTH", *user, login.password)
        if login.db:
            await wire.call("SELECT", login.db)
    except hiredis.ReplyError as error:
        raise refusal(error) from error


async def ask_info(wire: Wire) -> Info:
    """Reads INFO.

    Raises:
        StoreUnavailable: refused, or too old a server.
    """
    try:
        text: bytes = await wire.call("INFO")
    except hiredis.ReplyError as error:
        raise refusal(error) from error
    fields = dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)
    version = fields.get("redis_version", "0")
    if int(version.partition(".")[0]) < OLDEST:
        raise StoreUnavailable(f"Redis {version} is too old; version {OLDEST} or later is needed.")
    # A master that was deposed and is master again is the same process, and its data may be of before. Its
    # replication ID is another one: it changes with every change of role.
    return Info(
        f"{fields['run_id']}:{fields.get('master_replid', '')}",
        version,
        fields.get("role", "master"),
        int(fields.get("maxmemory", 0)),
        fields.get("maxmemory_policy", "noeviction"),
    )


class Link:
    """One server, reached whenever it can be.

    Args:
        locate: where the server is; asked before every attempt.
        login: how to introduce oneself.
        timeout: seconds for a connection and for every reply.
        up: called with every new connection's INFO, before anything else is sent on it.
        remapped: called when the server says that a resource is elsewhere.
        chance: source of jitter.
    """

    def __init__(
        self,
        locate: Callable[[], Awaitable[Address]],
        login: Login,
        timeout: float,
        up: Callable[[Info], None],
        remapped: Callable[[], None] = lambda: None,
        chance: random.Random | None = None,
    ) -> None:
        self._locate = locate
        self._login = login
        self._timeout = timeout
        self._up = up
        self._remapped = remapped
        self._chance = chance or random.Random()
        self._wire: Wire | None = None
        self._task: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self.address: Address | None = None
        self.info: Info | None = None
        self.fault: StoreUnavailable = StoreUnavailable("Redis is not connected yet.")

    def start(self) -> None:
        self._task = asyncio.create_task(self._stay_connected(), name="store-link")

    async def close(self) -> None:
        tasks = [task for task in (self._task, self._asking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.drop("The store is closed.")

    @property
    def wire(self) -> Wire | None:
        """The connection, where there is one now."""
        return self._wire

    def drop(self, reason: str) -> None:
        """Gives the connection up; a new one is made at once."""
        if self._wire is not None:
            self._wire.abort(reason)

    def introduce(self, group: int) -> None:  # noqa: ARG002
        """Asks the server anew who it is, for `proxy.store.servers.Servers.introduce`."""
        if self._wire is not None and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._introduce(self._wire), name="store-info")

    async def _introduce(self, wire: Wire) -> None:
        try:
            self.info = await _info_of_master(wire, self.address)
            self._up(self.info)
        except Exception as error:
            wire.abort(unreachable(str(self.address), error).reason)

    def send(
        self,
        group: int,  # noqa: ARG002
        script: Script,
        keys: Sequence[Word],
        arguments: Sequence[Word],
        done: Done,
    ) -> None:
        """Runs a script, for `proxy.store.servers.Servers.send`."""
        wire = self._wire
        if wire is None:
            done(self.fault)
            return
        command = hiredis.pack_command((b"EVALSHA", script.sha, len(keys), *keys, *arguments))  # type: ignore[arg-type]
        wire.send(command, done, partial(self._refused, script, keys, arguments, done))

    def _refused(
        self,
        script: Script,
        keys: Sequence[Word],
        arguments: Sequence[Word],
        done: Done,
        error: hiredis.ReplyError,
    ) -> None:
        wire = self._wire
        if code(error) == "NOSCRIPT" and wire is not None:
            # Somebody emptied the script cache; EVAL fills it again.
            again = pack(b"EVAL", script.source, len(keys), *keys, *arguments)
            wire.send(again, done, partial(self._refused_for_good, done))
        else:
            self._refused_for_good(done, error)

    def _refused_for_good(self, done: Done, error: hiredis.ReplyError) -> None:
        done(refusal(error))
        self._react(code(error))

    def _react(self, refused: str) -> None:
        if refused in DEMOTED:
            self.drop("Redis is no longer the master.")
        elif refused in REMAPPED:
            self._remapped()

    async def _stay_connected(self) -> None:
        pause, longest = _BACKOFF
        while True:
            try:
                wire = await self._connect()
            except Exception as error:  # whatever it is, the next attempt may do
                self.fault = unreachable(str(self.address or "its address"), error)
                await asyncio.sleep(pause * self._chance.uniform(0.8, 1.0))
                pause = min(pause * 2, longest)
                continue
            pause = _BACKOFF[0]
            self.fault = await asyncio.shield(wire.closed)
            self._wire = None

    async def _connect(self) -> Wire:
        self.address = await self._locate()
        wire = await dial(self.address, self._login, self._timeout)
        try:
            info = await _info_of_master(wire, self.address)
            await _load(wire)
        except BaseException:
            wire.abort()
            raise
        self.info = info
        self._wire = wire
        self._up(info)
        return wire


async def _info_of_master(wire: Wire, address: Address | None) -> Info:
    info = await ask_info(wire)
    if info.role != "master":
        raise StoreUnavailable(f"Redis at {address} is a read-only replica.")
    return info


async def _load(wire: Wire) -> None:
    loads: list[Awaitable[Any]] = [
        wire.call("SCRIPT", "LOAD", script.source) for script in scripts().values()
    ]
    try:
        await asyncio.gather(*loads)
    except hiredis.ReplyError as error:
        raise refusal(error) from error
