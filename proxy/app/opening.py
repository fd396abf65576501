"""Opens a port, or says what to do instead."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from proxy.errors import ConfigurationError
from proxy.settings import Address

_Opened = TypeVar("_Opened")


async def opened(key: str, address: Address, opening: Awaitable[_Opened]) -> _Opened:
    """The port, opened.

    Args:
        key: the setting that says the address.

    Raises:
        ConfigurationError: the address cannot be had.
    """
    try:
        return await opening
    except OSError as fault:
        raise ConfigurationError(
            f"{key}: cannot listen on {address}: {fault.strerror or fault}. "
            f"Free the port or choose another, e.g. --{key} {address.host or '127.0.0.1'}:0"
        ) from None
