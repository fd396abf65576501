"""What this process recorded in the store a moment ago, so that it need not record the same again."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from proxy.rules.versions import ABSENT, Absent, Version
from proxy.store.names import LONGEST, short

_SIZE: Final = 50_000


class Mirror:
    """A bounded memory of recorded versions.

    It only ever saves a call: a version that is in it was in the store, and if another process has changed
    that since, one observation is missed for at most `seconds`.

    Args:
        seconds: for how long an entry is believed.
        size: most resources remembered.
    """

    def __init__(self, seconds: float, size: int = _SIZE) -> None:
        self._seconds = seconds
        self._size = size
        self._entries: OrderedDict[str | bytes, tuple[str, float, dict[str, Version | Absent]]] = (
            OrderedDict()
        )

    def holds(self, key: str, incarnation: str, version: Version | Absent, now: float) -> bool:
        """Whether just this was recorded, in this incarnation, not long ago."""
        entry = self._entries.get(key if len(key) <= LONGEST else short(key))
        if entry is None or entry[0] != incarnation or entry[1] < now:
            return False
        held = entry[2].get("" if version is ABSENT else version.variant)
        return held is version or held == version

    def put(self, key: str, incarnation: str, version: Version | Absent, now: float, *, alone: bool) -> None:
        """Remembers a recorded version; `alone` where it took the place of all others."""
        name = key if len(key) <= LONGEST else short(key)
        entry = self._entries.pop(name, None)
        if entry is None or entry[0] != incarnation or entry[1] < now or alone:
            entry = (incarnation, now + self._seconds, {})
        entry[2]["" if version is ABSENT else version.variant] = version
        self._entries[name] = entry
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def drop(self, key: str) -> None:
        """Forgets a resource: a write of this process may have changed it."""
        self._entries.pop(key if len(key) <= LONGEST else short(key), None)
