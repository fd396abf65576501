"""What the supervising process and a worker say to each other, and the socket pair that they say it over.

Messages are pickled: both ends are one program, run by one user, over a socket that nobody else can open.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from dataclasses import dataclass
from typing import Any, Final

from proxy.admin import Finding, Told
from proxy.metrics import State
from proxy.settings import Settings
from proxy.store import Health

_LENGTH: Final = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Start:
    """To a worker: serve.

    Attributes:
        settings: its own: no admin port, the address that all share, its part of shared limits.
        number: counts workers from 1.
        watched: whether there is an admin port where conflicts are shown.
        distrust: whether no recorded version may be believed, since a reload has named resources otherwise.
    """

    settings: Settings
    number: int
    watched: bool
    distrust: bool


@dataclass(frozen=True, slots=True)
class Started:
    """From a worker: clients are served."""


@dataclass(frozen=True, slots=True)
class Failed:
    """From a worker: the settings cannot be used here; it ends."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ask:
    """To a worker: say how it is.

    Attributes:
        number: comes back with the answer.
        followed: resource and client of refusals on any worker whose client may still come back.
    """

    number: int
    followed: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Sample:
    """From a worker: how it is. The last one before it ends answers nothing (`number` is 0).

    Attributes:
        number: of the question.
        state: its counters, histograms and gauges.
        health: the store, as seen from there.
        findings: changes behind the proxy.
        told: what the page of conflicts wants to know, since the sample before.
    """

    number: int
    state: State
    health: Health
    findings: tuple[Finding, ...]
    told: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class Reload:
    """To a worker: other routes and defaults."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class Reloaded:
    """From a worker: they are in force."""


Message = Start | Started | Failed | Ask | Sample | Reload | Reloaded


class Channel:
    """One end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def of(cls, end: socket.socket) -> Channel:
        """The end of a socket pair, on this loop."""
        return cls(*await asyncio.open_connection(sock=end))

    def send(self, message: Message) -> None:
        """Sends soon; nothing is said where the other end is gone, `receive` tells."""
        content = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._writer.write(_LENGTH.pack(len(content)) + content)

    async def flush(self) -> None:
        """Waits until the other end has taken what was sent, or is gone."""
        try:
            await self._writer.drain()
            self._writer.close()
            await self._writer.wait_closed()
        except OSError:
            pass

    async def receive(self) -> Any:
        """The next message; None once the other end is gone."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            return pickle.loads(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError):
            return None

    def close(self) -> None:
        """Lets the other end go."""
        self._writer.close()
