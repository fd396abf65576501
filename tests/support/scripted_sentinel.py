"""A sentinel that says what it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import hiredis

from support.redis_server import RedisServer


class ScriptedSentinel:
    """Answers the two questions of `proxy.store.servers`.

    Attributes:
        master: whom it names.
        epoch: its configuration epoch; None: it does not tell.
        host: how it writes the master's address.
        silent: accepts connections, and answers nothing.
        odd: what it answers instead, as it goes over the wire.
        asked: how many questions it was asked.
        port: where it listens.
    """

    def __init__(self, master: RedisServer, epoch: int | None) -> None:
        self.master = master
        self.epoch = epoch
        self.host = "127.0.0.1"
        self.silent = False
        self.odd = b""
        self.asked = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        commands = hiredis.Reader()
        while data := await reader.read(65536):
            commands.feed(data)
            while (words := commands.gets()) is not False:
                if not self.silent:
                    writer.write(self._answer([word.decode().upper() for word in words]))
        writer.close()

    def _answer(self, words: list[str]) -> bytes:
        port = str(self.master.port)
        self.asked += 1
        if self.odd:
            return self.odd
        match words[1]:
            case "GET-MASTER-ADDR-BY-NAME":
                return hiredis.pack_command((self.host, port))
            case "MASTER":
                epoch = () if self.epoch is None else ("config-epoch", str(self.epoch))
                return hiredis.pack_command(("name", "main", "port", port, *epoch))
            case other:
                return f"-ERR {other} is not scripted\r\n".encode()


@asynccontextmanager
async def sentinel(master: RedisServer, epoch: int | None = 0) -> AsyncIterator[ScriptedSentinel]:
    """A sentinel on a port of loopback."""
    scripted = ScriptedSentinel(master, epoch)
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    scripted.port = server.sockets[0].getsockname()[1]
    async with server:
        yield scripted
