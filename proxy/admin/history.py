"""How many requests there were, and how many were refused, over the last minutes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

EVERY: Final = 5.0  # seconds between two samples
KEPT: Final = 181  # a quarter of an hour
WINDOW: Final = 12  # samples that a present rate is taken over: a minute

Totals = Mapping[str, tuple[int, int]]
"""Requests and refusals since the start, by route."""


class History:
    """Samples of the totals."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Totals, tuple[int, int]]] = deque(maxlen=KEPT)

    def sample(self, now: float, totals: Totals) -> None:
        """Keeps the totals of a moment, in seconds since the epoch."""
        if not self._samples or now > self._samples[-1][0]:
            self._samples.append((now, totals, _sum(totals)))

    def rates(self, now: float, totals: Totals) -> dict[str, tuple[float, float]]:
        """Requests and refusals per second over the last minute, by route."""
        if not self._samples:
            return dict.fromkeys(totals, (0.0, 0.0))
        then, before, _ = self._samples[max(0, len(self._samples) - WINDOW)]
        seconds = now - then
        return {route: _rate(before.get(route, (0, 0)), after, seconds) for route, after in totals.items()}

    def series(self) -> dict[str, list[float]]:
        """What a chart shows: moments, and requests and refusals per second of all routes before each."""
        times, requests, refused = [], [], []
        for (then, _, before), (now, _, after) in pairwise(self._samples):
            rate = _rate(before, after, now - then)
            times.append(round(now, 1))
            requests.append(round(rate[0], 3))
            refused.append(round(rate[1], 3))
        return {"times": times, "requests": requests, "refused": refused}


def _sum(totals: Totals) -> tuple[int, int]:
    return sum(total[0] for total in totals.values()), sum(total[1] for total in totals.values())


def _rate(before: tuple[int, int], after: tuple[int, int], seconds: float) -> tuple[float, float]:
    if seconds <= 0:
        return 0.0, 0.0
    return (after[0] - before[0]) / seconds, (after[1] - before[1]) / seconds
