"""Where the backend is: base URLs, and how a connection to it is made."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from proxy.errors import ConfigurationError

Connect = Callable[[Callable[[], asyncio.Protocol]], Awaitable[tuple[Any, Any]]]
"""Makes a connection: protocol factory in, transport and protocol out, as `loop.create_connection` does."""

_PORTS = {"http": 80, "https": 443}

_TLS_GOODBYE = 1.0
"""Seconds that a closing TLS connection waits for the backend's closure alert."""


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed base URL.

    Attributes:
        host: name or address without brackets; "" for a unix socket.
        port: TCP port; 0 for a unix socket.
        path: the unix socket's path, else "".
        tls: whether to speak TLS.
    """

    host: str
    port: int
    path: str
    tls: bool

    @property
    def authority(self) -> bytes:
        """The default Host (RFC 9110 section 7.2), without a port that goes without saying."""
        if self.path:
            return b"localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        name = host.encode("ascii" if host.isascii() else "idna")
        usual = self.port == _PORTS["https" if self.tls else "http"]
        return name if usual else b"%b:%d" % (name, self.port)

    def __str__(self) -> str:
        if self.path:
            return f"the backend at {self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"the backend {host}:{self.port}"


def parse_address(url: str) -> Address:
    """Understands `http://host[:port]`, `https://host[:port]` and `unix:///path/to.sock`.

    Raises:
        ConfigurationError: anything else. The message does not repeat credentials.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigurationError("the upstream's URL has a malformed host") from None
    if parts.scheme == "unix":
        return _unix(parts)
    if parts.scheme not in _PORTS:
        raise ConfigurationError("the upstream's URL must begin with http://, https:// or unix://")
    if "@" in parts.netloc:
        raise ConfigurationError("the upstream's URL must not hold credentials: clients send their own")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigurationError("the upstream's URL must end after host and port, without a path or query")
    port = _port(parts)
    if not parts.hostname:
        raise ConfigurationError("the upstream's URL has no host: write http://host:port")
    return Address(parts.hostname, port or _PORTS[parts.scheme], "", parts.scheme == "https")


def _port(parts: SplitResult) -> int | None:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ConfigurationError("the upstream's port must be a number from 1 to 65535")
    return port


def _unix(parts: SplitResult) -> Address:
    if parts.netloc or not parts.path.startswith("/"):
        raise ConfigurationError("a unix socket is written with three slashes: unix:///path/to.sock")
    return Address("", 0, parts.path, False)


def tls_context(*, ca_file: str | Path | None = None, verify: bool = True) -> ssl.SSLContext:
    """What TLS connections to the backend check.

    Args:
        ca_file: PEM file of the certificate authorities to trust; the system's where absent.
        verify: whether the backend's certificate and name are checked at all.

    Raises:
        ConfigurationError: the file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as fault:
        raise ConfigurationError(
            f"the upstream's ca_file {ca_file} cannot be read as PEM certificates"
        ) from fault
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def connector(address: Address, tls: ssl.SSLContext | None, server_name: str | None) -> Connect:
    """How to connect to this address, in whatever event loop is running."""
    if address.path:
        return lambda factory: asyncio.get_running_loop().create_unix_connection(factory, address.path)
    if not address.tls:
        return lambda factory: asyncio.get_running_loop().create_connection(
            factory, address.host, address.port
        )
    context = tls or tls_context()
    name = server_name or address.host
    return lambda factory: asyncio.get_running_loop().create_connection(
        factory,
        address.host,
        address.port,
        ssl=context,
        server_hostname=name,
        ssl_shutdown_timeout=_TLS_GOODBYE,
    )
