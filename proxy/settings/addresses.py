"""Addresses and URLs: where to listen, where the backend and the store are."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from proxy.settings.values import near, quoted, wrong

UPSTREAM_SCHEMES: Final = ("http", "https", "unix")
COLLECTOR_SCHEMES: Final = ("http", "https")
STORE_SCHEMES: Final = (
    "memory",
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?\]")
_LISTEN = re.compile(r"(\[[^\]]*\]|[^:\[\]]*):(\d{1,5})")
_SPLITTABLE = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen.

    Attributes:
        host: a name or an IP address without brackets; "" for every interface.
        port: 0 lets the system choose one.
    """

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine (in Kubernetes: this pod) can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(value: object) -> Address:
    """`127.0.0.1:8412`, `[::1]:8412`, `localhost:0`, or `:8412` for every interface."""
    if isinstance(value, Address):
        return value
    match = _LISTEN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise wrong(f"{quoted(value)} is not host:port", _listen_advice(value))
    if int(match[2]) > 65535:
        raise wrong(f"{quoted(value)} has a port above 65535", "write a port from 0 to 65535")
    if match[1] and not _HOST.fullmatch(match[1]):
        raise wrong(f"{quoted(value)} has an impossible host", "write host:port, such as 127.0.0.1:8412")
    return Address(match[1].strip("[]"), int(match[2]))


def admin_address(value: object) -> Address | None:
    """As `address`; `off` or nothing for none."""
    if value is None or value is False or (isinstance(value, str) and value.lower() == "off"):
        return None
    return address(value)


def upstream_url(value: object) -> str:
    """`http://host:port`, `https://host` or `unix:/path`, without a last slash."""
    if isinstance(value, str) and value.startswith("unix:"):
        return _unix(value)
    url = _split(value, UPSTREAM_SCHEMES, "http://localhost:8080")
    shown, origin = redacted(str(value)), f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
    if "@" in url.netloc:
        raise wrong(
            f"{quoted(shown)} has a user name or password, which the proxy never sends",
            f"write {origin}: clients send their own credentials",
        )
    _check_host(value, url)
    if url.path.strip("/") or url.query or url.fragment:
        raise wrong(
            f"{quoted(shown)} has more than scheme, host and port",
            f"write {origin}: a request's path is forwarded as it is",
        )
    return origin


def collector_url(value: object) -> str | None:
    """The base URL of a collector that speaks OTLP over HTTP, without a last slash."""
    if value is None:
        return None
    url = _split(value, COLLECTOR_SCHEMES, "http://localhost:4318")
    shown = redacted(str(value))
    if "@" in url.netloc or url.query or url.fragment:
        bare = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
        raise wrong(
            f"{quoted(shown)} has more than scheme, host, port and path",
            f"write {bare}; credentials go into OTEL_EXPORTER_OTLP_HEADERS",
        )
    _check_host(value, url)
    if url.path.rstrip("/").endswith("/v1/traces"):
        bare = url.geturl().rstrip("/").removesuffix("/v1/traces")
        raise wrong(f"{quoted(shown)} names the path of traces, which is added", f"write {bare}")
    return url.geturl().rstrip("/")


def store_url(value: object) -> str:
    """`memory`, or a Redis URL: standalone, TLS, unix socket, Sentinel or Cluster."""
    if value is None or (isinstance(value, str) and value.rstrip(":/") == "memory"):
        return "memory"
    if isinstance(value, str) and value.startswith("unix:"):
        return _store_socket(value)
    url = _split(value, STORE_SCHEMES, "redis://localhost:6379/0, or memory")
    topology = url.scheme.partition("+")[2]
    for host in url.netloc.rpartition("@")[2].split(","):
        _check_host(value, url._replace(netloc=host))
    if topology == "sentinel" and not url.path.strip("/"):
        raise wrong(
            f"{quoted(redacted(str(value)))} does not name Sentinel's master",
            f"write {url.scheme}://host:26379,host2:26379/mymaster/0",
        )
    if topology == "cluster" and url.path.strip("/0"):
        raise wrong(
            f"{quoted(redacted(str(value)))} names a database: a Redis Cluster has only database 0",
            f"write {redacted(url._replace(path='').geturl())}",
        )
    if not topology and not re.fullmatch(r"/?\d*", url.path):
        raise wrong(
            f"{quoted(redacted(str(value)))} has a path that is no database number",
            f"write {url.scheme}://{redacted(str(value)).split('://')[1].split('/')[0]}/0",
        )
    return str(value)


