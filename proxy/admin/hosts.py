"""By which names browsers may open the pages of the admin port.

A page of a stranger can make its own name point to this port's address (DNS rebinding); for the browser the
two are then one site, and its script may read what is shown here. What it cannot forge is the Host that the
browser sends (RFC 9110 section 7.2): the stranger's name. Addresses are nobody's name, so they are let in.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from aiohttp import web

# They name no resource, and are asked for by names that nobody can list: of services, targets and probes.
OPEN: Final = frozenset({"/metrics", "/healthz", "/readyz"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Hosts:
    """Which Host fields are this port's own.

    Args:
        names: besides localhost, addresses, and what this machine (in Kubernetes: the pod) is called. `*` is
            any.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {"localhost", socket.gethostname().lower(), *names}

    def knows(self, field: str) -> bool:
        """Whether the value of a Host field names this port; the port's number does not matter."""
        if "*" in self._names:
            return True
        name = _name(field)
        # RFC 6761 section 6.3: whatever ends in .localhost is this machine.
        return name in self._names or name.endswith(".localhost") or _is_address(name)

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuses pages and data under any other name (RFC 9110 section 15.5.20)."""
        field = request.headers.get("Host", "")
        if request.path in OPEN or self.knows(field):
            return await handler(request)
        text = (
            "This page is not shown under this name: a stranger's site could point its own name here.\n"
            "Open it by address or as localhost, or add the name to admin_hosts (PROXY_ADMIN_HOSTS).\n"
        )
        return web.Response(status=421, text=text)


def _name(field: str) -> str:
    """The host of a Host field (RFC 3986 section 3.2.2), without brackets, port and a last dot."""
    if field.startswith("["):
        return field[1:].partition("]")[0].lower()
    return field.partition(":")[0].lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
