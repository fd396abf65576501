"""Runs the scripts of one resource: its keys, the incarnation believed in, the clock and the meter."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Final

from proxy.errors import StoreUnavailable
from proxy.rules.base64url import base64url
from proxy.rules.recent import Recent
from proxy.store import Meter
from proxy.store.lives import Life, Lives
from proxy.store.lua import scripts
from proxy.store.mirror import Mirror
from proxy.store.names import digest
from proxy.store.servers import Servers
from proxy.store.wire import Done, Reply, Word, settle

_FORGETFUL: Final = frozenset({"claim", "forget"})
"""After these, what the mirror holds of the resource is wrong. `release` is left to who ends the claim."""

_LONGEST: Final = 256  # characters; a client could make thousands of longer names up


@dataclass(slots=True, eq=False)
class Place:
    """Where a resource is in Redis.

    Attributes:
        life: the incarnation of its group.
        keys: its entry (a hash, so that a long path costs no memory), and the incarnation's own key.
    """

    life: Life
    keys: tuple[str, ...]


class Places(Recent[str, Place]):
    """The places of resources by name, found when first asked for; the last ones are remembered."""

    __slots__ = ("_groups", "_lives", "_prefix")

    def __init__(self, lives: Lives, prefix: str, groups: int) -> None:
        super().__init__()
        self._lives = lives
        self._prefix = prefix
        self._groups = groups

    def unknown(self, key: str) -> Place:
        """Where a resource is of which nothing is remembered."""
        whole = digest(key)
        group = whole[0] % self._groups
        name = base64url(whole)
        life = self._lives.groups[group]
        place = Place(life, (f"{self._prefix}:{{{group}}}:{name}", life.key))
        if len(key) <= _LONGEST:
            self.keep(key, place)
        return place


class Calls:
    """How the store's methods reach the scripts.

    Args:
        servers: where the scripts run.
        lives: the incarnations.
        mirror: forgets a resource that a script changes.
        prefix: of every key.
        ttl: seconds that an entry is kept after its last touch.
        meter: told of every call.
    """

    def __init__(
        self,
        servers: Servers,
        lives: Lives,
        mirror: Mirror,
        *,
        prefix: str,
        ttl: float,
        meter: Meter | None,
    ) -> None:
        self._servers = servers
        self._lives = lives
        self._mirror = mirror
        self._prefix = prefix
        self._ttl = round(ttl * 1e3)
        self._meter = meter
        self._scripts = scripts()
        self.places = Places(lives, prefix, servers.groups)

    def call(
        self, name: str, key: str, words: tuple[Word, ...] = (), incarnation: str = "", kept: bytes = b""
    ) -> asyncio.Future[Reply]:
        """Sends a script at once; the future has its reply, or raises StoreUnavailable."""
        future: asyncio.Future[Reply] = self._lives.future()
        self.send(name, key, words, partial(settle, future), incarnation, kept)
        return future

    def send(
        self,
        name: str,
        key: str,
        words: tuple[Word, ...],
        done: Done,
        incarnation: str = "",
        kept: bytes = b"",
    ) -> None:
        """Sends a script at once; `done` gets the reply, or a StoreUnavailable. Never raises.

        Args:
            incarnation: in which the script is to run; the present one if left out.
            kept: the name of an answer that the script keeps or recalls, if it does.
        """
        place, lives = self.places[key], self._lives
        life, keys = place.life, place.keys
        clock = life.clock
        believed = incarnation or life.id
        if not believed:
            done(self._servers.fault(life.group) or stranger())
            return
        if not lives.busy:
            lives.used()
        if kept:
            name_of_answer = base64url(kept)
            keys = (*keys, f"{self._prefix}:{{{life.group}}}:answer:{name_of_answer}")
        if name in _FORGETFUL:
            self._mirror.drop(key)
        began = lives.now()

        def answered(reply: Reply) -> None:
            now, ok = lives.now(), not isinstance(reply, Exception)
            if ok:
                # Not the maximum: where the server's clock stepped back, our stamps must follow.
                clock.time, clock.seen = reply[0], now
                if reply[1] == b"incarnation":
                    lives.left(life, clock, believed)
            # Once more: an observation that was sent before may have been answered meanwhile.
            if name in _FORGETFUL:
                self._mirror.drop(key)
            if self._meter is not None:
                self._meter.store_call(name, now - began, ok=ok)
            done(reply)

        self._servers.send(life.group, self._scripts[name], keys, (believed, self._ttl, *words), answered)


def stranger() -> StoreUnavailable:
    """What a call hears while the store's incarnation is not known."""
    return StoreUnavailable("The store was emptied, restarted or replaced, and is being joined anew.")
