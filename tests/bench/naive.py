"""The usual aiohttp proxy, written fairly: Application, ClientSession, redis-py, metrics, access log.

It does what one would write in an afternoon, and what nginx with Lua does in `peers.py`: records the tag
after each GET, compares it before each PUT. It is the yardstick of `make bench`, and shares no code with the
project.
"""

from __future__ import annotations

import argparse
import hashlib
import logging

import aiohttp
import redis.asyncio
from aiohttp import web
from multidict import CIMultiDict
from prometheus_client import Counter, Histogram, generate_latest

_REQUESTS = Counter("naive_requests_total", "Requests.", ["method", "status"])
_SECONDS = Histogram("naive_seconds", "Seconds.", ["method"])
_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "content-length", "host"}


class Naive:
    """One proxy."""

    def __init__(self, upstream: str, store: str) -> None:
        self._upstream = upstream
        self._redis = redis.asyncio.from_url(store)
        self._session: aiohttp.ClientSession | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers any request."""
        with _SECONDS.labels(request.method).time():
            response = await self._answer(request)
        _REQUESTS.labels(request.method, str(response.status)).inc()
        return response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        key = "naive:" + request.path
        if request.method not in ("GET", "HEAD") and "If-Match" in request.headers:
            known = await self._redis.get(key)
            if known is not None and known.decode() != request.headers["If-Match"]:
                return web.Response(status=412)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False, connector=aiohttp.TCPConnector(limit=0)
            )
        fields = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        url = self._upstream + request.raw_path
        content = await request.read() if request.can_read_body else None
        async with self._session.request(request.method, url, headers=fields, data=content) as reply:
            body = await reply.read()
            kept = CIMultiDict(line for line in reply.headers.items() if line[0].lower() not in _HOP)
        if request.method == "GET" and reply.status == 200:
            if "ETag" not in kept:
                kept["ETag"] = '"' + hashlib.sha256(body).hexdigest()[:32] + '"'
            tag = kept["ETag"]
            await self._redis.set(key, tag)
            if request.headers.get("If-None-Match") == tag:
                return web.Response(status=304, headers={"ETag": tag})
        return web.Response(status=reply.status, headers=kept, body=body)


async def metrics(_request: web.Request) -> web.Response:
    """The metrics page."""
    return web.Response(body=generate_latest())


def main() -> None:
    """Serves until it is killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--store", required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    app = web.Application(client_max_size=1 << 30)
    app.router.add_get("/-/metrics", metrics)
    app.router.add_route("*", "/{path:.*}", Naive(options.upstream, options.store).handle)
    web.run_app(app, host="127.0.0.1", port=options.port, print=None)


if __name__ == "__main__":
    main()
