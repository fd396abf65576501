"""An event loop that sees what a proxy in it reads and writes, of which the proxy itself knows nothing."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvloop

Seen = Callable[[str, str, bytes], None]
"""Told of each socket read ("<") and write (">"): who is at the other end, the direction, the bytes."""


class Loop(uvloop.Loop):
    """uvloop, with a tap on every connection.

    Attributes:
        names: who listens on which port, for connections that are made; those that are accepted are "client".
        seen: is told of every read and write.
    """

    names: dict[int, str]
    seen: Seen | None = None

    async def create_server(self, factory: Any, *args: Any, **options: Any) -> Any:
        """As uvloop's, tapped."""
        return await super().create_server(lambda: _Tap(factory(), self, "client"), *args, **options)

    async def create_connection(
        self, factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        """As uvloop's, tapped where its port has a name."""
        name = getattr(self, "names", {}).get(port)
        if name is None:
            return await super().create_connection(factory, host, port, **options)
        transport, tap = await super().create_connection(
            lambda: _Tap(factory(), self, name), host, port, **options
        )
        return transport, tap.inner


class _Tap(asyncio.Protocol):
    """Stands between a transport and its protocol."""

    def __init__(self, inner: Any, loop: Loop, name: str) -> None:
        self.inner, self._loop, self._name = inner, loop, name

    def tell(self, way: str, data: bytes) -> None:
        if self._loop.seen is not None:
            self._loop.seen(self._name, way, data)

    def connection_made(self, transport: Any) -> None:
        self.inner.connection_made(_Transport(transport, self.tell))

    def data_received(self, data: bytes) -> None:
        self.tell("<", data)
        self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        kept: bool | None = self.inner.eof_received()
        return kept

    def connection_lost(self, exc: Exception | None) -> None:
        self.inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()


class _Transport:
    """A transport whose writes are told of."""

    def __init__(self, real: Any, tell: Callable[[str, bytes], None]) -> None:
        self._real, self._tell = real, tell

    def write(self, data: bytes) -> None:
        self._tell(">", bytes(data))
        self._real.write(data)

    def writelines(self, pieces: list[bytes]) -> None:
        self._tell(">", b"".join(pieces))
        self._real.writelines(pieces)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@contextmanager
def turns(loop: asyncio.AbstractEventLoop) -> Iterator[Callable[[], int]]:
    """Counts the turns of the loop: nothing that is waited for arrives within the same one."""
    count, going = 0, True

    def turn() -> None:
        nonlocal count
        count += 1
        if going:
            loop.call_soon(turn)

    loop.call_soon(turn)
    try:
        yield lambda: count
    finally:
        going = False


@contextmanager
def calls(*folders: str) -> Iterator[Counter[str]]:
    """Counts the calls of Python functions in this thread, by module; resumed coroutines count again.

    Args:
        folders: only functions of files whose path holds one of these.
    """
    counted: Counter[str] = Counter()
    known: dict[str, str] = {}

    def seen(frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        path = frame.f_code.co_filename
        if path not in known:
            known[path] = path if any(folder in path for folder in folders) else ""
        if known[path]:
            counted[path] += 1

    sys.setprofile(seen)
    try:
        yield counted
    finally:
        sys.setprofile(None)
