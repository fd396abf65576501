"""Reads the configuration again: after SIGHUP, and where its file has changed."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.errors import ConfigurationError
from proxy.settings import Settings

EVERY: Final = 1.0  # seconds between two looks at the file
RELOADABLE: Final = frozenset({"routes", "defaults"})

_log = logging.getLogger("proxy.reloading")
Stamp = tuple[int, int, int] | None
"""What tells one state of a file from another; None where there is no file."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the configuration comes from. Make it before the first load, so that no change is overlooked.

    Attributes:
        load: reads the configuration: file, environment and flags.
        path: the file, or None where the configuration has none.
        known: the state of the file before it was read.
    """

    load: Callable[[], Settings]
    path: Path | None
    known: Stamp

    @staticmethod
    def of(path: Path | None, load: Callable[[], Settings]) -> Source:
        """The source as it is now."""
        return Source(load, path, stamp(path))


class Reloading:
    """Watches the source, or nothing but the signal.

    Args:
        source: is read in a thread.
        apply: puts it in force, and says what became of it: "applied" or "unchanged".
        count: is told what became of each attempt.
    """

    def __init__(
        self,
        source: Source,
        apply: Callable[[Settings], Awaitable[str]],
        count: Callable[[str], None],
    ) -> None:
        self._source = source
        self._apply = apply
        self._count = count
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Has the configuration read again now (SIGHUP)."""
        self._asked.set()

    async def run(self) -> None:
        """Watches until it is cancelled."""
        known, last = self._source.known, stamp(self._source.path)
        while True:
            asked = await self._ask_within(EVERY)
            now = stamp(self._source.path)
            # A file that still changes is not read: it may be half written.
            if asked or (now != known and now == last):
                known = now
                await self.reload()
            last = now

    async def reload(self) -> None:
        """Reads it once; a configuration that cannot be used changes nothing."""
        try:
            result = await self._apply(await asyncio.to_thread(self._source.load))
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


def stamp(path: Path | None) -> Stamp:
    """The state of a file; another one also where a link is turned to another file, as in a ConfigMap."""
    if path is None:
        return None
    try:
        status = os.stat(path)
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


def routes_of(old: Settings, new: Settings) -> Settings | None:
    """The old settings with the new routes and defaults; the log says what else differs.

    Returns:
        None where they are the same.
    """
    if waiting := restart_needed(old, new):
        _log.warning(
            "changed in the configuration, but in force only after a restart: %s", ", ".join(waiting)
        )
    taken = old.model_copy(update={"routes": new.routes, "defaults": new.defaults})
    if taken == old:
        _log.info("the configuration was read again: the routes are the same")
        return None
    return taken


def say_applied(routes: int, *, same_names: bool) -> None:
    """Says in the log what a reload has done."""
    _log.info("the configuration was read again: %d routes are in force", routes)
    if not same_names:
        _log.warning(
            "resources are named otherwise than before, or looked at that were not: until this process is"
            " started again, every conditional write is verified with the backend"
        )
