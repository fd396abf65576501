"""Load with bounds: idle and slow clients stop nobody, and large messages pass at a size that does not grow.

The proxy runs as a process of its own. `LARGE_MIB=1024` moves 1 GiB through it each way; the suite less.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.proxies import Process, process
from support.raw_client import Client, responses
from support.recording_backend import RecordingBackend
from support.rows import request

MIB = 1 << 20
LARGE = int(os.environ.get("LARGE_MIB", "64")) * MIB
GROWTH = 64 * MIB
IDLE, SLOW = 2000, 500
PROMPT = 5.0  # seconds: alone it takes milliseconds, but the machine may have other work
PIECE = b"x" * (256 * 1024)
CLOSE = b"Connection: close"

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="sizes are read from /proc")


@asynccontextmanager
async def running(upstream: str, **environment: str) -> AsyncIterator[Process]:
    proxy = await process(upstream, {"PROXY_LOG__ACCESS": "false", "PROXY_LIMITS__BODY": "0", **environment})
    try:
        yield proxy
    finally:
        proxy.kill()
        await proxy.ended()


def resident(proxy: Process) -> int:
    """Resident size in bytes."""
    pages = Path(f"/proc/{proxy._process.pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


async def one(proxy: Process, line: bytes, *fields: bytes) -> tuple[int, float]:
    """A request of somebody else: its status, and how long it took."""
    began = time.monotonic()
    client = await Client.to(proxy.address)
    await client.send(request(line, *fields, CLOSE))
    (seen,) = responses(await client.rest(), [line.split()[0].decode()])
    client.close()
    return seen.status, time.monotonic() - began


@pytest.fixture(autouse=True)
def _many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 3 * IDLE:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 3 * IDLE), hard))


async def connections(proxy: Process, count: int, raw: bytes) -> list[Client]:
    clients: list[Client] = []
    for _ in range(0, count, 100):
        clients += await asyncio.gather(*[Client.to(proxy.address) for _ in range(100)])
    if raw:
        await asyncio.gather(*[client.send(raw) for client in clients])
    return clients


async def test_two_thousand_idle_connections() -> None:
    backend = RecordingBackend()
    async with backend.running(), running(backend.url) as proxy:
        await one(proxy, b"GET /")
        before = resident(proxy)
        clients = await connections(proxy, IDLE // 2, b"")
        clients += await connections(proxy, IDLE // 2, request(b"GET /"))
        await asyncio.gather(*[client.until(b"ok", 20.0) for client in clients[IDLE // 2 :]])
        status, seconds = await one(proxy, b"PUT /x", b'If-Match: "v1"', b"Content-Length: 0")
        assert status == 200
        assert seconds < PROMPT
        assert resident(proxy) - before < GROWTH
        for client in clients:
            client.abort()


async def test_five_hundred_slow_uploads() -> None:
    """Each has sent half of its content, to the very resource that others write meanwhile."""
    backend = RecordingBackend()
    half = request(b"PUT /x", b'If-Match: "v1"', b"Content-Length: 40000", body=b"x" * 20_000)
    async with backend.running(), running(backend.url) as proxy:
        await one(proxy, b"GET /x")
        before = resident(proxy)
        clients = await connections(proxy, SLOW, half)
        for line, fields in (
            (b"GET /y", ()),
            (b"PUT /x", (b'If-Match: "v1"', b"Content-Length: 0")),
            (b"DELETE /x", (b'If-Match: "old"',)),
        ):
            status, seconds = await one(proxy, line, *fields)
            assert status == (412 if b"DELETE" in line else 200)
            assert seconds < PROMPT
        assert [heard.line for heard in backend.heard if heard.method != "GET"] == ["PUT /x"]
        assert resident(proxy) - before < GROWTH
        for client in clients:
            client.abort()


class Sink:
    """A backend that takes and gives large content without looking at it."""

    def __init__(self) -> None:
        self.taken = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if head.startswith((b"PUT", b"POST")):
                    await self._take(head, reader)
                    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                elif b"GET /large" in head:
                    await self._give(writer)
                else:
                    writer.write(b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: 0\r\n\r\n')
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _take(self, head: bytes, reader: asyncio.StreamReader) -> None:
        left = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while left:
            piece = await reader.read(min(left, MIB))
            if not piece:
                raise ConnectionError
            left -= len(piece)
            self.taken += len(piece)

    async def _give(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: %d\r\n\r\n' % LARGE)
        for _ in range(LARGE // len(PIECE)):
            writer.write(PIECE)
            await writer.drain()


@asynccontextmanager
async def sink() -> AsyncIterator[tuple[Sink, str]]:
    backend = Sink()
    server = await asyncio.start_server(backend.serve, "127.0.0.1", 0, limit=MIB)
    try:
        yield backend, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def largest(proxy: Process, task: asyncio.Task[None]) -> int:
    """The largest resident size while the task runs."""
    size = 0
    while not task.done():
        size = max(size, resident(proxy))
        await asyncio.wait([task], timeout=0.01)
    await task
    return max(size, resident(proxy))


async def upload(proxy: Process, method: bytes) -> None:
    reader, writer = await asyncio.open_connection(*proxy.address)
    fields = (b'If-Match: "v1"', b"Content-Length: %d" % LARGE, CLOSE)
    writer.write(request(method + b" /x", *fields))
    for _ in range(LARGE // len(PIECE)):
        writer.write(PIECE)
        await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 204"), head
    writer.close()


async def download(proxy: Process) -> None:
    reader, writer = await asyncio.open_connection(*proxy.address)
    writer.write(request(b"GET /large", CLOSE))
    await reader.readuntil(b"\r\n\r\n")
    taken = 0
    while piece := await reader.read(MIB):
        taken += len(piece)
    assert taken == LARGE
    writer.close()


@pytest.mark.parametrize("way", ["PUT", "POST", "GET"])
async def test_large_content_passes_at_a_bounded_size(way: str) -> None:
    async with sink() as (backend, url), running(url) as proxy:
        await one(proxy, b"GET /x")
        before = resident(proxy)
        moving = download(proxy) if way == "GET" else upload(proxy, way.encode())
        size = await largest(proxy, asyncio.ensure_future(moving))
        assert backend.taken == (0 if way == "GET" else LARGE)
        assert size - before < GROWTH
