"""Answers that a store in memory keeps for a while, no more than so many bytes of them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from proxy.store import Keepsake

MOST_BYTES: Final = 16 << 20
_OVERHEAD: Final = 256  # bytes that one takes beside its words


class Keepsakes:
    """Kept answers by name, the oldest first.

    Args:
        most: bytes; the oldest are forgotten first.
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._size = 0
        self._kept: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()

    def keep(self, keepsake: Keepsake, now: float) -> None:
        """Keeps one, in place of an older one of the same name."""
        self._drop(keepsake.name)
        self._kept[keepsake.name] = (now + keepsake.seconds, keepsake.words)
        self._size += len(keepsake.words) + _OVERHEAD
        while self._kept:
            name, (until, _) = next(iter(self._kept.items()))
            if until > now and self._size <= self._most:
                break
            self._drop(name)

    def recall(self, name: bytes, now: float) -> bytes | None:
        """The words of that name, or None."""
        until, words = self._kept.get(name, (now, b""))
        return words if until > now else None

    def _drop(self, name: bytes) -> None:
        if (old := self._kept.pop(name, None)) is not None:
            self._size -= len(old[1]) + _OVERHEAD
