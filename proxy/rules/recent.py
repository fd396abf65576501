"""A bounded memory of what was used lately."""

from __future__ import annotations

from typing import Final, TypeVar

K = TypeVar("K")
V = TypeVar("V")

MOST: Final = 32_768
"""Entries of one generation where nothing else is said: that many resources in turn never miss."""


class Recent(dict[K, V]):
    """Values by key, in two generations: what nobody asked for while the young one filled up is forgotten.

    A memory that forgets what came first forgets each entry just before it is asked for again, where a few
    more are used in turn than it holds; one that forgets everything when it is full makes everything anew at
    once. This one keeps at least the last `most` that were used, and at most twice as many. As a dictionary
    it is its young generation, so that what was used a moment ago costs no more than any dictionary:
    `recent[key]` goes on to the old one, and to `unknown`.

    Args:
        most: entries of one generation.
    """

    __slots__ = ("_most", "_old")

    def __init__(self, most: int = MOST) -> None:
        super().__init__()
        self._most = most
        self._old: dict[K, V] = {}

    def __missing__(self, key: K) -> V:
        value = self._old.get(key)
        if value is None:
            return self.unknown(key)
        self.keep(key, value)
        return value

    def unknown(self, key: K) -> V:
        """What `recent[key]` comes to where nothing is remembered; to be overridden.

        Raises:
            KeyError: always, unless it is overridden.
        """
        raise KeyError(key)

    def recall(self, key: K) -> V | None:
        """What is remembered, or None; a value is never None."""
        value = self.get(key)
        if value is None and (value := self._old.get(key)) is not None:
            self.keep(key, value)
        return value

    def keep(self, key: K, value: V) -> None:
        """Remembers a value, in place of the one that the key had."""
        if len(self) >= self._most and key not in self:
            self._old = self.copy()
            self.clear()
        self[key] = value
