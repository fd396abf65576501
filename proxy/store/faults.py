"""Redis's refusals and silences, as this project's own errors. The seam where foreign errors end."""

from __future__ import annotations

import re
from typing import Final

from proxy.errors import StoreUnavailable


class Unanswered(StoreUnavailable):
    """The call was sent and its reply never came: Redis may have done it, or may do it yet."""


_REASONS: Final = {
    "READONLY": "Redis is a read-only replica; a fail-over may be under way.",
    "LOADING": "Redis is loading its data.",
    "OOM": "Redis is full.",
    "MISCONF": "Redis cannot save its data, and refuses writes.",
    "NOREPLICAS": "Redis has too few replicas to accept writes.",
    "BUSY": "Redis is busy with a script.",
    "NOAUTH": "Redis asks for a password.",
    "WRONGPASS": "Redis refused the user or the password.",
    "NOPERM": "The Redis user lacks a permission.",
    "CLUSTERDOWN": "The Redis Cluster is down.",
    "MASTERDOWN": "Redis has lost its master.",
    "MOVED": "The Redis Cluster has moved this resource to another node.",
    "ASK": "The Redis Cluster is moving this resource to another node.",
    "TRYAGAIN": "The Redis Cluster is moving this resource to another node.",
}

DEMOTED: Final = frozenset({"READONLY", "MASTERDOWN"})
"""Refusals after which the connection is given up: the master is elsewhere by now."""

REMAPPED: Final = frozenset({"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"})
"""Refusals after which the map of the Cluster is read anew."""


# Before Redis 7 a command's refusal comes wrapped, where a script gave the command.
_WRAPPED: Final = re.compile(r"@user_script: ?\d+: -?([A-Z]+) ")


def code(error: Exception) -> str:
    """The first word of Redis's error reply."""
    text = str(error)
    wrapped = _WRAPPED.search(text)
    return wrapped[1] if wrapped else text.partition(" ")[0]


def refusal(error: Exception) -> StoreUnavailable:
    """What an error reply of Redis means. It was not executed, or undone nothing."""
    plain = _REASONS.get(code(error))
    return StoreUnavailable(plain or f"Redis answered with an error: {error}")


def unreachable(where: str, error: BaseException) -> StoreUnavailable:
    """No connection to Redis."""
    if isinstance(error, StoreUnavailable):
        return error
    why = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return StoreUnavailable(f"Redis at {where} cannot be reached: {why}")
