"""A bounded memory of what was used lately."""

from __future__ import annotations

from typing import Final, TypeVar

K = TypeVar("K")
V = TypeVar("V")

MOST: Final = 40_000
"""Entries of one generation where nothing else is said: that many resources in turn never miss."""


class Recent(dict[K, V]):
    """Values by key, in two generations: what nobody asked for while the young one filled up is forgotten.

    A memory that forgets what came first forgets what is used all the time too, and one that forgets
    everything when it is full makes everything anew at once. This one keeps what was used since `most / 2`
    other keys were new, and never holds more than one and a half times `most`. As a dictionary it is its
    young generation, so that what was used a moment ago costs no more than any dictionary: `recent[key]` goes
    on to the old one, and to `unknown`.

    Args:
        most: entries of one generation.
    """

    __slots__ = ("_fading", "_most", "_old")

    def __init__(self, most: int = MOST) -> None:
        super().__init__()
        self._most = most
        self._old: dict[K, V] = {}
        self._fading: list[K] = []  # what will be forgotten; next what came first, which is last here

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
        if key not in self:
            young = len(self)
            if young >= self._most:
                self._old = self.copy()
                self._fading = [*reversed(self._old)]
                self.clear()
            elif 2 * young >= self._most and self._old:
                # Little by little: to free all of them at once would take tens of milliseconds.
                for _ in range(min(2, len(self._fading))):
                    del self._old[self._fading.pop()]
        self[key] = value
