"""Requests as bytes, for tables."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from proxy.app import App
from support.raw_client import Client

Proxy = Callable[..., Awaitable[App]]
"""Starts a proxy: the backend's URL, and any settings."""

Connect = Callable[[App], Awaitable[Client]]
"""Connects to one."""

NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
"""What follows a row on the same connection: it is answered last, or not at all."""


def request(
    line: bytes, *fields: bytes, body: bytes = b"", version: bytes = b"1.1", host: bytes = b"a"
) -> bytes:
    """A request to this host."""
    return b"\r\n".join([line + b" HTTP/" + version, b"Host: " + host, *fields, b"", body])


def chunked(body: bytes) -> bytes:
    """A POST with this in place of chunks."""
    return request(b"POST /x", b"Transfer-Encoding: chunked", body=body)
