"""The stores that proxies of these tests keep their versions in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from support.redis_server import RedisServer


@contextmanager
def store_url(kind: str) -> Iterator[str]:
    """`memory`, or the URL of a Redis of its own."""
    if kind == "memory":
        yield "memory"
        return
    with RedisServer() as server:
        yield server.url
