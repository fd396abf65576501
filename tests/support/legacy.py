"""A legacy backend: it stores what it is sent, ignores every condition, and remembers every request.

Any request can be answered by a script instead, which has the connection to itself.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from support.http1 import Lines, Message, lines, raw, read_content, read_head


@dataclass
class Resource:
    """What a path holds.

    Attributes:
        content: of its one representation.
        etag, last_modified: sent as they are; None for none.
        fields: further fields of its GET and HEAD.
        zips: whether it is sent in gzip to those who accept that.
        ranges: whether Range is understood (If-Range never is).
        status: of its GET.
    """

    content: bytes = b"content"
    etag: str | None = None
    last_modified: str | None = None
    fields: Lines = field(default_factory=list)
    zips: bool = False
    ranges: bool = True
    status: int = 200


@dataclass
class Exchange:
    """One request on its connection, for scripts."""

    request: Message
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def content(self) -> bytes:
        """The request's content."""
        await read_content(self.reader, self.request)
        return self.request.body

    async def send(self, data: bytes) -> None:
        """Sends bytes, waiting while nobody reads them."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: int, *fields: tuple[str, str], body: bytes = b"") -> None:
        """Sends a whole response."""
        await self.send(response(status, list(fields), body, self.request.method))


Script = Callable[[Exchange], Awaitable[None]]


class Held:
    """Requests that wait in the backend until the test lets them go."""

    def __init__(self) -> None:
        self.arrived = asyncio.Semaphore(0)
        self.go = asyncio.Event()


class Legacy:
    """The backend.

    Attributes:
        resources: by request target.
        requests: every request whose head arrived, in order; its content once it was read.
        connections: how many were opened.
        creates: whether PUT makes a resource that is not there; else it is answered 404.
        stores: what becomes of content that is written.
        stamps: gives the new version's validators, (ETag, Last-Modified), after a write.
    """

    def __init__(self) -> None:
        self.resources: dict[str, Resource] = {}
        self.requests: list[Message] = []
        self.connections = 0
        self.creates = True
        self.stores: Callable[[bytes], bytes] = lambda content: content
        self.stamps: Callable[[Resource], tuple[str | None, str | None]] = lambda _: (None, None)
        self._scripts: dict[tuple[str, str], Script] = {}
        self._held: dict[str, Held] = {}
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.faults: list[BaseException] = []
        self.address = ("", 0)

    # What a test sets up, and what it asks afterwards.

    def put(self, target: str, content: bytes | str = b"content", **more: object) -> Resource:
        """Gives a path its content behind everybody's back."""
        data = content.encode() if isinstance(content, str) else content
        self.resources[target] = Resource(data, **more)  # type: ignore[arg-type]
        return self.resources[target]

    def on(self, method: str, target: str, script: Script) -> None:
        """Has a script answer."""
        self._scripts[method, target] = script

    def hold(self, method: str) -> Held:
        """Lets every request of this method wait, content read, before it is carried out."""
        self._held[method] = Held()
        return self._held[method]

    def seen(self, method: str | None = None, target: str | None = None) -> list[Message]:
        """The requests that arrived."""
        return [
            one
            for one in self.requests
            if (method is None or one.method == method) and (target is None or one.target == target)
        ]

    def last(self, method: str | None = None) -> Message:
        """The last request."""
        return self.seen(method)[-1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.address[1]}"

    # Its life.

    async def start(self, *, path: str | None = None, tls: ssl.SSLContext | None = None) -> Legacy:
        """Listens on a TCP port of loopback, or on a unix socket."""
        if path is not None:
            self._server = await asyncio.start_unix_server(self._serve, path, limit=1 << 20)
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
            self.address = self._server.sockets[0].getsockname()[:2]
        return self

    async def stop(self) -> None:
        """Ends every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        except BaseException as fault:
            self.faults.append(fault)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await read_head(reader)
        self.requests.append(request)
        exchange = Exchange(request, reader, writer)
        script = self._scripts.get((request.method, request.target)) or self._scripts.get(
            (request.method, "*")
        )
        if script is not None:
            await script(exchange)
        else:
            await exchange.content()
            if (held := self._held.get(request.method)) is not None:
                held.arrived.release()
                await held.go.wait()
            await exchange.send(self._respond(request))
        return not writer.is_closing() and "close" not in (request["Connection"] or "")

    # What a legacy backend does.

    def _respond(self, request: Message) -> bytes:
        resource = self.resources.get(request.target)
        if request.method in ("GET", "HEAD"):
            return self._show(request, resource)
        if request.method in ("OPTIONS", "PROPFIND", "REPORT", "SEARCH", "QUERY"):
            return response(200, [], b"asked", request.method)
        if request.method == "PUT":
            return self._store(request, resource)
        if request.method == "POST":
            return response(200, [], b"done", request.method)
        if resource is None:
            return response(404, [], b"not here", request.method)
        if request.method == "DELETE":
            del self.resources[request.target]
            return response(204, [], b"", request.method)
        self._change(request.target, resource, resource.content + request.body)
        return response(204, [], b"", request.method)

    def _show(self, request: Message, resource: Resource | None) -> bytes:
        if resource is None:
            return response(404, [], b"not here", request.method)
        fields: Lines = [("Content-Type", "text/plain"), *resource.fields]
        fields += [("ETag", resource.etag)] if resource.etag is not None else []
        fields += [("Last-Modified", resource.last_modified)] if resource.last_modified is not None else []
        content = resource.content
        if resource.zips:
            fields.append(("Vary", "Accept-Encoding"))
            if "gzip" in (request["Accept-Encoding"] or ""):
                fields.append(("Content-Encoding", "gzip"))
                content = gzip.compress(content, mtime=0)
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", request["Range"] or "")
        if request.method == "GET" and part and resource.ranges and resource.status == 200:
            first, last = int(part[1]), int(part[2])
            fields.append(("Content-Range", f"bytes {first}-{last}/{len(content)}"))
            return response(206, fields, content[first : last + 1], "GET")
        return response(resource.status, fields, content, request.method)

    def _store(self, request: Message, resource: Resource | None) -> bytes:
        if resource is None and not self.creates:
            return response(404, [], b"not here", "PUT")
        self._change(request.target, resource or Resource(), request.body)
        return response(204 if resource else 201, [], b"", "PUT")

    def _change(self, target: str, old: Resource, content: bytes) -> None:
        etag, modified = self.stamps(old)
        self.resources[target] = Resource(
            self.stores(content), etag, modified, old.fields, old.zips, old.ranges, old.status
        )


DATE = "Tue, 15 Nov 2022 08:12:31 GMT"


def response(status: int, fields: Lines, body: bytes, method: str) -> bytes:
    """A response as bytes, with Date, and with Content-Length where there can be content."""
    own: Lines = [] if any(name.lower() == "date" for name, _ in fields) else [("Date", DATE)]
    if status != 204 and status != 304:
        own.append(("Content-Length", str(len(body))))
    content = b"" if method == "HEAD" or status in (204, 304) else body
    return raw(f"HTTP/1.1 {status} Whatever\r\n") + lines([*own, *fields]) + b"\r\n" + content
