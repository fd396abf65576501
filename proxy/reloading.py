"""Reads the configuration again: after SIGHUP, and where its file has changed."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from proxy.errors import ConfigurationError
from proxy.settings import Settings

EVERY: Final = 1.0  # seconds between two looks at the file
RELOADABLE: Final = frozenset({"routes", "defaults"})

_log = logging.getLogger("proxy.reloading")
_Stamp = tuple[int, int, int] | None


class Reloading:
    """Watches one file, or nothing but the signal.

    Args:
        path: the file, or None where the configuration has none.
        load: reads the configuration, file, environment and flags; runs in a thread.
        apply: puts it in force, and says what became of it: "applied" or "unchanged".
        count: is told what became of each attempt.
    """

    def __init__(
        self,
        path: Path | None,
        load: Callable[[], Settings],
        apply: Callable[[Settings], Awaitable[str]],
        count: Callable[[str], None],
    ) -> None:
        self._path = path
        self._load = load
        self._apply = apply
        self._count = count
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Has the configuration read again now (SIGHUP)."""
        self._asked.set()

    async def run(self) -> None:
        """Watches until it is cancelled."""
        known = last = self._stamp()
        while True:
            asked = await self._ask_within(EVERY)
            stamp = self._stamp()
            # A file that still changes is not read: it may be half written.
            if asked or (stamp != known and stamp == last):
                known = stamp
                await self.reload()
            last = stamp

    async def reload(self) -> None:
        """Reads it once; a configuration that cannot be used changes nothing."""
        try:
            result = await self._apply(await asyncio.to_thread(self._load))
        except ConfigurationError as fault:
            _log.error("the new configuration cannot be used, the old one stays: %s", fault)
            result = "refused"
        self._count(result)

    async def _ask_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        except TimeoutError:
            return False
        self._asked.clear()
        return True

    def _stamp(self) -> _Stamp:
        """What tells one state of the file from another, also where a link is turned to another file."""
        if self._path is None:
            return None
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def restart_needed(old: Settings, new: Settings) -> list[str]:
    """The settings that differ and take effect only at a start, as people write them."""
    found = []
    for name in sorted(set(Settings.model_fields) - RELOADABLE):
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        keys = getattr(type(before), "model_fields", None)
        if keys is None or type(before) is not type(after):
            found.append(name)
        else:
            found += [f"{name}.{key}" for key in keys if getattr(before, key) != getattr(after, key)]
    return found
