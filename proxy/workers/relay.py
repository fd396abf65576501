"""What a worker keeps for the page of conflicts until the supervising process asks for it."""

from __future__ import annotations

from typing import Final

from proxy.admin import Conflicts, Told

MOST_KEPT: Final = 2_000


class Relay(Conflicts):
    """Knows whose next steps matter, here and on other workers, and keeps what was told.

    Attributes:
        followed: resource and client of refusals on any worker; a client may come back to another one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.followed: frozenset[tuple[str, str]] = frozenset()
        self._kept: list[Told] = []

    def wants(self, method: str, outcome: str, resource: str, client: str) -> bool:
        """As the page's own, for all workers."""
        return super().wants(method, outcome, resource, client) or (resource, client) in self.followed

    def tell(self, told: Told) -> None:
        """Keeps it. Of too much between two questions, refusals are kept and other writes left out."""
        super().tell(told)
        if len(self._kept) < MOST_KEPT or (told.conflict and len(self._kept) < 2 * MOST_KEPT):
            self._kept.append(told)

    def take(self) -> tuple[Told, ...]:
        """What was kept since the last time."""
        taken = tuple(self._kept)
        self._kept.clear()
        return taken
