"""Store URLs: which servers, as whom, over TLS or not.

    redis://[user:password@]host[:port][/db]         rediss:// the same over TLS
    unix://[user:password@]/path/to/socket[?db=0]
    redis+sentinel://[user:password@]host:port,host:port/service[/db]       rediss+sentinel://
    redis+cluster://[user:password@]host:port,host:port                     rediss+cluster://

TLS takes `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`, `ssl_cert_reqs` (required, optional, none) and
`ssl_check_hostname` from the query, as redis-py does. Sentinels that want a password take
`sentinel_username` and `sentinel_password`.
"""

from __future__ import annotations

import enum
import ssl
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from proxy.errors import ConfigurationError

SCHEMES: Final = (
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)


class Topology(enum.Enum):
    """How the servers stand to each other."""

    STANDALONE = "standalone"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Address:
    """One server: a TCP address, or the path of a Unix socket."""

    host: str = ""
    port: int = 6379
    path: str = ""

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Login:
    """How to introduce oneself to a server.

    Attributes:
        username: "" for the default user.
        password: "" for none.
        db: the number of the database.
        tls: None for plain TCP.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    db: int = 0
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """What a store URL says.

    Attributes:
        addresses: the server, the sentinels, or some nodes of the Cluster.
        service: the master's name among the sentinels.
        sentinel_login: for the sentinels themselves.
    """

    topology: Topology
    addresses: tuple[Address, ...]
    login: Login
    service: str = ""
    sentinel_login: Login = Login()


def parse_url(url: str) -> StoreUrl:
    """Reads a store URL.

    Raises:
        ConfigurationError: what is wrong with it, without the password.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ConfigurationError(
            f"store.url: unknown scheme {parts.scheme!r}; write one of: {', '.join(SCHEMES)}"
        )
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    secure, _, kind = parts.scheme.partition("+")
    tls = _tls(query) if secure == "rediss" else None
    if parts.scheme == "unix":
        return _unix(parts, query)
    topology = Topology(kind) if kind else Topology.STANDALONE
    return _servers(parts, query, topology, tls)


def _unix(parts: SplitResult, query: dict[str, str]) -> StoreUrl:
    username, password, host = _authority(parts.netloc)
    if host or not parts.path:
        raise ConfigurationError("store.url: a Unix socket is written unix:///path/to/redis.sock")
    db = _number(query.pop("db", "0"), "the database")
    _nothing_left(query)
    return StoreUrl(
        Topology.STANDALONE, (Address(path=unquote(parts.path)),), Login(username, password, db, None)
    )


def _servers(
    parts: SplitResult, query: dict[str, str], topology: Topology, tls: ssl.SSLContext | None
) -> StoreUrl:
    username, password, hosts = _authority(parts.netloc)
    default_port = 26379 if topology is Topology.SENTINEL else 6379
    addresses = tuple(_address(host, default_port) for host in hosts.split(","))
    if topology is Topology.STANDALONE and len(addresses) > 1:
        raise ConfigurationError("store.url: several servers need redis+sentinel:// or redis+cluster://")
    path = [unquote(part) for part in parts.path.split("/") if part]
    service = _service(path) if topology is Topology.SENTINEL else ""
    db = _number(query.pop("db", path.pop(0) if path else "0"), "the database")
    if path or (db and topology is Topology.CLUSTER):
        raise ConfigurationError(f"store.url: the path {parts.path!r} is not understood; a Cluster has no db")
    sentinel = Login(query.pop("sentinel_username", ""), query.pop("sentinel_password", ""), 0, tls)
    _nothing_left(query)
    return StoreUrl(topology, addresses, Login(username, password, db, tls), service, sentinel)


def _authority(netloc: str) -> tuple[str, str, str]:
    who, _, hosts = netloc.rpartition("@")
    username, _, password = who.partition(":")
    return unquote(username), unquote(password), hosts


def _address(text: str, default_port: int) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):  # an IPv6 address in brackets, without a port
        host, port = text, str(default_port)
    host = host.strip("[]")
    return Address(host or "localhost", _number(port, "the port"))


def _service(path: list[str]) -> str:
    if not path:
        raise ConfigurationError("store.url: name the service: redis+sentinel://host:26379/service")
    return path.pop(0)


def _number(text: str, what: str) -> int:
    if not text.isdecimal():
        raise ConfigurationError(f"store.url: {what} {text!r} is not a number")
    return int(text)


def _nothing_left(query: dict[str, str]) -> None:
    if query:
        raise ConfigurationError(f"store.url: unknown parameter {next(iter(query))!r}")


_VERIFY: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def _tls(query: dict[str, str]) -> ssl.SSLContext:
    requirement = query.pop("ssl_cert_reqs", "required")
    check = query.pop("ssl_check_hostname", "true").lower() not in ("false", "0", "no")
    authorities, certificate = query.pop("ssl_ca_certs", None), query.pop("ssl_certfile", None)
    key = query.pop("ssl_keyfile", None)
    if requirement not in _VERIFY:
        raise ConfigurationError(f"store.url: ssl_cert_reqs is one of: {', '.join(_VERIFY)}")
    try:
        context = ssl.create_default_context(cafile=authorities)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except OSError as error:
        raise ConfigurationError(f"store.url: the TLS files cannot be used: {error}") from error
    context.check_hostname = check and requirement == "required"
    context.verify_mode = _VERIFY[requirement]
    return context
