"""What workers share: the port, the processors, and limits that are meant for all of them together."""

from __future__ import annotations

import math
import os
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

from proxy.errors import ConfigurationError
from proxy.settings import Address, Settings


def how_many(settings: Settings) -> int:
    """How many workers there are to be; `auto` means one for each processor that this process may use.

    Raises:
        ConfigurationError: this system has no way of sharing a port.
    """
    if settings.workers == 1:
        return 1
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigurationError(
            f"workers: {settings.workers} cannot be had on {sys.platform}, where processes cannot share a"
            " port (SO_REUSEPORT)\n    write workers: 1, and run several with a load balancer in front"
        )
    if settings.workers != "auto":
        return settings.workers
    most = [most for most in (settings.upstream.max_connections, settings.limits.connections) if most]
    return min(_processors(), *most) if most else _processors()


def shared(settings: Settings, address: Address, number: int, workers: int) -> Settings:
    """The settings of one worker: no admin port, and its part of what all may have together.

    Args:
        address: the port that was reserved.
        number: of the worker, from 1.
        workers: how many there are.
    """
    upstream, limits = settings.upstream, settings.limits
    connections = _part(upstream.max_connections, number, workers)
    clients = _part(limits.connections, number, workers)
    return settings.model_copy(
        update={
            "admin": None,
            "listen": address,
            "upstream": upstream.model_copy(update={"max_connections": connections}),
            "limits": limits.model_copy(update={"connections": clients}),
        }
    )


def _part(total: int, number: int, workers: int) -> int:
    """A worker's part; all parts together are the total, and 0 stays no limit."""
    return total // workers + (number <= total % workers)


def reserve(address: Address) -> tuple[Address, ExitStack]:
    """Binds the port without listening, so that no other program gets it while workers come and go.

    Returns:
        The address with the port that the system chose where it was 0, and what holds it.

    Raises:
        OSError: it cannot be had, also where another proxy shares it among workers of its own.
    """
    held, port = ExitStack(), address.port
    try:
        found = socket.getaddrinfo(
            address.host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, place in found:
            if port:
                _bound(family, kind, protocol, (place[0], port, *place[2:]), alone=True).close()
            holding = _bound(family, kind, protocol, (place[0], port, *place[2:]), alone=False)
            held.callback(holding.close)
            port = holding.getsockname()[1]
    except OSError:
        held.close()
        raise
    return Address(address.host, port), held


def _bound(family: int, kind: int, protocol: int, place: tuple[object, ...], *, alone: bool) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        # As asyncio does: connections of an earlier process that linger are no reason to fail.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if not alone:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(place)
    except OSError:
        made.close()
        raise
    return made


def _processors() -> int:
    """Those that this process may run on; fewer where its control group allows less time."""
    may = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return may if math.isinf(quota) else max(1, min(may, math.ceil(quota)))


def _quota(cgroups: Path = Path("/sys/fs/cgroup"), mine: Path = Path("/proc/self/cgroup")) -> float:
    """Processors' worth of time that a container may use, infinite where nothing says so."""
    try:
        place = mine.read_text("utf-8").splitlines()[-1].removeprefix("0::").lstrip("/")
        time, period = cgroups.joinpath(place, "cpu.max").read_text("utf-8").split()
        return math.inf if time == "max" else int(time) / int(period)
    except (OSError, ValueError, IndexError):
        return math.inf