def network(value: object) -> Network:
    """One address or a CIDR block."""
    if isinstance(value, Network):
        return value
    try:
        return ipaddress.ip_network(value if isinstance(value, str) else "")
    except ValueError:
        raise wrong(
            f"{quoted(value)} is not an IP address or network", f"write {_network_advice(value)}"
        ) from None


def redacted(url: str) -> str:
    """The URL with its password, and every secret-looking query value, replaced by ***."""
    shown = re.sub(r"(//[^/@:]*:)[^/]*@", r"\1***@", url)
    return re.sub(r"([?&][^=&]*(?:password|secret|token)[^=&]*=)[^&]*", r"\1***", shown)


def _split(value: object, schemes: tuple[str, ...], example: str) -> SplitResult:
    shown = quoted(redacted(value) if isinstance(value, str) else value)
    match = _SPLITTABLE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise wrong(f"{shown} is not a URL", f"write {_with_scheme(value, schemes, example)}")
    if match["scheme"].lower() not in schemes:
        meant = near(match["scheme"], schemes)
        advice = f"write {meant}://{redacted('//' + match['rest'])[2:]}" if meant else f"write {example}"
        known = ", ".join(f"{scheme}:" for scheme in schemes)
        raise wrong(f"{shown} has the scheme {match['scheme']}:, which is none of {known[:-1]}:", advice)
    if re.search(r"[\s\x00-\x1f\\]", match["rest"]):
        raise wrong(f"{shown} has a space, control character or backslash", f"write {example}")
    try:
        return urlsplit(match["scheme"].lower() + "://" + match["rest"])
    except ValueError:
        raise wrong(f"{shown} is not a URL", f"write {example}") from None


def _check_host(value: object, url: SplitResult) -> None:
    shown = quoted(redacted(str(value)))
    try:
        port_is_right = url.port is None or 0 < url.port <= 65535
    except ValueError:
        port_is_right = False
    if not port_is_right:
        raise wrong(f"{shown} has an impossible port", "write a port from 1 to 65535")
    host = re.sub(r":\d*$", "", url.netloc.rpartition("@")[2])
    if not _HOST.fullmatch(host):
        raise wrong(
            f"{shown} has no host" if not host else f"{shown} has an impossible host", "write host:port"
        )


def _unix(value: str) -> str:
    path = re.sub(r"^unix:(//)?", "", value)
    if not path.startswith("/") or path == "/":
        raise wrong(
            f"{quoted(value)} does not name a socket", "write unix:/run/backend.sock, an absolute path"
        )
    return f"unix:{path}"


def _store_socket(value: str) -> str:
    # `unix://user:password@/path?db=0`: who and which database stand where they do in redis-py.
    if not re.fullmatch(r"unix:(//[^/]*)?/[^/?#][^?#]*(\?[^#]*)?", value):
        raise wrong(f"{quoted(redacted(value))} does not name a socket", "write unix:///run/redis.sock?db=0")
    return value


def _listen_advice(value: object) -> str:
    if isinstance(value, int) or (isinstance(value, str) and value.isdigit()):
        return f"write 127.0.0.1:{value}, or :{value} for every interface"
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        return f"write {value.split('://')[1].split('/')[0] or '127.0.0.1:8412'}"
    if isinstance(value, str) and value.count(":") > 1:
        return "write an IPv6 address in brackets, such as [::1]:8412"
    if isinstance(value, str) and _HOST.fullmatch(value):
        return f"write {value}:8412"
    return "write an address such as 127.0.0.1:8412"


def _with_scheme(value: object, schemes: tuple[str, ...], example: str) -> str:
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.\[-][A-Za-z0-9_.:\[\]-]*", value):
        scheme = "redis" if "redis" in schemes else "http"
        return f"{scheme}://{value}"
    return example


def _network_advice(value: object) -> str:
    try:
        return str(ipaddress.ip_network(str(value), strict=False))
    except ValueError:
        return "one such as 10.0.0.0/8, 192.168.1.7 or fd00::/8"


def host_name(value: object) -> str:
    """A host as a browser's address line has it, without a port, in lower case; or `*`."""
    if value == "*":
        return "*"
    if isinstance(value, str) and _HOST.fullmatch(value):
        return value.lower().strip("[]").removesuffix(".")
    raise wrong(
        f"{quoted(value)} is no host name", "write a name without a port, such as proxy.example, or *"
    )
