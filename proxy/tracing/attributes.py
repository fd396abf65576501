"""Values of attributes: what of a request may be told, and in which form."""

from __future__ import annotations

from typing import Final

from proxy.metrics import METHODS

OTHER_METHOD: Final = "_OTHER"


def method_name(method: str) -> str:
    """Made-up methods would make span names without end, so the conventions have one name for them."""
    return method if method in METHODS else OTHER_METHOD


def path(target: str) -> str:
    """A request target without scheme, authority and query: these may hold credentials."""
    if not target.startswith("/"):
        _, _, rest = target.partition("://")
        _, slash, below = rest.partition("/")
        target = slash + below
    return text(target.partition("?")[0].partition("#")[0])


def authority(host: str) -> tuple[str, int]:
    """Name or address, and port; 0 where there is none."""
    name, colon, port = host.rpartition(":")
    if colon and not port:
        return name.strip("[]"), 0
    if not colon or not port.isdigit() or len(port) > 5:
        return host.strip("[]"), 0
    return name.strip("[]"), int(port)


def text(value: str) -> str:
    """Text that can be encoded: field values may hold bytes that are no UTF-8."""
    return value.encode("utf-8", "backslashreplace").decode()
